// Owns the tests of POPE: reading yes and no, the judge's ladder, F1 over splits.
import { describe, expect, it } from 'vitest';
import { aggregate } from '../../../src/benchmark/benchmarks.ts';
import type { Cell, JudgeReply, Row } from '../../../src/benchmark/types.ts';
import {
  figuresOf,
  headlinesOf,
  makeRow,
  questionOf,
  scoreOf,
  scoreRows,
} from '../../helpers/benchmark-rows.ts';

const rowOf = (category: Cell, answer: string): Row =>
  makeRow({ index: 1n, question: 'Is there a dog', category, answer });
const DOG = rowOf('random', 'Yes');
const read = (text: string): string | null => scoreOf('POPE', DOG, text).result;

describe('reading yes and no', () => {
  it.each([
    ['Yes, a dog is visible.', 'Yes'],
    ['Yes. There is no leash.', 'Unknown'],
    ['**Yes**', 'Unknown'],
    ['<answer>Yes</answer>', 'Yes'],
    ['Answer:No', 'Unknown'],
  ])('reads %j as %s', (text, result) => {
    expect(read(text)).toBe(result);
  });

  it('deletes a mark that stands beside a space anywhere, and replaces it otherwise', () => {
    expect(read('yes/no')).toBe('Unknown');
    expect(read('yes/x')).toBe('Yes');
    expect(read('yes/x and / here')).toBe('Unknown');
    expect(read('yes/x and /\there')).toBe('Unknown');
    expect(read('yes/x and\t/\there')).toBe('Yes');
    expect(read('- no-dog')).toBe('Unknown');
  });

  it('deletes every mark where a number of any script has a comma', () => {
    expect(read('yes-or 1,000')).toBe('Unknown');
    expect(read('yes-or 1, 000')).toBe('Yes');
    expect(read('yes-or \u0661,\u0662')).toBe('Unknown');
    expect(read('yes-or \u{1d7d8},\u{1d7d9}')).toBe('Unknown');
  });

  it('decides by the text as it was before any mark was taken out', () => {
    // The comma is deleted for the space after it; the dash then stands beside none.
    expect(read('yes-, x')).toBe('Yes');
    expect(read('yes-x, y')).toBe('Yes');
  });

  it('deletes the first 32 full stops without a digit beside them', () => {
    expect(read('yes.')).toBe('Yes');
    expect(read(`${'.'.repeat(31)} yes.`)).toBe('Yes');
    expect(read(`${'.'.repeat(32)} yes.`)).toBe('Unknown');
    expect(read(`${'3.5 '.repeat(40)}yes.`)).toBe('Yes');
    expect(read('yes.5')).toBe('Unknown');
    expect(read('yes.\u0665')).toBe('Unknown');
    // The dash goes first, so that the stop has a digit beside it.
    expect(read('yes.-5 - ')).toBe('Unknown');
  });

  it('leaves other marks alone', () => {
    for (const text of ['yes:', 'yes*', "yes'", 'yes–', 'yes，', '"yes"x', 'yes\u200b'])
      expect(read(text)).toBe(text === '"yes"x' ? 'Yes' : 'Unknown');
  });

  it('scores a missing prediction as Unknown', () => {
    expect(scoreOf('POPE', DOG, null)).toEqual({
      state: 'scored',
      result: 'Unknown',
      score: 0,
      settled: 'none',
      missing: true,
    });
  });
});

describe('the judge', () => {
  it('is asked up to five times, ever warmer', () => {
    const replies: JudgeReply[] = [];
    for (const temperature of [0, 0.5, 1, 1.5, 2]) {
      const question = questionOf('POPE', DOG, 'maybe', { era: 'head', replies });
      expect(question).toMatchObject({ temperature, attempt: replies.length });
      expect(
        question.prompt.endsWith('Question: Is there a dog?\nAnswer: maybe\nYour output: '),
      ).toBe(true);
      replies.push(replies.length % 2 === 0 ? null : 'Unknown');
    }
    const score = scoreOf('POPE', DOG, 'maybe', { era: 'head', replies });
    expect(score).toMatchObject({ result: 'Unknown', score: 0, settled: 'none' });
  });

  it('settles it with the first reply that says yes or no', () => {
    const replies = [null, 'hm', 'Yes!', 'No'];
    const score = scoreOf('POPE', DOG, 'maybe', { era: 'head', replies });
    expect(score).toMatchObject({ result: 'Yes', score: 1, settled: 'judge' });
  });
});

describe('the report', () => {
  it('is that of the worked example', () => {
    const rows = scoreRows('POPE', [
      [rowOf('adversarial,popular,random', 'Yes'), 'Yes!'],
      [rowOf('adversarial', 'No'), 'Yes!'],
      [rowOf('popular', 'No'), 'No!'],
      [rowOf('random', 'No'), 'maybe'],
    ]);
    const figures = figuresOf('POPE', rows);
    const rounded = (name: string): number => Math.round(Number(figures.get(name)) * 100) / 100;
    expect([...figures.keys()].filter((name) => name.endsWith('/acc'))).toEqual([
      'Overall/acc',
      'adversarial/acc',
      'popular/acc',
      'random/acc',
    ]);
    expect(rounded('Overall/Overall')).toBe(85.71);
    expect(rounded('Overall/acc')).toBe(66.67);
    expect(rounded('Overall/precision')).toBe(75);
    expect(rounded('Overall/recall')).toBe(100);
    expect(rounded('adversarial/Overall')).toBe(66.67);
    expect(rounded('adversarial/acc')).toBe(50);
    for (const split of ['popular', 'random']) {
      expect(rounded(`${split}/Overall`)).toBe(100);
    }
    expect(rounded('popular/acc')).toBe(100);
    expect(rounded('random/acc')).toBe(50);
    const headlines = headlinesOf(aggregate('POPE', rows, 'head'));
    expect(Object.keys(headlines)).toEqual(['Overall', 'Popular', 'Adversarial', 'Random']);
    expect(headlines['Overall']).toBe(figures.get('Overall/Overall'));
  });

  it('does not trim split names, and counts a row without any in Overall only', () => {
    const rows = scoreRows('POPE', [
      [rowOf('popular, random,', 'Yes'), 'Yes'],
      [rowOf(null, 'Yes'), 'No'],
    ]);
    const figures = figuresOf('POPE', rows);
    expect([...figures.keys()].filter((name) => name.endsWith('/recall'))).toEqual([
      'Overall/recall',
      'popular/recall',
      ' random/recall',
      '/recall',
    ]);
    expect(figures.get('Overall/recall')).toBe(75);
    expect(headlinesOf(aggregate('POPE', rows, 'head'))['Random']).toBeNull();
  });

  it('is zero where precision and recall are not defined', () => {
    const rows = scoreRows('POPE', [[rowOf('random', 'No'), 'No']]);
    expect([...figuresOf('POPE', rows)].slice(0, 4)).toEqual([
      ['Overall/Overall', 0],
      ['Overall/acc', 100],
      ['Overall/precision', 0],
      ['Overall/recall', 0],
    ]);
    expect(headlinesOf(aggregate('POPE', [], 'head'))['Overall']).toBeNull();
  });
});
