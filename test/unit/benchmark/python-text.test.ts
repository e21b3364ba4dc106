// Owns the tests of text and numbers as Python sees them, and of pandas' missing cells.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isMissing, isMissingText } from '../../../src/benchmark/missing.ts';
import {
  fixed,
  parseFloatText,
  parseInteger,
  percent,
  reprFloat,
  str,
} from '../../../src/benchmark/python/numbers.ts';
import {
  compareText,
  isBlank,
  length,
  lower,
  split,
  strip,
  stripEnd,
  upper,
} from '../../../src/benchmark/python/text.ts';

// Source: every code point of CPython 3.11 whose `isspace()` is true.
const BLANKS = [
  0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x85, 0xa0, 0x1680, 0x2000, 0x2001,
  0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028, 0x2029, 0x202f,
  0x205f, 0x3000,
];

describe('text as Python sees it', () => {
  it('knows exactly the blanks of CPython among all UTF-16 units', () => {
    const found = Array.from({ length: 0x10000 }, (_, unit) => unit).filter(isBlank);
    expect(found).toEqual(BLANKS);
  });

  it('splits and strips at those blanks and nowhere else', () => {
    expect(split('\x1cA\x85 B\u3000C\ufeff D\u200bE ')).toEqual(['A', 'B', 'C\ufeff', 'D\u200bE']);
    expect(split('')).toEqual([]);
    expect(split(' \n')).toEqual([]);
    expect(strip('\x1f\u2009 a b\u00a0\x85')).toBe('a b');
    expect(strip('\ufeffa')).toBe('\ufeffa');
    expect(strip(' \t ')).toBe('');
    expect(stripEnd(' a \n')).toBe(' a');
  });

  it('counts code points', () => {
    expect(length('a\u{1f600}b')).toBe(3);
    expect(length('\ud83d')).toBe(1);
    expect(length('\ude00\ud83d\ude00')).toBe(2);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 0x10ffff })), (points) => {
        const text = String.fromCodePoint(...points);
        expect(length(text)).toBe(Array.from(text).length);
      }),
    );
  });

  it('changes case by the full mapping', () => {
    expect(length(lower('\u0130'))).toBe(2);
    expect(lower('ΟΔΟΣ')).toBe('οδος');
    expect(upper('straße')).toBe('STRASSE');
  });

  it('orders by code points, astral characters last', () => {
    const texts = ['\u{1f600}', '\uff21', 'b', 'ab', 'a', ''];
    expect(texts.sort(compareText)).toEqual(['', 'a', 'ab', 'b', '\uff21', '\u{1f600}']);
  });
});

describe('numbers as Python reads and writes them', () => {
  it.each([
    ['19', 19n],
    [' \n+1_000\u3000', 1000n],
    ['-007', -7n],
    ['\u0661\u0662', 12n],
    ['\u096d', 7n],
    ['\u{1d7d8}\u{1d7e3}\u{1d7ff}', 19n],
    ['12345678901234567890123', 12345678901234567890123n],
  ])('reads the integer %j', (text, value) => {
    expect(parseInteger(text)).toBe(value);
  });

  it.each([
    '',
    ' ',
    '19.0',
    '1__0',
    '_1',
    '1_',
    '+ 5',
    '--5',
    '1e3',
    '0x10',
    '²',
    '\x1c5',
    '5\ufeff',
  ])('reads no integer in %j', (text) => {
    expect(parseInteger(text)).toBeUndefined();
  });

  it('stops at the 4300 digits CPython allows', () => {
    expect(parseInteger('9'.repeat(4300))).toBe(10n ** 4300n - 1n);
    expect(parseInteger('9'.repeat(4301))).toBeUndefined();
  });

  it.each([
    ['0.60', 0.6],
    ['.5', 0.5],
    ['5.', 5],
    ['-1_0.2_5e1_0', -10.25e10],
    ['1E3', 1000],
    ['\u0665.\u0665', 5.5],
    [' Infinity\n', Infinity],
    ['-INF', -Infinity],
    ['+nan', NaN],
    ['1e999', Infinity],
  ])('reads the float %j', (text, value) => {
    expect(parseFloatText(text)).toBe(value);
  });

  it.each(['', '.', 'e5', '1e', '1._5', '1_.5', '0x1p3', 'infin', '1,5', '60%', '\x1f1.0', '1 2'])(
    'reads no float in %j',
    (text) => {
      expect(parseFloatText(text)).toBeUndefined();
    },
  );

  it.each([
    [7, '7.0'],
    [-0, '-0.0'],
    [0.1, '0.1'],
    [1e16, '1e+16'],
    [123456789012345680, '1.2345678901234568e+17'],
    [9999999999999998, '9999999999999998.0'],
    [0.0001, '0.0001'],
    [0.00001, '1e-05'],
    [1.5e-7, '1.5e-07'],
    [1e100, '1e+100'],
    [NaN, 'nan'],
    [-Infinity, '-inf'],
  ])('writes the float %d as repr does', (value, text) => {
    expect(reprFloat(value)).toBe(text);
  });

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.double(), (value) => {
        expect(parseFloatText(reprFloat(value))).toBe(value);
      }),
    );
  });

  it('rounds the exact binary value half to even', () => {
    expect(percent(1 / 32)).toBe('3.12%');
    expect(percent(3 / 32)).toBe('9.38%');
    expect(fixed(0.125, 2)).toBe('0.12');
    expect(fixed(0.375, 2)).toBe('0.38');
    expect(fixed(2.5, 0)).toBe('2');
    expect(fixed(-0.001, 2)).toBe('-0.00');
    expect(fixed(1.005, 2)).toBe('1.00');
    expect(fixed(1e22, 1)).toBe('10000000000000000000000.0');
    expect(fixed(5e-324, 3)).toBe('0.000');
    expect(percent(NaN)).toBe('nan%');
  });

  it('agrees with toFixed wherever the value is not halfway', () => {
    fc.assert(
      fc.property(fc.double({ min: -1e6, max: 1e6, noNaN: true }), (value) => {
        fc.pre(!Number.isInteger(value * 1024));
        expect(fixed(value, 2)).toBe(value.toFixed(2));
      }),
    );
  });

  it('turns cells into text as pandas holds them', () => {
    expect([null, true, false, 7n, 7, 'x', 0.5].map(str)).toEqual([
      'nan',
      'True',
      'False',
      '7',
      '7.0',
      'x',
      '0.5',
    ]);
  });
});

describe('missing cells', () => {
  it.each(['', 'NA', 'N/A', 'n/a', '#N/A', '#NA', '#N/A N/A', 'NaN', 'nan', '-NaN', '-nan'])(
    'takes %j for missing',
    (text) => {
      expect(isMissingText(text)).toBe(true);
      expect(isMissing(text)).toBe(true);
    },
  );

  it.each(['NULL', 'null', '<NA>', '1.#IND', '-1.#IND', '1.#QNAN', '-1.#QNAN', 'None'])(
    'takes %j for missing, too',
    (text) => {
      expect(isMissingText(text)).toBe(true);
    },
  );

  it.each(['Nan', 'na', 'none', 'Null', ' ', ' NA', 'nan ', '0', 'constructor'])(
    'takes %j for a text',
    (text) => {
      expect(isMissingText(text)).toBe(false);
    },
  );

  it('takes null and the float NaN for missing, false and zero for values', () => {
    expect([null, NaN, false, 0, 0n].map(isMissing)).toEqual([true, true, false, false, false]);
  });
});
