// Owns writing a safetensors file that is never whole in memory; converters of checkpoints call it.
import { CheckpointError, ShapeError } from '../errors.ts';
import { writeFileAtomic } from './atomic-file.ts';
import { encodeHeader, type TensorDescription } from './safetensors-header.ts';
import { show } from './strict-json.ts';
import { ELEMENT_SIZES, numElements, showDims } from './tensor.ts';

/** The bytes of one tensor in order, in pieces of any size; little-endian as in the file. */
export type TensorBytes = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/**
 * Writes a file tensor by tensor, atomically: header first, then the pieces as they come. Memory
 * is that of one piece; a piece is on its way to the disk before the next one is asked for, so a
 * producer may fill the same memory again. The bytes are those that writeSafetensors writes for
 * the same tensors, and do not depend on the order of the maps.
 * @param descriptions - dtype and dims of every tensor of the file.
 * @param produce - called once a tensor, in the order of the file: wide elements first, then by
 * name. What it throws comes out unchanged, and no file is left behind.
 * @throws ShapeError when a tensor's pieces are more or fewer bytes than its dims say,
 * CheckpointError on the reserved name, RuntimeError when the disk is full.
 */
export async function writeSafetensorsStream(
  path: string,
  descriptions: ReadonlyMap<string, TensorDescription>,
  produce: (name: string) => TensorBytes,
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  for (const { dims } of descriptions.values()) numElements(dims);
  const { bytes, names } = encodeHeader(descriptions, metadata);
  await writeFileAtomic(path, allParts(bytes, names, descriptions, produce));
}

async function* allParts(
  header: Uint8Array,
  names: readonly string[],
  descriptions: ReadonlyMap<string, TensorDescription>,
  produce: (name: string) => TensorBytes,
): AsyncGenerator<Uint8Array> {
  yield header;
  for (const name of names) {
    const description = descriptions.get(name);
    if (description === undefined) continue;
    const expected = numElements(description.dims) * ELEMENT_SIZES[description.dtype];
    let done = 0;
    for await (const piece of produce(name)) {
      done += piece.byteLength;
      if (done > expected) break;
      yield piece;
    }
    if (done !== expected) throw wrongLength(name, description, done, expected);
  }
}

function wrongLength(
  name: string,
  { dtype, dims }: TensorDescription,
  done: number,
  expected: number,
): ShapeError {
  return new ShapeError({
    what: `The bytes of tensor ${show(name)} do not fit its dims`,
    got: done > expected ? `${String(done)} bytes and maybe more` : `${String(done)} bytes`,
    expected: `${String(expected)} bytes for ${dtype} of dims ${showDims(dims)}`,
  });
}

/** What an index file of a sharded checkpoint says. */
export interface ShardIndex {
  /** Shard file by tensor name. */
  readonly weightMap: ReadonlyMap<string, string>;
  /** Bytes of all tensors together. */
  readonly totalBytes: number;
  /** Elements of all tensors together; left out of the file when unknown. */
  readonly totalParameters?: number;
}

/**
 * The text of `model.safetensors.index.json`, names sorted.
 * Source: Hugging Face `save_pretrained`, keys and layout of the index.
 * @throws CheckpointError when there is no tensor.
 */
export function encodeShardIndex(index: ShardIndex): string {
  if (index.weightMap.size === 0) {
    throw new CheckpointError({
      what: 'An index of shards without tensors cannot be written',
      fix: 'write a checkpoint that has weights',
    });
  }
  const names = [...index.weightMap.keys()].sort();
  const weightMap = Object.fromEntries(names.map((name) => [name, index.weightMap.get(name)]));
  const metadata = {
    ...(index.totalParameters === undefined ? {} : { total_parameters: index.totalParameters }),
    total_size: index.totalBytes,
  };
  return `${JSON.stringify({ metadata, weight_map: weightMap }, null, 2)}\n`;
}
