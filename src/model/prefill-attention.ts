// Owns attention of a first call into an empty cache from plain operations; decoders off the CPU use it.
// Axes: B rows, T new tokens, S cache capacity, H query heads, J key heads, E head size.
import { dimAt, subDims } from '../engine/dims.ts';
import { iota, padZeros, transpose } from '../engine/ops/shape.ts';
import { lessOrEqual, where } from '../engine/ops/elementwise.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import type { CachedAttention } from '../engine/ops/cached-attention.ts';
import type { Value } from '../engine/graph.ts';
import type { TextConfig } from './config.ts';
import { MASKED_SCORE, plainAttention } from './decoder.ts';
import type { Heads } from './decoder.ts';

/**
 * What `cachedAttention` gives for a first call, rows padded on the right. WebGPU's kernel of
 * GroupQueryAttention takes another way from 32 tokens a call on, which was measured to be wrong
 * by a third on a software driver (onnxruntime-node 1.30, Mesa 25.0); single tokens are right.
 *
 * @param pastKey_BJSE - only its capacity is read.
 */
export function prefillAttention(
  config: TextConfig,
  heads: Heads,
  pastKey_BJSE: Value,
): CachedAttention {
  const t = dimAt(heads.query_BTHE.shape, 1);
  const { graph } = heads.query_BTHE;
  const order = iota(graph, t);
  // A token sees no padding: that stands behind all tokens of its row.
  const past_TT = lessOrEqual(reshape(order, [1, t]), reshape(order, [t, 1]));
  const bias_TT = where(past_TT, graph.scalar(0), graph.scalar(MASKED_SCORE));
  const room = subDims(dimAt(pastKey_BJSE.shape, 2), t);
  const cache = (x_BTJE: Value): Value => padZeros(transpose(x_BTJE, [0, 2, 1, 3]), 2, 0, room);
  return {
    mixed: plainAttention(config, bias_TT)(heads),
    key_BJSE: cache(heads.key_BTJE),
    value_BJSE: cache(heads.value_BTJE),
  };
}
