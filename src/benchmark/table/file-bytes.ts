// Owns reading the bytes of a table's file: once from end to end, later a range, of the same file still; the
// readers of the formats call it.
import { createHash } from 'node:crypto';
import { open, readFile, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { DataError } from '../../errors.ts';
import type { LoadOptions } from './table.ts';

const CHUNK_BYTES = 1 << 20;

/** What a file was when it was read. */
export interface FileState {
  readonly path: string;
  readonly sizeBytes: number;
  readonly changedMs: number;
}

function unreadable(path: string, cause: unknown): DataError {
  return new DataError(
    {
      what: `${path} cannot be read`,
      got: cause instanceof Error ? cause.message : String(cause),
      expected: 'a file that can be read',
      fix: 'check the path and whether you may read the file',
    },
    cause,
  );
}

/**
 * Opens a file.
 * @throws DataError if it is no file, or cannot be read.
 */
export async function openFile(path: string): Promise<{ handle: FileHandle; state: FileState }> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const found = await handle.stat();
    if (!found.isFile()) throw new Error('this is not a file');
    return { handle, state: { path, sizeBytes: found.size, changedMs: found.mtimeMs } };
  } catch (error) {
    await handle?.close();
    throw unreadable(path, error);
  }
}

/** Fills a buffer from a place on, as far as the file goes. */
async function fill(handle: FileHandle, buffer: Buffer, from: number): Promise<Buffer> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await handle.read(buffer, done, buffer.length - done, from + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return buffer.subarray(0, done);
}

/**
 * Reads a file from end to end.
 * @param push - gets chunk after chunk; its bytes are valid during the call only.
 * @returns its MD5, lower-case hexadecimal, and what the file was.
 */
export async function readThrough(
  path: string,
  push: (chunk: Buffer) => void,
  { signal, onProgress }: Pick<LoadOptions, 'signal' | 'onProgress'> = {},
): Promise<{ readonly md5: string; readonly state: FileState }> {
  const { handle, state } = await openFile(path);
  try {
    const hash = createHash('md5');
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(1, state.sizeBytes)));
    let done = 0;
    for (;;) {
      signal?.throwIfAborted();
      const chunk = await fill(handle, buffer, done);
      if (chunk.length === 0) break;
      hash.update(chunk);
      push(chunk);
      done += chunk.length;
      onProgress?.(done, state.sizeBytes);
    }
    return { md5: hash.digest('hex'), state: { ...state, sizeBytes: done } };
  } finally {
    await handle.close();
  }
}

/**
 * Reads a range of a file that was read before.
 * @throws DataError if the file is another one by now.
 */
export async function readRange(state: FileState, start: number, end: number): Promise<Buffer> {
  const { handle, state: now } = await openFile(state.path);
  try {
    const bytes =
      now.sizeBytes === state.sizeBytes && now.changedMs === state.changedMs
        ? await fill(handle, Buffer.allocUnsafeSlow(end - start), start)
        : undefined;
    if (bytes?.length === end - start) return bytes;
    throw new DataError({
      what: `${state.path} has changed since it was read`,
      expected: 'the file as it was at the beginning',
      fix: 'leave the file alone while it is used, and run the command again',
    });
  } finally {
    await handle.close();
  }
}

/** Whether there is a folder. */
export async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * The bytes of a file that is read at once.
 * @throws DataError if it cannot be read, or is larger.
 */
export async function readSmallFile(path: string, maxBytes: number): Promise<Buffer> {
  try {
    const { size } = await stat(path);
    if (size <= maxBytes) return await readFile(path);
    throw new Error(`${size} bytes, and at most ${maxBytes} are read at once`);
  } catch (error) {
    throw new DataError(
      {
        what: `${path} cannot be read`,
        got: (error as Error).message,
        fix: 'check the path, or write the table as TSV, which is read piece by piece',
      },
      error,
    );
  }
}
