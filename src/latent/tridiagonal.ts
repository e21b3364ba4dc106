// Owns Householder reduction of a symmetric matrix to tridiagonal form; eigen.ts calls it.
import { Pacer, type Watch } from './pacer.ts';

// Axis: D rows and columns of the matrix.

/** Number of entries of the packed lower triangle of a D x D matrix. */
export function packedLength(dim: number): number {
  return (dim * (dim + 1)) / 2;
}

/** A tridiagonal matrix similar to the one it was made from. */
export interface Tridiagonal {
  /** [D] */
  readonly diagonal: Float64Array;
  /** [D]; entry i couples i and i + 1, the last one is 0. */
  readonly offDiagonal: Float64Array;
  /** [D]; u^T u / 2 of the reflection I - u u^T / weight made from row i, 0 for none. */
  readonly weights: Float64Array;
}

/**
 * Householder reduction from the last row upwards; row i of `lower` keeps its reflection vector u.
 * The rank-two update of one reflection and the product with the next vector run in one pass over
 * the matrix, which is limited by memory.
 */
export async function tridiagonalise(
  lower: Float64Array,
  dim: number,
  watch: Watch,
): Promise<Tridiagonal> {
  const pacer = new Pacer((dim ** 3 * 4) / 3, watch);
  const diagonal = new Float64Array(dim);
  const offDiagonal = new Float64Array(dim);
  const weights = new Float64Array(dim);
  // Vectors of the update that is still to be done to the rows above: A -= u q^T + q u^T.
  let oldU = new Float64Array(dim);
  let oldQ = new Float64Array(dim);
  let u = new Float64Array(dim);
  let q = new Float64Array(dim);
  for (let i = dim - 1; i > 0; i--) {
    const base = packedLength(i);
    updateRow(lower, base, i, oldU, oldQ);
    diagonal[i] = lower[base + i] ?? 0;
    const weight = makeReflection(lower, base, i, offDiagonal);
    weights[i] = weight;
    if (weight === 0) u.fill(0, 0, i);
    else u.set(lower.subarray(base, base + i));
    q.fill(0, 0, i);
    if (i % 2 === 1) updateAndMultiplyFirst(lower, oldU, oldQ, u, q);
    for (let row = i % 2; row < i; row += 2) {
      updateAndMultiplyPair(lower, row, oldU, oldQ, u, q);
    }
    finishUpdate(u, q, i, weight);
    [oldU, u] = [u, oldU];
    [oldQ, q] = [q, oldQ];
    if (pacer.isDue(4 * i * i)) await pacer.pause();
  }
  updateRow(lower, 0, 0, oldU, oldQ);
  diagonal[0] = lower[0] ?? 0;
  return { diagonal, offDiagonal, weights };
}

function updateRow(
  lower: Float64Array,
  base: number,
  row: number,
  oldU: Float64Array,
  oldQ: Float64Array,
): void {
  const uRow = oldU[row] ?? 0;
  const qRow = oldQ[row] ?? 0;
  for (let k = 0; k <= row; k++) {
    const old = lower[base + k] ?? 0;
    lower[base + k] = old - uRow * (oldQ[k] ?? 0) - qRow * (oldU[k] ?? 0);
  }
}

/** Updates rows `row` and `row + 1` of the matrix A and adds their share to q = A u. */
function updateAndMultiplyPair(
  lower: Float64Array,
  row: number,
  oldU: Float64Array,
  oldQ: Float64Array,
  u: Float64Array,
  q: Float64Array,
): void {
  const base0 = packedLength(row);
  const base1 = packedLength(row + 1);
  const oldU0 = oldU[row] ?? 0;
  const oldU1 = oldU[row + 1] ?? 0;
  const oldQ0 = oldQ[row] ?? 0;
  const oldQ1 = oldQ[row + 1] ?? 0;
  const u0 = u[row] ?? 0;
  const u1 = u[row + 1] ?? 0;
  let sum0 = 0;
  let sum1 = 0;
  // Two rows at a time, because they share four of the six numbers read: 1.8 times as fast as one.
  for (let k = 0; k < row; k++) {
    const oldUk = oldU[k] ?? 0;
    const oldQk = oldQ[k] ?? 0;
    const uk = u[k] ?? 0;
    const entry0 = (lower[base0 + k] ?? 0) - oldU0 * oldQk - oldQ0 * oldUk;
    const entry1 = (lower[base1 + k] ?? 0) - oldU1 * oldQk - oldQ1 * oldUk;
    lower[base0 + k] = entry0;
    lower[base1 + k] = entry1;
    sum0 += entry0 * uk;
    sum1 += entry1 * uk;
    q[k] = (q[k] ?? 0) + entry0 * u0 + entry1 * u1;
  }
  const corner0 = (lower[base0 + row] ?? 0) - 2 * oldU0 * oldQ0;
  const between = (lower[base1 + row] ?? 0) - oldU1 * oldQ0 - oldQ1 * oldU0;
  const corner1 = (lower[base1 + row + 1] ?? 0) - 2 * oldU1 * oldQ1;
  lower[base0 + row] = corner0;
  lower[base1 + row] = between;
  lower[base1 + row + 1] = corner1;
  q[row] = (q[row] ?? 0) + sum0 + corner0 * u0 + between * u1;
  q[row + 1] = (q[row + 1] ?? 0) + sum1 + between * u0 + corner1 * u1;
}

/** The same for row 0 alone, when the number of rows is odd. */
function updateAndMultiplyFirst(
  lower: Float64Array,
  oldU: Float64Array,
  oldQ: Float64Array,
  u: Float64Array,
  q: Float64Array,
): void {
  const corner = (lower[0] ?? 0) - 2 * (oldU[0] ?? 0) * (oldQ[0] ?? 0);
  lower[0] = corner;
  q[0] = (q[0] ?? 0) + corner * (u[0] ?? 0);
}

/**
 * Turns entries 0 ... length - 1 of a row into the vector u of the reflection that sends them to a
 * multiple of the last unit vector; returns u^T u / 2, or 0 when nothing has to be done.
 */
function makeReflection(
  lower: Float64Array,
  base: number,
  length: number,
  offDiagonal: Float64Array,
): number {
  let tail = 0;
  for (let k = 0; k < length - 1; k++) tail += (lower[base + k] ?? 0) ** 2;
  const last = lower[base + length - 1] ?? 0;
  if (tail === 0) {
    offDiagonal[length - 1] = last;
    return 0;
  }
  const norm = Math.sqrt(tail + last * last);
  // The sign that adds, so that nothing cancels.
  const image = last > 0 ? -norm : norm;
  offDiagonal[length - 1] = image;
  lower[base + length - 1] = last - image;
  return norm * norm - last * image;
}

/** From A u to the q of the update A - u q^T - q u^T, which is the reflected A. */
function finishUpdate(u: Float64Array, q: Float64Array, length: number, weight: number): void {
  if (weight === 0) {
    q.fill(0, 0, length);
    return;
  }
  let product = 0;
  for (let k = 0; k < length; k++) product += (u[k] ?? 0) * (q[k] ?? 0);
  const half = product / (2 * weight * weight);
  for (let k = 0; k < length; k++) q[k] = (q[k] ?? 0) / weight - half * (u[k] ?? 0);
}
