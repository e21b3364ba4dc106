// Owns the series of a chart: which there are, how they look besides their colour, how they are switched off.
import { seriesStyle } from './charts.ts';
import {
  encodingOf,
  isDiscrete,
  isList,
  isNode,
  mapUnits,
  eachUnit,
  markName,
  valuesOf,
} from './spec-tree.ts';
import type { Json, Node } from './spec-tree.ts';

/** A value of the field that tells series apart. */
export type SeriesValue = string | number | boolean;

/** Series of a chart: the field that tells them apart, what it is called, its values in order. */
export interface Series {
  readonly field: string;
  readonly title: string;
  readonly values: readonly SeriesValue[];
  /** What series look like: lines with points, dashed lines too dense for points, points, filled shapes. */
  readonly swatch: 'line' | 'dash' | 'point' | 'fill';
}

/** The signal that holds the values of the series that are switched off. */
export const HIDDEN_SIGNAL = 'hiddenSeries';
/** Shapes of points by series, names as Vega has them. */
export const SHAPES = [
  ...['circle', 'square', 'triangle-up', 'diamond', 'cross', 'triangle-down'],
] as const;
/** Dashes of lines by series, where points would cover them. */
export const DASHES: readonly (readonly number[])[] = [
  ...[
    [1, 0],
    [7, 3],
    [2, 2],
    [9, 3, 2, 3],
    [4, 2],
    [13, 4],
  ],
];
// ours: more points on a line than this cover the line itself; they only answer the pointer then.
const MAX_SEEN_POINTS = 60;
// ours: a grey copy still tells the fullest from the emptiest; outlines keep the emptiest in sight.
const FULL = 0.9;
const EMPTY = 0.12;

/** How far the i-th of `count` filled shapes is filled, so that they differ by more than colour. */
export function fillOf(index: number, count: number): number {
  return FULL - ((FULL - EMPTY) * index) / Math.max(1, count - 1);
}

/** Channels that give a mark its colour. */
export const COLOUR_CHANNELS: readonly string[] = ['color', 'fill', 'stroke'];
/** Marks that join their rows. */
export const LINES: readonly string[] = ['line', 'trail'];
/** Marks that stand for one row, without extent. */
export const POINTS: readonly string[] = ['point', 'circle', 'square'];

/** The colour of a unit by a field of names. */
export function seriesChannel(unit: Node): Node | undefined {
  const encoding = encodingOf(unit);
  const found = COLOUR_CHANNELS.map((name) => encoding[name]).find(
    (channel) => isDiscrete(channel) && typeof channel['field'] === 'string',
  );
  return isNode(found) && found['bin'] === undefined ? found : undefined;
}

/** Whether colour only repeats what stands on an axis; such series are told by their labels. */
export function repeatsAxis(unit: Node): boolean {
  const field = seriesChannel(unit)?.['field'];
  const { x, y } = encodingOf(unit);
  return field !== undefined && [x, y].some((axis) => isDiscrete(axis) && axis['field'] === field);
}

/** Whether the points of a line stand so close that they would cover it. */
export function isDense(root: Node, unit: Node): boolean {
  const { x } = encodingOf(unit);
  const field = isNode(x) ? x['field'] : undefined;
  if (typeof field !== 'string') return false;
  return new Set(valuesOf(root).map((row) => row[field])).size > MAX_SEEN_POINTS;
}

function isValue(value: Json | undefined): value is SeriesValue {
  return ['string', 'number', 'boolean'].includes(typeof value);
}

/** The order that a chart itself wants, by its scale or its sort. */
function ownOrder({ scale, sort }: Node): SeriesValue[] | undefined {
  const domain = scale !== undefined && isNode(scale) ? scale['domain'] : undefined;
  const list = [domain, sort].find(isList);
  return list?.filter(isValue);
}

function titleOf(channel: Node, field: string): string {
  const legend = channel['legend'];
  const title = channel['title'] ?? (isNode(legend) ? legend['title'] : undefined);
  return typeof title === 'string' ? title : field;
}

function swatchOf(spec: Node, units: readonly Node[]): Series['swatch'] {
  const lines = units.filter((unit) => LINES.includes(markName(unit)));
  if (lines.length > 0) return lines.some((unit) => isDense(spec, unit)) ? 'dash' : 'line';
  const slight = [...POINTS, 'rule', 'tick', 'text'];
  return units.every((unit) => slight.includes(markName(unit))) ? 'point' : 'fill';
}

/** The series of a chart: those of the first unit whose colour stands for a field of names. */
export function findSeries(spec: Node): Series | undefined {
  const units: Node[] = [];
  eachUnit(spec, (unit) => units.push(unit));
  const coloured = units.filter((unit) => seriesChannel(unit) && !repeatsAxis(unit));
  const channel = coloured[0] && seriesChannel(coloured[0]);
  const field = channel?.['field'];
  if (!channel || typeof field !== 'string') return undefined;
  const seen = valuesOf(spec).map((row) => row[field]);
  const values = ownOrder(channel) ?? [...new Set(seen.filter(isValue))];
  if (values.length === 0) return undefined;
  const swatch = swatchOf(spec, coloured);
  return { field, title: titleOf(channel, field), values, swatch };
}

function scaleOf(series: Series, range: readonly Json[]): Node {
  return {
    domain: [...series.values],
    range: series.values.map((_, i) => range[i % range.length] ?? null),
  };
}

/** The legend of a chart that stands alone: its symbols are filled and outlined as the series are. */
export function fileLegend({ swatch, values }: Series): Node {
  const by = (of: (index: number) => Json): Node => ({
    condition: values.map((value, i) => ({
      test: `datum.value === ${JSON.stringify(value)}`,
      value: of(i),
    })),
    value: of(0),
  });
  const filled: Node = {
    fillOpacity: by((i) => fillOf(i, values.length)),
    stroke: by((i) => seriesStyle(i).colour),
    strokeWidth: { value: 1.2 },
  };
  const looks = swatch === 'fill' ? filled : { fillOpacity: { value: 1 } };
  const symbols: Node = { opacity: { value: 1 }, ...looks };
  const line: Node = swatch === 'dash' ? { symbolType: 'stroke', symbolSize: 500 } : {};
  return { title: null, orient: 'top', columns: 4, ...line, encoding: { symbols } };
}

/** Looks of the series besides colour, by mark: dashes and shapes, or how far a bar is filled. */
export function seriesLooks(type: string, unit: Node, series: Series, legend: Json): Node {
  const { field } = series;
  const by = (range: readonly Json[]): Node => ({
    field,
    type: 'nominal',
    scale: scaleOf(series, range),
    legend,
  });
  const encoding = encodingOf(unit);
  const styles = series.values.map((_, i) => seriesStyle(i));
  const ends = [FULL, series.values.length > 1 ? EMPTY : FULL];
  const filled = { ...by([]), scale: { domain: [...series.values], range: ends } };
  const colour = by(styles.map((style) => style.colour));
  if (LINES.includes(type)) {
    if (series.swatch === 'dash') return { color: colour, strokeDash: by(DASHES) };
    return { color: colour, strokeDash: by(styles.map(({ dash }) => dash)), shape: by(SHAPES) };
  }
  if (POINTS.includes(type)) return { color: colour, shape: by(SHAPES) };
  if (type === 'area' && (encoding['y2'] ?? encoding['x2']) !== undefined) return { color: colour };
  if (['bar', 'area', 'rect', 'arc'].includes(type)) {
    return {
      color: colour,
      stroke: { ...colour, legend: null },
      fillOpacity: { ...filled, legend: null },
    };
  }
  return { color: colour };
}

/** Rows of series that are switched off are left out, wherever data come in or series are drawn. */
export function withSwitches(spec: Node, series: Series): Node {
  const name = JSON.stringify(series.field);
  const filter = {
    filter: `indexof(${HIDDEN_SIGNAL}, toString(datum[${name}])) < 0`,
  };
  const add = (node: Node): Node => {
    const own = isList(node['transform']) ? node['transform'] : [];
    return { ...node, transform: [...own, filter] };
  };
  const units = mapUnits(spec, (unit) => (seriesChannel(unit) || unit['data'] ? add(unit) : unit));
  return {
    ...(units['transform'] === undefined && units['mark'] === undefined ? add(units) : units),
    params: [...(isList(spec['params']) ? spec['params'] : []), { name: HIDDEN_SIGNAL, value: [] }],
  };
}
