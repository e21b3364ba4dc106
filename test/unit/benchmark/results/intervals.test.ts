// Owns the checks of intervals of headlines: quick ones against drawing whole tables again.
import { describe, expect, it } from 'vitest';
import { BENCHMARKS } from '../../../../src/benchmark/benchmarks.ts';
import { headlineIntervals } from '../../../../src/benchmark/results/intervals.ts';
import type { Benchmark, Cell, DatasetName, ScoredRow } from '../../../../src/benchmark/types.ts';
import { quantile } from '../../../../src/evaluate/statistics.ts';
import { Rng } from '../../../../src/rng.ts';
import { makeRow, withHit } from '../../../helpers/benchmark-rows.ts';

const OPTIONS = { draws: 400, seed: 1, era: 'head' } as const;

function hit(cells: Record<string, Cell>, score: boolean, result: string | null = 'A'): ScoredRow {
  const made = withHit(makeRow(cells), score ? 1 : 0);
  return { row: made.row, score: { ...made.score, result } };
}

/** Questions of four rotations each, easier or harder together. */
function rotations(numQuestions: number, rng: Rng): ScoredRow[] {
  return Array.from({ length: 4 * numQuestions }, (_, i) => {
    const question = Math.floor(i / 4);
    const options = { A: `w${question}`, B: 'x', C: 'y', D: 'z' };
    const category = question % 2 === 0 ? 'single' : 'cross';
    const cells = { index: BigInt(i), question: `q ${question}`, ...options, category };
    return hit({ ...cells, cycle_category: BigInt(i % 4) }, rng.uniform() < (question % 5) / 4);
  });
}

function groups(numGroups: number, rng: Rng): ScoredRow[] {
  const keys = ['2steps_1', '2steps_2', '2steps_multi'];
  return Array.from({ length: 3 * numGroups }, (_, i) =>
    hit(
      { ID: BigInt(Math.floor(i / 3)), key: keys[i % 3] ?? '', 'knowledge concept': 'c' },
      rng.uniform() < 0.6,
    ),
  );
}

function objects(numRows: number, rng: Rng): ScoredRow[] {
  return Array.from({ length: numRows }, (_, i) => {
    const answer = rng.uniform() < 0.5 ? 'Yes' : 'No';
    const isRight = rng.uniform() < 0.8;
    const result = isRight === (answer === 'Yes') ? 'Yes' : 'No';
    const category = ['adversarial', 'popular', 'random'].slice(rng.int(3)).join(',');
    return hit({ index: BigInt(i), answer, category }, isRight, result);
  });
}

/** The slow way: all rows of drawn questions, renamed where they were drawn before. */
function plainInterval(
  benchmark: Benchmark,
  rows: readonly ScoredRow[],
  name: string,
): readonly [number, number] {
  const rng = new Rng('plain');
  const questions = new Map<string, ScoredRow[]>();
  for (const scored of rows) {
    const label = benchmark.cluster(scored.row);
    questions.set(label, [...(questions.get(label) ?? []), scored]);
  }
  const labels = [...questions.keys()];
  const values = Array.from({ length: 800 }, () => {
    const drawn = labels.flatMap((_, copy) =>
      (questions.get(rng.pick(labels)) ?? []).map(({ row, score }) => {
        const named = 'ID' in row ? { ...row, ID: `${String(row['ID'])}-${copy}` } : row;
        return { row: named, score };
      }),
    );
    const { headlines } = benchmark.aggregate(drawn, 'head');
    return headlines.find((one) => one.name === name)?.percent ?? NaN;
  }).sort((a, b) => a - b);
  return [quantile(values, 0.025), quantile(values, 0.975)];
}

const CASES: readonly (readonly [DatasetName, string, (rng: Rng) => ScoredRow[]])[] = [
  ['HRBench4K', 'Overall', (rng) => rotations(40, rng)],
  ['HRBench4K', 'FCP', (rng) => rotations(40, rng)],
  ['WeMath', 'WeMath-S', (rng) => groups(40, rng)],
  ['WeMath', 'WeMath-L', (rng) => groups(40, rng)],
  ['POPE', 'Overall', (rng) => objects(150, rng)],
  ['POPE', 'Adversarial', (rng) => objects(150, rng)],
];

describe('the interval of a headline', () => {
  it.each(CASES)('of %s, %s is that of whole tables drawn again', (name, headline, make) => {
    const benchmark = BENCHMARKS[name];
    const rows = make(new Rng(7));
    const found = headlineIntervals(benchmark, [rows], OPTIONS).get(headline);
    const [low, high] = plainInterval(benchmark, rows, headline);
    const width = high - low;
    expect(width).toBeGreaterThan(0);
    expect(Math.abs((found?.low ?? NaN) - low)).toBeLessThan(0.15 * width);
    expect(Math.abs((found?.high ?? NaN) - high)).toBeLessThan(0.15 * width);
  });
  it('is wider where rows belong together', () => {
    const rows = rotations(40, new Rng(7));
    const alone = { ...BENCHMARKS.HRBench4K, cluster: BENCHMARKS.MMStar.cluster };
    const widths = [BENCHMARKS.HRBench4K, alone].map((benchmark) => {
      const found = headlineIntervals(benchmark, [rows], OPTIONS).get('Overall');
      return (found?.high ?? NaN) - (found?.low ?? NaN);
    });
    expect(widths[0]).toBeGreaterThan(1.3 * (widths[1] ?? NaN));
  });
  it('is drawn from whole tables where rows are missing', () => {
    const rows = rotations(30, new Rng(3)).filter((_, i) => i % 4 !== 3 || i % 3 === 0);
    const found = headlineIntervals(BENCHMARKS.HRBench4K, [rows], OPTIONS).get('Overall');
    const [low, high] = plainInterval(BENCHMARKS.HRBench4K, rows, 'Overall');
    expect(Math.abs((found?.low ?? NaN) - low)).toBeLessThan(0.15 * (high - low));
    expect(Math.abs((found?.high ?? NaN) - high)).toBeLessThan(0.15 * (high - low));
  });
  it('draws questions, not repeats, so that repeats of equal answers do not narrow it', () => {
    const rows = objects(150, new Rng(7));
    const once = headlineIntervals(BENCHMARKS.POPE, [rows], OPTIONS).get('Overall');
    const thrice = headlineIntervals(BENCHMARKS.POPE, [rows, rows, rows], OPTIONS).get('Overall');
    const width = (once?.high ?? NaN) - (once?.low ?? NaN);
    expect(Math.abs((thrice?.low ?? NaN) - (once?.low ?? NaN))).toBeLessThan(0.15 * width);
    expect(Math.abs((thrice?.high ?? NaN) - (once?.high ?? NaN))).toBeLessThan(0.15 * width);
  });
  it('is the same for the same seed', () => {
    const rows = objects(50, new Rng(7));
    const [first, second] = [1, 1].map((seed) =>
      headlineIntervals(BENCHMARKS.POPE, [rows], { ...OPTIONS, seed }),
    );
    expect(first).toEqual(second);
    expect(first?.size).toBe(4);
  });
});
