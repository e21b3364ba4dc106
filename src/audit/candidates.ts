// Owns which auxiliary pictures an example's own one is held against; the parser part calls it.
// Axes: K positions, D hidden.
import type { Rng } from '../rng.ts';
import type { CleanRow } from './part.ts';

/** Most distractors of a row. ours: few enough for thousands of rows, and chance is 3 %. */
export const MOST_DISTRACTORS = 31;
/** Embeddings of one picture differ by less, encoded in different batches; relative to the largest. */
const SAME_PICTURE = 1e-4; // ours

/** Whether two auxiliary pictures [K, D] are one picture, rounding of batches aside. */
function isSame(a: Float32Array, b: Float32Array, largest: number): boolean {
  return (
    a.length === b.length &&
    a.every((x, i) => Math.abs(x - (b[i] as number)) <= SAME_PICTURE * largest)
  );
}

/**
 * Distractors of every row as indices of rows: auxiliary pictures of other examples of its task,
 * each different from its own and from each other, so that a guess is right once in all
 * candidates. Undefined for rows without an auxiliary picture. Drawn from `rng`.
 */
export function drawDistractors(
  rows: readonly CleanRow[],
  rng: Rng,
): (readonly number[] | undefined)[] {
  /** By task, one row of each picture. */
  const distinct = new Map<string, number[]>();
  const pictureOf = rows.map(({ item, prediction }, index): number | undefined => {
    const own = item.auxiliaryRows_KD;
    if (!own) return undefined;
    const known = distinct.get(prediction.task) ?? [];
    distinct.set(prediction.task, known);
    const largest = own.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    const same = known.find((at) => {
      const other = rows[at]?.item.auxiliaryRows_KD;
      return other !== undefined && isSame(own, other, largest);
    });
    if (same === undefined) known.push(index);
    return same ?? index;
  });
  return rows.map(({ item, prediction }, index) => {
    const picture = pictureOf[index];
    if (picture === undefined) return undefined;
    const others = (distinct.get(prediction.task) ?? []).filter((at) => at !== picture);
    return rng.fork(item.example.id).shuffle(others).slice(0, MOST_DISTRACTORS);
  });
}
