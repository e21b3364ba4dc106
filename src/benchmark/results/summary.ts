// Owns turning scored items into a result: figures a repeat, headlines with their spread, counts, latency, how
// often latents were written; score-predictions.ts and score-run.ts call it.
import { mean, sampleStd } from '../../evaluate/statistics.ts';
import { summarizeLatency } from '../latency.ts';
import type { Benchmark, Era, Figures, ScoredRow, Unwrap } from '../types.ts';
import { headlineIntervals } from './intervals.ts';
import type {
  EvaluationResult,
  ItemCounts,
  JudgeUse,
  ResultHeadline,
  ResultLatency,
  ScoreLine,
  Status,
} from './result.ts';
import { RESULT_FORMAT } from './result.ts';
import type { ScoredItem } from './score-items.ts';

/** Commits of VLMEvalKit that the eras are. */
const REFERENCE_COMMITS: Readonly<Record<Era, string>> = { head: 'e8e78f05', paper: 'c44bc601' };

/** What became of the items besides their scores. */
export interface ItemFacts {
  /** All counts that scores do not tell. */
  readonly counts: Omit<ItemCounts, 'scored' | 'missing' | 'random'>;
  /** Seconds of items that were decoded alone. */
  readonly latencies: readonly number[];
  /** Scored items with a latent span, of those for which it is known. */
  readonly numTriggered: number;
  readonly numTriggerKnown: number;
}

/** A result without what its maker knows. */
export interface SummaryOptions {
  readonly benchmark: Benchmark;
  readonly era: Era;
  readonly unwrap: Unwrap;
  readonly seed: number;
  /** Draws of headlines that are no means; 0: no intervals at all. */
  readonly draws: number;
  readonly judge: JudgeUse;
  readonly facts: ItemFacts;
  readonly label: string;
  readonly isLabelGiven: boolean;
  readonly source: EvaluationResult['source'];
  readonly data: EvaluationResult['data'];
  /** gapvl and node. */
  readonly versions: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** Rows of each repeat, in the order of the items. */
function repeatsOf(items: readonly ScoredItem[]): ScoredRow[][] {
  const repeats = new Map<number, ScoredRow[]>();
  for (const item of items) {
    const repeat = repeats.get(item.sample);
    if (repeat) repeat.push(item);
    else repeats.set(item.sample, [item]);
  }
  return [...repeats].sort(([a], [b]) => a - b).map(([, rows]) => rows);
}

function headlinesOf(
  figures: readonly Figures[],
  intervals: ReadonlyMap<string, { readonly low: number; readonly high: number }>,
): ResultHeadline[] {
  const names = new Set(figures.flatMap(({ headlines }) => headlines.map(({ name }) => name)));
  return [...names].map((name) => {
    const values = figures.map(
      ({ headlines }) => headlines.find((one) => one.name === name)?.percent ?? null,
    );
    const known = values.filter((value) => value !== null);
    const isKnown = known.length > 0 && known.length === values.length;
    const { low = null, high = null } = intervals.get(name) ?? {};
    return {
      name,
      percent: isKnown ? mean(known) : null,
      std: isKnown ? (sampleStd(known) ?? null) : null,
      low,
      high,
    };
  });
}

function latencyOf(latencies: readonly number[], numItems: number): ResultLatency | null {
  const { n, meanS, p50S, p90S } = summarizeLatency(latencies);
  if (meanS === null || p50S === null || p90S === null) return null;
  return { n, meanS, p50S, p90S, leftOut: numItems - n };
}

/** A run of some rows by choice is part of a benchmark; one that lacks scores is incomplete. */
function statusOf({ errors, absent, failedCalls, expected, table }: ItemCounts): Status {
  if (errors > 0 || absent > 0 || failedCalls > 0) return 'incomplete';
  return table !== null && expected < table ? 'partial' : 'complete';
}

/** The result of scored items. */
export function summarise(items: readonly ScoredItem[], options: SummaryOptions): EvaluationResult {
  const { benchmark, era, unwrap, seed, draws, judge, facts, signal } = options;
  const repeats = repeatsOf(items);
  // Without a single answer the figures are those of an empty table: not defined.
  const figures = (repeats.length > 0 ? repeats : [[]]).map((rows) =>
    benchmark.aggregate(rows, era),
  );
  const intervals =
    draws > 0 && items.length > 0
      ? headlineIntervals(benchmark, repeats, { draws, seed, era, ...(signal ? { signal } : {}) })
      : new Map<string, never>();
  const counts: ItemCounts = {
    ...facts.counts,
    scored: items.length,
    missing: items.filter(({ score }) => score.missing).length,
    random: items.filter(({ score }) => score.settled === 'random').length,
  };
  const isLowerBound =
    figures.some((one) => one.isLowerBound) ||
    (benchmark.judge === 'needed' && judge.mode === 'exact');
  return {
    format: RESULT_FORMAT,
    benchmark: benchmark.name,
    ...{ label: options.label, isLabelGiven: options.isLabelGiven },
    status: statusOf(counts),
    ...{ era, unwrap, judge, isLowerBound, items: counts },
    headlines: headlinesOf(figures, intervals),
    intervals: draws > 0 ? { level: 0.95, draws, seed } : null,
    repeats: figures.map((one) => ({ ...one, isLowerBound })),
    latency: latencyOf(facts.latencies, counts.expected),
    triggerRate: facts.numTriggerKnown === 0 ? null : facts.numTriggered / facts.numTriggerKnown,
    ...{ source: options.source, data: options.data },
    versions: { ...options.versions, reference: REFERENCE_COMMITS[era] },
  };
}

/** Scores as scores.jsonl holds them. */
export function scoreLines(
  items: readonly ScoredItem[],
  { cluster }: Pick<Benchmark, 'cluster'>,
): ScoreLine[] {
  return items.map(({ index, sample, row, score }) => ({
    ...{ index, sample, result: score.result, score: score.score, settled: score.settled },
    ...{ missing: score.missing, cluster: cluster(row) },
  }));
}
