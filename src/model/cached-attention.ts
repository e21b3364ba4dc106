// Owns attention of new tokens over a key-value cache; decoding only.
// Axes: B rows, T new tokens, S cache capacity, H/J query/key heads, G query heads a key head,
// R = G * T rows of a key head, E head size.
import { addDims, dimAt, mulDims } from '../engine/dims.ts';
import type { Dim } from '../engine/dims.ts';
import type { Graph, Value } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { add, lessOrEqual, scale, where } from '../engine/ops/elementwise.ts';
import { matmul } from '../engine/ops/linear.ts';
import { softmax } from '../engine/ops/nn.ts';
import { concat, iota, slice, transpose, transposeLast } from '../engine/ops/shape.ts';
import { MASKED_SCORE } from './decoder.ts';
import type { Heads } from './decoder.ts';

/** What hides keys that must not be seen; the same for every layer. */
export interface CacheBias {
  /** 0 where the cache is filled and not hidden from the row's new tokens, [B, 1, 1, S]. */
  readonly past_B11S: Value;
  /** 0 where a new key is not after its query, [T, T]. */
  readonly new_TT: Value;
}

/** Biases for rows whose new tokens see the slots of their caches where `seen_B11S` (bool) says so. */
export function cacheBias(graph: Graph, seen_B11S: Value, tokens: Dim): CacheBias {
  const hide = (seen: Value): Value => where(seen, graph.scalar(0), graph.scalar(MASKED_SCORE));
  const order = iota(graph, tokens);
  return {
    past_B11S: hide(seen_B11S),
    new_TT: hide(lessOrEqual(reshape(order, [1, tokens]), reshape(order, [tokens, 1]))),
  };
}

/** Mixed values, and what the caller appends to the cache. */
export interface CachedAttention {
  /** [B, T, H * E] */
  readonly mixed: Value;
  /** Keys of the new tokens, [B, J, T, E]. */
  readonly key_BJTE: Value;
  /** [B, J, T, E] */
  readonly value_BJTE: Value;
}

/**
 * Causal grouped-query attention of new tokens over what is cached and over themselves, in plain
 * operations that every device has. The cache goes in as it is and comes not out again: only new
 * keys and values do, because onnxruntime-node copies every output, bound or not, so that an
 * operator with the whole cache as output (GroupQueryAttention) costs a copy of it a step.
 */
export function cachedAttention(
  { query_BTHE, key_BTJE, value_BTJE }: Heads,
  pastKey_BJSE: Value,
  pastValue_BJSE: Value,
  bias: CacheBias,
): CachedAttention {
  const [b, t] = [dimAt(query_BTHE.shape, 0), dimAt(query_BTHE.shape, 1)];
  const [heads, headSize] = [dimAt(query_BTHE.shape, 2), dimAt(query_BTHE.shape, 3)];
  const [keyHeads, s] = [dimAt(pastKey_BJSE.shape, 1), dimAt(pastKey_BJSE.shape, 2)];
  if (typeof heads !== 'number' || typeof keyHeads !== 'number' || typeof headSize !== 'number')
    throw new RangeError('heads have fixed numbers and sizes');
  const group = heads / keyHeads;
  const rows = mulDims(group, t);
  const scaled = scale(query_BTHE, 1 / Math.sqrt(headSize));
  const grouped = reshape(scaled, [b, t, keyHeads, group, headSize]);
  const query_BJRE = reshape(transpose(grouped, [0, 2, 3, 1, 4]), [b, keyHeads, rows, headSize]);
  const key_BJTE = transpose(key_BTJE, [0, 2, 1, 3]);
  const value_BJTE = transpose(value_BTJE, [0, 2, 1, 3]);
  const past_BJRS = add(matmul(query_BJRE, transposeLast(pastKey_BJSE)), bias.past_B11S);
  const own_BJGTT = reshape(matmul(query_BJRE, transposeLast(key_BJTE)), [
    b,
    keyHeads,
    group,
    t,
    t,
  ]);
  const own_BJRT = reshape(add(own_BJGTT, bias.new_TT), [b, keyHeads, rows, t]);
  const weights = softmax(concat([past_BJRS, own_BJRT], 3));
  const mixed_BJRE = add(
    matmul(slice(weights, 3, 0, s), pastValue_BJSE),
    matmul(slice(weights, 3, s, addDims(s, t)), value_BJTE),
  );
  const mixed_BJGTE = reshape(mixed_BJRE, [b, keyHeads, group, t, headSize]);
  return {
    mixed: reshape(transpose(mixed_BJGTE, [0, 3, 1, 2, 4]), [b, t, heads * headSize]),
    key_BJTE,
    value_BJTE,
  };
}
