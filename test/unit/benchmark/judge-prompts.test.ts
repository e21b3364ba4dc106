// Owns the tests of the judge's prompts against hashes of the reference's own.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  choicePrompt,
  hasChinese,
  mathvistaPrompt,
  wemathPrompt,
  yesNoPrompt,
} from '../../../src/benchmark/judge-prompts.ts';
import { letterOptions } from '../../../src/benchmark/matcher.ts';

const COLOURS = letterOptions(['red', 'blue'], 'a test');
const TEMPLATE =
  'Regarding the format, please answer following the template below, and be sure to include two <> ' +
  'symbols:\n<Thought process>: <<your thought process>> <Answer>: <<your option>>';

describe('judge prompts', () => {
  // Source: SHA-256 of what VLMEvalKit e8e78f05 builds of the same parts.
  it.each([
    [
      'choices in English',
      choicePrompt('What colour', COLOURS, 'reddish'),
      'ef3fbcbd5047acb6cc0d3495206b8e6345cd2e1765b1176c1ad5b2918158f2ff',
    ],
    [
      'choices in Chinese',
      choicePrompt('什么颜色', COLOURS, 'reddish'),
      '490149a54a71bc8309ec458dc618481e8a228fc9303deaa7dec5224477b13feb',
    ],
    [
      'WeMath',
      wemathPrompt(`What colour${TEMPLATE}`, COLOURS, 'reddish'),
      'b5701c4538bb44f2c303ac06a8eca7a1ddb7df45b34386d71085b79c8ff23755',
    ],
    [
      'yes or no',
      yesNoPrompt('Is it red', 'maybe'),
      '0919ef6bba5c379e0af447b2b260d2192b9d4085504520e3b77d5a4d3f0da20f',
    ],
    [
      'MathVista',
      mathvistaPrompt('Hint: h\nQuestion: q', '4 birds'),
      '25def3a36704e58e37920288bbed40df5f1cbb217f27c72efaa1be0ce054702d',
    ],
  ])('are those of the reference for %s', (_, prompt, hash) => {
    expect(createHash('sha256').update(prompt).digest('hex')).toBe(hash);
  });

  it('take texts with dollar signs as they are', () => {
    expect(choicePrompt('q$&', COLOURS, '$1 {}').endsWith('\nAnswer: $1 {}\nYour output: ')).toBe(
      true,
    );
    expect(wemathPrompt('$&', COLOURS, '$`')).toContain('<start>\n$`\n<end>');
  });

  it('know Chinese by the common block alone', () => {
    expect(['a', '一', '\u9fff', '\u3400', '、', '\ua000', '\u{20000}'].map(hasChinese)).toEqual([
      false,
      true,
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});
