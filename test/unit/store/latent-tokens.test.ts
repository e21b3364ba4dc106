// Checks that a published model gets the tokens of latent spans and nothing else changes in it.
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { LATENT_TOKENS, formatResponse } from '../../../src/data/format.ts';
import { openModelFolder, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { encodeShardIndex } from '../../../src/engine/safetensors-writer.ts';
import { bytesOf, cast, numElements, tensor, toFloat32 } from '../../../src/engine/tensor.ts';
import type { DType, Tensor } from '../../../src/engine/tensor.ts';
import { CheckpointError, ConfigError } from '../../../src/errors.ts';
import { HEAD_FILE, readGapModel } from '../../../src/store/latent-head.ts';
import { addLatentTokens } from '../../../src/store/latent-tokens.ts';
import { readModelBundle, writeCompanions } from '../../../src/store/model-folder.ts';
import { NOISE_SHARE } from '../../../src/store/token-rows.ts';
import { responseIds } from '../../../src/model/bundle.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import type { JsonObject } from '../../../src/model/config.ts';
import { modelSpecs } from '../../../src/model/parameters.ts';
import { buildTinyTokenizer } from '../../../src/processor/tiny-tokenizer.ts';
import { NO_TOKEN } from '../../../src/processor/tokens.ts';
import { Rng } from '../../../src/rng.ts';
import { encodePng } from '../../../src/data/png.ts';
import { createRaster } from '../../../src/data/raster.ts';
import { askModel } from '../../../src/generate/ask.ts';
import { gapvl } from '../../helpers/command-line.ts';
import {
  MINI_WORDS,
  inTemporaryFolder,
  miniConfigJson,
  randomWeights,
} from '../../helpers/mini-model.ts';

const TABLE = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';

interface Published {
  readonly tied: boolean;
  /** Rows of the tables that no token stands for. */
  readonly spare: number;
  readonly sharded?: boolean;
  readonly dtype?: DType;
  /** config.json with the decoder inside, and vocab_size at both places. */
  readonly nested?: boolean;
  /** A head stored beside the tied table. */
  readonly doubleHead?: boolean;
}

/** Tokenizer files without the tokens of latent spans. */
function publishedTokenizer() {
  const files = buildTinyTokenizer(MINI_WORDS);
  const isKept = ({ content }: { content: string }): boolean =>
    !(LATENT_TOKENS as readonly string[]).includes(content);
  const added = (files.tokenizerJson['added_tokens'] as { id: number; content: string }[]).filter(
    isKept,
  );
  const numTokens = files.numTokens - LATENT_TOKENS.length;
  expect(added.at(-1)?.id).toBe(numTokens - 1);
  return {
    numTokens,
    files: {
      ...files,
      tokenizerJson: { ...files.tokenizerJson, added_tokens: added },
      tokenizerConfig: {
        ...files.tokenizerConfig,
        added_tokens_decoder: Object.fromEntries(
          added.map(({ id, ...token }) => [String(id), token]),
        ),
        additional_special_tokens: added.map(({ content }) => content),
      },
    },
  };
}

/** Writes a model as it is published: a folder, its tensors, its number of tokens. */
async function publish(folder: string, options: Published) {
  const { tied, spare, sharded = false, dtype = 'bf16', nested = false } = options;
  const { files, numTokens } = publishedTokenizer();
  const flat = { ...miniConfigJson({ layers: 1, tied }), vocab_size: numTokens + spare };
  const { vision_config, model_type, image_token_id, ...text_config } = flat as JsonObject;
  const json = nested
    ? {
        ...{ model_type, vision_config, image_token_id, text_config },
        ...{ vocab_size: numTokens + spare, tie_word_embeddings: tied },
      }
    : flat;
  const weights = randomWeights(modelSpecs(parseModelConfig(json, 'mini')), new Rng('published'));
  const all = new Map([...weights.byName].map(([name, value]) => [name, cast(value, dtype)]));
  if (options.doubleHead === true) all.set(HEAD, all.get(TABLE) as Tensor);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'config.json'), JSON.stringify(json));
  await writeCompanions(folder, { tokenizer: files, preprocessor: { min_pixels: 64 } });
  const metadata = new Map([['format', 'pt']]);
  if (sharded) {
    const shards = [1, 2, 3].map((i) => `model-0000${String(i)}-of-00003.safetensors`);
    const shardOf = (name: string, i: number): string =>
      name === TABLE ? String(shards[0]) : String(shards[1 + (i % 2)]);
    const weightMap = new Map([...all.keys()].map((name, i) => [name, shardOf(name, i)]));
    for (const shard of shards) {
      const own = new Map([...all].filter(([name]) => weightMap.get(name) === shard));
      await writeSafetensors(join(folder, shard), own, metadata);
    }
    const index = encodeShardIndex({ weightMap, totalBytes: 1 });
    await writeFile(join(folder, 'model.safetensors.index.json'), index);
  } else await writeSafetensors(join(folder, 'model.safetensors'), all, metadata);
  return { json, all, numTokens };
}

async function tensorsOf(folder: string): Promise<ReadonlyMap<string, Tensor>> {
  await using reader = await openModelFolder(folder);
  return (await reader.readAll()).tensors;
}

const json = async (path: string): Promise<JsonObject> =>
  JSON.parse(await readFile(path, 'utf8')) as JsonObject;

const CASES: readonly Published[] = [
  { tied: true, spare: 5 },
  { tied: true, spare: 0, nested: true },
  { tied: true, spare: 2, doubleHead: true },
  { tied: false, spare: 2, sharded: true, nested: true },
  { tied: false, spare: 9, sharded: true },
  { tied: false, spare: 0, dtype: 'f16' },
  { tied: false, spare: 3, dtype: 'f32' },
];

describe('adding the tokens of latent spans', () => {
  it.each(CASES)('keeps everything else of a model with %o', async (options) => {
    await inTemporaryFolder(async (folder) => {
      const [model, out] = [join(folder, 'model'), join(folder, 'out')];
      const { all, numTokens, json: before } = await publish(model, options);
      const vocabAfter = numTokens + Math.max(options.spare, 3);
      const progress: number[] = [];
      const added = await addLatentTokens({
        ...{ model, out, seed: 4 },
        progress: (done, total) => progress.push(done / total),
      });
      expect(progress.at(-1)).toBe(1);
      expect(added.tokens).toEqual(
        LATENT_TOKENS.map((content, i) => ({ id: numTokens + i, content })),
      );
      expect([added.vocabBefore, added.vocabAfter]).toEqual([
        numTokens + options.spare,
        vocabAfter,
      ]);

      const found = await tensorsOf(out);
      expect([...found.keys()].sort()).toEqual([...all.keys()].sort());
      for (const [name, old] of all) {
        const now = found.get(name) as Tensor;
        expect(now.dtype).toBe(old.dtype);
        if (name !== TABLE && name !== HEAD) {
          expect(now).toEqual(old);
          continue;
        }
        const width = old.dims[1] as number;
        expect(now.dims).toEqual([vocabAfter, width]);
        const rows = (t: Tensor, begin: number, end: number): unknown =>
          t.data.slice(begin * width, end * width);
        expect(rows(now, 0, numTokens)).toEqual(rows(old, 0, numTokens));
        expect(rows(now, numTokens + 3, vocabAfter)).toEqual(rows(old, numTokens + 3, vocabAfter));
        expect(rows(now, numTokens, numTokens + 3)).not.toEqual(
          rows(old, numTokens, numTokens + 3),
        );
        // The plain twin of the mean and of the spread.
        const used = [...toFloat32(old)].slice(0, numTokens * width);
        const mean = Array.from(
          { length: width },
          (_, d) => used.reduce((sum, v, i) => sum + (i % width === d ? v : 0), 0) / numTokens,
        );
        const spread = Math.sqrt(
          used.reduce((sum, v, i) => sum + (v - (mean[i % width] as number)) ** 2, 0) / numTokens,
        );
        const table = added.tables.find((each) => each.name === name);
        expect(table?.spread).toBeCloseTo(spread, 5);
        expect(table?.meanNorm).toBeCloseTo(Math.hypot(...mean), 5);
        const values = [...toFloat32(now)].slice(numTokens * width, (numTokens + 3) * width);
        for (let row = 0; row < 3; row++) {
          const noise = mean.map((m, d) => (values[row * width + d] as number) - m);
          const share = Math.hypot(...noise) / (NOISE_SHARE * spread);
          expect(share, `${name} row ${String(row)}`).toBeGreaterThan(0.5);
          expect(share, `${name} row ${String(row)}`).toBeLessThan(1.7);
        }
      }

      const after = await json(join(out, 'config.json'));
      const sizes = [after, after['text_config'] as JsonObject | undefined]
        .map((part) => part?.['vocab_size'])
        .filter((size) => size !== undefined);
      expect(sizes).toEqual(options.nested === true ? [vocabAfter, vocabAfter] : [vocabAfter]);
      const text = after['text_config'] as JsonObject | undefined;
      expect({ ...after, vocab_size: 0, ...(text && { text_config: 0 }) }).toEqual({
        ...{ ...before, vocab_size: 0 },
        ...(text && { text_config: 0 }),
      });
      if (options.sharded === true) {
        const index = await json(join(out, 'model.safetensors.index.json'));
        const numBytes = [...found.values()].reduce((sum, t) => sum + bytesOf(t).byteLength, 0);
        const numAll = [...found.values()].reduce((sum, t) => sum + numElements(t.dims), 0);
        expect(index['metadata']).toEqual({ total_parameters: numAll, total_size: numBytes });
      }
      expect((await readdir(folder)).sort()).toEqual(['model', 'out']);
      expect((await readdir(out)).sort()).toEqual((await readdir(model)).sort());
    });
  });

  it.each([
    [151_936, true],
    [152_064, false],
  ])('takes ids 151665 to 151667 in the %i rows of published models', async (vocab, tied) => {
    await inTemporaryFolder(async (folder) => {
      const [model, out] = [join(folder, 'model'), join(folder, 'out')];
      const { numTokens } = await publish(model, {
        tied,
        spare: vocab - publishedTokenizer().numTokens,
      });
      // Source: the largest id in Qwen2.5-VL's tokenizer.json is 151664.
      const tokenizer = await json(join(model, 'tokenizer.json'));
      const shifted = (tokenizer['added_tokens'] as { id: number }[]).map((token) => ({
        ...token,
        id: token.id - numTokens + 151_665,
      }));
      await writeFile(
        join(model, 'tokenizer.json'),
        JSON.stringify({ ...tokenizer, added_tokens: shifted }),
      );
      const { tokens, vocabBefore, vocabAfter } = await addLatentTokens({ model, out, seed: 0 });
      expect(tokens.map(({ id }) => id)).toEqual([151_665, 151_666, 151_667]);
      expect([vocabBefore, vocabAfter]).toEqual([vocab, vocab]);
      expect(await readFile(join(out, 'config.json'), 'utf8')).toBe(
        `${JSON.stringify(await json(join(model, 'config.json')), null, 2)}\n`,
      );
    });
  });

  it('writes them into every file of the tokenizer, as special tokens', async () => {
    await inTemporaryFolder(async (folder) => {
      const [model, out] = [join(folder, 'model'), join(folder, 'out')];
      const { numTokens } = await publish(model, { tied: true, spare: 0 });
      await writeFile(join(model, 'added_tokens.json'), '{"<|im_end|>": 1}');
      await writeFile(
        join(model, 'special_tokens_map.json'),
        '{"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}',
      );
      await writeFile(join(model, 'merges.txt'), 'a b\n');
      await writeFile(join(model, 'pytorch_model.bin.index.json'), '{}');
      await addLatentTokens({ model, out, seed: 0 });
      const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
      const tokenizer = await json(join(out, 'tokenizer.json'));
      expect((tokenizer['added_tokens'] as unknown[]).slice(-3)).toEqual(
        LATENT_TOKENS.map((content, i) => ({
          id: numTokens + i,
          content,
          ...flags,
          special: true,
        })),
      );
      const config = await json(join(out, 'tokenizer_config.json'));
      expect((config['added_tokens_decoder'] as JsonObject)[String(numTokens + 1)]).toEqual({
        content: '<|latent_pad|>',
        ...flags,
        special: true,
      });
      expect((config['additional_special_tokens'] as unknown[]).slice(-3)).toEqual(LATENT_TOKENS);
      expect((await json(join(out, 'added_tokens.json')))['<|latent_end|>']).toBe(numTokens + 2);
      const map = await json(join(out, 'special_tokens_map.json'));
      expect(map).toEqual({
        eos_token: '<|im_end|>',
        additional_special_tokens: ['<|im_start|>', ...LATENT_TOKENS],
      });
      expect(await readFile(join(out, 'merges.txt'), 'utf8')).toBe('a b\n');
      expect(await readdir(out)).not.toContain('pytorch_model.bin.index.json');
      const { tokenizer: ours, sequence } = await readModelBundle(out);
      expect(ours.encode('red<|latent_start|><|latent_pad|> blue').slice(1, 3)).toEqual([
        sequence.latentStart,
        sequence.latentPad,
      ]);
    });
  });

  it('gives the same bytes for the same seed, other rows for another', async () => {
    await inTemporaryFolder(async (folder) => {
      const model = join(folder, 'model');
      await publish(model, { tied: false, spare: 0 });
      const tables: unknown[] = [];
      for (const [name, seed] of [
        ['a', 1],
        ['b', 1],
        ['c', 2],
      ] as const) {
        await addLatentTokens({ model, out: join(folder, name), seed });
        tables.push((await tensorsOf(join(folder, name))).get(TABLE));
      }
      expect(tables[0]).toEqual(tables[1]);
      expect(tables[0]).not.toEqual(tables[2]);
    });
  });

  it('shares no file with the original: writing one in place leaves the other alone', async () => {
    await inTemporaryFolder(async (folder) => {
      const [model, out] = [join(folder, 'model'), join(folder, 'out')];
      await publish(model, { tied: false, spare: 0, sharded: true });
      await addLatentTokens({ model, out, seed: 0 });
      for (const file of await readdir(out)) {
        expect((await stat(join(out, file))).ino, file).not.toBe(
          (await stat(join(model, file))).ino,
        );
      }
    });
  });

  it('refuses what it cannot do and leaves nothing behind', async () => {
    await inTemporaryFolder(async (folder) => {
      const [model, out] = [join(folder, 'model'), join(folder, 'out')];
      const { all } = await publish(model, { tied: true, spare: 5 });
      const run = (): Promise<unknown> => addLatentTokens({ model, out, seed: 0 });
      await expect(addLatentTokens({ model, out: model, seed: 0 })).rejects.toThrow(ConfigError);
      await expect(
        addLatentTokens({ model, out: join(model, 'config.json'), seed: 0 }),
      ).rejects.toThrow(ConfigError);
      const controller = new AbortController();
      controller.abort(new ConfigError({ what: 'stopped' }));
      const stopped = addLatentTokens({ model, out, seed: 0, signal: controller.signal });
      await expect(stopped).rejects.toThrow('stopped');
      const table = all.get(TABLE) as Tensor;
      const spoilt = cast(tensor('f32', table.dims, toFloat32(table).with(7, NaN)), 'bf16');
      await writeSafetensors(join(model, 'model.safetensors'), new Map([...all, [TABLE, spoilt]]));
      await expect(run()).rejects.toThrow(/has no mean[^]*no numbers/);
      await writeSafetensors(join(model, 'model.safetensors'), new Map([...all].slice(1)));
      await expect(run()).rejects.toThrow(/is missing/);
      await writeSafetensors(join(model, 'model.safetensors'), all);
      await writeFile(
        join(model, 'config.json'),
        JSON.stringify({
          ...(await json(join(model, 'config.json'))),
          vocab_size: 25,
          video_token_id: 24,
        }),
      );
      await expect(run()).rejects.toThrow(/tokens that its model has no rows for/);
      expect(await readdir(folder)).toEqual(['model']);
    });
  });

  it('runs as a command, once', async () => {
    await inTemporaryFolder(async (folder) => {
      const [model, out] = [join(folder, 'model'), join(folder, 'out')];
      const { numTokens } = await publish(model, { tied: false, spare: 1 });
      const first = await gapvl(['tokens', 'add', '--model', model, '--out', out]);
      expect(first.code, first.err).toBe(0);
      expect(first.out).toContain(`<|latent_start|> is ${String(numTokens)}`);
      const [before, after] = [String(numTokens + 1), String(numTokens + 3)];
      expect(first.out).toContain(`tables grew from ${before} to ${after} rows`);
      expect(first.out).toMatch(
        /lm_head\.weight: new rows are the mean \(norm [\d.]+\) plus noise/,
      );
      const again = await gapvl(['tokens', 'add', '--model', out, '--out', join(folder, 'more')]);
      expect(again.code).toBe(3);
      expect(again.err).toContain('has the tokens of latent spans already');
      expect((await readdir(folder)).sort()).toEqual(['model', 'out']);
    });
  });
});

describe('a published model without the tokens', () => {
  it('answers in text on the command line, and is refused for training with latents', async () => {
    await inTemporaryFolder(async (folder) => {
      const [model, data] = [join(folder, 'model'), join(folder, 'data')];
      await publish(model, { tied: false, spare: 2, sharded: true });
      const picture = join(folder, 'picture.png');
      await writeFile(picture, encodePng(createRaster(16, 16, [10, 200, 30])));
      const answer = await gapvl([
        ...['generate', '--model', model, '--image', picture, '--max-new-tokens', '6'],
        ...['--threads', '1', '--json', 'what is it'],
      ]);
      expect(answer.code, answer.err).toBe(0);
      const record = JSON.parse(answer.out) as { tokens: number[]; spans: unknown[] };
      expect(record.spans).toEqual([]);
      expect(record.tokens.every((id) => id >= 0)).toBe(true);
      await gapvl([
        'data',
        'generate',
        '--out',
        data,
        '--train',
        '10',
        '--validation',
        '0',
        '--test',
        '2',
        '--quiet',
      ]);
      const training = await gapvl([
        ...['train', '--variant', 'output-mse', '--model', model, '--data', data, '--quiet'],
        ...['--basis', join(folder, 'no-basis'), '--out', join(folder, 'trained')],
      ]);
      expect(training.code).toBe(3);
      expect(training.err).toContain(`run \`gapvl tokens add --model ${model} --out DIR\``);
      expect(await readdir(folder)).not.toContain('trained');
    });
  });

  it('is asked for latents by the library and says the same', async () => {
    await inTemporaryFolder(async (folder) => {
      await publish(folder, { tied: true, spare: 0 });
      const model = await readGapModel(folder);
      const asked = {
        pictures: [createRaster(16, 16, [0, 0, 0])],
        question: 'what is it',
        seed: 1,
      };
      const answer = askModel(model, { ...asked, numLatents: 4 });
      await expect(answer.next()).rejects.toThrow('gapvl tokens add');
    });
  });

  it('loads for text, and says what to run where latents are asked for', async () => {
    await inTemporaryFolder(async (folder) => {
      await publish(folder, { tied: true, spare: 0 });
      const { head, bundle } = await readGapModel(folder);
      const { latentStart, latentPad, latentEnd } = bundle.sequence;
      expect([latentStart, latentPad, latentEnd]).toEqual([NO_TOKEN, NO_TOKEN, NO_TOKEN]);
      expect(head.spec.kind).toBe('output');
      const texts = { think: 'red', answer: 'blue' };
      expect(
        responseIds(bundle, formatResponse(texts, { latents: 'none' })).length,
      ).toBeGreaterThan(4);
      const latents = formatResponse(texts, { latents: 'span', numLatents: 4 });
      const fix = `run \`gapvl tokens add --model ${folder} --out DIR\``;
      expect(() => responseIds(bundle, latents)).toThrow(CheckpointError);
      expect(() => responseIds(bundle, latents)).toThrow(fix);
      await writeFile(join(folder, HEAD_FILE), '');
      await expect(readGapModel(folder)).rejects.toThrow(fix);
    });
  });
});
