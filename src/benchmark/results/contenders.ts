// Owns which scored runs make one row of a table: repeats of the same contender under the same rules, never
// others; paper-tables.ts calls it.
import { ConfigError } from '../../errors.ts';
import { mean, sampleStd } from '../../evaluate/statistics.ts';
import type { DatasetName } from '../types.ts';
import type { EvaluationResult, StoredResult } from './result.ts';

/** One model under one way of decoding and scoring, with its results by benchmark. */
export interface Contender {
  /** As the table names it: the label, and what is done to latents where that is not the usual. */
  readonly label: string;
  /** Variant of a local model; null for endpoints and predictions files. */
  readonly variant: string | null;
  /** Latents a span; null where it is not known. */
  readonly numLatents: number | null;
  readonly intervention: string;
  readonly results: ReadonlyMap<DatasetName, readonly EvaluationResult[]>;
}

/** A mean over repeats. */
export interface Repeated {
  readonly value: number;
  /** With n - 1; null for one. */
  readonly std: number | null;
}

function setting(result: EvaluationResult, name: string): unknown {
  const { settings } = result.source;
  return Object.hasOwn(settings, name) ? settings[name] : undefined;
}

function textOf(result: EvaluationResult, name: string): string | null {
  const value = setting(result, name);
  return typeof value === 'string' ? value : null;
}

function numberOf(result: EvaluationResult, name: string): number | null {
  const value = setting(result, name);
  return typeof value === 'number' ? value : null;
}

function interventionOf(result: EvaluationResult): string {
  return textOf(result, 'source.intervention') ?? 'clean';
}

/** Latents a span as they were written: a suppressed span has none. */
function latentsOf(result: EvaluationResult): number | null {
  return interventionOf(result) === 'zero-latent' ? 0 : numberOf(result, 'source.numLatents');
}

/** What has to be the same within a row. */
function keyOf(result: EvaluationResult): string {
  const own = result.isLabelGiven
    ? null
    : (textOf(result, 'source.hash') ?? textOf(result, 'source.url'));
  return JSON.stringify([
    ...[result.label, own, interventionOf(result), latentsOf(result)],
    ...[textOf(result, 'source.calibration.kind'), result.era, result.unwrap],
  ]);
}

/** Who settled what no rule settles, in words. */
export function judgeName({ judge }: EvaluationResult): string {
  if (judge.mode === 'exact') return 'exact';
  const versions = judge.versions.filter((version) => version !== judge.model);
  return [judge.model, ...versions.map((version) => version ?? 'unnamed')].join(' ');
}

/** What two repeats differ in: seeds of training or of decoding; for files, their content. */
function repeatOf(result: EvaluationResult): string {
  const file = result.isLabelGiven ? result.source.sha256 : null;
  return JSON.stringify([textOf(result, 'source.hash'), numberOf(result, 'seed'), file]);
}

/** Repeats of a benchmark are scored alike, each of another seed. */
function checkRepeats(results: readonly StoredResult[]): void {
  const [first, ...others] = results;
  for (const other of others) {
    const [a, b] = [first, other].map((stored) => stored && judgeName(stored.result));
    if (a !== b) {
      throw new ConfigError({
        what: `Two runs of ${other.result.benchmark} cannot be put into one row: their judges differ`,
        got: `${a ?? ''} in ${first?.folder ?? ''}, ${b ?? ''} in ${other.folder}`,
        fix: 'score one of them again, give it another --label, or leave it out',
      });
    }
  }
  const ids = results.map(({ result }) => repeatOf(result));
  const twice = ids.findIndex((id, i) => ids.indexOf(id) !== i);
  const [again, before] = [results[twice], results[ids.indexOf(ids[twice] ?? '')]];
  if (!again) return;
  const seed = numberOf(again.result, 'seed');
  throw new ConfigError({
    what: `Two runs of ${again.result.benchmark} would be the same repeat of one row`,
    got: `${seed === null ? '' : `seed ${seed} in `}${before?.folder ?? ''} and ${again.folder}`,
    expected: 'runs of different seeds, or of different labels',
    fix: 'leave one out, or score one of them again with another --label',
  });
}

function suffixOf(result: EvaluationResult, isAlone: boolean): string {
  const intervention = interventionOf(result);
  const latents = numberOf(result, 'source.numLatents');
  return [
    ...(intervention === 'clean' ? [] : [intervention]),
    ...(isAlone || latents === null ? [] : [`${latents} latents`]),
  ]
    .map((part) => `, ${part}`)
    .join('');
}

/**
 * Puts results into rows, in the order in which the rows first appear.
 * @throws ConfigError when two results of a row and benchmark are no repeats of each other.
 */
export function contendersOf(stored: readonly StoredResult[]): Contender[] {
  const unique = new Map(stored.map((one) => [one.folder, one]));
  const groups = new Map<string, StoredResult[]>();
  for (const one of unique.values()) {
    const key = keyOf(one.result);
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  const labels = [...groups.values()].flatMap(([first]) => (first ? [first.result.label] : []));
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (!first) return [];
    const results = new Map<DatasetName, EvaluationResult[]>();
    for (const name of new Set(group.map(({ result }) => result.benchmark))) {
      const own = group.filter(({ result }) => result.benchmark === name);
      checkRepeats(own);
      results.set(
        name,
        own.map(({ result }) => result),
      );
    }
    const { label } = first.result;
    const isAlone = labels.filter((other) => other === label).length === 1;
    return [
      {
        label: label + suffixOf(first.result, isAlone),
        variant: textOf(first.result, 'source.variant'),
        numLatents: latentsOf(first.result),
        intervention: interventionOf(first.result),
        results,
      },
    ];
  });
}

/** A headline over all repeats; undefined when it is missing, or not defined in one of them. */
export function repeatedHeadline(
  contender: Contender,
  benchmark: DatasetName,
  name: string,
): Repeated | undefined {
  const results = contender.results.get(benchmark) ?? [];
  const values = results.flatMap(({ repeats }) =>
    repeats.map(({ headlines }) => headlines.find((one) => one.name === name)?.percent ?? null),
  );
  const known = values.filter((value) => value !== null);
  if (known.length === 0 || known.length < values.length) return undefined;
  return { value: mean(known), std: sampleStd(known) ?? null };
}

/** Mean seconds an item over all repeats; undefined where a repeat has none. */
export function repeatedLatency(contender: Contender, benchmark: DatasetName): number | undefined {
  const results = contender.results.get(benchmark) ?? [];
  const values = results.flatMap(({ latency }) => latency?.meanS ?? []);
  return values.length > 0 && values.length === results.length ? mean(values) : undefined;
}
