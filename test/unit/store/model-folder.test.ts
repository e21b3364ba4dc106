// Checks model folders of different ages: where picture settings stand and what a copy carries along.
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import type { JsonObject } from '../../../src/model/config.ts';
import { modelSpecs } from '../../../src/model/parameters.ts';
import { buildTinyTokenizer } from '../../../src/processor/tiny-tokenizer.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import {
  readModelBundle,
  writeCompanions,
  writeTrainedModel,
} from '../../../src/store/model-folder.ts';
import { Rng } from '../../../src/rng.ts';
import {
  MINI_WORDS,
  inTemporaryFolder,
  miniConfigJson,
  randomWeights,
} from '../../helpers/mini-model.ts';

async function writeModel(folder: string, preprocessor: JsonObject): Promise<void> {
  const json = miniConfigJson({ layers: 1 });
  const specs = modelSpecs(parseModelConfig(json, 'mini'));
  await writeCheckpoint(folder, json, randomWeights(specs, new Rng(3)));
  await writeCompanions(folder, { tokenizer: buildTinyTokenizer(MINI_WORDS), preprocessor });
}

describe('a model folder', () => {
  it.each<readonly [string, JsonObject, readonly [number, number]]>([
    ['published', { min_pixels: 3136, max_pixels: 12845056 }, [3136, 12845056]],
    ['edges of a size', { size: { shortest_edge: 64, longest_edge: 4096 } }, [64, 4096]],
    [
      'both, of which the names count',
      { min_pixels: 16, max_pixels: null, size: { shortest_edge: 64, longest_edge: 4096 } },
      [16, 4096],
    ],
    ['nothing', {}, [3136, 12845056]],
  ])('tells the limits of pictures: %s', async (_name, settings, [minPixels, maxPixels]) => {
    await inTemporaryFolder(async (folder) => {
      await writeModel(folder, settings);
      expect((await readModelBundle(folder)).pixels).toEqual({ minPixels, maxPixels });
    });
  });

  it('of transformers 5 has them in processor_config.json, and a trained copy keeps it', async () => {
    await inTemporaryFolder(async (folder) => {
      const copy = join(folder, 'copy');
      await writeModel(folder, {});
      await rm(join(folder, 'preprocessor_config.json'));
      await expect(readModelBundle(folder)).rejects.toThrow(/preprocessor_config\.json cannot be/);
      const file = join(folder, 'processor_config.json');
      await writeFile(file, '{"processor_class": "Qwen2_5_VLProcessor"}');
      await expect(readModelBundle(folder)).rejects.toThrow(CheckpointError);
      await expect(readModelBundle(folder)).rejects.toThrow(/has no picture settings/);
      const settings = {
        image_mean: [0.1, 0.2, 0.3],
        size: { shortest_edge: 9, longest_edge: 99 },
      };
      await writeFile(file, JSON.stringify({ image_processor: settings }));
      const bundle = await readModelBundle(folder);
      expect(bundle.pixels).toEqual({ minPixels: 9, maxPixels: 99 });
      expect(bundle.patches.mean).toEqual([0.1, 0.2, 0.3]);
      await writeTrainedModel(bundle, copy, bundle.checkpoint.weights, new Map());
      expect(await readdir(copy)).not.toContain('preprocessor_config.json');
      expect(await readFile(join(copy, 'processor_config.json'))).toEqual(await readFile(file));
      expect((await readModelBundle(copy)).pixels).toEqual(bundle.pixels);
    });
  });
});
