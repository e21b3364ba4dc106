// Owns checkpoints on disk in Hugging Face layout: config.json and safetensors, read and written.
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { openModelFolder, writeSafetensors } from '../engine/safetensors.ts';
import { parseJsonObject } from '../engine/strict-json.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { parseModelConfig } from '../model/config.ts';
import type { JsonObject } from '../model/config.ts';
import { expectSameHead, matchParameters } from '../model/parameter-names.ts';
import { modelSpecs } from '../model/parameters.ts';
import { fillWeights } from '../model/weights.ts';
import type { Weights } from '../model/weights.ts';

/** Largest JSON file of a checkpoint that is read; ours: tokenizer.json of Qwen2.5 has 7 MB. */
const MAX_JSON_BYTES = 1 << 25;

async function expectSize(path: string): Promise<void> {
  const { size } = await stat(path);
  if (size <= MAX_JSON_BYTES) return;
  throw new CheckpointError({
    what: `${path} is too large to be what its name says`,
    got: `${size} bytes`,
    expected: `at most ${MAX_JSON_BYTES} bytes`,
    fix: 'get the checkpoint again',
  });
}

/** Reads and parses a JSON file of a checkpoint: an object. */
export async function readCheckpointJson(path: string): Promise<JsonObject> {
  let text: Buffer;
  try {
    await expectSize(path);
    text = await readFile(path);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(
      {
        what: `${path} cannot be read`,
        expected: 'a folder in Hugging Face layout',
        fix: 'check --model',
      },
      cause,
    );
  }
  return parseJsonObject(text, path);
}

/** Reads a model's config and all its weights as f32. For models that fit in memory whole. */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const path = join(folder, 'config.json');
  const configJson = await readCheckpointJson(path);
  const config = parseModelConfig(configJson, path);
  const specs = modelSpecs(config);
  await using reader = await openModelFolder(folder);
  const names = matchParameters(specs, reader.infos, folder);
  await expectSameHead(reader, names, folder);
  const { fileNames } = names;
  const tensors = new Map<string, Tensor>();
  for (const [name, fileName] of fileNames) tensors.set(name, await reader.read(fileName));
  return { folder, config, configJson, weights: fillWeights(specs, tensors, folder), fileNames };
}

/** Writes config.json and model.safetensors (f32, published names); other files are the caller's. */
export async function writeCheckpoint(
  folder: string,
  configJson: JsonObject,
  weights: Weights,
  metadata: ReadonlyMap<string, string> = new Map(),
): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFileAtomic(join(folder, 'config.json'), [
    new TextEncoder().encode(`${JSON.stringify(configJson, null, 2)}\n`),
  ]);
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    weights.byName,
    new Map([['format', 'pt'], ...metadata]),
  );
}
