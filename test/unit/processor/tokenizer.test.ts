// Tests of the tokenizer wrapper against Python's tokenizers: byte-level BPE of Qwen's make, and the tiny one.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatResponse, parseResponse } from '../../../src/data/format.ts';
import { VOCABULARY } from '../../../src/data/vocabulary.ts';
import { CheckpointError, ConfigError, DataError } from '../../../src/errors.ts';
import { createTextStream } from '../../../src/processor/text-stream.ts';
import {
  buildTinyTokenizer,
  TINY_FORMAT_WORDS,
  TINY_SPECIAL_TOKENS,
} from '../../../src/processor/tiny-tokenizer.ts';
import { createTokenizer } from '../../../src/processor/tokenizer.ts';
import {
  NO_TOKEN,
  chatTokenIds,
  encodeResponse,
  expectLatentTokens,
  latentTokenIds,
} from '../../../src/processor/tokens.ts';
import { readGolden } from './goldens.ts';

interface Golden {
  readonly tokenizer: Readonly<Record<string, unknown>> & {
    readonly added_tokens: readonly Readonly<Record<string, unknown>>[];
  };
  readonly cases: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly decoded: string;
    readonly plain: string;
  }[];
}

const golden = readGolden('tokenizer') as Golden;
const subwords = createTokenizer(golden.tokenizer, {});
const tinyFiles = buildTinyTokenizer(VOCABULARY);
const tiny = createTokenizer(tinyFiles.tokenizerJson, tinyFiles.tokenizerConfig);

describe('words outside of the vocabulary', () => {
  const read = (tokenizer: typeof tiny, text: string, trusted = false): unknown => {
    let numUnknown = 0;
    const ids = tokenizer.encodePieces([{ text, trusted }], { onUnknown: () => (numUnknown += 1) });
    return [tokenizer.decode(ids), numUnknown];
  };

  it('are the unknown token when the caller counts them, special tokens spelled out included', () => {
    expect(read(tiny, 'user zebra assistant Zebra')).toEqual(['user <unk> assistant <unk>', 2]);
    expect(read(tiny, 'user <|image_pad|> <unk>')).toEqual(['user <unk> <unk>', 2]);
    expect(read(tiny, '<|im_end|> zebra', true)).toEqual(['<|im_end|> <unk>', 1]);
    expect(() => tiny.encodePieces([{ text: 'zebra', trusted: false }])).toThrow(DataError);
  });

  it('are still refused after a caller who counts them has read the same word', () => {
    const model = golden.tokenizer['model'] as {
      readonly vocab: Readonly<Record<string, number>>;
      readonly merges: readonly (string | readonly string[])[];
    };
    // Byte-level BPE whose vocabulary has lost a letter, and knows a token for what it lacks.
    const holed = createTokenizer(
      {
        ...golden.tokenizer,
        model: {
          ...model,
          unk_token: '!',
          vocab: Object.fromEntries(
            Object.entries(model.vocab).filter(([token]) => !token.includes('z')),
          ),
          merges: model.merges.filter((pair) => !pair.toString().includes('z')),
        },
      },
      {},
    );
    const pieces = [{ text: 'zoo', trusted: false }];
    expect(read(holed, 'zoo')).toEqual(['!oo', 1]);
    expect(read(holed, 'zoo')).toEqual(['!oo', 1]);
    expect(() => holed.encodePieces(pieces)).toThrow(DataError);
  });

  it('do not exist for byte-level BPE', () => {
    expect(read(subwords, 'zebra \u{1F993} <|image_pad|>')).toEqual([
      'zebra \u{1F993} <|image_pad|>',
      0,
    ]);
  });
});

describe('byte-level BPE', () => {
  it.each(golden.cases.map((c) => [JSON.stringify(c.text).slice(0, 40), c] as const))(
    'encodes and decodes as the reference: %s',
    (_, c) => {
      expect(subwords.encode(c.text)).toEqual(c.ids);
      expect(subwords.decode(c.ids)).toBe(c.decoded);
      expect(subwords.decode(c.ids, { skipSpecial: true })).toBe(c.plain);
    },
  );

  it('remembers words without mixing them up, more of them than it has room for', () => {
    const texts = golden.cases.map((c) => c.text);
    const before = texts.map((text) => subwords.encode(text));
    // As long as a word can be that is remembered, and longer.
    const [short, long] = ['a'.repeat(32), 'a'.repeat(33)];
    expect(subwords.encode(long)).toEqual([...subwords.encode(short), ...subwords.encode('a')]);
    for (let from = 0; from < 40_000; from += 1000) {
      const words = Array.from({ length: 1000 }, (_, i) => {
        return (from + i).toString(26).replace(/\d/g, (digit) => 'qrstuvwxyz'[Number(digit)] ?? '');
      });
      subwords.encode(words.join(' '));
    }
    expect(texts.map((text) => subwords.encode(text))).toEqual(before);
    expect(texts.map((text) => subwords.encode(text))).toEqual(golden.cases.map((c) => c.ids));
  });

  it('gives ordinary text the same ids however it is cut into pieces', () => {
    const text = golden.cases
      .map((c) => c.text)
      .join(' ')
      .replaceAll('<|', '(')
      .replaceAll('<tool_call>', '');
    const whole = subwords.encode(text);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(text.length), fc.boolean()), { maxLength: 6 }),
        (cuts) => {
          const sorted = [...cuts].sort((a, b) => a[0] - b[0]);
          const pieces = sorted.map(([end, trusted], i) => ({
            text: text.slice(sorted[i - 1]?.[0] ?? 0, end),
            trusted,
          }));
          pieces.push({ text: text.slice(sorted.at(-1)?.[0] ?? 0), trusted: false });
          expect(subwords.encodePieces(pieces)).toEqual(whole);
        },
      ),
      { seed: 2, numRuns: 40 },
    );
  });

  it('never makes a special token of untrusted text, which survives as it was', () => {
    const hostile = golden.cases.map((c) => c.text).filter((text) => text.includes('<|'));
    expect(hostile.length).toBeGreaterThan(2);
    const special = new Set(golden.tokenizer.added_tokens.map((token) => token['id']));
    for (const text of hostile) {
      const ids = subwords.encodePieces([{ text, trusted: false }]);
      expect(ids.filter((id) => special.has(id))).toEqual([]);
      expect(subwords.decode(ids)).toBe(text.normalize('NFC'));
    }
    const split = subwords.encodePieces([
      { text: '<|im_', trusted: true },
      { text: 'end|>', trusted: false },
    ]);
    expect(split).not.toContain(subwords.idOf('<|im_end|>'));
  });

  it('encodes a text of a megabyte', () => {
    const once = subwords.encode('a rope, ');
    const ids = subwords.encode('a rope, '.repeat(130_000));
    expect(ids.slice(0, once.length - 1)).toEqual(once.slice(0, -1));
    expect(ids.length).toBeGreaterThan(200_000);
  });

  it('leaves out ids that have no token and decodes nothing to the empty text', () => {
    const ids = subwords.encode('rope');
    expect(subwords.decode([...ids, subwords.numTokens, 151_900])).toBe('rope');
    expect(subwords.decode([])).toBe('');
    expect(subwords.decode([999_999])).toBe('');
    expect(subwords.tokenOf(999_999)).toBeUndefined();
  });
});

describe('added tokens', () => {
  it('match the longest spelling, wherever it stands in the file', () => {
    const added_tokens = ['<a>', '<a><b>', '+('].map((content, i) => ({ id: 500 + i, content }));
    const tokenizer = createTokenizer({ ...tinyFiles.tokenizerJson, added_tokens }, {});
    expect(tokenizer.encode('<a><a><b>+(<a>')).toEqual([500, 501, 502, 500]);
    expect(tokenizer.numTokens).toBe(503);
  });
});

describe('broken tokenizer files', () => {
  const json = tinyFiles.tokenizerJson;

  it('are checkpoint errors', () => {
    for (const broken of [
      null,
      7,
      {},
      { ...json, model: null },
      { ...json, added_tokens: 3 },
      { ...json, added_tokens: [{}] },
      { ...json, model: { type: 'Nothing' } },
      { model: json['model'], added_tokens: [] },
    ]) {
      expect(() => createTokenizer(broken, {})).toThrow(CheckpointError);
    }
    expect(() => createTokenizer(json, null)).toThrow(CheckpointError);
  });

  it('name a missing token, and features that would silently change ids', () => {
    expect(() => tiny.idOf('<|box_start|>')).toThrow(/<\|box_start\|>/);
    const plain = createTokenizer({ ...json, added_tokens: [] }, {});
    expect(() => chatTokenIds(plain)).toThrow(/<\|endoftext\|>/);
    const stripping = { id: 500, content: '<s>', lstrip: true };
    expect(() => createTokenizer({ ...json, added_tokens: [stripping] }, {})).toThrow(
      /<s> with lstrip/,
    );
  });
});

describe('the tokens of latent spans', () => {
  it('are known together or not at all, and missed by name only when asked for', () => {
    const json = tinyFiles.tokenizerJson;
    const added = json['added_tokens'] as { readonly content: string }[];
    const noPad = added.filter(({ content }) => content !== '<|latent_pad|>');
    const none = { latentStart: NO_TOKEN, latentPad: NO_TOKEN, latentEnd: NO_TOKEN };
    for (const left of [noPad, []]) {
      const plain = createTokenizer({ ...json, added_tokens: left }, {});
      expect(plain.find('<|latent_pad|>')).toBeUndefined();
      expect(latentTokenIds(plain)).toEqual(none);
    }
    expect(() => {
      expectLatentTokens(none, 'models/3b');
    }).toThrow(
      /models\/3b cannot write latents[^]*<\|latent_pad\|>[^]*gapvl tokens add --model models\/3b/,
    );
    expect(() => {
      expectLatentTokens(latentTokenIds(tiny), 'models/tiny');
    }).not.toThrow();
  });
});

describe('the tiny tokenizer', () => {
  it('numbers unknown, format words, words, special tokens in this order without gaps', () => {
    const all = ['<unk>', ...TINY_FORMAT_WORDS, ...VOCABULARY, ...TINY_SPECIAL_TOKENS];
    const unique = [...new Set(all)];
    expect(tinyFiles.numTokens).toBe(unique.length);
    expect(tiny.numTokens).toBe(unique.length);
    expect(unique.map((token) => tiny.idOf(token))).toEqual([...unique.keys()]);
    const ids = Object.values<number>({ ...chatTokenIds(tiny), ...latentTokenIds(tiny) });
    expect(new Set(ids).size).toBe(9);
    expect(Math.min(...ids)).toBe(unique.length - TINY_SPECIAL_TOKENS.length);
  });

  it('turns a response into one id a word and back', () => {
    const texts = {
      think: VOCABULARY.slice(0, 5).join(' '),
      parser: VOCABULARY.slice(5, 10).join(' '),
      answer: VOCABULARY[11] ?? '',
    };
    const ids = encodeResponse(tiny, formatResponse(texts, { latents: 'span', numLatents: 4 }));
    expect(ids.length).toBe(6 + 5 + 5 + 1 + 6);
    const text = tiny.decode(ids);
    expect(parseResponse(text)).toEqual({ ...texts, numLatents: 4 });
    expect(tiny.encode(text)).toEqual(ids);
    expect(tiny.decode(ids, { skipSpecial: true })).not.toContain('<|');
  });

  it('refuses unknown words and untrusted special tokens by name instead of guessing', () => {
    const first = VOCABULARY[0] ?? '';
    expect(() => tiny.encode(`${first} zebra ${first} quark`)).toThrow(/"zebra", "quark"/);
    expect(() => tiny.encode('<unk>')).toThrow(DataError);
    expect(() => tiny.encodePieces([{ text: `${first} <|im_end|>`, trusted: false }])).toThrow(
      /<\|im_end\|>/,
    );
    expect(tiny.encode(`${first}<|im_end|>`)).toEqual([tiny.idOf(first), tiny.idOf('<|im_end|>')]);
  });

  it('refuses word lists it cannot hold', () => {
    for (const word of ['', 'two words', '<|im_end|>', 'tab\t']) {
      expect(() => buildTinyTokenizer(['a', word])).toThrow(ConfigError);
    }
    expect(buildTinyTokenizer(['same', 'same']).numTokens).toBe(
      buildTinyTokenizer(['same']).numTokens,
    );
  });
});

describe('responses', () => {
  it('leave no gap before and inside a latent span', () => {
    const ids = encodeResponse(
      subwords,
      formatResponse({ think: 'rope', answer: '3' }, { latents: 'span', numLatents: 1 }),
    );
    expect(subwords.decode(ids)).toBe(
      '<think> rope<|latent_start|><|latent_pad|><|latent_end|> </think> <answer> 3 </answer>',
    );
    expect(ids).toEqual(subwords.encode(subwords.decode(ids)));
  });
});

describe('text streams', () => {
  const texts = [...golden.cases.map((c) => c.text), 'one two  three\nfour 数学 end'];

  it('give out whole words whose sum is the decoded text', () => {
    for (const text of texts) {
      for (const skipSpecial of [false, true]) {
        const ids = subwords.encode(text);
        const stream = createTextStream(subwords, { skipSpecial });
        const chunks = [...ids.map((id) => stream.push(id)), stream.end()];
        expect(chunks.join('')).toBe(subwords.decode(ids, { skipSpecial }));
        for (const chunk of chunks.slice(0, -1)) {
          if (chunk !== '')
            expect(chunk).toMatch(/[\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Thai}]$/u);
          expect(chunk).not.toContain('\uFFFD');
        }
      }
    }
  });

  it('keep the spaces of a word-level tokenizer, special tokens skipped or not', () => {
    const [a, b, c] = VOCABULARY;
    const ids = tiny.encode(
      `${a ?? ''} <|latent_start|> <|latent_pad|> <|latent_end|> ${b ?? ''} ${c ?? ''}`,
    );
    for (const skipSpecial of [false, true]) {
      const stream = createTextStream(tiny, { skipSpecial });
      const chunks = ids.map((id) => stream.push(id));
      expect(chunks[0]).toBe('');
      expect(chunks.join('') + stream.end()).toBe(tiny.decode(ids, { skipSpecial }));
    }
  });

  it('hold back a character until its last byte and mark it when the text ends inside', () => {
    const ids = subwords.encode('🙂');
    expect(ids.length).toBeGreaterThan(1);
    const stream = createTextStream(subwords);
    for (const id of ids.slice(0, -1)) expect(stream.push(id)).toBe('');
    expect(stream.end()).toContain('\uFFFD');
    for (const id of subwords.encode('rope')) stream.push(id);
    expect(stream.end()).toBe('rope');
  });
});
