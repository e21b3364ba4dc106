// Owns the types pandas gives the columns of a TSV: integers, doubles, booleans or text, each by all cells of
// the column; the reader of TSV files calls it.
// Source: pandas 3.1, `parsers.pyx` (_convert_tokens and what it calls).
import { isMissingText } from '../missing.ts';
import type { Cell } from '../types.ts';
import {
  isBeyondInt64,
  readDouble,
  readInt64,
  readPythonInteger,
  readUint64,
} from './pandas-numbers.ts';

/** A type that was tried: its cells, or which way to go on. */
type Tried = readonly Cell[] | 'other' | 'python' | 'verbatim';

function tryInt64(words: readonly string[], missing: readonly boolean[]): Tried {
  const values: bigint[] = [];
  for (const [i, word] of words.entries()) {
    if (missing[i] === true) continue;
    const value = readInt64(word);
    if (value === 'overflow') return tryUint64(words, missing);
    if (typeof value === 'string') return 'other';
    values.push(value);
  }
  const isWhole = values.length === words.length;
  let next = 0;
  // Integers with a gap become doubles.
  return words.map((_, i) => {
    if (missing[i] === true) return null;
    const value = values[next++] ?? null;
    return isWhole || value === null ? value : Number(value);
  });
}

function tryUint64(words: readonly string[], missing: readonly boolean[]): Tried {
  const values: bigint[] = [];
  let isSigned = false;
  let isBeyond = false;
  for (const [i, word] of words.entries()) {
    if (missing[i] === true) continue;
    const value = readUint64(word);
    if (value === 'overflow') return 'python';
    if (value === 'signed') isSigned = true;
    else if (typeof value === 'string') return 'other';
    else {
      values.push(value);
      isBeyond ||= isBeyondInt64(value);
    }
  }
  if (isBeyond && (isSigned || missing.includes(true))) return 'verbatim';
  return isSigned ? 'python' : values;
}

/** Integers of any size, as Python objects. */
function tryPython(words: readonly string[], missing: readonly boolean[]): Tried {
  const cells: Cell[] = [];
  for (const [i, word] of words.entries()) {
    const value = missing[i] === true ? null : readPythonInteger(word);
    if (value === undefined) return 'verbatim';
    cells.push(value);
  }
  return cells;
}

function tryDouble(words: readonly string[], missing: readonly boolean[]): Tried {
  const cells: Cell[] = [];
  for (const [i, word] of words.entries()) {
    const value = missing[i] === true ? null : readDouble(word);
    if (value === undefined) return 'other';
    cells.push(value);
  }
  return cells;
}

function tryBoolean(words: readonly string[], missing: readonly boolean[]): Tried {
  const cells: Cell[] = [];
  for (const [i, word] of words.entries()) {
    if (missing[i] === true) cells.push(null);
    else if (/^true$/i.test(word)) cells.push(true);
    else if (/^false$/i.test(word)) cells.push(false);
    else return 'other';
  }
  return cells;
}

/**
 * The cells of a column of a TSV. Integers are exact; a column of which one does not fit into 64 bits
 * next to one that is missing or negative stays text with its missing cells verbatim, which is how
 * pandas leaves it.
 * @param words - the fields, unquoted.
 */
export function typeColumn(words: readonly string[]): readonly Cell[] {
  const missing = words.map(isMissingText);
  let tried = tryInt64(words, missing);
  if (tried === 'python') tried = tryPython(words, missing);
  if (tried === 'verbatim') return words;
  if (tried === 'other') tried = tryDouble(words, missing);
  if (tried === 'other') tried = tryBoolean(words, missing);
  return Array.isArray(tried)
    ? (tried as readonly Cell[])
    : words.map((word, i) => (missing[i] === true ? null : word));
}
