// Owns the data of a chart as tables: what its fields are called, how their values are written.
import type { TopLevelSpec } from 'vega-lite';
import { NOTHING } from './audit-format.ts';
import { dataOf, eachUnit, encodingOf, isNode } from './spec-tree.ts';
import type { Json, Node } from './spec-tree.ts';

/** A field of a chart's data. */
export interface DataField {
  readonly name: string;
  readonly title: string;
  /** Fractions are written as per cent. */
  readonly percent: boolean;
}

/** Rows that stand together in a chart. */
export interface DataTable {
  readonly fields: readonly DataField[];
  readonly rows: readonly Node[];
}

const AXES = ['x', 'y'] as const;
const DIGITS = 4;

function formatOf(channel: Node): string {
  const places = [channel, channel['axis'], channel['legend']].filter(
    (place) => place !== undefined && isNode(place),
  );
  return places.map(({ format }) => (typeof format === 'string' ? format : '')).join('');
}

function titleOf(channel: Node): string | undefined {
  const { axis, legend } = channel;
  const places = [channel, axis, legend].filter((place) => place !== undefined && isNode(place));
  return places.map(({ title }) => title).find((title) => typeof title === 'string');
}

/** Titles of fields, and the fields that stand on an axis of per cent. */
function namesOf(spec: Node): {
  readonly titles: ReadonlyMap<string, string>;
  readonly percent: ReadonlySet<string>;
} {
  const titles = new Map<string, string>();
  const onAxis = { x: new Set<string>(), y: new Set<string>() };
  const isPercent = { x: false, y: false };
  const percent = new Set<string>();
  eachUnit(spec, (unit) => {
    for (const [name, channel] of Object.entries(encodingOf(unit))) {
      if (channel === undefined || !isNode(channel)) continue;
      const field = channel['field'];
      const axis = AXES.find((key) => name === key || name === `${key}2`);
      const inPercent = formatOf(channel).includes('%');
      if (axis && inPercent) isPercent[axis] = true;
      if (typeof field !== 'string') continue;
      if (axis) onAxis[axis].add(field);
      else if (inPercent) percent.add(field);
      const title = titleOf(channel);
      if (title !== undefined && !titles.has(field)) titles.set(field, title);
    }
  });
  for (const axis of AXES) if (isPercent[axis]) onAxis[axis].forEach((name) => percent.add(name));
  return { titles, percent };
}

/** The data of a chart as they stand in its spec, a table a place. */
export function chartData(given: TopLevelSpec): DataTable[] {
  const spec = given as unknown as Node;
  const { titles, percent } = namesOf(spec);
  // A title of an axis may stand for two fields of it; the second keeps its own name.
  return dataOf(spec).map((rows) => {
    const taken = new Set<string>();
    const names = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const fields = names.map((name) => {
      const told = titles.get(name) ?? name;
      const title = taken.has(told) ? name : told;
      taken.add(title);
      const inPercent = percent.has(name);
      return {
        name,
        title: inPercent && !/%/.test(title) ? `${title}, %` : title,
        percent: inPercent,
      };
    });
    return { fields, rows };
  });
}

/** A value of a chart's data as a reader sees it: four digits, per cent with one decimal. */
export function formatDatum(value: Json | undefined, { percent }: DataField): string {
  if (typeof value === 'string' || typeof value === 'boolean') return String(value);
  if (typeof value !== 'number') return NOTHING;
  const text = percent ? (100 * value).toFixed(1) : String(Number(value.toPrecision(DIGITS)));
  return text.replace('-', '\u2212');
}
