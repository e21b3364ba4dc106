// Owns how large a Zstandard stream can become, read from its headers alone; `parquet.ts` asks before it unpacks.
// Source: RFC 8878, 3.1.

const MAGIC = 0xfd2fb528;
/** Frames to be passed over: the last digit is free. */
const SKIPPABLE = 0x184d2a50;
const MAX_BLOCK_BYTES = 1 << 17;
const [RAW, RUN, COMPRESSED] = [0, 1, 2];

/**
 * Most bytes a stream unpacks to, and that its windows take meanwhile.
 * @throws RangeError where it ends early, Error where it is no stream.
 */
export function zstdBound(input: Uint8Array): number {
  const bytes = Buffer.from(input.buffer, input.byteOffset, input.byteLength);
  let bound = 0;
  let at = 0;
  while (at < bytes.length) {
    const magic = bytes.readUInt32LE(at);
    at += 4;
    if ((magic & ~0xf) >>> 0 === SKIPPABLE) {
      at += 4 + bytes.readUInt32LE(at);
      continue;
    }
    if (magic !== MAGIC) throw new Error('no Zstandard stream');
    const descriptor = bytes.readUInt8(at);
    at += 1;
    const isSingle = (descriptor & 0x20) !== 0;
    if (!isSingle) bound += windowBytes(bytes.readUInt8(at));
    if (!isSingle) at += 1;
    at += [0, 1, 2, 4][descriptor & 3] ?? 0;
    const sizeFlag = descriptor >> 6;
    if (isSingle) bound += contentBytes(bytes, at, sizeFlag);
    at += [isSingle ? 1 : 0, 2, 4, 8][sizeFlag] ?? 0;
    for (let isLast = false; !isLast;) {
      const header = bytes.readUIntLE(at, 3);
      const [type, size] = [(header >> 1) & 3, header >> 3];
      isLast = (header & 1) === 1;
      if (![RAW, RUN, COMPRESSED].includes(type)) throw new Error('a block of no known type');
      bound += type === COMPRESSED ? MAX_BLOCK_BYTES : size;
      at += 3 + (type === RUN ? 1 : size);
    }
    if ((descriptor & 4) !== 0) at += 4;
  }
  return bound;
}

function windowBytes(byte: number): number {
  const base = 2 ** (10 + (byte >> 3));
  return base + (base / 8) * (byte & 7);
}

/** Size of the content of a frame, which is the size of its window, too. */
function contentBytes(bytes: Buffer, at: number, sizeFlag: number): number {
  if (sizeFlag === 0) return bytes.readUInt8(at);
  if (sizeFlag === 1) return bytes.readUInt16LE(at) + 256;
  return sizeFlag === 2 ? bytes.readUInt32LE(at) : Number(bytes.readBigUInt64LE(at));
}
