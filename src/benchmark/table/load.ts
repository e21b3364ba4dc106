// Owns choosing the reader of a table by the name of its file; running and scoring call it.
import { extname, join, resolve } from 'node:path';
import { EXAMPLES_FILE, loadDataset } from '../../data/dataset.ts';
import { DataError } from '../../errors.ts';
import { isFolder } from './file-bytes.ts';
import { nameColumns } from './column-names.ts';
import { typeSheetColumn } from './excel-typing.ts';
import { readParquet } from './parquet.ts';
import { readJson, readJsonLines } from './records.ts';
import { makeTable, numberRows } from './table.ts';
import type { BenchmarkTable, FoundTable, LoadOptions } from './table.ts';
import { loadTsv } from './tsv.ts';
import { readSheet } from './xlsx.ts';

/** The first sheet of an Excel file, types by column as pandas has them. */
export async function readExcel(path: string): Promise<FoundTable> {
  const [header = [], ...rows] = await readSheet(path);
  const columns = nameColumns(header.map((name) => String(name ?? '')));
  return {
    ...{ path: resolve(path), md5: null, columns, numRows: rows.length, images: undefined },
    cells: columns.map((_, c) => typeSheetColumn(rows.map((row) => row[c] ?? null))),
    placeOf: (row) => `row ${row + 2}`,
  };
}

/** A dataset folder as `gapvl data generate` makes it: its examples as rows, `task` as category. */
async function readDatasetFolder(folder: string): Promise<FoundTable> {
  const examples = await loadDataset(folder);
  const columns = ['index', 'question', 'answer', 'category', 'split'];
  return {
    ...{ path: join(resolve(folder), EXAMPLES_FILE), md5: null, columns },
    numRows: examples.length,
    cells: [
      examples.map(({ id }) => id),
      examples.map(({ question }) => question),
      examples.map(({ answer }) => answer),
      examples.map(({ task }) => task ?? null),
      examples.map(({ split }) => split ?? null),
    ],
    images: examples.map(({ image }) => ({ kind: 'path', path: image })),
    placeOf: (row) => `example ${row}`,
  };
}

/**
 * Reads a table: `.tsv` as pandas does; `.jsonl`, `.json`, `.parquet`, `.xlsx`, or a dataset folder, for one's
 * own. Columns of one's own: `question`, `answer`, perhaps `index`, `A`, `B`, .., `category`, and the picture
 * as base64, path or bytes in `image`, or as a path in `image_path`.
 * @throws DataError naming the file and the place in it.
 */
export async function loadTable(path: string, options: LoadOptions = {}): Promise<BenchmarkTable> {
  const own = async (reading: Promise<FoundTable>): Promise<BenchmarkTable> =>
    makeTable(numberRows(await reading), options);
  if (await isFolder(path)) return own(readDatasetFolder(path));
  switch (extname(path).toLowerCase()) {
    case '.tsv':
      return loadTsv(path, options);
    case '.jsonl':
      return own(readJsonLines(path, options));
    case '.json':
      return own(readJson(path));
    case '.parquet':
      return own(readParquet(path, options));
    case '.xlsx':
      return own(readExcel(path));
    default:
      throw unknownFormat(path, '.tsv, .jsonl, .json, .parquet, .xlsx, or a dataset folder');
  }
}

/** The error for a file of a name that says nothing. */
export function unknownFormat(path: string, expected: string): DataError {
  return new DataError({
    what: `${path} has a format that is not known by its name`,
    got: extname(path) === '' ? 'a name without extension' : extname(path),
    expected,
    fix: 'give the file the extension of its format, or convert it',
  });
}
