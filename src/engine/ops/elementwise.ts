// Owns element-wise operations and their gradient rules; shapes broadcast as in NumPy.

import { ShapeError } from '../../errors.ts';
import { broadcastShapes, sameShape, showShape } from '../dims.ts';
import type { GraphDType } from '../emitter.ts';
import type { Value } from '../graph.ts';
import { sumTo } from './broadcast.ts';

function sameType(name: string, a: Value, b: Value): void {
  if (a.dtype === b.dtype) return;
  throw new ShapeError({
    what: `${name}: operands differ in type`,
    got: `${a.dtype} and ${b.dtype}`,
  });
}

function binary(
  opType: string,
  a: Value,
  b: Value,
  gradient: (grad: Value, result: Value) => readonly [Value | null, Value | null],
): Value {
  sameType(opType, a, b);
  return a.graph.add({
    name: opType,
    inputs: [a, b],
    dtype: a.dtype,
    shape: broadcastShapes(a.shape, b.shape, opType),
    emit: (e, names) => e.node(opType, names),
    gradient: (g, y) => {
      const [ga, gb] = gradient(g, y);
      return [ga && sumTo(ga, a.shape), gb && sumTo(gb, b.shape)];
    },
  });
}

/** a + b. */
export function add(a: Value, b: Value): Value {
  return binary('Add', a, b, (g) => [g, g]);
}

/** a - b. */
export function sub(a: Value, b: Value): Value {
  return binary('Sub', a, b, (g) => [g, neg(g)]);
}

/** a * b. */
export function mul(a: Value, b: Value): Value {
  return binary('Mul', a, b, (g) => [mul(g, b), mul(g, a)]);
}

/** a / b. */
export function div(a: Value, b: Value): Value {
  return binary('Div', a, b, (g, y) => [div(g, b), neg(div(mul(g, y), b))]);
}

function unary(opType: string, x: Value, gradient: (grad: Value, result: Value) => Value): Value {
  return x.graph.add({
    name: opType,
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, names) => e.node(opType, names),
    gradient: (g, y) => [gradient(g, y)],
  });
}

/** -x. */
export function neg(x: Value): Value {
  return unary('Neg', x, (g) => neg(g));
}

/** e^x. */
export function exp(x: Value): Value {
  return unary('Exp', x, (g, y) => mul(g, y));
}

/** Natural logarithm; x > 0. */
export function log(x: Value): Value {
  return unary('Log', x, (g) => div(g, x));
}

/** Square root; x > 0 where a gradient is asked for. */
export function sqrt(x: Value): Value {
  return unary('Sqrt', x, (g, y) => div(g, scale(y, 2)));
}

/** 1 / x. */
export function reciprocal(x: Value): Value {
  return unary('Reciprocal', x, (g, y) => neg(mul(g, mul(y, y))));
}

/** sin x. */
export function sin(x: Value): Value {
  return unary('Sin', x, (g) => mul(g, cos(x)));
}

/** cos x. */
export function cos(x: Value): Value {
  return unary('Cos', x, (g) => neg(mul(g, sin(x))));
}

/**
 * Logistic function 1 / (1 + e^-x). In f64 it is spelt out: ONNX Runtime fuses x * Sigmoid(x) into
 * an operator that has no f64 kernel, and then refuses the graph.
 */
export function sigmoid(x: Value): Value {
  return x.graph.add({
    name: 'Sigmoid',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, [input = '']) => {
      if (x.dtype !== 'f64') return e.node('Sigmoid', [input]);
      const power = e.node('Exp', [e.node('Neg', [input])]);
      return e.node('Reciprocal', [e.node('Add', [power, e.floatScalar('f64', 1)])]);
    },
    gradient: (g, y) => [mul(g, sub(y, mul(y, y)))],
  });
}

/** SiLU x * sigmoid(x), the activation of SwiGLU. */
export function silu(x: Value): Value {
  return mul(x, sigmoid(x));
}

/**
 * silu(x) * y, the gate of SwiGLU. The slope of silu is s (1 + x - silu(x)) with s = sigmoid(x), which
 * takes fewer passes than the rules of the single steps.
 */
export function siluGate(x: Value, y: Value): Value {
  sameType('siluGate', x, y);
  if (!sameShape(x.shape, y.shape)) {
    throw new ShapeError({
      what: 'siluGate: operands differ in shape',
      got: `${showShape(x.shape)} and ${showShape(y.shape)}`,
    });
  }
  const slope = sigmoid(x);
  const active = mul(x, slope);
  return x.graph.add({
    name: 'siluGate',
    inputs: [active, y, x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, [from = '', by = '']) => e.node('Mul', [from, by]),
    // The whole gradient goes straight to x, so none goes through `active`.
    gradient: (g) => [null, mul(g, active), mul(mul(g, y), add(slope, mul(slope, sub(x, active))))],
  });
}

/** x * factor with a constant factor. */
export function scale(x: Value, factor: number): Value {
  return mul(x, x.graph.scalar(factor));
}

/** x + offset with a constant offset. */
export function shift(x: Value, offset: number): Value {
  return add(x, x.graph.scalar(offset));
}

/** x * x. */
export function square(x: Value): Value {
  return mul(x, x);
}

/** Terms of erf's all-positive series that f64 needs up to |x| = 6, where erf rounds to 1. */
const ERF_SERIES_TERMS = 150;
const ERF_SATURATION = 6;

/**
 * Error function. ONNX Runtime has no f64 kernel, so f64 graphs (gradient checks) use the series
 * erf x = 2/sqrt(pi) e^(-x^2) sum_n 2^n x^(2n+1) / (2n+1)!!, whose terms all have one sign.
 */
export function erf(x: Value): Value {
  const slope = 2 / Math.sqrt(Math.PI);
  return x.graph.add({
    name: 'Erf',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, [input = '']) => {
      if (x.dtype !== 'f64') return e.node('Erf', [input]);
      const c = (v: number): string => e.floatScalar('f64', v);
      const clipped = e.node('Clip', [input, c(-ERF_SATURATION), c(ERF_SATURATION)]);
      const x2 = e.node('Mul', [clipped, clipped]);
      let sum = c(1);
      for (let n = ERF_SERIES_TERMS; n >= 1; n--) {
        const term = e.node('Mul', [e.node('Mul', [x2, c(2 / (2 * n + 1))]), sum]);
        sum = e.node('Add', [term, c(1)]);
      }
      const tail = e.node('Mul', [e.node('Exp', [e.node('Neg', [x2])]), c(slope)]);
      return e.node('Mul', [e.node('Mul', [tail, clipped]), sum]);
    },
    gradient: (g) => [mul(g, scale(exp(neg(square(x))), slope))],
  });
}

/** Exact GELU x/2 (1 + erf(x / sqrt 2)), the merger's activation. */
export function gelu(x: Value): Value {
  return mul(scale(x, 0.5), shift(erf(scale(x, Math.SQRT1_2)), 1));
}

function compare(opType: string, a: Value, b: Value): Value {
  sameType(opType, a, b);
  return a.graph.add({
    name: opType,
    inputs: [a, b],
    dtype: 'bool',
    shape: broadcastShapes(a.shape, b.shape, opType),
    emit: (e, names) => e.node(opType, names),
    gradient: () => [null, null],
  });
}

/** a == b as a mask. */
export function equal(a: Value, b: Value): Value {
  return compare('Equal', a, b);
}

/** a <= b as a mask. */
export function lessOrEqual(a: Value, b: Value): Value {
  return compare('LessOrEqual', a, b);
}

/** a < b as a mask. */
export function less(a: Value, b: Value): Value {
  return compare('Less', a, b);
}

/** Both masks. */
export function and(a: Value, b: Value): Value {
  return compare('And', a, b);
}

/** Either mask. */
export function or(a: Value, b: Value): Value {
  return compare('Or', a, b);
}

/** The mask turned around. */
export function not(mask: Value): Value {
  return mask.graph.add({
    name: 'Not',
    inputs: [mask],
    dtype: 'bool',
    shape: mask.shape,
    emit: (e, names) => e.node('Not', names),
    gradient: () => [null],
  });
}

/** Where the mask holds a, else b. */
export function where(mask: Value, a: Value, b: Value): Value {
  sameType('Where', a, b);
  const shape = broadcastShapes(mask.shape, broadcastShapes(a.shape, b.shape, 'Where'), 'Where');
  return a.graph.add({
    name: 'Where',
    inputs: [mask, a, b],
    dtype: a.dtype,
    shape,
    emit: (e, names) => e.node('Where', names),
    gradient: (g) => {
      const zero = g.graph.scalar(0);
      return [null, sumTo(where(mask, g, zero), a.shape), sumTo(where(mask, zero, g), b.shape)];
    },
  });
}

function isFloat(dtype: GraphDType): boolean {
  return dtype === 'f32' || dtype === 'f64' || dtype === 'f16';
}

/** The value in another type; gradients flow between floating-point types only. */
export function cast(x: Value, dtype: GraphDType): Value {
  if (x.dtype === dtype) return x;
  return x.graph.add({
    name: 'Cast',
    inputs: [x],
    dtype,
    shape: x.shape,
    emit: (e, [input = '']) => e.cast(input, dtype),
    gradient: (g) => [isFloat(x.dtype) && isFloat(dtype) ? cast(g, x.dtype) : null],
  });
}

/** The value in the graph's floating-point type (masks become 0 and 1). */
export function toFloat(x: Value): Value {
  return cast(x, x.graph.float);
}

/** The same numbers through which no gradient flows. */
export function stopGradient(x: Value): Value {
  return x.graph.add({
    name: 'stopGradient',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (_e, [input = '']) => input,
    gradient: () => [null],
  });
}
