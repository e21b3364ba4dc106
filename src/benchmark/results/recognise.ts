// Owns telling the benchmarks apart by what their rows hold, so that predictions for one are not scored as those
// for another; join-predictions.ts calls it.
import { str } from '../python/numbers.ts';
import { BENCHMARK_NAMES } from '../types.ts';
import type { BenchmarkName, DatasetName, Row } from '../types.ts';

const MMSTAR_CATEGORIES = [
  ...['coarse perception', 'fine-grained perception', 'instance reasoning', 'logical reasoning'],
  ...['math', 'science & technology'],
];
const POPE_SPLITS = ['adversarial', 'popular', 'random'];

function text(row: Row, column: string): string {
  return str(row[column] ?? null);
}

/** What rows of a benchmark hold and rows of the others do not. Source: evaluation protocol, columns. */
const SIGNS: Readonly<Record<BenchmarkName, (row: Row) => boolean>> = {
  HRBench4K: (row) => /^(?:single|cross)$/u.test(text(row, 'category')),
  MMStar: (row) => MMSTAR_CATEGORIES.includes(text(row, 'category')),
  'MME-RealWorld-Lite': (row) => /^(?:Perception|Reasoning)\//u.test(text(row, 'category')),
  MathVista_MINI: (row) => /^(?:multi_choice|free_form)$/u.test(text(row, 'question_type')),
  WeMath: (row) => /^[23]steps_(?:[123]|multi)$/u.test(text(row, 'key')),
  POPE: (row) =>
    /^(?:Yes|No)$/u.test(text(row, 'answer')) &&
    text(row, 'category')
      .split(',')
      .every((split) => POPE_SPLITS.includes(split)),
};

/** ours: a few odd rows make no other benchmark. */
const MOST_OF = 0.9;

/**
 * The benchmark that rows are of when it is not the one they are taken for; undefined as long as they may be.
 * @param rows - as they stand in the file.
 */
export function otherBenchmark(rows: readonly Row[], name: DatasetName): BenchmarkName | undefined {
  if (name === 'own' || rows.length === 0) return undefined;
  const share = (sign: (row: Row) => boolean): number => rows.filter(sign).length / rows.length;
  if (share(SIGNS[name]) > 1 - MOST_OF) return undefined;
  return BENCHMARK_NAMES.find((other) => other !== name && share(SIGNS[other]) >= MOST_OF);
}
