// Owns how alike the vectors at the same place of the spans of different examples are; the part on mediation calls it.
// Axes: K places, D hidden.

/** Vectors of one example, [K, D] in a row; all examples have the same K and D. */
export interface PlacedVectors {
  readonly task: string;
  readonly vectors_KD: Float32Array;
}

/** Mean cosine of an example's vectors with those at the same place of others; absent without others. */
export interface SamePlaceCosines {
  readonly sameTask?: number;
  readonly otherTask?: number;
}

/** Every vector scaled to length 1; those of no length stay zero. */
function directions(vectors_KD: Float32Array, width: number): Float64Array {
  const scaled_KD = Float64Array.from(vectors_KD);
  for (let start = 0; start < scaled_KD.length; start += width) {
    let squares = 0;
    for (let d = 0; d < width; d++) squares += (scaled_KD[start + d] ?? 0) ** 2;
    const scale = squares === 0 ? 0 : 1 / Math.sqrt(squares);
    for (let d = 0; d < width; d++) scaled_KD[start + d] = (scaled_KD[start + d] ?? 0) * scale;
  }
  return scaled_KD;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] ?? 0) * (b[i] ?? 0);
  return sum;
}

/**
 * For every example the mean, over places and over the other examples, of the cosine of the vectors
 * at the same place: 1 when all examples write the same span, however much its places differ.
 * Worked example, K = 1: (1, 0) and (1, 0) of task a and (0, 1) of task b: the first has 1 with its
 * own task and 0 with the other.
 */
export function samePlaceCosines(
  examples: readonly PlacedVectors[],
  width: number,
): SamePlaceCosines[] {
  const size = examples[0]?.vectors_KD.length ?? 0;
  const sums = new Map<string, { count: number; readonly total_KD: Float64Array }>();
  const all_KD = new Float64Array(size);
  const scaled = examples.map(({ task, vectors_KD }) => {
    const own_KD = directions(vectors_KD, width);
    const sum = sums.get(task) ?? { count: 0, total_KD: new Float64Array(size) };
    sums.set(task, sum);
    sum.count += 1;
    own_KD.forEach((x, i) => {
      sum.total_KD[i] = (sum.total_KD[i] ?? 0) + x;
      all_KD[i] = (all_KD[i] ?? 0) + x;
    });
    return own_KD;
  });
  const numPlaces = size / width;
  return examples.map(({ task }, i) => {
    const own_KD = scaled[i] ?? new Float64Array(size);
    const { count, total_KD } = sums.get(task) ?? { count: 0, total_KD: own_KD };
    const toTask = dot(own_KD, total_KD);
    const numOthers = examples.length - count;
    return {
      ...(count > 1 ? { sameTask: (toTask - dot(own_KD, own_KD)) / numPlaces / (count - 1) } : {}),
      ...(numOthers > 0
        ? { otherTask: (dot(own_KD, all_KD) - toTask) / numPlaces / numOthers }
        : {}),
    };
  });
}
