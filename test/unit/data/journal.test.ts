// Owns the tests of journals: what survives an interruption, and what is refused.
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Journal, readJournal } from '../../../src/data/journal.ts';
import { ConfigError, DataError, RuntimeError } from '../../../src/errors.ts';

const HEADER = { format: 'test.1', seed: 3, settings: { a: [1, 2] } };

describe('Journal', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-journal-'));
    path = join(folder, 'deep', 'file.jsonl');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const write = async (records: readonly unknown[]): Promise<readonly unknown[]> => {
    await using journal = await Journal.open(path, HEADER);
    await journal.append(records);
    return journal.records;
  };

  it('begins with its header and goes on after what is there', async () => {
    expect(await write([{ id: 'a' }, { id: 'ü' }])).toEqual([]);
    expect(await write([{ id: 'c' }])).toEqual([{ id: 'a' }, { id: 'ü' }]);
    expect(await readFile(path, 'utf8')).toBe(
      `${JSON.stringify(HEADER)}\n{"id":"a"}\n{"id":"ü"}\n{"id":"c"}\n`,
    );
  });

  it('cuts off half a line, also in the middle of a character', async () => {
    await write([{ id: 'a' }]);
    const whole = await readFile(path);
    const half = Buffer.from('{"id":"ü"}\n').subarray(0, 8);
    await appendFile(path, half);
    expect((await readJournal(path, 'test.1'))?.records).toEqual([{ id: 'a' }]);
    expect(await write([])).toEqual([{ id: 'a' }]);
    expect(await readFile(path)).toEqual(whole);
  });

  it('refuses the file of another run with the fields that differ, and leaves it as it is', async () => {
    await write([{ id: 'a' }]);
    const before = await readFile(path);
    const other = Journal.open(path, { ...HEADER, seed: 4, settings: { a: [1, 2, 3] } });
    await expect(other).rejects.toThrow(ConfigError);
    await expect(other).rejects.toThrow(
      /got: +seed 3, settings {"a":\[1,2\]}\n.*seed 4, settings {"a":\[1,2,3\]}/,
    );
    await expect(Journal.open(path, { ...HEADER, extra: 1 })).rejects.toThrow('extra');
    expect(await readFile(path)).toEqual(before);
  });

  it('never takes a file that is not its own', async () => {
    await write([]);
    for (const text of ['{"format":"other.1"}\n', '[1]\n', 'null\n', 'text\n', 'no line feed']) {
      await writeFile(path, text);
      await expect(write([{ id: 'a' }])).rejects.toThrow(DataError);
      expect(await readFile(path, 'utf8')).toBe(text);
    }
  });

  it('names file and line of what is not JSON', async () => {
    await write([{ id: 'a' }, { id: 'b' }]);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('{"id":"a"}', '{"id":'));
    await expect(write([])).rejects.toThrow('file.jsonl:2');
  });

  it('starts over in an empty file, and says nothing is there when nothing is', async () => {
    expect(await readJournal(path, 'test.1')).toBeUndefined();
    await write([]);
    await writeFile(path, '');
    await write([{ id: 'a' }]);
    expect((await readJournal(path, 'test.1'))?.records).toEqual([{ id: 'a' }]);
  });

  it('says what to do about a place it cannot write to', async () => {
    await writeFile(join(folder, 'deep'), 'a file in the place of a folder');
    await expect(Journal.open(path, HEADER)).rejects.toThrow(RuntimeError);
  });
});
