// Owns seeded damage to safetensors headers and shard indexes; its test and tools/fuzz-headers.ts run it.
import { parseHeader, readHeaderLength } from '../../src/engine/safetensors-header.ts';
import { parseShardIndex } from '../../src/engine/safetensors-index.ts';
import { ELEMENT_SIZES, numElements } from '../../src/engine/tensor.ts';
import { CheckpointError } from '../../src/errors.ts';
import { Rng } from '../../src/rng.ts';

/** Every fault a header or an index can be refused for, by a phrase of its message. */
export const FAULT_KINDS: readonly string[] = [
  ...['is too short', 'impossible header length', 'ends within its header'],
  ...['is not JSON in UTF-8', 'is not a JSON object', 'has a key twice', 'nests too deep'],
  ...['has more values', 'is not a map of strings', 'is not described', 'cannot be read'],
  ...['Shape of tensor', 'data_offsets of', 'does not fill its bytes', 'overlaps'],
  ...['leaves a hole after', 'is truncated', 'has bytes after its tensors'],
  ...['has no weight_map', 'no plain file name'],
];

/** What a fuzzing run found. */
export interface FuzzCounts {
  /** Undamaged files; all of them must be accepted. */
  readonly intact: number;
  readonly accepted: number;
  /** Refusals by their phrase. */
  readonly refused: ReadonlyMap<string, number>;
}

const SIZES: Readonly<Record<string, number>> = { F32: 4, F16: 2, BF16: 2, I64: 8, U8: 1, BOOL: 1 };
const NUMBERS = [
  ...['0', '1', '-1', '-0', '2.5', '1e308', '1e999', 'NaN', 'Infinity', 'null', 'true', '"2"'],
  ...['9007199254740991', '9007199254740993', '4294967296', '18446744073709551616', '[]', '{}'],
];
const DTYPES = ['F8_E4M3', 'F8_E5M2', 'U16', 'I8', 'F128', 'f32', '', '__proto__', 'toString'];
const NAMES = [
  'a',
  'visual.b',
  'é',
  '__proto__',
  'constructor',
  '__metadata__',
  '\\u0061',
  '',
  '0',
];
const TOKENS = ['"', '{', '}', '[', ']', ',', ':', '\\', '\0', '\ufeff', '  ', '8', '24', '-'];
const SHARDS = [
  ...['"../x.safetensors"', '"/etc/x.safetensors"', '"a/b.safetensors"', '"a\\\\b.safetensors"'],
  ...['"C:x.safetensors"', '"x.bin"', '".."', '""', '7', 'null', '{}', '"x\\u0000.safetensors"'],
];

const damages = (rng: Rng, oneIn: number): boolean => rng.int(oneIn) === 0;

interface Sample {
  readonly bytes: Uint8Array;
  readonly intact: boolean;
}

/** A list of numbers as JSON, in a damaged sample perhaps with a wrong one in it. */
function numbersText(numbers: readonly number[], rng: Rng, harm: boolean): string {
  const texts = numbers.map(String);
  if (harm && damages(rng, 6)) {
    const at = rng.int(texts.length + 1);
    texts.splice(at, rng.int(2), rng.pick(NUMBERS));
  }
  return harm && damages(rng, 60) ? rng.pick(NUMBERS) : `[${texts.join(',')}]`;
}

/** Damage to a text whatever it says: words put in, bytes flipped, its end cut off. */
function harmBytes(text: string, rng: Rng): Uint8Array {
  let result = text;
  if (damages(rng, 3)) {
    const at = rng.int(result.length + 1);
    const word = rng.pick([...TOKENS, ...NUMBERS]);
    result = result.slice(0, at) + word + result.slice(at + rng.int(12));
  }
  if (damages(rng, 40)) result = rng.pick([`[${result}]`, ...NUMBERS]);
  // ours: rare, for such a case costs as much as thousands of small ones.
  if (damages(rng, 5000))
    result = rng.pick(['[', '{"a":', '[{"a":']).repeat(1000 + rng.int(100_000));
  if (damages(rng, 20_000)) result = `{"a":[${'0,'.repeat(1 << 22)}[]]}`;
  const bytes = new TextEncoder().encode(result);
  if (damages(rng, 3) && bytes.length > 0) {
    for (let i = rng.int(4); i >= 0; i--) bytes[rng.int(bytes.length)] = rng.int(256);
  }
  return damages(rng, 12) ? bytes.subarray(0, rng.int(bytes.length + 1)) : bytes;
}

function headerSample(rng: Rng): Sample {
  const harm = !damages(rng, 20);
  const fields: string[] = [];
  if (damages(rng, 2)) {
    const value = harm && damages(rng, 8) ? rng.pick(NUMBERS) : '"pt"';
    const map = harm && damages(rng, 20) ? rng.pick(NUMBERS) : `{"format":${value},"k":"\\u00e9"}`;
    fields.push(`"__metadata__":${map}`);
  }
  let begin = 0;
  for (let i = rng.int(5); i >= 0; i--) {
    const dtype = rng.pick(Object.keys(SIZES));
    const dims = Array.from({ length: rng.int(4) }, () => rng.int(5));
    let end = begin + dims.reduce((product, dim) => product * dim, SIZES[dtype] ?? 1);
    const next = end;
    if (harm && damages(rng, 12)) begin += rng.int(9) - 4;
    if (harm && damages(rng, 12)) end += rng.int(9) - 4;
    if (harm && damages(rng, 8)) [begin, end] = [begin + 4, end + 4];
    else if (harm && damages(rng, 8) && begin >= 4) [begin, end] = [begin - 4, end - 4];
    const parts = [
      `"dtype":"${harm && damages(rng, 15) ? rng.pick(DTYPES) : dtype}"`,
      `"shape":${numbersText(dims, rng, harm)}`,
      `"data_offsets":${numbersText([begin, end], rng, harm)}`,
    ];
    if (harm && damages(rng, 20)) parts.splice(rng.int(3), 1, rng.pick(parts));
    const name = harm && damages(rng, 4) ? rng.pick(NAMES) : `w${String(i)}`;
    const value =
      harm && damages(rng, 25) ? rng.pick(NUMBERS) : `{${rng.shuffle(parts).join(',')}}`;
    fields.push(`"${name}":${value}`);
    begin = next;
  }
  const text = `{${rng.shuffle(fields).join(',')}}${' '.repeat(rng.int(8))}`;
  const header = harm && damages(rng, 3) ? harmBytes(text, rng) : new TextEncoder().encode(text);
  const numData = harm && damages(rng, 10) ? rng.int(64) : begin;
  const bytes = new Uint8Array(8 + header.length + numData);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  if (harm && damages(rng, 20)) bytes[rng.int(8)] = rng.int(256);
  const cut = harm && damages(rng, 30) ? rng.int(bytes.length + 1) : bytes.length;
  return { bytes: bytes.subarray(0, cut), intact: !harm };
}

function indexSample(rng: Rng): Sample {
  const harm = !damages(rng, 20);
  const entries = Array.from({ length: 1 + rng.int(4) }, (_, i) => {
    const name = harm && damages(rng, 4) ? rng.pick(NAMES) : `w${String(i)}`;
    const shard = `"model-0000${String(1 + rng.int(2))}-of-00002.safetensors"`;
    return `"${name}":${harm && damages(rng, 8) ? rng.pick(SHARDS) : shard}`;
  });
  const map = harm && damages(rng, 12) ? rng.pick(NUMBERS) : `{${entries.join(',')}}`;
  const text = `{"metadata":{"total_size":${rng.pick(NUMBERS.slice(0, 3))}},"weight_map":${map}}`;
  return {
    bytes: harm && damages(rng, 2) ? harmBytes(text, rng) : new TextEncoder().encode(text),
    intact: !harm,
  };
}

/** Reads as openSafetensors does and checks what an accepted header promises. */
function readHeader(bytes: Uint8Array): void {
  const length = readHeaderLength(bytes.subarray(0, 8), bytes.byteLength, 'f');
  const numData = bytes.byteLength - 8 - length;
  const { tensors, metadata } = parseHeader(bytes.subarray(8, 8 + length), numData, 'f');
  let covered = 0;
  for (const [name, { dtype, dims, begin, end }] of tensors) {
    const size = numElements(dims) * ELEMENT_SIZES[dtype];
    if (begin !== covered || end - begin !== size) throw new Error(`${name} does not fit`);
    covered = end;
  }
  if (covered !== numData) throw new Error('tensors do not cover the data');
  for (const text of metadata.values()) {
    if (typeof text !== 'string') throw new Error('metadata is no text');
  }
}

function readIndex(bytes: Uint8Array): void {
  const fileOf = parseShardIndex(bytes, 'i');
  if (fileOf.size === 0) throw new Error('an index of nothing');
  for (const file of fileOf.values()) {
    const isPlain = file.endsWith('.safetensors') && !/[/\\:\0]/.test(file);
    if (!isPlain) throw new Error(`shard ${file} leads out of the folder`);
  }
}

/**
 * Reads `count` samples, one in twenty undamaged.
 * @throws what is no CheckpointError of a known kind, and when an undamaged sample is refused or an
 * accepted one breaks a promise; the message then has the number of the sample and its text.
 */
export function fuzzFiles(target: 'header' | 'index', count: number, seed: number): FuzzCounts {
  const rng = new Rng(`${target} ${String(seed)}`);
  const refused = new Map<string, number>();
  let [intact, accepted] = [0, 0];
  for (let i = 0; i < count; i++) {
    const sample = target === 'header' ? headerSample(rng) : indexSample(rng);
    if (sample.intact) intact++;
    try {
      (target === 'header' ? readHeader : readIndex)(sample.bytes);
      accepted++;
    } catch (error) {
      const what = error instanceof CheckpointError ? error.parts.what : '';
      const kind = FAULT_KINDS.find((phrase) => what.includes(phrase));
      if (kind === undefined || sample.intact) {
        const text = new TextDecoder().decode(sample.bytes.subarray(0, 2000));
        throw new Error(`sample ${String(i)} of seed ${String(seed)}: ${text}`, { cause: error });
      }
      refused.set(kind, (refused.get(kind) ?? 0) + 1);
    }
  }
  return { intact, accepted, refused };
}
