// Owns scoring many predictions by the rules of a benchmark, with or without a judge; score-predictions.ts and
// score-run.ts call it.
import { RuntimeError } from '../../errors.ts';
import { scoreWithJudge } from '../endpoint/judge.ts';
import type { Judge } from '../endpoint/judge.ts';
import { splitThinking, unwrapAnswer } from '../thinking.ts';
import type { JudgeUse } from './result.ts';
import type { ScoreSettings } from './score-settings.ts';
import type { Benchmark, Cell, ItemScore, Row, ScoredRow, Unwrap } from '../types.ts';

/** One answered item. */
export interface AnsweredItem {
  readonly index: string;
  /** Number of the repeat, from 0. */
  readonly sample: number;
  /** Its row as the table has it. */
  readonly row: Row;
  /** The prediction as it was written. */
  readonly prediction: Cell;
}

/** An item with its score; `row` as the benchmark prepares it. */
export interface ScoredItem extends ScoredRow {
  readonly index: string;
  readonly sample: number;
  /** Whether the judge was asked about it. */
  readonly wasJudged: boolean;
}

/** By which rules. */
export interface ScoringRules extends Pick<
  ScoreSettings,
  'era' | 'unwrap' | 'seed' | 'judge' | 'concurrency' | 'signal' | 'onProgress'
> {
  readonly benchmark: Benchmark;
}

/** ours: as many as an endpoint has calls under way when nothing is said. */
const DEFAULT_CONCURRENCY = 4;

/** The prediction as it is scored: raw, or without thinking and one enclosing pair of answer tags. */
export function unwrapped(prediction: Cell, unwrap: Unwrap): Cell {
  return unwrap === 'answer' && typeof prediction === 'string'
    ? unwrapAnswer(splitThinking(prediction).answer)
    : prediction;
}

async function scoreOne(
  row: Row,
  prediction: Cell,
  { benchmark, era, seed, judge, signal }: ScoringRules,
): Promise<{ readonly score: ItemScore; readonly wasJudged: boolean }> {
  if (judge) {
    const { score, replies } = await scoreWithJudge(
      (soFar) => benchmark.scoreItem(row, prediction, { era, seed, replies: soFar }),
      judge,
      signal,
    );
    return { score, wasJudged: replies.length > 0 };
  }
  const score = benchmark.scoreItem(row, prediction, { era, seed });
  if (score.state === 'scored') return { score, wasJudged: false };
  throw new RuntimeError({
    what: `${benchmark.name} asks for a judge where there is none`,
    fix: 'this is a fault of gapvl',
  });
}

/**
 * Scores items; rows and order stay.
 * @throws RuntimeError with exit code 4 when the judge does not answer; its replies so far are kept.
 */
export async function scoreItems(
  items: readonly AnsweredItem[],
  rules: ScoringRules,
): Promise<ScoredItem[]> {
  const { benchmark, unwrap, judge, signal, onProgress } = rules;
  // Repeats share their rows.
  const prepared = new Map<Row, Row>();
  const prepare = (row: Row): Row => {
    const known = prepared.get(row);
    if (known) return known;
    const made = benchmark.prepareRow(row);
    prepared.set(row, made);
    return made;
  };
  const scored = new Array<ScoredItem>(items.length);
  let [next, done, isStopped] = [0, 0, false];
  const work = async (): Promise<void> => {
    for (let at = next++; at < items.length && !isStopped; at = next++) {
      const item = items[at];
      if (!item) return;
      signal?.throwIfAborted();
      const row = prepare(item.row);
      const { score, wasJudged } = await scoreOne(row, unwrapped(item.prediction, unwrap), rules);
      scored[at] = { index: item.index, sample: item.sample, row, score, wasJudged };
      onProgress?.(++done, items.length);
    }
  };
  const numWorkers = judge ? (rules.concurrency ?? DEFAULT_CONCURRENCY) : 1;
  // After a failure the others end with what they are at, so that their replies are kept.
  const outcomes = await Promise.allSettled(
    Array.from({ length: numWorkers }, () =>
      work().catch((error: unknown) => {
        isStopped = true;
        throw error;
      }),
    ),
  );
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure) throw failure.reason;
  return scored;
}

/** Who settled what no rule settles, for a result. */
export function judgeUse(items: readonly ScoredItem[], judge: Judge | undefined): JudgeUse {
  if (!judge) return { mode: 'exact' };
  const { identity, counts } = judge;
  return {
    ...{ mode: 'judge', model: identity.name, versions: identity.versions },
    items: items.filter(({ wasJudged }) => wasJudged).length,
    ...{ replies: counts.asked + counts.kept, failed: counts.failed },
  };
}
