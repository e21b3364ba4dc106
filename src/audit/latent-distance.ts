// Owns how far apart two spans of latents are, position by position; counterfactual and parser parts call it.
// Axes: K latents of a span, D hidden.
import { cosine } from './mosaic.ts';

/** Distance of two spans, a mean over the positions that both have. */
export interface LatentDistance {
  /** Mean Euclidean distance. */
  readonly l2: number;
  /** Mean of 1 - cosine, 0..2. */
  readonly cosine: number;
}

/**
 * Distance of two spans of K vectors [D]; null when one is empty.
 * Worked example: (1, 0), (0, 2) against (1, 0), (2, 0): L2 (0 + sqrt 8) / 2, cosine (0 + 1) / 2.
 */
export function latentDistance(
  first: readonly Float32Array[],
  second: readonly Float32Array[],
): LatentDistance | null {
  const count = Math.min(first.length, second.length);
  if (count === 0) return null;
  let [l2, cosines] = [0, 0];
  for (let k = 0; k < count; k++) {
    const [a, b] = [first[k] as Float32Array, second[k] as Float32Array];
    let squares = 0;
    for (let d = 0; d < a.length; d++) squares += ((a[d] as number) - (b[d] as number)) ** 2;
    l2 += Math.sqrt(squares);
    cosines += 1 - cosine(a, b);
  }
  return { l2: l2 / count, cosine: cosines / count };
}

/** The rows of a matrix [K, D] as vectors that share its memory. */
export function rowsOf(rows_KD: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: rows_KD.length / width }, (_, k) =>
    rows_KD.subarray(k * width, (k + 1) * width),
  );
}

/** Matrices or vectors one behind the other. */
export function joinRows(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
