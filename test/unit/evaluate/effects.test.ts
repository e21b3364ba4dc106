// Checks effects between arms against exact enumeration, plain resampling, published values and simulated power.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import {
  clusteredInterval,
  holm,
  itemsNeeded,
  minimumDetectable,
  pairedEffect,
} from '../../../src/evaluate/effects.ts';
import {
  mcNemarExact,
  mean,
  normalQuantile,
  pairedDifference,
  quantile,
} from '../../../src/evaluate/statistics.ts';
import { Rng } from '../../../src/rng.ts';

/** `right` ones, then zeros. */
function scores(right: number, total: number): number[] {
  return Array.from({ length: total }, (_, i) => (i < right ? 1 : 0));
}

/** All resamples of cluster values listed one by one: quantiles of their means over items. */
function enumerated(clusters: readonly (readonly number[])[]): { low: number; high: number } {
  const k = clusters.length;
  const means: number[] = [];
  for (let code = 0; code < k ** k; code++) {
    const drawn = clusters.flatMap((_, place) => clusters[Math.floor(code / k ** place) % k] ?? []);
    means.push(mean(drawn));
  }
  means.sort((a, b) => a - b);
  return { low: quantile(means, 0.025), high: quantile(means, 0.975) };
}

describe('pairedEffect', () => {
  it('is the worked example of the documentation, the same for the same seed', () => {
    const pair = { first: scores(8, 10), second: scores(4, 10) };
    const effect = pairedEffect({ ...pair, rng: new Rng(1) });
    expect(effect).toMatchObject({ n: 10, clusters: 10, first: 0.8, second: 0.4 });
    expect(effect.difference.mean).toBeCloseTo(0.4, 12);
    expect(effect.difference.low).toBeCloseTo(0.1, 12);
    expect(effect.difference.high).toBeCloseTo(0.7, 12);
    expect(effect.mcNemar).toEqual({ numFirstOnly: 4, numSecondOnly: 0, p: 0.125 });
    expect(pairedEffect({ ...pair, rng: new Rng(1) })).toEqual(effect);
  });

  it('has the interval of all resamples listed one by one', () => {
    const effect = pairedEffect({ first: [1, 1, 0, 0], second: [0, 1, 0, 1], rng: new Rng(2) });
    const { low, high } = enumerated([[1], [0], [0], [-1]]);
    expect(effect.difference.low).toBeCloseTo(low, 12);
    expect(effect.difference.high).toBeCloseTo(high, 12);
  });

  it('draws counts from the distribution that drawing items one by one has', () => {
    const first = scores(260, 400);
    const second = first.map((score, i) => (i % 5 === 0 ? 1 - score : score));
    const plain = pairedDifference(first, second, new Rng(3));
    const { difference } = pairedEffect({ first, second, rng: new Rng(4) });
    expect(difference.mean).toBeCloseTo(plain.mean, 12);
    // One step is 1 / 400; quantiles of 10,000 resamples are about half a step uncertain.
    expect(Math.abs(difference.low - plain.low)).toBeLessThanOrEqual(0.0026);
    expect(Math.abs(difference.high - plain.high)).toBeLessThanOrEqual(0.0026);
  });

  it('does not depend on the order of the items', () => {
    const first = scores(30, 50);
    const second = first.map((score, i) => (i % 4 === 0 ? 1 - score : score));
    const there = pairedEffect({ first, second, rng: new Rng(5) });
    const back = pairedEffect({
      first: first.toReversed(),
      second: second.toReversed(),
      rng: new Rng(5),
    });
    expect(back).toEqual(there);
  });

  it('covers the true difference in about 95 of 100 studies with clusters, and items alone do not', () => {
    const rng = new Rng('coverage');
    const covered = { clusters: 0, items: 0 };
    for (let study = 0; study < 150; study++) {
      const first: number[] = [];
      const second: number[] = [];
      const clusters: string[] = [];
      for (let question = 0; question < 40; question++) {
        // All four items of a question share its answers nearly always; true difference 0.2.
        const [a, b] = [rng.uniform() < 0.7 ? 1 : 0, rng.uniform() < 0.5 ? 1 : 0];
        for (let i = 0; i < 4; i++) {
          first.push(rng.uniform() < 0.9 ? a : rng.uniform() < 0.7 ? 1 : 0);
          second.push(rng.uniform() < 0.9 ? b : rng.uniform() < 0.5 ? 1 : 0);
          clusters.push(String(question));
        }
      }
      const right = pairedEffect({ first, second, clusters, rng }).difference;
      const wrong = pairedEffect({ first, second, rng }).difference;
      if (right.low <= 0.2 && right.high >= 0.2) covered.clusters++;
      if (wrong.low <= 0.2 && wrong.high >= 0.2) covered.items++;
    }
    expect(covered.clusters / 150).toBeGreaterThan(0.88);
    expect(covered.clusters / 150).toBeLessThan(0.995);
    expect(covered.items / 150).toBeLessThan(0.8);
  });

  it('gives McNemar its published p, and its clustered form by listing all exchanges', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.boolean(), fc.boolean(), fc.nat(3)), { minLength: 1, maxLength: 30 }),
        (items) => {
          const first = items.map(([a]) => Number(a));
          const second = items.map(([, b]) => Number(b));
          const alone = pairedEffect({ first, second, rng: new Rng(6) }).mcNemar;
          const exact = mcNemarExact(first, second);
          expect(alone?.numFirstOnly).toBe(exact.numFirstOnly);
          expect(alone?.numSecondOnly).toBe(exact.numSecondOnly);
          expect(alone?.p).toBeCloseTo(exact.p, 12);
          const sums = [0, 0, 0, 0];
          items.forEach(([a, b, c]) => (sums[c] = (sums[c] ?? 0) + Number(a) - Number(b)));
          const observed = Math.abs(sums.reduce((s, v) => s + v, 0));
          let count = 0;
          for (let signs = 0; signs < 16; signs++) {
            const total = sums.reduce((s, v, i) => s + ((signs >> i) & 1 ? v : -v), 0);
            if (Math.abs(total) >= observed) count++;
          }
          const clusters = items.map(([, , c]) => String(c));
          const together = pairedEffect({ first, second, clusters, rng: new Rng(6) }).mcNemar;
          expect(together?.p).toBeCloseTo(count / 16, 12);
        },
      ),
      { seed: 8, numRuns: 40 },
    );
  });

  it('tests right and wrong answers only, and measures any scores', () => {
    const effect = pairedEffect({ first: [1.5, 2, 4], second: [1, 1, 1], rng: new Rng(7) });
    expect(effect.mcNemar).toBeUndefined();
    expect(effect.difference.mean).toBeCloseTo(1.5, 12);
    // Differences 0.5, 1, 3: standard error sqrt(1.75 / 3), times 2.8016.
    expect(effect.minimumDetectable).toBeCloseTo(2.801585 * Math.sqrt(1.75 / 3), 5);
  });

  it('detects less where the items of a question go together', () => {
    const first = scores(60, 80);
    const second = first.map((score, i) => (i % 8 < 2 ? 1 - score : score));
    const pairsOfTwo = first.map((_, i) => String(i >> 1));
    const alone = pairedEffect({ first, second, rng: new Rng(8) }).minimumDetectable;
    const together = pairedEffect({ first, second, clusters: pairsOfTwo, rng: new Rng(8) });
    // Disagreements come in equal pairs: 80 items are worth 40.
    expect(alone).toBe(minimumDetectable(80, 0.25));
    expect(together.minimumDetectable).toBe(minimumDetectable(40, 0.25));
  });

  it('computes 40 effects of 400 items within its budget', () => {
    const first = scores(230, 400);
    const second = first.map((score, i) => (i % 3 === 0 ? 1 - score : score));
    const started = process.hrtime.bigint();
    for (let i = 0; i < 40; i++) pairedEffect({ first, second, rng: new Rng(i) });
    expect(Number(process.hrtime.bigint() - started) / 1e9).toBeLessThan(2);
  });

  it('refuses scores of different items, none at all, and labels that are missing', () => {
    const rng = new Rng(9);
    expect(() => pairedEffect({ first: [1], second: [1, 0], rng })).toThrow(/1 and 2/);
    expect(() => pairedEffect({ first: [], second: [], rng })).toThrow(DataError);
    expect(() => pairedEffect({ first: [1], second: [0], clusters: [], rng })).toThrow(/label/);
  });
});

describe('clusteredInterval', () => {
  it('is the worked example of the documentation', () => {
    const result = clusteredInterval([1, 1, 0, 0], ['a', 'a', 'b', 'b'], new Rng(10));
    expect(result).toEqual({ mean: 0.5, low: 0, high: 1 });
  });

  it('has the interval of all resamples also where clusters differ in size and values in kind', () => {
    const clusters = [[1, 0.5, 0.25], [0], [2, 1], [0.125]];
    const values = clusters.flat();
    const labels = clusters.flatMap((cluster, i) => cluster.map(() => String(i)));
    const result = clusteredInterval(values, labels, new Rng(11));
    const { low, high } = enumerated(clusters);
    expect(result.mean).toBeCloseTo(mean(values), 12);
    expect(result.low).toBeCloseTo(low, 12);
    expect(result.high).toBeCloseTo(high, 12);
  });

  it('is the plain bootstrap when all values differ and every item is its own cluster', () => {
    const values = Array.from({ length: 60 }, (_, i) => Math.sin(i));
    const plain = pairedDifference(
      values,
      values.map(() => 0),
      new Rng(12),
    );
    const result = clusteredInterval(
      values,
      values.map((_, i) => String(i)),
      new Rng(12),
    );
    expect(result.low).toBeCloseTo(plain.low, 12);
    expect(result.high).toBeCloseTo(plain.high, 12);
  });
});

describe('holm', () => {
  it('is the worked example, keeps the order and equals R on a longer one', () => {
    expect(holm([0.01, 0.04, 0.03])).toEqual([0.03, 0.06, 0.06]);
    // p.adjust(c(0.001, 0.5, 0.012, 0.9, 0.013), "holm") in R.
    const adjusted = [0.005, 1, 0.048, 1, 0.048];
    holm([0.001, 0.5, 0.012, 0.9, 0.013]).forEach((p, i) => {
      expect(p).toBeCloseTo(adjusted[i] ?? NaN, 12);
    });
    expect(holm([])).toEqual([]);
    expect(() => holm([0.2, NaN])).toThrow(DataError);
  });
});

describe('itemsNeeded and minimumDetectable', () => {
  it('are inverse to each other', () => {
    expect(itemsNeeded({ difference: 0.1, discordant: 0.3 })).toBe(234);
    expect(minimumDetectable(234, 0.3)).toBeCloseTo(0.1, 3);
    for (const n of [50, 400, 3000]) {
      const difference = minimumDetectable(n, 0.2);
      expect(itemsNeeded({ difference, discordant: Math.max(difference, 0.2) })).toBe(n);
    }
  });

  it('do not promise everything where no answers differ', () => {
    expect(minimumDetectable(400, 0)).toBeCloseTo(0.0195, 4);
    expect(minimumDetectable(3, 0)).toBeCloseTo(1, 6);
  });

  it('give a number of items with which the exact test has nearly that power', () => {
    const rng = new Rng('power');
    const n = itemsNeeded({ difference: 0.1, discordant: 0.3 });
    let found = 0;
    for (let study = 0; study < 2000; study++) {
      const kinds = Array.from({ length: n }, () => rng.uniform());
      const first = kinds.map((u) => (u < 0.2 ? 1 : 0));
      const second = kinds.map((u) => (u > 0.9 ? 1 : 0));
      if (mcNemarExact(first, second).p < 0.05) found++;
    }
    expect(found / 2000).toBeGreaterThan(0.72);
    expect(found / 2000).toBeLessThan(0.83);
  });

  it('refuse differences that cannot be', () => {
    expect(() => itemsNeeded({ difference: 0.3, discordant: 0.2 })).toThrow(DataError);
    expect(() => itemsNeeded({ difference: 0, discordant: 0.2 })).toThrow(DataError);
    expect(() => itemsNeeded({ difference: 0.1, discordant: 0.2, power: 1 })).toThrow(DataError);
  });
});

describe('normalQuantile', () => {
  it('gives tabulated values on both sides', () => {
    expect(normalQuantile(0.5)).toBe(0);
    expect(normalQuantile(0.975)).toBeCloseTo(1.959963984540054, 12);
    expect(normalQuantile(0.2)).toBeCloseTo(-0.8416212335729143, 12);
    expect(normalQuantile(0.9999)).toBeCloseTo(3.719016485455709, 11);
    expect(() => normalQuantile(1)).toThrow(DataError);
  });
});
