// Owns attention that never writes its scores out; for frozen parts only, no gradient.
// Axes: B rows, L queries, S keys, C width of all heads together.
import { ShapeError } from '../../errors.ts';
import { dimAt, sameDim, showShape } from '../dims.ts';
import type { Value } from '../graph.ts';

/**
 * Softmax attention of query [B, L, C] over key and value [B, S, C], every query over every key,
 * scores divided by the root of the head size. On the CPU scores live in blocks that fit a cache,
 * so memory is that of the operands and their reordered copies. Heads are neighbours in C.
 * Source: com.microsoft.MultiHeadAttention, whose blockwise kernel wants f32, rank 3, no bias.
 */
export function fusedAttention(query: Value, key: Value, value: Value, numHeads: number): Value {
  const operands = [query, key, value];
  const width = dimAt(query.shape, -1);
  if (operands.some(({ dtype }) => dtype !== 'f32'))
    throw new ShapeError({ what: 'fusedAttention is f32 only', got: query.dtype });
  const fits =
    operands.every(({ rank, shape }) => rank === 3 && sameDim(dimAt(shape, 2), width)) &&
    operands.every(({ shape }) => sameDim(dimAt(shape, 0), dimAt(query.shape, 0))) &&
    sameDim(dimAt(key.shape, 1), dimAt(value.shape, 1)) &&
    typeof width === 'number' &&
    width % numHeads === 0;
  if (!fits) {
    throw new ShapeError({
      what: 'fusedAttention: operands do not fit each other',
      got: operands.map(({ shape }) => showShape(shape)).join(', '),
      expected: `query [B, L, C], key and value [B, S, C], C a multiple of ${numHeads}`,
    });
  }
  return query.graph.add({
    name: 'fusedAttention',
    inputs: operands,
    dtype: 'f32',
    shape: query.shape,
    emit: (e, names) =>
      e.node('MultiHeadAttention', names, {
        contrib: true,
        attributes: { num_heads: { int: numHeads } },
      }),
  });
}
