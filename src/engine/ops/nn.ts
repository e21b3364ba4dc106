// Owns the building blocks of transformers that have a gradient rule of their own or are composed.

import type { Value } from '../graph.ts';
import { sum } from './broadcast.ts';
import { div, exp, mul, scale, shift, sqrt, square, sub } from './elementwise.ts';
import { pickLast } from './indexing.ts';
import { mean } from './reduce.ts';

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

/** RMSNorm over the last axis: x / sqrt(mean(x^2) + epsilon) * weight. Source: Qwen2RMSNorm. */
export function rmsNorm(x: Value, weight: Value, epsilon: number): Value {
  const rms = sqrt(shift(mean(square(x), [-1], { keepDims: true }), epsilon));
  return mul(div(x, rms), weight);
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
