// Owns the tests that one process at a time works in a folder, and that nobody dead keeps one from it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LOCK_FILE, lockFolder } from '../../../../src/benchmark/run/lock.ts';
import { ConfigError, RuntimeError } from '../../../../src/errors.ts';

describe('the lock of a folder', () => {
  let root: string;
  let count = 0;
  const fresh = (): string => join(root, String(count++), 'run');
  const owner = async (folder: string): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(join(folder, LOCK_FILE), 'utf8')) as Record<string, unknown>;
  /** Leaves a lock behind as a process of this machine would. */
  const leave = async (folder: string, content: string): Promise<void> => {
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, LOCK_FILE), content);
  };

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'gapvl-lock-'));
  });
  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
  });

  it('is held by one caller, who is named, and free again afterwards', async () => {
    const folder = fresh();
    {
      await using _lock = await lockFolder(folder);
      expect(await owner(folder)).toMatchObject({ pid: process.pid, host: hostname() });
      const refused = lockFolder(join(folder, '..', 'run'));
      await expect(refused).rejects.toThrow(ConfigError);
      await expect(refused).rejects.toThrow(`process ${process.pid}`);
      await writeFile(join(folder, 'items'), '');
    }
    await using _again = await lockFolder(folder);
    expect(await readdir(folder)).toEqual(['items', LOCK_FILE]);
  });

  it('leaves no empty folder behind that it made', async () => {
    const folder = fresh();
    const lock = await lockFolder(folder);
    await lock[Symbol.asyncDispose]();
    await expect(stat(folder)).rejects.toThrow('ENOENT');
  });

  it('is refused while another process lives and taken over when it is gone', async () => {
    const folder = fresh();
    const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    const pid = child.pid ?? 0;
    await leave(folder, JSON.stringify({ pid, host: hostname(), began: null }));
    await expect(lockFolder(folder)).rejects.toThrow(`process ${pid}`);
    child.kill('SIGKILL');
    await once(child, 'exit');
    await using _lock = await lockFolder(folder);
    expect(await owner(folder)).toMatchObject({ pid: process.pid });
  });

  it.runIf(process.platform === 'linux')(
    'is not kept by a living process that merely has the id of a dead one',
    async () => {
      const folder = fresh();
      await leave(folder, JSON.stringify({ pid: 1, host: hostname(), began: 'another boot/1' }));
      await using _lock = await lockFolder(folder);
      expect(await owner(folder)).toMatchObject({ pid: process.pid });
    },
  );

  it('is taken over from an earlier process that had the same id', async () => {
    const folder = fresh();
    await leave(folder, JSON.stringify({ pid: process.pid, host: hostname(), began: null }));
    await using _lock = await lockFolder(folder);
    await expect(lockFolder(folder)).rejects.toThrow(ConfigError);
  });

  it('of another machine stays, and says how to remove it', async () => {
    const folder = fresh();
    await leave(folder, JSON.stringify({ pid: 5, host: 'elsewhere', began: null }));
    await expect(lockFolder(folder)).rejects.toThrow(`remove ${join(folder, LOCK_FILE)}`);
  });

  it.each(['', '{"pid":', '[]', '{"pid":-1,"host":"x"}'])(
    'that is damaged (%s) keeps nobody out',
    async (content) => {
      const folder = fresh();
      await leave(folder, content);
      await using _lock = await lockFolder(folder);
      expect(await owner(folder)).toMatchObject({ pid: process.pid });
    },
  );

  it('goes to exactly one of many who come at once to a dead one', async () => {
    const folder = fresh();
    await leave(folder, JSON.stringify({ pid: process.pid, host: hostname(), began: null }));
    const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
    const locks = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    expect(locks).toHaveLength(1);
    for (const lock of locks) await lock[Symbol.asyncDispose]();
  });

  it('says when the folder cannot be made', async () => {
    const file = join(root, 'file');
    await writeFile(file, '');
    await expect(lockFolder(join(file, 'run'))).rejects.toThrow(RuntimeError);
  });
});
