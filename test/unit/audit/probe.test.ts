// Checks probes: gradient by central differences, probabilities against scikit-learn, controls, speed.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DataError, RuntimeError, ShapeError } from '../../../src/errors.ts';
import {
  crossValidate,
  prepareFold,
  PROBE_STRENGTHS,
  stratifiedFolds,
} from '../../../src/audit/cross-validate.ts';
import { fitLogistic, logisticLoss, logisticProbabilities } from '../../../src/audit/logistic.ts';
import { principalCoordinates } from '../../../src/audit/probe-design.ts';
import { probe } from '../../../src/audit/probe.ts';
import { Rng } from '../../../src/rng.ts';

interface Golden {
  readonly cases: readonly {
    readonly name: string;
    readonly numClasses: number;
    readonly features: readonly (readonly number[])[];
    readonly labels: readonly number[];
    readonly folds: readonly number[];
    readonly fits: readonly {
      readonly strength: number;
      readonly accuracy: number;
      readonly probabilities: readonly (readonly number[])[];
    }[];
  }[];
}

const golden = JSON.parse(
  readFileSync(new URL('data/probe.json', import.meta.url), 'utf8'),
) as Golden;

/** Items whose label is the sign pattern of their first features, under noise. */
function drawItems(numItems: number, width: number, numClasses: number, signal: number, seed = 1) {
  const rng = new Rng(seed);
  const centres = Array.from({ length: numClasses * width }, () => rng.normal());
  const labels = Array.from({ length: numItems }, (_, i) => `label ${i % numClasses}`);
  const features_NF = Float32Array.from({ length: numItems * width }, (_, at) => {
    const c = Math.floor(at / width) % numClasses;
    return signal * (centres[c * width + (at % width)] ?? 0) + rng.normal();
  });
  return { features_NF, width, labels };
}

describe('fitLogistic', () => {
  const rng = new Rng('problem');
  const problem = {
    rows_NR: Float64Array.from({ length: 30 * 5 }, () => rng.normal()),
    width: 5,
    classes_N: Int32Array.from({ length: 30 }, () => rng.int(3)),
    numClasses: 3,
    strength: 0.05,
  };

  it('has the gradient that central differences give', () => {
    const weights = Float64Array.from({ length: 18 }, () => rng.normal());
    const gradient = new Float64Array(18);
    const unused = new Float64Array(18);
    logisticLoss(problem, weights, gradient);
    for (let i = 0; i < 18; i++) {
      const at = (shift: number): number => {
        const moved = weights.slice();
        moved[i] = (moved[i] ?? 0) + shift;
        return logisticLoss(problem, moved, unused);
      };
      expect(gradient[i]).toBeCloseTo((at(1e-5) - at(-1e-5)) / 2e-5, 8);
    }
  });

  it('ends where no small step lowers the loss, from any start', () => {
    const unused = new Float64Array(18);
    const weights = fitLogistic(problem);
    const least = logisticLoss(problem, weights, unused);
    for (let trial = 0; trial < 50; trial++) {
      const moved = weights.map((weight) => weight + 0.01 * rng.normal());
      expect(logisticLoss(problem, moved, unused)).toBeGreaterThan(least);
    }
    const start = Float64Array.from({ length: 18 }, () => 3 * rng.normal());
    const again = logisticLoss(problem, fitLogistic(problem, { start }), unused);
    expect(again).toBeCloseTo(least, 12);
  });

  it('names the share of each class when rows say nothing', () => {
    const classes_N = Int32Array.from([0, 0, 0, 1]);
    const flat = { rows_NR: new Float64Array(4), width: 1, classes_N, numClasses: 2, strength: 1 };
    const chances = logisticProbabilities(new Float64Array(1), 1, fitLogistic(flat));
    expect(chances[0]).toBeCloseTo(0.75, 6);
  });

  it('refuses rows that do not fit their labels, and what is not finite', () => {
    expect(() => fitLogistic({ ...problem, width: 4 })).toThrow(ShapeError);
    const rows_NR = problem.rows_NR.map((value, i) => (i === 7 ? NaN : value));
    expect(() => fitLogistic({ ...problem, rows_NR })).toThrow(RuntimeError);
  });
});

describe('principalCoordinates', () => {
  it('keep all distances between standardised items, on either side of the kernel trick', async () => {
    for (const width of [6, 40]) {
      const { features_NF } = drawItems(20, width, 2, 1);
      const train = Array.from({ length: 15 }, (_, i) => i + 3);
      const data = Float64Array.from(features_NF);
      const { rows_NR, width: numAxes } = await principalCoordinates(data, width, train);
      expect(numAxes).toBe(Math.min(width, 14));
      // Plain standardisation of two training items.
      let expected = 0;
      for (let f = 0; f < width; f++) {
        const own = train.map((i) => data[i * width + f] ?? NaN);
        const centre = own.reduce((s, v) => s + v, 0) / 15;
        const spread = Math.sqrt(own.reduce((s, v) => s + (v - centre) ** 2, 0) / 15);
        expected += (((data[4 * width + f] ?? 0) - (data[9 * width + f] ?? 0)) / spread) ** 2;
      }
      let got = 0;
      for (let r = 0; r < numAxes; r++) {
        got += ((rows_NR[4 * numAxes + r] ?? 0) - (rows_NR[9 * numAxes + r] ?? 0)) ** 2;
      }
      expect(got).toBeCloseTo(expected / width, 10);
    }
  });

  it('is the worked example of the documentation', async () => {
    const { rows_NR } = await principalCoordinates(Float64Array.from([1, 3, 5]), 1, [0, 1]);
    expect([...rows_NR]).toEqual([-1, 1, 3]);
  });
});

describe('a probe held against scikit-learn', () => {
  for (const { name, numClasses, features, labels, folds, fits } of golden.cases) {
    const width = features[0]?.length ?? 0;
    const classes = Int32Array.from(labels);
    const prepare = (fold: number) =>
      prepareFold(Float64Array.from(features.flat()), width, Int32Array.from(folds), fold);

    for (const { strength, probabilities, accuracy } of fits) {
      it(`gives the same probabilities for ${name} features at strength ${strength}`, async () => {
        const parts = await Promise.all([0, 1, 2, 3].map(prepare));
        let worst = 0;
        for (const { rows_NR, width: numAxes, train, test } of parts) {
          const rowOf = (i: number) => [...rows_NR.subarray(i * numAxes, (i + 1) * numAxes)];
          const weights = fitLogistic({
            rows_NR: Float64Array.from(train.flatMap(rowOf)),
            width: numAxes,
            classes_N: Int32Array.from(train, (i) => classes[i] ?? 0),
            numClasses,
            strength,
          });
          for (const i of test) {
            const own = logisticProbabilities(Float64Array.from(rowOf(i)), numAxes, weights);
            own.forEach((chance, c) => {
              worst = Math.max(worst, Math.abs(chance - (probabilities[i]?.[c] ?? NaN)));
            });
          }
        }
        expect(worst).toBeLessThan(1e-5);
        const options = { strengths: [strength] };
        const { predicted } = crossValidate(parts, classes, numClasses, options, new Rng(1));
        // The looser tolerance of cross-validation changes no prediction.
        const expected = probabilities.map((row) => row.indexOf(Math.max(...row)));
        expect([...predicted]).toEqual(expected);
        const numRight = predicted.filter((guess, i) => guess === labels[i]).length;
        expect(numRight / labels.length).toBeCloseTo(accuracy, 12);
      });
    }
  }
});

describe('probe', () => {
  it('reads a label that is there, and nothing from shuffled labels', async () => {
    const result = await probe(drawItems(200, 16, 4, 1), { rng: new Rng(1) });
    expect(result?.n).toBe(200);
    expect(result?.accuracy.low).toBeGreaterThan(0.85);
    expect(result?.majority).toBe(0.25);
    expect(result?.shuffled.high).toBeLessThan(0.4);
    expect(result?.shuffled.mean).toBeGreaterThan(0.15);
    expect(result?.strengths).toHaveLength(5);
    for (const s of result?.strengths ?? []) expect(PROBE_STRENGTHS).toContain(s);
  });

  it('reads nothing from noise: chance over many items, no leak from test to training', async () => {
    const result = await probe(drawItems(300, 400, 3, 0), { rng: new Rng(2), numShuffles: 2 });
    expect(result?.accuracy.low).toBeLessThan(1 / 3);
    expect(result?.accuracy.mean).toBeLessThan(0.43);
  });

  it('fits within groups, whose labels mean different things', async () => {
    // The same states stand for a and b in one group and for b and a in the other.
    const { features_NF, width } = drawItems(160, 4, 2, 2);
    const groups = Array.from({ length: 160 }, (_, i) => (i < 80 ? 'there' : 'back'));
    const labels = groups.map((group, i) => ((group === 'there') === (i % 2 === 0) ? 'a' : 'b'));
    const within = await probe({ features_NF, width, labels, groups }, { rng: new Rng(3) });
    const across = await probe({ features_NF, width, labels }, { rng: new Rng(3) });
    expect(within?.accuracy.mean).toBeGreaterThan(0.9);
    expect(across?.accuracy.mean).toBeLessThan(0.65);
    expect(within?.numClasses).toBe(4);
  });

  it('drops labels rarer than folds, and groups with a single label, by name', async () => {
    const data = drawItems(42, 4, 2, 2);
    const groups = data.labels.map((_, i) => (i < 34 ? 'first' : 'second'));
    const labels = data.labels.map((label, i) => (i < 3 ? 'rare' : i < 34 ? label : 'same'));
    const result = await probe({ ...data, labels, groups }, { rng: new Rng(4), numShuffles: 1 });
    expect(result?.n).toBe(31);
    expect(result?.dropped).toEqual([
      { group: 'first', label: 'rare', count: 3 },
      { group: 'second', label: 'same', count: 8 },
    ]);
    expect(result?.items.every(({ index }) => index >= 3 && index < 34)).toBe(true);
    const alone = await probe({ ...data, labels: data.labels.map(() => 'x') }, { rng: new Rng(4) });
    expect(alone).toBeUndefined();
  });

  it('gives the same for the same seed, and shares folds between sites', async () => {
    const data = drawItems(60, 5, 3, 1);
    const once = await probe(data, { rng: new Rng(5), numShuffles: 2 });
    const again = await probe(data, { rng: new Rng(5), numShuffles: 2 });
    expect(again).toEqual(once);
    const classes = Int32Array.from({ length: 17 }, (_, i) => i % 3);
    const folds = stratifiedFolds(classes, 4, new Rng(6));
    expect(stratifiedFolds(classes, 4, new Rng(6))).toEqual(folds);
    for (let fold = 0; fold < 4; fold++) {
      const sizes = [0, 1, 2].map(
        (c) => classes.filter((own, i) => own === c && folds[i] === fold).length,
      );
      for (const size of sizes) expect([1, 2]).toContain(size);
    }
  });

  it('refuses states that do not fit the labels or are not finite', async () => {
    const data = drawItems(20, 4, 2, 1);
    const rng = new Rng(7);
    await expect(probe({ ...data, width: 3 }, { rng })).rejects.toThrow(DataError);
    const features_NF = data.features_NF.map((value, i) => (i === 9 ? NaN : value));
    await expect(probe({ ...data, features_NF }, { rng })).rejects.toThrow(/item 2/);
  });
});
