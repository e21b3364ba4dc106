// Tests pretraining of the real tiny model for a few steps: rows, resume, files.
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PRETRAIN_DEFAULTS } from '../../../src/config.ts';
import type { PretrainRecipe } from '../../../src/config.ts';
import { sampleExamples } from '../../../src/data/splits.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { readModelBundle } from '../../../src/store/model-folder.ts';
import { IGNORED_LABEL } from '../../../src/processor/sequence.ts';
import type { StepRecord } from '../../../src/train/loop.ts';
import {
  conversationRow,
  createTinyModel,
  pretrain,
  pretrainRow,
} from '../../../src/train/pretrain.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, miniBundle } from '../../helpers/mini-model.ts';

const RECIPE: PretrainRecipe = { ...PRETRAIN_DEFAULTS, steps: 4, batchSize: 2 };

async function run(folder: string, recipe: PretrainRecipe, stopAt?: number): Promise<StepRecord[]> {
  const stop = new AbortController();
  const records: StepRecord[] = [];
  for await (const record of pretrain(recipe, { ...SESSION, folder, signal: stop.signal })) {
    records.push(record);
    if (record.step === stopAt) stop.abort(new Error('stop'));
  }
  return records;
}

async function weightsOf(folder: string): Promise<Buffer> {
  return readFile(join(folder, 'model.safetensors'));
}

describe('pretraining', () => {
  it('goes on bit for bit after a stop, and its end is a model folder and no state', async () => {
    const before = countLiveSessions();
    await inTemporaryFolder(async (whole) => {
      const records = await run(whole, RECIPE);
      expect(records.map(({ step }) => step)).toEqual([1, 2, 3, 4]);
      await inTemporaryFolder(async (folder) => {
        await expect(run(folder, RECIPE, 2)).rejects.toThrow('stop');
        expect(await run(folder, RECIPE)).toEqual(records);
        expect((await weightsOf(folder)).equals(await weightsOf(whole))).toBe(true);
        expect(await readdir(folder)).toEqual(await readdir(whole));
        expect(await readdir(folder)).not.toContain('state.safetensors');
      });
      const { checkpoint } = await readModelBundle(whole);
      expect(checkpoint.weights.flat.every(Number.isFinite)).toBe(true);
      // Done is done: the same call again trains nothing and changes nothing.
      const bytes = await weightsOf(whole);
      await run(whole, RECIPE);
      expect((await weightsOf(whole)).equals(bytes)).toBe(true);
    });
    expect(countLiveSessions()).toBe(before);
  });

  it('starts from weights that follow from the seed', async () => {
    await inTemporaryFolder(async (folder) => {
      const bytes: Buffer[] = [];
      for (const seed of [1, 1, 2]) {
        await createTinyModel(folder, seed);
        bytes.push(await weightsOf(folder));
      }
      expect(bytes[0]?.equals(bytes[1] ?? Buffer.of())).toBe(true);
      expect(bytes[0]?.equals(bytes[2] ?? Buffer.of())).toBe(false);
    });
  });
});

describe('a pretraining row', () => {
  it('labels every response with its end, and no prompt', () => {
    const bundle = miniBundle();
    const { responseEnd, imagePad } = bundle.sequence;
    const row = conversationRow(bundle, [
      { prompt: [1, imagePad, imagePad, 2], response: [3, 4] },
      { prompt: [5], response: [6] },
    ]);
    const _ = IGNORED_LABEL;
    expect(row.inputIds).toEqual([1, imagePad, imagePad, 2, 3, 4, responseEnd, 5, 6, responseEnd]);
    expect(row.labels).toEqual([_, _, _, _, 3, 4, responseEnd, _, 6, responseEnd]);
    expect(row.picturePositions).toEqual([1, 2]);
    expect([row.spans, row.numPromptTokens]).toEqual([[], 4]);
  });

  it('answers as a text-only row of a variant does, then describes the picture', async () => {
    await inTemporaryFolder(async (folder) => {
      await createTinyModel(folder, 1);
      const bundle = await readModelBundle(folder);
      const [example] = sampleExamples({ split: 'train', count: 1, seed: 1 });
      if (!example) throw new Error('no example');
      for (const kind of ['easy', 'hard', 'auxiliary'] as const) {
        const { row, picture } = pretrainRow(bundle, example, kind);
        const labelled = row.labels.filter((id) => id !== IGNORED_LABEL);
        const isAuxiliary = kind === 'auxiliary';
        const caption = isAuxiliary ? example.auxiliaryCaption : example.caption;
        const answer = `<think> ${example.think} <parser> ${example.parser} </parser> </think> <answer> ${example.answer} </answer>`;
        const said = bundle.tokenizer.decode(labelled).replaceAll('<|im_end|>', ' ');
        expect(said.trim().split(/\s+/u).join(' ')).toBe(
          kind === 'hard' ? caption : `${answer} ${caption}`,
        );
        expect(picture).toBe(isAuxiliary ? example.auxiliary : example.picture);
      }
    });
  });
});
