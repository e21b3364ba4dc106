// Owns means, intervals and tests of scores; the study, comparisons and reports call it.
import { DataError } from '../errors.ts';
import type { Rng } from '../rng.ts';

/** 97.5 % quantile of the standard normal distribution: the z of a 95 % interval. */
const Z_95 = 1.959963984540054;
/** Resamples of a bootstrap interval: its ends then vary by about a hundredth of its width. */
const NUM_RESAMPLES = 10_000; // ours
/** Share of resampled values that a bootstrap interval leaves out on each side: 95 %. */
const TAIL_SHARE = 0.025;

/** The ends of a 95 % interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** A mean, or a difference of means, with its 95 % interval. */
export interface MeanInterval extends Interval {
  readonly mean: number;
}

/** How a bootstrap interval is computed. */
export interface BootstrapOptions {
  /** Default 10,000. */
  readonly numResamples?: number;
}

/**
 * Arithmetic mean. Worked example: mean of 1, 2, 6 is 3.
 * @throws DataError when there is nothing to average.
 */
export function mean(values: readonly number[]): number {
  if (values.length === 0) {
    throw new DataError({
      what: 'There are no scores to average',
      fix: 'check that the evaluation produced predictions',
    });
  }
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/**
 * Standard deviation of a sample, with n - 1; undefined below two values, where nothing is known
 * about the spread. Worked example: of 1, 2, 6 it is sqrt(14 / 2) = 2.6458.
 */
export function sampleStd(values: readonly number[]): number | undefined {
  if (values.length < 2) return undefined;
  const centre = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - centre) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/**
 * Wilson's 95 % score interval of a proportion: right also near 0 and 1 and for few items.
 * Worked example: 81 of 263 gives 0.2553 to 0.3662. Source: Wilson 1927; example Newcombe 1998.
 * @throws DataError when the counts are no counts, or there are no items.
 */
export function wilsonInterval(numRight: number, numItems: number): Interval {
  const areCounts = Number.isInteger(numRight) && Number.isInteger(numItems);
  if (!areCounts || numItems < 1 || numRight < 0 || numRight > numItems) {
    throw new DataError({
      what: 'There is no proportion to give an interval of',
      got: `${numRight} of ${numItems}`,
      expected: 'whole numbers, 0 <= right <= items, at least one item',
    });
  }
  const share = numRight / numItems;
  const square = Z_95 ** 2;
  const centre = share + square / (2 * numItems);
  const root = Z_95 * Math.sqrt((share * (1 - share)) / numItems + square / (4 * numItems ** 2));
  const scale = 1 + square / numItems;
  // Rounding must not push the ends past the certain cases.
  const low = numRight === 0 ? 0 : (centre - root) / scale;
  const high = numRight === numItems ? 1 : (centre + root) / scale;
  return { low, high };
}

/**
 * How much better the first is than the second on the same items in the same order: difference of
 * means with a paired percentile bootstrap interval. Pairing takes out how hard the items are, so
 * the interval is narrower than two separate ones would suggest.
 * Worked example: first right on items 1 to 8 of 10, second on 1 to 5: 0.3, from 0 to 0.6.
 * @param first - score of each item, usually 0 or 1.
 * @throws DataError when the two are not of the same items.
 */
export function pairedDifference(
  first: readonly number[],
  second: readonly number[],
  rng: Rng,
  options: BootstrapOptions = {},
): MeanInterval {
  return clusteredMean([pairs(first, second).map(([a, b]) => a - b)], rng, options);
}

/**
 * Mean over seeds of the mean over items, with a percentile bootstrap interval that draws seeds
 * with replacement, then items within each drawn seed. For a difference between two variants give
 * the differences item by item. With one seed it is the plain bootstrap over items; with few seeds
 * the interval is too narrow for the spread over seeds (by sqrt((n - 1) / n) for n seeds), so give
 * the standard deviation over seeds beside it.
 * Worked example: seeds [1, 1, 1, 1] and [0, 0, 0, 0] give 0.5, from 0 to 1; as eight items of
 * one seed they would give 0.125 to 0.875.
 * @param scores - by seed, then by item; seeds may have different items.
 * @throws DataError when there is no seed, or one without items.
 */
export function clusteredMean(
  scores: readonly (readonly number[])[],
  rng: Rng,
  options: BootstrapOptions = {},
): MeanInterval {
  const observed = mean(scores.map(mean));
  const { numResamples = NUM_RESAMPLES } = options;
  const resampled = new Float64Array(numResamples);
  for (let i = 0; i < numResamples; i++) {
    let sum = 0;
    for (let drawn = 0; drawn < scores.length; drawn++) {
      // Drawing among one would only cost random numbers.
      const seed = scores.length === 1 ? 0 : rng.int(scores.length);
      sum += resampledMean(scores[seed] ?? [], rng);
    }
    resampled[i] = sum / scores.length;
  }
  resampled.sort();
  return {
    mean: observed,
    low: quantile(resampled, TAIL_SHARE),
    high: quantile(resampled, 1 - TAIL_SHARE),
  };
}

function resampledMean(values: readonly number[], rng: Rng): number {
  let sum = 0;
  for (let drawn = 0; drawn < values.length; drawn++) sum += values[rng.int(values.length)] ?? 0;
  return sum / values.length;
}

/**
 * Quantile of sorted values, linear between neighbours (Hyndman and Fan's type 7, the default of
 * NumPy and R). Worked example: 0.25 of 10, 20, 30, 50 is 17.5.
 * @param share - in [0, 1].
 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const position = share * (sorted.length - 1);
  const below = Math.floor(position);
  const low = sorted[below] ?? NaN;
  const high = sorted[Math.min(below + 1, sorted.length - 1)] ?? NaN;
  return low + (high - low) * (position - below);
}

/**
 * Quantile of the standard normal distribution, exact to 1e-12 between 1e-4 and 1 - 1e-4: Newton's
 * steps on the series of the distribution. Worked example: 0.975 gives 1.959964.
 * Source: Abramowitz and Stegun 26.2.11 (series).
 * @throws DataError when the share is not in (0, 1).
 */
export function normalQuantile(share: number): number {
  if (!(share > 0 && share < 1)) {
    throw new DataError({ what: 'A quantile needs a share in (0, 1)', got: String(share) });
  }
  if (share < 0.5) return -normalQuantile(1 - share);
  let x = 0;
  // Right of 0 the distribution is concave, so that steps from 0 only approach from the left.
  for (let step = Infinity; step > 1e-14; x += step) {
    const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
    let sum = 0;
    for (let k = 1, term = x; term > 1e-17 * sum; k += 2, term *= (x * x) / k) sum += term;
    step = (share - 0.5) / density - sum;
  }
  return x;
}

/** Outcome of McNemar's test. */
export interface McNemar {
  /** Items only the first, and only the second, has right. */
  readonly numFirstOnly: number;
  readonly numSecondOnly: number;
  /** Two-sided exact p: chance of a split at least as uneven when both are equally good. */
  readonly p: number;
}

/**
 * McNemar's exact test on right (1) and wrong (0) answers to the same items in the same order.
 * Worked example: 9 items only the first has right, 1 only the second: p = 2 (1 + 10) / 1024
 * = 0.0215. Source: McNemar 1947, with the binomial distribution in the place of its limit.
 * @throws DataError when the two are not of the same items, or a score is neither 0 nor 1.
 */
export function mcNemarExact(first: readonly number[], second: readonly number[]): McNemar {
  let numFirstOnly = 0;
  let numSecondOnly = 0;
  for (const [a, b] of pairs(first, second)) {
    if ((a !== 0 && a !== 1) || (b !== 0 && b !== 1)) {
      throw new DataError({
        what: "McNemar's test takes right and wrong answers only",
        got: `${a} and ${b}`,
        expected: '0 or 1',
      });
    }
    if (a > b) numFirstOnly++;
    if (b > a) numSecondOnly++;
  }
  const total = numFirstOnly + numSecondOnly;
  const p = Math.min(1, 2 * lowerTail(Math.min(numFirstOnly, numSecondOnly), total));
  return { numFirstOnly, numSecondOnly, p };
}

/** P(X <= count) for X binomial with `total` trials of 1/2; in logarithms, for large totals. */
function lowerTail(count: number, total: number): number {
  let logTerm = -total * Math.LN2;
  for (let i = 1; i <= count; i++) logTerm += Math.log((total - i + 1) / i);
  // From the largest term down: C(n, i - 1) / C(n, i) = i / (n - i + 1).
  let sum = 0;
  let ratio = 1;
  for (let i = count; i >= 0; i--) {
    sum += ratio;
    ratio *= i / (total - i + 1);
  }
  return Math.exp(logTerm) * sum;
}

function pairs(first: readonly number[], second: readonly number[]): [number, number][] {
  if (first.length === second.length) return first.map((value, i) => [value, second[i] ?? NaN]);
  throw new DataError({
    what: 'Scores to compare are not of the same items',
    got: `${first.length} and ${second.length} scores`,
    expected: 'one score an item from both, in the same order',
    fix: 'evaluate both on the same questions',
  });
}
