// Owns the header of the safetensors format, as pure bytes; safetensors.ts puts files around it.
import { CheckpointError } from '../errors.ts';
import { isObject, parseJsonObject, show } from './strict-json.ts';
import { ELEMENT_SIZES, showDims, type DType } from './tensor.ts';

/** Source: safetensors format, the longest header a reader accepts. */
export const MAX_HEADER_BYTES = 100_000_000;
/** Source: safetensors format, bytes of the header length before the header. */
export const LENGTH_BYTES = 8;
/** Source: safetensors format, the one key that is not a tensor. */
const METADATA_KEY = '__metadata__';
const FIX = 'get or write the file again; it is damaged or not a safetensors file';

const DTYPE_NAMES: Readonly<Record<DType, string>> = {
  f32: 'F32',
  f64: 'F64',
  f16: 'F16',
  bf16: 'BF16',
  i64: 'I64',
  i32: 'I32',
  u8: 'U8',
  bool: 'BOOL',
};
const DTYPES_BY_NAME: ReadonlyMap<unknown, DType> = new Map(
  Object.entries(DTYPE_NAMES).map(([dtype, name]) => [name, dtype as DType]),
);

/**
 * What is known about dtypes of the format that are not read here; the message says it.
 * Source: safetensors format, its list of dtypes.
 */
const UNREAD_DTYPES: ReadonlyMap<unknown, string> = new Map([
  ...[
    'F8_E4M3',
    'F8_E5M2',
    'F8_E4M3FNUZ',
    'F8_E5M2FNUZ',
    'F8_E8M0',
    'F6_E2M3',
    'F6_E3M2',
    'F4',
  ].map(
    (name) => [name, 'quantized weights; get the checkpoint they were made from (bf16)'] as const,
  ),
  ...['I8', 'I16', 'U16', 'U32', 'U64'].map(
    (name) =>
      [name, 'no weights of this model; get the checkpoint without quantization (bf16)'] as const,
  ),
  ['C64', 'complex numbers, which no weight of this model is'],
]);

/** Where one tensor lies; offsets in bytes from the end of the header. */
export interface TensorInfo {
  readonly dtype: DType;
  readonly dims: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** A parsed header; tensors are in the order of their bytes in the file. */
export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Checks the first eight bytes of a file and gives the length of the header after them.
 * @param place - how messages call the file.
 * @throws CheckpointError when the file is too short for it or the format forbids the length.
 */
export function readHeaderLength(first: Uint8Array, fileBytes: number, place: string): number {
  if (first.byteLength < LENGTH_BYTES || fileBytes < LENGTH_BYTES) {
    throw new CheckpointError({
      what: `${place} is too short for a safetensors file`,
      got: `${String(fileBytes)} bytes`,
      expected: 'an 8-byte header length, a JSON header and the tensors',
      fix: FIX,
    });
  }
  const view = new DataView(first.buffer, first.byteOffset, LENGTH_BYTES);
  const length = view.getBigUint64(0, true);
  if (length < 2n || length > BigInt(MAX_HEADER_BYTES)) {
    throw new CheckpointError({
      what: `${place} states an impossible header length`,
      got: `${String(length)} bytes`,
      expected: `2 to ${String(MAX_HEADER_BYTES)} bytes`,
      fix: FIX,
    });
  }
  if (LENGTH_BYTES + Number(length) > fileBytes) {
    throw new CheckpointError({
      what: `${place} ends within its header`,
      got: `${String(fileBytes)} bytes`,
      expected: `at least ${String(LENGTH_BYTES + Number(length))} bytes`,
      fix: FIX,
    });
  }
  return Number(length);
}

/**
 * Parses and checks a header: valid JSON without duplicate keys, known dtypes, safe integers,
 * dims that fill their bytes, and tensors that cover the data exactly, without holes or overlap.
 * @param dataBytes - bytes of the file after the header.
 * @param place - how messages call the file.
 * @throws CheckpointError naming the file and the tensor.
 */
export function parseHeader(
  header: Uint8Array,
  dataBytes: number,
  place: string,
): SafetensorsHeader {
  const root = parseJsonObject(header, `Header of ${place}`);
  const entries: [string, TensorInfo][] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  for (const [name, value] of Object.entries(root)) {
    if (name === METADATA_KEY) metadata = parseMetadata(value, place);
    else entries.push([name, parseInfo(value, `${show(name)} of ${place}`)]);
  }
  entries.sort(([, left], [, right]) => left.begin - right.begin || left.end - right.end);
  checkCover(entries, dataBytes, place);
  return { tensors: new Map(entries), metadata };
}

function parseMetadata(value: unknown, place: string): ReadonlyMap<string, string> {
  const what = `${METADATA_KEY} of ${place} is not a map of strings`;
  if (!isObject(value)) throw new CheckpointError({ what, got: show(value), fix: FIX });
  const result = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') {
      throw new CheckpointError({ what, got: `${show(key)}: ${show(text)}`, fix: FIX });
    }
    result.set(key, text);
  }
  return result;
}

function parseInfo(value: unknown, label: string): TensorInfo {
  const what = `Tensor ${label}`;
  if (!isObject(value)) {
    throw new CheckpointError({ what: `${what} is not described`, got: show(value), fix: FIX });
  }
  const { dtype: dtypeName, shape, data_offsets: offsets } = value;
  const dtype = DTYPES_BY_NAME.get(dtypeName);
  if (dtype === undefined) {
    throw new CheckpointError({
      what: `${what} has a dtype that cannot be read`,
      got: show(dtypeName),
      expected: Object.values(DTYPE_NAMES).join(', '),
      fix: UNREAD_DTYPES.get(dtypeName) ?? 'store it in one of these dtypes',
    });
  }
  const dims = parseNumbers(shape, `Shape of tensor ${label}`);
  const [begin, end, ...more] = parseNumbers(offsets, `data_offsets of tensor ${label}`);
  if (begin === undefined || end === undefined || more.length > 0 || begin > end) {
    throw new CheckpointError({
      what: `data_offsets of ${what} cannot be used`,
      got: show(offsets),
      expected: '[begin, end] with begin <= end',
      fix: FIX,
    });
  }
  const expected = byteLength(dtype, dims);
  if (end - begin !== expected) {
    throw new CheckpointError({
      what: `${what} does not fill its bytes`,
      got: `${String(end - begin)} bytes`,
      expected: `${String(expected)} bytes for ${dtype} of dims ${show(dims)}`,
      fix: FIX,
    });
  }
  return { dtype, dims, begin, end };
}

/** Bytes of a tensor; NaN once a partial product leaves the safe integers, as a zero may follow. */
function byteLength(dtype: DType, dims: readonly number[]): number {
  let product = ELEMENT_SIZES[dtype];
  for (const dim of dims) {
    product *= dim;
    if (!Number.isSafeInteger(product)) return NaN;
  }
  return product;
}

function parseNumbers(value: unknown, what: string): number[] {
  const list: unknown[] = Array.isArray(value) ? value : [-1];
  return list.map((item) => {
    if (typeof item === 'number' && Number.isSafeInteger(item) && item >= 0) return item;
    throw new CheckpointError({
      what: `${what} cannot be used`,
      got: show(value),
      expected: 'a list of integers from 0 to 2^53 - 1',
      fix: FIX,
    });
  });
}

function checkCover(
  entries: readonly (readonly [string, TensorInfo])[],
  dataBytes: number,
  place: string,
): void {
  let covered = 0;
  let previous = 'the header';
  for (const [name, info] of entries) {
    if (info.begin !== covered) {
      const fault = info.begin < covered ? 'overlaps' : 'leaves a hole after';
      throw new CheckpointError({
        what: `Tensor ${show(name)} of ${place} ${fault} ${previous}`,
        got: `begin ${String(info.begin)}`,
        expected: `begin ${String(covered)}`,
        fix: FIX,
      });
    }
    covered = info.end;
    previous = `tensor ${show(name)}`;
  }
  if (covered === dataBytes) return;
  throw new CheckpointError({
    what: covered > dataBytes ? `${place} is truncated` : `${place} has bytes after its tensors`,
    got: `${String(dataBytes)} bytes of tensors`,
    expected: `${String(covered)} bytes, the last are ${previous}`,
    fix: FIX,
  });
}

/** What a header says about a tensor to be written. */
export interface TensorDescription {
  readonly dtype: DType;
  readonly dims: readonly number[];
}

/** A header ready to be written, and the names in the order their bytes must follow it. */
export interface EncodedHeader {
  /** Header length, header and padding: a multiple of 8 bytes. */
  readonly bytes: Uint8Array;
  readonly names: readonly string[];
}

/**
 * Encodes the header for tensors. The order does not depend on that of the map: wide elements
 * first, so that every tensor starts on an element border, then by name; metadata by key.
 * @throws CheckpointError on the name the format reserves and on a header over its limit.
 */
export function encodeHeader(
  tensors: ReadonlyMap<string, TensorDescription>,
  metadata: ReadonlyMap<string, string>,
): EncodedHeader {
  const sorted = [...tensors].sort(
    ([leftName, left], [rightName, right]) =>
      ELEMENT_SIZES[right.dtype] - ELEMENT_SIZES[left.dtype] || compare(leftName, rightName),
  );
  const fields: string[] = [];
  if (metadata.size > 0) {
    const pairs = [...metadata].sort(([left], [right]) => compare(left, right));
    const strings = pairs.map(([key, text]) => `${JSON.stringify(key)}:${JSON.stringify(text)}`);
    fields.push(`"${METADATA_KEY}":{${strings.join(',')}}`);
  }
  let begin = 0;
  for (const [name, { dtype, dims }] of sorted) {
    if (name === METADATA_KEY) {
      throw new CheckpointError({
        what: `No tensor can be called ${METADATA_KEY}, dims ${showDims(dims)}`,
        fix: 'give it another name',
      });
    }
    const end = begin + byteLength(dtype, dims);
    const info = { dtype: DTYPE_NAMES[dtype], shape: dims, data_offsets: [begin, end] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(info)}`);
    begin = end;
  }
  const json = new TextEncoder().encode(`{${fields.join(',')}}`);
  const length = Math.ceil(json.byteLength / 8) * 8;
  if (length > MAX_HEADER_BYTES) {
    throw new CheckpointError({
      what: 'The safetensors header is too long',
      got: `${String(length)} bytes`,
      expected: `at most ${String(MAX_HEADER_BYTES)} bytes`,
      fix: 'store less text in the metadata',
    });
  }
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, LENGTH_BYTES);
  return { bytes, names: sorted.map(([name]) => name) };
}

function compare(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}
