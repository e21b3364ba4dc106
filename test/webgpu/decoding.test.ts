// Owns the check that decoding on WebGPU writes what the CPU writes, its cache kept on the device.
// Axes: B rows, T new tokens, S capacity, H query heads, J key heads, E head size.
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../src/engine/encode.ts';
import { Graph } from '../../src/engine/graph.ts';
import { cachedAttention } from '../../src/engine/ops/cached-attention.ts';
import { CarriedState, Session, countLiveSessions } from '../../src/engine/session.ts';
import type { Device } from '../../src/engine/session.ts';
import { tensor, zeros } from '../../src/engine/tensor.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import { generateBatch } from '../../src/generate/generate.ts';
import { promptIds } from '../../src/model/bundle.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { Rng } from '../../src/rng.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../helpers/mini-gap.ts';
import { randomRows } from '../helpers/mini-model.ts';
import { relativeError } from '../helpers/relative-error.ts';

const [B, S, H, J, E] = [2, 7, 4, 2, 8];
/** f32 sums in another order; the largest measured here is 3e-7. */
const TOLERANCE = 1e-5;

function encodeAttention(): Uint8Array {
  const graph = new Graph();
  const result = cachedAttention({
    query_BTHE: graph.input('query', 'float', ['B', 'T', H, E]),
    key_BTJE: graph.input('key', 'float', ['B', 'T', J, E]),
    value_BTJE: graph.input('value', 'float', ['B', 'T', J, E]),
    pastKey_BJSE: graph.input('past_key', 'float', ['B', J, 'S', E]),
    pastValue_BJSE: graph.input('past_value', 'float', ['B', J, 'S', E]),
    lastIndex_B: graph.input('last_index', 'i32', ['B']),
    totalLength: graph.input('total_length', 'i32', [1]),
  });
  graph.output('mixed', result.mixed);
  graph.output('present_key', result.key_BJSE);
  graph.output('present_value', result.value_BJSE);
  return encodeGraph(graph);
}

/** Feeds of one call; every row has all its tokens. */
function call(rng: Rng, T: number, length: number): Record<string, Tensor> {
  const draw = (heads: number): Tensor =>
    tensor('f32', [B, T, heads, E], randomRows(rng, B * T * heads * E));
  return {
    query: draw(H),
    key: draw(J),
    value: draw(J),
    last_index: tensor('i32', [B], new Int32Array(B).fill(length - 1)),
    total_length: tensor('i32', [1], Int32Array.of(length)),
  };
}

const CACHE = ['key', 'value'];
/** New tokens of a call and the length after it. */
const CALLS = [
  [3, 3],
  [1, 4],
  [1, 5],
  [1, 6],
] as const;

/** The cache handed on by the session, as two chains that take turns. */
async function attendCarried(device: Device): Promise<Float32Array[][]> {
  const carried = CACHE.map((kind) => ({ input: `past_${kind}`, output: `present_${kind}` }));
  await using session = await Session.create(
    encodeAttention(),
    { ...SESSION, device },
    { carried },
  );
  const newState = (): CarriedState =>
    new CarriedState(new Map(CACHE.map((kind) => [`past_${kind}`, zeros('f32', [B, J, S, E])])));
  using first = newState();
  using second = newState();
  const chains = [first, second].map((state, i) => ({ state, rng: new Rng(`calls ${i}`) }));
  const mixed: Float32Array[][] = chains.map(() => []);
  for (const [T, length] of CALLS) {
    for (const [i, { state, rng }] of chains.entries()) {
      const results = await session.run(call(rng, T, length), undefined, state);
      expect(Object.keys(results)).toEqual(['mixed']);
      mixed[i]?.push(results['mixed']?.data as Float32Array);
    }
  }
  const onDevice = device === 'webgpu' ? 'gpu-buffer' : 'cpu';
  for (const { state } of chains) {
    expect([...state.tensors.values()].map(({ location }) => location)).toEqual([
      onDevice,
      onDevice,
    ]);
  }
  return mixed;
}

/** The cache as memory of the CPU that is input and output at once. */
async function attendBound(device: Device, chain: number): Promise<Float32Array[]> {
  await using session = await Session.create(encodeAttention(), { ...SESSION, device });
  for (const kind of CACHE) {
    const memory = zeros('f32', [B, J, S, E]);
    session.bindInput(`past_${kind}`, memory);
    session.bindOutput(`present_${kind}`, memory);
  }
  const rng = new Rng(`calls ${chain}`);
  const mixed: Float32Array[] = [];
  for (const [T, length] of CALLS) {
    mixed.push((await session.run(call(rng, T, length)))['mixed']?.data as Float32Array);
  }
  return mixed;
}

function worst(found: readonly Float32Array[], expected: readonly Float32Array[]): number {
  return Math.max(...expected.map((values, i) => relativeError(found[i] ?? [], values)));
}

describe('attention over a cache on WebGPU', () => {
  it('is that of the CPU with a cache that stays on the device, for chains that take turns', async () => {
    const found = await attendCarried('webgpu');
    for (const chain of [0, 1]) {
      const expected = await attendBound('cpu', chain);
      expect(worst(found[chain] ?? [], expected)).toBeLessThan(TOLERANCE);
    }
  });
  it('is that of the CPU with a cache in memory of the CPU that is input and output', async () => {
    const found = await attendBound('webgpu', 0);
    expect(worst(found, await attendBound('cpu', 0))).toBeLessThan(TOLERANCE);
  });
});

describe('a model decoded on WebGPU', () => {
  it('writes the tokens and latents that it writes on the CPU, greedily', async () => {
    const before = countLiveSessions();
    // A seed with which greedy decoding opens spans, too.
    const model = await miniGapModel({ heads: 2, kvHeads: 1, tied: false, seed: 4 });
    const width = model.bundle.checkpoint.config.text.hiddenSize;
    const rng = new Rng('prompts');
    const prompts = Array.from({ length: 6 }, (_, i) => {
      const grids: GridThw[] = i % 2 === 0 ? [] : [[1, 4, 2]];
      const ids = promptIds(
        model.bundle,
        // From 32 tokens a call on, the fused kernel takes another way.
        i % 3 === 0 ? 'what is it '.repeat(16).trim() : 'red',
        grids,
      );
      const numTokens = ids.filter((id) => id === model.bundle.sequence.imagePad).length;
      return { promptIds: ids, grids, pictureRows_MD: randomRows(rng, numTokens * width) };
    });
    const decode = async (device: Device) => {
      await using decoder = await Decoder.create(model, { ...SESSION, device });
      return await generateBatch(
        decoder,
        prompts.map((prompt, i) => ({ ...prompt, rng: new Rng(`row ${i}`) })),
        {
          numLatents: MINI_LATENTS,
          maxNewTokens: 16,
          temperature: 0,
          intervention: { kind: 'clean' },
          calibration: { kind: 'none' },
        },
      );
    };
    const [found, expected] = [await decode('webgpu'), await decode('cpu')];
    expect(found.map(({ ids }) => ids)).toEqual(expected.map(({ ids }) => ids));
    expect(expected.some(({ latents }) => latents.length > 0)).toBe(true);
    expected.forEach(({ latents }, row) => {
      expect(worst(found[row]?.latents ?? [], latents)).toBeLessThan(1e-4);
    });
    expect(countLiveSessions()).toBe(before);
  });
});
