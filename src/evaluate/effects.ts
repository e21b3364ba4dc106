// Owns how much one arm differs from another on the same questions: effect, interval, test, power; audits and
// comparisons call it.
import { DataError } from '../errors.ts';
import type { Rng } from '../rng.ts';
import { mean, normalQuantile, quantile } from './statistics.ts';
import type { McNemar, MeanInterval } from './statistics.ts';

/** Resamples of a bootstrap interval: its ends then vary by about a hundredth of its width. */
const NUM_RESAMPLES = 10_000; // ours
/** Share of resampled values that an interval leaves out on each side, and z of a two-sided 5 % test. */
const TAIL_SHARE = 0.025;
const Z_TEST = normalQuantile(1 - TAIL_SHARE);
/** Chance of seeing a difference that is there. Source: Cohen 1988, the usual convention. */
const POWER = 0.8;
/** Up to this many different kinds of clusters, counts of kinds are drawn instead of clusters. */
const MAX_KINDS = 24; // ours: beyond it one draw a cluster is as fast
/** A binomial outcome this much less likely than the likeliest is never drawn (2^-53 is the grain of u). */
const NEGLIGIBLE = 1e-20;

/** Scores of two arms on the same items in the same order. */
export interface PairedScores {
  readonly first: readonly number[];
  readonly second: readonly number[];
  /** Question of each item; items of one are drawn together. Default: every item is its own. */
  readonly clusters?: readonly string[] | undefined;
  readonly rng: Rng;
}

/** How much the first arm is better than the second. */
export interface PairedEffect {
  /** Items. */
  readonly n: number;
  /** Independent questions among them. */
  readonly clusters: number;
  /** Mean score of each arm. */
  readonly first: number;
  readonly second: number;
  /** first - second, with its 95 % interval. */
  readonly difference: MeanInterval;
  /** Undefined when a score is neither 0 nor 1. */
  readonly mcNemar: McNemar | undefined;
  /** Smallest true difference that a two-sided 5 % test finds with power 0.8 here. */
  readonly minimumDetectable: number;
}

/** What a number of items is asked for. */
export interface ItemsQuestion {
  /** Difference of accuracies that should be found, in (0, 1]. */
  readonly difference: number;
  /** Share of items on which the two arms disagree; at least the difference. */
  readonly discordant: number;
  /** In (0.5, 1); default 0.8. */
  readonly power?: number;
}

/** Clusters that count alike: the sum of their values and their number of items. */
interface Kind {
  readonly sum: number;
  readonly size: number;
  /** How many clusters are of this kind. */
  count: number;
}

/**
 * Difference between two arms on the same items. Interval: percentile bootstrap of the mean over
 * items, resampling whole clusters. Test: exact McNemar on items, and where clusters hold several
 * items its clustered form, the exact test that exchanges the two arms in whole clusters.
 * `minimumDetectable` takes the discordance that was seen (see `minimumDetectable`).
 * Worked example: first right on items 1 to 8 of 10, second on 1 to 4: 0.4, from 0.1 to 0.7, p = 0.125.
 * Source: Efron and Tibshirani 1993, chapter 8 (bootstrap of whole clusters); McNemar 1947; for
 * clusters Pitman 1937 (randomisation), the exact counterpart of Yang, Sun and Hardin 2010.
 * @throws DataError when the two are not of the same items, or there are none.
 */
export function pairedEffect({ first, second, clusters, rng }: PairedScores): PairedEffect {
  checkLength(first.length, second.length, 'Scores to compare are not of the same items');
  const differences = first.map((score, i) => score - (second[i] ?? NaN));
  const sums = sumByCluster(differences, clusters);
  const isRightOrWrong = [...first, ...second].every((score) => score === 0 || score === 1);
  return {
    n: first.length,
    clusters: sums.length,
    first: mean(first),
    second: mean(second),
    difference: bootstrap(sums, rng),
    mcNemar: isRightOrWrong ? clusteredMcNemar(differences, sums) : undefined,
    minimumDetectable: isRightOrWrong
      ? detectableAccuracy(differences, sums)
      : detectableMean(sums, differences.length),
  };
}

/**
 * Mean over items with a 95 % percentile bootstrap interval that resamples whole clusters.
 * Worked example: values 1, 1, 0, 0 in clusters a, a, b, b give 0.5, from 0 to 1.
 * @throws DataError when there are no items, or not one cluster label an item.
 */
export function clusteredInterval(
  values: readonly number[],
  clusters: readonly string[],
  rng: Rng,
): MeanInterval {
  return bootstrap(sumByCluster(values, clusters), rng);
}

/**
 * p values corrected for being several (family-wise error), in the given order: the smallest times
 * m, the next times m - 1, ..., never below an earlier one, at most 1.
 * Worked example: 0.01, 0.04, 0.03 become 0.03, 0.06, 0.06. Source: Holm 1979.
 * @throws DataError when one is no probability.
 */
export function holm(ps: readonly number[]): number[] {
  const wrong = ps.find((p) => !(p >= 0 && p <= 1));
  if (wrong !== undefined) {
    throw new DataError({ what: 'A p value is no probability', got: String(wrong) });
  }
  const order = [...ps.keys()].sort((a, b) => (ps[a] ?? 0) - (ps[b] ?? 0));
  const adjusted = new Array<number>(ps.length).fill(1);
  let least = 0;
  order.forEach((place, rank) => {
    least = Math.max(least, Math.min(1, (ps.length - rank) * (ps[place] ?? 1)));
    adjusted[place] = least;
  });
  return adjusted;
}

/**
 * Items that McNemar's test at two-sided 5 % needs to find a difference with the given power.
 * n = (z sqrt(psi) + z' sqrt(psi - d^2))^2 / d^2 for difference d and discordance psi; the exact
 * test needs a few more. Worked example: d = 0.1, psi = 0.3 needs 234. Source: Connor 1987.
 * @throws DataError when no answers can differ that way.
 */
export function itemsNeeded({ difference, discordant, power = POWER }: ItemsQuestion): number {
  if (!(
    difference > 0 &&
    difference <= discordant &&
    discordant <= 1 &&
    power > 0.5 &&
    power < 1
  )) {
    throw new DataError({
      what: 'No number of items can be given',
      got: `difference ${difference}, discordance ${discordant}, power ${power}`,
      expected: '0 < difference <= discordance <= 1, 0.5 < power < 1',
    });
  }
  // Rounding must not ask for one more where the value is whole.
  return Math.ceil(connor(difference, discordant, power) - 1e-9);
}

/**
 * Smallest difference of accuracies that n items show with power 0.8 at two-sided 5 %, when the
 * arms disagree on a share `discordant` of the items; a difference cannot be larger than that
 * share, so the share is raised to the difference where few or no answers differ. At most 1.
 * Worked example: 234 items with discordance 0.3 show 0.1; 400 without any show 7.8 / 400 = 0.0195.
 */
export function minimumDetectable(n: number, discordant: number): number {
  let [low, high] = [0, 1];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (connor(middle, Math.max(middle, discordant), POWER) <= n) high = middle;
    else low = middle;
  }
  return high;
}

function connor(difference: number, discordant: number, power: number): number {
  const inside = Math.max(0, discordant - difference ** 2);
  const root = Z_TEST * Math.sqrt(discordant) + normalQuantile(power) * Math.sqrt(inside);
  return (root / difference) ** 2;
}

/** With clusters, n is what it is worth: n / (variance by clusters over variance by items). */
function detectableAccuracy(
  differences: readonly number[],
  sums: readonly (readonly [number, number])[],
): number {
  const byItem = squares(differences);
  const byCluster = squares(sums.map(([sum]) => sum));
  // Without a disagreement nothing is known about the clusters: the number of them is safe.
  const worth = byItem === 0 ? sums.length : differences.length / Math.max(1, byCluster / byItem);
  return minimumDetectable(worth, byItem / differences.length);
}

/** Scores of any size: (z + z') standard errors of the mean difference over clusters. */
function detectableMean(sums: readonly (readonly [number, number])[], n: number): number {
  if (sums.length < 2) return Infinity;
  const centre = sums.reduce((total, [sum]) => total + sum, 0) / n;
  const residuals = squares(sums.map(([sum, size]) => sum - size * centre));
  const error = Math.sqrt((residuals * sums.length) / (sums.length - 1)) / n;
  return (Z_TEST + normalQuantile(POWER)) * error;
}

function squares(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value * value, 0);
}

/**
 * Chance of a difference at least as large when in every cluster the arms change places with 1/2:
 * the distribution of sums of +- s over the clusters, by convolution. Clusters of single items
 * make it McNemar's binomial.
 */
function clusteredMcNemar(
  differences: readonly number[],
  sums: readonly (readonly [number, number])[],
): McNemar {
  const steps = sums.map(([sum]) => Math.abs(sum)).filter((step) => step > 0);
  const reach = steps.reduce((total, step) => total + step, 0);
  // Shares of +: sum = 2 x chosen - reach, so only the chosen part is tracked.
  let chances = new Float64Array(reach + 1);
  chances[0] = 1;
  let top = 0;
  for (const step of steps) {
    const next = new Float64Array(reach + 1);
    for (let at = 0; at <= top; at++) {
      const half = (chances[at] ?? 0) / 2;
      next[at] = (next[at] ?? 0) + half;
      next[at + step] = (next[at + step] ?? 0) + half;
    }
    top += step;
    chances = next;
  }
  const observed = Math.abs(sums.reduce((total, [sum]) => total + sum, 0));
  let p = 0;
  chances.forEach((chance, chosen) => {
    if (Math.abs(2 * chosen - reach) >= observed) p += chance;
  });
  return {
    numFirstOnly: differences.filter((difference) => difference > 0).length,
    numSecondOnly: differences.filter((difference) => difference < 0).length,
    p: Math.min(1, p),
  };
}

/** Sum of values and number of items of each cluster, in order of appearance. */
function sumByCluster(
  values: readonly number[],
  clusters: readonly string[] | undefined,
): (readonly [number, number])[] {
  if (values.length === 0) {
    throw new DataError({
      what: 'There are no scores to compare',
      fix: 'check that the evaluation produced predictions',
    });
  }
  if (clusters === undefined) return values.map((value) => [value, 1]);
  checkLength(values.length, clusters.length, 'There is not one cluster label for every item');
  const sums = new Map<string, [number, number]>();
  values.forEach((value, i) => {
    const label = clusters[i] ?? '';
    const entry = sums.get(label);
    if (entry === undefined) sums.set(label, [value, 1]);
    else {
      entry[0] += value;
      entry[1]++;
    }
  });
  return [...sums.values()];
}

function bootstrap(sums: readonly (readonly [number, number])[], rng: Rng): MeanInterval {
  const kinds = kindsOf(sums);
  const draw = kinds.length <= MAX_KINDS ? countDraw(kinds, sums.length, rng) : listDraw(sums, rng);
  const means = new Float64Array(NUM_RESAMPLES);
  for (let i = 0; i < NUM_RESAMPLES; i++) means[i] = draw();
  means.sort();
  const total = kinds.reduce((sum, kind) => sum + kind.count * kind.sum, 0);
  const size = kinds.reduce((sum, kind) => sum + kind.count * kind.size, 0);
  const [low, high] = [quantile(means, TAIL_SHARE), quantile(means, 1 - TAIL_SHARE)];
  return { mean: total / size, low, high };
}

/** Most frequent first, so that what is left to draw stays small; ties by value, whatever the order. */
function kindsOf(sums: readonly (readonly [number, number])[]): Kind[] {
  const kinds = new Map<string, Kind>();
  for (const [sum, size] of sums) {
    const key = `${sum}/${size}`;
    const kind = kinds.get(key);
    if (kind === undefined) kinds.set(key, { sum, size, count: 1 });
    else kind.count++;
  }
  return [...kinds.values()].sort((a, b) => b.count - a.count || a.sum - b.sum || a.size - b.size);
}

/** Mean of one resample, cluster by cluster. */
function listDraw(sums: readonly (readonly [number, number])[], rng: Rng): () => number {
  const values = Float64Array.from(sums, ([sum]) => sum);
  const sizes = Float64Array.from(sums, ([, size]) => size);
  return () => {
    let [total, size] = [0, 0];
    for (let drawn = 0; drawn < values.length; drawn++) {
      const at = rng.int(values.length);
      total += values[at] ?? 0;
      size += sizes[at] ?? 0;
    }
    return total / size;
  };
}

/**
 * Mean of one resample of the same distribution, by how often each kind is drawn: multinomial
 * counts, as binomial counts one kind after the other.
 */
function countDraw(kinds: readonly Kind[], numClusters: number, rng: Rng): () => number {
  const samplers = kinds.map(() => new Map<number, (u: number) => number>());
  const behind = kinds.map((_, k) => kinds.slice(k).reduce((sum, { count }) => sum + count, 0));
  return () => {
    let [left, total, size] = [numClusters, 0, 0];
    kinds.forEach((kind, k) => {
      let drawn = left;
      if (k < kinds.length - 1) {
        let sampler = samplers[k]?.get(left);
        if (sampler === undefined) {
          sampler = binomialSampler(left, kind.count / (behind[k] ?? NaN));
          samplers[k]?.set(left, sampler);
        }
        drawn = sampler(rng.uniform());
      }
      left -= drawn;
      total += drawn * kind.sum;
      size += drawn * kind.size;
    });
    return total / size;
  };
}

/** Number of hits among n with chance p in (0, 1), by inversion: from u in [0, 1) to a count. */
function binomialSampler(n: number, p: number): (u: number) => number {
  const mode = Math.min(n, Math.floor((n + 1) * p));
  const odds = p / (1 - p);
  // Relative to the likeliest count and outwards from it: no logarithm, no underflow.
  const below: number[] = [];
  for (let k = mode, chance = 1; k > 0 && chance > NEGLIGIBLE; k--) {
    chance *= k / (n - k + 1) / odds;
    below.push(chance);
  }
  const above: number[] = [];
  for (let k = mode, chance = 1; k < n && chance > NEGLIGIBLE; k++) {
    chance *= ((n - k) / (k + 1)) * odds;
    above.push(chance);
  }
  const cumulative = Float64Array.from([...below.reverse(), 1, ...above]);
  for (let i = 1; i < cumulative.length; i++) {
    cumulative[i] = (cumulative[i] ?? 0) + (cumulative[i - 1] ?? 0);
  }
  const total = cumulative.at(-1) ?? 1;
  const least = mode - below.length;
  return (u) => {
    const target = u * total;
    let [low, high] = [0, cumulative.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulative[middle] ?? 0) > target) high = middle;
      else low = middle + 1;
    }
    return least + low;
  };
}

function checkLength(expected: number, got: number, what: string): void {
  if (expected === got) return;
  throw new DataError({
    what,
    got: `${expected} and ${got}`,
    expected: 'one an item from both, in the same order',
    fix: 'evaluate both on the same questions',
  });
}
