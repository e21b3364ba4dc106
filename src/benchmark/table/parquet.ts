// Owns tables in Parquet files, read through `hyparquet` after every size in them was checked; pictures are
// read a group of rows at a time, when they are asked for. `load.ts` calls it.
import { resolve } from 'node:path';
import { parquetMetadataAsync, parquetReadObjects, parquetSchema } from 'hyparquet';
import type { AsyncBuffer, ColumnMetaData, Compressors, FileMetaData } from 'hyparquet';
import { getTreePath } from 'hyparquet/src/schema.js';
import { compressors } from 'hyparquet-compressors';
import { DataError } from '../../errors.ts';
import type { Cell } from '../types.ts';
import { openFile, readRange } from './file-bytes.ts';
import type { FileState } from './file-bytes.ts';
import { cellOf, pictureOfText } from './records.ts';
import { checkPages } from './parquet-pages.ts';
import type { JsonValue } from './python-json.ts';
import { IMAGE_COLUMN, shorten } from './table.ts';
import type { FoundTable, LoadOptions, PictureCell } from './table.ts';
import { zstdBound } from './zstd-size.ts';

/** ours: bounds of what is read at once, far above any set of questions. */
const MAX_ROWS = 2_000_000;
const MAX_GROUP_VALUES = 4_000_000;
const MAX_FOOTER_BYTES = 64 << 20;
const MAX_CHUNK_BYTES = 1 << 30;
/** Text in memory; a dictionary makes many cells of few bytes. */
const MAX_TEXT_BYTES = 1 << 28;
const MAX_PICTURES = 64;
/** A group of rows whose pictures are kept for the next row. */
const MAX_KEPT_BYTES = 256 << 20;

type SchemaPath = ReturnType<typeof getTreePath>;

type Values = Readonly<Record<string, unknown>>;

/** A Parquet file whose sizes are believed only after a look. */
class ParquetFile {
  readonly path: string;
  readonly #state: FileState;
  readonly #file: AsyncBuffer;
  #metadata: FileMetaData | undefined;
  /** Groups whose pictures were checked. */
  readonly #checked = new Set<number>();
  #kept: { readonly group: number; readonly rows: Promise<readonly Values[]> } | undefined;

  constructor(state: FileState) {
    this.path = state.path;
    this.#state = state;
    this.#file = {
      byteLength: state.sizeBytes,
      slice: (start, end = state.sizeBytes) => {
        const bytes = this.#read(start, end);
        // The library reads ahead, and may never look at what it got.
        bytes.catch(() => undefined);
        return bytes;
      },
    };
  }

  fail(got: string, cause?: unknown): DataError {
    return new DataError(
      {
        what: `${this.path} cannot be read as a Parquet file`,
        got: shorten(got),
        expected: 'a Parquet file of at most 1 GiB a column in a row group',
        fix: 'write it again with smaller row groups, or as JSON lines',
      },
      cause,
    );
  }

  async #read(start: number, end: number): Promise<ArrayBuffer> {
    const isInside = start >= 0 && start <= end && end <= this.#state.sizeBytes;
    if (!isInside || end - start > MAX_CHUNK_BYTES) throw this.fail('a part out of bounds');
    const bytes = await readRange(this.#state, start, end);
    return bytes.buffer as ArrayBuffer;
  }

  /** Errors of the library in our words. */
  async #guard<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw error instanceof DataError ? error : this.fail((error as Error).message, error);
    }
  }

  async metadata(): Promise<FileMetaData> {
    if (this.#metadata !== undefined) return this.#metadata;
    const { sizeBytes } = this.#state;
    const tail = new DataView(await this.#read(Math.max(0, sizeBytes - 8), sizeBytes));
    if (tail.byteLength < 8 || tail.getUint32(0, true) > MAX_FOOTER_BYTES) {
      throw this.fail('no footer, or one that is too large');
    }
    const found = await this.#guard(() => parquetMetadataAsync(this.#file, { geoparquet: false }));
    const numRows = found.row_groups.reduce((sum, group) => sum + Number(group.num_rows), 0);
    if (Number(found.num_rows) !== numRows || numRows > MAX_ROWS) {
      throw this.fail(`${found.num_rows} rows`);
    }
    // The library would throw in the middle, and leave promises behind that nobody looks at.
    await this.#guard(() => Promise.resolve().then(() => checkPaths(found)));
    this.#metadata = found;
    return found;
  }

  /** Looks at all pages of a column, since what they claim is what is allocated. */
  async #checkChunk(chunk: ColumnMetaData, schemaPath: SchemaPath): Promise<number> {
    // As the library plans it: an offset of 0 is none.
    const start = Number(chunk.dictionary_page_offset || chunk.data_page_offset);
    const buffer = await this.#read(start, start + Number(chunk.total_compressed_size));
    const bounds = { maxValues: MAX_GROUP_VALUES, maxBytes: MAX_CHUNK_BYTES };
    return checkPages(buffer, { chunk, schemaPath, compressors: BOUNDED, ...bounds });
  }

  /** Checks the columns of a group whose name is accepted. @returns their bytes when they are unpacked. */
  async #checkGroup(group: number, accepts: (column: string) => boolean): Promise<number> {
    const metadata = await this.metadata();
    const tree = parquetSchema(metadata);
    let numBytes = 0;
    for (const { meta_data: chunk } of metadata.row_groups[group]?.columns ?? []) {
      if (chunk === undefined || !accepts(chunk.path_in_schema[0] ?? '')) continue;
      numBytes += await this.#checkChunk(chunk, getTreePath(tree, chunk.path_in_schema));
    }
    return numBytes;
  }

  /** Rows of some columns. */
  async read(columns: readonly string[], rowStart: number, rowEnd: number) {
    const metadata = await this.metadata();
    return this.#guard(() =>
      parquetReadObjects({
        file: this.#file,
        metadata,
        columns: [...columns],
        ...{ rowStart, rowEnd, compressors: BOUNDED },
        utf8: false,
        geoparquet: false,
        parsers: { stringFromBytes: decodeText, jsonFromBytes: decodeText },
      }),
    );
  }

  /** All rows of the columns that are no pictures. */
  async readTexts(columns: readonly string[]): Promise<readonly Values[]> {
    const { row_groups, num_rows } = await this.metadata();
    let numBytes = 0;
    for (const group of row_groups.keys()) {
      numBytes += await this.#guard(() =>
        this.#checkGroup(group, (name) => columns.includes(name)),
      );
    }
    if (numBytes > MAX_TEXT_BYTES) throw this.fail(`${numBytes} bytes of text`);
    return columns.length === 0 ? [] : this.read(columns, 0, Number(num_rows));
  }

  /** What `image` of a row holds. */
  async readPicture(row: number): Promise<unknown> {
    const { row_groups } = await this.metadata();
    let start = 0;
    let group = 0;
    while (row >= start + Number(row_groups[group]?.num_rows ?? Infinity)) {
      start += Number(row_groups[group]?.num_rows ?? 0);
      group += 1;
    }
    if (this.#kept?.group === group) return (await this.#kept.rows)[row - start]?.[IMAGE_COLUMN];
    const isImage = (name: string): boolean => name === IMAGE_COLUMN;
    const numBytes = this.#checked.has(group)
      ? Infinity
      : await this.#guard(() => this.#checkGroup(group, isImage));
    if (numBytes > MAX_KEPT_BYTES) {
      this.#checked.add(group);
      return (await this.read([IMAGE_COLUMN], row, row + 1))[0]?.[IMAGE_COLUMN];
    }
    const end = start + Number(row_groups[group]?.num_rows ?? 0);
    const rows = this.read([IMAGE_COLUMN], start, end);
    this.#kept = { group, rows };
    return (await rows)[row - start]?.[IMAGE_COLUMN];
  }
}

/** Makes sure that the columns of all row groups are in the schema. */
function checkPaths(metadata: FileMetaData): void {
  const tree = parquetSchema(metadata);
  for (const { columns } of metadata.row_groups) {
    for (const { meta_data: chunk } of columns) {
      if (chunk === undefined) throw new Error('a column in another file');
      getTreePath(tree, chunk.path_in_schema);
    }
  }
}

const decoder = new TextDecoder('utf-8', { fatal: true });

function decodeText(bytes: Uint8Array | undefined): string | undefined {
  return bytes && decoder.decode(bytes);
}

/** Unpackers that refuse a size no page was checked for. */
const BOUNDED: Compressors = Object.fromEntries(
  Object.entries(compressors).map(([name, unpack]) => [
    name,
    (input: Uint8Array, outputLength: number): Uint8Array => {
      // The unpacker of Zstandard alone does not mind the length it is told.
      const bound = name === 'ZSTD' ? zstdBound(input) : 0;
      if (outputLength > MAX_CHUNK_BYTES || bound > 2 * MAX_CHUNK_BYTES) {
        throw new Error(`a page of ${Math.max(bound, outputLength)} bytes`);
      }
      return unpack(input, outputLength);
    },
  ]),
);

/** A value as JSON would have it. */
function jsonOf(value: unknown): JsonValue {
  if (value === undefined || value === null) return null;
  if (value instanceof Uint8Array) return decoder.decode(value);
  if (value instanceof Date) return value.toISOString();
  if (Array.isArray(value)) return value.map(jsonOf);
  if (typeof value === 'object') {
    const object = Object.create(null) as Record<string, JsonValue>;
    for (const [key, part] of Object.entries(value)) object[key] = jsonOf(part);
    return object;
  }
  return value as JsonValue;
}

/** Columns of integers of 32 bits, which the library gives as doubles. */
function wholeColumns({ schema }: FileMetaData): ReadonlySet<string> {
  const isWhole = (element: FileMetaData['schema'][number]): boolean =>
    element.type === 'INT32' &&
    element.converted_type !== 'DECIMAL' &&
    element.logical_type?.type !== 'DECIMAL';
  return new Set(schema.filter(isWhole).map(({ name }) => name));
}

function pictureOfValue(value: unknown, file: ParquetFile): PictureCell {
  if (value instanceof Uint8Array) {
    return { kind: 'encoded', read: () => Promise.resolve(value) };
  }
  if (typeof value === 'string') return pictureOfText(value);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const { bytes, path } = value as Values;
    if (bytes instanceof Uint8Array) return pictureOfValue(bytes, file);
    const text = path instanceof Uint8Array ? decodeText(path) : path;
    if (typeof text === 'string' && text !== '') return { kind: 'path', path: text };
  }
  throw file.fail(`${IMAGE_COLUMN} holds something else than a picture`);
}

/** The picture of a row; which it is shows when it is asked for, but whether there is one is known. */
function pictureCell(row: number, file: ParquetFile): PictureCell {
  return {
    kind: 'several',
    read: async () => {
      const value = await file.readPicture(row);
      if (value === null || value === undefined) {
        throw new DataError({
          what: `${file.path}: row ${row} has no picture`,
          got: `nothing in ${IMAGE_COLUMN}`,
          expected: 'bytes, base64 or a path',
          fix: 'take the row out',
        });
      }
      const values: readonly unknown[] = Array.isArray(value) ? value : [value];
      if (values.length === 0 || values.length > MAX_PICTURES) {
        throw file.fail(`a list of ${values.length} pictures in row ${row}`);
      }
      return values.map((one) => pictureOfValue(one, file));
    },
  };
}

/**
 * Reads a Parquet file; pictures (bytes, structs of bytes and path, base64, paths, lists of these) are left in
 * it.
 * @throws DataError naming the file, for sizes out of bounds, too.
 */
export async function readParquet(path: string, options: LoadOptions = {}): Promise<FoundTable> {
  const { handle, state } = await openFile(resolve(path));
  await handle.close();
  options.signal?.throwIfAborted();
  const file = new ParquetFile(state);
  const metadata = await file.metadata();
  const names = parquetSchema(metadata).children.map(({ element }) => element.name);
  if (names.includes('__proto__')) throw file.fail('a column __proto__');
  const columns = names.filter((name) => name !== IMAGE_COLUMN);
  const wholes = wholeColumns(metadata);
  const rows = await file.readTexts(columns);
  const numRows = Number(metadata.num_rows);
  let numChars = 0;
  const cell = (value: unknown, name: string): Cell => {
    if (wholes.has(name) && Number.isInteger(value)) return BigInt(value as number);
    const found = cellOf(jsonOf(value));
    if (typeof found === 'string') numChars += found.length;
    if (numChars > MAX_TEXT_BYTES)
      throw file.fail(`more than ${MAX_TEXT_BYTES} characters of text`);
    return found;
  };
  return {
    ...{ path: state.path, md5: null, columns, numRows },
    cells: columns.map((name) => rows.map((row) => cell(row[name], name))),
    images: names.includes(IMAGE_COLUMN)
      ? Array.from({ length: numRows }, (_, row) => pictureCell(row, file))
      : undefined,
    placeOf: (row) => `row ${row}`,
  };
}
