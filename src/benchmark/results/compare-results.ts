// Owns holding one scored run against another, benchmark by benchmark and item by item, and saying whether the
// two may be compared at all; `gapvl evaluate compare` calls it.
import { DataError } from '../../errors.ts';
import { holm, pairedEffect } from '../../evaluate/effects.ts';
import type { PairedEffect } from '../../evaluate/effects.ts';
import { mean } from '../../evaluate/statistics.ts';
import { Rng } from '../../rng.ts';
import { BENCHMARK_NAMES } from '../types.ts';
import type { DatasetName } from '../types.ts';
import { findResults, readScores } from './result.ts';
import type { EvaluationResult, ScoreLine, StoredResult } from './result.ts';

/** A setting that is not the same. */
export interface SettingDifference {
  readonly name: string;
  readonly first: unknown;
  readonly second: unknown;
}

/** A headline of both runs, in percent, each over its own items. */
export interface HeadlineComparison {
  readonly name: string;
  readonly first: number | null;
  readonly second: number | null;
}

/** One benchmark of both runs. */
export interface BenchmarkComparison {
  readonly benchmark: DatasetName;
  readonly firstFolder: string;
  readonly secondFolder: string;
  /**
   * Second against first over items that both have: mean item scores as fractions, which is accuracy also
   * where the headline is none (POPE, WeMath).
   */
  readonly effect: PairedEffect;
  /** p of `effect`, corrected for all benchmarks; null where repeats make scores that are neither 0 nor 1. */
  readonly p: number | null;
  /** Items that one run has scores of and the other has not. */
  readonly onlyFirst: number;
  readonly onlySecond: number;
  readonly headlines: readonly HeadlineComparison[];
  readonly settings: readonly SettingDifference[];
  /** Why the difference is not one of the models alone; empty where it is. */
  readonly objections: readonly string[];
}

/** Two scored runs side by side. */
export interface ResultComparison {
  readonly benchmarks: readonly BenchmarkComparison[];
  readonly isComparable: boolean;
  /** Benchmarks that one of the two lacks. */
  readonly onlyFirst: readonly DatasetName[];
  readonly onlySecond: readonly DatasetName[];
}

/** Settings that say which contender it is: they are what a comparison is about. */
const ABOUT_CONTENDER: readonly RegExp[] = [
  /^source\.(?:kind|folder|hash|variant|numLatents|intervention|url|model)$/u,
  /^source\.calibration(?:\.|$)/u,
  /^source\.(?:threads|batchSize|device)$/u,
  /^(?:seed|samples)$/u,
  /^versions\./u,
];

/** Whatever a score depends on, by dotted name. */
function settingsOf(result: EvaluationResult): Map<string, unknown> {
  const { source, judge, data } = result;
  const scoring: [string, unknown][] = [
    ['era', result.era],
    ['unwrap', result.unwrap],
    ['judge', judge.mode === 'exact' ? 'exact' : judge.model],
    ['judge.versions', judge.mode === 'exact' ? [] : judge.versions],
    ['data.md5', data?.md5 ?? null],
    ...Object.entries(result.versions).map(([name, version]): [string, unknown] => [
      `scoring.versions.${name}`,
      version,
    ]),
  ];
  const settings = new Map(scoring);
  for (const [name, value] of Object.entries(source.settings)) {
    if (!settings.has(name)) settings.set(name, value);
  }
  return settings;
}

function settingDifferences(
  first: EvaluationResult,
  second: EvaluationResult,
): SettingDifference[] {
  const [a, b] = [settingsOf(first), settingsOf(second)];
  const names = [...new Set([...a.keys(), ...b.keys()])];
  return names.flatMap((name) => {
    const [one, other] = [a.get(name), b.get(name)];
    const isSame = JSON.stringify(one) === JSON.stringify(other);
    return isSame ? [] : [{ name, first: one, second: other }];
  });
}

const SAYINGS: Readonly<Record<string, string>> = {
  era: 'they are scored by the rules of different eras',
  unwrap: 'answers are unwrapped in one and not in the other',
  judge: 'they have different judges',
  'judge.versions': 'their judges are of different versions',
  'data.md5': 'their tables are not the same file',
};

function objectionsTo(
  first: EvaluationResult,
  second: EvaluationResult,
  differences: readonly SettingDifference[],
): string[] {
  const bySettings = differences.flatMap(({ name, first: a, second: b }) => {
    // A predictions file brings no settings, and maybe no table: nothing can be said then.
    if (a === undefined || b === undefined) return [];
    if (name === 'data.md5' && (a === null || b === null)) return [];
    if (name === 'judge.versions' && judgeModel(first) !== judgeModel(second)) return [];
    if (name.startsWith('scoring.versions.')) return [];
    if (ABOUT_CONTENDER.some((pattern) => pattern.test(name))) return [];
    return [SAYINGS[name] ?? `${name} differs`];
  });
  const bounds = first.isLowerBound !== second.isLowerBound;
  const unfinished = [first, second].flatMap(({ status }, i) =>
    status === 'incomplete' ? [`the ${i === 0 ? 'first' : 'second'} is incomplete`] : [],
  );
  return [
    ...bySettings,
    ...(bounds ? ['one is a lower bound and the other is not'] : []),
    ...unfinished,
  ];
}

function judgeModel({ judge }: EvaluationResult): string | null {
  return judge.mode === 'exact' ? null : judge.model;
}

/** Mean score over the repeats of each item, in the order of the file. */
function byItem(lines: readonly ScoreLine[]): Map<string, { scores: number[]; cluster: string }> {
  const items = new Map<string, { scores: number[]; cluster: string }>();
  for (const { index, score, cluster } of lines) {
    const item = items.get(index);
    if (item) item.scores.push(score);
    else items.set(index, { scores: [score], cluster });
  }
  return items;
}

async function compareOne(
  first: StoredResult,
  second: StoredResult,
  seed: number,
): Promise<Omit<BenchmarkComparison, 'p'>> {
  const { benchmark } = first.result;
  const [a, b] = [byItem(await readScores(first.folder)), byItem(await readScores(second.folder))];
  const shared = [...a.keys()].filter((index) => b.has(index));
  if (shared.length === 0) {
    throw new DataError({
      what: `The two runs of ${benchmark} have no item in common`,
      got: `${a.size} items in ${first.folder}, ${b.size} in ${second.folder}`,
      expected: 'scores of the same rows',
      fix: 'score runs of the same table',
    });
  }
  const scoresOf = (items: typeof a): number[] =>
    shared.map((index) => mean(items.get(index)?.scores ?? []));
  const effect = pairedEffect({
    // The effect is asked for as second against first.
    first: scoresOf(b),
    second: scoresOf(a),
    clusters: shared.map((index) => a.get(index)?.cluster ?? index),
    rng: new Rng(seed).fork(`compare ${benchmark}`),
  });
  const settings = settingDifferences(first.result, second.result);
  const names = [...first.result.headlines, ...second.result.headlines].map(({ name }) => name);
  const percentOf = ({ headlines }: EvaluationResult, name: string): number | null =>
    headlines.find((one) => one.name === name)?.percent ?? null;
  const [onlyFirst, onlySecond] = [a.size - shared.length, b.size - shared.length];
  return {
    benchmark,
    ...{ firstFolder: first.folder, secondFolder: second.folder, effect, onlyFirst, onlySecond },
    headlines: [...new Set(names)].map((name) => ({
      name,
      first: percentOf(first.result, name),
      second: percentOf(second.result, name),
    })),
    settings,
    objections: [
      ...objectionsTo(first.result, second.result, settings),
      ...(onlyFirst + onlySecond > 0 ? ['they are not of the same items'] : []),
    ],
  };
}

/** One result a benchmark. @throws DataError when a folder holds several of one. */
function byBenchmark(run: string, stored: readonly StoredResult[]): Map<DatasetName, StoredResult> {
  const results = new Map<DatasetName, StoredResult>();
  for (const one of stored) {
    const { benchmark } = one.result;
    const before = results.get(benchmark);
    if (before) {
      throw new DataError({
        what: `${run} holds several runs of ${benchmark}`,
        got: `${before.folder} and ${one.folder}`,
        expected: 'one run a benchmark',
        fix: 'name the folder of one of them',
      });
    }
    results.set(benchmark, one);
  }
  return results;
}

const ORDER: readonly DatasetName[] = [...BENCHMARK_NAMES, 'own'];

/**
 * Holds the second run against the first: folders of one scored run, or of one a benchmark.
 * @throws DataError when a folder holds no scored run or several of a benchmark, or none is shared.
 */
export async function compareResults(
  first: string,
  second: string,
  seed: number,
): Promise<ResultComparison> {
  const a = byBenchmark(first, await findResults(first));
  const b = byBenchmark(second, await findResults(second));
  const found: Omit<BenchmarkComparison, 'p'>[] = [];
  for (const name of ORDER) {
    const [one, other] = [a.get(name), b.get(name)];
    if (one && other) found.push(await compareOne(one, other, seed));
  }
  if (found.length === 0) {
    throw new DataError({
      what: 'these runs have no benchmark in common',
      got: `${[...a.keys()].join(', ')} and ${[...b.keys()].join(', ')}`,
      expected: 'scored runs of the same benchmark',
      fix: 'name other folders',
    });
  }
  const tested = found.flatMap(({ effect }) => effect.mcNemar?.p ?? []);
  const corrected = holm(tested);
  let next = 0;
  const benchmarks = found.map((one) => ({
    ...one,
    p: one.effect.mcNemar ? (corrected[next++] ?? 1) : null,
  }));
  return {
    benchmarks,
    isComparable: benchmarks.every(({ objections }) => objections.length === 0),
    onlyFirst: [...a.keys()].filter((name) => !b.has(name)),
    onlySecond: [...b.keys()].filter((name) => !a.has(name)),
  };
}
