// Owns causal attention in blocks of queries, for training on whole rows; train/objective.ts uses it.
// Axes: B rows, T tokens, N blocks, C tokens of a block, S keys up to a block's end, H query heads, G query
// heads a key head, J key heads, E head size, R query rows of a key head.
import { dimAt, divideDim, mulDims } from '../engine/dims.ts';
import type { Value } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { add, scale } from '../engine/ops/elementwise.ts';
import { matmul } from '../engine/ops/linear.ts';
import { mixBySoftmax, softmax } from '../engine/ops/nn.ts';
import { concat, slice, transpose } from '../engine/ops/shape.ts';
import type { TextConfig } from './config.ts';
import type { Attend } from './decoder.ts';

/**
 * What `plainAttention` computes for a causal bias [B, 1, 1, T, T], without the keys that stand behind
 * a whole block of queries: with 4 blocks 10 of 16 parts are left of the work and of the memory.
 * T must be a multiple of `numBlocks`. Padding on the right only, or on the left, as it does.
 *
 * Example: T = 8, 4 blocks: queries 0 1 see keys 0 1; 2 3 see 0..3; 4 5 see 0..5; 6 7 see all.
 */
export function blockAttention(config: TextConfig, bias_B11TT: Value, numBlocks: number): Attend {
  const { numKvHeads: heads, headSize } = config;
  const group = config.numHeads / heads;
  const [b, t] = [dimAt(bias_B11TT.shape, 0), dimAt(bias_B11TT.shape, -1)];
  const c = divideDim(t, numBlocks);
  const blocks = Array.from({ length: numBlocks }, (_, i) => {
    const [from, to] = [mulDims(i, c), mulDims(i + 1, c)];
    const bias_B11CS = slice(slice(bias_B11TT, 3, from, to), 4, 0, to);
    return { index: i, to, bias_B11CS };
  });
  return ({ query_BTHE, key_BTJE, value_BTJE }) => {
    const scaled = scale(query_BTHE, 1 / Math.sqrt(headSize));
    const cut_BNCJGE = reshape(scaled, [b, numBlocks, c, heads, group, headSize]);
    const query_NBJGCE = transpose(cut_BNCJGE, [1, 0, 3, 4, 2, 5]);
    const key_BJET = transpose(key_BTJE, [0, 2, 3, 1]);
    const value_BJTE = transpose(value_BTJE, [0, 2, 1, 3]);
    const rows = mulDims(group, c);
    const mixed = blocks.map(({ index, to, bias_B11CS }) => {
      const own = slice(query_NBJGCE, 0, index, index + 1);
      const query_BJRE = reshape(own, [b, heads, rows, headSize]);
      const scores_BJRS = matmul(query_BJRE, slice(key_BJET, 3, 0, to));
      const biased_BJGCS = add(reshape(scores_BJRS, [b, heads, group, c, to]), bias_B11CS);
      const weights_BJRS = reshape(softmax(biased_BJGCS), [b, heads, rows, to]);
      const mixed_BJRE = mixBySoftmax(biased_BJGCS, weights_BJRS, slice(value_BJTE, 2, 0, to));
      return reshape(mixed_BJRE, [1, b, heads, group, c, headSize]);
    });
    const mixed_BNCJGE = transpose(concat(mixed, 0), [1, 0, 4, 2, 3, 5]);
    return reshape(mixed_BNCJGE, [b, t, config.numHeads * headSize]);
  };
}
