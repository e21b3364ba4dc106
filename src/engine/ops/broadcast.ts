// Owns the operations that broadcasting needs (reshape, expand, sum) and their gradient rules.

import { ShapeError } from '../../errors.ts';
import {
  broadcastShapes,
  mulDims,
  normalizeAxis,
  sameDim,
  sameShape,
  showShape,
  toDim,
} from '../dims.ts';
import type { Dim, DimLike, Shape } from '../dims.ts';
import type { Emitter } from '../emitter.ts';
import type { Value } from '../graph.ts';

/**
 * Cheapest way to tell Reshape its target: constants with 0 (copy this axis), or with one -1 (what
 * is left), or the shape computed at run time. A -1 beside an axis that may turn out empty has no
 * answer, so it stands beside positive numbers only.
 */
function emitReshape(e: Emitter, input: string, from: Shape, to: Shape): string {
  const copied = to.map((d, i) => {
    if (typeof d === 'number') return d === 0 ? -1 : d;
    const source = from[i];
    return source !== undefined && sameDim(d, source) ? 0 : -1;
  });
  if (!copied.includes(-1)) return e.node('Reshape', [input, e.ints(copied)]);
  const inferred = to.map((d) => (typeof d === 'number' ? d : -1));
  const isPlain = !inferred.includes(0) && inferred.filter((d) => d === -1).length === 1;
  if (isPlain) return e.node('Reshape', [input, e.ints(inferred)]);
  return e.node('Reshape', [input, e.shape(to)], { attributes: { allowzero: { int: 1 } } });
}

const RESHAPE = 'Reshape';

/** The same elements in row-major order with another shape of equal size. */
export function reshape(x: Value, shape: readonly DimLike[]): Value {
  const target = shape.map(toDim);
  if (sameShape(x.shape, target)) return x;
  if (!sameDim(mulDims(...x.shape), mulDims(...target))) {
    throw new ShapeError({
      what: 'reshape changes the number of elements',
      got: `${showShape(x.shape)} to ${showShape(target)}`,
    });
  }
  // A shape in between serves nobody; without it a matrix that is cut into heads stays one node away.
  const [source] = x.operation.name === RESHAPE ? x.operation.inputs : [];
  if (source) return reshape(source, target);
  return x.graph.add({
    name: RESHAPE,
    inputs: [x],
    dtype: x.dtype,
    shape: target,
    emit: (e, [input = '']) => emitReshape(e, input, x.shape, target),
    gradient: (g) => [reshape(g, x.shape)],
  });
}

/** Broadcasts to a larger shape. */
export function expand(x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  const target = broadcastShapes(x.shape, shape, 'expand');
  if (!sameShape(target, shape)) {
    throw new ShapeError({
      what: 'expand: target is smaller',
      got: `${showShape(x.shape)} to ${showShape(shape)}`,
    });
  }
  return x.graph.add({
    name: 'Expand',
    inputs: [x],
    dtype: x.dtype,
    shape,
    emit: (e, [input = '']) => e.node('Expand', [input, e.shape(shape)]),
    gradient: (g) => [sumTo(g, x.shape)],
  });
}

/** A shape without the given axes, or with them as 1. */
export function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Dim[] {
  return keepDims
    ? shape.map((d, i) => (axes.includes(i) ? 1 : d))
    : shape.filter((_, i) => !axes.includes(i));
}

/** Options of a reduction. */
export interface ReduceOptions {
  /** Keep reduced axes with size 1; default false. */
  readonly keepDims?: boolean;
}

/** Sum over the given axes (negative axes count from the back). */
export function sum(x: Value, axes: readonly number[], options: ReduceOptions = {}): Value {
  const normal = axes.map((a) => normalizeAxis(a, x.rank, 'sum'));
  if (normal.length === 0) return x;
  if (new Set(normal).size < normal.length) {
    throw new ShapeError({ what: 'sum: an axis is named twice', got: axes.join() });
  }
  const keepDims = options.keepDims ?? false;
  return x.graph.add({
    name: 'ReduceSum',
    inputs: [x],
    dtype: x.dtype,
    shape: reducedShape(x.shape, normal, keepDims),
    emit: (e, [input = '']) =>
      e.node('ReduceSum', [input, e.ints(normal)], {
        attributes: { keepdims: { int: keepDims ? 1 : 0 } },
      }),
    gradient: (g) => [expand(reshape(g, reducedShape(x.shape, normal, true)), x.shape)],
  });
}

/** Sums a gradient back to the shape of an operand that was broadcast. */
export function sumTo(grad: Value, shape: Shape): Value {
  if (sameShape(grad.shape, shape)) return grad;
  broadcastShapes(grad.shape, shape, 'sumTo');
  const lead = grad.rank - shape.length;
  const axes = grad.shape.flatMap((dim, i) =>
    i < lead || !sameDim(dim, shape[i - lead] as Dim) ? [i] : [],
  );
  return reshape(sum(grad, axes, { keepDims: true }), shape);
}
