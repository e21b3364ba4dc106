// Tests generation_config.json: published files, silence, and everything that cannot be used.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { decodingPlan } from '../../../src/generate/defaults.ts';
import { parseGenerationConfig } from '../../../src/model/generation-config.ts';
import { buildTinyTokenizer } from '../../../src/processor/tiny-tokenizer.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import {
  readModelBundle,
  writeCompanions,
  writeTrainedModel,
} from '../../../src/store/model-folder.ts';
import { MINI_WORDS, inTemporaryFolder, miniBundle } from '../../helpers/mini-model.ts';

/** As Qwen2.5-VL-7B-Instruct is published. */
const PUBLISHED = {
  bos_token_id: 151643,
  pad_token_id: 151643,
  do_sample: true,
  eos_token_id: [151645, 151643],
  repetition_penalty: 1.05,
  temperature: 0.000001,
  transformers_version: '4.49.0',
};

describe('generation_config.json', () => {
  it('is read as published, silent values being those of the original', () => {
    expect(parseGenerationConfig(PUBLISHED, 'it')).toEqual({
      temperature: 1e-6,
      topK: 50,
      topP: 1,
      repetitionPenalty: 1.05,
      endIds: [151645, 151643],
      stop: [],
    });
  });

  it('asks for greedy decoding unless it says do_sample', () => {
    const greedy = {
      temperature: 0,
      topK: 50,
      topP: 1,
      repetitionPenalty: 1,
      endIds: [],
      stop: [],
    };
    expect(parseGenerationConfig({}, 'it')).toEqual(greedy);
    const json = { do_sample: false, temperature: 0.7, top_k: 3, top_p: 0.9, eos_token_id: 4 };
    expect(parseGenerationConfig(json, 'it')).toEqual({
      ...greedy,
      ...{ topK: 3, topP: 0.9, endIds: [4] },
    });
    expect(parseGenerationConfig({ do_sample: true }, 'it').temperature).toBe(1);
  });

  it('takes null and values that change nothing, stop strings and a limit', () => {
    const json = {
      ...{ top_p: null, min_p: null, num_beams: 1, no_repeat_ngram_size: 0, max_length: 20 },
      ...{ max_new_tokens: 99, stop_strings: 'END', eos_token_id: null },
    };
    const found = parseGenerationConfig(json, 'it');
    expect(found).toMatchObject({ maxNewTokens: 99, stop: ['END'], endIds: [], topP: 1 });
  });

  it.each([
    ['temperature', -1, 'at least 0'],
    ['temperature', 'hot', 'at least 0'],
    ['top_k', 1.5, 'whole number'],
    ['top_p', 1.01, 'from 0 to 1'],
    ['repetition_penalty', 0, 'above 0'],
    ['eos_token_id', [1, 'two'], 'a token id'],
    ['eos_token_id', -1, 'a token id'],
    ['stop_strings', [''], 'none empty'],
    ['max_new_tokens', 0, 'at least 1'],
    ['do_sample', 'yes', 'true or false'],
    ['num_beams', 4, 'gapvl implements'],
    ['suppress_tokens', [3], 'gapvl implements'],
    ['min_p', 0.1, 'gapvl implements'],
  ])('refuses %s = %j by name', (name, value, expected) => {
    const read = (): unknown => parseGenerationConfig({ [name]: value }, 'folder/file.json');
    expect(read).toThrow(CheckpointError);
    expect(read).toThrow(new RegExp(`${name} of folder/file.json[^]*${expected}`));
  });
});

describe('a model folder', () => {
  const write = async (folder: string, generation?: string): Promise<void> => {
    const mini = miniBundle();
    await writeCheckpoint(folder, mini.checkpoint.configJson, mini.checkpoint.weights);
    await writeCompanions(folder, { tokenizer: buildTinyTokenizer(MINI_WORDS), preprocessor: {} });
    if (generation !== undefined)
      await writeFile(join(folder, 'generation_config.json'), generation);
  };

  it('is decoded greedily without the file', async () => {
    await inTemporaryFolder(async (folder) => {
      await write(folder);
      const bundle = await readModelBundle(folder);
      expect(bundle.generation).toBeUndefined();
      expect(decodingPlan(bundle, {}, 4)).toEqual({
        ...{ temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1, stop: [], maxNewTokens: 70 },
      });
    });
  });

  it('is decoded as the file says unless told otherwise, and so is its trained copy', async () => {
    await inTemporaryFolder(async (folder) => {
      await write(folder, JSON.stringify({ ...PUBLISHED, stop_strings: ['END'] }));
      const bundle = await readModelBundle(folder);
      const plan = {
        ...{ temperature: 1e-6, topK: 50, topP: 1, repetitionPenalty: 1.05, stop: ['END'] },
        maxNewTokens: 512,
      };
      expect(decodingPlan(bundle, {}, 0)).toEqual(plan);
      const given = { temperature: 0, topK: 0, topP: 0.5, repetitionPenalty: 1, stop: [] };
      expect(decodingPlan(bundle, { ...given, maxNewTokens: 3 }, 0)).toEqual({
        ...given,
        maxNewTokens: 3,
      });
      const copy = join(folder, 'copy');
      await writeTrainedModel(bundle, copy, bundle.checkpoint.weights, new Map());
      expect((await readModelBundle(copy)).generation).toEqual(bundle.generation);
    });
  });

  it.each(['{', '[]', '{"top_k": 1, "top_k": 2}', '{"top_p": 7}'])(
    'with the broken file %s is refused by its path',
    async (text) => {
      await inTemporaryFolder(async (folder) => {
        await write(folder, text);
        const reading = readModelBundle(folder);
        await expect(reading).rejects.toThrow(CheckpointError);
        await expect(reading).rejects.toThrow(/generation_config\.json/);
      });
    },
  );
});
