// Owns walking over vega-lite specs as plain trees; audit-spec.ts and audit-chart.ts call it.
import { DataError } from '../errors.ts';

/** Whatever JSON holds. */
export type Json = string | number | boolean | null | readonly Json[] | Node;

/** An object of JSON. */
export interface Node {
  readonly [key: string]: Json | undefined;
}

const LISTS = ['layer', 'concat', 'hconcat', 'vconcat'] as const;

/** Whether a value is a list of JSON. */
export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

/** Whether a value is an object of JSON. */
export function isNode(value: Json | undefined): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The mark of a unit, as an object. */
export function markOf(unit: Node): Node {
  return isNode(unit['mark']) ? unit['mark'] : { type: unit['mark'] ?? 'point' };
}

/** The name of a unit's mark. */
export function markName(unit: Node): string {
  const { type } = markOf(unit);
  return typeof type === 'string' ? type : '';
}

/** The encoding of a unit, empty where there is none. */
export function encodingOf(unit: Node): Node {
  return isNode(unit['encoding']) ? unit['encoding'] : {};
}

/** Whether a channel holds names, not numbers. */
export function isDiscrete(channel: Json | undefined): channel is Node {
  return isNode(channel) && ['nominal', 'ordinal', undefined].includes(channel['type'] as string);
}

function childrenOf(spec: Node): readonly Node[] {
  const lists = LISTS.flatMap((key) => {
    const list = spec[key];
    return isList(list) ? list : [];
  });
  return [...lists, ...(isNode(spec['spec']) ? [spec['spec']] : [])].filter(isNode);
}

/** The specs of a tree that draw something, those with a mark, each with what its layers share. */
export function eachUnit(spec: Node, visit: (unit: Node) => void): void {
  mapUnits(spec, (unit) => {
    visit(unit);
    return unit;
  });
}

/** The same tree with every unit replaced; a unit gets the encodings that its layers share. */
export function mapUnits(spec: Node, change: (unit: Node) => Node, shared: Node = {}): Node {
  const own = isNode(spec['encoding']) ? spec['encoding'] : {};
  const encoding = { ...shared, ...own };
  if (spec['mark'] !== undefined) return change({ ...spec, encoding });
  const result: Record<string, Json | undefined> = { ...spec };
  for (const key of LISTS) {
    const list = spec[key];
    if (!isList(list)) continue;
    const below = key === 'layer' ? encoding : {};
    result[key] = list.map((child) => (isNode(child) ? mapUnits(child, change, below) : child));
    if (key === 'layer') delete result['encoding'];
  }
  if (isNode(spec['spec'])) result['spec'] = mapUnits(spec['spec'], change);
  return result;
}

function ownValues(spec: Node): readonly Node[] {
  const { data } = spec;
  if (!isNode(data)) return [];
  const values = isList(data['values']) ? data['values'] : [];
  return values.filter(isNode);
}

/** The charts of a spec that have axes of their own: its layers together, its neighbours apart. */
export function viewsOf(spec: Node): readonly Node[] {
  const isView = spec['mark'] !== undefined || spec['layer'] !== undefined;
  return isView ? [spec] : childrenOf(spec).flatMap(viewsOf);
}

/** All rows of data of a spec and of what is inside of it, a list a place where data stand. */
export function dataOf(spec: Node): readonly (readonly Node[])[] {
  const own = ownValues(spec);
  return [...(own.length > 0 ? [own] : []), ...childrenOf(spec).flatMap(dataOf)];
}

/** All rows of data of a spec and of what is inside of it. */
export function valuesOf(spec: Node): readonly Node[] {
  return dataOf(spec).flat();
}

/**
 * Checks that a chart brings its data with it.
 *
 * @throws DataError when data are named by an address or a name.
 */
export function checkData(spec: Node): void {
  const { data } = spec;
  if (isNode(data) && !isList(data['values'])) {
    throw new DataError({
      what: 'a chart of the audit does not hold its data',
      got: Object.keys(data).join(', ') || 'nothing',
      expected: 'data.values, a list of rows',
      fix: 'put the rows into the chart of the part that made it',
    });
  }
  childrenOf(spec).forEach(checkData);
}
