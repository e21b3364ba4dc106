// Owns probes: whether a label can be read linearly from states, cross-validated and with its controls; parts of the
// audit call it.
// Axes: N items, F features of a state, R principal coordinates of the training items, C classes.
import { DataError } from '../errors.ts';
import { clusteredInterval } from '../evaluate/effects.ts';
import { mean, quantile } from '../evaluate/statistics.ts';
import type { MeanInterval } from '../evaluate/statistics.ts';
import type { Rng } from '../rng.ts';
import { fitLogistic, logisticProbabilities } from './logistic.ts';
import { principalCoordinates } from './probe-design.ts';

/** States of items and the label that should be read from them. */
export interface ProbeData {
  /** [N, F], row-major. */
  readonly features_NF: Float32Array | Float64Array;
  /** F */
  readonly width: number;
  readonly labels: readonly string[];
  /** Alphabet of each item's label, such as its task: a probe is fitted within each. */
  readonly groups?: readonly string[];
}

/** How a probe is validated. */
export interface ProbeOptions {
  readonly rng: Rng;
  /** Default 5. */
  readonly numFolds?: number;
  /** Inner folds that choose the strength within each training part. Default 3. */
  readonly numInnerFolds?: number;
  /** Penalties to choose among, see PROBE_STRENGTHS. */
  readonly strengths?: readonly number[];
  /** Times the labels are shuffled for the control. Default 10. */
  readonly numShuffles?: number;
}

/** Items left out because their label is rarer than there are folds. */
export interface DroppedLabel {
  readonly group: string;
  readonly label: string;
  readonly count: number;
}

/** A kept item as the probe of its group that did not see it predicts it. */
export interface ProbedItem {
  /** Place among the items given. */
  readonly index: number;
  readonly group: string;
  readonly predicted: string;
  readonly correct: 0 | 1;
}

/** What a probe found. */
export interface ProbeResult {
  /** Items probed. */
  readonly n: number;
  /** Classes, summed over groups. */
  readonly numClasses: number;
  /** Cross-validated, pooled over groups; the interval resamples items. */
  readonly accuracy: MeanInterval;
  /** Accuracy of always naming the most frequent label of the group. */
  readonly majority: number;
  /** Accuracies of the same procedure on shuffled labels: mean and 95 % band. */
  readonly shuffled: MeanInterval;
  /** Strengths chosen, one for each fold of each group, ascending. */
  readonly strengths: readonly number[];
  readonly items: readonly ProbedItem[];
  readonly dropped: readonly DroppedLabel[];
}

/**
 * Penalties s of a probe: mean cross entropy + s / 2 |W|^2 on features standardised and divided by
 * sqrt(F), so that a state has a mean squared length of one at any width (scikit-learn's C is
 * 1 / (s n) there). ours: from nearly separating to nearly the majority.
 */
export const PROBE_STRENGTHS: readonly number[] = [1e-4, 1e-3, 1e-2, 1e-1, 1];
/** Gradient at which a fit of cross-validation ends; the loss is then exact to about 1e-6. */
const CV_TOLERANCE = 1e-3; // ours: predictions do not change below, see the test
/** Chance of a class that a training part does not know: equally bad for all strengths. */
const NO_CHANCE = 1e-12;

/**
 * Cross-validated accuracy of a multinomial logistic probe with its controls. Folds are stratified
 * and seeded by labels and groups alone, so that two sites of the same items share them and can be
 * compared item by item. The strength is chosen within each training part by the cross entropy of
 * inner folds; the shuffled control chooses again for every shuffle (labels are shuffled within
 * groups). The interval does not hold the luck of the folds.
 * Source: Alain and Bengio 2017 (linear probes); Hewitt and Liang 2019 (control labels).
 * @returns undefined when no group has two labels with as many items as there are folds.
 * @throws DataError when features and labels do not belong together or are not finite.
 */
export async function probe(
  data: ProbeData,
  options: ProbeOptions,
): Promise<ProbeResult | undefined> {
  checkData(data);
  const { rng, numFolds = 5, numShuffles = 10 } = options;
  const { kept, dropped } = keepFrequent(data, numFolds);
  const items: ProbedItem[] = [];
  const strengths: number[] = [];
  const numShuffledRight = new Array<number>(numShuffles).fill(0);
  let [numClasses, numMajority] = [0, 0];
  for (const [group, members] of kept) {
    const names = [...new Set(members.map((i) => data.labels[i] ?? ''))].sort();
    const classes = Int32Array.from(members, (i) => names.indexOf(data.labels[i] ?? ''));
    numClasses += names.length;
    numMajority += Math.max(...names.map((_, c) => classes.filter((own) => own === c).length));
    const folds = stratifiedFolds(classes, numFolds, rng.fork(`folds/${group}`));
    const rows = takeRows(data.features_NF, data.width, members);
    const parts: PreparedFold[] = [];
    for (let fold = 0; fold < numFolds; fold++) {
      parts.push(await prepareFold(rows, data.width, folds, fold));
    }
    const own = crossValidate(parts, classes, names.length, options, rng.fork(`inner/${group}`));
    strengths.push(...own.strengths);
    members.forEach((index, i) => {
      const predicted = own.predicted[i] ?? 0;
      const correct = predicted === classes[i] ? 1 : 0;
      items.push({ index, group, predicted: names[predicted] ?? '', correct });
    });
    for (let shuffle = 0; shuffle < numShuffles; shuffle++) {
      const stream = rng.fork(`shuffle/${group}/${shuffle}`);
      const shuffled = Int32Array.from(stream.shuffle([...classes]));
      const { predicted } = crossValidate(parts, shuffled, names.length, options, stream);
      const numRight = predicted.filter((guess, i) => guess === shuffled[i]).length;
      numShuffledRight[shuffle] = (numShuffledRight[shuffle] ?? 0) + numRight;
    }
  }
  if (items.length === 0) return undefined;
  items.sort((a, b) => a.index - b.index);
  const scores = items.map(({ correct }) => correct);
  const labels = items.map(({ index }) => String(index));
  return {
    n: items.length,
    numClasses,
    accuracy: clusteredInterval(scores, labels, rng.fork('interval')),
    majority: numMajority / items.length,
    shuffled: band(numShuffledRight.map((numRight) => numRight / items.length)),
    strengths: strengths.sort((a, b) => a - b),
    items,
    dropped,
  };
}

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
  { strengths = PROBE_STRENGTHS, numInnerFolds = 3 }: Omit<ProbeOptions, 'rng'>,
  rng: Rng,
): { readonly predicted: Int32Array; readonly strengths: readonly number[] } {
  const predicted = new Int32Array(classes.length);
  const chosen = parts.map((part, fold) => {
    const strength =
      strengths.length === 1
        ? (strengths[0] ?? 0)
        : chooseStrength(part, classes, numClasses, strengths, numInnerFolds, rng.fork(`${fold}`));
    const chances_NC = openFit(part, part.train, part.test, classes, numClasses)(strength);
    part.test.forEach((item, t) => {
      const row = Array.from({ length: numClasses }, (_, c) => chances_NC[t * numClasses + c] ?? 0);
      predicted[item] = row.indexOf(Math.max(...row));
    });
    return strength;
  });
  return { predicted, strengths: chosen };
}

/**
 * The strength of least cross entropy over inner folds of the training part: from the strongest on
 * until the cross entropy rises, which spares the slow fits of weak penalties where labels cannot
 * be read.
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
    return { test, fit: openFit(part, train, test, classes, numClasses) };
  });
  let [best, least] = [NaN, Infinity];
  for (const strength of [...strengths].sort((a, b) => b - a)) {
    let loss = 0;
    for (const { test, fit } of inner) {
      const chances_NC = fit(strength);
      test.forEach((item, t) => {
        const chance = chances_NC[t * numClasses + (classes[item] as number)] ?? 0;
        loss -= Math.log(Math.max(chance, NO_CHANCE));
      });
    }
    if (loss >= least) break;
    [best, least] = [strength, loss];
  }
  return best;
}

/** Fits on `train` and gives chances [test, C]; each strength starts from the fit before it. */
function openFit(
  part: PreparedFold,
  train: readonly number[],
  test: readonly number[],
  classes: Int32Array,
  numClasses: number,
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
  let start: Float64Array = new Float64Array(present.length * (width + 1));
  return (strength) => {
    start = fitLogistic({ ...problem, strength }, { start, tolerance: CV_TOLERANCE });
    const chances_NC = new Float64Array(test.length * numClasses);
    logisticProbabilities(rows_NR, width, start).forEach((chance, at) => {
      const c = present[at % present.length] ?? 0;
      chances_NC[Math.floor(at / present.length) * numClasses + c] = chance;
    });
    return chances_NC;
  };
}

function takeRows(
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

/** Items by group whose label is frequent enough; groups with fewer than two such labels go whole. */
function keepFrequent(
  { labels, groups }: ProbeData,
  numFolds: number,
): { readonly kept: ReadonlyMap<string, number[]>; readonly dropped: DroppedLabel[] } {
  const byGroup = new Map<string, Map<string, number[]>>();
  labels.forEach((label, i) => {
    const group = groups?.[i] ?? '';
    const ofGroup = byGroup.get(group) ?? new Map<string, number[]>();
    byGroup.set(group, ofGroup.set(label, [...(ofGroup.get(label) ?? []), i]));
  });
  const kept = new Map<string, number[]>();
  const dropped: DroppedLabel[] = [];
  for (const [group, ofGroup] of byGroup) {
    const frequent = [...ofGroup].filter(([, members]) => members.length >= numFolds);
    const isEnough = frequent.length >= 2;
    if (isEnough)
      kept.set(
        group,
        frequent.flatMap(([, members]) => members).sort((a, b) => a - b),
      );
    for (const [label, members] of ofGroup) {
      if (isEnough && members.length >= numFolds) continue;
      dropped.push({ group, label, count: members.length });
    }
  }
  return { kept, dropped };
}

function band(values: readonly number[]): MeanInterval {
  if (values.length === 0) return { mean: NaN, low: NaN, high: NaN };
  const sorted = Float64Array.from(values).sort();
  return { mean: mean(values), low: quantile(sorted, 0.025), high: quantile(sorted, 0.975) };
}

function checkData({ features_NF, width, labels, groups }: ProbeData): void {
  const fits = features_NF.length === labels.length * width && width > 0;
  if (!fits || (groups !== undefined && groups.length !== labels.length)) {
    throw new DataError({
      what: 'States and labels of a probe do not belong together',
      got: `${features_NF.length} numbers, ${labels.length} labels, ${groups?.length ?? 0} groups`,
      expected: `${width} numbers, one label and one group an item`,
    });
  }
  const place = features_NF.findIndex((value) => !Number.isFinite(value));
  if (place < 0) return;
  throw new DataError({
    what: `State of item ${Math.floor(place / width)} is not finite`,
    got: String(features_NF[place]),
    fix: 'look at the forward pass it was taken from',
  });
}
