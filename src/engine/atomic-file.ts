// Owns writing files so that a reader sees the old or the new one, never half; all writers use it.
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RuntimeError } from '../errors.ts';

/** ours: the largest single write, so that a signal or a full disk shows within a moment. */
const WRITE_BYTES = 1 << 26;

/** What to do about the usual reasons why a write fails, by error code of the system. */
const FIXES: Readonly<Record<string, string>> = {
  ENOSPC: 'free disk space or choose another folder, then run the command again',
  EDQUOT: 'free space within your disk quota or choose another folder',
  EACCES: 'choose a folder you may write to',
  EPERM: 'choose a folder you may write to',
  EROFS: 'choose a folder on a disk that can be written',
  ENOENT: 'create the folder first',
  ENOTDIR: 'create the folder first',
  EISDIR: 'give the name of a file, not of a folder',
};

/** The system's code of a failed file operation (`ENOENT`), or undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Writes the parts one after the other to a temporary file beside `path`, flushes it to the disk
 * and renames it, so that `path` is complete at every moment and its old content survives a
 * failure. Strings are written as UTF-8.
 * @throws RuntimeError (disk full, no permission, no such folder) with what to do; the temporary
 * file is removed and `path` is as it was.
 */
export async function writeFileAtomic(
  path: string,
  parts: Iterable<Uint8Array | string> | AsyncIterable<Uint8Array | string>,
): Promise<void> {
  let temporary: string | undefined;
  try {
    const [name, handle] = await openTemporary(path);
    temporary = name;
    try {
      for await (const part of parts) await writeAll(handle, part);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    if (temporary !== undefined) await rm(temporary, { force: true });
    const code = systemCode(error);
    if (code === undefined) throw error;
    const what = code === 'ENOSPC' ? `Disk full while writing ${path}` : `Cannot write ${path}`;
    const fix = FIXES[code] ?? 'check the disk and the folder, then run the command again';
    throw new RuntimeError({ what, got: (error as Error).message, fix }, error);
  }
  await syncFolder(dirname(path));
}

async function openTemporary(path: string): Promise<[string, FileHandle]> {
  for (let attempt = 0; ; attempt++) {
    const name = `${path}.${String(process.pid)}-${String(attempt)}.tmp`;
    try {
      return [name, await open(name, 'wx')];
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
  }
}

async function writeAll(handle: FileHandle, part: Uint8Array | string): Promise<void> {
  const bytes = typeof part === 'string' ? new TextEncoder().encode(part) : part;
  let done = 0;
  while (done < bytes.byteLength) {
    const length = Math.min(WRITE_BYTES, bytes.byteLength - done);
    done += (await handle.write(bytes, done, length)).bytesWritten;
  }
}

/** Makes the rename itself survive a power cut; some systems cannot open folders, which is fine. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
  }
}
