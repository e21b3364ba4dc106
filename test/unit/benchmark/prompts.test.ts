// Owns the tests of the prompts of all benchmarks, both builders, byte for byte.
import { describe, expect, it } from 'vitest';
import { buildPrompt } from '../../../src/benchmark/benchmarks.ts';
import { wemathCotQuestion } from '../../../src/benchmark/prompts.ts';
import type { DatasetName, PromptBuilder } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import { makeRow } from '../../helpers/benchmark-rows.ts';

const CHOICE = makeRow({
  index: 1n,
  hint: 'Look closely.',
  question: 'Which lane?',
  A: 'left',
  B: null,
  C: 7,
  answer: 'A',
});
const HEAD = 'Hint: Look closely.\nQuestion: Which lane?\nOptions:\nA. left\nC. 7.0\n';
const PLAIN = makeRow({ index: 2n, question: 'Is there a dog?' });

describe('prompts of choices', () => {
  it.each([
    ['HRBench4K', 'dataset', `${HEAD}Please select the correct answer from the options above. \n`],
    ['MMStar', 'dataset', `${HEAD}Please select the correct answer from the options above. \n`],
    ['WeMath', 'dataset', HEAD],
    ['HRBench4K', 'model', `${HEAD}Please select the correct answer from the options above.`],
    ['WeMath', 'model', `${HEAD}Please select the correct answer from the options above.`],
    ['own', 'dataset', `${HEAD}Please select the correct answer from the options above. \n`],
  ] as [DatasetName, PromptBuilder, string][])('%s by the %s', (name, builder, prompt) => {
    expect(buildPrompt(name, CHOICE, builder)).toBe(prompt);
  });

  it('leave hint, options and instruction out where there are none', () => {
    expect(buildPrompt('MMStar', PLAIN)).toBe('Question: Is there a dog?\n');
    expect(buildPrompt('WeMath', PLAIN)).toBe('Question: Is there a dog?\n');
    expect(buildPrompt('MMStar', PLAIN, 'model')).toBe('Question: Is there a dog?');
  });

  it('by the model turn Chinese if hint, question or option does', () => {
    const row = makeRow({ index: 1n, question: 'Which?', A: '左' });
    expect(buildPrompt('MMStar', row, 'model')).toBe(
      'Question: Which?\nOptions:\nA. 左\n请直接回答选项字母。',
    );
    expect(buildPrompt('MMStar', row)).toContain('Please select');
  });

  it('of WeMath_COT end with the requirement', () => {
    const row = makeRow({ ...CHOICE, requirement: 'Use the template.' });
    expect(wemathCotQuestion(row)).toBe(`${HEAD}\nUse the template.`);
  });
});

describe('the other prompts', () => {
  it('are the question as it is, and what the model adds', () => {
    expect(buildPrompt('POPE', PLAIN)).toBe('Is there a dog?');
    expect(buildPrompt('POPE', PLAIN, 'model')).toBe('Is there a dog? Please answer yes or no.');
    expect(buildPrompt('MathVista_MINI', PLAIN)).toBe('Is there a dog?');
    expect(buildPrompt('MathVista_MINI', PLAIN, 'model')).toBe(
      'Is there a dog?\nPlease try to answer the question with short words or phrases if possible.',
    );
    expect(buildPrompt('own', PLAIN)).toBe('Is there a dog?');
  });

  it('list the raw options of MME-RealWorld, whoever builds', () => {
    const options = `['(A) red', "(B) it's blue", '(C) x', '(D) y', '(E) none']`;
    const row = makeRow({ index: 3n, question: 'Colour?', 'multi-choice options': options });
    const prompt =
      'Colour? The choices are listed below:\n' +
      "(A) red\n(B) it's blue\n(C) x\n(D) y\n(E) none\n" +
      'Select the best answer to the above multiple-choice question based on the image. ' +
      'Respond with only the letter (A, B, C, D, or E) of the correct option. \n' +
      'The best answer is:';
    expect(buildPrompt('MME-RealWorld-Lite', row)).toBe(prompt);
    expect(buildPrompt('MME-RealWorld-Lite', row, 'model')).toBe(prompt);
  });

  it.each(["['(A) a', '(B) b']", 'The choices are listed below:\n(A) a', '[1, 2, 3, 4, 5]', null])(
    'refuse the options %j of MME-RealWorld and name the row',
    (options) => {
      const row = makeRow({ index: 3n, question: 'Colour?', 'multi-choice options': options });
      expect(() => buildPrompt('MME-RealWorld-Lite', row)).toThrow(DataError);
      expect(() => buildPrompt('MME-RealWorld-Lite', row)).toThrow('row 3');
    },
  );

  it.each(['HRBench4K', 'WeMath', 'POPE', 'MathVista_MINI', 'own'] as const)(
    'of %s need a question',
    (name) => {
      const row = makeRow({ index: 4n, question: null, A: 'x' });
      expect(() => buildPrompt(name, row)).toThrow('row 4 has no "question"');
    },
  );
});
