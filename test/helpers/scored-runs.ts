// Makes results of scored runs for tests of comparisons and tables, in memory and as folders.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { RESULT_FORMAT, writeResult } from '../../src/benchmark/results/result.ts';
import type { EvaluationResult, ScoreLine } from '../../src/benchmark/results/result.ts';
import type { DatasetName } from '../../src/benchmark/types.ts';

/** A result of headlines by name, in percent; several numbers are repeats. */
export function resultOf(
  benchmark: DatasetName,
  headlines: Readonly<Record<string, number | readonly number[]>>,
  rest: Partial<EvaluationResult> = {},
): EvaluationResult {
  const lists = Object.entries(headlines).map(
    ([name, value]) => [name, typeof value === 'number' ? [value] : value] as const,
  );
  const numRepeats = lists[0]?.[1].length ?? 1;
  return {
    format: RESULT_FORMAT,
    benchmark,
    ...{ label: 'ours', isLabelGiven: true, status: 'complete' },
    ...{ era: 'head', unwrap: 'raw', judge: { mode: 'exact' }, isLowerBound: false },
    items: {
      ...{ table: 4, expected: 4, scored: 4, errors: 0, errorKinds: {}, absent: 0, extra: 0 },
      ...{ duplicates: 0, missing: 0, random: 0, failedCalls: 0, fullCells: 0, cutOff: null },
    },
    headlines: lists.map(([name, values]) => ({
      ...{ name, percent: values.reduce((sum, value) => sum + value, 0) / values.length },
      ...{ std: null, low: null, high: null },
    })),
    intervals: null,
    repeats: Array.from({ length: numRepeats }, (_, i) => ({
      ...{ benchmark, era: 'head', numRows: 4, numMissing: 0, numRandom: 0, isLowerBound: false },
      figures: [],
      headlines: lists.map(([name, values]) => ({ name, percent: values[i] ?? null })),
    })),
    latency: null,
    triggerRate: null,
    source: { kind: 'predictions', name: 'answers.tsv', sha256: benchmark, settings: {} },
    data: null,
    versions: { gapvl: '0', reference: 'e8e78f05' },
    ...rest,
  };
}

/** The source of a run of a local model. */
export function runSource(settings: Readonly<Record<string, unknown>>): EvaluationResult['source'] {
  return {
    ...{ kind: 'run', name: 'run', sha256: null },
    settings: { 'source.intervention': 'clean', 'source.numLatents': 36, seed: 1, ...settings },
  };
}

/** Writes a result with the scores of its items into a new folder. */
export async function writeRun(
  folder: string,
  result: EvaluationResult,
  scores: readonly (0 | 1)[],
  rest: (i: number) => Partial<ScoreLine> = () => ({}),
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const lines = scores.map((score, i): ScoreLine => ({
    ...{ index: String(i), sample: 0, result: 'A', score, settled: 'letter', missing: false },
    cluster: String(i),
    ...rest(i),
  }));
  await writeResult(folder, result, lines);
  return join(folder);
}
