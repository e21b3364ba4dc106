// Owns the checks of attention over a cache: against attention in nested loops, appended in place.

// B rows, T new tokens, S capacity, H query heads, J key heads, E head size.
import { describe, expect, it } from 'vitest';
import { RuntimeError, ShapeError } from '../../../src/errors.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { sum } from '../../../src/engine/ops/broadcast.ts';
import { cachedAttention } from '../../../src/engine/ops/cached-attention.ts';
import type { CachedAttention } from '../../../src/engine/ops/cached-attention.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor, zeros } from '../../../src/engine/tensor.ts';
import { Rng } from '../../../src/rng.ts';
import { worstError } from '../../helpers/gradient-check.ts';
import { at, fromTensor, tabulate } from '../../helpers/nd.ts';
import type { Nd } from '../../helpers/nd.ts';
import { randomValues } from '../../helpers/op-case.ts';

const [S, H, J, E] = [12, 4, 2, 8];

function attentionGraph(float: 'f32' | 'f64' = 'f32'): { graph: Graph; result: CachedAttention } {
  const graph = new Graph(float);
  const result = cachedAttention({
    query_BTHE: graph.input('query', 'float', ['B', 'T', H, E]),
    key_BTJE: graph.input('key', 'float', ['B', 'T', J, E]),
    value_BTJE: graph.input('value', 'float', ['B', 'T', J, E]),
    pastKey_BJSE: graph.input('past_key', 'float', ['B', J, 'S', E]),
    pastValue_BJSE: graph.input('past_value', 'float', ['B', J, 'S', E]),
    lastIndex_B: graph.input('last_index', 'i32', ['B']),
    totalLength: graph.input('total_length', 'i32', [1]),
  });
  return { graph, result };
}

/** The keys and values of one row in order, each [J, E]. */
interface Row {
  readonly keys: Nd[];
  readonly values: Nd[];
}

/** Softmax attention of one query head over the first `length` tokens of a row, in nested loops. */
function attend(query_E: (e: number) => number, row: Row, length: number, head: number): number[] {
  const group = Math.floor(head / (H / J));
  const numbers = (f: (i: number) => number, count: number): number[] =>
    Array.from({ length: count }, (_, i) => f(i));
  const score = (i: number): number =>
    numbers((e) => query_E(e) * at(row.keys[i] as Nd, [group, e]), E).reduce((a, b) => a + b) /
    Math.sqrt(E);
  const powers = numbers((i) => Math.exp(score(i)), length);
  const total = powers.reduce((a, b) => a + b);
  return numbers((e) => {
    const weighted = powers.map((p, i) => p * at(row.values[i] as Nd, [group, e]));
    return weighted.reduce((a, b) => a + b) / total;
  }, E);
}

const tokenOf = (x_BTJE: Nd, b: number, t: number): Nd =>
  tabulate([J, E], ([j = 0, e = 0]) => at(x_BTJE, [b, t, j, e]));

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
    },
    { title: 'a prompt of one row in pieces of any length', calls: [[3], [1], [4], [2], [1]] },
  ])('is plain causal attention through $title', async ({ calls }) => {
    const B = calls[0]?.length ?? 0;
    const { graph, result } = attentionGraph();
    graph.output('mixed', result.mixed);
    graph.output('present_key', result.key_BJSE);
    graph.output('present_value', result.value_BJSE);
    await using session = await Session.create(encodeGraph(graph), { threads: 1 });
    const memory = { key: zeros('f32', [B, J, S, E]), value: zeros('f32', [B, J, S, E]) };
    for (const kind of ['key', 'value'] as const) {
      memory[kind].data.fill(1e3); // what is not written yet must not be seen
      session.bindInput(`past_${kind}`, memory[kind]);
      session.bindOutput(`present_${kind}`, memory[kind]);
    }
    const rng = new Rng(3);
    const rows: Row[] = Array.from({ length: B }, () => ({ keys: [], values: [] }));
    for (const counts of calls) {
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
      const { mixed, present_key } = await session.run({
        query: f32(query),
        key: f32(key),
        value: f32(value),
        last_index: tensor(
          'i32',
          [B],
          Int32Array.from(lengths, (n) => n - 1),
        ),
        total_length: tensor('i32', [1], Int32Array.of(Math.max(...lengths))),
      });
      expect(present_key).toBe(memory.key);
      if (!mixed) throw new Error('no output');
      const found = fromTensor(mixed);
      counts.forEach((count, b) => {
        const row = rows[b] as Row;
        for (let t = 0; t < count; t++) {
          const seen = (lengths[b] ?? 0) - count + t + 1;
          for (let h = 0; h < H; h++) {
            const expected = attend((e) => at(query, [b, t, h, e]), row, seen, h);
            const ours = expected.map((_, e) => at(found, [b, t, h * E + e]));
            expect(worstError(ours, expected)).toBeLessThan(1e-5);
          }
        }
        const cached = fromTensor(memory.key);
        row.keys.forEach((token, s) => {
          const kept = tabulate([J, E], ([j = 0, e = 0]) => at(cached, [b, j, s, e]));
          expect(kept.data).toEqual(token.data);
        });
      });
    }
  });
  it('has no gradient, and says so', () => {
    const { graph, result } = attentionGraph();
    const [query] = [...graph.inputs.values()];
    if (!query) throw new Error('no input');
    expect(() => gradients(sum(result.mixed, [0, 1, 2]), [query])).toThrow(RuntimeError);
  });
  it('is refused in f64, which the operator has no kernel for', () => {
    expect(() => attentionGraph('f64')).toThrow(ShapeError);
  });
});
