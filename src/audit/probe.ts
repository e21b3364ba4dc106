// Owns probes: whether a label can be read linearly from states, cross-validated and with its controls; parts of the
// audit call it.
// Axes: N items, F features of a state.
import { DataError } from '../errors.ts';
import { clusteredInterval } from '../evaluate/effects.ts';
import { mean, quantile } from '../evaluate/statistics.ts';
import type { MeanInterval } from '../evaluate/statistics.ts';
import type { Rng } from '../rng.ts';
import { crossValidate, prepareFold, stratifiedFolds, takeRows } from './cross-validate.ts';
import type { PreparedFold, StrengthOptions } from './cross-validate.ts';

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
export interface ProbeOptions extends StrengthOptions {
  readonly rng: Rng;
  /** Default 5. */
  readonly numFolds?: number;
  /** Times the labels are shuffled for the control. Default 5. */
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
  const { rng, numFolds = 5, numShuffles = 5 } = options;
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
    const rows = takeRows(data.features_NF, data.width, members);
    const partsFor = async (labels: Int32Array, stream: Rng): Promise<PreparedFold[]> => {
      const folds = stratifiedFolds(labels, numFolds, stream);
      const parts: PreparedFold[] = [];
      for (let fold = 0; fold < numFolds; fold++)
        parts.push(await prepareFold(rows, data.width, folds, fold));
      return parts;
    };
    const parts = await partsFor(classes, rng.fork(`folds/${group}`));
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
      // Folds dealt by the true labels would be uneven in the shuffled ones, and the control too low.
      const dealt = await partsFor(shuffled, stream.fork('folds'));
      const { predicted } = crossValidate(dealt, shuffled, names.length, options, stream);
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
