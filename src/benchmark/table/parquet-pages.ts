// Owns a look at the pages of a Parquet column before `hyparquet` reads them: its decoders write as many values
// as a run claims to have, so every run has to stay inside of its page; `parquet.ts` calls it.
import type { ColumnMetaData, Compressors } from 'hyparquet';
import { parquetHeader } from 'hyparquet/src/column.js';
import { decompressPage } from 'hyparquet/src/datapage.js';
import { getMaxDefinitionLevel, getMaxRepetitionLevel } from 'hyparquet/src/schema.js';
import { readVarInt } from 'hyparquet/src/thrift.js';

type PageHeader = ReturnType<typeof parquetHeader>;
type SchemaPath = Parameters<typeof getMaxDefinitionLevel>[0];

/** Encodings whose memory is bounded by the runs and lengths that are looked at here. */
const ENCODINGS = ['PLAIN', 'PLAIN_DICTIONARY', 'RLE_DICTIONARY', 'RLE'];
/** Values of a group of packed bits; the last group of a page may reach beyond its end. */
const GROUP = 8;

/** What is looked at of a column. */
export interface PagesOptions {
  readonly chunk: ColumnMetaData;
  readonly schemaPath: SchemaPath;
  readonly compressors: Compressors;
  /** Most values and unpacked bytes of the column chunk. */
  readonly maxValues: number;
  readonly maxBytes: number;
}

interface Reader {
  readonly view: DataView;
  offset: number;
}

function readerOf(bytes: Uint8Array): Reader {
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
}

function bitWidth(level: number): number {
  return 32 - Math.clz32(level);
}

/** Counts a value among packed bits. */
function countPacked(
  reader: Reader,
  start: number,
  width: number,
  num: number,
  value: number,
): number {
  let count = 0;
  for (let i = 0; i < num; i++) {
    let found = 0;
    for (let bit = 0; bit < width; bit++) {
      const at = i * width + bit;
      found |= ((reader.view.getUint8(start + (at >> 3)) >> (at & 7)) & 1) << bit;
    }
    if (found === value) count += 1;
  }
  return count;
}

/**
 * Walks through runs of values.
 * @param counted - a value to count.
 * @returns how often it occurs.
 * @throws Error for a run that has more values than the page.
 */
function walkRuns(reader: Reader, width: number, numValues: number, counted = -1): number {
  const runBytes = (width + 7) >> 3;
  let count = 0;
  for (let seen = 0; seen < numValues;) {
    const header = readVarInt(reader);
    const isPacked = (header & 1) === 1;
    const length = isPacked ? (header >>> 1) * GROUP : header >>> 1;
    const most = numValues - seen + (isPacked ? GROUP - 1 : 0);
    if (length === 0 || length > most) throw new Error(`a run of ${length} values`);
    const used = Math.min(length, numValues - seen);
    if (isPacked) {
      const bytes = (length / GROUP) * width;
      if (counted >= 0) count += countPacked(reader, reader.offset, width, used, counted);
      reader.offset += bytes;
    } else {
      let value = 0;
      for (let i = 0; i < runBytes; i++) value |= reader.view.getUint8(reader.offset++) << (8 * i);
      if (value === counted) count += used;
    }
    seen += used;
  }
  return count;
}

/** Walks through runs behind their length in bytes. */
function walkPrefixed(reader: Reader, width: number, numValues: number, counted?: number): number {
  const length = reader.view.getUint32(reader.offset, true);
  reader.offset += 4;
  const start = reader.offset;
  const count = walkRuns(reader, width, numValues, counted);
  reader.offset = start + length;
  return count;
}

function walkValues(
  reader: Reader,
  { encoding, type }: { readonly encoding: string; readonly type: string },
  numValues: number,
): void {
  if (encoding === 'PLAIN') return;
  if (type === 'BOOLEAN') walkPrefixed(reader, 1, numValues);
  else if (numValues > 0) {
    const width = reader.view.getUint8(reader.offset++);
    if (width > 32) throw new Error(`values of ${width} bits`);
    if (width > 0) walkRuns(reader, width, numValues);
  }
}

function checkDataPage(bytes: Uint8Array, header: PageHeader, options: PagesOptions): void {
  const { chunk, schemaPath, compressors } = options;
  const { type, codec } = chunk;
  const [repetition, definition] = [
    getMaxRepetitionLevel(schemaPath),
    getMaxDefinitionLevel(schemaPath),
  ];
  const { data_page_header: one, data_page_header_v2: two } = header;
  const encoding = String((one ?? two)?.encoding);
  if (!ENCODINGS.includes(encoding)) throw new Error(`the encoding ${encoding}`);
  const size = header.uncompressed_page_size;
  if (one !== undefined) {
    const { num_values: numValues } = one;
    const reader = readerOf(decompressPage(bytes, size, codec, compressors));
    if (repetition > 0) walkPrefixed(reader, bitWidth(repetition), numValues);
    const numThere =
      definition > 0
        ? walkPrefixed(reader, bitWidth(definition), numValues, definition)
        : numValues;
    walkValues(reader, { encoding, type }, numThere);
  } else if (two !== undefined) {
    const { num_values: numValues, num_nulls: numNulls } = two;
    const [repetitionBytes, definitionBytes] = [
      two.repetition_levels_byte_length,
      two.definition_levels_byte_length,
    ];
    const levels = repetitionBytes + definitionBytes;
    const isSound = repetitionBytes >= 0 && definitionBytes >= 0 && levels <= size;
    if (!isSound || numNulls > numValues) throw new Error('a page of wrong sizes');
    if (repetition > 0) walkRuns(readerOf(bytes), bitWidth(repetition), numValues);
    const reader = readerOf(bytes.subarray(repetitionBytes));
    if (definition > 0) walkRuns(reader, bitWidth(definition), numValues);
    const packed = bytes.subarray(levels);
    const isPacked = two.is_compressed !== false;
    const page = isPacked ? decompressPage(packed, size - levels, codec, compressors) : packed;
    walkValues(readerOf(page), { encoding, type }, numValues - numNulls);
  }
}

/** The counts a header claims, all of which are allocated. */
function countsOf(header: PageHeader): readonly number[] {
  const { dictionary_page_header, data_page_header, data_page_header_v2: two } = header;
  const page = dictionary_page_header ?? data_page_header ?? two;
  return [page?.num_values ?? 0, two?.num_nulls ?? 0, two?.num_rows ?? 0];
}

/**
 * Looks at all pages of a column chunk.
 * @returns bytes of the pages when they are unpacked.
 * @throws Error saying what is out of bounds.
 */
export function checkPages(buffer: ArrayBuffer, options: PagesOptions): number {
  const reader = { view: new DataView(buffer), offset: 0 };
  let [numValues, numBytes] = [0, 0];
  while (reader.offset < buffer.byteLength - 1) {
    const header = parquetHeader(reader);
    const size = header.compressed_page_size;
    const counts = countsOf(header);
    const numbers = [size, header.uncompressed_page_size, ...counts];
    if (numbers.some((number) => !Number.isInteger(number) || number < 0)) {
      throw new Error('a page of no size');
    }
    numValues += Math.max(...counts);
    numBytes += header.uncompressed_page_size;
    if (numValues > options.maxValues || numBytes > options.maxBytes) {
      throw new Error(`${numValues} values of ${numBytes} bytes in a row group`);
    }
    const bytes = new Uint8Array(buffer, reader.offset, size);
    if (header.type !== 'DICTIONARY_PAGE') checkDataPage(bytes, header, options);
    reader.offset += size;
  }
  return numBytes;
}
