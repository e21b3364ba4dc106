// Owns reading and writing safetensors files, whole or sharded; checkpoints and goldens use it.
import { open, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { CheckpointError, RuntimeError, ShapeError } from '../errors.ts';
import { systemCode, writeFileAtomic } from './atomic-file.ts';
import { encodeHeader, MAX_HEADER_BYTES, type TensorInfo } from './safetensors-header.ts';
import { parseShardIndex } from './safetensors-index.ts';
import {
  closeAll,
  expectFile,
  openError,
  openShard,
  readExactly,
  type Shard,
} from './safetensors-shard.ts';
import type { StoredTensor } from './stored.ts';
import { show } from './strict-json.ts';
import { bytesOf, showDims, tensor, tensorFromBytes, type Tensor } from './tensor.ts';

/** Source: Hugging Face `save_pretrained`, the weights of a model in one file. */
export const SINGLE_FILE = 'model.safetensors';
/** Source: Hugging Face `save_pretrained`, the list of shards of a large model. */
export const INDEX_FILE = 'model.safetensors.index.json';

/** ours: bytes of one piece of a tensor that is read bit by bit; larger ones are no faster. */
export const PIECE_BYTES = 1 << 24;

/** Tensors by name with the strings stored beside them; what a whole file holds. */
export interface TensorFile {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Open tensors on the disk. Close it with `await using` or close(). Reads may overlap. */
export interface TensorReader extends AsyncDisposable {
  /** Type, dims and place of every tensor; nothing is read for it. */
  readonly infos: ReadonlyMap<string, TensorInfo>;
  /** Path of the file that each tensor lies in. */
  readonly paths: ReadonlyMap<string, string>;
  /** The strings of `__metadata__`; of a sharded checkpoint those of its first shard. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Reads one tensor, and only its bytes. @throws CheckpointError on an unknown name. */
  read(name: string): Promise<Tensor>;
  /** Reads `count` entries of the first axis from `first` on (rows of an embedding table). */
  readRows(name: string, first: number, count: number): Promise<Tensor>;
  /** Where one tensor lies, so that ONNX Runtime can map it; valid after closing, too. */
  place(name: string): StoredTensor;
  /** Reads the raw little-endian bytes of one tensor into memory the caller owns. */
  readInto(name: string, target: Uint8Array): Promise<void>;
  /**
   * The raw little-endian bytes of one tensor in pieces, for tensors too large to hold. A piece
   * is good until the next one is asked for: its memory is filled again.
   */
  pieces(name: string): AsyncIterable<Uint8Array>;
  /** Reads everything. */
  readAll(): Promise<TensorFile>;
  /** Frees the file handles; closing twice is fine. */
  close(): Promise<void>;
}

/**
 * Opens one safetensors file and checks its whole header.
 * @throws CheckpointError when it is missing, truncated or not as the format says.
 */
export async function openSafetensors(path: string): Promise<TensorReader> {
  const shard = await openShard(path);
  const owners = new Map([...shard.infos.keys()].map((name) => [name, shard]));
  return new Reader(owners, [shard]);
}

/**
 * Opens the shards that an index names (`model.safetensors.index.json`) as if they were one file.
 * @throws CheckpointError when the index is broken, names a file outside of its folder, or
 * promises a tensor that its shard does not have.
 */
export async function openShardedSafetensors(indexPath: string): Promise<TensorReader> {
  const fileOf = parseShardIndex(await readIndex(indexPath), indexPath);
  const shards = new Map<string, Shard>();
  try {
    for (const file of new Set(fileOf.values())) {
      shards.set(file, await openShard(join(dirname(indexPath), file)));
    }
    const owners = new Map<string, Shard>();
    for (const [name, file] of fileOf) {
      const shard = shards.get(file);
      if (shard?.infos.has(name) !== true) {
        throw new CheckpointError({
          what: `Tensor ${show(name)} is missing from shard ${file}`,
          expected: `what ${indexPath} says`,
          fix: 'get the checkpoint again; its index and its shards do not belong together',
        });
      }
      owners.set(name, shard);
    }
    return new Reader(owners, [...shards.values()]);
  } catch (error) {
    await closeAll(shards.values());
    throw error;
  }
}

/** The files an index names, each once. @throws CheckpointError as openShardedSafetensors. */
export async function readShardNames(indexPath: string): Promise<readonly string[]> {
  return [...new Set(parseShardIndex(await readIndex(indexPath), indexPath).values())];
}

/**
 * Opens the weights of a Hugging Face model folder: `model.safetensors` if it is there, as the
 * reference does, else the shards of the index. Links are followed: a download cache is made of
 * them. Source: transformers 5.23.0 modeling_utils.py, `_get_resolved_checkpoint_files`.
 * @throws CheckpointError when the folder has neither, or as the two functions above.
 */
export async function openModelFolder(folder: string): Promise<TensorReader> {
  for (const [file, opener] of [
    [SINGLE_FILE, openSafetensors],
    [INDEX_FILE, openShardedSafetensors],
  ] as const) {
    if (await exists(join(folder, file))) return opener(join(folder, file));
  }
  throw new CheckpointError({
    what: `No weights in ${folder}`,
    expected: `${SINGLE_FILE} or ${INDEX_FILE}`,
    fix: 'name the folder of a model in Hugging Face layout',
  });
}

/** Reads a whole file at once; for files known to be small. @throws as openSafetensors. */
export async function readSafetensors(path: string): Promise<TensorFile> {
  await using reader = await openSafetensors(path);
  return await reader.readAll();
}

/**
 * Writes tensors to a file, atomically. The same tensors give the same bytes, whatever the order
 * of the map.
 * @throws ShapeError when data does not fit its dims, RuntimeError when the disk is full.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  for (const t of tensors.values()) tensor(t.dtype, t.dims, t.data);
  const { bytes, names } = encodeHeader(tensors, metadata);
  const parts = [bytes];
  for (const name of names) {
    const t = tensors.get(name);
    if (t !== undefined) parts.push(bytesOf(t));
  }
  await writeFileAtomic(path, parts);
}

function allocate(sizeBytes: number, name: string): Uint8Array {
  try {
    return new Uint8Array(sizeBytes);
  } catch (error) {
    const what = `Not enough memory to read tensor ${show(name)}`;
    const fix = 'close other programs, or use a machine with more memory';
    throw new RuntimeError({ what, got: `${String(sizeBytes)} bytes`, fix }, error);
  }
}

class Reader implements TensorReader {
  readonly infos: ReadonlyMap<string, TensorInfo>;
  readonly paths: ReadonlyMap<string, string>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly #owners: ReadonlyMap<string, Shard>;
  readonly #shards: readonly Shard[];

  constructor(owners: ReadonlyMap<string, Shard>, shards: readonly Shard[]) {
    const infos = new Map<string, TensorInfo>();
    for (const [name, shard] of owners) {
      const info = shard.infos.get(name);
      if (info !== undefined) infos.set(name, info);
    }
    this.infos = infos;
    this.paths = new Map([...owners].map(([name, { path }]) => [name, path]));
    this.metadata = shards[0]?.metadata ?? new Map<string, string>();
    this.#owners = owners;
    this.#shards = shards;
  }

  async read(name: string): Promise<Tensor> {
    const { shard, info } = this.#find(name);
    const bytes = allocate(info.end - info.begin, name);
    await readExactly(shard, bytes, info.begin);
    return tensorFromBytes(info.dtype, info.dims, bytes);
  }

  async readRows(name: string, first: number, count: number): Promise<Tensor> {
    const { shard, info } = this.#find(name);
    const [rows = 0, ...rowDims] = info.dims;
    const fits = Number.isInteger(first) && Number.isInteger(count) && first >= 0 && count >= 0;
    if (!fits || first + count > rows) {
      throw new ShapeError({
        what: `Rows of tensor ${show(name)} do not exist`,
        got: `${String(count)} rows from ${String(first)} on`,
        expected: `rows within dims ${showDims(info.dims)}`,
      });
    }
    const rowBytes = rows === 0 ? 0 : (info.end - info.begin) / rows;
    const bytes = allocate(count * rowBytes, name);
    await readExactly(shard, bytes, info.begin + first * rowBytes);
    return tensorFromBytes(info.dtype, [count, ...rowDims], bytes);
  }

  place(name: string): StoredTensor {
    const { shard, info } = this.#find(name);
    const [begin, end] = [shard.dataStart + info.begin, shard.dataStart + info.end];
    return { dtype: info.dtype, dims: info.dims, path: shard.realPath, begin, end };
  }

  async readInto(name: string, target: Uint8Array): Promise<void> {
    const { shard, info } = this.#find(name);
    if (target.byteLength !== info.end - info.begin) {
      throw new ShapeError({
        what: `Memory for tensor ${show(name)} has the wrong size`,
        got: `${String(target.byteLength)} bytes`,
        expected: `${String(info.end - info.begin)} bytes`,
      });
    }
    await readExactly(shard, target, info.begin);
  }

  async *pieces(name: string): AsyncGenerator<Uint8Array> {
    const { shard, info } = this.#find(name);
    const piece = allocate(Math.min(PIECE_BYTES, info.end - info.begin), name);
    for (let at = info.begin; at < info.end; at += PIECE_BYTES) {
      const part = piece.subarray(0, Math.min(PIECE_BYTES, info.end - at));
      await readExactly(shard, part, at);
      yield part;
    }
  }

  async readAll(): Promise<TensorFile> {
    const tensors = new Map<string, Tensor>();
    for (const name of this.infos.keys()) tensors.set(name, await this.read(name));
    return { tensors, metadata: this.metadata };
  }

  async close(): Promise<void> {
    await closeAll(this.#shards);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #find(name: string): { shard: Shard; info: TensorInfo } {
    const shard = this.#owners.get(name);
    const info = this.infos.get(name);
    if (shard !== undefined && info !== undefined) return { shard, info };
    throw new CheckpointError({
      what: `No tensor ${show(name)} in ${this.#shards.map((each) => each.path).join(', ')}`,
      expected: `one of the ${String(this.infos.size)} tensors there`,
      fix: 'check that the checkpoint is one of this model',
    });
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw openError(path, error);
  }
}

async function readIndex(path: string): Promise<Uint8Array> {
  try {
    await using handle = await open(path, 'r');
    const { size } = await expectFile(handle, path);
    if (size > MAX_HEADER_BYTES) {
      throw new CheckpointError({
        what: `${path} is too long for a checkpoint index`,
        got: `${String(size)} bytes`,
        expected: `at most ${String(MAX_HEADER_BYTES)} bytes`,
        fix: 'get the file again',
      });
    }
    const bytes = new Uint8Array(size);
    await readExactly({ path, handle, dataStart: 0 }, bytes, 0);
    return bytes;
  } catch (error) {
    throw openError(path, error);
  }
}
