// Owns seeded randomness; everything random in gapvl takes an Rng as an argument.

/** 32-bit FNV-1a hash of a string, used to derive independent streams from labels. */
export function hashString(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

function splitmix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
}

/** The whole state of an Rng, JSON-printable, so that a resumed run continues bit for bit. */
export type RngState = readonly [number, number, number, number];

/** Seeded generator (xoshiro128**, Blackman and Vigna 2018); same seed, same sequence, any machine. */
export class Rng {
  private a: number;
  private b: number;
  private c: number;
  private d: number;

  /** @param seed - any number or label; labels are hashed. */
  constructor(seed: number | string) {
    const next = splitmix32(typeof seed === 'string' ? hashString(seed) : seed);
    this.a = next();
    this.b = next();
    this.c = next();
    this.d = next();
  }

  /** Next 32 random bits as an unsigned integer. */
  nextUint32(): number {
    const scaled = Math.imul(this.b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9) >>> 0;
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = (this.d << 11) | (this.d >>> 21);
    return result;
  }

  /** Uniform in [0, 1) with 53 random bits. */
  uniform(): number {
    const high = this.nextUint32() >>> 5;
    const low = this.nextUint32() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }

  /** Uniform integer in [0, bound); bound is at most 2^32. Unbiased by rejection. */
  int(bound: number): number {
    const limit = 4294967296 - (4294967296 % bound);
    let value = this.nextUint32();
    while (value >= limit) value = this.nextUint32();
    return value % bound;
  }

  /** Standard normal by Box-Muller (the second value is dropped so that state is four words). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** One element of a non-empty list, uniformly. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.int(items.length)];
    if (item === undefined) throw new RangeError('Rng.pick needs a non-empty list');
    return item;
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const copy = items.slice();
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [copy[i], copy[j]] = [copy[j] as T, copy[i] as T];
    }
    return copy;
  }

  /** An independent generator for a named purpose; does not advance this one. */
  fork(label: string): Rng {
    const child = new Rng(0);
    const next = splitmix32(hashString(`${this.a},${this.b},${this.c},${this.d}/${label}`));
    child.restore([next(), next(), next(), next()]);
    return child;
  }

  /** The state to store in a checkpoint. */
  state(): RngState {
    return [this.a, this.b, this.c, this.d];
  }

  /** Continues from a stored state. */
  restore(state: RngState): void {
    [this.a, this.b, this.c, this.d] = state;
  }
}
