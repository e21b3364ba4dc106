// Owns random calls and slow twins of the element-wise operations; the operation tests run them.

import * as ops from '../../../../src/engine/ops/elementwise.ts';
import type { Value } from '../../../../src/engine/graph.ts';
import { zipWith } from '../../../helpers/nd.ts';
import type { Draw, Operand, OpCase, OpCaseMaker } from '../../../helpers/op-case.ts';

type Floats = (draw: Draw, axes: ReturnType<Draw['axes']>) => Operand;

const around1: Floats = (draw, axes) => draw.floats(axes);
const positive: Floats = (draw, axes) => draw.floats(axes, 0.5, 2);
const nonzero: Floats = (draw, axes) => draw.nonzero(axes);
const wide: Floats = (draw, axes) => draw.floats(axes, -3, 3);
/** So few values that equal ones are common. */
const ties: Floats = (draw, axes) => draw.integers(axes, 3, 'float');

function unary(
  build: (x: Value) => Value,
  twin: (x: number) => number,
  values: Floats = around1,
): OpCaseMaker {
  return (draw) => ({
    operands: [values(draw, draw.axes(0, 3))],
    build,
    twin: (x) => zipWith(twin, x),
  });
}

/** Two operands that both broadcast to a common shape. */
function binary(
  build: (a: Value, b: Value) => Value,
  twin: (a: number, b: number) => number,
  left: Floats = around1,
  right: Floats = left,
): OpCaseMaker {
  return (draw) => {
    const axes = draw.axes(0, 3);
    const [first, second] = [left(draw, axes), right(draw, draw.broadcastable(axes))];
    // One of the two has the full shape here; `add` and `where` below let neither have it.
    return draw.flag()
      ? { operands: [first, second], build, twin: (a, b) => zipWith(twin, a, b) }
      : {
          operands: [second, first],
          build: (b, a) => build(a, b),
          twin: (b, a) => zipWith(twin, a, b),
        };
  };
}

/** [A, 1, C] + [1, B, C]: both operands are broadcast. */
const addBothWays: OpCaseMaker = (draw) => {
  const [a, b, c] = [draw.axis(), draw.axis(), draw.axis()];
  const one = { size: 1, dim: 1 };
  return {
    operands: [draw.floats([a, one, c]), draw.floats([one, b, c])],
    build: ops.add,
    twin: (x, y) => zipWith((p, q) => p + q, x, y),
  };
};

const where: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 3);
  const orders = draw.shuffled(3);
  const shape = (i: number) => (orders[i] === 0 ? axes : draw.broadcastable(axes));
  return {
    operands: [draw.mask(shape(0)), draw.floats(shape(1)), draw.floats(shape(2))],
    build: ops.where,
    twin: (m, a, b) => zipWith((mask, x, y) => (mask === 1 ? x : y), m, a, b),
  };
};

/** The error function by its Taylor series, good to 1e-12 for |x| <= 3. */
function erfTwin(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const logistic = (x: number): number => 1 / (1 + Math.exp(-x));

/** There and back through a narrower type, in which the drawn values are exact. */
function throughNarrow(back: (x: Value) => Value): OpCaseMaker {
  return unary(
    (x) => back(ops.cast(x, x.graph.float === 'f64' ? 'f32' : 'f16')),
    (x) => x,
  );
}

function either(...makers: readonly OpCaseMaker[]): OpCaseMaker {
  return (draw): OpCase => {
    const maker = makers[draw.int(0, makers.length - 1)];
    if (!maker) throw new RangeError('either needs a maker');
    return maker(draw);
  };
}

/** Operations gradients flow through. */
export const ELEMENTWISE: Readonly<Record<string, OpCaseMaker>> = {
  add: either(
    binary(ops.add, (a, b) => a + b),
    addBothWays,
  ),
  sub: binary(ops.sub, (a, b) => a - b),
  mul: binary(ops.mul, (a, b) => a * b),
  div: binary(ops.div, (a, b) => a / b, around1, nonzero),
  neg: unary(ops.neg, (x) => -x),
  exp: unary(ops.exp, Math.exp, wide),
  log: unary(ops.log, Math.log, positive),
  sqrt: unary(ops.sqrt, Math.sqrt, positive),
  reciprocal: unary(ops.reciprocal, (x) => 1 / x, nonzero),
  sin: unary(ops.sin, Math.sin, wide),
  cos: unary(ops.cos, Math.cos, wide),
  sigmoid: unary(ops.sigmoid, logistic, wide),
  silu: unary(ops.silu, (x) => x * logistic(x), wide),
  siluGate: (draw) => {
    const axes = draw.axes(0, 3);
    return {
      operands: [wide(draw, axes), draw.floats(axes)],
      build: ops.siluGate,
      twin: (x, y) => zipWith((a, b) => a * logistic(a) * b, x, y),
    };
  },
  scale: unary(
    (x) => ops.scale(x, -1.75),
    (x) => -1.75 * x,
  ),
  shift: unary(
    (x) => ops.shift(x, 0.375),
    (x) => x + 0.375,
  ),
  square: unary(ops.square, (x) => x * x),
  erf: unary(ops.erf, erfTwin, wide),
  gelu: unary(ops.gelu, (x) => (x / 2) * (1 + erfTwin(x * Math.SQRT1_2)), wide),
  where,
  cast: throughNarrow((x) => ops.cast(x, x.graph.float)),
  toFloat: throughNarrow(ops.toFloat),
};

const bit = (holds: boolean): number => (holds ? 1 : 0);

function maskPair(
  build: (a: Value, b: Value) => Value,
  twin: (a: number, b: number) => number,
): OpCaseMaker {
  return binary(build, twin, (draw, axes) => draw.mask(axes));
}

/** Operations that cut gradients by design. */
export const ELEMENTWISE_CUTS: Readonly<Record<string, OpCaseMaker>> = {
  equal: binary(ops.equal, (a, b) => bit(a === b), ties),
  less: binary(ops.less, (a, b) => bit(a < b), ties),
  lessOrEqual: binary(ops.lessOrEqual, (a, b) => bit(a <= b), ties),
  and: maskPair(ops.and, (a, b) => a & b),
  or: maskPair(ops.or, (a, b) => a | b),
  not: (draw) => ({
    operands: [draw.mask(draw.axes(0, 3))],
    build: ops.not,
    twin: (x) => zipWith((v) => 1 - v, x),
  }),
  'cast to i64': unary((x) => ops.cast(x, 'i64'), Math.trunc, wide),
  'cast to bool': unary(
    (x) => ops.cast(x, 'bool'),
    (x) => bit(x !== 0),
    ties,
  ),
  stopGradient: unary(ops.stopGradient, (x) => x),
};
