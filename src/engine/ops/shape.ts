// Owns operations that move, cut and join data without arithmetic, and their gradient rules.

import { ShapeError } from '../../errors.ts';
import { addDims, dimAt, normalizeAxis, sameDim, showShape, subDims, toDim } from '../dims.ts';
import type { Dim, DimLike } from '../dims.ts';
import type { Graph, Value } from '../graph.ts';

/** Axes in a new order: result axis i is input axis `order[i]`. */
export function transpose(x: Value, order: readonly number[]): Value {
  if ([...order].sort((a, b) => a - b).join() !== x.shape.map((_, i) => i).join()) {
    throw new ShapeError({
      what: 'transpose: not a permutation',
      got: order.join(),
      expected: `0..${x.rank - 1}`,
    });
  }
  return x.graph.add({
    name: 'Transpose',
    inputs: [x],
    dtype: x.dtype,
    shape: order.map((axis) => dimAt(x.shape, axis)),
    emit: (e, names) => e.node('Transpose', names, { attributes: { perm: { ints: order } } }),
    gradient: (g) => [
      transpose(
        g,
        order.map((_, axis) => order.indexOf(axis)),
      ),
    ],
  });
}

/** Swaps the last two axes. */
export function transposeLast(x: Value): Value {
  const order = x.shape.map((_, i) => i);
  order.splice(-2, 2, x.rank - 1, x.rank - 2);
  return transpose(x, order);
}

/** Joins values along an axis. */
export function concat(parts: readonly Value[], axis: number): Value {
  const [first] = parts;
  if (!first) throw new ShapeError({ what: 'concat needs at least one part' });
  const normal = normalizeAxis(axis, first.rank, 'concat');
  let total: Dim = 0;
  for (const part of parts) {
    const same =
      part.rank === first.rank &&
      part.dtype === first.dtype &&
      part.shape.every((d, i) => i === normal || sameDim(d, first.shape[i] as Dim));
    if (!same) {
      throw new ShapeError({
        what: `concat: parts differ off axis ${normal}`,
        got: parts.map((p) => `${p.dtype}${showShape(p.shape)}`).join(', '),
      });
    }
    total = addDims(total, dimAt(part.shape, normal));
  }
  const shape = first.shape.map((d, i) => (i === normal ? total : d));
  return first.graph.add({
    name: 'Concat',
    inputs: parts,
    dtype: first.dtype,
    shape,
    emit: (e, names) => e.node('Concat', names, { attributes: { axis: { int: normal } } }),
    gradient: (g) => {
      let start: Dim = 0;
      return parts.map((part) => {
        const end = addDims(start, dimAt(part.shape, normal));
        const piece = slice(g, normal, start, end);
        start = end;
        return piece;
      });
    },
  });
}

/** Elements start..end-1 of one axis; both ends count from the front. */
export function slice(x: Value, axis: number, start: DimLike, end: DimLike): Value {
  const normal = normalizeAxis(axis, x.rank, 'slice');
  const [from, to] = [toDim(start), toDim(end)];
  const length = subDims(to, from);
  if (from === 0 && sameDim(to, dimAt(x.shape, normal))) return x;
  const full = dimAt(x.shape, normal);
  const rest = subDims(full, to);
  if ([from, length, rest].some((d) => typeof d === 'number' && d < 0)) {
    throw new ShapeError({
      what: 'slice: ends out of order or out of range',
      got: `${String(from)}..${String(to)}`,
      expected: `0 <= start <= end <= ${String(full)}`,
    });
  }
  return x.graph.add({
    name: 'Slice',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape.map((d, i) => (i === normal ? length : d)),
    emit: (e, [input = '']) => e.node('Slice', [input, e.dim(from), e.dim(to), e.ints([normal])]),
    gradient: (g) => [padZeros(g, normal, from, rest)],
  });
}

/** Zeros before and after on one axis; the transpose of `slice`. */
export function padZeros(x: Value, axis: number, before: Dim, after: Dim): Value {
  const normal = normalizeAxis(axis, x.rank, 'padZeros');
  const inner = dimAt(x.shape, normal);
  const zeros = (rank: number): readonly Dim[] => Array.from({ length: rank }, () => 0);
  const pads = [
    ...zeros(normal),
    before,
    ...zeros(x.rank - 1),
    after,
    ...zeros(x.rank - 1 - normal),
  ];
  return x.graph.add({
    name: 'Pad',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape.map((d, i) => (i === normal ? addDims(addDims(before, inner), after) : d)),
    emit: (e, [input = '']) => e.node('Pad', [input, e.shape(pads)]),
    gradient: (g) => [slice(g, normal, before, addDims(before, inner))],
  });
}

/** (x1, x2) of the last axis' halves to (-x2, x1): the rotation partner in rotary embeddings. */
export function rotateHalf(x: Value): Value {
  const last = dimAt(x.shape, -1);
  if (typeof last !== 'number' || last % 2 !== 0) {
    throw new ShapeError({ what: 'rotateHalf needs an even last axis', got: showShape(x.shape) });
  }
  return x.graph.add({
    name: 'rotateHalf',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, [input = '']) => {
      const axis = { axis: { int: x.rank - 1 } };
      const [a = '', b = ''] = e.nodeWithOutputs('Split', [input, e.ints([last / 2, last / 2])], {
        attributes: axis,
        outputs: 2,
      });
      return e.node('Concat', [e.node('Neg', [b]), a], { attributes: axis });
    },
    gradient: (g) => [rotateHalfBack(g)],
  });
}

/** The inverse (and transpose) of `rotateHalf`: (x1, x2) to (x2, -x1). */
function rotateHalfBack(x: Value): Value {
  const half = (dimAt(x.shape, -1) as number) / 2;
  return x.graph.add({
    name: 'rotateHalfBack',
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, [input = '']) => {
      const axis = { axis: { int: x.rank - 1 } };
      const [a = '', b = ''] = e.nodeWithOutputs('Split', [input, e.ints([half, half])], {
        attributes: axis,
        outputs: 2,
      });
      return e.node('Concat', [b, e.node('Neg', [a])], { attributes: axis });
    },
    gradient: (g) => [rotateHalf(g)],
  });
}

/** A dimension as a float scalar, for means over symbolic axes. */
export function dimAsFloat(graph: Graph, dim: Dim): Value {
  return graph.add({
    name: 'dimAsFloat',
    inputs: [],
    dtype: graph.float,
    shape: [],
    emit: (e) =>
      e.node('Cast', [e.node('Squeeze', [e.dim(dim), e.ints([0])])], {
        attributes: { to: { int: graph.float === 'f32' ? 1 : 11 } },
      }),
    gradient: () => [],
  });
}

/** A dimension as an int64 scalar. */
export function dimAsInt(graph: Graph, dim: Dim): Value {
  return graph.add({
    name: 'dimAsInt',
    inputs: [],
    dtype: 'i64',
    shape: [],
    emit: (e) => e.node('Squeeze', [e.dim(dim), e.ints([0])]),
    gradient: () => [],
  });
}

/** The int64 counter 0, 1, ..., length-1. */
export function iota(graph: Graph, length: DimLike): Value {
  const dim = toDim(length);
  return graph.add({
    name: 'iota',
    inputs: [],
    dtype: 'i64',
    shape: [dim],
    emit: (e) => {
      const scalar = (name: string): string => e.node('Squeeze', [name, e.ints([0])]);
      return e.node('Range', [scalar(e.ints([0])), scalar(e.dim(dim)), scalar(e.ints([1]))]);
    },
    gradient: () => [],
  });
}
