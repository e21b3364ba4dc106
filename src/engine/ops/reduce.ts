// Owns means and maxima over axes and their gradient rules.

import { mulDims, normalizeAxis } from '../dims.ts';
import type { Dim } from '../dims.ts';
import type { Value } from '../graph.ts';
import { reducedShape, reshape, sum } from './broadcast.ts';
import type { ReduceOptions } from './broadcast.ts';
import { div, equal, mul, scale, toFloat } from './elementwise.ts';
import { dimAsFloat } from './shape.ts';

/** Mean over the given axes. */
export function mean(x: Value, axes: readonly number[], options: ReduceOptions = {}): Value {
  const total = sum(x, axes, options);
  const count = mulDims(...axes.map((a) => x.shape[normalizeAxis(a, x.rank, 'mean')] as Dim));
  return typeof count === 'number'
    ? scale(total, 1 / count)
    : div(total, dimAsFloat(x.graph, count));
}

/** Maximum over one axis; where several elements tie, the gradient is split evenly. */
export function max(x: Value, axis: number, options: ReduceOptions = {}): Value {
  const normal = normalizeAxis(axis, x.rank, 'max');
  const keepDims = options.keepDims ?? false;
  return x.graph.add({
    name: 'ReduceMax',
    inputs: [x],
    dtype: x.dtype,
    shape: reducedShape(x.shape, [normal], keepDims),
    emit: (e, [input = '']) =>
      e.node('ReduceMax', [input, e.ints([normal])], {
        attributes: { keepdims: { int: keepDims ? 1 : 0 } },
      }),
    gradient: (g, y) => {
      const kept = reducedShape(x.shape, [normal], true);
      const hit = toFloat(equal(x, reshape(y, kept)));
      return [mul(div(hit, sum(hit, [normal], { keepDims: true })), reshape(g, kept))];
    },
  });
}
