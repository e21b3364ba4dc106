// Owns rates and means with intervals as tables of an audit hold them, over all rows and by task; parts call it.
import { clusteredInterval } from '../evaluate/effects.ts';
import { wilsonInterval } from '../evaluate/statistics.ts';
import { scoreAnswer } from '../evaluate/answers.ts';
import { TAGS } from '../data/format.ts';
import type { Rng } from '../rng.ts';
import type { Cell, Measured } from './types.ts';

/** A number and the question it belongs to; numbers of one question are resampled together. */
export interface Observation {
  readonly cluster: string;
  readonly value: number;
}

/** Records of one task, or of all. */
export interface TaskGroup<T> {
  readonly label: string;
  readonly records: readonly T[];
}

/**
 * Mean with a 95 % bootstrap interval that resamples whole clusters; null when there is nothing.
 * Worked example: 1, 1, 0, 0 in clusters a, a, b, b give 0.5, from 0 to 1.
 */
export function measuredMean(observations: readonly Observation[], rng: Rng): Measured | null {
  if (observations.length === 0) return null;
  const { mean, low, high } = clusteredInterval(
    observations.map(({ value }) => value),
    observations.map(({ cluster }) => cluster),
    rng,
  );
  return { value: mean, low, high };
}

/**
 * Share of yes with its interval, as `measuredMean`; where all say the same, from which no resample
 * can differ, Wilson's interval over the questions. Worked example: yes of 20 questions, each once:
 * 1, from 0.839.
 */
export function measuredShare(observations: readonly Observation[], rng: Rng): Measured | null {
  const first = observations[0]?.value;
  const isMixed = observations.some(({ value }) => value !== first);
  if (first === undefined || isMixed) return measuredMean(observations, rng);
  const numQuestions = new Set(observations.map(({ cluster }) => cluster)).size;
  return { value: first, ...wilsonInterval(first * numQuestions, numQuestions) };
}

/** A yes or no as 1 or 0 of a question. */
export function hit(cluster: string, is: boolean): Observation {
  return { cluster, value: is ? 1 : 0 };
}

/** All records under the label `all`, then those of each task in order of appearance. */
export function groupByTask<T extends { readonly task: string }>(
  records: readonly T[],
): TaskGroup<T>[] {
  const names = [...new Set(records.map(({ task }) => task))];
  const groups = names.map((label) => ({
    label: label === '' ? '(no task)' : label,
    records: records.filter(({ task }) => task === label),
  }));
  return names.length === 1 ? groups : [{ label: 'all', records }, ...groups];
}

/** Whether an answer says the same as an expected one, by the rule that scores answers; null never does. */
export function isAnswer(answer: string | null, expected: string): boolean {
  return (
    answer !== null &&
    scoreAnswer(`${TAGS.answerOpen} ${answer} ${TAGS.answerClose}`, expected).correct
  );
}

/** A fraction as per cent with one decimal, `-` where there is none. */
export function percent(measured: Measured | number | null): string {
  if (measured === null) return '-';
  const value = typeof measured === 'number' ? measured : measured.value;
  return `${(100 * value).toFixed(1)} %`;
}

/** A value with its interval in three significant digits, `-` where there is none. */
export function withInterval(measured: Measured | null): string {
  if (measured === null) return '-';
  const [value, low, high] = [measured.value, measured.low, measured.high].map((x) =>
    Number(x.toPrecision(3)).toString(),
  );
  return `${value ?? ''} (${low ?? ''} to ${high ?? ''})`;
}

/** A cell that holds a mean with its interval; null when it holds none. */
export function measuredOf(
  row: Readonly<Record<string, Cell>> | undefined,
  key: string,
): Measured | null {
  const cell = row?.[key];
  return typeof cell === 'object' ? cell : null;
}

/** A cell without an interval, as text. */
export function labelOf(cell: Cell | undefined): string {
  return typeof cell === 'object' ? '' : `${cell ?? ''}`;
}
