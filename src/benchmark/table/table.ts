// Owns a benchmark's table in memory and what every format of files does to get there: index, duplicates,
// rows without a picture; the readers of the formats call it.
import { DataError } from '../../errors.ts';
import { str } from '../python/numbers.ts';
import type { Cell, DatasetName, Row, Table } from '../types.ts';

/** The column that holds pictures; it is never in memory. */
export const IMAGE_COLUMN = 'image';
/** The column that names pictures as files. */
export const IMAGE_PATH_COLUMN = 'image_path';
/** The column that names rows. */
export const INDEX_COLUMN = 'index';

/** Most characters of a cell of `image` that is the index of another row. Source: VLMEvalKit, image_base.py. */
export const MAX_REFERENCE_CHARS = 64;

/**
 * What a cell of the column `image` holds: nothing, a short text (the index of the row whose picture it
 * is), one that is still in the file (base64, a list of it), a path, an encoded picture, or some of these.
 */
export type PictureCell =
  | { readonly kind: 'missing' }
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'stored'; readonly sizeBytes: number; readonly read: () => Promise<Buffer> }
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'encoded'; readonly read: () => Promise<Uint8Array> }
  | { readonly kind: 'several'; readonly read: () => Promise<readonly PictureCell[]> };

/** The pictures of a table, by the `index` of their row as text. */
export interface PictureCells {
  /** False when the table has no column `image`; `image_path` counts then. */
  readonly hasColumn: boolean;
  /** The cell of a row and its place in the file; of rows of one index the last one's. */
  readonly of: (
    index: string,
  ) => { readonly cell: PictureCell; readonly order: number } | undefined;
}

/** A table of a benchmark; its pictures are read one by one. */
export interface BenchmarkTable extends Table {
  readonly name: DatasetName;
  /** Absolute path of the file. */
  readonly path: string;
  /** Lower-case hexadecimal MD5 of the file; null for formats that are not read from end to end. */
  readonly md5: string | null;
  readonly pictures: PictureCells;
  /** Rows that were left out because their picture is missing. */
  readonly numDropped: number;
}

/** How a table is read. */
export interface LoadOptions {
  /** The benchmark the file should be; its MD5 is known. A table of one's own by default. */
  readonly name?: DatasetName;
  /** Whether the MD5 has to be the published one; `check` by default. */
  readonly md5?: 'check' | 'ignore';
  /** Columns the file has to have. */
  readonly columns?: readonly string[];
  /** Rows with the index of an earlier row: an error by default. */
  readonly duplicates?: 'error' | 'keep';
  /** Rows whose `image` is missing: left out by default, as VLMEvalKit does. */
  readonly missingPictures?: 'drop' | 'keep';
  readonly signal?: AbortSignal;
  /** Bytes read so far. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** A table as a reader of a format found it, column by column. */
export interface FoundTable {
  readonly path: string;
  readonly md5: string | null;
  /** Without `image`. */
  readonly columns: readonly string[];
  /** Cells of each column. */
  readonly cells: readonly (readonly Cell[])[];
  /** Cells of the column `image`, if there is one. */
  readonly images: readonly PictureCell[] | undefined;
  /** What a row is called in errors: `line 7`. */
  readonly placeOf: (row: number) => string;
  readonly numRows: number;
}

/** Index of a row as text, as VLMEvalKit writes it. */
export function indexText(row: Row): string {
  return str(row[INDEX_COLUMN] ?? null);
}

// Source: VLMEvalKit evaluates each text as Python and asks whether it is an integer.
const PYTHON_INTEGER = /^[ \t]*([+-]?)(0(?:_?0)*|[1-9](?:_?\d)*)[ \t\n\r]*$/;

/** The column `index`: integers if all of its cells are, else text. */
function indexCells(cells: readonly Cell[]): readonly Cell[] {
  const texts = cells.map(str);
  const isWhole = texts.every((text) => PYTHON_INTEGER.test(text));
  return isWhole ? texts.map((text) => BigInt(text.replaceAll('_', ''))) : texts;
}

function missingColumn(found: FoundTable, missing: readonly string[]): DataError {
  const names = found.images === undefined ? found.columns : [...found.columns, IMAGE_COLUMN];
  return new DataError({
    what: `${found.path} lacks ${missing.length > 1 ? 'columns' : 'a column'}: ${missing.join(', ')}`,
    got: `columns ${names.slice(0, 40).map(shorten).join(', ')}`,
    expected: 'the columns of the benchmark it is read as',
    fix: 'name the file of that benchmark, or the benchmark of that file',
  });
}

/** Text of a file, made fit for an error. */
export function shorten(text: string): string {
  const clean = text.replace(/[\p{Cc}\s]+/gu, ' ');
  return clean.length > 60 ? `${clean.slice(0, 57)}...` : clean;
}

function checkDuplicates(
  found: FoundTable,
  indices: readonly string[],
  kept: readonly number[],
): void {
  const first = new Map<string, number>();
  for (const [i, index] of indices.entries()) {
    const row = kept[i] ?? 0;
    const earlier = first.get(index);
    if (earlier !== undefined) {
      throw new DataError({
        what: `${found.path}, ${found.placeOf(row)}: the index ${shorten(index)} is taken`,
        got: `the same index in ${found.placeOf(earlier)}`,
        expected: 'an index that occurs once',
        fix: 'take one of the rows out, or give it an index of its own',
      });
    }
    first.set(index, row);
  }
}

/** A row; any name will do for a column, since the object has no prototype. */
function rowOf(columns: readonly string[], cells: readonly (readonly Cell[])[], at: number): Row {
  const row = Object.create(null) as Record<string, Cell>;
  for (const [c, name] of columns.entries()) row[name] = cells[c]?.[at] ?? null;
  return row;
}

/**
 * Makes the table: rows without a picture dropped, the index turned into integers or text, checked.
 * @throws DataError for a missing column, an index that occurs twice, or no row at all.
 */
export function makeTable(found: FoundTable, options: LoadOptions): BenchmarkTable {
  const { path, md5, images, numRows } = found;
  const { columns } = found;
  const wanted = new Set([INDEX_COLUMN, ...(options.columns ?? [])]);
  const has = (column: string): boolean =>
    columns.includes(column) || (column === IMAGE_COLUMN && images !== undefined);
  const missing = [...wanted].filter((column) => !has(column));
  if (missing.length > 0) throw missingColumn(found, missing);
  if (numRows === 0) {
    throw new DataError({
      what: `${path} has no rows`,
      got: `a header of ${columns.length} columns and nothing else`,
      expected: 'at least one row',
      fix: 'get the file again',
    });
  }
  const drops = images !== undefined && options.missingPictures !== 'keep';
  const kept = Array.from({ length: numRows }, (_, i) => i).filter(
    (i) => !drops || images[i]?.kind !== 'missing',
  );
  if (kept.length === 0) {
    throw new DataError({
      what: `${path} has no row with a picture`,
      got: `${numRows} rows whose ${IMAGE_COLUMN} is empty`,
      expected: `a picture in the column ${IMAGE_COLUMN}`,
      fix: `fill the column, or take it out and name files in ${IMAGE_PATH_COLUMN}`,
    });
  }
  const cells = found.cells.map((column, c) => {
    const left = kept.map((i) => column[i] ?? null);
    return columns[c] === INDEX_COLUMN ? indexCells(left) : left;
  });
  const rows = kept.map((_, i) => rowOf(columns, cells, i));
  const indices = rows.map(indexText);
  if (options.duplicates !== 'keep') checkDuplicates(found, indices, kept);
  const orders = new Map(indices.map((index, order) => [index, order]));
  return {
    name: options.name ?? 'own',
    ...{ path, md5, columns, rows },
    numDropped: numRows - kept.length,
    pictures: {
      hasColumn: images !== undefined,
      of: (index) => {
        const order = orders.get(index);
        const cell = images?.[kept[order ?? -1] ?? -1];
        return order === undefined || cell === undefined ? undefined : { cell, order };
      },
    },
  };
}

/** A table of one's own may do without an index: its rows are counted from 0. */
export function numberRows(found: FoundTable): FoundTable {
  if (found.columns.includes(INDEX_COLUMN)) return found;
  const numbers = Array.from({ length: found.numRows }, (_, i) => BigInt(i));
  return { ...found, columns: [INDEX_COLUMN, ...found.columns], cells: [numbers, ...found.cells] };
}
