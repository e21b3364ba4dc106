// Owns the data of a chart as tables: what its fields are called, how their values are written.
import { NOTHING } from './audit-format.ts';
import { dataOf, eachUnit, encodingOf, isNode, viewsOf } from './spec-tree.ts';
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

interface Names {
  readonly titles: Map<string, string>;
  /** Fields that stand on an axis of per cent. */
  readonly percent: Set<string>;
}

/** Fields of one axis of a chart: its title is that of its values, not of the ends of its ranges. */
function readAxis(view: Node, axis: (typeof AXES)[number], { titles, percent }: Names): void {
  const values = new Set<string>();
  const ends = new Set<string>();
  const told: string[] = [];
  const formats: string[] = [];
  eachUnit(view, (unit) => {
    const encoding = encodingOf(unit);
    const [channel, second] = [encoding[axis], encoding[`${axis}2`]];
    for (const place of [channel, second]) {
      if (place === undefined || !isNode(place)) continue;
      formats.push(formatOf(place));
      const title = titleOf(place);
      if (title !== undefined) told.push(title);
      if (typeof place['field'] === 'string') {
        (second === undefined ? values : ends).add(place['field']);
      }
    }
  });
  const inPercent = formats.some((format) => format.includes('%'));
  if (inPercent) for (const name of [...values, ...ends]) percent.add(name);
  const [title] = told;
  if (title === undefined) return;
  for (const name of values) if (!titles.has(name)) titles.set(name, title);
}

function readOthers(view: Node, { titles, percent }: Names): void {
  eachUnit(view, (unit) => {
    for (const [name, channel] of Object.entries(encodingOf(unit))) {
      if (channel === undefined || !isNode(channel) || /^[xy]2?$/.test(name)) continue;
      const { field } = channel;
      if (typeof field !== 'string') continue;
      const title = titleOf(channel);
      if (title !== undefined && !titles.has(field)) titles.set(field, title);
      if (formatOf(channel).includes('%')) percent.add(field);
    }
  });
}

function namesOf(spec: Node): Names {
  const names: Names = { titles: new Map(), percent: new Set() };
  for (const view of viewsOf(spec)) {
    for (const axis of AXES) readAxis(view, axis, names);
    readOthers(view, names);
  }
  return names;
}

/** The data of a chart as they stand in its spec, a table a place. */
export function chartData(spec: Node): DataTable[] {
  const { titles, percent } = namesOf(spec);
  // Two fields may stand on an axis under one title; the second keeps its own name.
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
