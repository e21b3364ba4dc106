// Owns the tests of tables of one's own: JSON lines, JSON, Parquet, dataset folders; and of hostile ones.
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTable } from '../../../src/benchmark/table/load.ts';
import { parsePythonJson } from '../../../src/benchmark/table/python-json.ts';
import { resolveImages } from '../../../src/benchmark/table/resolve-images.ts';
import { zstdBound } from '../../../src/benchmark/table/zstd-size.ts';
import { DataError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

const FIXTURES = join(import.meta.dirname, 'data');
let folder: string;
let picture: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-own-'));
  const background = { r: 90, g: 40, b: 200 };
  picture = await sharp({ create: { width: 8, height: 7, channels: 3, background } })
    .png()
    .toBuffer();
  await mkdir(join(folder, 'images'));
  await writeFile(join(folder, 'images', 'a.png'), picture);
});
afterAll(() => rm(folder, { recursive: true }));

async function load(name: string, content: string | Buffer) {
  await writeFile(join(folder, name), content);
  return loadTable(join(folder, name));
}

async function refusal(name: string, content: string | Buffer): Promise<DataError> {
  const error: unknown = await load(name, content).catch((found: unknown) => found);
  if (error instanceof DataError) return error;
  throw new Error('the table was read, or failed otherwise', { cause: error });
}

/** Number of pictures of each row, or the error's first line. */
async function pictures(table: Awaited<ReturnType<typeof loadTable>>): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const row of table.rows) {
    found.push(
      await resolveImages(table, row).then(
        (list) => list.map((bytes) => picture.equals(bytes)),
        (error: unknown) => (error as Error).message.split('\n')[0]?.split(': ').at(-1),
      ),
    );
  }
  return found;
}

describe('a table in JSON lines', () => {
  it('has the cells of its records, and pictures as base64, paths, lists or other rows', async () => {
    const base64 = picture.toString('base64');
    const lines = [
      { index: 7, question: 'What?', answer: 'A', A: 'x', image: base64 },
      { index: 8, question: '', score: 0.5, image: 'images/a.png' },
      { index: 9, choices: ['a', "it's"], image: ['a.png', base64, 'images/a.png'], is: true },
      { index: 10, image: 7, question: null },
      { index: 11, image: null },
      { index: 12, image: '../a.png' },
      { index: 13, image: `data:image/png;base64,${base64}` },
    ];
    const text = lines.map((line) => JSON.stringify(line)).join('\n\n');
    const table = await load(
      'own.jsonl',
      text.replace('0.5', '1.0').replace('"a.png"', '"images/a.png"'),
    );
    expect(table.columns).toEqual(['index', 'question', 'answer', 'A', 'score', 'choices', 'is']);
    expect(table.numDropped).toBe(1);
    expect({ ...table.rows[0] }).toEqual({
      ...{ index: 7n, question: 'What?', answer: 'A', A: 'x', score: null, choices: null },
      is: null,
    });
    expect(table.rows[1]).toMatchObject({ question: null, score: 1 });
    expect(table.rows[2]).toMatchObject({ choices: '["a","it\'s"]', is: true });
    expect(await pictures(table)).toEqual([
      [true],
      [true],
      [true, true, true],
      [true],
      'its picture lies outside of the data root',
      [true],
    ]);
    expect(table.md5).toMatch(/^[\da-f]{32}$/);
  });

  it('names file and line of what cannot be used', async () => {
    expect((await refusal('a.jsonl', '{"a": 1}\n{"a": \n')).message).toMatch(
      /a\.jsonl:2: .*not JSON/,
    );
    expect((await refusal('a.jsonl', '{"a": 1}\n[1]\n')).message).toMatch(
      /a\.jsonl:2: .*no record/,
    );
    const latin = Buffer.from('{"a": "ü"}\n', 'latin1');
    expect((await refusal('a.jsonl', latin)).message).toMatch(/a\.jsonl:1: /);
    expect((await refusal('a.jsonl', '{"image": {"x": 1}}\n')).message).toContain('line 1: image');
    expect((await refusal('a.jsonl', '{"image": []}\n')).message).toContain('line 1: image');
    expect((await refusal('a.jsonl', '')).message).toContain('has no rows');
    const twice = await refusal('a.jsonl', '{"index": "a"}\n\n{"index": "a"}\n');
    expect(twice.message).toContain('line 3: the index a is taken');
  });

  it('takes any key, and nests no deeper than a table does', async () => {
    const table = await load('own.jsonl', '{"__proto__": "x", "constructor": {"a": [1, null]}}\n');
    expect(Object.entries(table.rows[0] ?? {})).toEqual([
      ['index', 0n],
      ['__proto__', 'x'],
      ['constructor', '{"a":[1,null]}'],
    ]);
    expect(Object.prototype).not.toHaveProperty('a');
    const deep = `{"a": ${'['.repeat(100_000)}`;
    expect((await refusal('own.jsonl', deep)).parts.got).toContain('more than 32 levels');
  });
});

describe('JSON as Python writes it', () => {
  it('keeps integers apart from doubles, exactly, and knows NaN and infinities', () => {
    expect(parsePythonJson(' [1, 1.0, -0, 1e2, 123456789012345678901234567890] ')).toEqual([
      ...[1n, 1, 0n, 100, 123456789012345678901234567890n],
    ]);
    expect(parsePythonJson('[NaN, Infinity, -Infinity, true, false, null]')).toEqual([
      ...[NaN, Infinity, -Infinity, true, false, null],
    ]);
    expect(parsePythonJson('"\\"\\\\\\\\\\" \\u00e9\\n"')).toBe('"\\\\" \u00e9\n');
    const long = 'x'.repeat(30_000_000);
    expect(parsePythonJson(`["${long}"]`)).toEqual([long]);
  });

  it('is refused where it is no JSON, with the place', () => {
    const bad = [
      '',
      '[1',
      '[1,]',
      '{"a"}',
      '{"a":1,}',
      '01',
      '+1',
      "'a'",
      '"a',
      '"\n"',
      '1 2',
      'nan',
      '"\\x"',
    ];
    for (const text of bad) expect(() => parsePythonJson(text), text).toThrow(/character|early/);
  });
});

describe('a table in Parquet', () => {
  beforeAll(async () => {
    await copyFile(join(FIXTURES, 'struct.parquet'), join(folder, 'struct.parquet'));
    await writeFile(join(folder, '4.png'), picture);
  });

  it('has cells with the types of its columns', async () => {
    const table = await loadTable(join(FIXTURES, 'struct.parquet'));
    expect(table.columns).toEqual(['index', 'question', 'answer', 'A', 'B', 'choices', 'is_hard']);
    const column = (name: string): unknown[] => table.rows.map((row) => row[name]);
    expect(column('index')).toEqual([10n, 11n, 12n, 13n, 14n, 15n]);
    expect(column('answer')).toEqual(['A', 'B', null, null, 'C', '日本']);
    expect(column('A')).toEqual([1n, 2n, null, 4n, 5n, 6n]);
    expect(column('B')).toEqual([0.5, 1, 2, null, null, -0]);
    expect(column('choices')).toEqual(['["a","b"]', '[]', null, '["x"]', '["it\'s"]', '["\\""]']);
    expect(column('is_hard')).toEqual([true, false, null, true, true, false]);
  });

  it('has pictures as bytes, structs of bytes and path, and lists of them', async () => {
    const sizes = async (name: string): Promise<unknown[]> => {
      const table = await loadTable(join(folder, name));
      const found: unknown[] = [];
      for (const row of table.rows) {
        const list = await resolveImages(table, row).catch((error: unknown) => error);
        if (list instanceof Error) found.push(list.message.split('\n')[0]?.slice(-16));
        else {
          const all = await Promise.all((list as Uint8Array[]).map((one) => sharp(one).metadata()));
          found.push(all.map(({ width, format }) => `${format} ${width}`));
        }
      }
      return found;
    };
    for (const name of ['lists', 'bytes']) {
      await copyFile(join(FIXTURES, `${name}.parquet`), join(folder, `${name}.parquet`));
    }
    const first = [['jpeg 4'], ['png 5'], ['jpeg 6'], ['png 7']];
    expect(await sizes('struct.parquet')).toEqual([...first, ['png 8'], '5 has no picture']);
    const lists = [['jpeg 4'], ['jpeg 4', 'png 5', 'jpeg 6'], ['jpeg 6'], ['png 7']];
    expect(await sizes('lists.parquet')).toEqual(lists);
    expect(await sizes('bytes.parquet')).toEqual([['png 4'], ['png 5'], ['png 6'], ['png 7']]);
  });

  it('is read or refused, never worse, whatever bytes are changed in it', async () => {
    const rng = new Rng(7);
    const path = join(folder, 'broken.parquet');
    let numRefused = 0;
    for (const name of ['struct', 'lists', 'bytes']) {
      const whole = await readFile(join(FIXTURES, `${name}.parquet`));
      for (let i = 0; i < 60; i++) {
        const bytes = Buffer.from(whole);
        for (let k = 0; k <= i % 3; k++) bytes[rng.int(bytes.length)] = rng.int(256);
        await writeFile(path, i % 10 === 0 ? bytes.subarray(0, rng.int(bytes.length)) : bytes);
        try {
          const table = await loadTable(path);
          for (const row of table.rows) await resolveImages(table, row);
        } catch (error) {
          expect(error).toBeInstanceOf(DataError);
          numRefused += 1;
        }
      }
    }
    expect(numRefused).toBeGreaterThan(50);
  }, 30_000);

  it('bounds what a stream of Zstandard unpacks to by its headers', () => {
    // One frame of 3 bytes of content: raw block, checksum none, size in one byte.
    const small = Buffer.from('28b52ffd2003190000616263', 'hex');
    expect(zstdBound(small)).toBe(6);
    // Runs of 2 MiB, four bytes each.
    const run = Buffer.from('020000ff61', 'hex');
    run.writeUIntLE((((1 << 21) - 1) << 3) | 2, 0, 3);
    const frame = Buffer.from('28b52ffd0058', 'hex');
    const last = Buffer.from('010000', 'hex');
    const bomb = Buffer.concat([frame, ...Array<Buffer>(2000).fill(run.subarray(0, 4)), last]);
    expect(zstdBound(bomb)).toBeGreaterThan(4e9);
    expect(() => zstdBound(small.subarray(0, 8))).toThrow(RangeError);
    expect(() => zstdBound(Buffer.from('nothing of it'))).toThrow(/no Zstandard/);
  });
});

describe('a table by the name of its file', () => {
  it('may be a dataset folder', async () => {
    const data = join(folder, 'data');
    await mkdir(join(data, 'images'), { recursive: true });
    await writeFile(join(data, 'images', 'x.png'), picture);
    const examples = [
      { id: 'b', question: 'Where?', answer: 'left', image: 'images/x.png', task: 'zoom' },
      { id: 'a', question: 'How many?', answer: '3', image: 'images/x.png', split: 'test' },
    ];
    const text = examples.map((example) => JSON.stringify(example)).join('\n');
    await writeFile(join(data, 'examples.jsonl'), text);
    const table = await loadTable(data);
    expect(table.rows.map((row) => ({ ...row }))).toEqual([
      { index: 'b', question: 'Where?', answer: 'left', category: 'zoom', split: null },
      { index: 'a', question: 'How many?', answer: '3', category: null, split: 'test' },
    ]);
    expect(await pictures(table)).toEqual([[true], [true]]);
  });

  it('may be JSON in each form pandas writes, or TSV', async () => {
    const forms = [
      '[{"question": "a", "A": 1}, {"question": "b"}]',
      '{"question": ["a", "b"], "A": [1, null]}',
      '{"question": {"0": "a", "1": "b"}, "A": {"0": 1, "1": null}}',
      '{"columns": ["question", "A"], "index": [0, 1], "data": [["a", 1], ["b", null]]}',
    ];
    for (const form of forms) {
      const table = await load('table.json', form);
      expect(table.rows.map((row) => ({ ...row }))).toEqual([
        { index: 0n, question: 'a', A: 1n },
        { index: 1n, question: 'b', A: null },
      ]);
    }
    expect((await load('table.TSV', 'question\na\n')).rows).toHaveLength(1);
    expect((await refusal('table.json', '{"a": 1}')).message).toContain('is no table');
    expect((await refusal('table.json', '{"a": [1], "b": []}')).parts.got).toContain('lengths');
    expect((await refusal('table.json', '[1]')).message).toContain('record 0');
    expect((await refusal('table.csv', 'a,b')).parts.got).toBe('.csv');
    expect((await refusal('table', 'a,b')).parts.got).toBe('a name without extension');
  });
});
