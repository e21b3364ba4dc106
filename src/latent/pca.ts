// Owns the PCA basis of latents: fitting, size, projection; the latent head is built on it.
// Axes: N vectors, D hidden, K components.
import { ConfigError, DataError, ShapeError } from '../errors.ts';
import { symmetricEigen } from './eigen.ts';
import type { Moments } from './moments.ts';
import type { Watch } from './pacer.ts';

/** Share of the variance a basis keeps unless told otherwise. Source: GAP §4.2, "95 %". */
export const DEFAULT_EXPLAINED = 0.95;
/**
 * Share for the embedded model. ours, chosen on validation (docs/LOG.md): its pictures are so plain
 * that 95 % is 6 of 128 directions, in which the rungs of a ladder cannot be counted any more.
 */
export const SMALL_SCALE_EXPLAINED = 0.99;
/**
 * A target above 1 - this counts as "everything but rounding": the rounding of f32 embeddings
 * leaves shares of variance of this size where there should be none.
 */
const ROUNDING_SHARE = 1e-10; // ours
/** Variance below this share of the mean's square is rounding of equal f32 embeddings. */
const EQUAL_SHARE = 1e-13; // ours

/**
 * How a basis came about: `pca` from the data; the controls `random` (orthonormal directions that
 * know nothing of the data, data mean kept) and `no-mean` (the directions of PCA, mean zero).
 */
export type BasisKind = 'pca' | 'random' | 'no-mean';

/** A fixed affine plane in embedding space: v^ = P c + mu (GAP Eq. 1). */
export interface PcaBasis {
  readonly kind: BasisKind;
  /** D */
  readonly dim: number;
  /** K, the number of components. */
  readonly k: number;
  /** mu, [D] */
  readonly mean_D: Float32Array;
  /** P, row-major [D, K], orthonormal columns, largest eigenvalue first. */
  readonly basis_DK: Float32Array;
  /** All D eigenvalues of the covariance with 1/N, largest first, never negative. */
  readonly eigenvalues: Float64Array;
  /** Their sum: the mean squared distance of an embedding from the mean. */
  readonly totalVariance: number;
  /**
   * 1 - RelMSE: one minus the mean squared error of reconstruction over the total variance. Of a
   * random basis the expected value, K / D; of a basis without mean it may be negative.
   */
  readonly explained: number;
  /** Number of embeddings it was fitted on. */
  readonly count: number;
}

/** How many components: enough for a share of the variance in (0, 1], or a number. */
export type BasisSize = { readonly explained: number } | { readonly numComponents: number };

/**
 * The top principal components of embeddings, in double precision until they are stored.
 * Source: GAP §4.2, Eq. 5 and 7. At D = 3584 it takes about a minute; `watch` can stop it.
 * @throws ConfigError when the size is out of range; DataError when the data cannot give a basis:
 * a single embedding, embeddings that are all equal, fewer embeddings than components.
 */
export async function fitPca(
  moments: Moments,
  size: BasisSize = { explained: DEFAULT_EXPLAINED },
  watch: Watch = {},
): Promise<PcaBasis> {
  checkSize(size, moments.dim);
  const { dim, count } = moments;
  const totalVariance = checkVariance(moments);
  if ('numComponents' in size) checkCount(size.numComponents, count);
  const half = (part: number): Watch => ({
    ...watch,
    onProgress: (fraction) => watch.onProgress?.((part + fraction) / 2),
  });
  const eigen = await symmetricEigen(moments.covariance.slice(), dim, half(0));
  // Rounding leaves zero eigenvalues slightly negative.
  const eigenvalues = eigen.eigenvalues.map((value) => Math.max(0, value));
  const k = sizeToNumber(eigenvalues, size);
  checkCount(k, count);
  const vectors_KD = await eigen.vectors(k, half(1));
  return {
    kind: 'pca',
    dim,
    k,
    mean_D: Float32Array.from(moments.mean_D),
    basis_DK: transpose(vectors_KD, dim, k),
    eigenvalues,
    totalVariance,
    explained: 1 - relativeError(eigenvalues, k),
    count,
  };
}

/** Share of the variance that k components leave out. Source: GAP Eq. 7, RelMSE(k). */
export function relativeError(eigenvalues: Float64Array, k: number): number {
  let kept = 0;
  let rest = 0;
  // Small ones first, so that a small rest is exact.
  for (let i = eigenvalues.length - 1; i >= k; i--) rest += eigenvalues[i] ?? 0;
  for (let i = Math.min(k, eigenvalues.length) - 1; i >= 0; i--) kept += eigenvalues[i] ?? 0;
  return rest === 0 ? 0 : rest / (kept + rest);
}

/**
 * The smallest number of components that explains at least a share of the variance.
 * Worked example: eigenvalues 6, 3, 1, 0 explain 0.6, 0.9, 1, 1; so 0.6 needs 1, 0.61 needs 2,
 * 0.95 and 1 need 3.
 * @param target - in (0, 1]; 1 means all components above rounding.
 */
export function numComponentsFor(eigenvalues: Float64Array, target: number): number {
  const allowed = 1 - Math.min(target, 1 - ROUNDING_SHARE);
  const total = eigenvalues.reduce((sum, value) => sum + value, 0);
  let rest = 0;
  for (let k = eigenvalues.length; k > 1; k--) {
    rest += eigenvalues[k - 1] ?? 0;
    if (rest > allowed * total * (1 + 1e-12)) return k;
  }
  return 1;
}

/**
 * The same basis with fewer components; cheap, for studies over the size.
 * @throws ConfigError when it has too few, or is a control (cut first, then make the control).
 */
export function truncateBasis(basis: PcaBasis, size: BasisSize): PcaBasis {
  checkSize(size, basis.dim);
  const k = sizeToNumber(basis.eigenvalues, size);
  if (basis.kind !== 'pca' || k > basis.k) {
    throw new ConfigError({
      what: `A ${basis.kind} basis of ${basis.k} components cannot be cut to ${k}`,
      expected: `a pca basis of at least ${k} components`,
      fix: 'fit a basis with the larger target first',
    });
  }
  const basis_DK = new Float32Array(basis.dim * k);
  for (let d = 0; d < basis.dim; d++) {
    basis_DK.set(basis.basis_DK.subarray(d * basis.k, d * basis.k + k), d * k);
  }
  return { ...basis, k, basis_DK, explained: 1 - relativeError(basis.eigenvalues, k) };
}

/**
 * Coefficients c = P^T (v - mu), row-major [N, K].
 * @throws ShapeError when the vectors [N, D] do not have the width of the basis.
 */
export function project(basis: PcaBasis, vectors_ND: Float32Array): Float32Array {
  const { dim, k, mean_D, basis_DK } = basis;
  const numVectors = countRows(vectors_ND, dim, 'Vectors to project');
  const coefficients_NK = new Float32Array(numVectors * k);
  const sums_K = new Float64Array(k);
  for (let n = 0; n < numVectors; n++) {
    sums_K.fill(0);
    for (let d = 0; d < dim; d++) {
      const value = (vectors_ND[n * dim + d] ?? 0) - (mean_D[d] ?? 0);
      for (let i = 0; i < k; i++) {
        sums_K[i] = (sums_K[i] ?? 0) + value * (basis_DK[d * k + i] ?? 0);
      }
    }
    coefficients_NK.set(sums_K, n * k);
  }
  return coefficients_NK;
}

/**
 * Vectors v^ = P c + mu, row-major [N, D]. Source: GAP Eq. 1.
 * @throws ShapeError when the coefficients [N, K] are not those of this basis.
 */
export function reconstruct(basis: PcaBasis, coefficients_NK: Float32Array): Float32Array {
  const { dim, k, mean_D, basis_DK } = basis;
  const numVectors = countRows(coefficients_NK, k, 'Coefficients to reconstruct');
  const vectors_ND = new Float32Array(numVectors * dim);
  for (let n = 0; n < numVectors; n++) {
    for (let d = 0; d < dim; d++) {
      let sum = mean_D[d] ?? 0;
      for (let i = 0; i < k; i++) {
        sum += (basis_DK[d * k + i] ?? 0) * (coefficients_NK[n * k + i] ?? 0);
      }
      vectors_ND[n * dim + d] = sum;
    }
  }
  return vectors_ND;
}

/** The nearest points of the plane to vectors [N, D]: reconstruct(project(v)). */
export function projectOntoPlane(basis: PcaBasis, vectors_ND: Float32Array): Float32Array {
  return reconstruct(basis, project(basis, vectors_ND));
}

function countRows(data: Float32Array, width: number, what: string): number {
  if (data.length % width === 0) return data.length / width;
  throw new ShapeError({
    what: `${what} have the wrong width`,
    got: `${data.length} numbers`,
    expected: `a multiple of ${width}`,
  });
}

function checkSize(size: BasisSize, dim: number): void {
  if ('explained' in size) {
    if (size.explained > 0 && size.explained <= 1) return;
    throw new ConfigError({
      what: 'The variance target of a basis is out of range',
      got: String(size.explained),
      expected: 'a share above 0 and at most 1',
      fix: `use ${DEFAULT_EXPLAINED} unless you study it`,
    });
  }
  const { numComponents } = size;
  if (Number.isInteger(numComponents) && numComponents >= 1 && numComponents <= dim) return;
  throw new ConfigError({
    what: 'The number of components is out of range',
    got: String(numComponents),
    expected: `an integer from 1 to ${dim}`,
    fix: 'choose fewer, or give a variance target instead',
  });
}

function sizeToNumber(eigenvalues: Float64Array, size: BasisSize): number {
  if ('numComponents' in size) return size.numComponents;
  return numComponentsFor(eigenvalues, size.explained);
}

/** The trace of the covariance, once it says that the embeddings differ. */
function checkVariance(moments: Moments): number {
  const { dim, count, mean_D, covariance } = moments;
  let total = 0;
  for (let i = 0; i < dim; i++) total += covariance[(i * (i + 3)) / 2] ?? 0;
  const meanSquare = mean_D.reduce((sum, value) => sum + value * value, 0);
  if (count > 1 && total > EQUAL_SHARE * meanSquare) return total;
  throw new DataError({
    what: 'The embeddings have no variance, so they have no principal components',
    got: `${count} embeddings, total variance ${total}`,
    expected: 'at least two that differ',
    fix: 'check that the auxiliary pictures are not all the same, and add examples',
  });
}

/** N embeddings span at most N - 1 directions around their mean. */
function checkCount(k: number, count: number): void {
  if (k < count) return;
  throw new DataError({
    what: `A basis of ${k} components needs more embeddings than there are`,
    got: `${count} embeddings`,
    expected: `at least ${k + 1}`,
    fix: 'add examples with auxiliary pictures, or ask for fewer components',
  });
}

function transpose(vectors_KD: Float64Array, dim: number, k: number): Float32Array {
  const basis_DK = new Float32Array(dim * k);
  for (let i = 0; i < k; i++) {
    for (let d = 0; d < dim; d++) basis_DK[d * k + i] = vectors_KD[i * dim + d] ?? 0;
  }
  return basis_DK;
}
