// Owns the checks of fused attention against the same in plain operations.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import type { Value } from '../../../src/engine/graph.ts';
import { fusedAttention } from '../../../src/engine/ops/attention.ts';
import { reshape, sum } from '../../../src/engine/ops/broadcast.ts';
import { scale } from '../../../src/engine/ops/elementwise.ts';
import { matmul } from '../../../src/engine/ops/linear.ts';
import { softmax } from '../../../src/engine/ops/nn.ts';
import { transpose } from '../../../src/engine/ops/shape.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { RuntimeError, ShapeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';
import { relativeError } from '../../helpers/relative-error.ts';

interface Sizes {
  readonly batch: number;
  readonly queries: number;
  readonly keys: number;
  readonly heads: number;
  readonly headSize: number;
}

function plain(q: Value, k: Value, v: Value, { batch, queries, keys, heads, headSize }: Sizes) {
  const split = (x: Value, rows: number, order: readonly number[]): Value =>
    transpose(reshape(x, [batch, rows, heads, headSize]), order);
  const scores = matmul(split(q, queries, [0, 2, 1, 3]), split(k, keys, [0, 2, 3, 1]));
  const weights = softmax(scale(scores, 1 / Math.sqrt(headSize)));
  const mixed = transpose(matmul(weights, split(v, keys, [0, 2, 1, 3])), [0, 2, 1, 3]);
  return reshape(mixed, [batch, queries, heads * headSize]);
}

describe('fused attention', () => {
  it('gives what plain operations give, for any number of queries and keys', async () => {
    const sizes = fc.record({
      batch: fc.integer({ min: 1, max: 3 }),
      queries: fc.integer({ min: 1, max: 70 }),
      keys: fc.integer({ min: 1, max: 300 }),
      heads: fc.integer({ min: 1, max: 4 }),
      headSize: fc.integer({ min: 1, max: 24 }).map((half) => 2 * half),
    });
    await fc.assert(
      fc.asyncProperty(sizes, fc.nat(), async (own, seed) => {
        const { batch, queries, keys, heads, headSize } = own;
        const rng = new Rng(seed);
        const graph = new Graph();
        const declare = (name: string, rows: number): Value =>
          graph.input(name, 'float', [batch, rows, heads * headSize]);
        const operands = [declare('q', queries), declare('k', keys), declare('v', keys)] as const;
        graph.output('fused', fusedAttention(...operands, heads));
        graph.output('plain', plain(...operands, own));
        await using session = await Session.create(encodeGraph(graph), { threads: 1 });
        const draw = (rows: number) => {
          const length = batch * rows * heads * headSize;
          const data = Float32Array.from({ length }, () => 2 * rng.normal());
          return tensor('f32', [batch, rows, heads * headSize], data);
        };
        const found = await session.run({ q: draw(queries), k: draw(keys), v: draw(keys) });
        const data = (name: string): Float32Array => found[name]?.data as Float32Array;
        expect(relativeError(data('fused'), data('plain'))).toBeLessThan(1e-5);
      }),
      { numRuns: 30, seed: 20260101 },
    );
  });

  it('refuses operands that do not fit, other types, and gradients', () => {
    const graph = new Graph();
    const x = graph.input('x', 'float', [1, 'L', 8]);
    const other = graph.input('other', 'float', [1, 'S', 6]);
    expect(() => fusedAttention(x, other, other, 2)).toThrow(ShapeError);
    expect(() => fusedAttention(x, x, x, 3)).toThrow(/a multiple of 3/);
    const wide = new Graph('f64').input('x', 'float', [1, 'L', 8]);
    expect(() => fusedAttention(wide, wide, wide, 2)).toThrow(/f32 only/);
    const total = sum(fusedAttention(x, x, x, 2), [0, 1, 2]);
    expect(() => gradients(total, [x])).toThrow(RuntimeError);
  });
});
