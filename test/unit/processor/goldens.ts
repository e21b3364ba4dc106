// Reads the golden files beside it: literal outputs of transformers, Pillow and tokenizers.
import { readFileSync } from 'node:fs';

/** Parses data/NAME.json; the caller states its type. */
export function readGolden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`data/${name}.json`, import.meta.url), 'utf8'));
}

/** Bytes of a base64 string. */
export function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

/** Little-endian float32 values of a base64 string. */
export function floatsOf(base64: string): Float32Array {
  return new Float32Array(bytesOf(base64).buffer);
}
