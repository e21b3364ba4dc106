// Owns the multiple-choice matcher: which option a free text means, by the letter rule, then the text rule.
// HRBench4K, MMStar, WeMath, MathVista and one's own tables call it; a pure port of VLMEvalKit's
// `can_infer` with the environment variable VERBOSE unset.
import { DataError } from '../errors.ts';
import { isEmptyCell } from './figures.ts';
import { str } from './python/numbers.ts';
import { isBlank, length, lower } from './python/text.ts';
import type { Era, Row } from './types.ts';

/** Marks a call of a judge (or model) that failed, wherever it stands in a text. */
export const FAILED_CALL = 'Failed to obtain answer via API';

/** The result that means "none of the options". */
export const NONE = 'Z';

/** Texts that decline to answer; each means `Z`. */
const REFUSALS = [
  "Sorry, I can't help with images of people yet.",
  "I can't process this file.",
  "I'm sorry, but without the image provided",
  'Cannot determine the answer',
] as const;

/** Characters that stand between words as blanks do. */
const PUNCTUATION = '.()[],:;!*#{}';

/** A letter counts if its first occurrence is among so many last words. */
const LAST_WORDS = 4;

// Python ignores case by Unicode: the long s and the two Turkish letters match as well.
const BLANK_CLASS = String.raw`\t-\r\u001c-\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;
const ANSWER_IS = new RegExp(
  `[aA][nN][sS\u017f][wW][eE][rR][${BLANK_CLASS}]+[iI\u0130\u0131][sS\u017f][${BLANK_CLASS}]+\\**([ABCDabcd])`,
);

const CODE_A = 'A'.charCodeAt(0);
const NUM_LETTERS = 26;

const SEPARATES = Uint8Array.from({ length: 128 }, (_, unit) =>
  isBlank(unit) || PUNCTUATION.includes(String.fromCharCode(unit)) ? 1 : 0,
);

const separates = (unit: number): boolean => (unit < 128 ? SEPARATES[unit] === 1 : isBlank(unit));

/** A filled option. */
export interface Option {
  readonly letter: string;
  /** As it stands in the prompt. */
  readonly text: string;
}

/** An option found in a text, and by which rule. */
export interface Match {
  /** An option's letter, or `Z`. */
  readonly letter: string;
  readonly rule: 'letter' | 'text';
}

/** The letters A to Z. */
export const LETTERS: readonly string[] = Array.from({ length: NUM_LETTERS }, (_, i) =>
  String.fromCharCode(CODE_A + i),
);

/** The filled option columns of a row, in the order of the letters. */
export function optionsOf(row: Row): readonly Option[] {
  const options: Option[] = [];
  for (const letter of LETTERS) {
    const cell = row[letter];
    if (!isEmptyCell(cell)) options.push({ letter, text: str(cell) });
  }
  return options;
}

/** Words of a text: how many, and where each single capital letter first stands (-1: nowhere). */
interface Words {
  readonly count: number;
  readonly first: Int32Array;
}

function readWords(text: string): Words {
  const first = new Int32Array(NUM_LETTERS).fill(-1);
  let count = 0;
  let at = 0;
  while (at < text.length) {
    if (separates(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const start = at;
    while (at < text.length && !separates(text.charCodeAt(at))) at++;
    const letter = text.charCodeAt(start) - CODE_A;
    if (at === start + 1 && letter >= 0 && letter < NUM_LETTERS && first[letter] === -1)
      first[letter] = count;
    count++;
  }
  return { count, first };
}

/**
 * The matcher of one row. It keeps one thing between its texts, as the reference does: once a text was short
 * enough to be compared with the options, their lengths are those of the lower-cased options (`İ` is one
 * character long before and two after).
 */
export class ChoiceMatcher {
  private readonly options: readonly Option[];
  private readonly era: Era;
  private readonly hasLetter: readonly boolean[];
  private lowered: readonly string[] | undefined;

  constructor(options: readonly Option[], era: Era) {
    this.options = options;
    this.era = era;
    const hasLetter = new Array<boolean>(NUM_LETTERS).fill(false);
    for (const option of options) hasLetter[option.letter.charCodeAt(0) - CODE_A] = true;
    this.hasLetter = hasLetter;
  }

  /** What the text means; undefined if nothing is found. */
  match(text: string): Match | undefined {
    const letter = this.byLetter(text);
    if (letter !== undefined) return { letter, rule: 'letter' };
    const found = this.byText(text);
    return found === undefined ? undefined : { letter: found, rule: 'text' };
  }

  private byLetter(text: string): string | undefined {
    if (text.includes(FAILED_CALL)) return undefined;
    if (REFUSALS.some((refusal) => text.includes(refusal))) return NONE;
    const { count, first } = readWords(text);
    let numFound = 0;
    let found = -1;
    for (let letter = 0; letter < NUM_LETTERS; letter++) {
      if (this.hasLetter[letter] !== true || first[letter] === -1) continue;
      numFound++;
      found = letter;
    }
    if (numFound === 1 && (first[found] ?? -1) >= count - LAST_WORDS) return LETTERS[found];
    if (numFound === 0 && first[NUM_LETTERS - 1] !== -1) return NONE;
    if (this.era === 'paper') return undefined;
    const named = ANSWER_IS.exec(text)?.[1]?.toUpperCase();
    return named !== undefined && this.hasLetter[named.charCodeAt(0) - CODE_A] === true
      ? named
      : undefined;
  }

  private byText(text: string): string | undefined {
    const texts = this.lowered ?? this.options.map((option) => option.text);
    const bound = 2 * texts.reduce((sum, option) => sum + length(option), 0);
    // Code points are no fewer than half of the UTF-16 units, and lower-casing takes none away.
    if (text.length > 2 * bound) return undefined;
    const wanted = lower(text);
    if (length(wanted) > bound) return undefined;
    this.lowered ??= this.options.map((option) => lower(option.text));
    let found: string | undefined;
    for (const [i, option] of this.lowered.entries()) {
      if (!wanted.includes(option)) continue;
      if (found !== undefined) return undefined;
      found = this.options[i]?.letter;
    }
    return found;
  }
}

/**
 * Options of a list, lettered from A on.
 * @throws DataError if there are more than letters.
 */
export function letterOptions(texts: readonly string[], place: string): readonly Option[] {
  if (texts.length > NUM_LETTERS) {
    throw new DataError({
      what: `${place} has more options than there are letters`,
      got: `${texts.length}`,
      expected: `at most ${NUM_LETTERS}`,
      fix: 'remove the row, or score it by hand',
    });
  }
  return texts.map((text, i) => ({ letter: LETTERS[i] ?? '', text }));
}
