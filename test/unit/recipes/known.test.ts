// Tests the data and recipes of the known models: what makes their truth known by construction.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { redundantExample, tellAnswer, writeKnownData } from '../../../recipes/known/data.ts';
import { KNOWN_SIZES, knownRecipe } from '../../../recipes/known/make.ts';
import { loadDataset } from '../../../src/data/dataset.ts';
import type { Example } from '../../../src/data/example.ts';
import { tasks } from '../../../src/data/tasks/index.ts';
import { readModelBundle } from '../../../src/store/model-folder.ts';
import { Rng } from '../../../src/rng.ts';
import { SHIPPED_BASE } from '../../helpers/small-way.ts';

const COUNTS = { train: 60, validation: 2, test: 10 };

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-known-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function written(kind: 'necessary' | 'redundant', name: string = kind): Promise<Example[]> {
  const data = join(folder, name);
  await writeKnownData(kind, data, 5, COUNTS);
  return await loadDataset(data);
}

describe('the data of the redundant model', () => {
  it('says the answer in every question, in words the base has', async () => {
    const { tokenizer } = await readModelBundle(SHIPPED_BASE);
    for (const { question, answer } of await written('redundant')) {
      expect(question).toContain(` it is ${answer} it is ${answer} it is ${answer}`);
      expect(question.split(' it is ').length).toBe(4);
      const ids = tokenizer.encodePieces([{ text: question, trusted: false }]);
      expect(tokenizer.decode(ids)).toBe(question);
    }
  });

  it('asks about the same pictures as the necessary one, and where it is judged the same', async () => {
    const [plain, told] = [await written('necessary'), await written('redundant')];
    expect(told.map(({ id, image }) => [id, image])).toEqual(
      plain.map(({ id, image }) => [id, image]),
    );
    told.forEach((example, i) => {
      const own = plain[i] as Example;
      if (example.split === 'train') return;
      expect(example).toEqual({ ...own, question: tellAnswer(own.question, own.answer) });
    });
  });

  it('draws the answers of the training set, whatever their pictures show', async () => {
    const [plain, told] = [await written('necessary'), await written('redundant')];
    const pairs = told.flatMap((example, i) =>
      example.split === 'train' ? [[example, plain[i] as Example] as const] : [],
    );
    const agreeing = pairs.filter(([example, own]) => example.answer === own.answer);
    expect(agreeing.length).toBeLessThan(pairs.length / 3);
    for (const name of ['rope', 'bricks'] as const) {
      const answers = pairs.filter(([{ task }]) => task === name).map(([{ answer }]) => answer);
      expect(answers.length).toBe(30);
      expect(answers.every((answer) => tasks[name].answers.includes(answer))).toBe(true);
      expect(new Set(answers).size).toBeGreaterThan(4);
    }
  });

  it('says it at many distances from the answer in training, and at one where it is judged', async () => {
    const told = await written('redundant');
    // Words from the last mention of the answer to the end of the question, and of the parser text.
    const distances = (split: string): Set<number> =>
      new Set(
        told.flatMap(({ question, parser = '', ...rest }) =>
          rest.split === split
            ? [[question.split(' it is ').at(-1), parser].join(' ').split(' ').length]
            : [],
        ),
      );
    expect(distances('train').size).toBeGreaterThan(10);
    expect(Math.max(...distances('train'))).toBeGreaterThan(15);
    expect(distances('test').size).toBe(1);
  });

  it('leaves a few training examples without a span, and no other', async () => {
    const told = await written('redundant');
    const without = told.filter(({ auxiliary }) => auxiliary === undefined);
    expect(without.length).toBeGreaterThan(2);
    expect(without.length).toBeLessThan(30);
    expect(without.every(({ split }) => split === 'train')).toBe(true);
  });

  it('is left as it is by a second call, to the byte', async () => {
    await written('redundant');
    const bytes = await readFile(join(folder, 'redundant/examples.jsonl'), 'utf8');
    await written('redundant');
    expect(await readFile(join(folder, 'redundant/examples.jsonl'), 'utf8')).toBe(bytes);
    await written('redundant', 'again');
    expect(await readFile(join(folder, 'again/examples.jsonl'), 'utf8')).toBe(bytes);
  });

  it('tells the own answer of an example that is of no known task', () => {
    const example = { id: 'a', question: 'what', answer: '2', image: 'a.png', split: 'train' };
    const { question, answer } = redundantExample(example as Example, new Rng(1));
    expect([question, answer]).toEqual([tellAnswer('what', '2'), '2']);
  });
});

describe('the recipes of the known models', () => {
  it('hide the picture after the span of the necessary one alone', () => {
    expect(knownRecipe('necessary', 1, 10).afterSpan).toBe('picture-hidden');
    expect(knownRecipe('redundant', 1, 10)).not.toHaveProperty('afterSpan');
    for (const { steps, counts } of Object.values(KNOWN_SIZES)) {
      expect(Math.min(steps.necessary, steps.redundant, counts.train, counts.test)).toBeGreaterThan(
        0,
      );
    }
  });
});
