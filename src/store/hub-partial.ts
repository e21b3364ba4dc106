// Owns half-downloaded blobs: one writer each, kept for the next try, whoever stopped; `hub-blob.ts`
// calls it.
//
// Two processes never write one file: each has `HASH.gapvl-HOST-PID-N.incomplete` of its own, and
// what it leaves is taken over by renaming. A file whose writer may be alive (huggingface_hub's
// `HASH.incomplete`, a process on another host) is copied instead: its beginning is as good.
import { copyFile, open, readdir, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { constants, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { systemCode } from '../engine/atomic-file.ts';

/** Files that this process writes now. */
const held = new Set<string>();

interface Leftover {
  readonly path: string;
  readonly sizeBytes: number;
  /** `free`: nobody writes it; `foreign`: somebody may; `busy`: a process of this host does. */
  readonly owner: 'free' | 'foreign' | 'busy';
}

/** What ids of processes are unique within: a host, or a container on it. */
function hostWord(): string {
  let namespace = '';
  try {
    namespace = readlinkSync('/proc/self/ns/pid');
  } catch {
    // No Linux: the host is enough.
  }
  return `${hostname().slice(0, 40)}${namespace}`.replace(/\W+/g, '_') || 'host';
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

function ownerOf(
  path: string,
  host: string | undefined,
  pid: string | undefined,
): Leftover['owner'] {
  if (host === undefined) return 'free';
  if (host !== hostWord()) return 'foreign';
  const isBusy = Number(pid) === process.pid ? held.has(path) : isAlive(Number(pid));
  return isBusy ? 'busy' : 'free';
}

/** Half files of a blob, the largest first. */
async function leftovers(blobs: string, hash: string): Promise<Leftover[]> {
  const names = await readdir(blobs).catch(() => []);
  const found = await Promise.all(
    names.map(async (name): Promise<Leftover | undefined> => {
      if (!name.startsWith(`${hash}.`)) return undefined;
      const rest = name.slice(hash.length);
      const ours = /^\.gapvl(?:-(\w+)-(\d+)-\d+)?\.incomplete$/.exec(rest);
      if (ours === null && rest !== '.incomplete') return undefined;
      const path = join(blobs, name);
      const owner = ours === null ? 'foreign' : ownerOf(path, ours[1], ours[2]);
      const sizeBytes = await stat(path).then(
        ({ size }) => size,
        () => 0,
      );
      return { path, sizeBytes, owner };
    }),
  );
  return found.flatMap((one) => one ?? []).sort((a, b) => b.sizeBytes - a.sizeBytes);
}

/** Bytes of a blob that need no room any more because a half file of it will be gone on with. */
export async function kept(blobs: string, hash: string): Promise<number> {
  const all = await leftovers(blobs, hash);
  return all.find(({ owner }) => owner === 'free')?.sizeBytes ?? 0;
}

async function createOwn(blobs: string, hash: string): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    const name = `${hash}.gapvl-${hostWord()}-${process.pid}-${attempt}.incomplete`;
    const path = join(blobs, name);
    if (held.has(path)) continue;
    // Before it is there: who sees it must see that it is held.
    held.add(path);
    try {
      await (await open(path, 'wx')).close();
      return path;
    } catch (error) {
      held.delete(path);
      if (systemCode(error) !== 'EEXIST') throw error;
    }
  }
}

/** Moves or copies the largest half file over our empty one; false when there is none. */
async function takeOver(
  own: string,
  candidates: readonly Leftover[],
): Promise<Leftover | undefined> {
  for (const candidate of candidates) {
    try {
      if (candidate.owner === 'free') await rename(candidate.path, own);
      else await copyFile(candidate.path, own, constants.COPYFILE_FICLONE);
      return candidate;
    } catch (error) {
      // Another process was faster.
      if (systemCode(error) !== 'ENOENT') throw error;
    }
  }
  return undefined;
}

/** A half blob that this process alone writes. */
export class Partial {
  readonly handle: FileHandle;
  /** What it held when it was taken over. */
  readonly sizeBytes: number;
  readonly #blobs: string;
  readonly #hash: string;
  readonly #path: string;
  readonly #source: Leftover | undefined;

  private constructor(
    place: { readonly blobs: string; readonly hash: string; readonly path: string },
    handle: FileHandle,
    sizeBytes: number,
    source: Leftover | undefined,
  ) {
    this.#blobs = place.blobs;
    this.#hash = place.hash;
    this.#path = place.path;
    this.handle = handle;
    this.sizeBytes = sizeBytes;
    this.#source = source;
  }

  /** Takes over the most that is there of a blob of so many bytes, or begins an empty file. */
  static async claim(blobs: string, hash: string, maxBytes: number): Promise<Partial> {
    const candidates = (await leftovers(blobs, hash)).filter(
      ({ owner, sizeBytes }) => owner !== 'busy' && sizeBytes > 0 && sizeBytes <= maxBytes,
    );
    const path = await createOwn(blobs, hash);
    try {
      const source = await takeOver(path, candidates);
      const handle = await open(path, 'r+');
      const { size } = await handle.stat();
      return new Partial({ blobs, hash, path }, handle, size, source);
    } catch (error) {
      held.delete(path);
      await rm(path, { force: true });
      throw error;
    }
  }

  /**
   * Makes the finished file the blob.
   * @param isLarge - flush it first: a power cut could leave the right size with wrong content.
   */
  async commit(isLarge: boolean): Promise<void> {
    if (isLarge) await this.handle.sync();
    await this.handle.close();
    await rename(this.#path, join(this.#blobs, this.#hash));
    held.delete(this.#path);
    for (const { path, owner, sizeBytes } of await leftovers(this.#blobs, this.#hash)) {
      // A copied one that did not grow meanwhile has no writer.
      const isStill = path === this.#source?.path && sizeBytes === this.#source.sizeBytes;
      if (owner === 'free' || isStill) await rm(path, { force: true });
    }
  }

  /** Leaves the file for the next try, where a longer one is not there already. */
  async park(): Promise<void> {
    const { size } = await this.handle.stat();
    await this.handle.close();
    held.delete(this.#path);
    const parked = join(this.#blobs, `${this.#hash}.gapvl.incomplete`);
    const before = await stat(parked).catch(() => undefined);
    if (size > (before?.size ?? 0)) await rename(this.#path, parked);
    else await rm(this.#path, { force: true });
  }

  /** Removes the file. */
  async discard(): Promise<void> {
    await this.handle.close();
    held.delete(this.#path);
    await rm(this.#path, { force: true });
  }
}
