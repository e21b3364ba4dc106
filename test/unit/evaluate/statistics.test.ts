// Checks statistics against published values, exact enumeration, and coverage in simulations.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import {
  clusteredMean,
  mcNemarExact,
  mean,
  pairedDifference,
  quantile,
  sampleStd,
  wilsonInterval,
} from '../../../src/evaluate/statistics.ts';
import { Rng } from '../../../src/rng.ts';

/** `right` ones, then zeros. */
function scores(right: number, total: number): number[] {
  return Array.from({ length: total }, (_, i) => (i < right ? 1 : 0));
}

describe('mean and standard deviation', () => {
  it('are the worked examples of the documentation', () => {
    expect(mean([1, 2, 6])).toBe(3);
    expect(sampleStd([1, 2, 6])).toBeCloseTo(2.6458, 4);
    expect(sampleStd([5])).toBeUndefined();
    expect(() => mean([])).toThrow(DataError);
  });
});

describe('wilsonInterval', () => {
  it('gives the published values of Newcombe 1998', () => {
    const published: [number, number, number, number][] = [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ];
    for (const [right, items, low, high] of published) {
      const interval = wilsonInterval(right, items);
      expect(Math.abs(interval.low - low)).toBeLessThan(5.1e-5);
      expect(Math.abs(interval.high - high)).toBeLessThan(5.1e-5);
    }
  });

  it('has ends whose normal test has z = 1.96, which is its definition', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.nat(), (items, any) => {
        const right = any % (items + 1);
        const share = right / items;
        const { low, high } = wilsonInterval(right, items);
        for (const end of [low, high]) {
          if (end === 0 || end === 1) continue;
          const z = (share - end) / Math.sqrt((end * (1 - end)) / items);
          expect(Math.abs(z)).toBeCloseTo(1.959963984540054, 6);
        }
        expect(low).toBeLessThanOrEqual(share);
        expect(high).toBeGreaterThanOrEqual(share);
      }),
      { seed: 6 },
    );
  });

  it('refuses what is no proportion', () => {
    for (const [right, items] of [
      [0, 0],
      [3, 2],
      [-1, 2],
      [0.5, 2],
      [NaN, 2],
    ] as const) {
      expect(() => wilsonInterval(right, items)).toThrow(DataError);
    }
  });
});

describe('pairedDifference', () => {
  it('is the worked example of the documentation, the same for the same seed', () => {
    const result = pairedDifference(scores(8, 10), scores(5, 10), new Rng(1));
    expect(result.mean).toBeCloseTo(0.3, 12);
    expect(result.low).toBeCloseTo(0, 12);
    expect(result.high).toBeCloseTo(0.6, 12);
    expect(pairedDifference(scores(8, 10), scores(5, 10), new Rng(1))).toEqual(result);
  });

  it('agrees with all resamples listed one by one', () => {
    // Differences 1, 0, 0, -1: 4^4 = 256 equally likely resamples.
    const differences = [1, 0, 0, -1];
    const means: number[] = [];
    for (let code = 0; code < 256; code++) {
      const drawn = [0, 1, 2, 3].map((place) => differences[Math.floor(code / 4 ** place) % 4]);
      means.push(drawn.reduce<number>((sum, value) => sum + (value ?? 0), 0) / 4);
    }
    means.sort((a, b) => a - b);
    const result = pairedDifference([1, 1, 0, 0], [0, 1, 0, 1], new Rng(2));
    expect(result.mean).toBe(0);
    expect(result.low).toBeCloseTo(quantile(means, 0.025), 12);
    expect(result.high).toBeCloseTo(quantile(means, 0.975), 12);
  });

  it('uses the pairing: equal answers leave no doubt about the difference', () => {
    const first = scores(50, 100);
    expect(pairedDifference(first, first, new Rng(3))).toEqual({ mean: 0, low: 0, high: 0 });
  });

  it('turns its sign when the two change places', () => {
    const there = pairedDifference(scores(60, 100), scores(48, 100), new Rng(4));
    const back = pairedDifference(scores(48, 100), scores(60, 100), new Rng(4));
    expect(back.mean).toBeCloseTo(-there.mean, 12);
    expect(back.low).toBeCloseTo(-there.high, 1);
    expect(there.low).toBeGreaterThan(0);
  });

  it('covers the true difference in about 95 of 100 simulated studies', () => {
    const rng = new Rng('coverage');
    let numCovered = 0;
    for (let study = 0; study < 400; study++) {
      // Right with 0.7 and 0.5 on the same items, half of which are hard for both alike.
      const items = Array.from({ length: 150 }, () => rng.uniform());
      const first = items.map((u) => (u < 0.4 || rng.uniform() < 0.5 ? 1 : 0));
      const second = items.map((u) => (u < 0.4 || rng.uniform() < 1 / 6 ? 1 : 0));
      const { low, high } = pairedDifference(first, second, rng, { numResamples: 500 });
      if (low <= 0.2 && high >= 0.2) numCovered++;
    }
    expect(numCovered / 400).toBeGreaterThan(0.91);
    expect(numCovered / 400).toBeLessThan(0.98);
  });

  it('refuses scores of different items, and none at all', () => {
    expect(() => pairedDifference([1], [1, 0], new Rng(5))).toThrow(/1 and 2 scores/);
    expect(() => pairedDifference([], [], new Rng(5))).toThrow(DataError);
  });
});

describe('clusteredMean', () => {
  it('is the worked example of the documentation', () => {
    const clustered = clusteredMean([scores(4, 4), scores(0, 4)], new Rng(6));
    expect(clustered).toEqual({ mean: 0.5, low: 0, high: 1 });
    const flat = clusteredMean([scores(4, 8)], new Rng(6));
    expect(flat).toEqual({ mean: 0.5, low: 0.125, high: 0.875 });
  });

  it('gives every seed the same weight, whatever its number of items', () => {
    const { mean: centre } = clusteredMean([scores(2, 2), scores(0, 50)], new Rng(7));
    expect(centre).toBe(0.5);
  });

  it('has the spread of both levels: variance over seeds plus variance over items', () => {
    const seeds = [40, 50, 60, 70].map((right) => scores(right, 100));
    const { low, high } = clusteredMean(seeds, new Rng(8));
    // Exact variance of the resampled mean: (var of seed means + mean of item variances / N) / S.
    const shares = [0.4, 0.5, 0.6, 0.7];
    const between = mean(shares.map((share) => (share - 0.55) ** 2));
    const within = mean(shares.map((share) => (share * (1 - share)) / 100));
    const expected = 2 * 1.96 * Math.sqrt((between + within) / 4);
    expect((high - low) / expected).toBeGreaterThan(0.95);
    expect((high - low) / expected).toBeLessThan(1.05);
  });

  it('refuses a seed without items and a study without seeds', () => {
    expect(() => clusteredMean([], new Rng(9))).toThrow(DataError);
    expect(() => clusteredMean([[1], []], new Rng(9))).toThrow(DataError);
  });
});

describe('quantile', () => {
  it('is linear between neighbours', () => {
    expect(quantile([10, 20, 30, 50], 0.25)).toBe(17.5);
    expect(quantile([10, 20, 30, 50], 0)).toBe(10);
    expect(quantile([10, 20, 30, 50], 1)).toBe(50);
    expect(quantile([7], 0.4)).toBe(7);
  });
});

describe('mcNemarExact', () => {
  const split = (
    firstOnly: number,
    secondOnly: number,
    both = 3,
  ): ReturnType<typeof mcNemarExact> => {
    const first = [...scores(firstOnly, firstOnly + secondOnly), ...scores(both, both)];
    const second = first.map((score, i) => (i < firstOnly + secondOnly ? 1 - score : score));
    return mcNemarExact(first, second);
  };

  it('gives known values', () => {
    expect(split(9, 1)).toMatchObject({ numFirstOnly: 9, numSecondOnly: 1 });
    expect(split(9, 1).p).toBeCloseTo(22 / 1024, 15);
    expect(split(1, 9).p).toBeCloseTo(22 / 1024, 15);
    expect(split(0, 5).p).toBeCloseTo(0.0625, 15);
    expect(split(5, 5).p).toBe(1);
    expect(split(0, 0).p).toBe(1);
    // The ratings of a president in Agresti's textbook: 150 changed one way, 86 the other.
    expect(split(150, 86).p).toBeCloseTo(3.715936e-5, 10);
  });

  it('agrees with exact counting in whole numbers', () => {
    fc.assert(
      fc.property(fc.nat(120), fc.nat(120), (firstOnly, secondOnly) => {
        const total = firstOnly + secondOnly;
        let ways = 1n;
        let tail = 0n;
        for (let i = 0; i <= Math.min(firstOnly, secondOnly); i++) {
          tail += ways;
          ways = (ways * BigInt(total - i)) / BigInt(i + 1);
        }
        const doubled = Number((2n * tail * 10n ** 30n) / 2n ** BigInt(total)) / 1e30;
        const { p } = split(firstOnly, secondOnly, 0);
        expect(Math.abs(p - Math.min(1, doubled))).toBeLessThan(1e-12);
      }),
      { seed: 7 },
    );
  });

  it('does not underflow for thousands of items', () => {
    expect(split(2000, 2000).p).toBe(1);
    expect(split(2100, 1900).p).toBeGreaterThan(0.0015);
    expect(split(2100, 1900).p).toBeLessThan(0.0018);
  });

  it('refuses scores that are neither right nor wrong, and other items', () => {
    expect(() => mcNemarExact([0.5], [1])).toThrow(DataError);
    expect(() => mcNemarExact([1], [1, 0])).toThrow(DataError);
  });
});
