// Owns the Qwen2.5-VL decoder as functions over a graph: rotary positions, attention, layers, head.
// Axes: B rows, T tokens, S keys, D hidden, H query heads, G query heads a key head, J key heads,
// E head size, V vocabulary, N picked positions.

import type { Graph, Value } from '../engine/graph.ts';

import { reshape } from '../engine/ops/broadcast.ts';
import {
  add,
  and,
  cos,
  equal,
  lessOrEqual,
  mul,
  not,
  scale,
  siluGate,
  sin,
  toFloat,
  where,
} from '../engine/ops/elementwise.ts';
import { gatherRows } from '../engine/ops/indexing.ts';
import { linear, matmul } from '../engine/ops/linear.ts';
import { gatherPacked, linearPacked } from '../engine/ops/packed.ts';
import { mixBySoftmax, rmsNorm, softmax } from '../engine/ops/nn.ts';
import { concat, iota, rotateHalf, slice, transpose } from '../engine/ops/shape.ts';
import { dimAt, mulDims } from '../engine/dims.ts';
import type { Dim } from '../engine/dims.ts';
import type { TextConfig } from './config.ts';
import { project } from './parameters.ts';
import type { Parameters } from './parameters.ts';

/** Added to the scores of keys that must not be seen; far below any score, finite in f32. */
export const MASKED_SCORE = -1e30;

/** Cosine and sine of the rotary angles, [B, T, 1, E]. */
export interface Rotary {
  readonly cos_BT1E: Value;
  readonly sin_BT1E: Value;
}

/** A floating-point constant of the graph's type. */
export function floatConstant(
  graph: Graph,
  dims: readonly number[],
  values: readonly number[],
): Value {
  const data = graph.float === 'f32' ? Float32Array.from(values) : Float64Array.from(values);
  return graph.constant({ dtype: graph.float, dims, data });
}

/** An int64 scalar constant. */
export function int64(graph: Graph, value: number): Value {
  return graph.constant({ dtype: 'i64', dims: [], data: BigInt64Array.of(BigInt(value)) });
}

/**
 * Rotary angles of multimodal positions. positions [3, B, T] (temporal, height, width): frequency
 * f of a head's half takes its position from the section it lies in. With head size 8 and
 * sections [2, 1, 1] the four frequencies use t, t, h, w. Source: Qwen2_5_VLRotaryEmbedding.
 */
export function textRotary(config: TextConfig, positions_3BT: Value): Rotary {
  const graph = positions_3BT.graph;
  const half = config.headSize / 2;
  const frequencies = Array.from(
    { length: half },
    (_, i) => config.ropeTheta ** (-(2 * i) / config.headSize),
  );
  const [b, t] = [dimAt(positions_3BT.shape, 1), dimAt(positions_3BT.shape, 2)];
  const positions = toFloat(positions_3BT);
  let start = 0;
  const parts = config.mropeSection.flatMap((size, axis) => {
    if (size === 0) return [];
    const own = reshape(slice(positions, 0, axis, axis + 1), [b, t, 1]);
    const part = mul(own, floatConstant(graph, [size], frequencies.slice(start, start + size)));
    start += size;
    return [part];
  });
  const angles_BTE = concat([...parts, ...parts], 2);
  const shape: readonly Dim[] = [b, t, 1, config.headSize];
  return { cos_BT1E: reshape(cos(angles_BTE), shape), sin_BT1E: reshape(sin(angles_BTE), shape) };
}

/** Turns query or key heads [B, T, heads, E] by their positions. */
export function applyRotary(x_BTHE: Value, rotary: Rotary): Value {
  return add(mul(x_BTHE, rotary.cos_BT1E), mul(rotateHalf(x_BTHE), rotary.sin_BT1E));
}

/** Keys that some queries may not see although they stand before them, both bool [B, T]. */
export interface HiddenKeys {
  readonly hidden_BT: Value;
  /** Queries they are hidden from. */
  readonly denied_BT: Value;
}

/**
 * Attention bias [B, 1, 1, T, T]: 0 where the key is not after the query, not padding and not hidden
 * from it, else a score nothing survives. mask [B, T] holds 1 for real tokens. Left padding needs
 * nothing more.
 */
export function causalBias(mask_BT: Value, keys?: HiddenKeys): Value {
  const graph = mask_BT.graph;
  const [b, t] = [dimAt(mask_BT.shape, 0), dimAt(mask_BT.shape, 1)];
  const order = iota(graph, t);
  const past_TT = lessOrEqual(reshape(order, [1, t]), reshape(order, [t, 1]));
  const real_B11T = equal(reshape(mask_BT, [b, 1, 1, 1, t]), int64(graph, 1));
  const seen = and(past_TT, real_B11T);
  const bias = (shown: Value): Value => where(shown, graph.scalar(0), graph.scalar(MASKED_SCORE));
  if (!keys) return bias(seen);
  const hidden_B111T = reshape(keys.hidden_BT, [b, 1, 1, 1, t]);
  const denied_B11T1 = reshape(keys.denied_BT, [b, 1, 1, t, 1]);
  return bias(and(seen, not(and(hidden_B111T, denied_B11T1))));
}

/** What a layer's attention is given: heads after rotary, and which layer asks. */
export interface Heads {
  readonly query_BTHE: Value;
  readonly key_BTJE: Value;
  readonly value_BTJE: Value;
  readonly layer: number;
}

/** Attention of one layer, result [B, T, H*E]; training and decoding bring their own. */
export type Attend = (heads: Heads) => Value;

/**
 * Plain attention over the tokens at hand with grouped keys: the G query heads of a key head
 * become rows of one product, so nothing is repeated in memory.
 * @param watch - is shown the weights [B, J, G, T, T] of every layer, queries before keys.
 */
export function plainAttention(
  config: TextConfig,
  bias_B11TT: Value,
  watch?: (weights_BJGTT: Value, layer: number) => void,
): Attend {
  const { numKvHeads, headSize } = config;
  const group = config.numHeads / numKvHeads;
  return ({ query_BTHE, key_BTJE, value_BTJE, layer }) => {
    const [b, t] = [dimAt(query_BTHE.shape, 0), dimAt(query_BTHE.shape, 1)];
    const scaled = reshape(scale(query_BTHE, 1 / Math.sqrt(headSize)), [
      b,
      t,
      numKvHeads,
      group,
      headSize,
    ]);
    const rows = mulDims(group, t);
    const query_BJRE = reshape(transpose(scaled, [0, 2, 3, 1, 4]), [b, numKvHeads, rows, headSize]);
    const key_BJET = transpose(key_BTJE, [0, 2, 3, 1]);
    const value_BJTE = transpose(value_BTJE, [0, 2, 1, 3]);
    const scores_BJGTT = reshape(matmul(query_BJRE, key_BJET), [b, numKvHeads, group, t, t]);
    const biased_BJGTT = add(scores_BJGTT, bias_B11TT);
    const weights_BJGTT = softmax(biased_BJGTT);
    watch?.(weights_BJGTT, layer);
    const weights_BJRT = reshape(weights_BJGTT, [b, numKvHeads, rows, t]);
    const mixed_BJRE = mixBySoftmax(biased_BJGTT, weights_BJRT, value_BJTE);
    const mixed_BJGTE = reshape(mixed_BJRE, [b, numKvHeads, group, t, headSize]);
    return reshape(transpose(mixed_BJGTE, [0, 3, 1, 2, 4]), [b, t, config.numHeads * headSize]);
  };
}

/** SwiGLU: down(silu(gate x) * up x); biases are used where the parameters have them. */
export function swiglu(x: Value, parameters: Parameters, at: string, bias: boolean): Value {
  const through = (input: Value, name: string): Value =>
    project(input, parameters, `${at}.${name}`, bias);
  return through(siluGate(through(x, 'gate_proj'), through(x, 'up_proj')), 'down_proj');
}

/** One decoder layer: x [B, T, D] to [B, T, D]. Source: Qwen2_5_VLDecoderLayer. */
export function decoderLayer(
  config: TextConfig,
  parameters: Parameters,
  layer: number,
  x_BTD: Value,
  rotary: Rotary,
  attend: Attend,
): Value {
  const at = `model.layers.${layer}`;
  const [b, t, d] = [dimAt(x_BTD.shape, 0), dimAt(x_BTD.shape, 1), config.hiddenSize];
  // Rows are what products want; with them no reshape stands between one operation and the next.
  const x_ND = reshape(x_BTD, [mulDims(b, t), d]);
  const normed = rmsNorm(x_ND, parameters(`${at}.input_layernorm.weight`), config.rmsNormEpsilon);
  const heads = (name: string, count: number): Value =>
    reshape(project(normed, parameters, `${at}.self_attn.${name}`, true), [
      b,
      t,
      count,
      config.headSize,
    ]);
  const mixed_BTC = attend({
    query_BTHE: applyRotary(heads('q_proj', config.numHeads), rotary),
    key_BTJE: applyRotary(heads('k_proj', config.numKvHeads), rotary),
    value_BTJE: heads('v_proj', config.numKvHeads),
    layer,
  });
  const mixed = reshape(mixed_BTC, [mulDims(b, t), config.numHeads * config.headSize]);
  const afterAttention = add(x_ND, project(mixed, parameters, `${at}.self_attn.o_proj`, false));
  const normedAgain = rmsNorm(
    afterAttention,
    parameters(`${at}.post_attention_layernorm.weight`),
    config.rmsNormEpsilon,
  );
  const after_ND = add(afterAttention, swiglu(normedAgain, parameters, `${at}.mlp`, false));
  return reshape(after_ND, [b, t, d]);
}

const TABLE = 'model.embed_tokens';

/** Input embeddings of token ids [B, T]. */
export function embedTokens(config: TextConfig, parameters: Parameters, ids_BT: Value): Value {
  const packed = parameters.packed?.(`${TABLE}.weight`, 'table');
  return packed
    ? gatherPacked(packed, ids_BT, config.hiddenSize)
    : gatherRows(parameters(`${TABLE}.weight`), ids_BT);
}

/** All layers; returns the input and every layer's output (the last one before the final norm). */
export function decoderLayers(
  config: TextConfig,
  parameters: Parameters,
  x_BTD: Value,
  rotary: Rotary,
  attend: Attend,
): Value[] {
  const states = [x_BTD];
  let x = x_BTD;
  for (let layer = 0; layer < config.numLayers; layer++) {
    x = decoderLayer(config, parameters, layer, x, rotary, attend);
    states.push(x);
  }
  return states;
}

/** The decoder's final RMSNorm. */
export function finalNorm(config: TextConfig, parameters: Parameters, x: Value): Value {
  return rmsNorm(x, parameters('model.norm.weight'), config.rmsNormEpsilon);
}

/**
 * Logits [..., V] of normed states [..., D]. A tied head is the embedding table, but when it is
 * packed it has codes of its own.
 */
export function languageHead(config: TextConfig, parameters: Parameters, normed: Value): Value {
  const packed = parameters.packed?.('lm_head.weight', 'product');
  if (packed) return linearPacked(normed, packed);
  return config.tieWordEmbeddings
    ? linear(normed, parameters(`${TABLE}.weight`))
    : project(normed, parameters, 'lm_head', false);
}
