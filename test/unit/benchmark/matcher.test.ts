// Owns the tests of the multiple-choice matcher: letter rule, text rule, both eras.
import { describe, expect, it } from 'vitest';
import { ChoiceMatcher, letterOptions, optionsOf } from '../../../src/benchmark/matcher.ts';
import type { Era } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import { makeRow } from '../../helpers/benchmark-rows.ts';

const LANES = ['left lane', 'right lane', 'bike lane', 'sidewalk'];
const NUMBERS = ['4', '14', '40', '0'];

/** Letter and rule, e.g. `B letter`; `-` where nothing is found. */
function match(options: readonly string[], text: string, era: Era = 'head'): string {
  const found = new ChoiceMatcher(letterOptions(options, 'a test'), era).match(text);
  return found === undefined ? '-' : `${found.letter} ${found.rule}`;
}

describe('the worked examples of HRBench4K', () => {
  it.each([
    ['It rides in the right lane', 'B text', 'B text'],
    ['A cyclist is in the right lane', 'B text', 'B text'],
    ['A cyclist, B', '-', '-'],
    ['<answer>D</answer>', '-', '-'],
    ['<answer> D </answer>', 'D letter', 'D letter'],
    [
      'The correct answer is **B**, because the cyclist keeps clear of the parked cars',
      'B letter',
      '-',
    ],
    ['The answer is a bike lane', 'A letter', 'C text'],
  ])('reads %j as %s in head and %s in paper', (text, head, paper) => {
    expect(match(LANES, text, 'head')).toBe(head);
    expect(match(LANES, text, 'paper')).toBe(paper);
  });
});

describe('the worked examples of MMStar', () => {
  it.each([
    ['14', '-'],
    ['40', '-'],
    ['I see 4', 'A text'],
    ['Option C, i.e. forty', 'C letter'],
    ['Option E', '-'],
  ])('reads %j as %s in both eras', (text, expected) => {
    expect(match(NUMBERS, text, 'head')).toBe(expected);
    expect(match(NUMBERS, text, 'paper')).toBe(expected);
  });
});

describe('the letter rule', () => {
  it('finds nothing in a failed call, even beside a letter', () => {
    expect(match(LANES, 'Failed to obtain answer via API. B')).toBe('-');
  });

  it.each([
    "Sorry, I can't help with images of people yet. B",
    "B. I can't process this file.",
    "I'm sorry, but without the image provided, B",
    'Cannot determine the answer B',
  ])('reads the refusal %j as Z', (text) => {
    expect(match(LANES, text)).toBe('Z letter');
  });

  it('takes Z only if no option letter is there', () => {
    expect(match(LANES, 'Z')).toBe('Z letter');
    expect(match(LANES, 'Z is far from the end of this rather long text')).toBe('Z letter');
    expect(match(LANES, 'Z B')).toBe('B letter');
  });

  it('looks at the first occurrence of the letter', () => {
    expect(match(LANES, 'B one two three')).toBe('B letter');
    expect(match(LANES, 'B one two three four five six seven B')).toBe('-');
    expect(match(LANES, 'B B B B B', 'paper')).toBe('-');
  });

  it('splits at twelve marks and at blanks, and at nothing else', () => {
    for (const mark of '.()[],:;!*#{}') expect(match(LANES, `x${mark}B${mark}y`)).toBe('B letter');
    for (const blank of '\x1c\x85\u2009\u3000') expect(match(LANES, `x${blank}B`)).toBe('B letter');
    for (const mark of '"\'<>/-_$\\。，：\ufeff\u200b') expect(match(LANES, `x${mark}B`)).toBe('-');
    expect(match(LANES, 'b')).toBe('-');
  });

  it('finds the verbose answer by the case rules of Python, A to D only', () => {
    const long = ', because of everything that has been said about the picture above';
    expect(match(LANES, `correct ANSWER\u3000is\n***b${long}`)).toBe('B letter');
    expect(match(LANES, `an\u017fwer \u0130\u017f c${long}`)).toBe('C letter');
    expect(match(LANES, `answer \u0131s Dark${long}`)).toBe('D letter');
    expect(match(LANES, `answeris B-${long}`)).toBe('-');
    expect(match([...LANES, 'roof'], `The answer is E-${long}`)).toBe('-');
    expect(match(LANES.slice(0, 2), `The answer is C-${long}`)).toBe('-');
  });
});

describe('the text rule', () => {
  it('takes texts of up to twice the length of all options', () => {
    expect(match(['abc', 'de'], 'xxxxxxxabc')).toBe('A text');
    expect(match(['abc', 'de'], 'xxxxxxxxabc')).toBe('-');
  });

  it('counts code points', () => {
    const smile = '\u{1f600}';
    expect(match([smile, 'de'], smile.repeat(6))).toBe('A text');
    expect(match([smile, 'de'], smile.repeat(7))).toBe('-');
  });

  it('measures options as they are at first, and lower-cased once a text was compared', () => {
    // Lower-cased, the capital I with a dot is two characters long.
    const matcher = new ChoiceMatcher(letterOptions(['\u0130', 'no'], 'a test'), 'head');
    const sevenLong = 'yes noo';
    expect(matcher.match(sevenLong)).toBeUndefined();
    expect(matcher.match('maybe')).toBeUndefined();
    expect(matcher.match(sevenLong)).toEqual({ letter: 'B', rule: 'text' });
  });

  it('finds an empty option in every text that is short enough', () => {
    expect(match(['', 'long option'], 'short')).toBe('A text');
  });
});

describe('options', () => {
  it('are the filled columns, gaps allowed, as pandas writes them', () => {
    const row = makeRow({ B: 7, A: 7n, C: null, E: true, F: NaN, b: 'x', AA: 'y', Z: 'z' });
    expect(optionsOf(row).map(({ letter, text }) => `${letter}=${text}`)).toEqual([
      'A=7',
      'B=7.0',
      'E=True',
      'Z=z',
    ]);
  });

  it('are 26 at most', () => {
    expect(letterOptions(new Array<string>(26).fill('x'), 'row 1').at(-1)?.letter).toBe('Z');
    expect(() => letterOptions(new Array<string>(27).fill('x'), 'row 1')).toThrow(DataError);
  });
});
