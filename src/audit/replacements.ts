// Owns vectors that stand in for latents: means, permutations, repeats, noise; replacement.ts asks for them.
// Axes: K latents of a span, D hidden, N vectors.
import type { Rng } from '../rng.ts';

/**
 * Mean latent of each place over spans [K, D] of equal size. Worked example: spans (1, 2) and
 * (3, 4) of K = 2, D = 1 give (2, 3). Empty without spans.
 */
export function meanOfSpans(spans: readonly Float32Array[]): Float32Array {
  const sums = new Float64Array(spans[0]?.length ?? 0);
  for (const span of spans) span.forEach((x, i) => (sums[i] = (sums[i] ?? 0) + x));
  return Float32Array.from(sums, (sum) => sum / spans.length);
}

/** One vector [D] in every place: [K, D]. */
export function repeatRow(row_D: Float32Array, numLatents: number): Float32Array {
  const repeated = new Float32Array(row_D.length * numLatents);
  for (let k = 0; k < numLatents; k++) repeated.set(row_D, k * row_D.length);
  return repeated;
}

/** The vectors [K, D] in another order; with two or more, never the old one. */
export function permutedRows(rows_KD: Float32Array, width: number, rng: Rng): Float32Array {
  const order = Array.from({ length: rows_KD.length / width }, (_, k) => k);
  let shuffled = order;
  while (order.length > 1 && shuffled.every((from, k) => from === k)) shuffled = rng.shuffle(order);
  const permuted = new Float32Array(rows_KD.length);
  shuffled.forEach((from, k) => {
    permuted.set(rows_KD.subarray(from * width, (from + 1) * width), k * width);
  });
  return permuted;
}

/**
 * Gaussian noise with the mean and the variance of each coordinate of a pool of vectors, coordinates
 * independent of each other: the right regime and the wrong content.
 * @param pool - parts of any number of vectors, [N, D] each.
 */
export function pooledNoise(
  pool: readonly Float32Array[],
  width: number,
): (numLatents: number, rng: Rng) => Float32Array {
  const [mean_D, variance_D] = [new Float64Array(width), new Float64Array(width)];
  const count = pool.reduce((sum, part) => sum + part.length, 0) / width;
  for (const part of pool)
    part.forEach((x, i) => (mean_D[i % width] = (mean_D[i % width] ?? 0) + x / count));
  for (const part of pool)
    part.forEach((x, i) => {
      const d = i % width;
      variance_D[d] = (variance_D[d] ?? 0) + (x - (mean_D[d] ?? 0)) ** 2 / count;
    });
  return (numLatents, rng) =>
    Float32Array.from(
      { length: numLatents * width },
      (_, i) => (mean_D[i % width] ?? 0) + rng.normal() * Math.sqrt(variance_D[i % width] ?? 0),
    );
}
