// Owns the checks of attention over a cache, and of the cache: against attention in nested loops.

// B rows, T new tokens, S capacity, H query heads, J key heads, E head size.
import { describe, expect, it } from 'vitest';
import { dimAt } from '../../../src/engine/dims.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { KeyValueCache } from '../../../src/generate/cache.ts';
import type { HiddenSlots } from '../../../src/generate/cache.ts';
import { cacheBias, cachedAttention } from '../../../src/model/cached-attention.ts';
import { Rng } from '../../../src/rng.ts';
import { worstError } from '../../helpers/gradient-check.ts';
import { at, fromTensor, tabulate } from '../../helpers/nd.ts';
import type { Nd } from '../../helpers/nd.ts';
import { randomValues } from '../../helpers/op-case.ts';

/** Tokens a row can have at most. */
const MOST = 256;
const [H, J, E] = [4, 2, 8];

function attentionGraph(): Graph {
  const graph = new Graph();
  const past = (kind: string) => graph.input(`past_${kind}.0`, 'float', ['B', J, 'S', E]);
  const heads = {
    query_BTHE: graph.input('query', 'float', ['B', 'T', H, E]),
    key_BTJE: graph.input('key', 'float', ['B', 'T', J, E]),
    value_BTJE: graph.input('value', 'float', ['B', 'T', J, E]),
    layer: 0,
  };
  const [key, value] = [past('key'), past('value')];
  const seen_B11S = graph.input('past_seen', 'bool', ['B', 1, 1, 'S']);
  const bias = cacheBias(graph, seen_B11S, dimAt(heads.query_BTHE.shape, 1));
  const result = cachedAttention(heads, key, value, bias);
  graph.output('mixed', result.mixed);
  graph.output('new_key.0', result.key_BJTE);
  graph.output('new_value.0', result.value_BJTE);
  return graph;
}

/** The keys and values of one row in order, each [J, E]. */
interface Row {
  readonly keys: Nd[];
  readonly values: Nd[];
}

/** Softmax attention of one query head over tokens of a row by their places, in nested loops. */
function attend(
  query_E: (e: number) => number,
  row: Row,
  places: readonly number[],
  head: number,
): number[] {
  const group = Math.floor(head / (H / J));
  const numbers = (f: (i: number) => number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => f(i));
  const score = (i: number): number =>
    numbers((e) => query_E(e) * at(row.keys[i] as Nd, [group, e]), E).reduce((a, b) => a + b) /
    Math.sqrt(E);
  const powers = places.map((place) => Math.exp(score(place)));
  const total = powers.reduce((a, b) => a + b);
  return numbers((e) => {
    const weighted = powers.map((p, i) => p * at(row.values[places[i] ?? NaN] as Nd, [group, e]));
    return weighted.reduce((a, b) => a + b) / total;
  }, E);
}

const tokenOf = (x_BTJE: Nd, b: number, t: number): Nd =>
  tabulate([J, E], ([j = 0, e = 0]) => at(x_BTJE, [b, t, j, e]));

interface AttentionCase {
  readonly title: string;
  readonly calls: readonly (readonly number[])[];
  /** By call and row; nothing where it ends. */
  readonly hidden: readonly (readonly HiddenSlots[])[];
}

describe('attention over a cache', () => {
  it.each([
    {
      title: 'a padded first call and single tokens after it',
      // New tokens a row; the longest row fills the call, the others are padded on the right.
      calls: [
        [2, 4],
        [1, 1],
        [1, 1],
        [1, 1],
      ],
      hidden: [],
    },
    {
      title: 'a prompt of one row in pieces of any length',
      calls: [[3], [1], [4], [2], [1]],
      hidden: [],
    },
    {
      title: 'calls from which a stretch of the cache is hidden, rows each their own',
      calls: [
        [2, 4],
        [1, 1],
        [3, 2],
        [1, 1],
      ],
      hidden: [
        [],
        [[0, 1]],
        [
          [1, 2],
          [0, 5],
        ],
        [
          [0, 0],
          [2, 7],
        ],
      ],
    },
  ] satisfies readonly AttentionCase[])(
    'is plain causal attention through $title',
    async ({ calls, hidden }: AttentionCase) => {
      const B = calls[0]?.length ?? 0;
      await using session = await Session.create(encodeGraph(attentionGraph()), { threads: 1 });
      const cache = new KeyValueCache({ numLayers: 1, numKvHeads: J, headSize: E }, B);
      const rng = new Rng(3);
      const rows: Row[] = Array.from({ length: B }, () => ({ keys: [], values: [] }));
      for (const [call, counts] of calls.entries()) {
        const slots = counts.map((_, b): HiddenSlots => hidden[call]?.[b] ?? [0, 0]);
        const T = Math.max(...counts);
        const draw = (heads: number): Nd => randomValues(rng, [B, T, heads, E], -2, 2);
        const [query, key, value] = [draw(H), draw(J), draw(J)];
        counts.forEach((count, b) => {
          for (let t = 0; t < count; t++) {
            rows[b]?.keys.push(tokenOf(key, b, t));
            rows[b]?.values.push(tokenOf(value, b, t));
          }
        });
        const lengths = rows.map((row) => row.keys.length);
        const f32 = (x: Nd) => tensor('f32', x.dims, Float32Array.from(x.data));
        const results = await session.run({
          query: f32(query),
          key: f32(key),
          value: f32(value),
          ...cache.feeds,
          past_seen: cache.seen(slots),
        });
        cache.append(results, counts, MOST);
        expect([...cache.lengths]).toEqual(lengths);
        const { mixed } = results;
        if (!mixed) throw new Error('no output');
        const found = fromTensor(mixed);
        counts.forEach((count, b) => {
          const row = rows[b] as Row;
          for (let t = 0; t < count; t++) {
            const length = (lengths[b] ?? 0) - count + t + 1;
            const [from, to] = slots[b] ?? [0, 0];
            const seen = Array.from({ length }, (_, place) => place).filter(
              (place) => place < from || place >= to,
            );
            for (let h = 0; h < H; h++) {
              const expected = attend((e) => at(query, [b, t, h, e]), row, seen, h);
              const ours = expected.map((_, e) => at(found, [b, t, h * E + e]));
              expect(worstError(ours, expected)).toBeLessThan(1e-5);
            }
          }
          const kept = cache.feeds['past_key.0'];
          if (!kept) throw new Error('no keys');
          const cached = fromTensor(kept);
          row.keys.forEach((token, s) => {
            const own = tabulate([J, E], ([j = 0, e = 0]) => at(cached, [b, j, s, e]));
            expect(own.data).toEqual(token.data);
          });
        });
      }
    },
  );
});

describe('the cache', () => {
  const shape = { numLayers: 1, numKvHeads: J, headSize: E };
  const filled = (counts: readonly number[], from: number): KeyValueCache => {
    const cache = new KeyValueCache(shape, counts.length);
    const T = Math.max(...counts);
    const dims = [counts.length, J, T, E];
    const data = Float32Array.from({ length: counts.length * J * T * E }, (_, i) => from + i);
    const fresh = tensor('f32', dims, data);
    cache.append({ 'new_key.0': fresh, 'new_value.0': fresh }, counts, MOST);
    return cache;
  };
  /** The keys of a row in the order of its tokens. */
  const keysOf = (cache: KeyValueCache, row: number): number[] => {
    const found = cache.feeds['past_key.0'];
    if (!found) throw new Error('no keys');
    const nd = fromTensor(found);
    return Array.from({ length: cache.lengths[row] ?? 0 }, (_, s) =>
      Array.from({ length: J * E }, (_, i) => at(nd, [row, Math.floor(i / E), s, i % E])),
    ).flat();
  };
  it('keeps what it holds when it grows, when rows are joined and when they are repeated', () => {
    const [a, b] = [filled([3, 2], 0), filled([70], 1000)];
    const expected = [keysOf(a, 0), keysOf(a, 1), keysOf(b, 0)];
    const joined = KeyValueCache.join([a, b]);
    expect([0, 1, 2].map((row) => keysOf(joined, row))).toEqual(expected);
    const repeated = joined.repeat(2);
    expect([0, 1, 2, 3, 4, 5].map((row) => keysOf(repeated, row))).toEqual(
      expected.flatMap((row) => [row, row]),
    );
    const capacity = repeated.feeds['past_key.0']?.dims[2];
    const more = tensor('f32', [6, J, 130, E], new Float32Array(6 * J * 130 * E));
    repeated.append({ 'new_key.0': more, 'new_value.0': more }, [130, 0, 0, 0, 0, 0], MOST);
    expect(repeated.feeds['past_key.0']?.dims[2]).toBeGreaterThan(capacity ?? 0);
    expect([1, 2, 3, 4, 5].map((row) => keysOf(repeated, row))).toEqual(
      [0, 1, 1, 2, 2].map((row) => expected[row]),
    );
    expect(keysOf(repeated, 0).slice(0, 3 * J * E)).toEqual(expected[0]);
  });
  it('has memory for what a row can have, in steps, and no more', () => {
    expect(filled([60], 0).feeds['past_key.0']?.dims).toEqual([1, J, 128, E]);
    expect(filled([190], 0).feeds['past_key.0']?.dims).toEqual([1, J, 256, E]);
  });
});
