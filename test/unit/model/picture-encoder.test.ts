// Tests the frozen picture encoder against the forward pass, and the bundle it belongs to.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Raster } from '../../../src/data/raster.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { promptIds, responseIds } from '../../../src/model/bundle.ts';
import {
  readModelBundle,
  writeCompanions,
  writeTrainedModel,
} from '../../../src/store/model-folder.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { int64Tensor } from '../../../src/model/feeds.ts';
import { compileForward } from '../../../src/model/forward.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { patchify } from '../../../src/processor/patches.ts';
import { buildTinyTokenizer } from '../../../src/processor/tiny-tokenizer.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { MINI_WORDS, inTemporaryFolder, miniBundle } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

function picture(rng: Rng, width: number, height: number): Raster {
  const data = Uint8Array.from({ length: width * height * 3 }, () => rng.int(256));
  return { width, height, data };
}

describe('the picture encoder', () => {
  it('gives what the forward pass gives, for pictures of any size, in any company', async () => {
    const before = countLiveSessions();
    const bundle = miniBundle();
    const { config, weights } = bundle.checkpoint;
    const rng = new Rng('pictures');
    // More pictures than are run at once, of three sizes; 16 x 16 pixels are a whole window.
    const sizes = [
      { width: 16, height: 16 },
      { width: 24, height: 8 },
      { width: 32, height: 24 },
    ];
    const pictures = Array.from({ length: 40 }, (_, i) => {
      const { width = 0, height = 0 } = sizes[i % 3] ?? {};
      return picture(rng, width, height);
    });
    await using encoder = new PictureEncoder(bundle, SESSION);
    const rows = await encoder.encode(pictures);
    const { grids, pixelValues_PF } = patchify(pictures, bundle.patches);
    const tokens = grids.map(([, h, w]) => (h * w) / 4);
    const ids = tokens.flatMap((count) => [
      config.tokens.visionStart,
      ...Array<number>(count).fill(config.tokens.image),
    ]);
    const numPatches = 4 * tokens.reduce((sum, count) => sum + count, 0);
    await using pass = await compileForward(
      config,
      weights,
      {
        input_ids: int64Tensor([1, ids.length], ids),
        pixel_values: tensor(
          'f32',
          [numPatches, pixelValues_PF.length / numPatches],
          pixelValues_PF,
        ),
        image_grid_thw: int64Tensor([grids.length, 3], grids.flat()),
      },
      SESSION,
    );
    const { image_embeds: expected } = await pass.run();
    expect(relativeError(rows, expected?.data as Float32Array)).toBeLessThan(1e-5);

    const alone = await encoder.encode(pictures.slice(3, 4));
    const start = (tokens[0] ?? 0) + (tokens[1] ?? 0) + (tokens[2] ?? 0);
    const own = rows.subarray(start * 16, (start + (tokens[3] ?? 0)) * 16);
    expect(relativeError(alone, own)).toBeLessThan(1e-5);
    expect(await encoder.encode([])).toEqual(new Float32Array(0));
    await encoder[Symbol.asyncDispose]();
    await pass[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(before);
  });
});

describe('a model bundle', () => {
  it('is read from a folder, and a trained copy is the same but for the weights', async () => {
    await inTemporaryFolder(async (folder) => {
      const mini = miniBundle();
      await writeCheckpoint(folder, mini.checkpoint.configJson, mini.checkpoint.weights);
      const preprocessor = { image_mean: [0.5, 0.4, 0.3], min_pixels: 64, max_pixels: 4096 };
      await writeCompanions(folder, { tokenizer: buildTinyTokenizer(MINI_WORDS), preprocessor });
      const bundle = await readModelBundle(folder);
      expect(bundle.sequence).toEqual(mini.sequence);
      expect([bundle.padId, bundle.pixels]).toEqual([
        mini.padId,
        { minPixels: 64, maxPixels: 4096 },
      ]);
      expect(bundle.patches.mean).toEqual([0.5, 0.4, 0.3]);
      expect(bundle.patches.std).toEqual(mini.patches.std);
      const grid = [1, 2, 4] as const;
      expect(promptIds(bundle, 'what is red', [grid])).toEqual(
        promptIds(mini, 'what is red', [grid]),
      );

      const trained = bundle.checkpoint.weights.clone();
      trained.flat[5] = 42;
      const copy = join(folder, 'copy');
      await writeTrainedModel(bundle, copy, trained, new Map([['variant', 'gap']]));
      const again = await readModelBundle(copy);
      expect(again.checkpoint.weights.flat).toEqual(trained.flat);
      expect(again.checkpoint.config).toEqual(bundle.checkpoint.config);
      for (const file of [
        'tokenizer.json',
        'tokenizer_config.json',
        'preprocessor_config.json',
        'chat_template.jinja',
      ]) {
        expect(await readFile(join(copy, file))).toEqual(await readFile(join(folder, file)));
      }
    });
  });

  it('takes the chat template from the tokenizer config when it has no file', async () => {
    await inTemporaryFolder(async (folder) => {
      const mini = miniBundle();
      await writeCheckpoint(folder, mini.checkpoint.configJson, mini.checkpoint.weights);
      const tokenizer = buildTinyTokenizer(MINI_WORDS);
      const files = {
        'tokenizer.json': tokenizer.tokenizerJson,
        'tokenizer_config.json': {
          ...tokenizer.tokenizerConfig,
          chat_template: tokenizer.chatTemplate,
        },
        'preprocessor_config.json': {},
      };
      for (const [name, value] of Object.entries(files)) {
        await writeFile(join(folder, name), JSON.stringify(value));
      }
      const bundle = await readModelBundle(folder);
      expect(promptIds(bundle, 'red', [])).toEqual(promptIds(mini, 'red', []));
      const older = { chat_template: `<|im_start|>${tokenizer.chatTemplate}` };
      await writeFile(join(folder, 'chat_template.json'), JSON.stringify(older));
      const [first] = promptIds(await readModelBundle(folder), 'red', []);
      expect(promptIds(await readModelBundle(folder), 'red', []).slice(1)).toEqual(
        promptIds(mini, 'red', []),
      );
      expect(first).toBe(bundle.tokenizer.idOf('<|im_start|>'));
      await rm(join(folder, 'chat_template.json'));
      await writeFile(
        join(folder, 'tokenizer_config.json'),
        JSON.stringify(tokenizer.tokenizerConfig),
      );
      await expect(readModelBundle(folder)).rejects.toThrow(/no chat template/);
    });
  });

  it('encodes markers of a response as tokens and free text never', () => {
    const bundle = miniBundle();
    const { latentStart } = bundle.sequence;
    const marker = { kind: 'marker', text: '<|latent_start|>' } as const;
    expect(responseIds(bundle, [marker, { kind: 'text', text: 'red' }])).toEqual([
      latentStart,
      bundle.tokenizer.idOf('red'),
    ]);
    expect(() => responseIds(bundle, [{ kind: 'text', text: '<|latent_start|>' }])).toThrow();
  });
});
