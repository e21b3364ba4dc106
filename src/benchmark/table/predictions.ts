// Owns reading tables of predictions as VLMEvalKit writes and reads them; scoring calls it.
import { extname } from 'node:path';
import { isMissing } from '../missing.ts';
import type { Cell, Row, Table } from '../types.ts';
import { readExcel, unknownFormat } from './load.ts';
import { readJson, readJsonLines } from './records.ts';
import { INDEX_COLUMN, makeTable } from './table.ts';
import type { FoundTable, LoadOptions } from './table.ts';
import { readTsv } from './tsv.ts';

/** The column of predictions. */
export const PREDICTION_COLUMN = 'prediction';

/** Longest text of a cell of an Excel file; what pandas writes is cut there. */
const EXCEL_CELL_CHARS = 32_767;

/** A table of predictions. */
export interface PredictionTable extends Table {
  readonly path: string;
  /** Predictions that are as long as a cell of an Excel file can be: most likely cut. */
  readonly numCut: number;
}

/** How predictions are read. */
export type PredictionOptions = Pick<LoadOptions, 'duplicates' | 'signal'>;

/** Columns of numbers as a table made of Python values has them: with a gap or a double, all are doubles. */
function typeValues(cells: readonly Cell[]): readonly Cell[] {
  const isNumber = cells.every(
    (cell) => cell === null || typeof cell === 'bigint' || typeof cell === 'number',
  );
  const isDouble = cells.some((cell) => cell === null || typeof cell === 'number');
  if (!isNumber || !isDouble) return cells;
  return cells.map((cell) => (cell === null ? null : Number(cell)));
}

/** Whether a text is as long as a cell can be, in characters as Python counts them. */
function isFull(text: string): boolean {
  return text.length >= EXCEL_CELL_CHARS && Array.from(text).length === EXCEL_CELL_CHARS;
}

async function readValues(reading: Promise<FoundTable>): Promise<FoundTable> {
  const found = await reading;
  return { ...found, cells: found.cells.map(typeValues), images: undefined };
}

function readFormat(path: string, options: PredictionOptions): Promise<FoundTable> {
  switch (extname(path).toLowerCase()) {
    case '.xlsx':
      return readExcel(path);
    case '.tsv':
      return readTsv(path, options);
    case '.json':
      return readValues(readJson(path));
    case '.jsonl':
      return readValues(readJsonLines(path, options));
    default:
      throw unknownFormat(path, '.xlsx, .tsv, .json or .jsonl');
  }
}

/**
 * Reads predictions: `.xlsx`, `.tsv`, `.json` or `.jsonl` with a column `prediction`, which is missing where
 * pandas reads it so (empty, `NA`, `nan`, ..), whatever the format.
 * @throws DataError for a file that cannot be read, lacks `index` or `prediction`, or has an index twice.
 */
export async function loadPredictions(
  path: string,
  options: PredictionOptions = {},
): Promise<PredictionTable> {
  const found = await readFormat(path, options);
  const columns = [INDEX_COLUMN, PREDICTION_COLUMN];
  // Pictures do not count here, so neither do rows without one.
  const table = makeTable({ ...found, images: undefined }, { ...options, columns });
  let numCut = 0;
  const rows = table.rows.map((row): Row => {
    const prediction = row[PREDICTION_COLUMN] ?? null;
    if (typeof prediction === 'string' && isFull(prediction)) numCut += 1;
    if (!isMissing(prediction) || prediction === null) return row;
    const copy = Object.assign(Object.create(null) as Record<string, Cell>, row);
    copy[PREDICTION_COLUMN] = null;
    return copy;
  });
  const isExcel = extname(path).toLowerCase() === '.xlsx';
  return { columns: table.columns, rows, path: table.path, numCut: isExcel ? numCut : 0 };
}
