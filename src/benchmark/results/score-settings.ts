// Owns what scoring is told besides what it scores; score-predictions.ts and score-run.ts share it.
import { ConfigError } from '../../errors.ts';
import type { Judge } from '../endpoint/judge.ts';
import type { Benchmark, Era, Unwrap } from '../types.ts';

/** How predictions are scored. */
export interface ScoreSettings {
  readonly era: Era;
  readonly unwrap: Unwrap;
  /** Seeds intervals, and picks after a judge that failed. */
  readonly seed: number;
  /** Draws of headlines that are no means; 0: no intervals. */
  readonly draws: number;
  /** Absent: exact mode, nobody is asked. The caller disposes it. */
  readonly judge?: Judge;
  /** Items the judge is asked about at a time. */
  readonly concurrency?: number;
  /** As tables name the contender. */
  readonly label?: string;
  /** Versions of gapvl and what it runs on, for the result. */
  readonly versions: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  readonly onProgress?: (done: number, total: number) => void;
}

/** A judge that would never be asked is a mistake. @throws ConfigError. */
export function checkJudge({ name, judge }: Benchmark, given: boolean): void {
  if (judge !== 'none' || !given) return;
  throw new ConfigError({
    what: `${name} is scored without a judge`,
    got: 'a judge',
    fix: 'leave --judge out',
  });
}
