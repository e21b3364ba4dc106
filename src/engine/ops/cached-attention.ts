// Owns attention over a key-value cache, ONNX Runtime's fused operator; decoding only, no gradient.
import { ShapeError } from '../../errors.ts';
import { mulDims, dimAt } from '../dims.ts';
import type { Value } from '../graph.ts';
import { reshape } from './broadcast.ts';

/** Operands of `cachedAttention`. Axes: B rows, T new tokens, S capacity, H/J heads, E head size. */
export interface CachedAttentionInputs {
  readonly query_BTHE: Value;
  readonly key_BTJE: Value;
  readonly value_BTJE: Value;
  /** Keys so far [B, J, S, E]; rows fill from the front. */
  readonly pastKey_BJSE: Value;
  readonly pastValue_BJSE: Value;
  /** Per row: tokens seen after this call, minus one; i32 [B]. */
  readonly lastIndex_B: Value;
  /** Longest row after this call; i32 [1]. Equal to T for the first call, which starts a cache. */
  readonly totalLength: Value;
}

/** Mixed values [B, T, H*E] and the cache with the new tokens in it. */
export interface CachedAttention {
  readonly mixed: Value;
  readonly key_BJSE: Value;
  readonly value_BJSE: Value;
}

/**
 * Causal grouped-query attention of new tokens over a cache. Bind the resulting cache to the
 * memory of the past one: the operator then appends in place. In the first call rows may be padded
 * on the right; later calls add one token a row. Source: com.microsoft.GroupQueryAttention.
 */
export function cachedAttention(inputs: CachedAttentionInputs): CachedAttention {
  const { query_BTHE, key_BTJE, value_BTJE, pastKey_BJSE, pastValue_BJSE } = inputs;
  const graph = query_BTHE.graph;
  if (graph.float !== 'f32') {
    throw new ShapeError({ what: 'cached attention is f32 only', got: graph.float });
  }
  const flat = (x: Value): Value => {
    const [b, t, h, e] = [0, 1, 2, 3].map((axis) => dimAt(x.shape, axis));
    return reshape(x, [b ?? 1, t ?? 1, mulDims(h ?? 1, e ?? 1)]);
  };
  const query = flat(query_BTHE);
  const operands = [
    query,
    flat(key_BTJE),
    flat(value_BTJE),
    pastKey_BJSE,
    pastValue_BJSE,
    inputs.lastIndex_B,
    inputs.totalLength,
  ];
  const mixed = graph.add({
    name: 'GroupQueryAttention',
    inputs: operands,
    dtype: 'f32',
    shape: query.shape,
    emit: (e, names) =>
      e.node('GroupQueryAttention', names, {
        contrib: true,
        outputs: 3,
        attributes: {
          num_heads: { int: dimAt(query_BTHE.shape, 2) as number },
          kv_num_heads: { int: dimAt(key_BTJE.shape, 2) as number },
        },
      }),
  });
  const cache = (index: number, past: Value): Value =>
    graph.add({
      name: `GroupQueryAttention cache ${index}`,
      inputs: [mixed],
      dtype: 'f32',
      shape: past.shape,
      emit: (e, [first = '']) => e.sibling(first, index),
    });
  return { mixed, key_BJSE: cache(1, pastKey_BJSE), value_BJSE: cache(2, pastValue_BJSE) };
}
