// Owns base64 as Python's `b64decode` reads it: what is not of the alphabet is passed over, the end has to be
// whole; `resolve-images.ts` calls it.
import { isAscii } from 'node:buffer';

const [PLUS, SLASH, EQUALS, ZERO, NINE] = [0x2b, 0x2f, 0x3d, 0x30, 0x39];

function isOfAlphabet(byte: number): boolean {
  // Letters: both cases at once.
  const letter = byte | 0x20;
  return (
    (letter >= 0x61 && letter <= 0x7a) ||
    (byte >= ZERO && byte <= NINE) ||
    byte === PLUS ||
    byte === SLASH
  );
}

/**
 * Bytes from base64.
 * @returns undefined where Python raises an error: text beyond ASCII, an end that is not whole.
 */
export function decodeBase64(text: Uint8Array): Buffer | undefined {
  if (!isAscii(text)) return undefined;
  const plain = Buffer.from(text.buffer, text.byteOffset, text.length).toString('latin1');
  const quick = Buffer.from(plain, 'base64');
  // What becomes the same text again had nothing to pass over: ten times as fast.
  if (quick.toString('base64') === plain) return quick;
  const clean = Buffer.allocUnsafeSlow(text.length);
  let length = 0;
  let padding = 0;
  for (const byte of text) {
    if (isOfAlphabet(byte)) {
      clean[length++] = byte;
      padding = 0;
    } else if (byte === EQUALS && length % 4 >= 2) {
      padding += 1;
      // Padding that completes a group ends the text, whatever follows.
      if ((length % 4) + padding === 4) return fromClean(clean, length);
    }
  }
  return length % 4 === 0 ? fromClean(clean, length) : undefined;
}

function fromClean(clean: Buffer, length: number): Buffer {
  return Buffer.from(clean.toString('latin1', 0, length), 'base64');
}
