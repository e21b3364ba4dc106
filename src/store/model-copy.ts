// Owns a model folder that has the weights of another one, unchanged; head-only training writes its
// head beside them.
import { access, mkdir, realpath, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '../errors.ts';
import { INDEX_FILE, SINGLE_FILE, readShardNames } from '../engine/safetensors.ts';
import { copyPart } from './new-folder.ts';
import { COMPANION_FILES } from './model-folder.ts';

/**
 * `copy`: files of their own, which use no space where the file system can share it. `link`:
 * symbolic links, which take no space and are good as long as the other folder stays in its place.
 */
export type CopyMode = 'copy' | 'link';

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Files of weights of a model folder: the single one, or the index and its shards. */
async function weightFiles(folder: string): Promise<readonly string[]> {
  if (await isThere(join(folder, SINGLE_FILE))) return [SINGLE_FILE];
  return [...(await readShardNames(join(folder, INDEX_FILE))), INDEX_FILE];
}

async function linkPart(from: string, to: string): Promise<void> {
  try {
    await symlink(await realpath(from), to);
  } catch (error) {
    const fix = 'leave --link out, so that the weights are copied';
    throw new RuntimeError(
      { what: `Cannot make ${to} a link to ${from}`, got: String(error), fix },
      error,
    );
  }
}

/**
 * Gives `folder` the config, the weights and the files beside them of the model in `source`. Small
 * files are copied in any case. What stands there already is replaced, each file at once; the index
 * of shards is written after them.
 * @throws RuntimeError when the disk is full, or links cannot be made there.
 */
export async function copyModel(source: string, folder: string, mode: CopyMode): Promise<void> {
  await mkdir(folder, { recursive: true });
  const weights = await weightFiles(source);
  for (const file of ['config.json', ...COMPANION_FILES.keys(), ...weights]) {
    const [from, to] = [join(source, file), join(folder, file)];
    if (COMPANION_FILES.get(file) === 'optional' && !(await isThere(from))) continue;
    const part = `${to}.partial-${String(process.pid)}`;
    const isLarge = weights.includes(file) && file !== INDEX_FILE;
    try {
      await (mode === 'link' && isLarge ? linkPart : copyPart)(from, part);
      await rename(part, to);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }
}
