// Owns the check of the response format and of reading responses back.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkNumLatents,
  formatCaption,
  formatResponse,
  joinPieces,
  LATENT_PAD,
  parseResponse,
  RESPONSE_MARKERS,
} from '../../../src/data/format.ts';
import { sampleExamples } from '../../../src/data/splits.ts';
import { ConfigError } from '../../../src/errors.ts';

const texts = { think: 'i look', parser: 'it is red', answer: '3' };

describe('a response', () => {
  it('has the order of the paper', () => {
    expect(joinPieces(formatResponse(texts, { latents: 'span', numLatents: 4 }))).toBe(
      '<think> i look <|latent_start|> <|latent_pad|> <|latent_pad|> <|latent_pad|> ' +
        '<|latent_pad|> <|latent_end|> <parser> it is red </parser> </think> <answer> 3 </answer>',
    );
  });

  it('keeps everything but the span when it is text-only', () => {
    expect(joinPieces(formatResponse(texts, { latents: 'none' }))).toBe(
      '<think> i look <parser> it is red </parser> </think> <answer> 3 </answer>',
    );
  });

  it('leaves out the parser tags of an example that has no parser text', () => {
    expect(joinPieces(formatResponse({ answer: '3' }, { latents: 'span', numLatents: 1 }))).toBe(
      '<think> <|latent_start|> <|latent_pad|> <|latent_end|> </think> <answer> 3 </answer>',
    );
  });

  it('marks free text as text even if it spells a token', () => {
    const pieces = formatResponse({ answer: LATENT_PAD }, { latents: 'none' });
    expect(pieces.filter((piece) => piece.text === LATENT_PAD)).toEqual([
      { kind: 'text', text: LATENT_PAD },
    ]);
    for (const piece of pieces) {
      if (piece.kind === 'marker') expect(RESPONSE_MARKERS).toContain(piece.text);
    }
  });

  it('takes only a square number of latents', () => {
    for (const good of [1, 4, 16, 36, 144]) {
      expect(() => {
        checkNumLatents(good);
      }).not.toThrow();
    }
    for (const bad of [0, -4, 2, 35, 2.25, NaN, Infinity]) {
      expect(() => formatResponse(texts, { latents: 'span', numLatents: bad })).toThrow(
        ConfigError,
      );
    }
  });

  it('is the caption alone for a dense caption', () => {
    expect(formatCaption(' brick gap ')).toEqual([{ kind: 'text', text: 'brick gap' }]);
  });
});

describe('reading a response', () => {
  it('gives back what was written for every generated example', () => {
    for (const example of sampleExamples({ split: 'train', count: 50, seed: 3 })) {
      for (const numLatents of [0, 1, 36]) {
        const style =
          numLatents === 0
            ? ({ latents: 'none' } as const)
            : ({ latents: 'span', numLatents } as const);
        const { think, parser, answer } = example;
        const parsed = parseResponse(joinPieces(formatResponse(example, style)));
        expect(parsed).toEqual({ think, parser, answer, numLatents });
      }
    }
  });

  it('says which parts are missing', () => {
    expect(parseResponse('')).toEqual({
      think: undefined,
      parser: undefined,
      answer: undefined,
      numLatents: 0,
    });
    expect(parseResponse('<answer> 4')).toMatchObject({ think: undefined, answer: '4' });
    expect(parseResponse('<think> so <answer> 4 </answer>')).toMatchObject({
      think: 'so',
      answer: '4',
    });
    expect(parseResponse('<think> so <parser> red')).toMatchObject({
      think: 'so',
      parser: 'red',
      answer: undefined,
    });
  });

  it('takes the first answer and leaves the rest', () => {
    const text = '</think> <answer> 4 </answer> <answer> 5 </answer>';
    expect(parseResponse(text).answer).toBe('4');
  });

  it('never throws and never gives out a marker', () => {
    const piece = fc.oneof(fc.constantFrom(...RESPONSE_MARKERS), fc.string({ maxLength: 4 }));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const parsed = parseResponse(pieces.join(' '));
        for (const part of [parsed.think, parsed.parser, parsed.answer]) {
          for (const token of RESPONSE_MARKERS) expect(part?.includes(token) ?? false).toBe(false);
        }
      }),
      { seed: 1, numRuns: 500 },
    );
  });
});
