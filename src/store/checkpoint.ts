// Owns checkpoints on disk in Hugging Face layout: config.json and safetensors, read and written.
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { openModelFolder, writeSafetensors } from '../engine/safetensors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import type { Constant } from '../engine/stored.ts';
import { parseJsonObject } from '../engine/strict-json.ts';
import { ELEMENT_SIZES, cast } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { canonicalName } from '../model/checkpoint.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { parseModelConfig } from '../model/config.ts';
import type { JsonObject, ModelConfig } from '../model/config.ts';
import { findPackings, runSpecs, storedSpecs } from '../model/packed-weights.ts';
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

async function readConfig(
  folder: string,
): Promise<{ readonly configJson: JsonObject; readonly config: ModelConfig }> {
  const path = join(folder, 'config.json');
  const configJson = await readCheckpointJson(path);
  return { configJson, config: parseModelConfig(configJson, path) };
}

/** Reads a model's config and all its weights as f32. For models that fit in memory whole. */
export async function readCheckpoint(folder: string): Promise<Checkpoint<Weights>> {
  const { configJson, config } = await readConfig(folder);
  const specs = modelSpecs(config);
  await using reader = await openModelFolder(folder);
  const names = matchParameters(specs, reader.infos, folder);
  await expectSameHead(reader, names, folder);
  const { fileNames } = names;
  const tensors = new Map<string, Tensor>();
  for (const [name, fileName] of fileNames) tensors.set(name, await reader.read(fileName));
  return { folder, config, configJson, weights: fillWeights(specs, tensors, folder), fileNames };
}

/** A tensor in memory; f64, which no graph for inference takes, as f32. */
async function readNarrow(reader: TensorReader, fileName: string): Promise<Tensor> {
  const found = await reader.read(fileName);
  return found.dtype === 'f64' ? cast(found, 'f32') : found;
}

/**
 * Opens a model to be run: its config is read, its weights stay in their files until a graph maps
 * them, in the type they are stored in, packed matrices included.
 * @throws CheckpointError when a parameter is missing or misshapen.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const { configJson, config } = await readConfig(folder);
  await using reader = await openModelFolder(folder);
  const infos = new Map([...reader.infos].map(([name, info]) => [canonicalName(name), info]));
  const packings = findPackings(runSpecs(config), infos);
  const specs = storedSpecs(config, packings);
  const names = matchParameters(specs, reader.infos, folder);
  await expectSameHead(reader, names, folder);
  const { fileNames } = names;
  const constants = new Map<string, Constant>();
  for (const [name, fileName] of fileNames) {
    const stored = reader.place(fileName);
    const isUsable = stored.begin % ELEMENT_SIZES[stored.dtype] === 0 && stored.dtype !== 'f64';
    constants.set(name, isUsable ? stored : await readNarrow(reader, fileName));
  }
  return { folder, config, configJson, weights: { constants, packings }, fileNames };
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
