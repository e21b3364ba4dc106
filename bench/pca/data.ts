// Owns embeddings with known principal components, and how far a basis is from them; bench/pca.ts and its sides.
//
// Row n is mean + Q (sqrt(lambda) * w_n), with w_n the entries 1 ... D of row n of a Walsh-Hadamard matrix
// (columns exactly orthogonal, mean zero) and Q a product of reflections. So the covariance of all rows
// together, taken any number of times, is Q diag(lambda) Q^T up to f32 rounding.
import type { PcaBasis } from '../../src/latent/pca.ts';
import { Rng } from '../../src/rng.ts';

/**
 * Spectrum (1 + i / 150)^-2.8: 85, 90, 95 % at 276, 380, 616 components for D = 3584, close to
 * the 265, 381, 629 of GAP Table 7. Neighbours at the cut differ by 0.4 %, so the plane is badly
 * conditioned: it turns by 270 times the relative error of the covariance.
 */
const SPECTRUM = { offset: 150, power: 2.8 };
/** Of the mean against the spread: vision embeddings of a 7B model have norm 50. */
const MEAN_NORM = 40;
const SPREAD = 30;
const NUM_REFLECTIONS = 3;

/** Rows of known components. */
export interface KnownData {
  /** All D, largest first. */
  readonly eigenvalues: Float64Array;
  /** Rows [count, D] from `first` on. */
  readonly rows: (first: number, count: number) => Float32Array;
  /** From above, the sine of the largest angle between a basis and the true plane. */
  readonly sineOfAngle: (basis: PcaBasis) => number;
}

/** Parity of the set bits: the sign of a Walsh-Hadamard entry. */
function parity(bits: number): number {
  let rest = bits;
  for (let width = 16; width > 0; width >>= 1) rest ^= rest >>> width;
  return rest & 1;
}

function reflect(vector: Float64Array, axis: Float64Array): void {
  let length = 0;
  for (let d = 0; d < vector.length; d++) length += (axis[d] ?? 0) * (vector[d] ?? 0);
  for (let d = 0; d < vector.length; d++)
    vector[d] = (vector[d] ?? 0) - 2 * length * (axis[d] ?? 0);
}

/** The data of a width; the same in every process. */
export function knownData(dim: number): KnownData {
  const rng = new Rng('bench pca');
  const unit = (): Float64Array => {
    const vector = Float64Array.from({ length: dim }, () => rng.normal());
    const norm = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
    return vector.map((value) => value / norm);
  };
  const raw = Float64Array.from({ length: dim }, (_, i) => {
    return (1 + i / SPECTRUM.offset) ** -SPECTRUM.power;
  });
  const total = raw.reduce((sum, value) => sum + value, 0);
  const eigenvalues = raw.map((value) => (value / total) * SPREAD ** 2);
  const roots = eigenvalues.map(Math.sqrt);
  const mean = unit().map((value) => value * MEAN_NORM);
  const reflections = Array.from({ length: NUM_REFLECTIONS }, unit);
  return {
    eigenvalues,
    rows: (first, count) => {
      const rows = new Float32Array(count * dim);
      for (let n = 0; n < count; n++) {
        const row = roots.map((root, i) => (parity((first + n) & (i + 1)) === 1 ? -root : root));
        for (const axis of reflections) reflect(row, axis);
        for (let d = 0; d < dim; d++) rows[n * dim + d] = (row[d] ?? 0) + (mean[d] ?? 0);
      }
      return rows;
    },
    sineOfAngle: ({ k, basis_DK }) => {
      let outside = 0;
      for (let i = 0; i < k; i++) {
        const column = Float64Array.from({ length: dim }, (_, d) => basis_DK[d * k + i] ?? 0);
        // In the coordinates of the true components; the reflections undo themselves in reverse.
        for (const axis of reflections.toReversed()) reflect(column, axis);
        for (let d = k; d < dim; d++) outside += (column[d] ?? 0) ** 2;
      }
      return Math.sqrt(outside);
    },
  };
}
