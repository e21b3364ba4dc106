// Tests reading checkpoints: names of every vintage, storage types, what is wrong with a broken one.
import { createHash } from 'node:crypto';
import { mkdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { writeSafetensors } from '../../../src/engine/safetensors.ts';
import { cast, tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { canonicalName } from '../../../src/model/checkpoint.ts';
import { readCheckpoint, writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import { modelSpecs } from '../../../src/model/parameters.ts';
import type { Weights } from '../../../src/model/weights.ts';
import { Rng } from '../../../src/rng.ts';
import { inTemporaryFolder, miniConfigJson, randomWeights } from '../../helpers/mini-model.ts';

const JSON_CONFIG = miniConfigJson({ layers: 1, tied: false });
const CONFIG = parseModelConfig(JSON_CONFIG, 'the mini model');

function makeWeights(): Weights {
  return randomWeights(modelSpecs(CONFIG), new Rng('weights'));
}

/** Writes a folder whose tensors are made from the mini model's by name. */
async function writeFolder(
  folder: string,
  change: (name: string, value: Tensor) => readonly (readonly [string, Tensor])[],
): Promise<void> {
  await writeFile(join(folder, 'config.json'), JSON.stringify(JSON_CONFIG));
  const tensors = [...makeWeights().byName].flatMap(([name, value]) => change(name, value));
  await writeSafetensors(join(folder, 'model.safetensors'), new Map(tensors));
}

/** Names as files of different ages write them. */
const LAYOUTS: Readonly<Record<string, (name: string) => string>> = {
  published: (name) => name,
  nested: (name) =>
    name.startsWith('visual.')
      ? `model.${name}`
      : name.replace(/^model\./, 'model.language_model.'),
  'language model first': (name) => name.replace(/^model\./, 'language_model.model.'),
};

describe('reading a checkpoint', () => {
  it.each(Object.entries(LAYOUTS))(
    'knows the %s names and remembers them',
    async (_name, rename) => {
      await inTemporaryFolder(async (folder) => {
        const buffer = [
          'model.layers.0.self_attn.rotary_emb.inv_freq',
          tensor('f32', [1], Float32Array.of(1)),
        ] as const;
        await writeFolder(folder, (name, value) =>
          name === 'model.norm.weight' ? [[rename(name), value], buffer] : [[rename(name), value]],
        );
        const { weights, fileNames } = await readCheckpoint(folder);
        expect(weights.flat).toEqual(makeWeights().flat);
        for (const { name } of modelSpecs(CONFIG)) {
          expect(fileNames.get(name)).toBe(rename(name));
          expect(canonicalName(rename(name))).toBe(name);
        }
      });
    },
  );

  it.each(['f16', 'bf16', 'f64'] as const)('reads %s as f32', async (dtype) => {
    await inTemporaryFolder(async (folder) => {
      await writeFolder(folder, (name, value) => [[name, cast(value, dtype)]]);
      const { weights } = await readCheckpoint(folder);
      const rounded = cast(
        cast(tensor('f32', [weights.flat.length], makeWeights().flat), dtype),
        'f32',
      );
      expect(weights.flat).toEqual(rounded.data);
    });
  });

  it('names everything that is missing or has a wrong shape', async () => {
    await inTemporaryFolder(async (folder) => {
      await writeFolder(folder, (name, value) => {
        if (name === 'model.norm.weight') return [];
        const flat = tensor('f32', [value.data.length], value.data as Float32Array);
        return [[name, name === 'lm_head.weight' ? flat : value]];
      });
      const failure = readCheckpoint(folder);
      await expect(failure).rejects.toThrow(CheckpointError);
      await expect(failure).rejects.toThrow(
        /model\.norm\.weight is missing; lm_head\.weight is \[\d+\], expected \[\d+, 16\]/,
      );
    });
  });

  it('follows the links of a download cache, shards and index included', async () => {
    await inTemporaryFolder(async (folder) => {
      const [blobs, snapshot] = [join(folder, 'blobs'), join(folder, 'snapshots', 'abc')];
      await mkdir(blobs);
      await mkdir(snapshot, { recursive: true });
      const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
      const all = [...makeWeights().byName].map(
        ([name, value]) => [name, cast(value, 'bf16')] as const,
      );
      const weightMap = all.map(([name], i) => [name, shards[i % 2]] as const);
      const put = async (name: string, write: (blob: string) => Promise<void>): Promise<void> => {
        const blob = createHash('sha256').update(name).digest('hex');
        await write(join(blobs, blob));
        await symlink(join('..', '..', 'blobs', blob), join(snapshot, name));
      };
      await put('config.json', (blob) => writeFile(blob, JSON.stringify(JSON_CONFIG)));
      await put('model.safetensors.index.json', (blob) =>
        writeFile(blob, JSON.stringify({ weight_map: Object.fromEntries(weightMap) })),
      );
      for (const [number, shard] of shards.entries()) {
        const own = new Map(all.filter((_, i) => i % 2 === number));
        await put(shard, (blob) => writeSafetensors(blob, own));
      }
      const { weights } = await readCheckpoint(snapshot);
      const flat = tensor('f32', [weights.flat.length], makeWeights().flat);
      expect(weights.flat).toEqual(cast(cast(flat, 'bf16'), 'f32').data);
      await rm(join(blobs, createHash('sha256').update(String(shards[1])).digest('hex')));
      await expect(readCheckpoint(snapshot)).rejects.toThrow(/Cannot open .*model-00002-of-00002/);
    });
  });

  it('takes a head stored beside a tied table only when it is the table', async () => {
    await inTemporaryFolder(async (folder) => {
      const tiedJson = { ...JSON_CONFIG, tie_word_embeddings: true };
      const table = makeWeights().get('model.embed_tokens.weight');
      const write = async (head: Tensor): Promise<void> => {
        await writeFolder(folder, (name, value) => [
          [name, name === 'lm_head.weight' ? head : value],
        ]);
        await writeFile(join(folder, 'config.json'), JSON.stringify(tiedJson));
      };
      await write(table);
      const { weights, fileNames } = await readCheckpoint(folder);
      expect(weights.byName.has('lm_head.weight')).toBe(false);
      expect(fileNames.has('lm_head.weight')).toBe(false);
      expect(weights.get('model.embed_tokens.weight')).toEqual(table);
      for (const other of [
        tensor(
          'f32',
          table.dims,
          table.data.map((v, i) => (i === 40 ? v + 1 : v)),
        ),
        cast(table, 'bf16'),
      ]) {
        await write(other);
        const failure = readCheckpoint(folder);
        await expect(failure).rejects.toThrow(/lm_head\.weight is not model\.embed_tokens\.weight/);
        await expect(failure).rejects.toThrow(/set tie_word_embeddings to false/);
      }
    });
  });

  it('says which file is broken or not there', async () => {
    await inTemporaryFolder(async (folder) => {
      await expect(readCheckpoint(folder)).rejects.toThrow(/config\.json cannot be read/);
      await writeFile(join(folder, 'config.json'), '{ "model_type": ');
      await expect(readCheckpoint(folder)).rejects.toThrow(/config\.json is not JSON in UTF-8/);
      await writeCheckpoint(folder, JSON_CONFIG, makeWeights());
      await rm(join(folder, 'model.safetensors'));
      await expect(readCheckpoint(folder)).rejects.toThrow(/No weights in/);
    });
  });

  it('looks at the size of a JSON file before it reads it', async () => {
    await inTemporaryFolder(async (folder) => {
      await writeFile(join(folder, 'config.json'), '{}');
      await truncate(join(folder, 'config.json'), 2 ** 33);
      await expect(readCheckpoint(folder)).rejects.toThrow(/too large[^]*8589934592 bytes/);
    });
  });

  it('gives back what was written, config and metadata included', async () => {
    await inTemporaryFolder(async (folder) => {
      await writeCheckpoint(folder, JSON_CONFIG, makeWeights(), new Map([['seed', '7']]));
      const { configJson, weights, config } = await readCheckpoint(folder);
      expect(configJson).toEqual(JSON_CONFIG);
      expect(config).toEqual(CONFIG);
      expect(weights.flat).toEqual(makeWeights().flat);
    });
  });
});
