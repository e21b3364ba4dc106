// Owns the statistics that recomputing an audit needs, the plain way and nothing shared with src/; its parts call it.

/** Resamples of a bootstrap, as many as the audit takes. */
const NUM_RESAMPLES = 10_000;
/** z of a two-sided 5 % test, and of a power of 0.8. */
const [Z_TEST, Z_POWER] = [1.959963984540054, 0.8416212335729143];
/** One stream for every bootstrap: what a sample gives depends on nothing but the sample. */
const STREAM_SEED = 20240229;

/** A value and the question it belongs to. */
export type Observation = readonly [cluster: string, value: number];

/** Arithmetic mean. */
export function mean(xs: readonly number[]): number {
  return xs.reduce((a, b) => a + b, 0) / xs.length;
}

/** Numbers in [0, 1) from a seed: Mulberry32, which is not the generator of src/. */
export function uniforms(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Sums and sizes by question. */
function byCluster(sample: readonly Observation[]): { sum: number; size: number }[] {
  const found = new Map<string, { sum: number; size: number }>();
  for (const [cluster, value] of sample) {
    const own = found.get(cluster) ?? { sum: 0, size: 0 };
    found.set(cluster, { sum: own.sum + value, size: own.size + 1 });
  }
  return [...found.values()];
}

const remembered = new Map<string, Float64Array>();

/** Means of samples drawn with replacement, whole questions at a time, sorted. */
export function resampledMeans(sample: readonly Observation[]): Float64Array {
  const clusters = byCluster(sample);
  const key = JSON.stringify(clusters.map(({ sum, size }) => [sum, size]));
  const known = remembered.get(key);
  if (known) return known;
  const sums = Float64Array.from(clusters, ({ sum }) => sum);
  const sizes = Float64Array.from(clusters, ({ size }) => size);
  const uniform = uniforms(STREAM_SEED);
  const means = new Float64Array(NUM_RESAMPLES);
  for (let i = 0; i < NUM_RESAMPLES; i++) {
    let [total, count] = [0, 0];
    for (let drawn = 0; drawn < sums.length; drawn++) {
      const at = Math.floor(uniform() * sums.length);
      total += sums[at] ?? NaN;
      count += sizes[at] ?? NaN;
    }
    means[i] = total / count;
  }
  means.sort();
  remembered.set(key, means);
  return means;
}

/** Wilson's 95 % interval of `count` out of `n`. */
export function wilson(count: number, n: number): [number, number] {
  const z = Z_TEST;
  const middle = (count + (z * z) / 2) / (n + z * z);
  const half = (z / (n + z * z)) * Math.sqrt((count * (n - count)) / n + (z * z) / 4);
  return [count === 0 ? 0 : middle - half, count === n ? 1 : middle + half];
}

/**
 * Exact two-sided test that two arms are alike: the chance of a sum at least as far from 0 when
 * each question's sum of differences has either sign. Questions of one item make it McNemar's.
 */
export function signTest(differences: readonly Observation[]): number {
  const sums = byCluster(differences).map(({ sum }) => sum);
  let chances = new Map([[0, 1]]);
  for (const sum of sums.filter((x) => x !== 0)) {
    const next = new Map<number, number>();
    for (const [at, chance] of chances)
      for (const to of [at + sum, at - sum]) next.set(to, (next.get(to) ?? 0) + chance / 2);
    chances = next;
  }
  const seen = Math.abs(sums.reduce((a, b) => a + b, 0));
  return Math.min(
    1,
    [...chances].reduce((p, [at, chance]) => (Math.abs(at) >= seen ? p + chance : p), 0),
  );
}

/** p values corrected for their number: Holm's steps, in the given order. */
export function holm(ps: readonly number[]): number[] {
  return ps.map((p) =>
    // The largest of (m - rank) p over all that are not larger than this one.
    Math.min(
      1,
      Math.max(...ps.filter((q) => q <= p).map((q) => q * ps.filter((r) => r >= q).length)),
    ),
  );
}

/** Items that show a difference at a discordance: Connor 1987. */
export function itemsFor(difference: number, discordant: number): number {
  const rest = Math.max(0, discordant - difference ** 2);
  return ((Z_TEST * Math.sqrt(discordant) + Z_POWER * Math.sqrt(rest)) / difference) ** 2;
}

/** Smallest difference that n items at a discordance show; the discordance is at least as large. */
export function detectable(n: number, discordant: number): number {
  let [low, high] = [0, 1];
  while (high - low > 1e-13) {
    const middle = (low + high) / 2;
    if (itemsFor(middle, Math.max(middle, discordant)) > n) low = middle;
    else high = middle;
  }
  return high;
}

/** The same for differences of -1, 0, 1 in questions, which count for fewer items where they hold several. */
export function detectableOf(differences: readonly Observation[]): number {
  const clusters = byCluster(differences);
  const items = differences.reduce((sum, [, d]) => sum + d * d, 0);
  const whole = clusters.reduce((sum, { sum: d }) => sum + d * d, 0);
  const worth = items === 0 ? clusters.length : differences.length / Math.max(1, whole / items);
  return detectable(worth, items / differences.length);
}
