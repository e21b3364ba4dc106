// Owns the spectrum of sets of embeddings: eigenvalues of their covariance, how many directions they use.
// Axes: N vectors, D hidden.
import type { SessionOptions } from '../engine/session.ts';
import { symmetricEigen } from '../latent/eigen.ts';
import { openGram } from '../latent/gram.ts';
import { MomentAccumulator } from '../latent/moments.ts';

/** Vectors a spectrum is made of at most; ours: the products of more would take minutes at D = 3584. */
export const SPECTRUM_VECTORS = 20_000;
/** Vectors given to the products at once. */
const CHUNK = 1024;

/** A set of vectors [D], given one by one by their place. */
export interface VectorSet {
  readonly count: number;
  readonly at: (index: number) => Float32Array;
}

/** Eigenvalues of the covariance (1/N) of a set, largest first, never negative, and how many vectors it was made of. */
export interface Spectrum {
  readonly count: number;
  readonly eigenvalues: Float64Array;
}

/**
 * The spectrum of a set; of a larger one than `SPECTRUM_VECTORS` every so-manieth vector is taken.
 * Undefined for fewer than two vectors, which have no spread.
 */
export async function spectrumOf(
  set: VectorSet,
  dim: number,
  options: SessionOptions = {},
): Promise<Spectrum | undefined> {
  if (set.count < 2) return undefined;
  const step = Math.ceil(set.count / SPECTRUM_VECTORS);
  const chosen = Array.from({ length: Math.ceil(set.count / step) }, (_, i) => i * step);
  await using session = await openGram(dim, options);
  const moments = new MomentAccumulator(dim, { gram: session.gram });
  for (let start = 0; start < chosen.length; start += CHUNK) {
    const part = chosen.slice(start, start + CHUNK);
    const rows_ND = new Float32Array(part.length * dim);
    part.forEach((index, n) => {
      rows_ND.set(set.at(index), n * dim);
    });
    await moments.add(rows_ND);
  }
  const { covariance, count } = await moments.moments();
  const { eigenvalues } = await symmetricEigen(covariance.slice(), dim);
  return { count, eigenvalues: eigenvalues.map((value) => Math.max(0, value)) };
}

/**
 * Effective rank: e to the entropy of the eigenvalues' shares. Worked example: shares 1/2, 1/2, 0
 * give 2. NaN when there is no variance. Source: Roy and Vetterli 2007.
 */
export function effectiveRank(eigenvalues: ArrayLike<number>): number {
  const values = Array.from(eigenvalues).filter((value) => value > 0);
  const total = values.reduce((sum, value) => sum + value, 0);
  if (total === 0) return NaN;
  return Math.exp(
    -values.reduce((sum, value) => sum + (value / total) * Math.log(value / total), 0),
  );
}

/**
 * Fewest leading eigenvalues that hold a share of the variance. Worked example: 6, 3, 1 hold 0.9
 * with 2. NaN when there is no variance. Source: GAP §4.2 for 0.95.
 */
export function dimensionsFor(eigenvalues: ArrayLike<number>, target: number): number {
  const values = Array.from(eigenvalues);
  const total = values.reduce((sum, value) => sum + value, 0);
  if (total === 0) return NaN;
  let held = 0;
  for (const [i, value] of values.entries()) {
    held += value;
    // Rounding must not ask for one more where the share is met exactly.
    if (held >= target * total * (1 - 1e-12)) return i + 1;
  }
  return values.length;
}
