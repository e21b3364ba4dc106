// Owns a plain linear probe, nothing shared with src/; probe.ts holds the audit's accuracies against it.
import { uniforms } from './statistics.ts';

/** Folds, inner folds and penalties as the audit defines its probes; who is in which fold differs. */
const [NUM_FOLDS, NUM_INNER] = [5, 3];
/** Penalties to choose from, strongest first. */
export const STRENGTHS = [1, 0.1, 0.01, 0.001, 0.0001] as const;
/** Steps of a fit: twice as many change no more answers than other folds do. */
const NUM_STEPS = 300;
/** Rows have a mean squared length of 1, so that the loss curves by 1/2 at most, and 1/2 more for the intercept. */
const STEP_LENGTH = 1;

/** A state with the label that should be read from it, and its task. */
export interface ProbeItem {
  readonly state: readonly number[];
  readonly label: string;
  readonly task: string;
}

/** Products of all rows with each other, and the labels. */
interface Problem {
  readonly products: readonly Float64Array[];
  readonly labels: readonly string[];
}

/** Deals some items to folds, those of each label one after the other, in an order that `uniform` draws. */
function deal(
  labels: readonly string[],
  items: readonly number[],
  numFolds: number,
  uniform: () => number,
): number[][] {
  const order = items.map((i) => ({ i, label: labels[i] ?? '', draw: uniform() }));
  order.sort((a, b) => (a.label < b.label ? -1 : a.label > b.label ? 1 : a.draw - b.draw));
  return Array.from({ length: numFolds }, (_, fold) =>
    order.filter((_item, rank) => rank % numFolds === fold).map(({ i }) => i),
  );
}

/** Rows less the training rows' mean, over their deviation and the root of the width; then all products. */
function productsOf(items: readonly ProbeItem[], train: readonly number[]): Float64Array[] {
  const width = items[0]?.state.length ?? 0;
  const rows = items.map(() => new Float64Array(width));
  for (let f = 0; f < width; f++) {
    const column = train.map((i) => items[i]?.state[f] ?? NaN);
    const centre = column.reduce((a, b) => a + b, 0) / column.length;
    const spread = Math.sqrt(column.reduce((s, x) => s + (x - centre) ** 2, 0) / column.length);
    const isFlat = spread <= 1e-12 * Math.abs(centre);
    rows.forEach((row, i) => {
      row[f] = isFlat ? 0 : ((items[i]?.state[f] ?? NaN) - centre) / spread / Math.sqrt(width);
    });
  }
  const dot = (a: Float64Array, b: Float64Array): number =>
    a.reduce((sum, x, f) => sum + x * (b[f] as number), 0);
  return rows.map((a) => Float64Array.from(rows, (b) => dot(a, b)));
}

/** Chances of labels from the shares [labels, rows + 1] that each label has of each row; written over `chances`. */
function softmax(row: Float64Array, shares: readonly Float64Array[], chances: Float64Array): void {
  shares.forEach((own, c) => {
    let sum = 0;
    for (let j = 0; j < own.length; j++) sum += (own[j] as number) * (row[j] as number);
    chances[c] = sum;
  });
  const top = Math.max(...chances);
  let total = 0;
  for (const score of chances) total += Math.exp(score - top);
  for (let c = 0; c < chances.length; c++)
    chances[c] = Math.exp((chances[c] as number) - top) / total;
}

/**
 * Chances of labels for some items by a fit on others: steps down the mean cross entropy +
 * strength / 2 x squared weights, with Nesterov's momentum. Weights are sums of training rows, so
 * that a step in the weights is a step in the shares that rows have of them; intercepts are free.
 */
function chancesOf(
  { products, labels }: Problem,
  train: readonly number[],
  test: readonly number[],
  strength: number,
): Map<string, number>[] {
  const names = [...new Set(train.map((i) => labels[i] ?? ''))].sort();
  const n = train.length;
  const make = (): Float64Array[] => names.map(() => new Float64Array(n + 1));
  const [now, ahead, errors] = [make(), make(), make()];
  const chances = new Float64Array(names.length);
  const near = (i: number): Float64Array =>
    Float64Array.from([...train.map((j) => products[i]?.[j] ?? NaN), 1]);
  const rows = train.map(near);
  const own = train.map((i) => names.indexOf(labels[i] ?? ''));
  for (let step = 0; step < NUM_STEPS; step++) {
    for (const error of errors) error[n] = 0;
    rows.forEach((row, i) => {
      softmax(row, ahead, chances);
      errors.forEach((error, c) => {
        error[i] = ((chances[c] as number) - (own[i] === c ? 1 : 0)) / n;
        error[n] = (error[n] as number) + error[i];
      });
    });
    errors.forEach((error, c) => {
      const [from, to] = [now[c] as Float64Array, ahead[c] as Float64Array];
      for (let j = 0; j <= n; j++) {
        const penalty = j === n ? 0 : strength * (to[j] as number);
        const before = from[j] as number;
        const after = (to[j] as number) - STEP_LENGTH * ((error[j] as number) + penalty);
        from[j] = after;
        to[j] = after + (step / (step + 3)) * (after - before);
      }
    });
  }
  return test.map((i) => {
    softmax(near(i), now, chances);
    return new Map(names.map((name, c) => [name, chances[c] as number]));
  });
}

/** The penalty with the fewest wrong answers on inner folds, of equals that of least cross entropy. */
function choose(problem: Problem, train: readonly number[], uniform: () => number): number {
  const inner = deal(problem.labels, train, NUM_INNER, uniform);
  let best = { strength: NaN, wrong: Infinity, loss: Infinity };
  for (const strength of STRENGTHS) {
    let [wrong, loss] = [0, 0];
    for (const test of inner) {
      const others = train.filter((i) => !test.includes(i));
      chancesOf(problem, others, test, strength).forEach((chances, t) => {
        const label = problem.labels[test[t] ?? -1] ?? '';
        const chance = chances.get(label) ?? 0;
        if ([...chances.values()].some((other) => other > chance)) wrong += 1;
        loss -= Math.log(Math.max(chance, 1e-12));
      });
    }
    if (wrong < best.wrong || (wrong === best.wrong && loss < best.loss))
      best = { strength, wrong, loss };
  }
  return best.strength;
}

/** Labels in an order that `uniform` draws. */
function shuffled(labels: readonly string[], uniform: () => number): string[] {
  const draws = labels.map((label) => ({ label, draw: uniform() }));
  return draws.sort((a, b) => a.draw - b.draw).map(({ label }) => label);
}

function numReadOf(
  items: readonly ProbeItem[],
  isShuffled: boolean,
  uniform: () => number,
): number {
  const all = [...items.keys()];
  const own = items.map(({ label }) => label);
  const labels = isShuffled ? shuffled(own, uniform) : own;
  const folds = deal(labels, all, NUM_FOLDS, uniform);
  let numRight = 0;
  for (const test of folds) {
    const train = all.filter((i) => !test.includes(i));
    const problem = { products: productsOf(items, train), labels };
    const strength = choose(problem, train, uniform);
    chancesOf(problem, train, test, strength).forEach((chances, t) => {
      const [first] = [...chances].sort((a, b) => b[1] - a[1]);
      if (first?.[0] === labels[test[t] ?? -1]) numRight += 1;
    });
  }
  return numRight;
}

/** Items that a probe fitted without them reads right, a probe for each task; with labels shuffled within tasks if asked. */
export function numRead(items: readonly ProbeItem[], seed: number, isShuffled = false): number {
  const uniform = uniforms(seed);
  let sum = 0;
  for (const task of new Set(items.map((item) => item.task)))
    sum += numReadOf(
      items.filter((item) => item.task === task),
      isShuffled,
      uniform,
    );
  return sum;
}
