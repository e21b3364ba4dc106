// Owns the building blocks of transformers that have a gradient rule of their own or are composed.

import { dimAt, mulDims } from '../dims.ts';
import type { Value } from '../graph.ts';
import { reshape, sum } from './broadcast.ts';
import { div, exp, mul, scale, shift, sqrt, square, sub } from './elementwise.ts';
import { pickLast } from './indexing.ts';
import { columnSums, gemm, matmul } from './linear.ts';
import { mean } from './reduce.ts';
import { dimAsFloat, transposeLast } from './shape.ts';

function lastAxis(opType: string, x: Value, gradient: (g: Value, y: Value) => Value): Value {
  return x.graph.add({
    name: opType,
    inputs: [x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, names) => e.node(opType, names, { attributes: { axis: { int: x.rank - 1 } } }),
    gradient: (g, y) => [gradient(g, y)],
  });
}

/** Softmax over the last axis. */
export function softmax(x: Value): Value {
  return lastAxis('Softmax', x, (g, y) => mul(y, sub(g, sum(mul(g, y), [-1], { keepDims: true }))));
}

/** Logarithm of softmax over the last axis. */
export function logSoftmax(x: Value): Value {
  return lastAxis('LogSoftmax', x, (g, y) => sub(g, mul(exp(y), sum(g, [-1], { keepDims: true }))));
}

/**
 * RMSNorm over the last axis: x / sqrt(mean(x^2) + epsilon) * weight. Source: Qwen2RMSNorm.
 *
 * With n = x / rms the gradient of x is (g w - n mean(g n w)) / rms, in fewer passes than the rules
 * of the single steps make; both sums over g n are products, which are faster than reductions.
 */
export function rmsNorm(x: Value, weight: Value, epsilon: number): Value {
  const rms = sqrt(shift(mean(square(x), [-1], { keepDims: true }), epsilon));
  const normed = div(x, rms);
  const width = dimAt(x.shape, -1);
  return x.graph.add({
    name: 'rmsNorm',
    inputs: [normed, weight, x],
    dtype: x.dtype,
    shape: x.shape,
    emit: (e, [from = '', by = '']) => e.node('Mul', [from, by]),
    // The whole gradient goes straight to x, so none goes through `normed`.
    gradient: (g) => {
      const rows = mulDims(...x.shape.slice(0, -1));
      const parts_ND = reshape(mul(g, normed), [rows, width]);
      const sums_N1 = gemm(parts_ND, reshape(weight, [width, 1]));
      const means = reshape(div(sums_N1, dimAsFloat(x.graph, width)), [...x.shape.slice(0, -1), 1]);
      return [null, columnSums(parts_ND), div(sub(mul(g, weight), mul(normed, means)), rms)];
    },
  });
}

/**
 * Values [..., S, E] mixed by weights [..., R, S] that are the softmax of scores, which may have another
 * shape of the same order. The gradient of the scores needs each row's sum of g . result only, not
 * of the larger gradient . weights. Source: FlashAttention (Dao et al. 2022), section 3.1.
 */
export function mixBySoftmax(scores: Value, weights: Value, values: Value): Value {
  const mixed = matmul(weights, values);
  return weights.graph.add({
    name: 'mixBySoftmax',
    inputs: [mixed, values, scores],
    dtype: weights.dtype,
    shape: mixed.shape,
    emit: (_e, [result = '']) => result,
    // The whole gradient goes straight to values and scores, so none goes through the product.
    gradient: (g) => {
      const sums = sum(mul(g, mixed), [-1], { keepDims: true });
      const toScores = mul(weights, sub(matmul(g, transposeLast(values)), sums));
      return [null, matmul(transposeLast(weights), g), reshape(toScores, scores.shape)];
    },
  });
}

/**
 * Weighted mean cross-entropy: logits [N, V], labels [N] in 0..V-1, weights [N]; the sum of
 * weighted losses is divided by `normalizer` (a scalar: usually the sum of all weights).
 */
export function crossEntropy(
  logits: Value,
  labels: Value,
  weights: Value,
  normalizer: Value,
): Value {
  const logLikelihood_N = pickLast(logSoftmax(logits), labels);
  return scale(div(sum(mul(logLikelihood_N, weights), [0]), normalizer), -1);
}
