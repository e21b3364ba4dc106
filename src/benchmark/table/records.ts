// Owns tables made of JSON: lines, lists of records, columns; pictures of lines stay in the file. `load.ts` and
// `predictions.ts` call it.
import { resolve } from 'node:path';
import { DataError } from '../../errors.ts';
import type { Cell } from '../types.ts';
import { readRange, readSmallFile, readThrough } from './file-bytes.ts';
import type { FileState } from './file-bytes.ts';
import { isJsonObject, parsePythonJson } from './python-json.ts';
import type { JsonValue } from './python-json.ts';
import { IMAGE_COLUMN, MAX_REFERENCE_CHARS, shorten } from './table.ts';
import type { FoundTable, LoadOptions, PictureCell } from './table.ts';

/** ours: a picture of 250 MB in base64. */
const MAX_LINE_BYTES = 350_000_000;
/** ours: text without pictures; the longest answers of 10,000 rows are a tenth of it. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;
const MAX_COLUMNS = 4096;
const MAX_PICTURES = 64;
const NEWLINE = 10;

/** A record of a table. */
export type JsonRecord = Readonly<Record<string, JsonValue>>;

function show(value: JsonValue): string {
  return shorten(
    JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `${part}` : part)),
  );
}

/**
 * A value as a cell: the empty text is missing; lists and objects are kept as JSON, which Python reads as a
 * literal, too.
 */
export function cellOf(value: JsonValue | undefined): Cell {
  if (value === undefined || value === null || value === '') return null;
  if (typeof value === 'number' && Number.isNaN(value)) return null;
  if (typeof value !== 'object') return value;
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part !== 'bigint') return part;
    const number = Number(part);
    return Number.isSafeInteger(number) ? number : part.toString();
  });
}

/** Whether a text of a table of one's own is a path: base64 has no full stop, file names have one. */
function isPath(text: string): boolean {
  return text.includes('.') && !text.startsWith('data:') && text.length <= 1000;
}

/** What a text in `image` of a table of one's own stands for. */
export function pictureOfText(text: string, read?: () => Promise<Buffer>): PictureCell {
  if (text === '') return { kind: 'missing' };
  if (isPath(text)) return { kind: 'path', path: text };
  if (Array.from(text.slice(0, 200)).length <= MAX_REFERENCE_CHARS) return { kind: 'text', text };
  const keep = (): Promise<Buffer> => Promise.resolve(Buffer.from(text));
  return { kind: 'stored', sizeBytes: text.length, read: read ?? keep };
}

/** Several pictures as a list; each is a path or base64, whatever its length. */
function pictureOfPart(value: JsonValue, place: string): PictureCell {
  if (typeof value !== 'string' || value === '') throw badPicture(value, place);
  const read = (): Promise<Buffer> => Promise.resolve(Buffer.from(value));
  return isPath(value)
    ? { kind: 'path', path: value }
    : { kind: 'stored', sizeBytes: value.length, read };
}

function badPicture(value: JsonValue, place: string): DataError {
  return new DataError({
    what: `${place}: ${IMAGE_COLUMN} cannot be used`,
    got: show(value),
    expected: `base64, a path, or a list of at most ${MAX_PICTURES} of them`,
    fix: 'correct the record, or take it out',
  });
}

/**
 * What `image` of a record holds.
 * @param again - reads the record once more, so that nothing has to be kept.
 */
function pictureOf(
  value: JsonValue | undefined,
  place: string,
  again?: () => Promise<JsonValue | undefined>,
): PictureCell {
  if (value === undefined || value === null) return { kind: 'missing' };
  if (typeof value === 'bigint') return { kind: 'text', text: value.toString() };
  if (typeof value === 'string') {
    const read = async (): Promise<Buffer> => {
      const found = await again?.();
      return Buffer.from(typeof found === 'string' ? found : '');
    };
    return pictureOfText(value, again && read);
  }
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_PICTURES) {
    throw badPicture(value, place);
  }
  const parts = (list: JsonValue | undefined): readonly PictureCell[] =>
    (list as readonly JsonValue[]).map((one) => pictureOfPart(one, place));
  parts(value);
  if (again === undefined) {
    const kept = parts(value);
    return { kind: 'several', read: () => Promise.resolve(kept) };
  }
  return { kind: 'several', read: async () => parts(await again()) };
}

/** Collects records to columns. */
class Collector {
  readonly columns = new Map<string, Cell[]>();
  readonly images: PictureCell[] = [];
  /** How rows are called: `line 7`. */
  readonly labels: string[] = [];
  #hasImages = false;

  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  add(record: JsonRecord, label: string, again?: () => Promise<JsonValue | undefined>): void {
    const row = this.labels.length;
    const place = `${this.#path}, ${label}`;
    for (const [name, value] of Object.entries(record)) {
      if (name === IMAGE_COLUMN) continue;
      const column = this.columns.get(name) ?? [];
      if (column.length === 0) this.columns.set(name, column);
      while (column.length < row) column.push(null);
      column.push(cellOf(value));
    }
    if (this.columns.size > MAX_COLUMNS) {
      throw new DataError({
        what: `${place}: the table has too many columns`,
        got: `more than ${MAX_COLUMNS} keys`,
        expected: 'the same keys in every record',
      });
    }
    this.#hasImages ||= IMAGE_COLUMN in record;
    this.images.push(pictureOf(record[IMAGE_COLUMN], place, again));
    this.labels.push(label);
  }

  found(md5: string | null): FoundTable {
    const { labels } = this;
    for (const column of this.columns.values()) {
      while (column.length < labels.length) column.push(null);
    }
    return {
      ...{ path: this.#path, md5, numRows: labels.length },
      columns: [...this.columns.keys()],
      cells: [...this.columns.values()],
      images: this.#hasImages ? this.images : undefined,
      placeOf: (row) => labels[row] ?? '',
    };
  }
}

function parseLine(bytes: Buffer, place: string): JsonValue {
  try {
    return parsePythonJson(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new DataError(
      {
        what: `${place}: this is not JSON`,
        got: shorten((error as Error).message),
        expected: 'one JSON object a line, in UTF-8',
        fix: 'correct the line, or get the file again',
      },
      error,
    );
  }
}

function asRecord(value: JsonValue, place: string): JsonRecord {
  if (isJsonObject(value)) return value;
  throw new DataError({
    what: `${place}: this is no record`,
    got: show(value),
    expected: 'a JSON object with the columns as keys',
  });
}

/** Splits bytes into lines with their places in the file. */
class LineSplitter {
  readonly #take: (bytes: Buffer, start: number, line: number) => void;
  readonly #path: string;
  #pieces: Buffer[] = [];
  #numBytes = 0;
  #start = 0;
  #line = 1;

  constructor(path: string, take: (bytes: Buffer, start: number, line: number) => void) {
    this.#path = path;
    this.#take = take;
  }

  push(chunk: Buffer): void {
    let at = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, at)) {
      this.#add(chunk.subarray(at, end));
      this.end();
      at = end + 1;
    }
    this.#add(Buffer.from(chunk.subarray(at)));
  }

  #add(piece: Buffer): void {
    this.#numBytes += piece.length;
    if (this.#numBytes > MAX_LINE_BYTES) {
      throw new DataError({
        what: `${this.#path}:${this.#line}: the line is too long`,
        got: `more than ${MAX_LINE_BYTES} bytes`,
        expected: 'one JSON object a line',
        fix: 'name pictures by path',
      });
    }
    this.#pieces.push(piece);
  }

  end(): void {
    const bytes = Buffer.concat(this.#pieces);
    if (bytes.toString('latin1', 0, 1000).trim() !== '') {
      this.#take(bytes, this.#start, this.#line);
    }
    this.#start += this.#numBytes + 1;
    this.#line += 1;
    this.#pieces = [];
    this.#numBytes = 0;
  }
}

/**
 * Reads JSON lines; pictures are left in the file.
 * @throws DataError naming file and line.
 */
export async function readJsonLines(path: string, options: LoadOptions = {}): Promise<FoundTable> {
  const absolute = resolve(path);
  const collector = new Collector(absolute);
  const file: { state?: FileState } = {};
  const lines = new LineSplitter(absolute, (bytes, start, line) => {
    const place = `${absolute}:${line}`;
    const end = start + bytes.length;
    const again = async (): Promise<JsonValue | undefined> => {
      if (file.state === undefined) return undefined;
      const value = parseLine(await readRange(file.state, start, end), place);
      return asRecord(value, place)[IMAGE_COLUMN];
    };
    collector.add(asRecord(parseLine(bytes, place), place), `line ${line}`, again);
  });
  const read = await readThrough(absolute, (chunk) => lines.push(chunk), options);
  lines.end();
  file.state = read.state;
  return collector.found(read.md5);
}

/** The records in a JSON value: a list of them, columns of lists or by row, or columns and data apart. */
function recordsOf(value: JsonValue, path: string): readonly JsonRecord[] {
  if (Array.isArray(value)) {
    return value.map((one: JsonValue, i) => asRecord(one, `${path}, record ${i}`));
  }
  const table = asRecord(value, path);
  const { columns, data } = table;
  if (Array.isArray(columns) && Array.isArray(data)) {
    const names = columns.map((name: JsonValue) => String(cellOf(name)));
    return data.map((row: JsonValue) => zip(names, Array.isArray(row) ? row : []));
  }
  const names = Object.keys(table);
  const lists = Object.values(table).map((column) => {
    if (Array.isArray(column)) return column as readonly JsonValue[];
    if (isJsonObject(column)) return Object.values(column);
    throw new DataError({
      what: `${path} is no table`,
      got: `an object whose values are no columns: ${show(column)}`,
      expected: 'a list of records, or columns by name',
      fix: 'write it with `to_json(orient="records")`',
    });
  });
  const numRows = lists[0]?.length ?? 0;
  if (lists.some((column) => column.length !== numRows)) {
    throw new DataError({
      what: `${path} is no table`,
      got: 'columns of different lengths',
      expected: 'columns of the same rows',
    });
  }
  return Array.from({ length: numRows }, (_, i) =>
    zip(
      names,
      lists.map((column) => column[i] ?? null),
    ),
  );
}

function zip(names: readonly string[], values: readonly JsonValue[]): JsonRecord {
  const record = Object.create(null) as Record<string, JsonValue>;
  for (const [i, name] of names.entries()) record[name] = values[i] ?? null;
  return record;
}

/**
 * Reads a JSON file: a list of records, or the columns as pandas writes them.
 * @throws DataError naming the file.
 */
export async function readJson(path: string): Promise<FoundTable> {
  const absolute = resolve(path);
  const bytes = await readSmallFile(absolute, MAX_FILE_BYTES);
  const collector = new Collector(absolute);
  for (const [i, record] of recordsOf(parseLine(bytes, absolute), absolute).entries()) {
    collector.add(record, `record ${i}`);
  }
  return collector.found(null);
}
