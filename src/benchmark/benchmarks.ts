// Owns the list of benchmarks and the public functions by name: prompts, scores and figures without a model.
import { ConfigError } from '../errors.ts';
import { hrbench } from './hrbench.ts';
import { mathvista } from './mathvista.ts';
import { mmeRealWorld } from './mme-realworld.ts';
import { mmstar } from './mmstar.ts';
import { own } from './own.ts';
import { pope } from './pope.ts';
import type {
  Benchmark,
  Cell,
  DatasetName,
  Era,
  Figures,
  ItemScore,
  JudgeQuestion,
  PromptBuilder,
  Row,
  ScoreOptions,
  ScoredRow,
} from './types.ts';
import { wemath } from './wemath.ts';

/** Every benchmark by its name. */
export const BENCHMARKS: Readonly<Record<DatasetName, Benchmark>> = {
  HRBench4K: hrbench,
  MMStar: mmstar,
  'MME-RealWorld-Lite': mmeRealWorld,
  MathVista_MINI: mathvista,
  WeMath: wemath,
  POPE: pope,
  own,
};

/**
 * The benchmark of a name that may come from outside.
 * @throws ConfigError if there is none.
 */
export function findBenchmark(name: string): Benchmark {
  const found = Object.values(BENCHMARKS).find((benchmark) => benchmark.name === name);
  if (found !== undefined) return found;
  throw new ConfigError({
    what: 'there is no such benchmark',
    got: name,
    expected: `one of ${Object.keys(BENCHMARKS).join(', ')}`,
    fix: 'check the name; case matters',
  });
}

/**
 * The text part of a prompt, byte for byte as VLMEvalKit builds it; all pictures of the row stand before it.
 * @param row - a row of the benchmark's table.
 * @param builder - `dataset` is what the published baselines saw.
 * @throws DataError if the row lacks a cell the prompt needs.
 */
export function buildPrompt(
  name: DatasetName,
  row: Row,
  builder: PromptBuilder = 'dataset',
): string {
  return findBenchmark(name).promptText(row, builder);
}

/**
 * Scores one prediction as VLMEvalKit does. Without `replies` nobody is asked; with them (none at first) the
 * result may be a question to the judge: call again with its reply added, null for a call that failed.
 * @throws DataError if the row lacks a cell, or holds one that cannot be read.
 */
export function scoreItem(
  name: DatasetName,
  row: Row,
  prediction: Cell,
  options: ScoreOptions,
): ItemScore | JudgeQuestion {
  const benchmark = findBenchmark(name);
  return benchmark.scoreItem(benchmark.prepareRow(row), prediction, options);
}

/**
 * The figures of a table of scores, in the units VLMEvalKit reports, and the headlines in percent.
 * @param rows - rows with their scores, in the order of the table.
 * @throws DataError if a row lacks a cell the figures are grouped by.
 */
export function aggregate(name: DatasetName, rows: readonly ScoredRow[], era: Era): Figures {
  const benchmark = findBenchmark(name);
  const prepared = rows.map(({ row, score }) => ({ row: benchmark.prepareRow(row), score }));
  return benchmark.aggregate(prepared, era);
}
