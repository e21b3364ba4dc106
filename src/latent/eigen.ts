// Owns the exact eigendecomposition of symmetric matrices; pca.ts calls it on the covariance.
import { RuntimeError, ShapeError } from '../errors.ts';
import { Pacer, type Watch } from './pacer.ts';
import { packedLength, tridiagonalise } from './tridiagonal.ts';

// Axes: D rows and columns of the matrix, K vectors, T vectors in a tile.
// Method (Golub and Van Loan, Matrix Computations, chapter 8): Householder reflections bring the
// matrix to tridiagonal form, implicit QR steps with Wilkinson's shift make that diagonal. The
// rotations of those steps are kept, and only the vectors asked for are carried back through
// them and the reflections: all eigenvalues, but K instead of D vectors, each as exact as in the
// full decomposition.

/** Vectors carried back together, so that the rows of a tile stay in the cache. */
const TILE_VECTORS = 64; // ours
/** QR steps per eigenvalue before giving up; about two are usual. Source: EISPACK allows 30. */
const MAX_STEPS_PER_VALUE = 30;

/** Eigenvalues of a symmetric matrix, and on demand the vectors of the largest ones. */
export interface SymmetricEigen {
  /** All D eigenvalues, largest first. */
  readonly eigenvalues: Float64Array;
  /**
   * Orthonormal eigenvectors of the `count` largest eigenvalues, row-major [count, D]; the entry
   * of largest magnitude (the first of them) is positive, so that the sign is the same everywhere.
   */
  vectors(count: number, watch?: Watch): Promise<Float64Array>;
}

/** One implicit QR step: rotations of the planes (first, first + 1), ... as pairs cosine, sine. */
interface QrStep {
  readonly first: number;
  readonly rotations: Float64Array;
}

/**
 * Eigendecomposition of a real symmetric matrix in double precision.
 * Time: about D^3 x 4/3 multiplications before, 2 D^2 x (K + D) with the vectors.
 * @param lower - packed lower triangle, row after row (entry (i, j), j <= i, at i (i + 1) / 2 + j);
 * it is overwritten and belongs to the result afterwards.
 * @throws ShapeError when its length is not that of `dim`; RuntimeError on NaN or infinity.
 */
export async function symmetricEigen(
  lower: Float64Array,
  dim: number,
  watch: Watch = {},
): Promise<SymmetricEigen> {
  if (!Number.isInteger(dim) || dim < 1 || lower.length !== packedLength(dim)) {
    throw new ShapeError({
      what: 'Packed lower triangle has the wrong length',
      got: `${lower.length} entries`,
      expected: `${packedLength(dim)} entries for ${dim} x ${dim}`,
    });
  }
  const scale = normalise(lower);
  const { diagonal, offDiagonal, weights } = await tridiagonalise(lower, dim, watch);
  const steps = diagonalise(diagonal, offDiagonal);
  const order = Array.from(diagonal.keys()).sort(
    (left, right) => (diagonal[right] ?? 0) - (diagonal[left] ?? 0) || left - right,
  );
  return {
    eigenvalues: Float64Array.from(order, (index) => (diagonal[index] ?? 0) * scale),
    async vectors(count, vectorWatch = {}) {
      if (!Number.isInteger(count) || count < 0 || count > dim) {
        throw new ShapeError({
          what: 'Number of eigenvectors is out of range',
          got: String(count),
          expected: `0 to ${dim}`,
        });
      }
      const pacer = new Pacer(workOfVectors(steps, dim, count), vectorWatch);
      const vectors_KD = new Float64Array(count * dim);
      for (let first = 0; first < count; first += TILE_VECTORS) {
        const positions = order.slice(first, Math.min(first + TILE_VECTORS, count));
        const tile_DT = startTile(positions, dim);
        await rotateBack(tile_DT, positions.length, steps, pacer);
        await reflectBack(tile_DT, positions.length, lower, weights, pacer);
        storeTile(tile_DT, positions.length, vectors_KD.subarray(first * dim));
      }
      fixSigns(vectors_KD, dim);
      return vectors_KD;
    },
  };
}

/** Divides by the largest magnitude, so that squares can neither overflow nor vanish. */
function normalise(lower: Float64Array): number {
  let largest = 0;
  for (const entry of lower) {
    const magnitude = Math.abs(entry);
    if (!(magnitude <= Number.MAX_VALUE)) {
      throw new RuntimeError({
        what: 'The matrix to decompose is not finite',
        got: String(entry),
        fix: 'look for NaN or very large values in what it was computed from',
      });
    }
    if (magnitude > largest) largest = magnitude;
  }
  if (largest === 0) return 1;
  for (let i = 0; i < lower.length; i++) lower[i] = (lower[i] ?? 0) / largest;
  return largest;
}

/** Implicit QR on a tridiagonal matrix: `diagonal` becomes the eigenvalues, in no order. */
function diagonalise(diagonal: Float64Array, offDiagonal: Float64Array): QrStep[] {
  let norm = 0;
  for (let i = 0; i < diagonal.length; i++) {
    norm = Math.max(norm, Math.abs(diagonal[i] ?? 0) + Math.abs(offDiagonal[i] ?? 0));
  }
  // Couplings below the rounding error of the whole matrix count as zero.
  const negligible = norm * Number.EPSILON;
  const steps: QrStep[] = [];
  let last = diagonal.length - 1;
  while (last > 0) {
    let first = last;
    while (first > 0 && Math.abs(offDiagonal[first - 1] ?? 0) > negligible) first--;
    if (first === last) {
      last--;
      continue;
    }
    if (steps.length >= MAX_STEPS_PER_VALUE * diagonal.length) {
      throw new RuntimeError({
        what: 'The eigenvalues do not converge',
        got: `${steps.length} QR steps`,
        fix: 'report this matrix; finite symmetric matrices converge',
      });
    }
    steps.push({ first, rotations: qrStep(diagonal, offDiagonal, first, last) });
  }
  return steps;
}

/** One QR step with Wilkinson's shift on the block first ... last. */
function qrStep(
  diagonal: Float64Array,
  offDiagonal: Float64Array,
  first: number,
  last: number,
): Float64Array {
  const rotations = new Float64Array(2 * (last - first));
  const corner = diagonal[last] ?? 0;
  const coupling = offDiagonal[last - 1] ?? 0;
  const half = ((diagonal[last - 1] ?? 0) - corner) / 2;
  const root = Math.sqrt(half * half + coupling * coupling);
  const shift = corner - (coupling * coupling) / (half + (half < 0 ? -root : root));
  // (x, z): the pair that the next rotation turns into (length, 0).
  let x = (diagonal[first] ?? 0) - shift;
  let z = offDiagonal[first] ?? 0;
  for (let i = first; i < last; i++) {
    const length = Math.sqrt(x * x + z * z);
    const c = length === 0 ? 1 : x / length;
    const s = length === 0 ? 0 : z / length;
    rotations[2 * (i - first)] = c;
    rotations[2 * (i - first) + 1] = s;
    if (i > first) offDiagonal[i - 1] = length;
    const upper = diagonal[i] ?? 0;
    const between = offDiagonal[i] ?? 0;
    const below = diagonal[i + 1] ?? 0;
    const mixed = 2 * c * s * between;
    diagonal[i] = c * c * upper + mixed + s * s * below;
    diagonal[i + 1] = s * s * upper - mixed + c * c * below;
    x = c * s * (below - upper) + (c * c - s * s) * between;
    offDiagonal[i] = x;
    if (i < last - 1) {
      const next = offDiagonal[i + 1] ?? 0;
      z = s * next;
      offDiagonal[i + 1] = c * next;
    }
  }
  return rotations;
}

function workOfVectors(steps: readonly QrStep[], dim: number, count: number): number {
  const numRotations = steps.reduce((sum, step) => sum + step.rotations.length / 2, 0);
  return count * (4 * numRotations + 2 * dim * dim);
}

/** Unit vectors: what the eigenvectors are in the basis in which the matrix is diagonal. */
function startTile(positions: readonly number[], dim: number): Float64Array {
  const tile_DT = new Float64Array(dim * positions.length);
  positions.forEach((position, t) => (tile_DT[position * positions.length + t] = 1));
  return tile_DT;
}

async function rotateBack(
  tile_DT: Float64Array,
  width: number,
  steps: readonly QrStep[],
  pacer: Pacer,
): Promise<void> {
  for (const { first, rotations } of steps.toReversed()) {
    for (let i = rotations.length / 2 - 1; i >= 0; i--) {
      const c = rotations[2 * i] ?? 0;
      const s = rotations[2 * i + 1] ?? 0;
      const upper = (first + i) * width;
      for (let at = upper; at < upper + width; at++) {
        const above = tile_DT[at] ?? 0;
        const below = tile_DT[at + width] ?? 0;
        tile_DT[at] = c * above - s * below;
        tile_DT[at + width] = s * above + c * below;
      }
    }
    if (pacer.isDue(2 * rotations.length * width)) await pacer.pause();
  }
}

async function reflectBack(
  tile_DT: Float64Array,
  width: number,
  lower: Float64Array,
  weights: Float64Array,
  pacer: Pacer,
): Promise<void> {
  const sums = new Float64Array(width);
  for (let i = 1; i < weights.length; i++) {
    const weight = weights[i] ?? 0;
    if (weight === 0) continue;
    const base = packedLength(i);
    sums.fill(0);
    for (let row = 0; row < i; row++) {
      const factor = (lower[base + row] ?? 0) / weight;
      const start = row * width;
      for (let t = 0; t < width; t++) {
        sums[t] = (sums[t] ?? 0) + factor * (tile_DT[start + t] ?? 0);
      }
    }
    for (let row = 0; row < i; row++) {
      const factor = lower[base + row] ?? 0;
      const start = row * width;
      for (let t = 0; t < width; t++) {
        tile_DT[start + t] = (tile_DT[start + t] ?? 0) - factor * (sums[t] ?? 0);
      }
    }
    if (pacer.isDue(2 * i * width)) await pacer.pause();
  }
}

function storeTile(tile_DT: Float64Array, width: number, target_TD: Float64Array): void {
  const dim = tile_DT.length / width;
  for (let t = 0; t < width; t++) {
    for (let row = 0; row < dim; row++) target_TD[t * dim + row] = tile_DT[row * width + t] ?? 0;
  }
}

function fixSigns(vectors_KD: Float64Array, dim: number): void {
  for (let start = 0; start < vectors_KD.length; start += dim) {
    let peak = 0;
    for (let i = start; i < start + dim; i++) {
      const value = vectors_KD[i] ?? 0;
      if (Math.abs(value) > Math.abs(peak)) peak = value;
    }
    if (peak >= 0) continue;
    for (let i = start; i < start + dim; i++) vectors_KD[i] = -(vectors_KD[i] ?? 0);
  }
}
