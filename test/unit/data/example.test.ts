// Owns the check that a dataset record of unknown origin is taken or refused with its place.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExample } from '../../../src/data/example.ts';
import { DataError } from '../../../src/errors.ts';

const place = { file: 'set/examples.jsonl', line: 12 };
const minimal = { id: 'a1', question: 'how many?', answer: '3', image: 'images/a1.png' };

function refusal(value: unknown): string {
  try {
    parseExample(value, place);
  } catch (error) {
    expect(error).toBeInstanceOf(DataError);
    return error instanceof Error ? error.message : '';
  }
  return 'taken';
}

describe('a record', () => {
  it("of one's own needs four fields", () => {
    expect(parseExample(minimal, place)).toEqual(minimal);
    for (const field of Object.keys(minimal)) {
      const message = refusal({ ...minimal, [field]: undefined });
      expect(message).toContain('set/examples.jsonl:12');
      expect(message).toContain(`"${field}"`);
    }
  });

  it('may have every field of a generated one', () => {
    const full = {
      ...minimal,
      task: 'rope',
      split: 'test',
      difficulty: 'hard',
      think: 'i look',
      parser: 'it is red',
      caption: 'plain left',
      auxiliary: 'images/a1-auxiliary.png',
      auxiliaryCaption: 'redplain left',
      seed: 4294967295,
    };
    expect(parseExample(full, place)).toEqual(full);
  });

  it('is refused when it is not an object', () => {
    for (const value of [null, 3, 'text', [minimal], undefined, true]) {
      expect(refusal(value)).toContain('must be one JSON object');
    }
  });

  it('is refused for a field nobody knows, so that a misspelt one is seen', () => {
    expect(refusal({ ...minimal, auxilliary: 'a.png' })).toContain('"auxilliary"');
    expect(refusal(JSON.parse('{"__proto__": {"id": "x"}}'))).toContain('"__proto__"');
  });

  it('is refused for a field of the wrong type, empty or over-long', () => {
    const bad: Record<string, unknown> = {
      id: 'x'.repeat(201),
      question: 4,
      answer: '  ',
      split: 'dev',
      difficulty: ['easy'],
      think: 'x'.repeat(40_001),
      caption: {},
      seed: -1,
      task: 'bell\u0007',
      parser: 'half \ud800',
    };
    for (const [field, value] of Object.entries(bad)) {
      expect(refusal({ ...minimal, [field]: value })).toContain(`"${field}"`);
    }
  });

  it('is refused when a response text spells a marker, but a question may', () => {
    expect(refusal({ ...minimal, answer: '3 </answer>' })).toContain('</answer>');
    expect(refusal({ ...minimal, parser: '<|latent_pad|>' })).toContain('<|latent_pad|>');
    expect(refusal({ ...minimal, question: 'what is <|latent_pad|>?' })).toBe('taken');
  });

  it('is refused when a picture path leaves the folder', () => {
    const paths = [
      ...['/etc/passwd', '../a.png', 'images/../../a.png', 'a\\..\\b.png', 'C:a.png'],
      ...['file:///a.png', 'https://example.org/a.png', 'images//a.png', '..', 'a\u0000.png'],
    ];
    for (const path of paths) {
      expect(refusal({ ...minimal, image: path }), path).toContain('"image"');
      expect(refusal({ ...minimal, auxiliary: path }), path).toContain('"auxiliary"');
    }
    expect(refusal({ ...minimal, image: 'more/..pictures/a..b.png' })).toBe('taken');
  });

  it('of any shape is taken or refused with a DataError', () => {
    const value = fc.oneof(
      fc.jsonValue(),
      fc.record(
        { id: fc.jsonValue(), question: fc.string(), answer: fc.string(), image: fc.string() },
        { requiredKeys: [] },
      ),
    );
    fc.assert(
      fc.property(value, (record) => {
        refusal(record);
      }),
      { seed: 2, numRuns: 2_000 },
    );
  });
});
