// Owns the shape of sets of vectors: effective rank, dimensions, distance to a plane; parts of the audit call it.
// Axes: N vectors of a set, D their width.
import { ShapeError } from '../errors.ts';
import { symmetricEigen } from '../latent/eigen.ts';
import type { Gram } from '../latent/gram.ts';
import { MomentAccumulator } from '../latent/moments.ts';
import type { Watch } from '../latent/pacer.ts';
import { numComponentsFor, projectOntoPlane } from '../latent/pca.ts';
import type { PcaBasis } from '../latent/pca.ts';

/** Variance below this share of the largest is the rounding of f32 vectors. */
const ROUNDING_SHARE = 1e-12; // ours

/** Of how many dimensions a set of vectors makes use, around its mean. */
export interface Spectrum {
  /** N */
  readonly count: number;
  /** Variances along the principal axes (1/N), largest first, those above rounding. */
  readonly variances: Float64Array;
  /** exp(entropy of singular values over their sum); 0 when all vectors are equal. Source: Roy and Vetterli 2007. */
  readonly effectiveRank: number;
  /** (sum of variances)^2 / sum of squared variances. Source: Gao and Ganguli 2015. */
  readonly participation: number;
  /** Fewest axes with 90, 95 and 99 % of the variance. */
  readonly dims90: number;
  readonly dims95: number;
  readonly dims99: number;
}

/** How products are computed, and how a long decomposition is watched. */
export interface SpectrumOptions {
  /** Multiplies blocks where N >= D; plain loops without it (slow from D = 1000 on). */
  readonly gram?: Gram;
  readonly watch?: Watch;
}

/**
 * Spectrum of vectors around their mean. The smaller of the D x D covariance and the N x N matrix
 * of products is decomposed. With few vectors all numbers are bounded by N - 1: compare sets of
 * one size.
 * Worked example: (1, 1), (-1, 1), (0, 3), (0, -1) have variances 2 and 0.5 and singular values
 * 2 : 1; effective rank exp(0.6365) = 1.89, participation 6.25 / 4.25 = 1.47, 2 dimensions for 90 %.
 * @throws ShapeError when there are no whole vectors.
 */
export async function spectrum(
  vectors_ND: Float32Array,
  width: number,
  options: SpectrumOptions = {},
): Promise<Spectrum> {
  const count = countVectors(vectors_ND, width);
  let packed: Float64Array;
  if (count >= width) {
    const moments = new MomentAccumulator(width, options.gram ? { gram: options.gram } : {});
    await moments.add(vectors_ND);
    packed = (await moments.moments()).covariance.slice();
  } else {
    packed = packedProducts(centred(vectors_ND, width), width).map((value) => value / count);
  }
  const { eigenvalues } = await symmetricEigen(packed, Math.min(count, width), options.watch);
  const largest = eigenvalues[0] ?? 0;
  const variances = eigenvalues.filter((value) => value > ROUNDING_SHARE * largest);
  const total = variances.reduce((sum, value) => sum + value, 0);
  const squares = variances.reduce((sum, value) => sum + value * value, 0);
  const dims = (share: number): number => (total === 0 ? 0 : numComponentsFor(variances, share));
  return {
    count,
    variances,
    effectiveRank: effectiveRank(variances.map(Math.sqrt)),
    participation: squares === 0 ? 0 : total ** 2 / squares,
    dims90: dims(0.9),
    dims95: dims(0.95),
    dims99: dims(0.99),
  };
}

/**
 * exp of the entropy of singular values taken as shares; 0 when there are none above zero.
 * Worked example: 3, 3, 3 give 3; 2, 1 give 1.89. Source: Roy and Vetterli 2007.
 */
export function effectiveRank(singularValues: Float64Array): number {
  const total = singularValues.reduce((sum, value) => sum + value, 0);
  if (total === 0) return 0;
  let entropy = 0;
  for (const value of singularValues) {
    if (value > 0) entropy -= (value / total) * Math.log(value / total);
  }
  return Math.exp(entropy);
}

/**
 * How far each vector lies from a plane, over how far it lies from the plane's mean, [N], in
 * [0, 1]; its square is the share of the squared length that the plane does not hold. 0 at the mean.
 * Worked example: plane through (0, 0, 0) along x and y; (3, 0, 4) lies 4 / 5 = 0.8 away.
 */
export function planeDistances(basis: PcaBasis, vectors_ND: Float32Array): Float64Array {
  const { dim, mean_D } = basis;
  const near_ND = projectOntoPlane(basis, vectors_ND);
  return Float64Array.from({ length: countVectors(vectors_ND, dim) }, (_, n) => {
    let [residual, whole] = [0, 0];
    for (let d = 0; d < dim; d++) {
      const value = vectors_ND[n * dim + d] as number;
      residual += (value - (near_ND[n * dim + d] as number)) ** 2;
      whole += (value - (mean_D[d] as number)) ** 2;
    }
    return whole === 0 ? 0 : Math.min(1, Math.sqrt(residual / whole));
  });
}

/** Packed lower triangle of the products of rows [N, D] with each other. */
function packedProducts(rows_ND: Float64Array, width: number): Float64Array {
  const count = rows_ND.length / width;
  const packed = new Float64Array((count * (count + 1)) / 2);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const row = rows_ND.subarray(i * width, (i + 1) * width);
    for (let j = 0; j <= i; j++, at++) {
      packed[at] = dot(row, rows_ND.subarray(j * width, (j + 1) * width));
    }
  }
  return packed;
}

function centred(vectors_ND: Float32Array, width: number): Float64Array {
  const count = vectors_ND.length / width;
  const mean_D = new Float64Array(width);
  vectors_ND.forEach((value, at) => {
    mean_D[at % width] = (mean_D[at % width] as number) + value / count;
  });
  return Float64Array.from(vectors_ND, (value, at) => value - (mean_D[at % width] as number));
}

function dot(a: Float64Array | Float32Array, b: Float64Array | Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function countVectors(vectors_ND: Float32Array, width: number): number {
  if (vectors_ND.length > 0 && vectors_ND.length % width === 0) return vectors_ND.length / width;
  throw new ShapeError({
    what: 'A set of vectors does not consist of whole vectors',
    got: `${vectors_ND.length} numbers`,
    expected: `a multiple of ${width}, at least one`,
  });
}
