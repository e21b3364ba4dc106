// Owns multinomial logistic regression with an L2 penalty and its optimiser; probe.ts fits its probes with it.
// Axes: N rows, R columns, C classes; weights are [C, R + 1], the intercept of a class behind its row.
import { RuntimeError, ShapeError } from '../errors.ts';

/** Rows with labels, and how strongly weights are held at zero. */
export interface LogisticProblem {
  /** [N, R] */
  readonly rows_NR: Float64Array;
  readonly width: number;
  /** Class of each row, 0 to C - 1. */
  readonly classes_N: Int32Array;
  readonly numClasses: number;
  /** s in: mean cross entropy + s / 2 x sum of squared weights; intercepts are free. */
  readonly strength: number;
}

/** How far a fit goes. */
export interface FitOptions {
  /** Weights to start from, [C, R + 1]; default zeros, intercepts for the shares of the classes. */
  readonly start?: Float64Array;
  /** Stops when the gradient, each entry over the root of its curvature bound, is this short. */
  readonly tolerance?: number;
}

/** Enough for probabilities to 1e-6, see the test against scikit-learn. */
const DEFAULT_TOLERANCE = 1e-8; // ours
/** Steps the optimiser remembers. Source: Nocedal and Wright 2006, section 7.2: 3 to 20. */
const MEMORY = 10;
const MAX_STEPS = 1000; // ours: about 20 are usual
/** Share of the promised decrease that a step must reach. Source: Nocedal and Wright 2006, 3.1. */
const SUFFICIENT = 1e-4;

/**
 * Loss of the weights; writes its gradient. Source: Bishop 2006, section 4.3.4.
 * @param gradient - [C, R + 1], overwritten.
 */
export function logisticLoss(
  problem: LogisticProblem,
  weights: Float64Array,
  gradient: Float64Array,
): number {
  const { rows_NR, width, classes_N, numClasses, strength } = problem;
  const scores = new Float64Array(numClasses);
  const numRows = classes_N.length;
  let loss = 0;
  gradient.fill(0);
  for (let n = 0; n < numRows; n++) {
    const row = rows_NR.subarray(n * width, (n + 1) * width);
    const own = classes_N[n] as number;
    scoreRow(row, weights, scores);
    const ownScore = scores[own] as number;
    loss += softmax(scores) - ownScore;
    scores[own] = (scores[own] as number) - 1;
    for (let c = 0; c < numClasses; c++) {
      const error = scores[c] as number;
      const base = c * (width + 1);
      for (let r = 0; r < width; r++) {
        gradient[base + r] = (gradient[base + r] as number) + error * (row[r] as number);
      }
      gradient[base + width] = (gradient[base + width] as number) + error;
    }
  }
  let penalty = 0;
  for (let i = 0; i < gradient.length; i++) {
    const weight = i % (width + 1) === width ? 0 : (weights[i] as number);
    gradient[i] = (gradient[i] as number) / numRows + strength * weight;
    penalty += weight * weight;
  }
  return loss / numRows + (strength * penalty) / 2;
}

/**
 * Probabilities of the classes for rows, [N, C].
 * @param weights - [C, R + 1]
 */
export function logisticProbabilities(
  rows_NR: Float64Array,
  width: number,
  weights: Float64Array,
): Float64Array {
  const numClasses = weights.length / (width + 1);
  const numRows = width === 0 ? 0 : rows_NR.length / width;
  const result_NC = new Float64Array(numRows * numClasses);
  for (let n = 0; n < numRows; n++) {
    const scores = result_NC.subarray(n * numClasses, (n + 1) * numClasses);
    scoreRow(rows_NR.subarray(n * width, (n + 1) * width), weights, scores);
    softmax(scores);
  }
  return result_NC;
}

/**
 * Weights [C, R + 1] of least loss: L-BFGS whose first guess of the curvature is Boehning's bound
 * (1992), half the mean square of each column plus the penalty. It is good where columns are
 * uncorrelated (principal components), which takes the fit to about ten steps.
 * @throws ShapeError when labels and rows do not fit; RuntimeError when rows are not finite or it
 * does not converge.
 */
export function fitLogistic(problem: LogisticProblem, options: FitOptions = {}): Float64Array {
  const { rows_NR, width, classes_N, numClasses } = problem;
  if (classes_N.length === 0 || rows_NR.length !== classes_N.length * width) {
    throw new ShapeError({
      what: 'Rows and labels of a probe do not belong together',
      got: `${rows_NR.length} numbers, ${classes_N.length} labels`,
      expected: `${width} numbers a label, at least one label`,
    });
  }
  const { tolerance = DEFAULT_TOLERANCE } = options;
  const size = numClasses * (width + 1);
  const inverse = inverseCurvature(problem);
  const history: StepPair[] = [];
  let weights: Float64Array = options.start?.slice() ?? startWeights(problem);
  let gradient: Float64Array = new Float64Array(size);
  let loss = logisticLoss(problem, weights, gradient);
  for (let step = 0; step < MAX_STEPS; step++) {
    if (!Number.isFinite(loss)) break;
    if (scaledLength(gradient, inverse) <= tolerance) return weights;
    const direction = descend(gradient, inverse, history);
    const promised = dot(direction, gradient);
    const next = new Float64Array(size);
    const nextGradient = new Float64Array(size);
    let nextLoss = Infinity;
    for (let length = 1; length > 1e-12; length /= 2) {
      for (let i = 0; i < size; i++) {
        next[i] = (weights[i] as number) + length * (direction[i] as number);
      }
      nextLoss = logisticLoss(problem, next, nextGradient);
      // Near the optimum the decrease is below the rounding of the loss.
      const slack = 1e-15 * Math.abs(loss);
      if (nextLoss <= loss + SUFFICIENT * length * promised + slack) break;
    }
    remember(history, weights, next, gradient, nextGradient, inverse);
    [weights, gradient, loss] = [next, nextGradient, nextLoss];
  }
  throw new RuntimeError({
    what: 'A probe does not converge',
    got: `loss ${loss}, gradient ${scaledLength(gradient, inverse)} after ${MAX_STEPS} steps`,
    expected: `finite rows, a gradient of at most ${tolerance}`,
    fix: 'look for NaN or very large numbers in what it is fitted on, or raise its strength',
  });
}

/** Right where rows say nothing, and near it under a strong penalty. */
function startWeights({ width, classes_N, numClasses }: LogisticProblem): Float64Array {
  const weights = new Float64Array(numClasses * (width + 1));
  for (let c = 0; c < numClasses; c++) {
    const count = classes_N.filter((own) => own === c).length;
    weights[c * (width + 1) + width] = Math.log(Math.max(count, 0.5));
  }
  return weights;
}

/** A step s, the change y of the gradient over it, 1 / (s y), and how y compares with the bound. */
interface StepPair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  readonly rho: number;
  readonly gamma: number;
}

function scoreRow(row: Float64Array, weights: Float64Array, scores: Float64Array): void {
  const width = row.length;
  for (let c = 0; c < scores.length; c++) {
    const base = c * (width + 1);
    let sum = weights[base + width] as number;
    for (let r = 0; r < width; r++) sum += (weights[base + r] as number) * (row[r] as number);
    scores[c] = sum;
  }
}

/** Turns scores to probabilities in place; gives log(sum of exp(scores)). */
function softmax(scores: Float64Array): number {
  let top = -Infinity;
  for (const score of scores) top = Math.max(top, score);
  let total = 0;
  for (let c = 0; c < scores.length; c++) {
    const value = Math.exp((scores[c] as number) - top);
    scores[c] = value;
    total += value;
  }
  for (let c = 0; c < scores.length; c++) scores[c] = (scores[c] as number) / total;
  return top + Math.log(total);
}

function inverseCurvature({ rows_NR, width, classes_N, numClasses, strength }: LogisticProblem) {
  const column = new Float64Array(width + 1);
  for (let i = 0; i < rows_NR.length; i++) {
    column[i % width] = (column[i % width] as number) + (rows_NR[i] as number) ** 2;
  }
  const inverse = new Float64Array(numClasses * (width + 1));
  for (let i = 0; i < inverse.length; i++) {
    const r = i % (width + 1);
    const curvature = (column[r] as number) / classes_N.length / 2 + strength;
    // A column of zeros without penalty never moves, whatever its curvature.
    inverse[i] = r === width ? 2 : 1 / (curvature || 1);
  }
  return inverse;
}

/** L-BFGS two-loop recursion. Source: Nocedal and Wright 2006, algorithm 7.4. */
function descend(
  gradient: Float64Array,
  inverse: Float64Array,
  history: readonly StepPair[],
): Float64Array {
  const q = gradient.map((value) => -value);
  const alphas: number[] = [];
  for (const { s, y, rho } of history.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.push(alpha);
    addScaled(q, y, -alpha);
  }
  const gamma = history.at(-1)?.gamma ?? 1;
  for (let i = 0; i < q.length; i++) q[i] = (q[i] as number) * gamma * (inverse[i] as number);
  for (const { s, y, rho } of history) addScaled(q, s, (alphas.pop() ?? 0) - rho * dot(y, q));
  return q;
}

function remember(
  history: StepPair[],
  weights: Float64Array,
  next: Float64Array,
  gradient: Float64Array,
  nextGradient: Float64Array,
  inverse: Float64Array,
): void {
  const s = next.map((value, i) => value - (weights[i] as number));
  const y = nextGradient.map((value, i) => value - (gradient[i] as number));
  const product = dot(s, y);
  // The loss is convex: only rounding makes the product negative, and such a pair says nothing.
  if (!(product > 0)) return;
  history.push({ s, y, rho: 1 / product, gamma: product / scaledLength(y, inverse) ** 2 });
  if (history.length > MEMORY) history.shift();
}

function scaledLength(vector: Float64Array, inverse: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < vector.length; i++) {
    sum += (vector[i] as number) ** 2 * (inverse[i] as number);
  }
  return Math.sqrt(sum);
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i] as number) * (b[i] as number);
  return sum;
}

function addScaled(target: Float64Array, vector: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = (target[i] as number) + factor * (vector[i] as number);
  }
}
