// Owns random calls and slow twins of products, reductions and blocks; the operation tests run them.

import type { Value } from '../../../../src/engine/graph.ts';
import * as linearOps from '../../../../src/engine/ops/linear.ts';
import * as nn from '../../../../src/engine/ops/nn.ts';
import * as reduce from '../../../../src/engine/ops/reduce.ts';
import { at, foldAxes, tabulate, withDims, zipWith } from '../../../helpers/nd.ts';
import type { Nd } from '../../../helpers/nd.ts';
import { sizesOf } from '../../../helpers/op-case.ts';
import type { Axis, Operand, OpCaseMaker } from '../../../helpers/op-case.ts';

/** Sum over k of f(k). */
function total(length: number, f: (k: number) => number): number {
  let sum = 0;
  for (let k = 0; k < length; k++) sum += f(k);
  return sum;
}

const matmul: OpCaseMaker = (draw) => {
  const lead = draw.axes(0, 2);
  const [m, k, n] = [draw.axis(), draw.axis(), draw.axis()];
  const other = draw.broadcastable(lead);
  const [leadA, leadB] = draw.flag() ? [lead, other] : [other, lead];
  return {
    operands: [draw.floats([...leadA, m, k]), draw.floats([...leadB, k, n])],
    build: linearOps.matmul,
    twin: (a, b) =>
      tabulate([...sizesOf(lead), m.size, n.size], (index) => {
        const [outer, row, column] = [index.slice(0, -2), index.at(-2) ?? 0, index.at(-1) ?? 0];
        return total(k.size, (i) => at(a, [...outer, row, i]) * at(b, [...outer, i, column]));
      }),
  };
};

const gemm: OpCaseMaker = (draw) => {
  const [m, k, n] = [draw.axis(), draw.axis(), draw.axis()];
  const [transposeA, transposeB, hasBias] = [draw.flag(), draw.flag(), draw.flag()];
  const pair = (x: Axis, y: Axis, isSwapped: boolean): Operand =>
    draw.floats(isSwapped ? [y, x] : [x, y]);
  const read = (x: Nd, row: number, column: number, isSwapped: boolean): number =>
    at(x, isSwapped ? [column, row] : [row, column]);
  return {
    operands: [
      pair(m, k, transposeA),
      pair(k, n, transposeB),
      ...(hasBias ? [draw.floats([n])] : []),
    ],
    build: (a: Value, b: Value, bias?: Value) =>
      linearOps.gemm(a, b, { transposeA, transposeB, ...(bias ? { bias } : {}) }),
    twin: (a: Nd, b: Nd, bias?: Nd) =>
      tabulate([m.size, n.size], ([row = 0, column = 0]) => {
        const product = total(
          k.size,
          (i) => read(a, row, i, transposeA) * read(b, i, column, transposeB),
        );
        return product + (bias ? at(bias, [column]) : 0);
      }),
  };
};

const linear: OpCaseMaker = (draw) => {
  const lead = draw.axes(0, 3);
  const [inner, outer] = [draw.axis(), draw.axis()];
  const bias = draw.flag() ? [draw.floats([outer])] : [];
  return {
    operands: [draw.floats([...lead, inner]), draw.floats([outer, inner]), ...bias],
    build: (x: Value, w: Value, b?: Value) => linearOps.linear(x, w, b),
    twin: (x: Nd, w: Nd, b?: Nd) =>
      tabulate([...sizesOf(lead), outer.size], (index) => {
        const column = index.at(-1) ?? 0;
        const dot = total(inner.size, (i) => at(x, index.with(-1, i)) * at(w, [column, i]));
        return dot + (b ? at(b, [column]) : 0);
      }),
  };
};

const mean: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 4);
  const chosen = draw.axisSubset(axes.length);
  const keepDims = draw.flag();
  const gone = chosen.map((axis) => (axis + axes.length) % axes.length);
  return {
    operands: [draw.floats(axes)],
    build: (x) => reduce.mean(x, chosen, { keepDims }),
    twin: (x) => {
      const folded = foldAxes(x, gone, 0, (s, v) => s + v);
      const count = x.data.length / folded.data.length;
      const kept = keepDims ? folded.dims : x.dims.filter((_, i) => !gone.includes(i));
      return withDims(
        zipWith((v) => v / count, folded),
        kept,
      );
    },
  };
};

const max: OpCaseMaker = (draw) => {
  const axes = draw.axes(1, 4);
  const axis = draw.axisIndex(axes.length);
  const keepDims = draw.flag();
  const gone = (axis + axes.length) % axes.length;
  return {
    operands: [draw.distinct(axes)],
    build: (x) => reduce.max(x, axis, { keepDims }),
    twin: (x) => {
      const folded = foldAxes(x, [gone], -Infinity, Math.max);
      return keepDims
        ? folded
        : withDims(
            folded,
            x.dims.filter((_, i) => i !== gone),
          );
    },
  };
};

/** Sum over the last axis, kept with size 1. */
function lastSum(x: Nd): Nd {
  return foldAxes(x, [x.dims.length - 1], 0, (s, v) => s + v);
}

function softmaxTwin(x: Nd): Nd {
  const powers = zipWith(Math.exp, x);
  return zipWith((p, sum) => p / sum, powers, lastSum(powers));
}

function normTwin(x: Nd, weight: Nd, epsilon: number): Nd {
  const width = x.dims.at(-1) ?? 1;
  const squares = lastSum(zipWith((v) => v * v, x));
  const normal = zipWith((v, s) => v / Math.sqrt(s / width + epsilon), x, squares);
  return zipWith((v, w) => v * w, normal, weight);
}

const EPSILON = 1e-3;

const rmsNorm: OpCaseMaker = (draw) => {
  const [lead, width] = [draw.axes(0, 3), draw.axis()];
  return {
    operands: [draw.nonzero([...lead, width]), draw.floats([width])],
    build: (x, w) => nn.rmsNorm(x, w, EPSILON),
    twin: (x, w) => normTwin(x, w, EPSILON),
  };
};

const crossEntropy: OpCaseMaker = (draw) => {
  const [rows, words] = [draw.axis(1, 4), draw.axis(1, 4)];
  return {
    operands: [
      draw.floats([rows, words], -3, 3),
      draw.integers([rows], words.size),
      draw.floats([rows], 0, 1),
      draw.floats([], 0.5, 2),
    ],
    build: nn.crossEntropy,
    twin: (logits, labels, weights, normalizer) => {
      const chances = softmaxTwin(logits);
      const loss = total(
        rows.size,
        (i) => -at(weights, [i]) * Math.log(at(chances, [i, at(labels, [i])])),
      );
      return { dims: [], data: [loss / at(normalizer, [])] };
    },
  };
};

const columnSums: OpCaseMaker = (draw) => {
  const [rows, columns] = [draw.axis(), draw.axis()];
  return {
    operands: [draw.floats([rows, columns])],
    build: linearOps.columnSums,
    twin: (x) => tabulate([columns.size], ([c = 0]) => total(rows.size, (r) => at(x, [r, c]))),
  };
};

const mixBySoftmax: OpCaseMaker = (draw) => {
  const lead = draw.axes(0, 2);
  const [rows, keys, width] = [draw.axis(), draw.axis(), draw.axis()];
  return {
    operands: [draw.floats([...lead, rows, keys], -3, 3), draw.floats([...lead, keys, width])],
    build: (scores, values) => nn.mixBySoftmax(scores, nn.softmax(scores), values),
    twin: (scores, values) => {
      const weights = softmaxTwin(scores);
      return tabulate([...sizesOf(lead), rows.size, width.size], (index) => {
        const [outer, row, column] = [index.slice(0, -2), index.at(-2) ?? 0, index.at(-1) ?? 0];
        return total(
          keys.size,
          (i) => at(weights, [...outer, row, i]) * at(values, [...outer, i, column]),
        );
      });
    },
  };
};

/** Operations gradients flow through. */
export const ALGEBRA: Readonly<Record<string, OpCaseMaker>> = {
  matmul,
  gemm,
  linear,
  mean,
  max,
  softmax: (draw) => ({
    operands: [draw.floats(draw.axes(1, 4), -3, 3)],
    build: nn.softmax,
    twin: softmaxTwin,
  }),
  logSoftmax: (draw) => ({
    operands: [draw.floats(draw.axes(1, 4), -3, 3)],
    build: nn.logSoftmax,
    twin: (x) => zipWith(Math.log, softmaxTwin(x)),
  }),
  columnSums,
  mixBySoftmax,
  rmsNorm,
  crossEntropy,
};
