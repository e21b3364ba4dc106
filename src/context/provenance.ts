// Owns where results come from: hashes of models and data, versions; every command that writes uses it.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EXAMPLES_FILE } from '../data/dataset.ts';
import { systemCode } from '../engine/atomic-file.ts';
import { openModelFolder, openSafetensors } from '../engine/safetensors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import { DataError } from '../errors.ts';
import { HEAD_FILE } from '../store/latent-head.ts';
import { readCheckpointJson } from '../store/checkpoint.ts';

/** Names, types, dims and bytes of all tensors; one piece is in memory at a time. */
async function hashTensors(hash: Hash, reader: TensorReader): Promise<void> {
  for (const [name, { dtype, dims }] of [...reader.infos].sort(byName)) {
    hash.update(`${name} ${dtype} [${dims.join(',')}]\0`);
    for await (const piece of reader.pieces(name)) hash.update(piece);
  }
}

function byName([first]: readonly [string, unknown], [second]: readonly [string, unknown]): number {
  return first < second ? -1 : 1;
}

/**
 * SHA-256 of what a model computes: config.json, every tensor of the weights and of the latent
 * head. How the weights are sharded and what is noted beside them does not matter.
 * @throws CheckpointError when the folder holds no whole model.
 */
export async function hashModel(folder: string): Promise<string> {
  const hash = createHash('sha256');
  hash.update(JSON.stringify(await readCheckpointJson(join(folder, 'config.json'))));
  await using weights = await openModelFolder(folder);
  await hashTensors(hash, weights);
  const head = join(folder, HEAD_FILE);
  const hasHead = await access(head).then(
    () => true,
    () => false,
  );
  if (!hasHead) return hash.digest('hex');
  await using reader = await openSafetensors(head);
  hash.update(reader.metadata.get('settings') ?? '');
  await hashTensors(hash, reader);
  return hash.digest('hex');
}

/**
 * SHA-256 of a dataset's list of examples; the pictures go in by name only.
 * @throws DataError when the folder holds no dataset.
 */
export async function hashDataset(folder: string): Promise<string> {
  const hash = createHash('sha256');
  const path = join(folder, EXAMPLES_FILE);
  try {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  } catch (cause) {
    if (systemCode(cause) === undefined) throw cause;
    throw new DataError(
      {
        what: `${folder} holds no dataset`,
        got: (cause as Error).message,
        expected: `${EXAMPLES_FILE} with one example a line`,
        fix: 'name a dataset folder, or finish it with `gapvl data generate`',
      },
      cause,
    );
  }
  return hash.digest('hex');
}

/** Versions of what decides about the bits of a result. */
export async function versions(): Promise<Readonly<Record<string, string>>> {
  const file = new URL('../../package.json', import.meta.url);
  const { version } = JSON.parse(await readFile(file, 'utf8')) as { version: string };
  const { env } = await import('onnxruntime-node');
  return {
    gapvl: version,
    'onnxruntime-node': env.versions.node ?? 'unknown',
  };
}
