// Owns the types pandas gives the columns of an Excel file, whose cells have types already: numbers where all
// are numbers or read as such, else each cell as it is; `predictions.ts` calls it.
// Source: pandas 3.1, `base_parser.py` (_infer_types), `lib.pyx` (maybe_convert_numeric), `ops.pyx`
// (maybe_convert_bool).
import { isMissingText } from '../missing.ts';
import type { Cell } from '../types.ts';
import { readDouble } from './pandas-numbers.ts';
import type { SheetCell } from './xlsx.ts';

const [INT64_MIN, INT64_MAX, UINT64_MAX] = [-(2n ** 63n), 2n ** 63n - 1n, 2n ** 64n - 1n];

/** Kinds of cells that were seen; integers by what they need: a sign, the 64th bit, or more. */
interface Seen {
  missing: boolean;
  integer: boolean;
  negative: boolean;
  beyond: boolean;
  huge: boolean;
  double: boolean;
}

function isMissing(cell: SheetCell): boolean {
  return cell === null || (typeof cell === 'string' && isMissingText(cell));
}

function seeInteger(value: bigint, seen: Seen): void {
  const isHuge = value < INT64_MIN || value > UINT64_MAX;
  seen.integer = true;
  seen.huge ||= isHuge;
  seen.negative ||= !isHuge && value < 0n;
  seen.beyond ||= !isHuge && value > INT64_MAX;
}

/** A text as a number; undefined where pandas gives up on the column. */
function readText(text: string, seen: Seen): bigint | number | undefined {
  const value = readDouble(text);
  if (value === undefined) return undefined;
  const isWhole = /^[ \t-\r]*[+-]?\d/.test(text) && !/[.eE]/.test(text);
  if (!isWhole) {
    seen.double = true;
    return value;
  }
  const whole = BigInt(text.replace(/[ \t-\r+]/g, ''));
  seeInteger(whole, seen);
  return whole;
}

/** The column as numbers or booleans; `objects` where it is neither, `verbatim` where pandas leaves it alone. */
function tryNumbers(cells: readonly SheetCell[]): readonly Cell[] | 'objects' | 'verbatim' {
  const seen: Seen = {
    missing: false,
    integer: false,
    negative: false,
    beyond: false,
    huge: false,
    double: false,
  };
  const found: (bigint | number | boolean | null)[] = [];
  for (const cell of cells) {
    if (isMissing(cell)) {
      seen.missing = seen.double = true;
      found.push(null);
      continue;
    }
    const value = typeof cell === 'string' ? readText(cell, seen) : cell;
    if (value === undefined) return 'objects';
    if (typeof value === 'number') seen.double = true;
    if (typeof cell === 'bigint') seeInteger(cell, seen);
    found.push(value);
  }
  if (seen.beyond && (seen.missing || seen.negative)) return 'verbatim';
  // The text again: as a double, -0 has a sign.
  if (seen.double) return cells.map((cell, i) => doubleOf(cell, found[i] ?? null));
  if (seen.huge) return withHuge(cells, found);
  // Truth values next to integers are integers.
  return seen.integer ? found.map((value) => (value === null ? null : BigInt(value))) : found;
}

function doubleOf(cell: SheetCell, value: bigint | number | boolean | null): Cell {
  if (value === null) return null;
  return typeof cell === 'string' ? (readDouble(cell) ?? null) : Number(value);
}

/** Integers of any size; truth values behind a first integer are lost, as they are in pandas. */
function withHuge(
  cells: readonly SheetCell[],
  found: readonly (bigint | number | boolean | null)[],
): readonly Cell[] {
  if (typeof found[0] !== 'bigint') return cells;
  return found.map((value) => (typeof value === 'boolean' ? null : value));
}

const TRUTHS: ReadonlyMap<Cell, boolean> = new Map<Cell, boolean>([
  [true, true],
  [false, false],
  ...['True', 'TRUE', 'true'].map((text): [Cell, boolean] => [text, true]),
  ...['False', 'FALSE', 'false'].map((text): [Cell, boolean] => [text, false]),
]);

/**
 * The cells of a column of an Excel file. A column of booleans with a gap becomes 1 and 0, one of integers
 * doubles; texts that read as numbers become numbers if the whole column does.
 */
export function typeSheetColumn(cells: readonly SheetCell[]): readonly Cell[] {
  const numbers = tryNumbers(cells);
  if (numbers === 'verbatim') return cells;
  if (numbers !== 'objects') return numbers;
  const objects = cells.map((cell) => (isMissing(cell) ? null : cell));
  const [first] = objects;
  const isTruth = objects.every((cell) => cell === null || TRUTHS.has(cell));
  if (!isTruth || typeof first === 'bigint' || typeof first === 'boolean') return objects;
  return objects.map((cell) => (cell === null ? null : (TRUTHS.get(cell) ?? null)));
}
