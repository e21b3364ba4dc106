// Tables that pandas read (tools/reference/pandas_tables.py), and ours beside them.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { typeSheetColumn } from '../../src/benchmark/table/excel-typing.ts';
import { readExcel } from '../../src/benchmark/table/load.ts';
import type { FoundTable, PictureCell } from '../../src/benchmark/table/table.ts';
import { readTsv } from '../../src/benchmark/table/tsv.ts';
import type { Cell } from '../../src/benchmark/types.ts';
import { DataError } from '../../src/errors.ts';

/** What pandas read: columns with their cells, each with its type; or nothing, since it refused. */
interface Expected {
  readonly error?: true;
  readonly columns?: readonly string[];
  readonly cells?: readonly (readonly string[])[];
}

/** A table that is not as pandas has it. */
export interface Difference {
  readonly table: string;
  readonly expected: string;
  readonly got: string;
}

/** What was compared. */
export interface Compared {
  readonly count: number;
  readonly differences: readonly Difference[];
}

function tag(cell: Cell): string {
  if (cell === null) return 'n';
  if (typeof cell === 'string') return `s:${cell}`;
  if (typeof cell === 'bigint') return `i:${cell}`;
  if (typeof cell === 'boolean') return `b:${cell ? 1 : 0}`;
  const bits = Buffer.alloc(8);
  bits.writeDoubleBE(cell);
  return Number.isNaN(cell) ? 'n' : `f:${bits.toString('hex')}`;
}

function untag(text: string): Cell {
  const rest = text.slice(2);
  if (text === 'n') return null;
  if (text.startsWith('s:')) return rest;
  if (text.startsWith('i:')) return BigInt(rest);
  return text.startsWith('b:') ? rest === '1' : Buffer.from(rest, 'hex').readDoubleBE();
}

async function pictureText(cell: PictureCell): Promise<string> {
  if (cell.kind === 'text') return `s:${cell.text}`;
  return cell.kind === 'stored' ? `s:${(await cell.read()).toString('utf8')}` : 'n';
}

/** A table with its pictures as the text they are, in the place the column has in `columns`. */
async function shown(table: FoundTable, columns: readonly string[] = []): Promise<Expected> {
  const names = [...table.columns];
  const cells = table.cells.map((column) => column.map(tag));
  if (table.images !== undefined) {
    const at = Math.max(0, columns.indexOf('image'));
    names.splice(at, 0, 'image');
    cells.splice(at, 0, await Promise.all(table.images.map(pictureText)));
  }
  return { columns: names, cells };
}

function compare(table: string, { error, columns, cells }: Expected, got: Expected): Difference[] {
  const expected = error === true ? { error } : { columns, cells };
  if (JSON.stringify(expected) === JSON.stringify(got)) return [];
  return [{ table, expected: JSON.stringify(expected), got: JSON.stringify(got) }];
}

async function readGolden(folder: string, file: string): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, file), 'utf8')) as unknown;
}

/** Compares what TSV files are read as. */
export async function compareTexts(folder: string): Promise<Compared> {
  const cases = (await readGolden(folder, 'texts.json')) as (Expected & { content: string })[];
  const scratch = await mkdtemp(join(tmpdir(), 'gapvl-tables-'));
  const path = join(scratch, 'table.tsv');
  const differences: Difference[] = [];
  for (const { content, ...expected } of cases) {
    const bytes = Buffer.from(content, 'base64');
    await writeFile(path, bytes);
    const got = await readTsv(path).then(
      (table) => shown(table, expected.columns),
      (error: unknown): Expected => {
        if (error instanceof DataError) return { error: true };
        throw error;
      },
    );
    differences.push(...compare(JSON.stringify(bytes.toString('utf8')), expected, got));
  }
  await rm(scratch, { recursive: true });
  return { count: cases.length, differences };
}

/** Compares the types of columns of Excel files. */
export async function compareSheets(folder: string): Promise<Compared> {
  const sheets = (await readGolden(folder, 'sheets.json')) as {
    raw: string[];
    typed: string[];
  }[][];
  const differences = sheets.flat().flatMap(({ raw, typed }) => {
    const got = { cells: [typeSheetColumn(raw.map(untag)).map(tag)] };
    return compare(JSON.stringify(raw), { cells: [typed] }, got);
  });
  return { count: sheets.flat().length, differences };
}

/** Compares whole Excel files. */
export async function compareFiles(folder: string): Promise<Compared> {
  const files = (await readGolden(folder, 'files.json')) as (Expected & { file: string })[];
  const differences: Difference[] = [];
  for (const { file, ...expected } of files) {
    const got = await shown(await readExcel(join(folder, file)));
    differences.push(...compare(file, expected, got));
  }
  return { count: files.length, differences };
}
