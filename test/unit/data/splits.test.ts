// Owns the check that splits are disjoint and that streams of examples are seeded and balanced.

import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { SPLITS, type Split } from '../../../src/data/example.ts';
import { sampleExamples, splitOf, type GeneratedExample } from '../../../src/data/splits.ts';
import { TASK_NAMES, tasks } from '../../../src/data/tasks/index.ts';
import { ConfigError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

function take(split: Split, count: number, seed = 1): GeneratedExample[] {
  return [...sampleExamples({ split, count, seed })];
}

function texts(examples: readonly GeneratedExample[]): string[] {
  return examples.map(({ id, task, difficulty, seed, key, answer }) =>
    [id, task, difficulty, seed, key, answer].join('|'),
  );
}

describe('splits', () => {
  it('share no picture, whatever the seed', () => {
    const splitOfPixels = new Map<string, Split>();
    const shared: string[] = [];
    for (const split of SPLITS) {
      for (const seed of [1, 2]) {
        for (const { id, picture } of take(split, split === 'train' ? 3_000 : 800, seed)) {
          const pixels = createHash('sha256').update(picture.data).digest('hex');
          if ((splitOfPixels.get(pixels) ?? split) !== split) shared.push(id);
          splitOfPixels.set(pixels, split);
        }
      }
    }
    expect(shared).toEqual([]);
    expect(splitOfPixels.size).toBeGreaterThan(7_000);
  });

  it('hold 80, 10 and 10 % of all pictures, to within a point', () => {
    const rng = new Rng(7);
    const counts = { train: 0, validation: 0, test: 0 };
    for (let i = 0; i < 20_000; i++) counts[splitOf(tasks.zoom.draft(rng, 'hard').pictureKey)] += 1;
    expect(Math.abs(counts.train / 20_000 - 0.8)).toBeLessThan(0.01);
    expect(Math.abs(counts.validation / 20_000 - 0.1)).toBeLessThan(0.01);
    expect(Math.abs(counts.test / 20_000 - 0.1)).toBeLessThan(0.01);
  });

  it('give the same picture the same split for ever', () => {
    // Changing these would move pictures of published draws from one split to another.
    const keys = ['chart 000000', 'chart 000006', 'chart 000004'];
    expect(keys.map(splitOf)).toEqual(['train', 'validation', 'test']);
  });
});

describe('a stream of examples', () => {
  it('has no example twice in validation and test', () => {
    for (const split of ['validation', 'test'] as const) {
      const keys = take(split, 2_000).map((example) => example.key);
      expect(new Set(keys).size).toBe(keys.length);
    }
  });

  it('has every task alike and three easy examples in ten of each task', () => {
    const examples = take('train', 500);
    for (const name of TASK_NAMES) {
      const own = examples.filter((example) => example.task === name);
      expect(own).toHaveLength(100);
      expect(own.filter((example) => example.difficulty === 'easy')).toHaveLength(30);
    }
  });

  it('keeps to the tasks and the share of easy ones it is given', () => {
    const options = { split: 'train', count: 40, seed: 1, tasks: ['zoom', 'rope'] } as const;
    const mixed = [...sampleExamples({ ...options, easyFraction: 0.5 })];
    expect(new Set(mixed.map((example) => example.task))).toEqual(new Set(['zoom', 'rope']));
    expect(mixed.filter((example) => example.difficulty === 'easy')).toHaveLength(20);
    const easy = [...sampleExamples({ ...options, easyFraction: 1 })];
    expect(new Set(easy.map((example) => example.difficulty))).toEqual(new Set(['easy']));
  });

  it('is the same for the same seed, other for another, and goes on from any index', () => {
    for (const split of SPLITS) {
      const all = texts(take(split, 60));
      expect(texts(take(split, 60))).toEqual(all);
      expect(texts(take(split, 60, 2))).not.toEqual(all);
      const rest = [...sampleExamples({ split, count: 60, seed: 1, from: 37 })];
      expect(texts(rest)).toEqual(all.slice(37));
    }
  });

  it('draws each example again from its own seed', () => {
    for (const example of take('validation', 100)) {
      const again = tasks[example.task].sample(new Rng(example.seed), example.difficulty);
      expect(again.key).toBe(example.key);
      expect(again.answer).toBe(example.answer);
    }
  });

  it('may be endless', () => {
    let numTaken = 0;
    for (const example of sampleExamples({ split: 'train', count: Infinity, seed: 1 })) {
      numTaken += example.id === '' ? 0 : 1;
      if (numTaken === 7) break;
    }
    expect(numTaken).toBe(7);
  });

  it('says so when a split has no new picture left', () => {
    const options = { split: 'test', count: 5_000, seed: 1, tasks: ['bricks'] } as const;
    expect(() => [...sampleExamples({ ...options, easyFraction: 1 })]).toThrow(
      /no new easy bricks picture is left for the test split/u,
    );
  });

  it('refuses counts, shares and task lists that mean nothing', () => {
    const good = { split: 'train', count: 1, seed: 1 } as const;
    const bad = [{ count: -1 }, { count: 1.5 }, { easyFraction: 2 }, { tasks: [] }, { from: -1 }];
    for (const change of bad) {
      expect(() => [...sampleExamples({ ...good, ...change })]).toThrow(ConfigError);
    }
  });
});
