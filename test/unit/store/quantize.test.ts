// Owns the checks of packed checkpoints: what is packed, that it runs, and what is refused.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packRows, unpackRows } from '../../../src/engine/pack.ts';
import type { Packing } from '../../../src/engine/ops/packed.ts';
import { openModelFolder } from '../../../src/engine/safetensors.ts';
import { hasDType } from '../../../src/engine/tensor.ts';
import { CheckpointError, ConfigError } from '../../../src/errors.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import type { PromptRow } from '../../../src/generate/decoder.ts';
import { outputHead } from '../../../src/latent/model.ts';
import type { ModelBundle } from '../../../src/model/bundle.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { Weights } from '../../../src/model/weights.ts';
import { openCheckpoint, readCheckpoint, writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { quantizeCheckpoint } from '../../../src/store/quantize.ts';
import type { QuantizeOptions } from '../../../src/store/quantize.ts';
import { createRaster } from '../../../src/data/raster.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, miniBundle } from '../../helpers/mini-model.ts';
import type { MiniOptions } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

type Settings = Omit<QuantizeOptions, 'model' | 'out'>;

const INT4: Settings = { bits: 4, symmetric: true };

async function withPacked(
  mini: MiniOptions,
  settings: Settings,
  use: (packed: string, plain: ModelBundle<Weights>) => Promise<void>,
): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const bundle = miniBundle(mini);
    const [model, out] = [join(folder, 'plain'), join(folder, 'packed')];
    await writeCheckpoint(model, bundle.checkpoint.configJson, bundle.checkpoint.weights);
    await quantizeCheckpoint({ model, out, ...settings });
    await use(out, bundle);
  });
}

/** The weights that a packed model stands for, as plain ones. */
function rounded(bundle: ModelBundle<Weights>, packings: ReadonlyMap<string, Packing>): Weights {
  const weights = bundle.checkpoint.weights.clone();
  for (const [name, packing] of packings) {
    const target = weights.byName.get(name);
    if (!target) continue;
    const columns = target.dims[1] ?? 1;
    target.data.set(unpackRows(packRows(target.data, columns, packing), columns, packing));
  }
  return weights;
}

async function logitsOf(bundle: ModelBundle): Promise<Float32Array> {
  const ids = [3, 1, 4, 1, 5];
  const row: PromptRow = {
    ids,
    positions_3T: Int32Array.from({ length: 15 }, (_, i) => i % 5),
    given_ND: new Float32Array(0),
    givenPlaces: [],
  };
  await using decoder = await Decoder.create({ bundle, head: outputHead() }, SESSION);
  return (await decoder.start([row], 1)).output.logits_BV;
}

describe('a packed checkpoint', () => {
  it.each([
    { tied: true, settings: INT4 },
    { tied: false, settings: { ...INT4, symmetric: false } },
    { tied: true, settings: { bits: 8, symmetric: true, head: 'none', vision: 'none' } },
    { tied: false, settings: { bits: 8, symmetric: false, head: 4, vision: 4 } },
  ] satisfies { tied: boolean; settings: Settings }[])(
    'computes what its rounded weights do: $settings, tied $tied',
    async ({ tied, settings }) => {
      await withPacked({ tied }, settings, async (folder, bundle) => {
        const checkpoint = await openCheckpoint(folder);
        const { packings } = checkpoint.weights;
        const packed: ModelBundle = { ...bundle, checkpoint };
        const weights = rounded(bundle, packings);
        const plain: ModelBundle = { ...bundle, checkpoint: { ...bundle.checkpoint, weights } };
        // A tied head is packed and its table is not, so the twin's head is the rounded table.
        if (!tied || settings.head === 'none') {
          const [found, expected] = [await logitsOf(packed), await logitsOf(plain)];
          // Activations are rounded to 8 bits in every product.
          expect(relativeError(found, expected)).toBeLessThan(0.05);
        }
        const picture = createRaster(16, 16, [200, 100, 30]);
        await using ours = new PictureEncoder(packed, SESSION);
        await using theirs = new PictureEncoder(plain, SESSION);
        const [found, expected] = [await ours.encode([picture]), await theirs.encode([picture])];
        expect(relativeError(found, expected)).toBeLessThan(
          settings.vision === 'none' ? 1e-6 : 0.05,
        );
      });
    },
  );

  it('packs the head of a tied model apart from its table', async () => {
    await withPacked({ tied: true }, INT4, async (folder, bundle) => {
      const checkpoint = await openCheckpoint(folder);
      const head = checkpoint.weights.packings.get('lm_head.weight');
      expect(head).toEqual({ bits: 4, symmetric: true });
      await using reader = await openModelFolder(folder);
      const table = await reader.read('model.embed_tokens.weight');
      const original = bundle.checkpoint.weights.get('model.embed_tokens.weight');
      expect(table).toEqual(original);
      const codes = await reader.read('lm_head.weight.packed_codes');
      const columns = original.dims[1] ?? 1;
      expect(codes.data).toEqual(packRows(original.data, columns, INT4).codes);
      const logits = await logitsOf({ ...bundle, checkpoint });
      expect(relativeError(logits, await logitsOf(bundle))).toBeLessThan(0.5);
    });
  });

  it('has matrices packed and vectors, the patch kernel and the table as they were', async () => {
    await withPacked({ tied: false }, INT4, async (folder, bundle) => {
      await using reader = await openModelFolder(folder);
      for (const { name, dims } of bundle.checkpoint.weights.specs) {
        const isPacked = dims.length === 2 && name !== 'model.embed_tokens.weight';
        expect(reader.infos.has(`${name}.packed_codes`), name).toBe(isPacked);
        expect(reader.infos.has(name), name).toBe(!isPacked);
        if (isPacked) continue;
        const found = await reader.read(name);
        expect(hasDType(found, 'f32') && found.data).toEqual(
          bundle.checkpoint.weights.get(name).data,
        );
      }
    });
  });

  it('cannot be trained or packed again, and says so', async () => {
    await withPacked({ tied: true }, INT4, async (folder) => {
      await expect(readCheckpoint(folder)).rejects.toThrow(/packed by `gapvl quantize`/);
      const again = quantizeCheckpoint({ model: folder, out: `${folder}-again`, ...INT4 });
      await expect(again).rejects.toThrow(/packed by `gapvl quantize`/);
    });
  });
});

describe('packing a checkpoint', () => {
  const written = async (folder: string): Promise<string> => {
    const bundle = miniBundle({ tied: false });
    await writeCheckpoint(
      join(folder, 'plain'),
      bundle.checkpoint.configJson,
      bundle.checkpoint.weights,
    );
    return join(folder, 'plain');
  };

  it('refuses numbers that no code stands for, and leaves nothing behind', async () => {
    await inTemporaryFolder(async (folder) => {
      const bundle = miniBundle({ tied: false });
      const { weights, configJson } = bundle.checkpoint;
      weights.get('model.layers.0.mlp.down_proj.weight').data[7] = Number.NaN;
      const model = join(folder, 'plain');
      await writeCheckpoint(model, configJson, weights);
      const work = quantizeCheckpoint({ model, out: join(folder, 'packed'), ...INT4 });
      await expect(work).rejects.toThrow(/down_proj.weight holds numbers/);
      await expect(work).rejects.toThrow(CheckpointError);
      expect(await readdir(folder)).toEqual(['plain']);
    });
  });
  it('refuses a folder that holds something', async () => {
    await inTemporaryFolder(async (folder) => {
      const model = await written(folder);
      await expect(quantizeCheckpoint({ model, out: model, ...INT4 })).rejects.toThrow(ConfigError);
    });
  });
  it('stops when asked to, and leaves nothing behind', async () => {
    await inTemporaryFolder(async (folder) => {
      const model = await written(folder);
      const controller = new AbortController();
      const work = quantizeCheckpoint({
        ...{ model, out: join(folder, 'packed'), ...INT4, signal: controller.signal },
        progress: () => {
          controller.abort(new Error('enough'));
        },
      });
      await expect(work).rejects.toThrow('enough');
      expect(await readdir(folder)).toEqual(['plain']);
    });
  });
  it('tells how far it is, up to all parameters', async () => {
    await inTemporaryFolder(async (folder) => {
      const model = await written(folder);
      const seen: [number, number][] = [];
      const { numPacked, bytesBefore, bytesAfter } = await quantizeCheckpoint({
        ...{ model, out: join(folder, 'packed'), ...INT4 },
        progress: (done, total) => seen.push([done, total]),
      });
      const [done, total] = seen.at(-1) ?? [];
      expect(done).toBe(total);
      expect(numPacked).toBeGreaterThan(10);
      expect(bytesAfter).toBeLessThan(bytesBefore);
    });
  });
});
