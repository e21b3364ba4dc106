// Owns how pandas' fast CSV parser reads a word as an integer or a double; the typing of columns calls it.
// Source: pandas 3.1, `tokenizer.c` (str_to_int64, str_to_uint64), `parsers.pyx` (_try_pylong).

const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;

/** Why a word is no integer: it begins as none, it goes on as none, or it does not fit. */
export type IntegerFault = 'no digits' | 'characters' | 'overflow';

const INTEGER = /^[ \t-\r]*([+-]?)(\d+)([^]*)$/;
const BLANK = /^[ \t-\r]*$/;

/** More digits than any integer of 64 bits has, so that no long text is turned into a number. */
const MAX_DIGITS = 20;

function readInteger(word: string, min: bigint, max: bigint): bigint | IntegerFault {
  const [, sign, digits = '', rest = ''] = INTEGER.exec(word) ?? [];
  if (sign === undefined) return 'no digits';
  const plain = digits.replace(/^0+(?=\d)/, '');
  const value = plain.length > MAX_DIGITS ? undefined : BigInt(plain) * (sign === '-' ? -1n : 1n);
  if (value === undefined || value < min || value > max) {
    // What overflows may not even be followed by blanks.
    return rest === '' ? 'overflow' : 'characters';
  }
  return BLANK.test(rest) ? value : 'characters';
}

/** A word as an integer of 64 bits. */
export function readInt64(word: string): bigint | IntegerFault {
  return readInteger(word, INT64_MIN, INT64_MAX);
}

/** A word as an unsigned integer of 64 bits; `signed` is any word that begins with a minus. */
export function readUint64(word: string): bigint | IntegerFault | 'signed' {
  return /^[ \t-\r]*-/.test(word) ? 'signed' : readInteger(word, 0n, UINT64_MAX);
}

/** Whether an unsigned integer needs the 64th bit. */
export function isBeyondInt64(value: bigint): boolean {
  return value > INT64_MAX;
}

// Source: Python, `sys.int_info.default_max_str_digits`.
const MAX_PYTHON_DIGITS = 4300;
const PYTHON_INTEGER = /^[ \t-\r]*([+-]?)(\d+(?:_\d+)*)[ \t-\r]*$/;

/** A word as Python's `int` reads ASCII text: any size, single underscores between digits. */
export function readPythonInteger(word: string): bigint | undefined {
  const [, sign, digits] = PYTHON_INTEGER.exec(word) ?? [];
  if (digits === undefined) return undefined;
  const plain = digits.replaceAll('_', '');
  if (plain.length > MAX_PYTHON_DIGITS) return undefined;
  return sign === '-' ? -BigInt(plain) : BigInt(plain);
}

const DOUBLE = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;
const INFINITE = /^([+-]?)(?:inf|infinity)$/i;

function isBlank(word: string, at: number): boolean {
  const code = word.charCodeAt(at);
  return code === 0x20 || (code >= 0x09 && code <= 0x0d);
}

/** In one pass: a pattern with blanks at both ends takes quadratic time on a long blank word. */
function trimBlanks(word: string): string {
  let [start, end] = [0, word.length];
  while (start < end && isBlank(word, start)) start++;
  while (end > start && isBlank(word, end - 1)) end--;
  return word.slice(start, end);
}

/** A word as a double, the nearest one (before 3.1 pandas could be off by its last bit). */
export function readDouble(word: string): number | undefined {
  const infinite = INFINITE.exec(word);
  if (infinite !== null) return infinite[1] === '-' ? -Infinity : Infinity;
  const trimmed = trimBlanks(word);
  return DOUBLE.test(trimmed) ? Number(trimmed) : undefined;
}
