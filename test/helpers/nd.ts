// Owns plain nested-loop arrays, the slow twins' data type; tests of numbers call it.

import { numElements, tensor } from '../../src/engine/tensor.ts';
import type { Tensor } from '../../src/engine/tensor.ts';

/** A dense row-major array of JavaScript numbers (masks are 0 and 1). */
export interface Nd {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** Types that `toTensor` makes. */
export type Role = 'f32' | 'f64' | 'i64' | 'bool';

/** Every multi-index of the dims in row-major order. */
export function indices(dims: readonly number[]): number[][] {
  return dims.reduce<number[][]>(
    (heads, size) => heads.flatMap((head) => Array.from({ length: size }, (_, i) => [...head, i])),
    [[]],
  );
}

/** The array whose element at every index is f(index). */
export function tabulate(dims: readonly number[], f: (index: readonly number[]) => number): Nd {
  return { dims, data: indices(dims).map(f) };
}

/** The element at an index; broadcasts like NumPy: leading axes are dropped, size 1 reads 0. */
export function at(x: Nd, index: readonly number[]): number {
  const own = index.slice(index.length - x.dims.length);
  const flat = x.dims.reduce((sum, size, axis) => {
    const place = size === 1 ? 0 : (own[axis] ?? NaN);
    return sum * size + (place < size ? place : NaN);
  }, 0);
  const value = x.data[flat];
  if (value === undefined) throw new RangeError(`[${index.join()}] is not in [${x.dims.join()}]`);
  return value;
}

/** The dims that several arrays broadcast to. */
export function commonDims(...arrays: readonly Nd[]): number[] {
  const rank = Math.max(...arrays.map((x) => x.dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = arrays.map((x) => x.dims[axis - rank + x.dims.length] ?? 1);
    return sizes.find((size) => size !== 1) ?? 1;
  });
}

/** f applied element by element to arrays that broadcast. */
export function zipWith(f: (...values: number[]) => number, ...arrays: readonly Nd[]): Nd {
  return tabulate(commonDims(...arrays), (index) => f(...arrays.map((x) => at(x, index))));
}

/** Folds each group of elements that agree on every axis not in `axes`; the axes stay with size 1. */
export function foldAxes(
  x: Nd,
  axes: readonly number[],
  start: number,
  f: (sum: number, value: number) => number,
): Nd {
  const kept = x.dims.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const inner = x.dims.map((size, axis) => (axes.includes(axis) ? size : 1));
  return tabulate(kept, (outer) =>
    indices(inner)
      .map((offset) =>
        at(
          x,
          outer.map((o, axis) => o + (offset[axis] ?? 0)),
        ),
      )
      .reduce((sum, value) => f(sum, value), start),
  );
}

/** The same elements under other dims. */
export function withDims(x: Nd, dims: readonly number[]): Nd {
  if (numElements(dims) !== x.data.length) throw new RangeError('withDims changes the size');
  return { dims, data: x.data };
}

/** The array as a tensor of the given type. */
export function toTensor(x: Nd, role: Role): Tensor {
  if (role === 'f32') return tensor('f32', x.dims, Float32Array.from(x.data));
  if (role === 'f64') return tensor('f64', x.dims, Float64Array.from(x.data));
  if (role === 'bool') return tensor('bool', x.dims, Uint8Array.from(x.data));
  return tensor('i64', x.dims, BigInt64Array.from(x.data, BigInt));
}

/** A tensor's numbers. */
export function fromTensor(t: Tensor): Nd {
  return { dims: t.dims, data: Array.from(t.data, Number) };
}
