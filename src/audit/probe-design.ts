// Owns the coordinates in which probes are fitted: standardised on the training items, then rotated; probe.ts calls it.
// Axes: N items, M training items, F features, R coordinates.
import { symmetricEigen } from '../latent/eigen.ts';

/** Variance below this share of the largest is rounding. */
const ROUNDING_SHARE = 1e-12; // ours

/** Items in principal coordinates. */
export interface Coordinates {
  /** [N, R], row-major; columns of the training items are uncorrelated, largest variance first. */
  readonly rows_NR: Float64Array;
  /** R, at most min(F, M - 1). */
  readonly width: number;
}

/**
 * Standardises features by mean and standard deviation of the training items, divides by sqrt(F)
 * and rotates to the principal axes of the training items. A penalised linear fit has its weights
 * in the span of its items, so nothing of it changes, but there are never more coordinates than
 * training items: at F = 3584 and M = 64, 64. The smaller of the F x F and the M x M matrix of
 * products is decomposed. Features that are constant in training become zero.
 * Worked example: one feature, training items 1 and 3: 5 becomes (5 - 2) / 1 = 3.
 */
export async function principalCoordinates(
  features_NF: Float64Array,
  numFeatures: number,
  train: readonly number[],
): Promise<Coordinates> {
  const rows_NF = standardise(features_NF, numFeatures, train);
  const numItems = rows_NF.length / numFeatures;
  const isWide = numFeatures > train.length;
  const train_MF = new Float64Array(train.length * numFeatures);
  train.forEach((item, m) => {
    const row = rows_NF.subarray(item * numFeatures, (item + 1) * numFeatures);
    train_MF.set(row, m * numFeatures);
  });
  // Wide: products with the training items stand for the features (the kernel trick).
  const table = isWide
    ? products(rows_NF, train_MF, numFeatures)
    : { rows: rows_NF, width: numFeatures };
  const lower = isWide
    ? lowerTriangle(table.rows, train)
    : covariance(transpose(train_MF, numFeatures), train.length);
  const eigen = await symmetricEigen(lower, table.width);
  const largest = eigen.eigenvalues[0] ?? 0;
  const width = eigen.eigenvalues.filter((value) => value > ROUNDING_SHARE * largest).length;
  const axes = await eigen.vectors(width);
  const rotated = products(table.rows, axes, table.width);
  if (isWide) {
    // Z Z_train^T U = coordinates x sqrt(eigenvalue).
    for (let i = 0; i < numItems * width; i++) {
      const root = Math.sqrt(eigen.eigenvalues[i % width] as number);
      rotated.rows[i] = (rotated.rows[i] as number) / root;
    }
  }
  return { rows_NR: rotated.rows, width };
}

function standardise(
  features_NF: Float64Array,
  numFeatures: number,
  train: readonly number[],
): Float64Array {
  const rows_NF = new Float64Array(features_NF.length);
  for (let f = 0; f < numFeatures; f++) {
    let [sum, squares] = [0, 0];
    for (const item of train) sum += features_NF[item * numFeatures + f] as number;
    const centre = sum / train.length;
    for (const item of train) {
      squares += ((features_NF[item * numFeatures + f] as number) - centre) ** 2;
    }
    const spread = Math.sqrt(squares / train.length);
    // Equal numbers have a spread of rounding only.
    const scale = spread > 1e-12 * Math.abs(centre) ? 1 / (spread * Math.sqrt(numFeatures)) : 0;
    for (let at = f; at < features_NF.length; at += numFeatures) {
      rows_NF[at] = ((features_NF[at] as number) - centre) * scale;
    }
  }
  return rows_NF;
}

/** All products of rows of a [N, F] with rows of b [M, F]: [N, M]. */
function products(
  a: Float64Array,
  b: Float64Array,
  numFeatures: number,
): { readonly rows: Float64Array; readonly width: number } {
  const [numA, numB] = [a.length / numFeatures, b.length / numFeatures];
  const rows = new Float64Array(numA * numB);
  for (let i = 0; i < numA; i++) {
    const left = a.subarray(i * numFeatures, (i + 1) * numFeatures);
    for (let j = 0; j < numB; j++) {
      const right = b.subarray(j * numFeatures, (j + 1) * numFeatures);
      let sum = 0;
      for (let f = 0; f < numFeatures; f++) sum += (left[f] as number) * (right[f] as number);
      rows[i * numB + j] = sum;
    }
  }
  return { rows, width: numB };
}

/** Packed lower triangle of the rows of the training items in a table [N, M]. */
function lowerTriangle(table: Float64Array, train: readonly number[]): Float64Array {
  const size = train.length;
  const lower = new Float64Array((size * (size + 1)) / 2);
  let at = 0;
  train.forEach((item, i) => {
    lower.set(table.subarray(item * size, item * size + i + 1), at);
    at += i + 1;
  });
  return lower;
}

function covariance(columns_FM: Float64Array, numItems: number): Float64Array {
  const { rows, width } = products(columns_FM, columns_FM, numItems);
  return lowerTriangle(
    rows,
    Array.from({ length: width }, (_, i) => i),
  );
}

function transpose(rows_MF: Float64Array, numFeatures: number): Float64Array {
  const numRows = rows_MF.length / numFeatures;
  return rows_MF.map((_, at) => {
    const [f, m] = [Math.floor(at / numRows), at % numRows];
    return rows_MF[m * numFeatures + f] as number;
  });
}
