// Owns the rule that one process at a time works in a folder: a file with a process id, taken over when that
// process is gone; runs and sweeps hold it.
import { link, mkdir, readFile, rename, rm, rmdir, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { systemCode } from '../../engine/atomic-file.ts';
import { isObject } from '../../engine/strict-json.ts';
import { ConfigError, RuntimeError } from '../../errors.ts';

/** File that says who works in a folder. */
export const LOCK_FILE = 'lock.json';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** When the process began, in the words of the system; null where it does not tell. */
  readonly began: string | null;
}

/** Folders that this very process works in or is about to. */
const held = new Set<string>();

/** Tells a process from a later one with the same id. Linux: ticks since the machine started. */
async function beganOf(pid: number): Promise<string | null> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold anything, blanks and parentheses too.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
    return `${boot}/${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** Whether the process that wrote a lock still runs; of another machine nobody can tell, so it may. */
async function isAlive(owner: Owner): Promise<boolean> {
  if (owner.host !== hostname()) return true;
  // This process would know: whoever had its id before is gone.
  if (owner.pid === process.pid) return false;
  if (!exists(owner.pid)) return false;
  return owner.began === null || (await beganOf(owner.pid)) === owner.began;
}

/** Undefined when there is no lock; null for one that cannot be read, which only a damaged disk leaves. */
async function readOwner(path: string): Promise<Owner | null | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const json: unknown = JSON.parse(text);
    if (!isObject(json)) return null;
    const { pid, host, began } = json;
    const isWhole = Number.isSafeInteger(pid) && (pid as number) > 0 && typeof host === 'string';
    if (!isWhole) return null;
    return { pid: pid as number, host, began: typeof began === 'string' ? began : null };
  } catch {
    return null;
  }
}

/** Creates the file with its content at once; false when there is one. */
async function linkNew(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${process.pid}.draft`;
  await writeFile(draft, content);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Removes a dead process's lock, unless somebody was faster and took it over. */
async function removeDead(path: string, owner: Owner | null): Promise<void> {
  const aside = `${path}.${process.pid}.dead`;
  await rename(path, aside).catch(() => undefined);
  const found = await readOwner(aside);
  const isSame = found?.pid === owner?.pid && found?.began === owner?.began;
  if (found !== undefined && !isSame) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

function busy(folder: string, owner: Owner): ConfigError {
  const here = owner.host === hostname();
  return new ConfigError({
    what: `another process works in ${folder}`,
    got: here ? `process ${owner.pid}` : `process ${owner.pid} on ${owner.host}`,
    expected: 'one process at a time in a folder',
    fix: here
      ? 'wait until it ends, or name another folder'
      : `wait until it ends; if it is gone, remove ${join(folder, LOCK_FILE)}`,
  });
}

/**
 * Takes a folder for this process, and makes it if there is none; dispose what is returned to give it
 * back. The lock of a process that is gone is taken over.
 * @throws ConfigError when another process works there; RuntimeError when the folder cannot be written.
 */
export async function lockFolder(folder: string): Promise<AsyncDisposable> {
  const place = resolve(folder);
  const path = join(place, LOCK_FILE);
  const own: Owner = { pid: process.pid, host: hostname(), began: await beganOf(process.pid) };
  if (held.has(place)) throw busy(folder, own);
  held.add(place);
  let isNew = false;
  try {
    isNew = (await mkdir(place, { recursive: true })) !== undefined;
    while (!(await linkNew(path, JSON.stringify(own)))) {
      const owner = await readOwner(path);
      if (owner && (await isAlive(owner))) throw busy(folder, owner);
      if (owner !== undefined) await removeDead(path, owner);
    }
  } catch (error) {
    held.delete(place);
    if (systemCode(error) === undefined) throw error;
    throw new RuntimeError(
      {
        what: `Cannot write in ${folder}`,
        got: (error as Error).message,
        fix: 'make the folder writable, or name another',
      },
      error,
    );
  }
  return {
    [Symbol.asyncDispose]: async () => {
      if (!held.delete(place)) return;
      await rm(path, { force: true });
      // A folder that nothing came into is not left behind.
      if (isNew) await rmdir(place).catch(() => undefined);
    },
  };
}
