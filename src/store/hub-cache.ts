// Owns the layout of the Hugging Face cache, which other programs read and write too: blobs by hash,
// snapshots that point to them, refs that name snapshots; `hub.ts` calls it.
import { copyFile, link, mkdir, readFile, readdir, readlink, rename, rm } from 'node:fs/promises';
import { stat, statfs, symlink, writeFile } from 'node:fs/promises';
import { constants } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { systemCode } from '../engine/atomic-file.ts';
import { INDEX_FILE, SINGLE_FILE, readShardNames } from '../engine/safetensors.ts';
import { RuntimeError } from '../errors.ts';
import { CONFIG_FILE } from './hub-files.ts';
import type { HubFile } from './hub-files.ts';
import { isCommit } from './hub-id.ts';
import type { HubSettings } from './hub-settings.ts';

/** Codes of the system for a disk, or somebody's share of it, that is full. */
const FULL = ['ENOSPC', 'EDQUOT'];

/** An error of the file system while a model is downloaded, in our words; others as they are. */
export function asDiskFailure(error: unknown, what: string): unknown {
  const code = systemCode(error);
  if (code === undefined || !('syscall' in (error as Error))) return error;
  const got = (error as Error).message;
  if (FULL.includes(code)) {
    return new RuntimeError(
      {
        what: `Disk full while downloading ${what}`,
        got,
        expected: 'room for the whole model',
        fix: 'free disk space, or set HF_HOME to a folder on a larger disk; run the command again, it goes on where it stopped',
      },
      error,
    );
  }
  return new RuntimeError(
    {
      what: `Cannot keep ${what} in the cache of models`,
      got,
      expected: 'a folder that can be written',
      fix: 'set HF_HOME to a folder you may write to, then run the command again',
    },
    error,
  );
}

/** No file is written over: what stood there might be a link to the blob itself. */
const COPY_MODE = constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL;
let numTemporaries = 0;

/** A name beside a path that nobody else uses: nothing in the cache is ever seen half written. */
function temporaryOf(path: string): string {
  return join(dirname(path), `.${basename(path)}.${process.pid}-${numTemporaries++}.tmp`);
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => (found.isFile() ? found.size : undefined),
    () => undefined,
  );
}

/** The folder of one model in the cache. */
export class ModelCache {
  readonly blobs: string;
  readonly #folder: string;
  readonly #symlinks: boolean;

  /** @param name - `ORG/NAME`, checked. */
  constructor({ cache, symlinks }: HubSettings, name: string) {
    this.#folder = join(cache, `models--${name.replace('/', '--')}`);
    this.blobs = join(this.#folder, 'blobs');
    this.#symlinks = symlinks;
  }

  /** The folder of a commit. */
  snapshot(commit: string): string {
    return join(this.#folder, 'snapshots', commit);
  }

  /** The commit that a revision stood for when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const path = join(this.#folder, 'refs', ...revision.split('/'));
    const commit = await readFile(path, 'utf8').catch(() => '');
    return isCommit(commit.trim()) ? commit.trim() : undefined;
  }

  /** Where a file is that is here: as a blob, or in the snapshot itself where nothing is linked. */
  async pathOf(file: HubFile, commit: string): Promise<string | undefined> {
    const paths = [join(this.blobs, file.hash), join(this.snapshot(commit), file.name)];
    for (const path of paths) if ((await sizeOf(path)) === file.sizeBytes) return path;
    return undefined;
  }

  /** Notes what a revision stands for; a cache that cannot be written keeps its old note. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if ((await this.commitOf(revision)) === commit) return;
    const path = join(this.#folder, 'refs', ...revision.split('/'));
    await mkdir(dirname(path), { recursive: true });
    const temporary = temporaryOf(path);
    await writeFile(temporary, commit, { flag: 'wx' });
    await rename(temporary, path);
  }

  /** Puts a blob that is here into a snapshot: a symlink, else a hard link, else a copy. */
  async link(file: HubFile, commit: string): Promise<void> {
    const folder = this.snapshot(commit);
    const path = join(folder, file.name);
    const blob = join(this.blobs, file.hash);
    const target = join('..', '..', 'blobs', file.hash);
    const [found, pointed] = await Promise.all([sizeOf(path), readlink(path).catch(() => target)]);
    if (found === file.sizeBytes && pointed === target) return;
    await mkdir(folder, { recursive: true });
    const temporary = temporaryOf(path);
    await rm(temporary, { force: true });
    try {
      await (this.#symlinks ? symlink(target, temporary) : Promise.reject(new Error('unwanted')))
        .catch(() => link(blob, temporary))
        .catch(() => copyFile(blob, temporary, COPY_MODE));
      await rename(temporary, path);
    } finally {
      await rm(temporary, { force: true });
    }
  }

  /** What a snapshot lacks to be a model; empty: it is whole. */
  async lacks(commit: string): Promise<readonly string[]> {
    const folder = this.snapshot(commit);
    const missingOf = async (names: readonly string[]): Promise<string[]> => {
      const sizes = await Promise.all(names.map((name) => sizeOf(join(folder, name))));
      return names.filter((_, i) => sizes[i] === undefined);
    };
    const hasIndex = (await sizeOf(join(folder, INDEX_FILE))) !== undefined;
    const weights = hasIndex ? await readShardNames(join(folder, INDEX_FILE)) : [SINGLE_FILE];
    return missingOf([CONFIG_FILE, ...weights]);
  }

  /** The files of a snapshot with their sizes. */
  async list(commit: string): Promise<{ readonly name: string; readonly sizeBytes: number }[]> {
    const folder = this.snapshot(commit);
    const names = (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
    const sizes = await Promise.all(names.map((name) => sizeOf(join(folder, name))));
    return names.flatMap((name, i) => {
      const sizeBytes = sizes[i];
      return sizeBytes === undefined ? [] : [{ name, sizeBytes }];
    });
  }

  /** Makes the folder of blobs, and sure that its disk has room for so many bytes more. */
  async makeRoom(neededBytes: number, what: string): Promise<void> {
    await mkdir(this.blobs, { recursive: true });
    const disk = await statfs(this.blobs).catch(() => undefined);
    const freeBytes = disk === undefined ? Infinity : disk.bavail * disk.bsize;
    if (freeBytes >= neededBytes) return;
    throw new RuntimeError({
      what: `Not enough disk space for ${what}`,
      got: `${freeBytes.toLocaleString('en-US')} bytes free in ${this.blobs}`,
      expected: `${neededBytes.toLocaleString('en-US')} bytes for what is not downloaded yet`,
      fix: 'free disk space, or set HF_HOME to a folder on a larger disk, then run the command again',
    });
  }
}
