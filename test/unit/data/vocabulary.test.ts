// Owns the check that the word list is closed, small and free of dead words.

import { describe, expect, it } from 'vitest';
import { CAPTION_QUESTION, RESPONSE_MARKERS } from '../../../src/data/format.ts';
import { sampleExamples } from '../../../src/data/splits.ts';
import { VOCABULARY } from '../../../src/data/vocabulary.ts';

describe('the vocabulary', () => {
  it('is what thousands of examples say, no more and no less', () => {
    const said = new Set(CAPTION_QUESTION.split(' '));
    for (const example of sampleExamples({ split: 'train', count: 4_000, seed: 5 })) {
      const { question, answer, think, parser, caption, auxiliaryCaption } = example;
      for (const text of [question, answer, think, parser, caption, auxiliaryCaption]) {
        for (const word of text.split(' ')) said.add(word);
      }
      for (const word of example.auxiliaryQuestion.split(' ')) said.add(word);
      said.add(example.auxiliaryAnswer);
    }
    expect([...said].sort()).toEqual(VOCABULARY);
  });

  it('has less than 160 words, none twice and none that is a marker', () => {
    expect(VOCABULARY.length).toBeLessThan(160);
    expect(new Set(VOCABULARY).size).toBe(VOCABULARY.length);
    for (const word of VOCABULARY) {
      expect(word).toMatch(/^[a-z0-9]+$/u);
      expect(RESPONSE_MARKERS).not.toContain(word);
    }
  });
});
