// Owns what the page does to a part's chart before it is drawn: size, look of series, switches, hover.
import type { Config, TopLevelSpec } from 'vega-lite';
import {
  COLOUR_CHANNELS,
  fileLegend,
  findSeries,
  isDense,
  LINES,
  POINTS,
  repeatsAxis,
  seriesChannel,
  seriesLooks,
  withSwitches,
} from './audit-series.ts';
import type { Series } from './audit-series.ts';
import { HEAT_NAMES } from './audit-style.ts';
import { isSeveral, resize } from './chart-size.ts';
import { CHART_CONFIG } from './draw.ts';
import { visible } from './html.ts';
import {
  checkData,
  eachUnit,
  encodingOf,
  isList,
  isNode,
  markName,
  mapUnits,
  markOf,
} from './spec-tree.ts';
import { wrap } from './text-table.ts';
import type { Json, Node } from './spec-tree.ts';

/** Where a chart is shown: the page has its own legend, switches and hover; a file stands alone. */
export type Medium = 'page' | 'file';

/** A chart that is ready to be compiled. */
export interface DressedChart {
  readonly spec: TopLevelSpec;
  readonly series: Series | undefined;
  /** Its width may be changed in the page. */
  readonly fitsWidth: boolean;
}

/** Look of the charts of an audit. */
export const AUDIT_CONFIG: Config = {
  ...CHART_CONFIG,
  mark: { color: 'var(--c1)', opacity: 1 },
  rule: { color: 'var(--ink)', strokeWidth: 1.2 },
  tick: { color: 'var(--ink)' },
  text: { color: 'var(--ink)', fontSize: 12 },
  title: {
    color: 'var(--ink)',
    anchor: 'start',
    fontSize: 14,
    fontWeight: 600,
    limit: 0,
  },
  rect: { stroke: 'var(--paper)', strokeWidth: 0.5 },
  axis: { ...CHART_CONFIG.axis, labelLimit: 320 },
  legend: {
    ...{
      labelColor: 'var(--ink)',
      titleColor: 'var(--soft)',
      labelFontSize: 12,
      titleFontSize: 12,
    },
    ...{ titleFontWeight: 'normal', labelLimit: 260, symbolSize: 70, gradientLength: 240 },
    gradientStrokeColor: 'var(--line)',
  },
};

// A line of a title in its font is then no wider than the chart.
const TITLE_CHARACTERS = 80;
function dressMark(mark: Node, unit: Node, root: Node): Node {
  const type = markName(unit);
  const hover = { tooltip: { content: 'data' } };
  if (LINES.includes(type)) {
    const dense = isDense(root, unit);
    const point = { filled: true, ...(dense ? { size: 110, opacity: 0 } : { size: 50 }) };
    return { strokeWidth: 1.8, strokeJoin: 'round', ...mark, ...hover, point };
  }
  if (POINTS.includes(type)) return { filled: true, size: 64, ...mark, type: 'point', ...hover };
  if (type === 'bar') return { strokeWidth: 1.2, ...mark, ...hover };
  if (type === 'area') return { opacity: 0.16, ...mark };
  if (type === 'text') return mark;
  return { ...mark, ...hover };
}

/** Steps of one colour for numbers; few of them, so that labels on the cells stay readable. */
function heatChannel(channel: Node, hasLabels: boolean): Node {
  const names = hasLabels ? HEAT_NAMES.slice(0, 4) : HEAT_NAMES;
  const scale = isNode(channel['scale']) ? channel['scale'] : {};
  const domain = scale['domain'] === undefined ? {} : { domain: scale['domain'] };
  const range = names.map((name) => `var(--${name})`);
  const own = isNode(channel['legend']) ? channel['legend'] : {};
  const legend = channel['legend'] === null ? null : { orient: 'top', format: '.2~r', ...own };
  return { ...channel, legend, scale: { ...domain, type: 'quantize', range } };
}

function dressColour(
  unit: Node,
  series: Series | undefined,
  hasLabels: boolean,
  medium: Medium,
): Node {
  const encoding = encodingOf(unit);
  const channel = seriesChannel(unit);
  if (series && channel && channel['field'] === series.field && !repeatsAxis(unit)) {
    const legend = medium === 'page' ? null : fileLegend(series);
    const looks = seriesLooks(markName(unit), unit, series, legend);
    const own = Object.entries(encoding).filter(([name]) => !COLOUR_CHANNELS.includes(name));
    return { ...looks, ...Object.fromEntries(own) };
  }
  const kept = Object.entries(encoding).filter(
    ([name]) => !(repeatsAxis(unit) && COLOUR_CHANNELS.includes(name)),
  );
  const numbers = kept.map(([name, value]) =>
    COLOUR_CHANNELS.includes(name) && isNode(value) && value['type'] === 'quantitative'
      ? [name, heatChannel(value, hasLabels)]
      : [name, value],
  );
  return Object.fromEntries(numbers) as Node;
}

/** An axis of lines ends where they end; an axis of counted things leaves out names, not room. */
function dressAxis(encoding: Node, hasLines: boolean): Node {
  const { x } = encoding;
  if (!isNode(x)) return encoding;
  const scale = isNode(x['scale']) ? x['scale'] : {};
  if (x['type'] === 'quantitative' && hasLines) {
    return { ...encoding, x: { ...x, scale: { nice: false, ...scale } } };
  }
  if (x['type'] !== 'ordinal' || x['axis'] === null) return encoding;
  const axis = isNode(x['axis']) ? x['axis'] : {};
  return {
    ...encoding,
    x: { ...x, axis: { labelAngle: 0, labelOverlap: 'greedy', labelSeparation: 5, ...axis } },
  };
}

function cleaned(value: Json): Json {
  if (typeof value === 'string') return visible(value);
  if (isList(value)) return value.map(cleaned);
  if (!isNode(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, item === undefined ? item : cleaned(item)]),
  );
}

/** The spec as a tree, unseen characters of its texts shown as such. */
export function cleanSpec(given: TopLevelSpec): Node {
  return cleaned(given as unknown as Json) as Node;
}

/**
 * Makes a part's chart one of the page: unseen characters shown as such, sizes of the page, series
 * told apart by more than colour, numbers as steps of one colour, in the page a switch a series, in a
 * file the title.
 *
 * @throws DataError when its data are not inside.
 */
export function dressChart(given: TopLevelSpec, medium: Medium, title?: string): DressedChart {
  const spec = cleanSpec(given);
  checkData(spec);
  const series = findSeries(spec);
  const marks = new Set<string>();
  eachUnit(spec, (unit) => marks.add(markName(unit)));
  const hasLabels = marks.has('text');
  const hasLines = LINES.some((mark) => marks.has(mark));
  const dressed = mapUnits(spec, (unit) => ({
    ...unit,
    mark: dressMark(markOf(unit), unit, spec),
    encoding: dressAxis(dressColour(unit, series, hasLabels, medium), hasLines),
  }));
  const several = isSeveral(spec);
  const { title: _title, config: _config, autosize: _autosize, ...body } = resize(dressed);
  const switched = series && medium === 'page' ? withSwitches(body, series) : body;
  const head =
    medium === 'file' && title !== undefined ? { title: wrap(title, TITLE_CHARACTERS) } : {};
  const fit = several ? {} : { autosize: { type: 'fit-x', contains: 'padding' } };
  return {
    spec: { ...head, ...switched, ...fit } as unknown as TopLevelSpec,
    series,
    fitsWidth: !several,
  };
}
