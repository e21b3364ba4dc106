// Owns sums of numbers from which means and deviations are made exactly, whatever they are cut into; journals hold them.

/** Count, sum and sum of squares of some numbers. */
export interface Sums {
  readonly count: number;
  readonly sum: number;
  readonly squares: number;
}

/** Mean and standard deviation with n - 1; null where there are too few numbers. */
export interface Spread {
  readonly count: number;
  readonly mean: number | null;
  readonly std: number | null;
}

/** No numbers. */
export const NO_SUMS: Sums = { count: 0, sum: 0, squares: 0 };

/** Sums of numbers; those that are not finite are left out. */
export function sumsOf(values: Iterable<number>): Sums {
  let [count, sum, squares] = [0, 0, 0];
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    count += 1;
    sum += value;
    squares += value * value;
  }
  return { count, sum, squares };
}

/** Sums of both together. */
export function addSums(a: Sums, b: Sums): Sums {
  return { count: a.count + b.count, sum: a.sum + b.sum, squares: a.squares + b.squares };
}

/** Worked example: of 1, 2, 6 the mean is 3 and the deviation sqrt(14 / 2). */
export function spreadOf({ count, sum, squares }: Sums): Spread {
  if (count === 0) return { count, mean: null, std: null };
  const mean = sum / count;
  // Rounding may push the difference of large numbers below zero.
  const variance = Math.max(0, squares - count * mean * mean) / (count - 1);
  return { count, mean, std: count < 2 ? null : Math.sqrt(variance) };
}

/** Numbers as a journal holds them, with so many significant digits. */
export function rounded(values: Iterable<number>, digits: number): number[] {
  return Array.from(values, (value) => Number(value.toPrecision(digits)));
}
