// Owns how alike vectors of one kind are, between examples and within one; mediation-summary.ts calls it.
// Axes: D hidden.
import { clusteredInterval } from '../../evaluate/effects.ts';
import type { MeanInterval } from '../../evaluate/statistics.ts';
import type { Rng } from '../../rng.ts';
import type { MediationRecord, VectorKind } from './mediation-records.ts';

/** Mean cosines of one kind of vector. */
export interface Similarity {
  readonly kind: VectorKind;
  /** Examples. */
  readonly n: number;
  /** Over all pairs of vectors of two examples of one task; undefined where no task has two. */
  readonly sameTask: MeanInterval | undefined;
  /** Of two examples of different tasks; undefined with one task. */
  readonly otherTask: MeanInterval | undefined;
  /** Over all pairs of different vectors of one example; undefined with single vectors. */
  readonly within: MeanInterval | undefined;
  /** At the same place of the span of two examples of one task; only of what has places. */
  readonly samePlace: MeanInterval | undefined;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let d = 0; d < a.length; d++) sum += (a[d] ?? 0) * (b[d] ?? 0);
  return sum;
}

function totalOf(means: readonly (readonly number[])[]): Float64Array {
  const total_D = new Float64Array(means[0]?.length ?? 0);
  for (const mean of means) {
    for (let d = 0; d < total_D.length; d++) total_D[d] = (total_D[d] ?? 0) + (mean[d] ?? 0);
  }
  return total_D;
}

/**
 * Mean cosines of all pairs of vectors. With u the mean of an example's vectors scaled to length 1,
 * u_i . u_j is the mean cosine over all pairs of two examples, and (n |u|^2 - 1) / (n - 1) that over
 * the pairs of different vectors within one. Each example has its mean over all others; intervals
 * resample examples. Worked example: one vector each, (1, 0), (1, 0) and (0, 1) of one task: the
 * examples' means are 1/2, 1/2 and 0, so 1/3.
 */
export function similarityOf(
  records: readonly MediationRecord[],
  kind: VectorKind,
  rng: Rng,
): Similarity {
  const found = records.flatMap(({ id, task, directions }) => {
    const own = directions?.[kind];
    return own && own.count > 0 ? [{ id, task, ...own }] : [];
  });
  const all_D = totalOf(found.map(({ mean }) => mean));
  const tasks = new Map<string, { readonly count: number; readonly total_D: Float64Array }>();
  for (const task of new Set(found.map((one) => one.task))) {
    const own = found.filter((one) => one.task === task);
    tasks.set(task, { count: own.length, total_D: totalOf(own.map(({ mean }) => mean)) });
  }
  const [same, other, within]: { id: string; value: number }[][] = [[], [], []];
  for (const { id, task, count, mean } of found) {
    const own = tasks.get(task);
    const squared = dot(mean, mean);
    const toTask = dot(mean, own?.total_D ?? []);
    const numTask = own?.count ?? 0;
    if (numTask > 1) same?.push({ id, value: (toTask - squared) / (numTask - 1) });
    if (found.length > numTask) {
      other?.push({ id, value: (dot(mean, all_D) - toTask) / (found.length - numTask) });
    }
    if (count > 1) within?.push({ id, value: (count * squared - 1) / (count - 1) });
  }
  const interval = (
    list: readonly { id: string; value: number }[] | undefined,
    label: string,
  ): MeanInterval | undefined =>
    list === undefined || list.length === 0
      ? undefined
      : clusteredInterval(
          list.map(({ value }) => value),
          list.map(({ id }) => id),
          rng.fork(`${kind} ${label}`),
        );
  const places = records.flatMap(({ id, samePlace }) => {
    const value =
      kind === 'injected' || kind === 'targets' ? samePlace?.[kind]?.sameTask : undefined;
    return value === undefined ? [] : [{ id, value }];
  });
  return {
    kind,
    n: found.length,
    sameTask: interval(same, 'same task'),
    otherTask: interval(other, 'other task'),
    within: interval(within, 'within'),
    samePlace: interval(places, 'same place'),
  };
}
