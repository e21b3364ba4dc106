// Checks reading and writing of safetensors files against the format, byte by byte and by fuzzing.
import { mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  openModelFolder,
  openSafetensors,
  openShardedSafetensors,
  readSafetensors,
  writeSafetensors,
} from '../../../src/engine/safetensors.ts';
import { parseHeader, readHeaderLength } from '../../../src/engine/safetensors-header.ts';
import {
  bytesOf,
  cast,
  ELEMENT_SIZES,
  numElements,
  tensor,
  tensorFromBytes,
  type DType,
  type Tensor,
} from '../../../src/engine/tensor.ts';
import { CheckpointError, RuntimeError, ShapeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

const DTYPES = Object.keys(ELEMENT_SIZES) as DType[];
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-safetensors-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** A file of the format from a header given as text, independent of the writer under test. */
function fileBytes(header: string, data: Uint8Array | number): Uint8Array {
  const json = new TextEncoder().encode(header);
  const body = typeof data === 'number' ? new Uint8Array(data) : data;
  const bytes = new Uint8Array(8 + json.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  bytes.set(body, 8 + json.length);
  return bytes;
}

/** The checks openSafetensors does, on bytes in memory. */
function parseFile(bytes: Uint8Array): ReturnType<typeof parseHeader> {
  const length = readHeaderLength(bytes.subarray(0, 8), bytes.byteLength, 'f');
  return parseHeader(bytes.subarray(8, 8 + length), bytes.byteLength - 8 - length, 'f');
}

const anyTensor: fc.Arbitrary<Tensor> = fc
  .tuple(
    fc.constantFrom(...DTYPES),
    fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 4 }),
    fc.integer(),
  )
  .map(([dtype, dims, seed]) => {
    const rng = new Rng(seed);
    const bytes = Uint8Array.from(
      { length: numElements(dims) * ELEMENT_SIZES[dtype] },
      dtype === 'bool' ? () => rng.int(2) : () => rng.int(256),
    );
    return tensorFromBytes(dtype, dims, bytes);
  });

const SMALL = '{"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}';

describe('reading', () => {
  it('gives the values of a file written by hand, in any layout of the header', async () => {
    const header =
      ' {"__metadata__":{"format":"pt"},\n "w":{"data_offsets":[4,12],"shape":[2,1],"dtype":"F32"},' +
      '"s":{"dtype":"BF16","shape":[],"data_offsets":[0,2]},' +
      '"m":{"dtype":"BOOL","shape":[2],"data_offsets":[2,4]}}   ';
    const data = Uint8Array.of(0x80, 0x3f, 1, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0x20, 0xc0);
    const path = join(folder, 'hand.safetensors');
    await writeFile(path, fileBytes(header, data));
    await using file = await openSafetensors(path);
    expect([...file.infos.keys()]).toEqual(['s', 'm', 'w']);
    expect(file.metadata.get('format')).toBe('pt');
    expect(await file.read('w')).toEqual(tensor('f32', [2, 1], Float32Array.of(1.5, -2.5)));
    expect(await file.read('m')).toEqual(tensor('bool', [2], Uint8Array.of(1, 0)));
    const scalar = await file.read('s');
    expect(scalar.dims).toEqual([]);
    expect([...cast(scalar, 'f32').data]).toEqual([1]);
  });

  it('reads rows and raw bytes of one tensor, and overlapping reads do not mix', async () => {
    const path = join(folder, 'rows.safetensors');
    const table = tensor(
      'i32',
      [4, 3],
      Int32Array.from({ length: 12 }, (_, i) => i),
    );
    await writeSafetensors(path, new Map([['table', table]]));
    await using file = await openSafetensors(path);
    const [middle, none, all] = await Promise.all([
      file.readRows('table', 1, 2),
      file.readRows('table', 4, 0),
      file.read('table'),
    ]);
    expect(middle).toEqual(tensor('i32', [2, 3], Int32Array.of(3, 4, 5, 6, 7, 8)));
    expect(none.dims).toEqual([0, 3]);
    expect(all).toEqual(table);
    const raw = new Uint8Array(48);
    await file.readInto('table', raw);
    expect(raw).toEqual(bytesOf(table));
    await expect(file.readRows('table', 3, 2)).rejects.toThrow(ShapeError);
    await expect(file.readInto('table', new Uint8Array(47))).rejects.toThrow(ShapeError);
    await expect(file.read('other')).rejects.toThrow(/No tensor "other"/);
  });

  it('reads a tensor alone, even when the bytes of another one have gone', async () => {
    const path = join(folder, 'range.safetensors');
    const first = tensor('f32', [2], Float32Array.of(1, 2));
    await writeSafetensors(
      path,
      new Map([
        ['a', first],
        ['b', first],
      ]),
    );
    await using file = await openSafetensors(path);
    await truncate(path, (await readFile(path)).byteLength - 4);
    expect(await file.read('a')).toEqual(first);
    await expect(file.read('b')).rejects.toThrow(/became shorter/);
  });

  it('refuses to read after closing, and closes twice', async () => {
    const path = join(folder, 'closed.safetensors');
    await writeFile(path, fileBytes(SMALL, 8));
    const file = await openSafetensors(path);
    await file.close();
    await file.close();
    await expect(file.read('b')).rejects.toThrow(RuntimeError);
  });

  it('says what is wrong with a path that is missing, a folder or empty', async () => {
    await expect(openSafetensors(join(folder, 'no.safetensors'))).rejects.toThrow(CheckpointError);
    await expect(openSafetensors(folder)).rejects.toThrow(/is not a file/);
    const path = join(folder, 'empty.safetensors');
    await writeFile(path, '');
    await expect(openSafetensors(path)).rejects.toThrow(/too short/);
  });
});

describe('the header check', () => {
  const one = (info: string, data = 8): (() => unknown) => {
    return () => parseFile(fileBytes(`{"b":${info}}`, data));
  };

  it('names each fault of a single tensor', () => {
    const info = (dtype: string, shape: string, offsets: string): string =>
      `{"dtype":${dtype},"shape":${shape},"data_offsets":${offsets}}`;
    expect(one(info('"F32"', '[2]', '[0,8]'))).not.toThrow();
    const faults: [string, RegExp][] = [
      ['7', /"b" of f is not described/],
      ['{}', /dtype[^]*got: +nothing/],
      [info('"F128"', '[2]', '[0,8]'), /dtype that cannot be read[^]*"F128"/],
      [info('"I16"', '[4]', '[0,8]'), /dtype that cannot be read[^]*"I16"/],
      [info('"U16"', '[4]', '[0,8]'), /"U16"[^]*fix: +no weights of this model/],
      [info('"F8_E4M3"', '[8]', '[0,8]'), /"F8_E4M3"[^]*fix: +quantized weights; get the checkp/],
      [info('["F32"]', '[2]', '[0,8]'), /dtype that cannot be read/],
      [info('"F32"', '[3]', '[0,8]'), /does not fill its bytes[^]*8 bytes[^]*12 bytes/],
      [info('"F32"', '2', '[0,8]'), /Shape of tensor "b" of f/],
      [info('"F32"', '[-2]', '[0,8]'), /Shape/],
      [info('"F32"', '[2.5]', '[0,8]'), /Shape/],
      [info('"F32"', '[9007199254740993]', '[0,8]'), /Shape/],
      [info('"F32"', '[1e999]', '[0,8]'), /Shape/],
      [info('"F32"', '["2"]', '[0,8]'), /Shape/],
      [info('"F32"', '[4503599627370496,4503599627370496,0]', '[0,0]'), /does not fill/],
      [info('"F32"', '[2]', '[8,0]'), /data_offsets/],
      [info('"F32"', '[2]', '[0,8,8]'), /data_offsets/],
      [info('"F32"', '[2]', '[0]'), /data_offsets/],
      [info('"F32"', '[2]', '[-8,0]'), /data_offsets/],
      [info('"F32"', '[2]', '[8,16]'), /leaves a hole after the header/],
    ];
    for (const [text, message] of faults) {
      expect(one(text), text).toThrow(message);
      expect(one(text), text).toThrow(CheckpointError);
    }
  });

  it('names overlaps, holes, truncation and trailing bytes', () => {
    const two = (begin: number, data: number): (() => unknown) => {
      const offsets = `[${String(begin)},${String(begin + 8)}]`;
      const header = `{"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[8],"data_offsets":${offsets}}}`;
      return () => parseFile(fileBytes(header, data));
    };
    expect(two(8, 16)).not.toThrow();
    expect(two(4, 16)).toThrow(/"b" of f overlaps tensor "a"/);
    expect(two(12, 20)).toThrow(/"b" of f leaves a hole after tensor "a"/);
    expect(two(8, 15)).toThrow(/f is truncated[^]*15 bytes[^]*16 bytes[^]*tensor "b"/);
    expect(two(8, 17)).toThrow(/bytes after its tensors/);
  });

  it('refuses keys that stand twice, however they are escaped', () => {
    const info = '{"dtype":"U8","shape":[0],"data_offsets":[0,0]}';
    const texts = [
      `{"a":${info},"a":${info}}`,
      `{"a":${info},"\\u0061" : ${info}}`,
      `{"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}}`,
      `{"__metadata__":{"k\\"":"1","k\\"":"2"}}`,
    ];
    for (const text of texts) expect(() => parseFile(fileBytes(text, 0))).toThrow(/key twice/);
    const fine = `{"__metadata__":{"dtype":"{\\"a\\":1,\\"a\\":2}","a":"a"},"a":${info},"b":${info}}`;
    expect(() => parseFile(fileBytes(fine, 0))).not.toThrow();
  });

  it('refuses what is no header at all', () => {
    for (const text of ['[]', 'null', '{', '""', '\ufeff{}', '{"a":1}}']) {
      expect(() => parseFile(fileBytes(text, 0)), text).toThrow(CheckpointError);
    }
    for (const metadata of ['1', '[]', '{"k":1}', 'null']) {
      const text = `{"__metadata__":${metadata}}`;
      expect(() => parseFile(fileBytes(text, 0))).toThrow(/not a map of strings/);
    }
    const broken = fileBytes('{"\u00e9":1}', 0);
    broken[10] = 0xff;
    expect(() => parseFile(broken)).toThrow(/UTF-8/);
  });

  it('refuses lengths beyond the limit or the file before it allocates anything', () => {
    const claim = (length: bigint): Uint8Array => {
      const bytes = fileBytes('{}', 0);
      new DataView(bytes.buffer).setBigUint64(0, length, true);
      return bytes;
    };
    for (const length of [0n, 1n, 100_000_001n, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(() => parseFile(claim(length))).toThrow(/impossible header length/);
    }
    expect(() => parseFile(claim(100_000_000n))).toThrow(/ends within its header/);
    expect(parseFile(claim(2n)).tensors.size).toBe(0);
  });

  it('lets only CheckpointError out of 20,000 mutated files, and holds its promises', () => {
    const rng = new Rng('mutated headers');
    const header =
      '{"__metadata__":{"format":"pt","k":"v"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},' +
      '"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"c":{"dtype":"I64","shape":[],"data_offsets":[32,40]}}';
    const tokens = [
      '"',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '0',
      '8',
      '24',
      '-1',
      '1e308',
      '9007199254740993',
    ];
    const words = [...tokens, 'null', 'true', '"F32"', '"BOOL"', '"a.weight"', '"b"', '\\u', '\0'];
    let accepted = 0;
    for (let round = 0; round < 20_000; round++) {
      let bytes = fileBytes(header, 40);
      if (rng.int(2) === 0) {
        const at = rng.int(header.length);
        const word = rng.pick(words);
        const text = header.slice(0, at) + word + header.slice(at + rng.int(12));
        bytes = fileBytes(text, 40);
      } else {
        const numFlips = 1 + rng.int(4);
        for (let i = 0; i < numFlips; i++) bytes[rng.int(bytes.length)] = rng.int(256);
        if (rng.int(4) === 0) bytes = bytes.subarray(0, rng.int(bytes.length + 1));
      }
      try {
        const { tensors, metadata } = parseFile(bytes);
        accepted++;
        let covered = 0;
        for (const info of tensors.values()) {
          expect(info.begin).toBe(covered);
          covered = info.end;
          expect(numElements(info.dims) * ELEMENT_SIZES[info.dtype]).toBe(info.end - info.begin);
        }
        expect(covered).toBe(40);
        for (const text of metadata.values()) expect(typeof text).toBe('string');
      } catch (error) {
        if (!(error instanceof CheckpointError)) throw error;
      }
    }
    expect(accepted).toBeGreaterThan(100);
    expect(accepted).toBeLessThan(19_000);
  });
});

describe('writing', () => {
  it('gives back every tensor and string of any file', async () => {
    const path = join(folder, 'round.safetensors');
    const name = fc.string({ unit: 'grapheme', maxLength: 12 }).filter((s) => s !== '__metadata__');
    const files = fc.record({
      tensors: fc.array(fc.tuple(name, anyTensor), { maxLength: 6 }).map((all) => new Map(all)),
      metadata: fc.array(fc.tuple(name, fc.string()), { maxLength: 3 }).map((all) => new Map(all)),
    });
    await fc.assert(
      fc.asyncProperty(files, async ({ tensors, metadata }) => {
        await writeSafetensors(path, tensors, metadata);
        const back = await readSafetensors(path);
        expect([...back.tensors.keys()].sort()).toEqual([...tensors.keys()].sort());
        for (const [key, t] of tensors) {
          const got = back.tensors.get(key);
          expect(got?.dtype).toBe(t.dtype);
          expect(got?.dims).toEqual(t.dims);
          expect(got && bytesOf(got)).toEqual(bytesOf(t));
        }
        expect(new Map(back.metadata)).toEqual(metadata);
      }),
      { numRuns: 300, seed: 2 },
    );
  });

  it('covers every dtype, NaN payloads and the ends of the integers included', async () => {
    const path = join(folder, 'dtypes.safetensors');
    const tensors = new Map<string, Tensor>([
      ['f32', tensor('f32', [3], new Float32Array(Uint32Array.of(0x7fc00001, 1, 1 << 31).buffer))],
      ['f64', tensor('f64', [2], Float64Array.of(-0, Number.MIN_VALUE))],
      ['f16', tensor('f16', [2], Uint16Array.of(0x7e01, 1))],
      ['bf16', tensor('bf16', [1, 1], Uint16Array.of(0xff81))],
      ['i64', tensor('i64', [2], BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n))],
      ['i32', tensor('i32', [1], Int32Array.of(-(2 ** 31)))],
      ['u8', tensor('u8', [3], Uint8Array.of(0, 128, 255))],
      ['bool', tensor('bool', [0], new Uint8Array())],
    ]);
    await writeSafetensors(path, tensors);
    const back = await readSafetensors(path);
    expect(back.tensors.size).toBe(DTYPES.length);
    for (const [name, t] of tensors) {
      const got = back.tensors.get(name);
      expect(got?.dtype).toBe(name);
      expect(got && bytesOf(got)).toEqual(bytesOf(t));
    }
  });

  it('aligns the header to 8 bytes and every tensor to its element size', async () => {
    const path = join(folder, 'aligned.safetensors');
    for (const name of ['a', 'ab', 'abc', 'abcd', 'abcde']) {
      const byte = tensor('u8', [1], Uint8Array.of(1));
      const wide = tensor('f64', [1], Float64Array.of(1));
      await writeSafetensors(
        path,
        new Map<string, Tensor>([
          [name, byte],
          ['z', wide],
        ]),
      );
      const bytes = await readFile(path);
      expect(Number(bytes.readBigUInt64LE(0)) % 8).toBe(0);
      expect(parseFile(bytes).tensors.get('z')?.begin).toBe(0);
    }
  });

  it('writes the same bytes whatever the order of the maps', async () => {
    const path = join(folder, 'order.safetensors');
    const a = tensor('f32', [1], Float32Array.of(1));
    const b = tensor('i64', [1], BigInt64Array.of(2n));
    const bytes: Buffer[] = [];
    for (const pairs of [
      [
        ['a', a],
        ['b', b],
      ],
      [
        ['b', b],
        ['a', a],
      ],
    ] as [string, Tensor][][]) {
      const metadata = new Map(pairs.map(([name]) => [name, 'x']));
      await writeSafetensors(path, new Map(pairs), metadata);
      bytes.push(await readFile(path));
    }
    expect(bytes[0]).toEqual(bytes[1]);
  });

  it('refuses the reserved name and data that does not fit, and leaves no file behind', async () => {
    const path = join(folder, 'refused.safetensors');
    const fine = tensor('u8', [1], Uint8Array.of(1));
    await expect(writeSafetensors(path, new Map([['__metadata__', fine]]))).rejects.toThrow(
      CheckpointError,
    );
    const torn: Tensor = { dtype: 'u8', dims: [2], data: Uint8Array.of(1) };
    await expect(writeSafetensors(path, new Map([['t', torn]]))).rejects.toThrow(ShapeError);
    const nowhere = join(folder, 'no', 'such', 'f.safetensors');
    await expect(writeSafetensors(nowhere, new Map([['t', fine]]))).rejects.toThrow(RuntimeError);
    expect((await readdir(folder)).filter((name) => /refused|tmp/.test(name))).toEqual([]);
  });
});

describe('sharded checkpoints', () => {
  const a = tensor('f32', [1], Float32Array.of(1));
  const b = tensor('f16', [2], Uint16Array.of(1, 2));

  async function checkpoint(weightMap: unknown): Promise<string> {
    const where = await mkdtemp(join(folder, 'model-'));
    await writeSafetensors(join(where, 'model-00001-of-00002.safetensors'), new Map([['a', a]]));
    await writeSafetensors(join(where, 'model-00002-of-00002.safetensors'), new Map([['b', b]]));
    const index = { metadata: { total_size: 8 }, weight_map: weightMap };
    await writeFile(join(where, 'model.safetensors.index.json'), JSON.stringify(index));
    return where;
  }

  it('read like one file, through the index or the folder', async () => {
    const where = await checkpoint({
      a: 'model-00001-of-00002.safetensors',
      b: 'model-00002-of-00002.safetensors',
    });
    await using file = await openModelFolder(where);
    expect(await file.read('a')).toEqual(a);
    expect(await file.read('b')).toEqual(b);
    expect((await file.readAll()).tensors.size).toBe(2);
    await using same = await openShardedSafetensors(join(where, 'model.safetensors.index.json'));
    expect([...same.infos.keys()]).toEqual(['a', 'b']);
  });

  it('may be links to files elsewhere, as in a download cache', async () => {
    const where = await checkpoint({ a: 'link.safetensors' });
    await symlink('model-00001-of-00002.safetensors', join(where, 'link.safetensors'));
    await using file = await openModelFolder(where);
    expect(await file.read('a')).toEqual(a);
  });

  it('cannot name a file outside of their folder', async () => {
    for (const shard of [
      '../x.safetensors',
      '/etc/x.safetensors',
      'sub/x.safetensors',
      'sub\\x.safetensors',
      'C:x.safetensors',
      'x\0.safetensors',
      '..',
      '',
      'x.bin',
      7,
      null,
    ]) {
      const where = await checkpoint({ a: shard });
      await expect(openModelFolder(where)).rejects.toThrow(/no plain file name/);
    }
  });

  it('name the tensor or shard that is missing, and a broken index', async () => {
    const lost = await checkpoint({ a: 'model-00002-of-00002.safetensors' });
    await expect(openModelFolder(lost)).rejects.toThrow(/"a" is missing from shard model-00002/);
    const gone = await checkpoint({ a: 'model-00003-of-00002.safetensors' });
    await expect(openModelFolder(gone)).rejects.toThrow(/Cannot open .*model-00003/);
    const empty = await checkpoint([]);
    await expect(openModelFolder(empty)).rejects.toThrow(/no weight_map/);
    await expect(openModelFolder(await checkpoint({}))).rejects.toThrow(/no weight_map/);
    const index = join(empty, 'model.safetensors.index.json');
    await writeFile(index, '{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}');
    await expect(openModelFolder(empty)).rejects.toThrow(/key twice/);
    await writeFile(index, '{"weight_map":');
    await expect(openModelFolder(empty)).rejects.toThrow(CheckpointError);
  });

  it('give way to a single file beside them, as in the reference', async () => {
    const where = await checkpoint({ a: 'model-00001-of-00002.safetensors' });
    await writeSafetensors(join(where, 'model.safetensors'), new Map([['b', b]]));
    await using file = await openModelFolder(where);
    expect([...file.infos.keys()]).toEqual(['b']);
  });

  it('fall back to the single file, and say when there is neither', async () => {
    const where = await mkdtemp(join(folder, 'single-'));
    await expect(openModelFolder(where)).rejects.toThrow(/No weights in/);
    await writeSafetensors(join(where, 'model.safetensors'), new Map([['a', a]]));
    await using file = await openModelFolder(where);
    expect(await file.read('a')).toEqual(a);
  });
});
