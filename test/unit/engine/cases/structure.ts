// Owns random calls and slow twins of operations that move data; the operation tests run them.

import { mulDims, toDim } from '../../../../src/engine/dims.ts';
import type { DimLike } from '../../../../src/engine/dims.ts';
import * as broadcast from '../../../../src/engine/ops/broadcast.ts';
import { add } from '../../../../src/engine/ops/elementwise.ts';
import * as indexing from '../../../../src/engine/ops/indexing.ts';
import * as shapes from '../../../../src/engine/ops/shape.ts';
import { numElements } from '../../../../src/engine/tensor.ts';
import { at, foldAxes, tabulate, withDims, zipWith } from '../../../helpers/nd.ts';
import type { Nd } from '../../../helpers/nd.ts';
import { indexOperand, sizesOf } from '../../../helpers/op-case.ts';
import type { Axis, OpCaseMaker } from '../../../helpers/op-case.ts';

const times = (...dims: readonly DimLike[]): DimLike => mulDims(...dims.map(toDim));

/** [B, T, 6] under other shapes, with up to two dimensions that Reshape cannot be told. */
const reshape: OpCaseMaker = (draw) => {
  const axes = [draw.axis(), draw.axis(), { size: 6, dim: 6 }];
  const [b, t] = [axes[0]?.dim ?? 0, axes[1]?.dim ?? 0];
  const [B, T] = [axes[0]?.size ?? 0, axes[1]?.size ?? 0];
  const choices: readonly (readonly [readonly DimLike[], readonly number[]])[] = [
    [
      [times(b, t), 6],
      [B * T, 6],
    ],
    [
      [b, t, 2, 3],
      [B, T, 2, 3],
    ],
    [[times(b, t, 6)], [B * T * 6]],
    [
      [b, times(6, t)],
      [B, T * 6],
    ],
    [
      [t, b, 6],
      [T, B, 6],
    ],
    [
      [3, b, times(2, t)],
      [3, B, T * 2],
    ],
    [
      [t, 3, times(2, b)],
      [T, 3, B * 2],
    ],
    [
      [1, b, 1, t, 6],
      [1, B, 1, T, 6],
    ],
    [
      [2, times(b, t), 3],
      [2, B * T, 3],
    ],
    [
      [times(2, b), t, 3],
      [B * 2, T, 3],
    ],
  ];
  const [shape, dims] = choices[draw.int(0, choices.length - 1)] ?? [[], []];
  return {
    operands: [draw.floats(axes)],
    build: (x) => broadcast.reshape(x, shape),
    twin: (x) => withDims(x, dims),
  };
};

/** A flat [B*T, D] value split into axes that only another input has. */
const splitRows: OpCaseMaker = (draw) => {
  const [b, t, d] = [draw.axis(), draw.axis(), draw.axis()];
  return {
    operands: [draw.floats([b, t, d]), draw.floats([b, t, d])],
    build: (x, y) => {
      const flat = [times(b.dim, t.dim), d.dim];
      const sum = add(broadcast.reshape(x, flat), broadcast.reshape(y, flat));
      return broadcast.reshape(sum, [b.dim, 1, t.dim, d.dim]);
    },
    twin: (x, y) =>
      withDims(
        zipWith((p, q) => p + q, x, y),
        [b.size, 1, t.size, d.size],
      ),
  };
};

const expand: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 3);
  return {
    // The second operand only tells the target's size.
    operands: [draw.floats(draw.broadcastable(axes)), draw.floats(axes)],
    build: (x, y) => add(broadcast.expand(x, y.shape), y),
    twin: (x, y) => tabulate(sizesOf(axes), (i) => at(x, i) + at(y, i)),
  };
};

const positiveAxes = (axes: readonly number[], rank: number): number[] =>
  axes.map((axis) => (axis + rank) % rank);

const sum: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 4);
  const chosen = draw.axisSubset(axes.length);
  const keepDims = draw.flag();
  const gone = positiveAxes(chosen, axes.length);
  return {
    operands: [draw.floats(axes)],
    build: (x) => broadcast.sum(x, chosen, { keepDims }),
    twin: (x) => {
      const folded = foldAxes(x, gone, 0, (s, v) => s + v);
      return keepDims
        ? folded
        : withDims(
            folded,
            x.dims.filter((_, i) => !gone.includes(i)),
          );
    },
  };
};

const sumTo: OpCaseMaker = (draw) => {
  const axes = draw.axes(0, 3);
  const target = draw.broadcastable(axes);
  const lead = axes.length - target.length;
  const gone = axes.flatMap((axis, i) => (i < lead || target[i - lead] !== axis ? [i] : []));
  return {
    operands: [draw.floats(axes), draw.floats(target)],
    build: (x, y) => add(broadcast.sumTo(x, y.shape), y),
    twin: (x, y) => {
      const folded = foldAxes(x, gone, 0, (s, v) => s + v);
      return zipWith((p, q) => p + q, withDims(folded, sizesOf(target)), y);
    },
  };
};

const transpose: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 4);
  const order = draw.shuffled(axes.length);
  return {
    operands: [draw.floats(axes)],
    build: (x) => shapes.transpose(x, order),
    twin: (x) =>
      tabulate(
        order.map((axis) => x.dims[axis] ?? 0),
        (index) =>
          at(
            x,
            order.map((_, axis) => index[order.indexOf(axis)] ?? 0),
          ),
      ),
  };
};

const transposeLast: OpCaseMaker = (draw) => {
  const axes = draw.axes(2, 4);
  const swapped = (list: readonly number[]): number[] => [
    ...list.slice(0, -2),
    ...list.slice(-2).reverse(),
  ];
  return {
    operands: [draw.floats(axes)],
    build: shapes.transposeLast,
    twin: (x) => tabulate(swapped(x.dims), (index) => at(x, swapped(index))),
  };
};

const concat: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 3);
  const axis = draw.axisIndex(axes.length);
  const place = (axis + axes.length) % axes.length;
  const parts = Array.from({ length: draw.int(1, 3) }, () => axes.with(place, draw.axis()));
  return {
    operands: parts.map((part) => draw.floats(part)),
    build: (...values) => shapes.concat(values, axis),
    twin: (...arrays) => {
      const dims = arrays[0]?.dims ?? [];
      const total = arrays.reduce((length, x) => length + (x.dims[place] ?? 0), 0);
      return tabulate(dims.with(place, total), (index) => {
        let row = index[place] ?? 0;
        for (const x of arrays) {
          if (row < (x.dims[place] ?? 0)) return at(x, index.with(place, row));
          row -= x.dims[place] ?? 0;
        }
        throw new RangeError('concat twin');
      });
    },
  };
};

const slice: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 3);
  const axis = draw.axisIndex(axes.length);
  const place = (axis + axes.length) % axes.length;
  const cut = axes[place] ?? { size: 0, dim: 0 };
  const [from, fromDim] = draw.place(cut);
  const [to, toDimension] = draw.place(cut, from);
  return {
    operands: [draw.floats(axes)],
    build: (x) => shapes.slice(x, axis, fromDim, toDimension),
    twin: (x) =>
      tabulate(x.dims.with(place, to - from), (index) =>
        at(x, index.with(place, (index[place] ?? 0) + from)),
      ),
  };
};

const padZeros: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 3);
  const axis = draw.axisIndex(axes.length);
  const place = (axis + axes.length) % axes.length;
  const [before, beforeDim] = draw.place(axes[0] ?? { size: 0, dim: 0 });
  const [after, afterDim] = draw.place(axes[axes.length - 1] ?? { size: 0, dim: 0 });
  return {
    operands: [draw.floats(axes)],
    build: (x) => shapes.padZeros(x, axis, beforeDim, afterDim),
    twin: (x) => {
      const size = x.dims[place] ?? 0;
      return tabulate(x.dims.with(place, before + size + after), (index) => {
        const row = (index[place] ?? 0) - before;
        return row >= 0 && row < size ? at(x, index.with(place, row)) : 0;
      });
    },
  };
};

const rotateHalf: OpCaseMaker = (draw) => {
  const half = draw.int(1, 3);
  return {
    operands: [draw.floats([...draw.axes(0, 3), { size: 2 * half, dim: 2 * half }])],
    build: shapes.rotateHalf,
    twin: (x) =>
      tabulate(x.dims, (index) => {
        const place = index.at(-1) ?? 0;
        const other = index.with(-1, (place + half) % (2 * half));
        return place < half ? -at(x, other) : at(x, other);
      }),
  };
};

/** Some index of a table's rows, of rank 0 to 2, with repeats. */
const gatherRows: OpCaseMaker = (draw) => {
  const [rows, width] = [draw.axis(), draw.axis()];
  return {
    operands: [draw.floats([rows, width]), draw.integers(draw.axes(0, 2), rows.size)],
    build: indexing.gatherRows,
    twin: (table, index) =>
      tabulate([...index.dims, width.size], (i) =>
        at(table, [at(index, i.slice(0, -1)), i.at(-1) ?? 0]),
      ),
  };
};

const scatterAddRows: OpCaseMaker = (draw) => {
  const [rows, width, targets] = [draw.axis(1, 5), draw.axis(), draw.axis()];
  return {
    // The last operand only tells the target's size.
    operands: [
      draw.floats([rows, width]),
      draw.integers([rows], targets.size),
      draw.floats([targets, width]),
    ],
    build: (x, index, like) => add(indexing.scatterAddRows(x, index, like.shape), like),
    twin: (x, index, like) =>
      tabulate(like.dims, (place) =>
        index.data.reduce(
          (total, target, row) =>
            target === place[0] ? total + at(x, [row, place[1] ?? 0]) : total,
          at(like, place),
        ),
      ),
  };
};

/** Where each of `numRows` rows goes among `numPlaces`, and back; what does not move is the size. */
function partialMove(
  order: readonly number[],
  numRows: number,
  numPlaces: number,
  numMoved: number,
): { readonly to: number[]; readonly back: number[] } {
  const to = Array.from({ length: numPlaces }, () => numRows);
  const back = Array.from({ length: numRows }, () => numPlaces);
  const places = order.filter((place) => place < numPlaces);
  const rows = [...order].reverse().filter((row) => row < numRows);
  for (let i = 0; i < numMoved; i++) {
    const [row, place] = [rows[i] ?? 0, places[i] ?? 0];
    to[place] = row;
    back[row] = place;
  }
  return { to, back };
}

const moveRows: OpCaseMaker = (draw) => {
  const [rows, width] = [draw.axis(1, 4), draw.axis()];
  const result: Axis[] = draw.axes(1, 2);
  const numPlaces = numElements(sizesOf(result));
  const order = draw.shuffled(Math.max(rows.size, numPlaces));
  const numMoved = draw.int(0, Math.min(rows.size, numPlaces));
  const { to, back } = partialMove(order, rows.size, numPlaces, numMoved);
  return {
    operands: [draw.floats([rows, width]), indexOperand(result, to), indexOperand([rows], back)],
    build: indexing.moveRows,
    twin: (x, index) =>
      tabulate([...index.dims, width.size], (i) => {
        const row = at(index, i.slice(0, -1));
        return row === rows.size ? 0 : at(x, [row, i.at(-1) ?? 0]);
      }),
  };
};

const pickLast: OpCaseMaker = (draw) => {
  const [lead, last] = [draw.axes(0, 3), draw.axis()];
  return {
    operands: [draw.floats([...lead, last]), draw.integers(lead, last.size)],
    build: indexing.pickLast,
    twin: (x, index) => tabulate(index.dims, (i) => at(x, [...i, at(index, i)])),
  };
};

/** Operations gradients flow through. */
export const STRUCTURE: Readonly<Record<string, OpCaseMaker>> = {
  reshape: (draw) => (draw.int(0, 2) === 0 ? splitRows(draw) : reshape(draw)),
  expand,
  sum,
  sumTo,
  transpose,
  transposeLast,
  concat,
  slice,
  padZeros,
  rotateHalf,
  gatherRows,
  scatterAddRows,
  moveRows,
  pickLast,
};

const sizeOf = (x: Nd): number => x.data.length;

/** Operations that read no number, only a size. */
export const STRUCTURE_CUTS: Readonly<Record<string, OpCaseMaker>> = {
  iota: (draw) => ({
    operands: [draw.floats(draw.axes(2, 2))],
    build: (x) => shapes.iota(x.graph, mulDims(...x.shape)),
    twin: (x) => tabulate([sizeOf(x)], ([i = 0]) => i),
  }),
  dimAsFloat: (draw) => ({
    operands: [draw.floats(draw.axes(2, 2))],
    build: (x) => shapes.dimAsFloat(x.graph, mulDims(...x.shape)),
    twin: (x) => ({ dims: [], data: [sizeOf(x)] }),
  }),
  dimAsInt: (draw) => ({
    operands: [draw.floats(draw.axes(2, 2))],
    build: (x) => shapes.dimAsInt(x.graph, mulDims(...x.shape)),
    twin: (x) => ({ dims: [], data: [sizeOf(x)] }),
  }),
};
