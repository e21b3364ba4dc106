// Owns 95 % intervals of headlines: questions are drawn with replacement, all rows of one together; summary.ts
// calls it.
import { clusteredInterval } from '../../evaluate/effects.ts';
import { quantile } from '../../evaluate/statistics.ts';
import type { Interval } from '../../evaluate/statistics.ts';
import { Rng } from '../../rng.ts';
import { str } from '../python/numbers.ts';
import type { Benchmark, Cell, DatasetName, Era, ScoredRow } from '../types.ts';

/** ours: ends of an interval from 1,000 draws vary by about a thirtieth of its width. */
export const DEFAULT_DRAWS = 1_000;
/** ours: 5 million rows are half a minute; fewer draws are no intervals. */
const MOST_DRAWN_ROWS = 5_000_000;
const LEAST_DRAWS = 200;
const TAIL_SHARE = 0.025;

/** How intervals are made. */
export interface IntervalOptions {
  /** Most draws for headlines that are neither mean nor sum; those that are get 10,000. */
  readonly draws: number;
  readonly seed: number;
  readonly era: Era;
  readonly signal?: AbortSignal;
}

/** What a row adds to a headline that is 100 times a mean: any number of values. */
type Values = (scored: ScoredRow) => readonly number[];

const SCORE: Values = ({ score }) => [score.score];

function inCategory(pattern: RegExp): Values {
  return ({ row: { category }, score }) =>
    typeof category === 'string' && pattern.test(category) ? [score.score] : [];
}

/**
 * F1 is a mean: 2 TP / (2 TP + FP + FN) is that of two ones a true positive and a zero for every positive that
 * is wrong or missed; what is rightly negative adds nothing.
 * @param split - null: all, a row once for each of its splits.
 */
function f1(split: string | null): Values {
  return ({ row, score }) => {
    const splits = str(row['category'] ?? null).split(',');
    const times = split === null ? splits.length : splits.filter((one) => one === split).length;
    const [isTrue, isPositive] = [row['answer'] === 'Yes', score.result === 'Yes'];
    if (!isTrue && !isPositive) return [];
    const own = isTrue && isPositive ? [1, 1] : [0];
    return Array.from({ length: times }, () => own).flat();
  };
}

/** Headlines that are means over rows, where the table is as it should be. */
const MEANS: Readonly<Partial<Record<DatasetName, Readonly<Record<string, Values>>>>> = {
  HRBench4K: { Overall: SCORE, FSP: inCategory(/^single$/u), FCP: inCategory(/^cross$/u) },
  MMStar: { Overall: SCORE },
  'MME-RealWorld-Lite': {
    Overall: SCORE,
    Reasoning: inCategory(/^Reasoning\//u),
    Perception: inCategory(/^Perception\//u),
  },
  MathVista_MINI: { Overall: SCORE },
  POPE: {
    Overall: f1(null),
    Popular: f1('popular'),
    Adversarial: f1('adversarial'),
    Random: f1('random'),
  },
  own: { Overall: SCORE },
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

/** Whether a figure is the headline, up to the order of additions. */
function isHeadline(figure: number, percent: number): boolean {
  return Math.abs(figure - percent) < 1e-6;
}

/** Interval of a mean over rows; undefined when the headline is no such mean of these rows. */
function meanInterval(
  benchmark: Benchmark,
  rows: readonly ScoredRow[],
  valuesOf: Values,
  percent: number,
  rng: Rng,
): Interval | undefined {
  const [values, clusters]: [number[], string[]] = [[], []];
  for (const scored of rows) {
    for (const value of valuesOf(scored)) {
      values.push(value);
      clusters.push(benchmark.cluster(scored.row));
    }
  }
  if (values.length === 0) return undefined;
  const { mean, low, high } = clusteredInterval(values, clusters, rng);
  // Only a table with every row makes means of means the mean of all.
  return isHeadline(100 * mean, percent) ? { low: 100 * low, high: 100 * high } : undefined;
}

/**
 * Intervals of headlines that are 100 less something for every question, as WeMath's are: what a question
 * takes is seen from it alone.
 */
function sumIntervals(
  benchmark: Benchmark,
  questions: readonly Question[],
  headlines: ReadonlyMap<string, number | null>,
  era: Era,
  rng: Rng,
): Map<string, Interval> {
  const alone = questions.map((question) => meanHeadlines(benchmark, question, era));
  const labels = questions.map((_, i) => String(i));
  const intervals = new Map<string, Interval>();
  for (const [name, percent] of headlines) {
    const losses = alone.map((own) => 100 - (own.get(name) ?? NaN));
    if (percent === null || losses.some(Number.isNaN)) continue;
    const found = clusteredInterval(losses, labels, rng.fork(name));
    const total = (loss: number): number => 100 - losses.length * loss;
    if (!isHeadline(total(found.mean), percent)) continue;
    intervals.set(name, { low: total(found.high), high: total(found.low) });
  }
  return intervals;
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
        other[name] = name.toLowerCase() === 'id' ? `${str(cell)} copy ${copy}` : cell;
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
  questions: readonly Question[],
  draws: number,
  { era, signal }: IntervalOptions,
  rng: Rng,
): Map<string, number[]> {
  const copies = questions.map((question) => [question]);
  const found = new Map<string, number[]>();
  for (let draw = 0; draw < draws; draw++) {
    signal?.throwIfAborted();
    const times = new Uint32Array(questions.length);
    const drawn = (questions[0] ?? []).map((): ScoredRow[] => []);
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

function drawnIntervals(
  benchmark: Benchmark,
  questions: readonly Question[],
  options: IntervalOptions,
  rng: Rng,
): Map<string, Interval> {
  const numRows = questions.flat().reduce((sum, rows) => sum + rows.length, 0);
  const most = Math.max(LEAST_DRAWS, Math.floor(MOST_DRAWN_ROWS / numRows));
  const draws = Math.min(options.draws, most);
  const intervals = new Map<string, Interval>();
  for (const [name, values] of drawHeadlines(benchmark, questions, draws, options, rng)) {
    // A headline that some draws leave undefined has no distribution to read ends from.
    if (values.length < draws) continue;
    values.sort((a, b) => a - b);
    intervals.set(name, {
      low: quantile(values, TAIL_SHARE),
      high: quantile(values, 1 - TAIL_SHARE),
    });
  }
  return intervals;
}

/**
 * 95 % intervals of the headlines, in percent, by name. Where a headline is a mean over rows or a sum over
 * questions, that is resampled; any other (F1 over repeats, HRBench4K with rows missing) is computed anew for
 * every draw.
 * Source: Efron and Tibshirani 1993, chapter 8 (percentile bootstrap of whole clusters).
 * @param repeats - scored rows of each repeat, prepared, in the order of the table.
 */
export function headlineIntervals(
  benchmark: Benchmark,
  repeats: readonly (readonly ScoredRow[])[],
  options: IntervalOptions,
): Map<string, Interval> {
  const rng = new Rng(options.seed).fork(`intervals ${benchmark.name}`);
  const headlines = meanHeadlines(benchmark, repeats, options.era);
  const questions = questionsOf(benchmark, repeats);
  const intervals =
    benchmark.name === 'WeMath'
      ? sumIntervals(benchmark, questions, headlines, options.era, rng)
      : new Map<string, Interval>();
  const means = MEANS[benchmark.name] ?? {};
  const rows = repeats.flat();
  for (const [name, percent] of headlines) {
    const valuesOf = Object.hasOwn(means, name) ? means[name] : undefined;
    if (percent === null || !valuesOf) continue;
    const found = meanInterval(benchmark, rows, valuesOf, percent, rng.fork(name));
    if (found) intervals.set(name, found);
  }
  const others = [...headlines].filter(([name, value]) => value !== null && !intervals.has(name));
  if (others.length === 0) return intervals;
  const drawn = drawnIntervals(benchmark, questions, options, rng.fork('draws'));
  for (const [name] of others) {
    const found = drawn.get(name);
    if (found) intervals.set(name, found);
  }
  return intervals;
}
