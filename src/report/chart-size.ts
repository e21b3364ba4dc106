// Owns the sizes of a chart: its width, its height by what stands on its axes, charts side by side.
import { eachUnit, encodingOf, isDiscrete, isList, isNode, valuesOf } from './spec-tree.ts';
import type { Json, Node } from './spec-tree.ts';

/** Widest a chart gets, in pixels: the width of a line of text in the page. */
export const CHART_WIDTH = 640;

const HEIGHT = 240;
const SMALL_HEIGHT = 170;
const BAND = 26;
const SMALL_BAND = 15;

function isBand(channel: Json | undefined): boolean {
  return isDiscrete(channel) && channel['field'] !== undefined && channel['type'] !== undefined;
}

function heightOf(spec: Node, small: boolean): Json {
  const encodings: Node[] = [];
  eachUnit(spec, (unit) => encodings.push(encodingOf(unit)));
  if (encodings.some(({ y }) => isBand(y))) {
    const shared = encodings.some(({ yOffset }) => yOffset !== undefined);
    return shared ? { step: SMALL_BAND, for: 'position' } : { step: BAND };
  }
  return small ? SMALL_HEIGHT : HEIGHT;
}

function distinct(spec: Node, channel: Json | undefined): number {
  const field = isNode(channel) ? channel['field'] : undefined;
  if (typeof field !== 'string') return 1;
  return Math.max(1, new Set(valuesOf(spec).map((row) => row[field])).size);
}

/** How many charts stand side by side at most, where columns are left to us. */
const MAX_COLUMNS = 3;
/** What axes and gaps take of a chart's share of the width. */
const AXES = 84;

/** How many charts stand side by side, where a spec is several. */
function columnsOf(spec: Node): number {
  if (isList(spec['hconcat'])) return spec['hconcat'].length;
  if (isList(spec['vconcat'])) return 1;
  if (typeof spec['columns'] === 'number') return spec['columns'];
  const encoding = encodingOf(spec);
  const facet = isNode(spec['facet']) ? spec['facet'] : encoding;
  if (facet['column'] !== undefined) return distinct(spec, facet['column']);
  if (facet['row'] !== undefined) return 1;
  return Math.min(
    MAX_COLUMNS,
    distinct(spec, facet['field'] === undefined ? facet['facet'] : facet),
  );
}

/** Whether a spec is more than one chart. */
export function isSeveral(spec: Node): boolean {
  const encoding = encodingOf(spec);
  return (
    ['facet', 'repeat', 'concat', 'hconcat', 'vconcat'].some((key) => spec[key] !== undefined) ||
    ['facet', 'row', 'column'].some((key) => encoding[key] !== undefined)
  );
}

/** The spec with widths and heights of the page, whatever it had; charts side by side share `width`. */
export function resize(spec: Node, width = CHART_WIDTH, small = false): Node {
  const several = isSeveral(spec);
  const columns = several ? Math.max(1, columnsOf(spec)) : 1;
  const share = several ? Math.max(60, Math.floor(width / columns) - AXES) : width;
  for (const key of ['concat', 'hconcat', 'vconcat']) {
    const list = spec[key];
    if (!isList(list)) continue;
    const children = list.map((child) => (isNode(child) ? resize(child, share, true) : child));
    return { ...spec, [key]: children, ...(key === 'concat' ? { columns } : {}) };
  }
  const inside = spec['spec'];
  if (isNode(inside)) {
    const wrapped = isNode(spec['facet']) && spec['facet']['field'] !== undefined;
    return { ...spec, spec: resize(inside, share, true), ...(wrapped ? { columns } : {}) };
  }
  const { height: _height, width: _width, ...rest } = spec;
  return { ...rest, width: share, height: heightOf(spec, small || several) };
}
