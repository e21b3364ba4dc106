// Checks that a failing disk never costs the old file, with a disk that fails on command.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { writeFileAtomic } from '../../../src/engine/atomic-file.ts';
import { RuntimeError } from '../../../src/errors.ts';

const disk = vi.hoisted(() => ({ bytesLeft: Infinity, shortWrites: false }));

vi.mock('node:fs/promises', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs/promises')>();
  const open = async (...args: Parameters<typeof actual.open>): Promise<unknown> => {
    const handle = await actual.open(...args);
    const write = handle.write.bind(handle) as (
      bytes: Uint8Array,
      offset: number,
      length: number,
    ) => Promise<{ bytesWritten: number }>;
    Object.assign(handle, {
      write: (bytes: Uint8Array, offset: number, length: number) => {
        if (length > disk.bytesLeft) {
          const error = new Error('ENOSPC: no space left on device, write');
          return Promise.reject(Object.assign(error, { code: 'ENOSPC' }));
        }
        return write(bytes, offset, disk.shortWrites ? Math.min(2, length) : length);
      },
    });
    return handle;
  };
  return { ...actual, open };
});

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-atomic-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});
beforeEach(() => {
  disk.bytesLeft = Infinity;
  disk.shortWrites = false;
});

describe('writeFileAtomic', () => {
  it('writes strings and bytes one after the other and replaces the old file', async () => {
    const path = join(folder, 'a.txt');
    await writeFile(path, 'old and longer than the new one');
    await writeFileAtomic(path, ['caf\u00e9 ', Uint8Array.of(0x31, 0x32)]);
    expect(await readFile(path, 'utf8')).toBe('caf\u00e9 12');
  });

  it('goes on after a write that took only a part', async () => {
    disk.shortWrites = true;
    const path = join(folder, 'short.txt');
    await writeFileAtomic(path, ['abcdefg']);
    expect(await readFile(path, 'utf8')).toBe('abcdefg');
  });

  it('keeps the old file, leaves no temporary one and says what to do when the disk is full', async () => {
    const path = join(folder, 'full.txt');
    await writeFileAtomic(path, ['old']);
    disk.bytesLeft = 4;
    const failed = writeFileAtomic(path, ['1234', '56789']);
    await expect(failed).rejects.toThrow(RuntimeError);
    await expect(failed).rejects.toThrow(/Disk full while writing .*full\.txt[^]*free disk space/);
    expect(await readFile(path, 'utf8')).toBe('old');
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('names the missing folder, and a folder in the place of the file', async () => {
    await expect(writeFileAtomic(join(folder, 'no', 'f'), ['x'])).rejects.toThrow(
      /create the folder/,
    );
    await expect(writeFileAtomic(folder, ['x'])).rejects.toThrow(RuntimeError);
  });

  it('lets an error of the parts out as it is and cleans up', async () => {
    function* parts(): Generator<string> {
      yield 'x';
      throw new RangeError('from the caller');
    }
    await expect(writeFileAtomic(join(folder, 'parts.txt'), parts())).rejects.toThrow(RangeError);
    expect((await readdir(folder)).filter((name) => name.startsWith('parts'))).toEqual([]);
  });

  it('does not collide with another write of the same file at the same time', async () => {
    const path = join(folder, 'twice.txt');
    const texts = ['first', 'second', 'third'];
    await Promise.all(texts.map((text) => writeFileAtomic(path, [text])));
    expect(texts).toContain(await readFile(path, 'utf8'));
    expect((await readdir(folder)).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});
