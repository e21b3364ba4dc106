// Owns predicting every item by a fit that did not see it, with a penalty chosen without it; probe.ts calls it.
// Axes: N items, R principal coordinates of the training items, C classes.
import type { Rng } from '../rng.ts';
import { fitLogistic, logisticProbabilities } from './logistic.ts';
import { principalCoordinates } from './probe-design.ts';

/** Among which penalties is chosen, and how. */
export interface StrengthOptions {
  /** Inner folds that choose the strength within each training part. Default 3. */
  readonly numInnerFolds?: number;
  /** Penalties to choose among, default PROBE_STRENGTHS. */
  readonly strengths?: readonly number[];
}

/**
 * Penalties s of a probe: mean cross entropy + s / 2 |W|^2 on features standardised and divided by
 * sqrt(F), so that a state has a mean squared length of one at any width (scikit-learn's C is
 * 1 / (s n) there). ours: from nearly separating to nearly the majority.
 */
export const PROBE_STRENGTHS: readonly number[] = [1e-4, 1e-3, 1e-2, 1e-1, 1];
/** Gradient at which fits that choose a strength end; their cross entropy is then right to 1e-5. */
const CHOICE_TOLERANCE = 1e-3; // ours
/** Gradient at which fits that predict end: predictions then do not depend on where they started. */
const PREDICTION_TOLERANCE = 1e-5; // ours
/** Chance of a class that a training part does not know: equally bad for all strengths. */
const NO_CHANCE = 1e-12;

/** Deals the members of each class to the folds, in turn, so that folds and classes stay even. */
export function stratifiedFolds(classes: Int32Array, numFolds: number, rng: Rng): Int32Array {
  const folds = new Int32Array(classes.length);
  let next = 0;
  for (let c = 0; c <= Math.max(...classes); c++) {
    const members = [...classes.keys()].filter((i) => classes[i] === c);
    for (const i of rng.shuffle(members)) folds[i] = next++ % numFolds;
  }
  return folds;
}

/** Items of one fold in the coordinates of the others; it knows no labels, so shuffles share it. */
export interface PreparedFold {
  readonly train: readonly number[];
  readonly test: readonly number[];
  /** [N, R], all items. */
  readonly rows_NR: Float64Array;
  readonly width: number;
}

/** Splits off a fold and standardises on the rest. */
export async function prepareFold(
  features_NF: Float64Array,
  numFeatures: number,
  folds: Int32Array,
  fold: number,
): Promise<PreparedFold> {
  const all = [...folds.keys()];
  const train = all.filter((i) => folds[i] !== fold);
  const test = all.filter((i) => folds[i] === fold);
  return { train, test, ...(await principalCoordinates(features_NF, numFeatures, train)) };
}

/** Predictions of every item by the probe that did not see it, and the strength of each fold. */
export function crossValidate(
  parts: readonly PreparedFold[],
  classes: Int32Array,
  numClasses: number,
  { strengths = PROBE_STRENGTHS, numInnerFolds = 3 }: StrengthOptions,
  rng: Rng,
): { readonly predicted: Int32Array; readonly strengths: readonly number[] } {
  const predicted = new Int32Array(classes.length);
  const chosen = parts.map((part, fold) => {
    const strength =
      strengths.length === 1
        ? (strengths[0] ?? 0)
        : chooseStrength(part, classes, numClasses, strengths, numInnerFolds, rng.fork(`${fold}`));
    const { train, test } = part;
    const fit = openFit(part, train, test, classes, numClasses, PREDICTION_TOLERANCE);
    const chances_NC = fit(strength);
    test.forEach((item, t) => {
      const row = Array.from({ length: numClasses }, (_, c) => chances_NC[t * numClasses + c] ?? 0);
      predicted[item] = row.indexOf(Math.max(...row));
    });
    return strength;
  });
  return { predicted, strengths: chosen };
}

/**
 * The strength with the fewest wrong answers over inner folds of the training part, of equals the
 * one of least cross entropy. Accuracy is what the probe is judged by, and cross entropy rises long
 * before it falls where classes have few members.
 */
function chooseStrength(
  part: PreparedFold,
  classes: Int32Array,
  numClasses: number,
  strengths: readonly number[],
  numInnerFolds: number,
  rng: Rng,
): number {
  const own = Int32Array.from(part.train, (i) => classes[i] as number);
  const folds = stratifiedFolds(own, numInnerFolds, rng);
  const inner = Array.from({ length: numInnerFolds }, (_, fold) => {
    const train = part.train.filter((_item, i) => folds[i] !== fold);
    const test = part.train.filter((_item, i) => folds[i] === fold);
    return { test, fit: openFit(part, train, test, classes, numClasses, CHOICE_TOLERANCE) };
  });
  let best = { strength: NaN, numWrong: Infinity, loss: Infinity };
  for (const strength of [...strengths].sort((a, b) => b - a)) {
    let [numWrong, loss] = [0, 0];
    for (const { test, fit } of inner) {
      const chances_NC = fit(strength);
      test.forEach((item, t) => {
        const row_C = chances_NC.subarray(t * numClasses, (t + 1) * numClasses);
        const chance = row_C[classes[item] as number] ?? 0;
        if (row_C.some((other) => other > chance)) numWrong += 1;
        loss -= Math.log(Math.max(chance, NO_CHANCE));
      });
    }
    const isBetter = numWrong < best.numWrong || (numWrong === best.numWrong && loss < best.loss);
    if (isBetter) best = { strength, numWrong, loss };
  }
  return best.strength;
}

/** Fits on `train` and gives chances [test, C]; each strength starts from the fit before it. */
function openFit(
  part: PreparedFold,
  train: readonly number[],
  test: readonly number[],
  classes: Int32Array,
  numClasses: number,
  tolerance: number,
): (strength: number) => Float64Array {
  const { width } = part;
  // A class without an item has no place in the fit: its free intercept would run away.
  const present = [...new Set(train.map((i) => classes[i] as number))].sort((a, b) => a - b);
  const problem = {
    rows_NR: takeRows(part.rows_NR, width, train),
    width,
    classes_N: Int32Array.from(train, (i) => present.indexOf(classes[i] as number)),
    numClasses: present.length,
  };
  const rows_NR = takeRows(part.rows_NR, width, test);
  let start: Float64Array | undefined;
  return (strength) => {
    const options = { tolerance, ...(start ? { start } : {}) };
    start = fitLogistic({ ...problem, strength }, options);
    const chances_NC = new Float64Array(test.length * numClasses);
    logisticProbabilities(rows_NR, width, start).forEach((chance, at) => {
      const c = present[at % present.length] ?? 0;
      chances_NC[Math.floor(at / present.length) * numClasses + c] = chance;
    });
    return chances_NC;
  };
}

/** Rows at some places of a matrix of any number of rows, in f64. */
export function takeRows(
  rows: Float32Array | Float64Array,
  width: number,
  places: readonly number[],
): Float64Array {
  const taken = new Float64Array(places.length * width);
  places.forEach((place, i) => {
    taken.set(rows.subarray(place * width, (place + 1) * width), i * width);
  });
  return taken;
}
