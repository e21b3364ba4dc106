// Owns the random weights and prompts of bench/decode.ts: the same for every side, fast to make.

/** Elements of a piece. */
const PIECE = 1 << 20;

function seedOf(name: string): number {
  let hash = 2166136261;
  for (const letter of name) hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619);
  return hash | 1;
}

/** Fills an array with the bits of xorshift32. */
function fill(words: Uint32Array | Int32Array, state: number): number {
  let x = state;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return x;
}

/** Uniform numbers of standard deviation 0.02, in pieces. */
export function* randomFloats(name: string, count: number): Generator<Float32Array> {
  const bits = new Int32Array(Math.min(count, PIECE));
  let state = seedOf(name);
  for (let done = 0; done < count; done += PIECE) {
    const size = Math.min(PIECE, count - done);
    state = fill(bits, state);
    const piece = new Float32Array(size);
    for (let i = 0; i < size; i++) piece[i] = (bits[i] ?? 0) * (0.02 * Math.sqrt(3) * 2 ** -31);
    yield piece;
  }
}

/** Scale of every packed block, exact in f16: codes from 0 to 15 around 8 then deviate by 0.018. */
export const CODE_SCALE = 2 ** -8;

/** Lowest bit of every 4. */
const LOW_BITS = 0x11111111;

/**
 * Codes of packed blocks, 16 bytes each, low bits first. The code 0 becomes 8, the middle, so that
 * numbers have mean zero: with another every token of a random model is the same.
 */
export function* randomCodes(name: string, numBytes: number): Generator<Uint8Array> {
  const words = new Uint32Array(PIECE);
  let state = seedOf(name);
  for (let done = 0; done < numBytes; done += words.byteLength) {
    state = fill(words, state);
    for (let i = 0; i < words.length; i++) {
      const x = words[i] as number;
      const isNonzero = (x | (x >>> 1) | (x >>> 2) | (x >>> 3)) & LOW_BITS;
      words[i] = x | ((isNonzero ^ LOW_BITS) << 3);
    }
    yield new Uint8Array(words.buffer, 0, Math.min(words.byteLength, numBytes - done)).slice();
  }
}

/** Ids of a prompt; the last ids of a vocabulary are special and left out. */
export function randomPrompt(numTokens: number, vocab: number): number[] {
  const words = new Uint32Array(numTokens);
  fill(words, seedOf('prompt'));
  return [...words].map((word) => word % (vocab - 16));
}
