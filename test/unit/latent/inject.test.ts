// Tests the one place where latents enter the model, and the way gradients take through it.
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { sum } from '../../../src/engine/ops/broadcast.ts';
import { mul } from '../../../src/engine/ops/elementwise.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { injectLatents } from '../../../src/latent/inject.ts';
import { SESSION } from '../../helpers/mini-gap.ts';

describe('injectLatents', () => {
  it('puts vectors at marked positions, leaves all others, and parts the gradient likewise', async () => {
    const graph = new Graph();
    const [x, isLatent, latents, weights] = [
      graph.input('x', 'float', ['B', 'T', 2]),
      graph.input('is_latent', 'bool', ['B', 'T']),
      graph.input('latents', 'float', ['B', 'T', 2]),
      graph.input('weights', 'float', ['B', 'T', 2]),
    ];
    const y = injectLatents(x, isLatent, latents);
    graph.output('y', y);
    const [byX, byLatents] = gradients(sum(mul(y, weights), [0, 1, 2]), [x, latents]);
    if (!byX || !byLatents) throw new Error('two gradients');
    graph.output('by_x', byX);
    graph.output('by_latents', byLatents);
    await using session = await Session.create(encodeGraph(graph), SESSION);
    const f32 = (...values: number[]) => tensor('f32', [2, 3, 2], Float32Array.from(values));
    // [ is at 0, latents at 1 and 2 of row 0; row 1 has none but its last.
    const results = await session.run({
      x: f32(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12),
      is_latent: tensor('bool', [2, 3], Uint8Array.of(0, 1, 1, 0, 0, 1)),
      latents: f32(-1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12),
      weights: f32(1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6),
    });
    const read = (name: string): number[] => Array.from(results[name]?.data ?? [], Number);
    expect(read('y')).toEqual([1, 2, -3, -4, -5, -6, 7, 8, 9, 10, -11, -12]);
    expect(read('by_x')).toEqual([1, 1, 0, 0, 0, 0, 4, 4, 5, 5, 0, 0]);
    expect(read('by_latents')).toEqual([0, 0, 2, 2, 3, 3, 0, 0, 0, 0, 6, 6]);
  });
});
