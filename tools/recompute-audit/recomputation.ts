// Owns what recomputing an audit reads and how told and recomputed numbers are held against each other; its parts
// call it.
import { mean, resampledMeans, wilson } from './statistics.ts';
import type { Observation } from './statistics.ts';

/**
 * How much of a resampled distribution may lie between an end of an interval and its 2.5 % point.
 * Both sides draw 10,000 resamples, so that this share has a standard deviation of 0.0022; a share
 * is right also for few items, where an end can only jump by whole steps. In a normal
 * distribution it is 0.2 standard errors: an interval's twentieth.
 */
const END_TOLERANCE = 0.01;
/** Sums in another order differ by this much, relative to numbers above 1. */
const ROUNDING = 1e-9;

/** What JSON holds. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** A row of a table by column. */
export type Row = Readonly<Record<string, Json>>;

/** The parts of audit.json that are recomputed. */
export interface AuditFile {
  readonly model: { readonly numLatents: number };
  readonly data: { readonly n: number };
  readonly canaries: readonly { readonly name: string; readonly passed: boolean }[];
  readonly verdict: {
    readonly kind: string;
    readonly sentence: string;
    readonly because: readonly string[];
    readonly wouldChange: string;
  };
  readonly card: readonly { readonly label: string; readonly value: Json }[];
  readonly parts: readonly {
    readonly name: string;
    readonly findings: readonly string[];
    readonly tables: readonly { readonly id: string; readonly rows: readonly Row[] }[];
  }[];
}

/** A line of an arm's journal. */
export interface ArmItem {
  readonly id: string;
  readonly task: string;
  readonly cluster: string;
  readonly triggered: boolean;
  readonly response: string;
  readonly answer: string | null;
  readonly expected: string;
  readonly correct: boolean;
  readonly logitsHash: string | null;
  readonly logitsDistance: number | null;
  readonly latentNorm: number | null;
  readonly targetError: number | null;
}

/** Records of all journals by file name without its ending, such as `arm-clean`. */
export type Journals = ReadonlyMap<string, readonly unknown[]>;

/** A number with the ends of its interval, or with what they are resampled from. */
export interface Estimate {
  readonly value: number;
  readonly ends: readonly [number, number] | readonly Observation[];
}

/** A p value, which is right in all its size. */
export interface Chance {
  readonly p: number;
}

/** What a cell should hold. */
export type Expected = null | number | string | Estimate | Chance;

/** A mean with its bootstrap; null of nothing. */
export function average(sample: readonly Observation[]): Estimate | null {
  if (sample.length === 0) return null;
  return { value: mean(sample.map(([, value]) => value)), ends: sample };
}

/** A share of yes: where all are the same, which no resample can differ from, Wilson's interval over questions. */
export function share(sample: readonly (readonly [string, boolean])[]): Estimate | null {
  const values = sample.map(([cluster, is]): Observation => [cluster, is ? 1 : 0]);
  const isMixed = values.some(([, value]) => value !== values[0]?.[1]);
  const found = average(values);
  if (!found || isMixed) return found;
  const n = new Set(sample.map(([cluster]) => cluster)).size;
  return { ...found, ends: wilson(found.value * n, n) };
}

/** A share of independent items with Wilson's interval; null of nothing. */
export function wilsonShare(count: number, n: number): Estimate | null {
  return n === 0 ? null : { value: count / n, ends: wilson(count, n) };
}

/** Whether an answer is an expected one, case and spacing aside. */
export function isAnswer(answer: string | null, expected: string): boolean {
  const normal = (text: string): string => text.toLowerCase().split(/\s+/u).join(' ').trim();
  return answer !== null && normal(answer) === normal(expected);
}

/** All items, then those of each task in order of appearance; of a single task only that. */
export function byTask<T extends { readonly task: string }>(
  items: readonly T[],
): { readonly task: string; readonly items: readonly T[] }[] {
  const tasks = [...new Set(items.map(({ task }) => task))];
  const groups = tasks.map((task) => ({
    task: task || '(no task)',
    items: items.filter((item) => item.task === task),
  }));
  return tasks.length === 1 ? groups : [{ task: 'all', items }, ...groups];
}

/** An audit beside its journals, and what was found wrong with it so far. */
export class Recomputation {
  passed = 0;
  readonly failures: string[] = [];
  readonly audit: AuditFile;
  private readonly journals: Journals;

  constructor(audit: AuditFile, journals: Journals) {
    this.audit = audit;
    this.journals = journals;
  }

  /** Names of the arms that have a journal. */
  get arms(): string[] {
    return [...this.journals.keys()].flatMap((name) => /^arm-(.*)$/.exec(name)?.[1] ?? []);
  }

  arm(name: string): readonly ArmItem[] {
    return (this.journals.get(`arm-${name}`) ?? []) as readonly ArmItem[];
  }

  /** Records of a part, in the shape the caller knows them to have. */
  part(name: string): readonly unknown[] {
    return this.journals.get(`part-${name}`) ?? [];
  }

  has(part: string): boolean {
    return this.audit.parts.some(({ name }) => name === part);
  }

  rows(id: string): readonly Row[] | undefined {
    return this.audit.parts.flatMap(({ tables }) => tables).find((one) => one.id === id)?.rows;
  }

  findings(part: string): readonly string[] {
    return this.audit.parts.find(({ name }) => name === part)?.findings ?? [];
  }

  /** Takes a statement about the audit that holds or does not. */
  holds(what: string, is: boolean, told: unknown): void {
    if (is) this.passed += 1;
    else this.failures.push(`${what}: ${JSON.stringify(told ?? null)} does not hold`);
  }

  /** Holds a told number, its interval aside, against a recomputed one. */
  check(what: string, told: unknown, found: unknown, tolerance = ROUNDING): void {
    const number = (x: unknown): number =>
      typeof x === 'object' && x !== null && 'value' in x ? Number(x.value) : Number(x);
    const isSame =
      told === null || told === undefined || found === null || found === undefined
        ? (told ?? null) === (found ?? null)
        : Math.abs(number(told) - number(found)) <=
          tolerance * Math.max(1, Math.abs(number(found)));
    if (isSame) this.passed += 1;
    else
      this.failures.push(
        `${what}: the audit says ${JSON.stringify(told)}, the items ${JSON.stringify(found)}`,
      );
  }

  /** Holds a whole table against its recomputed rows, each cell of each row and no other. */
  table(id: string, expected: readonly Readonly<Record<string, Expected>>[]): void {
    const rows = this.rows(id) ?? [];
    this.check(`${id}, rows`, rows.length, expected.length);
    expected.forEach((cells, i) => {
      const row = rows[i] ?? {};
      for (const key of new Set([...Object.keys(row), ...Object.keys(cells)])) {
        const where = `${id}, row ${i + 1}, ${key}`;
        const cell = cells[key];
        if (cell === undefined) this.holds(`${where} is not recomputed`, false, row[key]);
        else this.cell(where, row[key], cell);
      }
    });
  }

  /** Holds a told cell against what it should hold. */
  cell(where: string, told: Json | undefined, cell: Expected): void {
    if (typeof cell === 'string') this.holds(`${where}, not ${cell}`, told === cell, told);
    else if (cell === null || typeof cell === 'number') {
      const isPlain = typeof told === 'number' || (told ?? null) === null;
      if (isPlain) this.check(where, told, cell);
      else this.holds(`${where}, not ${String(cell)}`, false, told);
    } else if ('p' in cell) {
      const isNear = typeof told === 'number' && Math.abs(told - cell.p) <= 1e-6 * cell.p;
      this.holds(`${where}, not p = ${cell.p}`, isNear, told);
    } else this.estimate(where, told, cell);
  }

  private estimate(where: string, told: Json | undefined, { value, ends }: Estimate): void {
    if (typeof told !== 'object' || told === null || Array.isArray(told)) {
      this.holds(`${where} has no interval`, false, told);
      return;
    }
    this.check(where, told['value'], value);
    const [low, high] = [told['low'], told['high']];
    if (isInterval(ends)) {
      this.check(`${where}, low`, low, ends[0]);
      this.check(`${where}, high`, high, ends[1]);
    } else {
      const means = resampledMeans(ends);
      this.holds(`${where}, low`, isQuantile(low, 0.025, means), low);
      this.holds(`${where}, high`, isQuantile(high, 0.975, means), high);
    }
  }
}

function isInterval(ends: Estimate['ends']): ends is readonly [number, number] {
  return typeof ends[0] === 'number';
}

/** Whether a number can be a quantile of sorted numbers: not too many lie below it, nor above. */
function isQuantile(told: Json | undefined, quantile: number, sorted: Float64Array): boolean {
  if (typeof told !== 'number') return false;
  const rounding = ROUNDING * Math.max(1, Math.abs(told));
  const below = numUpTo(sorted, told - rounding) / sorted.length;
  const upTo = numUpTo(sorted, told + rounding) / sorted.length;
  return below <= quantile + END_TOLERANCE && upTo >= quantile - END_TOLERANCE;
}

/** How many of sorted numbers are not above a bound, by halving. */
function numUpTo(sorted: Float64Array, bound: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] ?? NaN) <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}
