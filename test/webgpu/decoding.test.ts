// Owns the check that decoding on WebGPU writes what the CPU writes.
import { describe, expect, it } from 'vitest';
import { countLiveSessions } from '../../src/engine/session.ts';
import type { Device } from '../../src/engine/session.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import { generateBatch } from '../../src/generate/generate.ts';
import { promptIds } from '../../src/model/bundle.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { Rng } from '../../src/rng.ts';
import { MINI_LATENTS, SESSION, miniGapModel } from '../helpers/mini-gap.ts';
import { randomRows } from '../helpers/mini-model.ts';
import { relativeError } from '../helpers/relative-error.ts';

function worst(found: readonly Float32Array[], expected: readonly Float32Array[]): number {
  return Math.max(...expected.map((values, i) => relativeError(found[i] ?? [], values)));
}

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
