// Owns who does what when the study runs in several processes: a claim is a file with a process id.
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function ownerOf(path: string): Promise<number> {
  return Number(await readFile(path, 'utf8').catch(() => ''));
}

/** Creates a file with its content at once; false when there is one. */
async function linkNew(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${process.pid}.draft`;
  await writeFile(draft, content);
  try {
    await link(draft, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** Removes a dead process's claim, unless somebody was faster and claimed it anew. */
async function removeDead(path: string, owner: number): Promise<void> {
  const aside = `${path}.${process.pid}.dead`;
  await rename(path, aside).catch(() => undefined);
  if ((await ownerOf(aside)) !== owner) await link(aside, path).catch(() => undefined);
  await rm(aside, { force: true });
}

/** Creates the claim's file if nobody alive holds it. */
async function take(path: string): Promise<boolean> {
  for (;;) {
    if (await linkNew(path, String(process.pid))) return true;
    const owner = await ownerOf(path);
    if (owner === 0) continue;
    if (isAlive(owner)) return false;
    await removeDead(path, owner);
  }
}

/** Runs the work unless another process of this machine is at it; the claim ends with the work. */
export async function claimed<T>(
  folder: string,
  name: string,
  work: () => Promise<T>,
): Promise<T | 'busy'> {
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  if (!(await take(path))) return 'busy';
  try {
    return await work();
  } finally {
    await rm(path, { force: true });
  }
}

const POLL_MS = 1000;

/** Runs the work when no other process is at the same; `waiting` is told once if there is one. */
export async function alone<T>(
  folder: string,
  name: string,
  work: () => Promise<T>,
  waiting: (text: string) => void = () => undefined,
): Promise<T> {
  for (let round = 0; ; round++) {
    const done = await claimed(folder, name, async () => ({ value: await work() }));
    if (done !== 'busy') return done.value;
    if (round === 0) waiting(`waiting for ${name}, which another process makes\n`);
    await setTimeout(POLL_MS);
  }
}
