// Owns the tests of Python literals in cells.
import { describe, expect, it } from 'vitest';
import { parseLiteral } from '../../../src/benchmark/python/literal.ts';

describe('parseLiteral', () => {
  it.each([
    [`['(A) a', "(B) it's", '(C) \\'q\\'']`, ['(A) a', "(B) it's", "(C) 'q'"]],
    [` [1, -2.5, 1_000, 1e3, .5, 0x1F, +3,]\n`, [1n, -2.5, 1000n, 1000, 0.5, 31n, 3n]],
    [`('a', ('b',), ())`, ['a', ['b'], []]],
    [`'a', 'b'`, ['a', 'b']],
    [`('a')`, 'a'],
    [`[]`, []],
    [`'a' "b"\t'''c\n"d"'''`, 'abc\n"d"'],
    [`'\\n\\t\\x41\\u00b0\\U0001F600\\101\\q\\\\'`, '\n\tA°😀A\\q\\'],
    [`r'\\n'`, '\\n'],
    [`u'°'`, '°'],
    [`[True, False, None]`, [true, false, null]],
    [`\n[1, # one\n \\\n 2,\n]\n`, [1n, 2n]],
    [`1,\n`, [1n]],
    [`'a' # b`, 'a'],
    [`--1`, 1n],
    [`00`, 0n],
    [`'a\\\nb'`, 'ab'],
  ])('reads %j', (text, value) => {
    expect(parseLiteral(text)).toEqual(value);
  });

  it.each([
    '',
    'statistical reasoning',
    'arithmetic',
    '[1',
    '[1 2]',
    '[,]',
    '(,)',
    `'a`,
    `'a\nb'`,
    `'\\x4'`,
    `'\\N{DEGREE SIGN}'`,
    `'\\U00110000'`,
    '07',
    '1j',
    '1abc',
    `b'a'`,
    `f'a'`,
    '{1: 2}',
    '1+1',
    '1,\n2',
    `'a'\n'b'`,
    '-',
    `-'a'`,
    '__import__("os")',
    'constructor',
  ])('finds no literal in %j', (text) => {
    expect(parseLiteral(text)).toBeUndefined();
  });

  it('gives up on absurd nesting instead of overflowing the stack', () => {
    expect(parseLiteral('['.repeat(100_000))).toBeUndefined();
    expect(parseLiteral('-'.repeat(100_000) + '1')).toBe(1n);
  });
});
