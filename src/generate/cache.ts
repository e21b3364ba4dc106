// Owns the key-value cache of a batch: memory that grows with its rows; decoder.ts fills it.
// Axes: B rows, T new tokens, S capacity, J key heads, E head size.
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { TextConfig } from '../model/config.ts';

/** Capacities are multiples of this, so that few shapes occur. ours. */
const CAPACITY_STEP = 64;
/** A full cache grows by at least this share, so that copies are rare. ours. */
const GROWTH = 0.25;

/** Tokens of a row from the first to before the second, in the order in which they were read. */
export type HiddenSlots = readonly [from: number, to: number];

type CacheShape = Pick<TextConfig, 'numLayers' | 'numKvHeads' | 'headSize'>;

/** Keys and values [B, J, S, E] of every layer; row b holds its first `lengths[b]` tokens. */
export class KeyValueCache {
  readonly batch: number;
  readonly lengths: Int32Array;
  private readonly shape: CacheShape;
  private readonly memory = new Map<string, Float32Array>();
  /** An empty cache has one slot, unseen: WebGPU crashes on tensors without elements. */
  private capacity = 1;

  constructor(shape: CacheShape, batch: number) {
    this.shape = shape;
    this.batch = batch;
    this.lengths = new Int32Array(batch);
    for (let layer = 0; layer < shape.numLayers; layer++) {
      for (const kind of ['key', 'value'])
        this.memory.set(
          `${kind}.${layer}`,
          new Float32Array(batch * shape.numKvHeads * shape.headSize),
        );
    }
  }

  /** The cache as a graph reads it: `past_key.0`, `past_value.0`, ... */
  get feeds(): Record<string, Tensor> {
    const { numKvHeads, headSize } = this.shape;
    const dims = [this.batch, numKvHeads, this.capacity, headSize];
    const entries = [...this.memory].map(([name, data]) => [
      `past_${name}`,
      tensor('f32', dims, data),
    ]);
    return Object.fromEntries(entries) as Record<string, Tensor>;
  }

  /**
   * Which slots new tokens see, bool [B, 1, 1, S]: those that are filled, but for what is hidden from
   * a row's new tokens.
   */
  seen(hidden: readonly (HiddenSlots | undefined)[] = []): Tensor {
    const slots = new Uint8Array(this.batch * this.capacity);
    this.lengths.forEach((length, b) => {
      const start = b * this.capacity;
      slots.fill(1, start, start + length);
      const [from, to] = hidden[b] ?? [0, 0];
      slots.fill(0, start + from, start + to);
    });
    return tensor('bool', [this.batch, 1, 1, this.capacity], slots);
  }

  /**
   * Appends what a run gave: `new_key.0` [B, J, T, E] and so on, of row b the first `counts[b]`
   * tokens.
   * @param most - tokens a row can ever have; the capacity does not grow beyond it needlessly.
   */
  append(fresh: Readonly<Record<string, Tensor>>, counts: readonly number[], most: number): void {
    const { numKvHeads, headSize } = this.shape;
    const longest = Math.max(...counts.map((count, b) => (this.lengths[b] ?? 0) + count));
    if (longest > this.capacity) this.grow(longest, most);
    for (const [name, memory] of this.memory) {
      const data = fresh[`new_${name}`]?.data as Float32Array;
      const numTokens = data.length / (this.batch * numKvHeads * headSize);
      counts.forEach((count, b) => {
        for (let j = 0; j < numKvHeads; j++) {
          const head = b * numKvHeads + j;
          const from = head * numTokens * headSize;
          const to = (head * this.capacity + (this.lengths[b] ?? 0)) * headSize;
          memory.set(data.subarray(from, from + count * headSize), to);
        }
      });
    }
    counts.forEach((count, b) => {
      this.lengths[b] = (this.lengths[b] ?? 0) + count;
    });
  }

  private grow(needed: number, most: number): void {
    const wanted = Math.max(needed, Math.min(most, Math.ceil(needed * (1 + GROWTH))));
    const capacity = Math.ceil(wanted / CAPACITY_STEP) * CAPACITY_STEP;
    const { numKvHeads, headSize } = this.shape;
    for (const [name, old] of this.memory) {
      const larger = new Float32Array(this.batch * numKvHeads * capacity * headSize);
      this.copyHeads(old, larger, capacity);
      this.memory.set(name, larger);
    }
    this.capacity = capacity;
  }

  /** Copies every head's tokens into memory of another capacity. */
  private copyHeads(from: Float32Array, to: Float32Array, capacity: number): void {
    const { numKvHeads, headSize } = this.shape;
    for (let head = 0; head < this.batch * numKvHeads; head++) {
      const filled = (this.lengths[Math.floor(head / numKvHeads)] ?? 0) * headSize;
      const start = head * this.capacity * headSize;
      to.set(from.subarray(start, start + filled), head * capacity * headSize);
    }
  }

  /** The rows of several caches, one after the other. */
  static join(caches: readonly KeyValueCache[]): KeyValueCache {
    const [first] = caches;
    if (!first) throw new RangeError('no caches to join');
    if (caches.length === 1) return first;
    const rows = caches.reduce((sum, { batch }) => sum + batch, 0);
    const joined = new KeyValueCache(first.shape, rows);
    joined.capacity = Math.max(...caches.map((cache) => cache.capacity));
    const { numKvHeads, headSize } = first.shape;
    const rowSize = numKvHeads * joined.capacity * headSize;
    for (const name of joined.memory.keys()) {
      const memory = new Float32Array(rows * rowSize);
      caches.reduce((row, cache) => {
        const own = memory.subarray(row * rowSize, (row + cache.batch) * rowSize);
        cache.copyHeads(cache.memory.get(name) ?? own, own, joined.capacity);
        return row + cache.batch;
      }, 0);
      joined.memory.set(name, memory);
    }
    joined.lengths.set(caches.flatMap(({ lengths }) => [...lengths]));
    return joined;
  }

  /** Every row `copies` times, side by side. */
  repeat(copies: number): KeyValueCache {
    const repeated = new KeyValueCache(this.shape, this.batch * copies);
    repeated.capacity = this.capacity;
    for (const [name, data] of this.memory)
      repeated.memory.set(name, repeatRows(data, this.batch, copies));
    for (let i = 0; i < repeated.batch; i++)
      repeated.lengths[i] = this.lengths[Math.floor(i / copies)] ?? 0;
    return repeated;
  }
}

/** The rows [B, ...] of an array, each `copies` times in a row: [B * copies, ...]. */
export function repeatRows(rows: Float32Array, numRows: number, copies: number): Float32Array {
  const size = rows.length / numRows;
  const repeated = new Float32Array(rows.length * copies);
  for (let i = 0; i < numRows * copies; i++) {
    const from = Math.floor(i / copies) * size;
    repeated.set(rows.subarray(from, from + size), i * size);
  }
  return repeated;
}
