// Owns reading a benchmark's TSV as pandas' `read_csv(sep='\t')` does, in one pass that keeps no picture in
// memory; `load.ts`, `predictions.ts` and running call it.
import { isUtf8 } from 'node:buffer';
import { resolve } from 'node:path';
import { DataError } from '../../errors.ts';
import { BENCHMARKS } from '../benchmarks.ts';
import { isMissingText } from '../missing.ts';
import { FieldSplitter, unquoteField } from './fields.ts';
import { readRange, readThrough } from './file-bytes.ts';
import type { FileState } from './file-bytes.ts';
import { nameColumns } from './column-names.ts';
import { typeColumn } from './pandas-typing.ts';
import { IMAGE_COLUMN, MAX_REFERENCE_CHARS, makeTable, numberRows, shorten } from './table.ts';
import type { BenchmarkTable, FoundTable, LoadOptions, PictureCell } from './table.ts';

const MAX_REFERENCE_BYTES = 4 * MAX_REFERENCE_CHARS;
/** ours: far above any question, and small enough that a file that is no table ends soon. */
const MAX_CELL_BYTES = 1 << 26;
/** ours: a picture of 250 MB in base64. */
const MAX_IMAGE_BYTES = 350_000_000;
const MAX_COLUMNS = 4096;

/** Where a cell of `image` stands in the file; `text` is there for short ones. */
interface ImagePlace {
  readonly start: number;
  readonly end: number;
  readonly text: string | undefined;
}

/** Collects the fields of a table, column by column. */
class TableReader {
  readonly splitter: FieldSplitter;
  columns: readonly string[] = [];
  words: string[][] = [];
  readonly images: ImagePlace[] = [];
  /** Line of each row. */
  readonly lines: number[] = [];
  readonly #path: string;
  #header: string[] | undefined = [];
  #imageAt = -1;
  #column = 0;
  #pieces: Buffer[] = [];
  #numBytes = 0;

  constructor(path: string) {
    this.#path = path;
    this.splitter = new FieldSplitter({
      piece: (bytes) => {
        this.#add(bytes);
      },
      endField: (start, end) => {
        this.#endField(start, end);
      },
      endLine: () => {
        this.#endLine();
      },
    });
  }

  push(chunk: Buffer): void {
    this.splitter.push(chunk);
    // The chunk's memory is used again.
    this.#pieces = this.#pieces.map((piece) => Buffer.from(piece));
  }

  end(): void {
    if (this.splitter.isInsideQuotes) {
      throw new DataError({
        what: `${this.#path} is truncated: it ends inside of a quoted field`,
        got: `a record that begins in line ${this.splitter.recordLine} and does not end`,
        expected: 'a quote at the end of the field',
        fix: 'get the file again',
      });
    }
    this.splitter.end();
    if (this.#header !== undefined) {
      throw new DataError({
        what: `${this.#path} is empty`,
        expected: 'a header and rows, tab-separated',
        fix: 'get the file again',
      });
    }
  }

  #fail(got: string, expected: string, fix: string): never {
    const { recordLine } = this.splitter;
    throw new DataError({
      what: `${this.#path}:${recordLine}: the line cannot be read as a row`,
      ...{ got, expected, fix },
    });
  }

  #add(bytes: Buffer): void {
    this.#numBytes += bytes.length;
    const isImage = this.#column === this.#imageAt;
    if (this.#numBytes > (isImage ? MAX_IMAGE_BYTES : MAX_CELL_BYTES)) {
      const limit = isImage ? MAX_IMAGE_BYTES : MAX_CELL_BYTES;
      this.#fail(
        `more than ${limit} bytes in ${this.#columnText()}`,
        `at most ${limit} bytes a field`,
        'check that the file is a tab-separated table, and whether a quote is missing',
      );
    }
    if (!isImage || this.#numBytes <= MAX_REFERENCE_BYTES) this.#pieces.push(bytes);
    else this.#pieces = [];
  }

  #columnText(): string {
    const name = this.columns[this.#column];
    return `column ${this.#column + 1}${name === undefined ? '' : ` (${shorten(name)})`}`;
  }

  #text(): string {
    const [first] = this.#pieces;
    const bytes = this.#pieces.length === 1 && first ? first : Buffer.concat(this.#pieces);
    if (!isUtf8(bytes) || bytes.includes(0)) {
      this.#fail(
        `${isUtf8(bytes) ? 'a zero byte' : 'bytes that are not UTF-8'} in ${this.#columnText()}`,
        'text in UTF-8',
        'get the file again, or convert it to UTF-8',
      );
    }
    return bytes.toString('utf8');
  }

  #endField(start: number, end: number): void {
    const column = this.#column;
    if (this.#header !== undefined) {
      this.#header.push(this.#text());
      if (column >= MAX_COLUMNS) this.#fail('more', `at most ${MAX_COLUMNS} columns`, 'check it');
    } else if (column >= this.columns.length) {
      this.#fail(
        `more than ${this.columns.length} fields`,
        `${this.columns.length} fields, as in the header`,
        'take the tab out of the field, or wrap the field in quotes',
      );
    } else if (column === this.#imageAt) {
      const text = this.#numBytes <= MAX_REFERENCE_BYTES ? this.#text() : undefined;
      this.images.push({ start, end, text });
    } else {
      this.words[column]?.push(this.#text());
    }
    this.#column += 1;
    this.#pieces = [];
    this.#numBytes = 0;
  }

  #endLine(): void {
    if (this.#header !== undefined) {
      this.columns = nameColumns(this.#header);
      this.#imageAt = this.#header.indexOf(IMAGE_COLUMN);
      if (this.#header.lastIndexOf(IMAGE_COLUMN) !== this.#imageAt) {
        this.#fail(`two columns ${IMAGE_COLUMN}`, 'one of them', 'give one of them another name');
      }
      this.words = this.columns.map(() => []);
      this.#header = undefined;
    } else {
      while (this.#column < this.columns.length) this.#endField(0, 0);
      this.lines.push(this.splitter.recordLine);
    }
    this.#column = 0;
  }
}

function pictureCell(place: ImagePlace, state: FileState): PictureCell {
  const { start, end, text } = place;
  if (text !== undefined) {
    if (isMissingText(text)) return { kind: 'missing' };
    if (Array.from(text).length <= MAX_REFERENCE_CHARS) return { kind: 'text', text };
  }
  return {
    kind: 'stored',
    sizeBytes: end - start,
    read: async () => unquoteField(await readRange(state, start, end)),
  };
}

function checkMd5(path: string, md5: string, options: LoadOptions): void {
  const { name = 'own' } = options;
  const expected = BENCHMARKS[name].md5;
  if (options.md5 === 'ignore' || expected === null || md5 === expected) return;
  throw new DataError({
    what: `${path} is not the published file of ${name}`,
    got: `MD5 ${md5}`,
    expected: `MD5 ${expected}`,
    fix: `get it with \`gapvl evaluate fetch ${name}\`, or ignore the MD5 if the file is changed on purpose`,
  });
}

/** A TSV as it is in the file, types by column; pictures are in the file still. */
export async function readTsv(path: string, options: LoadOptions = {}): Promise<FoundTable> {
  const absolute = resolve(path);
  const reader = new TableReader(absolute);
  const { md5, state } = await readThrough(absolute, (chunk) => reader.push(chunk), options);
  reader.end();
  checkMd5(absolute, md5, options);
  const { columns, words, lines } = reader;
  const texts = columns.map((name, c) => ({ name, words: words[c] ?? [] }));
  const kept = texts.filter(({ name }) => name !== IMAGE_COLUMN);
  return {
    ...{ path: absolute, md5, numRows: lines.length },
    columns: kept.map(({ name }) => name),
    cells: kept.map((column) => typeColumn(column.words)),
    images: columns.includes(IMAGE_COLUMN)
      ? reader.images.map((place) => pictureCell(place, state))
      : undefined,
    placeOf: (row) => `line ${lines[row] ?? 0}`,
  };
}

/**
 * Reads a benchmark's TSV, or one of one's own, without its pictures; types by column as pandas has
 * them.
 * @throws DataError for a wrong MD5, a truncated file, text that is not UTF-8, a line of too many fields,
 * a missing column, an index that occurs twice, a file without rows.
 */
export async function loadTsv(path: string, options: LoadOptions = {}): Promise<BenchmarkTable> {
  const found = await readTsv(path, options);
  return makeTable((options.name ?? 'own') === 'own' ? numberRows(found) : found, options);
}
