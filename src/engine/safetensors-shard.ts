// Owns one open safetensors file: handle, checked header, reads by range; safetensors.ts uses it.
import type { Stats } from 'node:fs';
import { open, realpath, type FileHandle } from 'node:fs/promises';
import { CheckpointError, RuntimeError } from '../errors.ts';
import { systemCode } from './atomic-file.ts';
import {
  LENGTH_BYTES,
  parseHeader,
  readHeaderLength,
  type TensorInfo,
} from './safetensors-header.ts';

/** ours: the largest single read; the system's own limit is just below 2^31. */
const READ_BYTES = 1 << 30;

/** One open file with its checked header. */
export interface Shard {
  readonly path: string;
  /** Absolute, symbolic links resolved. */
  readonly realPath: string;
  readonly handle: FileHandle;
  readonly dataStart: number;
  readonly infos: ReadonlyMap<string, TensorInfo>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Opens a file and checks its whole header.
 * @throws CheckpointError when it is missing, truncated or not as the format says.
 */
export async function openShard(path: string): Promise<Shard> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r');
    const { size } = await expectFile(handle, path);
    const at = { path, handle, dataStart: 0 };
    const first = new Uint8Array(Math.min(LENGTH_BYTES, size));
    await readExactly(at, first, 0);
    const header = new Uint8Array(readHeaderLength(first, size, path));
    await readExactly(at, header, LENGTH_BYTES);
    const dataStart = LENGTH_BYTES + header.byteLength;
    const { tensors, metadata } = parseHeader(header, size - dataStart, path);
    return { path, realPath: await realpath(path), handle, dataStart, infos: tensors, metadata };
  } catch (error) {
    await handle?.close();
    throw openError(path, error);
  }
}

/** The state of an open file. @throws CheckpointError when it is a folder or a device. */
export async function expectFile(handle: FileHandle, path: string): Promise<Stats> {
  const stats = await handle.stat();
  if (stats.isFile()) return stats;
  throw new CheckpointError({ what: `${path} is not a file`, fix: 'name a file' });
}

/** A missing or unreadable checkpoint is the user's data; other failures stay what they are. */
export function openError(path: string, error: unknown): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  const fix =
    code === 'ENOENT' ? 'check the path, or get the file' : 'check the path and its rights';
  return new CheckpointError(
    { what: `Cannot open ${path}`, got: (error as Error).message, fix },
    error,
  );
}

/** Closes the handles; closing twice is fine. */
export async function closeAll(shards: Iterable<Shard>): Promise<void> {
  for (const { handle } of shards) await handle.close();
}

/**
 * Fills `target` from `begin` bytes after the header on.
 * @throws CheckpointError when the file ends before, RuntimeError when the disk fails.
 */
export async function readExactly(
  shard: Pick<Shard, 'path' | 'handle' | 'dataStart'>,
  target: Uint8Array,
  begin: number,
): Promise<void> {
  let done = 0;
  while (done < target.byteLength) {
    const length = Math.min(READ_BYTES, target.byteLength - done);
    const { bytesRead } = await readSome(shard, target, done, length, begin);
    if (bytesRead === 0) {
      throw new CheckpointError({
        what: `${shard.path} became shorter while it was read`,
        fix: 'wait until nothing writes to it, then run the command again',
      });
    }
    done += bytesRead;
  }
}

async function readSome(
  shard: Pick<Shard, 'path' | 'handle' | 'dataStart'>,
  target: Uint8Array,
  done: number,
  length: number,
  begin: number,
): Promise<{ bytesRead: number }> {
  try {
    return await shard.handle.read(target, done, length, shard.dataStart + begin + done);
  } catch (error) {
    const fix = 'check the disk; a closed reader cannot read either';
    const what = `Cannot read ${shard.path}`;
    throw new RuntimeError({ what, got: String(error), fix }, error);
  }
}
