// Checks files written piece by piece against the plain writer, and what happens when it goes wrong.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  openSafetensors,
  openShardedSafetensors,
  PIECE_BYTES,
  writeSafetensors,
} from '../../../src/engine/safetensors.ts';
import {
  encodeShardIndex,
  writeSafetensorsStream,
} from '../../../src/engine/safetensors-writer.ts';
import {
  bytesOf,
  ELEMENT_SIZES,
  numElements,
  tensorFromBytes,
} from '../../../src/engine/tensor.ts';
import type { DType, Tensor } from '../../../src/engine/tensor.ts';
import { CheckpointError, RuntimeError, ShapeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-stream-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(
    fc.constantFrom(...(Object.keys(ELEMENT_SIZES) as DType[])),
    fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    fc.integer(),
  )
  .map(([dtype, dims, seed]) => {
    const rng = new Rng(seed);
    const length = numElements(dims) * ELEMENT_SIZES[dtype];
    return tensorFromBytes(
      dtype,
      dims,
      Uint8Array.from({ length }, () => rng.int(256)),
    );
  });

/** The bytes in pieces of random sizes, empty ones included, all in the same memory. */
async function* torn(bytes: Uint8Array, rng: Rng): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(16);
  for (let at = 0; at < bytes.byteLength;) {
    const part = bytes.subarray(at, at + rng.int(17));
    memory.set(part);
    at += part.byteLength;
    yield memory.subarray(0, part.byteLength);
    await Promise.resolve();
    memory.fill(0xee);
  }
}

describe('writing a safetensors file from a stream', () => {
  it('gives the very bytes of the plain writer, however the tensors come in pieces', async () => {
    const [plain, streamed] = [join(folder, 'plain'), join(folder, 'streamed')];
    const name = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((s) => s !== '__metadata__');
    const tensors = fc.array(fc.tuple(name, anyTensor), { maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(tensors, fc.integer(), async (pairs, seed) => {
        const [byName, rng] = [new Map(pairs), new Rng(seed)];
        const metadata = new Map([['format', 'pt']]);
        await writeSafetensors(plain, byName, metadata);
        const backwards = new Map([...byName].reverse());
        const produce = (key: string): AsyncGenerator<Uint8Array> =>
          torn(bytesOf(byName.get(key) as Tensor), rng);
        await writeSafetensorsStream(streamed, backwards, produce, metadata);
        expect(await readFile(streamed)).toEqual(await readFile(plain));
      }),
      { numRuns: 30, seed: 3 },
    );
  });

  it('copies a tensor of several pieces without holding it', async () => {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')];
    const length = 2 * PIECE_BYTES + 6;
    const data = new Uint8Array(length);
    for (let i = 0; i < length; i += 997) data[i] = i % 251;
    const large = tensorFromBytes('bf16', [length / 2], data);
    const empty = tensorFromBytes('f32', [0, 3], new Uint8Array(0));
    await writeSafetensors(
      from,
      new Map<string, Tensor>([
        ['empty', empty],
        ['large', large],
      ]),
    );
    await using reader = await openSafetensors(from);
    const sizes: number[] = [];
    for await (const piece of reader.pieces('large')) sizes.push(piece.byteLength);
    expect(sizes).toEqual([PIECE_BYTES, PIECE_BYTES, 6]);
    await writeSafetensorsStream(to, reader.infos, (name) => reader.pieces(name));
    expect((await readFile(to)).equals(await readFile(from))).toBe(true);
  });

  it('refuses too many and too few bytes and leaves the old file alone', async () => {
    const path = join(folder, 'old');
    await writeFile(path, 'old');
    const descriptions = new Map([['w', { dtype: 'f32', dims: [2] } as const]]);
    for (const [length, message] of [
      [7, /"w" do not fit its dims[^]*7 bytes[^]*8 bytes for f32 of dims \[2\]/],
      [9, /9 bytes and maybe more/],
      [0, /got: +0 bytes/],
    ] as const) {
      const failure = writeSafetensorsStream(path, descriptions, () => [new Uint8Array(length)]);
      await expect(failure).rejects.toThrow(ShapeError);
      await expect(failure).rejects.toThrow(message);
    }
    const misshapen = new Map([['w', { dtype: 'f32', dims: [-1] } as const]]);
    await expect(writeSafetensorsStream(path, misshapen, () => [])).rejects.toThrow(ShapeError);
    const reserved = new Map([['__metadata__', { dtype: 'u8', dims: [0] } as const]]);
    await expect(writeSafetensorsStream(path, reserved, () => [])).rejects.toThrow(CheckpointError);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect((await readdir(folder)).filter((name) => name.includes('tmp'))).toEqual([]);
  });

  it('stops an endless producer and hands its own error on', async () => {
    const descriptions = new Map([['w', { dtype: 'u8', dims: [100] } as const]]);
    let asked = 0;
    function* endless(): Generator<Uint8Array> {
      for (;;) {
        asked++;
        yield new Uint8Array(40);
      }
    }
    const path = join(folder, 'none');
    await expect(writeSafetensorsStream(path, descriptions, endless)).rejects.toThrow(ShapeError);
    expect(asked).toBe(3);
    const broken = new RuntimeError({ what: 'the source broke' });
    const failure = writeSafetensorsStream(path, descriptions, () => {
      throw broken;
    });
    await expect(failure).rejects.toBe(broken);
    expect((await readdir(folder)).filter((name) => /none|tmp/.test(name))).toEqual([]);
  });
});

describe('the index of shards', () => {
  it('is read back as it was written, names sorted', async () => {
    const shards = [
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ] as const;
    const value = tensorFromBytes('u8', [3], Uint8Array.of(1, 2, 3));
    await writeSafetensors(join(folder, shards[0]), new Map([['b', value]]));
    await writeSafetensors(join(folder, shards[1]), new Map([['a', value]]));
    const text = encodeShardIndex({
      weightMap: new Map([
        ['b', shards[0]],
        ['a', shards[1]],
      ]),
      totalBytes: 6,
      totalParameters: 6,
    });
    expect(JSON.parse(text)).toEqual({
      metadata: { total_parameters: 6, total_size: 6 },
      weight_map: { a: shards[1], b: shards[0] },
    });
    expect(text.indexOf('"a"')).toBeLessThan(text.indexOf('"b"'));
    const path = join(folder, 'model.safetensors.index.json');
    await writeFile(path, text);
    await using reader = await openShardedSafetensors(path);
    expect(await reader.read('a')).toEqual(value);
    expect(() => encodeShardIndex({ weightMap: new Map(), totalBytes: 0 })).toThrow(
      CheckpointError,
    );
  });
});
