// Tests copies of model folders whose weights are in shards: as files, as links, over what is there.
import {
  cp,
  lstat,
  mkdir,
  readFile,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hashModel } from '../../../src/context/provenance.ts';
import { CheckpointError } from '../../../src/errors.ts';
import {
  INDEX_FILE,
  SINGLE_FILE,
  readSafetensors,
  writeSafetensors,
} from '../../../src/engine/safetensors.ts';
import { encodeShardIndex } from '../../../src/engine/safetensors-writer.ts';
import { copyModel } from '../../../src/store/model-copy.ts';
import { openModelBundle } from '../../../src/store/model-folder.ts';
import { inTemporaryFolder } from '../../helpers/mini-model.ts';
import { SHIPPED_BASE } from '../../helpers/small-way.ts';

const SHARDS = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'] as const;

/** The shipped base in two shards, with a file that is no part of a model and a link to a shard. */
async function shardedBase(folder: string): Promise<void> {
  await cp(SHIPPED_BASE, folder, { recursive: true });
  const { tensors } = await readSafetensors(join(folder, SINGLE_FILE));
  await rm(join(folder, SINGLE_FILE));
  const names = [...tensors.keys()];
  const parts = [names.slice(0, 20), names.slice(20)];
  const weightMap = new Map<string, string>();
  for (const [i, file] of SHARDS.entries()) {
    const part = parts[i] ?? [];
    for (const name of part) weightMap.set(name, file);
    const own = [...tensors].filter(([name]) => part.includes(name));
    await writeSafetensors(join(folder, file), new Map(own));
  }
  await writeFile(join(folder, INDEX_FILE), encodeShardIndex({ weightMap, totalBytes: 1 }));
  await writeFile(join(folder, 'run.json'), '{"finished": true}');
  await mkdir(join(folder, 'blobs'));
  await rename(join(folder, SHARDS[1]), join(folder, 'blobs', 'second'));
  await symlink(join('blobs', 'second'), join(folder, SHARDS[1]));
}

describe('a copy of a model folder', () => {
  it('has all files of a model and no others, and stays when the first is gone', async () => {
    await inTemporaryFolder(async (folder) => {
      const [base, copy] = [join(folder, 'base'), join(folder, 'copy')];
      await shardedBase(base);
      const hash = await hashModel(base);
      await copyModel(base, copy, 'copy');
      expect((await readdir(copy)).sort()).toEqual(
        [
          ...['chat_template.jinja', 'config.json', ...SHARDS, INDEX_FILE],
          ...['preprocessor_config.json', 'tokenizer.json', 'tokenizer_config.json'],
        ].sort(),
      );
      await rm(base, { recursive: true });
      expect(await hashModel(copy)).toBe(hash);
      expect((await openModelBundle(copy)).checkpoint.config.text.hiddenSize).toBe(128);
    });
  });

  it('links to the files themselves, not to other links, and copies what is small', async () => {
    await inTemporaryFolder(async (folder) => {
      const [base, linked] = [join(folder, 'base'), join(folder, 'linked')];
      await shardedBase(base);
      await copyModel(base, linked, 'link');
      await rm(join(base, SHARDS[1]));
      for (const file of await readdir(linked)) {
        const isShard = (SHARDS as readonly string[]).includes(file);
        expect((await lstat(join(linked, file))).isSymbolicLink(), file).toBe(isShard);
      }
      await openModelBundle(linked);
      await rm(base, { recursive: true });
      await expect(openModelBundle(linked)).rejects.toThrow(CheckpointError);
    });
  });

  it('replaces what an earlier copy left, links too, and never writes through them', async () => {
    await inTemporaryFolder(async (folder) => {
      const [base, again] = [join(folder, 'base'), join(folder, 'again')];
      await shardedBase(base);
      const before = await readFile(join(base, SHARDS[0]));
      await copyModel(base, again, 'link');
      await copyModel(base, again, 'copy');
      await writeFile(join(again, SHARDS[0]), 'broken');
      expect(before.equals(await readFile(join(base, SHARDS[0])))).toBe(true);
      await copyModel(base, again, 'copy');
      expect(await hashModel(again)).toBe(await hashModel(base));
    });
  });

  it('leaves no part of a file behind when a file is missing', async () => {
    await inTemporaryFolder(async (folder) => {
      const [base, copy] = [join(folder, 'base'), join(folder, 'copy')];
      await shardedBase(base);
      await rm(join(base, 'tokenizer.json'));
      await expect(copyModel(base, copy, 'copy')).rejects.toThrow('tokenizer.json');
      expect((await readdir(copy)).filter((file) => file.includes('partial'))).toEqual([]);
    });
  });
});
