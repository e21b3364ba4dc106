// Owns 95 % intervals of headlines: questions are drawn with replacement, all rows of one together; summary.ts
// calls it.
import { clusteredInterval } from '../../evaluate/effects.ts';
import { quantile } from '../../evaluate/statistics.ts';
import type { Interval } from '../../evaluate/statistics.ts';
import { Rng } from '../../rng.ts';
import type { Benchmark, Cell, DatasetName, Era, Row, ScoredRow } from '../types.ts';

/** ours: ends of an interval from 1,000 draws vary by about a thirtieth of its width. */
export const DEFAULT_DRAWS = 1_000;
const TAIL_SHARE = 0.025;

/** How intervals are made. */
export interface IntervalOptions {
  /** Draws for headlines that are no mean of scores; those that are get an interval of 10,000. */
  readonly draws: number;
  readonly seed: number;
  readonly era: Era;
  readonly signal?: AbortSignal;
}

type Picks = (row: Row) => boolean;

const ALL: Picks = () => true;

function inCategory(pattern: RegExp): Picks {
  return ({ category }) => typeof category === 'string' && pattern.test(category);
}

/** Headlines that are means of scores over some rows, where the table is as it should be. */
const MEANS: Readonly<Partial<Record<DatasetName, Readonly<Record<string, Picks>>>>> = {
  HRBench4K: { Overall: ALL, FSP: inCategory(/^single$/u), FCP: inCategory(/^cross$/u) },
  MMStar: { Overall: ALL },
  'MME-RealWorld-Lite': {
    Overall: ALL,
    Reasoning: inCategory(/^Reasoning\//u),
    Perception: inCategory(/^Perception\//u),
  },
  MathVista_MINI: { Overall: ALL },
  own: { Overall: ALL },
};

/** Headlines of the mean over repeats, by name. */
function meanHeadlines(
  benchmark: Benchmark,
  repeats: readonly (readonly ScoredRow[])[],
  era: Era,
): Map<string, number | null> {
  const sums = new Map<string, number | null>();
  for (const rows of repeats) {
    for (const { name, percent } of benchmark.aggregate(rows, era).headlines) {
      const sum = sums.get(name);
      sums.set(name, percent === null || sum === null ? null : (sum ?? 0) + percent);
    }
  }
  return new Map(
    [...sums].map(([name, sum]) => [name, sum === null ? null : sum / repeats.length]),
  );
}

/** Interval of a mean of scores; undefined when the headline is no such mean of these rows. */
function meanInterval(
  benchmark: Benchmark,
  rows: readonly ScoredRow[],
  picks: Picks,
  percent: number,
  rng: Rng,
): Interval | undefined {
  const own = rows.filter(({ row }) => picks(row));
  if (own.length === 0) return undefined;
  const found = clusteredInterval(
    own.map(({ score }) => score.score),
    own.map(({ row }) => benchmark.cluster(row)),
    rng,
  );
  // Only a table with every row makes means of means the mean of all.
  if (Math.abs(100 * found.mean - percent) > 1e-6) return undefined;
  return { low: 100 * found.low, high: 100 * found.high };
}

/** Rows of a question in each repeat. */
type Question = readonly (readonly ScoredRow[])[];

/** A question drawn again is another one, also to a benchmark that joins rows by their group. */
function copyOf(question: Question, copy: number): Question {
  if (copy === 0) return question;
  return question.map((rows) =>
    rows.map(({ row, score }) => {
      const other = Object.create(null) as Record<string, Cell>;
      for (const [name, cell] of Object.entries(row)) {
        other[name] = name.toLowerCase() === 'id' ? `${String(cell)} copy ${copy}` : cell;
      }
      return { row: other, score };
    }),
  );
}

function questionsOf(benchmark: Benchmark, repeats: readonly (readonly ScoredRow[])[]): Question[] {
  const questions = new Map<string, ScoredRow[][]>();
  repeats.forEach((rows, repeat) => {
    for (const scored of rows) {
      const name = benchmark.cluster(scored.row);
      const question = questions.get(name) ?? repeats.map(() => []);
      question[repeat]?.push(scored);
      questions.set(name, question);
    }
  });
  return [...questions.values()];
}

/** Headlines of tables made of questions drawn with replacement. */
function drawHeadlines(
  benchmark: Benchmark,
  repeats: readonly (readonly ScoredRow[])[],
  { draws, era, signal }: IntervalOptions,
  rng: Rng,
): Map<string, number[]> {
  const questions = questionsOf(benchmark, repeats);
  const copies = questions.map((question) => [question]);
  const found = new Map<string, number[]>();
  for (let draw = 0; draw < draws; draw++) {
    signal?.throwIfAborted();
    const times = new Uint32Array(questions.length);
    const drawn = repeats.map((): ScoredRow[] => []);
    for (let i = 0; i < questions.length; i++) {
      const at = rng.int(questions.length);
      const copy = times[at] ?? 0;
      times[at] = copy + 1;
      const own = copies[at] ?? [];
      const question = (own[copy] ??= copyOf(questions[at] ?? [], copy));
      question.forEach((rows, repeat) => drawn[repeat]?.push(...rows));
    }
    for (const [name, percent] of meanHeadlines(benchmark, drawn, era)) {
      if (percent === null) continue;
      const values = found.get(name);
      if (values) values.push(percent);
      else found.set(name, [percent]);
    }
  }
  return found;
}

/**
 * 95 % intervals of the headlines, in percent, by name. Means of scores are resampled as such; any other
 * headline (POPE's F1, WeMath's scores, HRBench4K with rows missing) is computed anew for every draw.
 * Source: Efron and Tibshirani 1993, chapter 8 (percentile bootstrap of whole clusters).
 * @param repeats - scored rows of each repeat, prepared, in the order of the table.
 */
export function headlineIntervals(
  benchmark: Benchmark,
  repeats: readonly (readonly ScoredRow[])[],
  options: IntervalOptions,
): Map<string, Interval> {
  const rng = new Rng(options.seed).fork(`intervals ${benchmark.name}`);
  const intervals = new Map<string, Interval>();
  const others = new Set<string>();
  const means = MEANS[benchmark.name] ?? {};
  for (const [name, percent] of meanHeadlines(benchmark, repeats, options.era)) {
    if (percent === null) continue;
    const picks = Object.hasOwn(means, name) ? means[name] : undefined;
    const found = picks && meanInterval(benchmark, repeats.flat(), picks, percent, rng.fork(name));
    if (found) intervals.set(name, found);
    else others.add(name);
  }
  if (others.size === 0) return intervals;
  for (const [name, values] of drawHeadlines(benchmark, repeats, options, rng.fork('draws'))) {
    // A headline that some draws leave undefined has no distribution to read ends from.
    if (!others.has(name) || values.length < options.draws) continue;
    values.sort((a, b) => a - b);
    intervals.set(name, {
      low: quantile(values, TAIL_SHARE),
      high: quantile(values, 1 - TAIL_SHARE),
    });
  }
  return intervals;
}
