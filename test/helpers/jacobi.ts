// Owns an eigensolver that shares nothing with the product's; the latent tests compare with it.

/** Eigenvalues, largest first, and the vectors [D, D] as rows in the same order. */
export interface JacobiResult {
  readonly values: number[];
  readonly vectors: Float64Array[];
}

/** Cyclic Jacobi rotations until the matrix is diagonal: slow, simple and accurate. */
export function jacobi(matrix: readonly (readonly number[])[]): JacobiResult {
  const a = matrix.map((row) => Float64Array.from(row));
  const n = a.length;
  const v = a.map((_, i) => new Float64Array(n).fill(1, i, i + 1));
  const at = (m: Float64Array[], i: number, j: number): number => m[i]?.[j] ?? 0;
  // Squares of what is left off the diagonal fall from sweep to sweep, in the end quadratically.
  const none = new Float64Array(n);
  const norm = a.reduce((sum, row) => row.reduce((all, value) => all + value * value, sum), 0);
  for (let sweep = 0; sweep < 60; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) off += at(a, i, j) ** 2;
    if (off <= 1e-30 * norm) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (at(a, p, q) === 0) continue;
        const theta = Math.atan2(2 * at(a, p, q), at(a, p, p) - at(a, q, q)) / 2;
        const [c, s] = [Math.cos(theta), Math.sin(theta)];
        for (const rows of [a, v]) {
          const [rowP, rowQ] = [rows[p] ?? none, rows[q] ?? none];
          for (let k = 0; k < n; k++) {
            const [x, y] = [rowP[k] ?? 0, rowQ[k] ?? 0];
            rowP[k] = c * x + s * y;
            rowQ[k] = c * y - s * x;
          }
        }
        for (const row of a) {
          const [x, y] = [row[p] ?? 0, row[q] ?? 0];
          row[p] = c * x + s * y;
          row[q] = c * y - s * x;
        }
      }
    }
  }
  const order = v.map((_, i) => i).sort((i, j) => at(a, j, j) - at(a, i, i));
  return { values: order.map((i) => at(a, i, i)), vectors: order.map((i) => v[i] ?? none) };
}

/**
 * Sine of the largest angle between two planes given by orthonormal rows, from above: the norm of
 * what the second plane leaves of the vectors of the first.
 */
export function planeAngle(
  first: readonly ArrayLike<number>[],
  second: readonly ArrayLike<number>[],
): number {
  let sum = 0;
  for (const vector of first) {
    const rest = Array.from(vector);
    for (const axis of second) {
      const length = rest.reduce((total, value, d) => total + value * (axis[d] ?? 0), 0);
      // The shares are taken from the original vector, since the axes are orthonormal.
      for (let d = 0; d < rest.length; d++) rest[d] = (rest[d] ?? 0) - length * (axis[d] ?? 0);
    }
    sum += rest.reduce((total, value) => total + value * value, 0);
  }
  return Math.sqrt(sum);
}
