// Tests text streams on byte-level tokens cut anywhere: characters stay whole, stop strings unseen.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createTextStream } from '../../../src/processor/text-stream.ts';
import type { TextStreamOptions } from '../../../src/processor/text-stream.ts';
import { createTokenizer } from '../../../src/processor/tokenizer.ts';
import type { TextTokenizer } from '../../../src/processor/tokenizer.ts';

const SPECIAL = ['<|im_end|>', '<|latent_start|>'] as const;

/** How byte-level BPE spells bytes: printable ones as themselves, the others from U+0100 on. */
const SPELLING: readonly string[] = (() => {
  const isPrintable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCodePoint(isPrintable(byte) ? byte : next++),
  );
})();

const spell = (bytes: readonly number[]): string => bytes.map((b) => SPELLING[b] ?? '').join('');

/** A byte-level tokenizer of all 256 bytes (ids 0 to 255), special tokens, and the given tokens. */
function byteTokenizer(extra: readonly (readonly number[])[] = []): TextTokenizer {
  const longer = [...new Set(extra.filter(({ length }) => length > 1).map(spell))];
  const vocabulary = [...SPELLING, ...longer];
  const added_tokens = SPECIAL.map((content, i) => ({ id: vocabulary.length + i, content }));
  const file = {
    added_tokens: added_tokens.map((token) => ({ ...token, special: true, normalized: false })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    post_processor: null,
    decoder: { type: 'ByteLevel' },
    model: {
      type: 'BPE',
      vocab: Object.fromEntries(vocabulary.map((token, id) => [token, id])),
      merges: [],
    },
  };
  return createTokenizer(file, { additional_special_tokens: [...SPECIAL] });
}

/** Bytes of a text cut into tokens of the given lengths, taken in turns; lengths start at 1. */
function cut(bytes: Uint8Array, lengths: readonly number[]): number[][] {
  const tokens: number[][] = [];
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    tokens.push([...bytes.subarray(at, at + length)]);
    at += length;
  }
  return tokens;
}

interface Streamed {
  readonly ids: readonly number[];
  readonly tokenizer: TextTokenizer;
}

function tokensOf(tokens: readonly (readonly number[])[]): Streamed {
  const tokenizer = byteTokenizer(tokens);
  return { tokenizer, ids: tokens.map((bytes) => tokenizer.idOf(spell(bytes))) };
}

function run({ tokenizer, ids }: Streamed, options: TextStreamOptions = {}): string[] {
  const stream = createTextStream(tokenizer, options);
  return [...ids.map((id) => stream.push(id)), stream.end()];
}

const encoder = new TextEncoder();
const lengths = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 6 });
const words = fc.constantFrom(
  '🙂',
  '👩‍👩‍👧',
  '数学',
  'é',
  'ไทย',
  'こん',
  ' ',
  '\n',
  'a',
  'rope',
  '\uFEFF',
);
const texts = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.array(words, { maxLength: 20 }).map((parts) => parts.join('')),
);

describe('a stream of byte-level tokens', () => {
  it('knows every byte', () => {
    const tokenizer = byteTokenizer();
    for (let byte = 0; byte < 128; byte++) {
      expect(tokenizer.decode([byte])).toBe(String.fromCharCode(byte));
    }
    expect(tokenizer.encode('🙂')).toEqual([0xf0, 0x9f, 0x99, 0x82]);
  });

  it('gives out whole characters whose sum is the decoded text, wherever tokens are cut', () => {
    const property = fc.property(texts, lengths, (text, sizes) => {
      const streamed = tokensOf(cut(encoder.encode(text), sizes));
      const pieces = run(streamed);
      expect(streamed.tokenizer.decode(streamed.ids)).toBe(text);
      expect(pieces.join('')).toBe(text);
      for (const piece of pieces) {
        // No half of a surrogate pair stands alone.
        expect(piece).not.toMatch(/\p{Surrogate}/u);
        if (!text.includes('\uFFFD')) expect(piece).not.toContain('\uFFFD');
      }
    });
    fc.assert(property, { numRuns: 400, seed: 3 });
  });

  it('gives out the decoded text of any bytes, special tokens between them or skipped', () => {
    const byte = fc.oneof(
      fc.nat(255),
      fc.constantFrom(0x20, 0x61, 0x80, 0x98, 0x9f, 0xbf, 0xc3, 0xe2, 0xef, 0xf0, 0xff),
    );
    const token = fc.array(byte, { minLength: 1, maxLength: 4 });
    const item = fc.oneof(
      { weight: 6, arbitrary: token },
      { weight: 1, arbitrary: fc.constantFrom(...SPECIAL) },
      { weight: 1, arbitrary: fc.constant('nothing' as const) },
    );
    const sequences = fc.array(item, { maxLength: 40 });
    const property = fc.property(sequences, fc.boolean(), (items, skipSpecial) => {
      const tokenizer = byteTokenizer(items.filter((part) => typeof part !== 'string'));
      const ids = items.map((part) => {
        if (part === 'nothing') return 99_999;
        return tokenizer.idOf(typeof part === 'string' ? part : spell(part));
      });
      const pieces = run({ tokenizer, ids }, { skipSpecial });
      expect(pieces.join('')).toBe(tokenizer.decode(ids, { skipSpecial }));
    });
    fc.assert(property, { numRuns: 600, seed: 4 });
  });

  it.each([
    ['words', 'the rope ends here ', [3]],
    ['words in scripts of three bytes', 'верёвка 数学 ', [2, 1]],
    ['text without a space', 'abcdefghij', [2]],
    ['emoji byte by byte', '🙂', [1]],
    ['replacement characters that the text really has', '\uFFFD', [3]],
  ] as const)('decodes a few tokens a token, for 10,000 of %s', (_, unit, sizes) => {
    const bytes = encoder.encode(unit.repeat(40_000 / unit.length)).subarray(0, 20_000);
    const { tokenizer, ids } = tokensOf(cut(bytes, sizes));
    let numDecoded = 0;
    const counting = {
      ...tokenizer,
      decode: (some: readonly number[], options?: { readonly skipSpecial?: boolean }): string => {
        numDecoded += some.length;
        return tokenizer.decode(some, options);
      },
    };
    const many = Array.from({ length: 10_000 }, (_, i) => ids[i % ids.length] ?? 0);
    const pieces = run({ tokenizer: counting, ids: many });
    expect(pieces.join('')).toBe(tokenizer.decode(many));
    expect(numDecoded).toBeLessThan(12 * many.length);
  });

  it('decodes a few tokens a token for 10,000 bytes that are no text', () => {
    const tokenizer = byteTokenizer();
    let numDecoded = 0;
    const counting = {
      ...tokenizer,
      decode: (some: readonly number[]): string => {
        numDecoded += some.length;
        return tokenizer.decode(some);
      },
    };
    const ids = Array.from({ length: 10_000 }, (_, i) => [0xff, 0x80, 0xf0, 0x9f][i % 4] ?? 0);
    expect(run({ tokenizer: counting, ids }).join('')).toBe(tokenizer.decode(ids));
    expect(numDecoded).toBeLessThan(12 * ids.length);
  });
});

/** The text up to the first stop string, looked for again in everything after every token. */
function plainStop(
  { tokenizer, ids }: Streamed,
  stops: readonly string[],
): { readonly text: string; readonly numRead: number; readonly isStopped: boolean } {
  for (let numRead = 1; numRead <= ids.length; numRead++) {
    const text = tokenizer.decode(ids.slice(0, numRead));
    const places = stops.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    if (places.length > 0) {
      return { text: text.slice(0, Math.min(...places)), numRead, isStopped: true };
    }
  }
  return { text: tokenizer.decode(ids), numRead: ids.length, isStopped: false };
}

describe('stop strings', () => {
  it('end the text before the first of them, over any number of tokens, and show no part', () => {
    const letters = fc.constantFrom('a', 'b', ' ', '🙂', '数');
    const spellings = fc.array(letters, { maxLength: 25 }).map((parts) => parts.join(''));
    const stop = fc.array(letters, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
    const stops = fc.array(stop, { maxLength: 3 });
    let numStopped = 0;
    const property = fc.property(spellings, lengths, stops, (text, sizes, chosen) => {
      const streamed = tokensOf(cut(encoder.encode(text), sizes));
      const wanted = plainStop(streamed, chosen);
      const stream = createTextStream(streamed.tokenizer, { stop: chosen });
      let shown = '';
      for (const [i, id] of streamed.ids.entries()) {
        expect(stream.stop !== undefined).toBe(wanted.isStopped && i >= wanted.numRead);
        shown += stream.push(id);
        expect(wanted.text.startsWith(shown)).toBe(true);
        if (stream.stop) expect(shown).toBe(wanted.text);
      }
      shown += stream.end();
      expect(shown).toBe(wanted.text);
      expect(stream.stop !== undefined).toBe(wanted.isStopped);
      if (!stream.stop) return;
      numStopped += 1;
      const read = streamed.tokenizer.decode(streamed.ids.slice(0, wanted.numRead));
      expect(read.slice(0, read.length - stream.stop.numDropped)).toBe(wanted.text);
      expect(read.slice(wanted.text.length).startsWith(stream.stop.text)).toBe(true);
    });
    fc.assert(property, { numRuns: 1500, seed: 6 });
    expect(numStopped).toBeGreaterThan(300);
  });

  it('hold back a beginning only as long as it can become one', () => {
    const { tokenizer } = tokensOf([]);
    const stream = createTextStream(tokenizer, { stop: ['\n\nUser:'] });
    const push = (text: string): string =>
      tokenizer
        .encode(text)
        .map((id) => stream.push(id))
        .join('');
    expect(push('yes \n')).toBe('yes ');
    expect(push('\nUse')).toBe('');
    expect(push(' it')).toBe('\n\nUse ');
    // A word waits for the white space behind it, which may be part of a stop string.
    expect(push('\n\nUser')).toBe('');
    expect(push(': no')).toBe('it');
    expect(stream.end()).toBe('');
    expect(stream.stop).toEqual({ text: '\n\nUser:', numDropped: 7 });
  });

  it('are found among special tokens that are spelled out', () => {
    const { tokenizer } = tokensOf([]);
    const stream = createTextStream(tokenizer, { stop: ['a<|latent_start|>'] });
    const ids = tokenizer.encode('ba<|latent_start|>');
    expect(ids.map((id) => stream.push(id)).join('')).toBe('b');
    expect(stream.stop?.text).toBe('a<|latent_start|>');
  });
});
