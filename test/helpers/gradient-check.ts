// Owns the check of gradient rules by central differences in f64; every test of a gradient calls it.

import { evaluateDim } from '../../src/engine/dims.ts';
import { encodeGraph } from '../../src/engine/encode.ts';
import { gradients } from '../../src/engine/gradient.ts';
import { Graph } from '../../src/engine/graph.ts';
import type { Value } from '../../src/engine/graph.ts';
import { sum } from '../../src/engine/ops/broadcast.ts';
import { add, mul, scale, square } from '../../src/engine/ops/elementwise.ts';
import { Session } from '../../src/engine/session.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { Rng } from '../../src/rng.ts';
import { toTensor } from './nd.ts';
import {
  GRAIN,
  declareOperands,
  feedsOf,
  operandName,
  randomValues,
  symbolSizes,
} from './op-case.ts';
import type { OpCase, Operand } from './op-case.ts';

/** Largest relative error a gradient rule may show, as `worstError` defines it. */
export const TOLERANCE = 1e-6;

/**
 * A tensor whose gradient is nowhere larger than this is compared with this instead, so that a
 * gradient that is zero everywhere needs |numeric| below TOLERANCE * FLOOR = 1e-9.
 */
const FLOOR = 1e-3;

/**
 * Fourth-order central difference: (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h, wrong by
 * h^4 f'''''/30, which with h = 2^-10 is under 1e-10 for all that is tested.
 */
const STEP = GRAIN;
const STENCIL = [
  { steps: -2, weight: 1 / 12 },
  { steps: -1, weight: -8 / 12 },
  { steps: 1, weight: 8 / 12 },
  { steps: 2, weight: -1 / 12 },
] as const;

/** The largest disagreement found: of which operand, and how large. */
export interface GradientError {
  readonly operand: string;
  readonly error: number;
}

interface Problem {
  readonly graph: Graph;
  /** The scalar that is differentiated. */
  readonly loss: Value;
  readonly inputs: readonly Value[];
  readonly operands: readonly Operand[];
}

/** sum(y * cotangent) with a random cotangent, fed as one more operand. */
function weigh(y: Value, name: string, operands: readonly Operand[], rng: Rng): [Value, Tensor] {
  const sizes = symbolSizes(operands);
  const dims = y.shape.map((dim) => evaluateDim(dim, sizes) ?? NaN);
  const cotangent = y.graph.input(name, 'float', y.shape);
  const axes = y.shape.map((_, axis) => axis);
  return [sum(mul(y, cotangent), axes), toTensor(randomValues(rng, dims, -1, 1), 'f64')];
}

/**
 * Order 1: L = sum(c . y). Order 2: the rules' own rules, on
 * L2 = sum_i sum(d_i . dL1/dx_i) with L1 = sum(c . (y + y^2/2)), whose square keeps linear
 * operations in the second derivative.
 */
function pose(opCase: OpCase, order: 1 | 2, rng: Rng): [Problem, Record<string, Tensor>] {
  const graph = new Graph('f64');
  const { operands } = opCase;
  const inputs = declareOperands(graph, operands);
  const y = opCase.build(...inputs);
  const feeds = feedsOf(operands, 'f64');
  const objective = order === 1 ? y : add(y, scale(square(y), 0.5));
  const [first, cotangent] = weigh(objective, 'cotangent', operands, rng);
  feeds['cotangent'] = cotangent;
  if (order === 1) return [{ graph, loss: first, inputs, operands }, feeds];
  let loss: Value | undefined;
  gradients(first, floatsOf(inputs, operands)).forEach((grad, i) => {
    const [term, weights] = weigh(grad, `cotangent${i}`, operands, rng);
    feeds[`cotangent${i}`] = weights;
    loss = loss ? add(loss, term) : term;
  });
  return [{ graph, loss: loss ?? first, inputs, operands }, feeds];
}

function floatsOf<T>(items: readonly T[], operands: readonly Operand[]): T[] {
  return items.filter((_, i) => operands[i]?.role === 'float');
}

/** Session of a graph's loss alone, run for every step of the stencil. */
async function numericGradient(
  session: Session,
  feeds: Record<string, Tensor>,
  name: string,
): Promise<number[]> {
  const data = feeds[name]?.data as Float64Array;
  const evaluate = async (): Promise<number> => Number((await session.run(feeds))['loss']?.data[0]);
  const result: number[] = [];
  for (const [i, value] of data.entries()) {
    let slope = 0;
    for (const { steps, weight } of STENCIL) {
      data[i] = value + steps * STEP;
      slope += (weight / STEP) * (await evaluate());
    }
    data[i] = value;
    result.push(slope);
  }
  return result;
}

/** max |a - n| / max(max |a|, max |n|, FLOOR) over one tensor; NaN counts as infinitely wrong. */
export function worstError(analytic: ArrayLike<number>, numeric: ArrayLike<number>): number {
  let difference = analytic.length === numeric.length ? 0 : Infinity;
  let size = FLOOR;
  for (let i = 0; i < analytic.length; i++) {
    const [a, n] = [analytic[i] ?? NaN, numeric[i] ?? NaN];
    const apart = Math.abs(a - n);
    difference = Math.max(difference, Number.isNaN(apart) ? Infinity : apart);
    size = Math.max(size, Math.abs(a), Math.abs(n));
  }
  return difference === Infinity ? Infinity : difference / size;
}

/** Compares the gradients of every floating-point operand and returns the worst of them. */
export async function checkGradients(
  opCase: OpCase,
  options: { readonly order?: 1 | 2; readonly seed?: number } = {},
): Promise<GradientError> {
  const [problem, feeds] = pose(opCase, options.order ?? 1, new Rng(options.seed ?? 0));
  const { graph, loss, inputs, operands } = problem;
  graph.output('loss', loss);
  await using forward = await Session.create(encodeGraph(graph), { threads: 1 });
  const names = floatsOf(
    operands.map((_, i) => operandName(i)),
    operands,
  );
  gradients(loss, floatsOf(inputs, operands)).forEach((grad, i) => {
    graph.output(`gradient of ${names[i] ?? ''}`, grad);
  });
  await using backward = await Session.create(encodeGraph(graph), { threads: 1 });
  const analytic = await backward.run(feeds);
  let worst: GradientError = { operand: 'none', error: 0 };
  for (const name of names) {
    const found = analytic[`gradient of ${name}`];
    const numeric = await numericGradient(forward, feeds, name);
    const isSameShape = found?.dims.join() === feeds[name]?.dims.join();
    const error = isSameShape
      ? worstError(Array.from(found?.data ?? [], Number), numeric)
      : Infinity;
    if (error > worst.error || worst.operand === 'none') worst = { operand: name, error };
  }
  return worst;
}
