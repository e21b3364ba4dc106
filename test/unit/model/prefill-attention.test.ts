// Tests that a first call of plain operations gives what the fused operator gives, cache included.
// Axes: B rows, T new tokens, S capacity, H query heads, J key heads, E head size.
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { cachedAttention } from '../../../src/engine/ops/cached-attention.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor, zeros } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { prefillAttention } from '../../../src/model/prefill-attention.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { miniBundle, randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const { text } = miniBundle({ heads: 4, kvHeads: 2 }).checkpoint.config;
const [B, T, S, H, J, E] = [2, 40, 47, text.numHeads, text.numKvHeads, text.headSize];
/** Tokens of each row; the first one is padded on the right. */
const LENGTHS = [33, T];

function encode(kind: 'plain' | 'fused'): Uint8Array {
  const graph = new Graph();
  const heads = {
    query_BTHE: graph.input('query', 'float', ['B', 'T', H, E]),
    key_BTJE: graph.input('key', 'float', ['B', 'T', J, E]),
    value_BTJE: graph.input('value', 'float', ['B', 'T', J, E]),
    layer: 0,
  };
  const pastKey_BJSE = graph.input('past_key', 'float', ['B', J, 'S', E]);
  const pastValue_BJSE = graph.input('past_value', 'float', ['B', J, 'S', E]);
  const lastIndex_B = graph.input('last_index', 'i32', ['B']);
  const totalLength = graph.input('total_length', 'i32', [1]);
  const { mixed, key_BJSE, value_BJSE } =
    kind === 'plain'
      ? prefillAttention(text, heads, pastKey_BJSE)
      : cachedAttention({ ...heads, pastKey_BJSE, pastValue_BJSE, lastIndex_B, totalLength });
  graph.output('mixed', mixed);
  graph.output('present_key', key_BJSE);
  graph.output('present_value', value_BJSE);
  return encodeGraph(graph);
}

describe('attention of a first call', () => {
  it('is that of the fused operator at every real token, and so is the cache', async () => {
    const rng = new Rng('prefill');
    const draw = (heads: number): Tensor =>
      tensor('f32', [B, T, heads, E], randomRows(rng, B * T * heads * E));
    const feeds = {
      query: draw(H),
      key: draw(J),
      value: draw(J),
      past_key: zeros('f32', [B, J, S, E]),
      past_value: zeros('f32', [B, J, S, E]),
      last_index: tensor(
        'i32',
        [B],
        Int32Array.from(LENGTHS, (n) => n - 1),
      ),
      total_length: tensor('i32', [1], Int32Array.of(T)),
    };
    await using plain = await Session.create(encode('plain'), SESSION);
    await using fused = await Session.create(encode('fused'), SESSION);
    const [found, expected] = [await plain.run(feeds), await fused.run(feeds)];
    const part = (results: typeof found, name: string, from: number, to: number): Float32Array =>
      (results[name]?.data as Float32Array).subarray(from, to);
    LENGTHS.forEach((length, b) => {
      const compare = (name: string, from: number, to: number): void => {
        const error = relativeError(part(found, name, from, to), part(expected, name, from, to));
        expect(error, `${name} of row ${b}`).toBeLessThan(1e-6);
      };
      compare('mixed', b * T * H * E, (b * T + length) * H * E);
      for (let j = 0; j < J; j++) {
        const from = (b * J + j) * S * E;
        compare('present_key', from, from + length * E);
        compare('present_value', from, from + length * E);
      }
    });
  });
});
