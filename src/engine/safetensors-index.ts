// Owns the list of shards of a large checkpoint, as pure bytes; safetensors.ts opens what it names.
import { CheckpointError } from '../errors.ts';
import { isObject, parseJsonObject, show } from './strict-json.ts';

/**
 * Shard file by tensor name, from the bytes of `model.safetensors.index.json`.
 * @param path - how messages call the file.
 * @throws CheckpointError when it is no such index, names no tensor, or names a shard that is not
 * a plain file name: a checkpoint cannot make anybody read files outside of its folder.
 */
export function parseShardIndex(bytes: Uint8Array, path: string): ReadonlyMap<string, string> {
  const weightMap = parseJsonObject(bytes, path)['weight_map'];
  if (!isObject(weightMap) || Object.keys(weightMap).length === 0) {
    throw new CheckpointError({
      what: `${path} has no weight_map`,
      got: show(weightMap),
      expected: 'an object of tensor name: shard file',
      fix: 'get the file again; it is not the index of a sharded checkpoint',
    });
  }
  const fileOf = new Map<string, string>();
  for (const [name, file] of Object.entries(weightMap)) {
    if (typeof file !== 'string' || !isPlainFileName(file)) {
      throw new CheckpointError({
        what: `${path} names a shard of tensor ${show(name)} that is no plain file name`,
        got: show(file),
        expected: 'the name of a .safetensors file in the same folder',
        fix: 'do not use this checkpoint unless you know where it comes from',
      });
    }
    fileOf.set(name, file);
  }
  return fileOf;
}

/** No folders, no drive letters, no NUL: the shard can only lie beside its index. */
function isPlainFileName(file: string): boolean {
  return /^[^/\\:\0]+\.safetensors$/.test(file);
}
