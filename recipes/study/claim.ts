// Owns who does what when the study runs in several processes: a claim is a file with a process id.
import { mkdir, open, readFile, rm } from 'node:fs/promises';
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

/** Creates the claim's file if nobody alive holds it. */
async function take(path: string): Promise<boolean> {
  for (;;) {
    try {
      const file = await open(path, 'wx');
      await file.writeFile(String(process.pid));
      await file.close();
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''));
    // An empty file is a claim that is being written.
    if (owner === 0 || isAlive(owner)) return false;
    await rm(path, { force: true });
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

/** Runs the work when no other process is at the same. */
export async function alone<T>(folder: string, name: string, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const done = await claimed(folder, name, async () => ({ value: await work() }));
    if (done !== 'busy') return done.value;
    await setTimeout(POLL_MS);
  }
}
