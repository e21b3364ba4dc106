// Owns taking files out of a ZIP archive without ever unpacking more than was announced and allowed; `xlsx.ts`
// calls it.
//
// ours: no library, since those at hand (`fflate`, `adm-zip`) unpack first and ask about sizes never.
import { crc32, inflateRawSync } from 'node:zlib';
import { DataError } from '../../errors.ts';

const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;
const LOCAL_SIGNATURE = 0x04034b50;
const END_BYTES = 22;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_ENTRIES = 10_000;
/** Methods of packing: none, and deflate. */
const [STORED, DEFLATED] = [0, 8];

interface Entry {
  readonly method: number;
  readonly crc: number;
  readonly packedBytes: number;
  readonly sizeBytes: number;
  readonly headerAt: number;
}

/** The files of an archive by name. */
export class ZipArchive {
  readonly #bytes: Buffer;
  readonly #path: string;
  readonly #entries: ReadonlyMap<string, Entry>;
  /** Bytes that may still be unpacked. */
  #allowance: number;

  /**
   * Reads the list of files.
   * @param maxBytes - most bytes that may be unpacked in all.
   * @throws DataError if this is no archive.
   */
  constructor(bytes: Buffer, path: string, maxBytes: number) {
    this.#bytes = bytes;
    this.#path = path;
    this.#allowance = maxBytes;
    try {
      this.#entries = this.#list();
    } catch (error) {
      throw error instanceof RangeError ? this.#damaged('a list of files that ends early') : error;
    }
  }

  #damaged(got: string): DataError {
    return new DataError({
      what: `${this.#path} is damaged, or no XLSX file`,
      got,
      expected: 'a ZIP archive with the parts of an Excel file',
      fix: 'write or get the file again',
    });
  }

  #list(): ReadonlyMap<string, Entry> {
    const bytes = this.#bytes;
    const first = Math.max(0, bytes.length - END_BYTES - MAX_COMMENT_BYTES);
    let end = bytes.length - END_BYTES;
    while (end >= first && bytes.readUInt32LE(end) !== END_SIGNATURE) end--;
    if (end < first) throw this.#damaged('no list of files at its end');
    const numEntries = bytes.readUInt16LE(end + 10);
    if (numEntries > MAX_ENTRIES) throw this.#damaged(`${numEntries} files in it`);
    const entries = new Map<string, Entry>();
    let at = bytes.readUInt32LE(end + 16);
    for (let i = 0; i < numEntries; i++) {
      if (bytes.readUInt32LE(at) !== ENTRY_SIGNATURE) throw this.#damaged('a broken list of files');
      const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((k) =>
        bytes.readUInt16LE(at + k),
      ) as [number, number, number];
      entries.set(bytes.toString('utf8', at + 46, at + 46 + nameBytes), {
        method: bytes.readUInt16LE(at + 10),
        crc: bytes.readUInt32LE(at + 16),
        packedBytes: bytes.readUInt32LE(at + 20),
        sizeBytes: bytes.readUInt32LE(at + 24),
        headerAt: bytes.readUInt32LE(at + 42),
      });
      at += 46 + nameBytes + extraBytes + commentBytes;
    }
    return entries;
  }

  /** Whether there is a file of this name. */
  has(name: string): boolean {
    return this.#entries.has(name);
  }

  /**
   * Unpacks a file.
   * @throws DataError if it is not there, too large, or damaged.
   */
  read(name: string): Buffer {
    const entry = this.#entries.get(name);
    if (entry === undefined) throw this.#damaged(`no part ${name}`);
    const { method, crc, packedBytes, sizeBytes, headerAt } = entry;
    if (sizeBytes > this.#allowance) {
      throw new DataError({
        what: `${this.#path} is too large when it is unpacked`,
        got: `${sizeBytes} bytes for ${name}`,
        expected: `at most ${this.#allowance} bytes`,
        fix: 'write the predictions as TSV, or in several files',
      });
    }
    this.#allowance -= sizeBytes;
    try {
      if (this.#bytes.readUInt32LE(headerAt) !== LOCAL_SIGNATURE) throw new RangeError('header');
      const [nameBytes, extraBytes] = [26, 28].map((k) =>
        this.#bytes.readUInt16LE(headerAt + k),
      ) as [number, number];
      const start = headerAt + 30 + nameBytes + extraBytes;
      const packed = this.#bytes.subarray(start, start + packedBytes);
      const content = this.#unpack(method, packed, sizeBytes);
      if (content.length === sizeBytes && crc32(content) === crc) return content;
    } catch (error) {
      if (error instanceof DataError) throw error;
    }
    throw this.#damaged(`a part ${name} that does not unpack to what was announced`);
  }

  #unpack(method: number, packed: Buffer, sizeBytes: number): Buffer {
    if (method === STORED) return packed;
    // Zero as the limit would mean the default.
    if (method === DEFLATED) {
      return inflateRawSync(packed, { maxOutputLength: Math.max(1, sizeBytes) });
    }
    throw this.#damaged(`a method of packing of number ${method}`);
  }
}
