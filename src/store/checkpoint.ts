// Owns checkpoints on disk in Hugging Face layout: config.json and safetensors, read and written.
import { mkdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { openModelFolder, writeSafetensors } from '../engine/safetensors.ts';
import type { Constant } from '../engine/stored.ts';
import { ELEMENT_SIZES } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { canonicalName } from '../model/checkpoint.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { parseModelConfig } from '../model/config.ts';
import type { JsonObject, ModelConfig } from '../model/config.ts';
import { findPackings, runSpecs, storedSpecs } from '../model/packed-weights.ts';
import { modelSpecs } from '../model/parameters.ts';
import { expectParameters, fillWeights } from '../model/weights.ts';
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

/** Reads and parses a JSON file of a checkpoint. */
export async function readCheckpointJson(path: string): Promise<unknown> {
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
  try {
    return JSON.parse(text.toString('utf8')) as unknown;
  } catch (cause) {
    throw new CheckpointError(
      { what: `${path} is no JSON`, got: cause instanceof Error ? cause.message : '' },
      cause,
    );
  }
}

async function readConfig(
  folder: string,
): Promise<{ readonly configJson: JsonObject; readonly config: ModelConfig }> {
  const path = join(folder, 'config.json');
  const configJson = (await readCheckpointJson(path)) as JsonObject;
  return { configJson, config: parseModelConfig(configJson, path) };
}

/** Reads a model's config and all its weights as f32. For models that fit in memory whole. */
export async function readCheckpoint(folder: string): Promise<Checkpoint<Weights>> {
  const { configJson, config } = await readConfig(folder);
  const specs = modelSpecs(config);
  const wanted = new Set(specs.map((s) => s.name));
  await using reader = await openModelFolder(folder);
  const tensors = new Map<string, Tensor>();
  const fileNames = new Map<string, string>();
  for (const fileName of reader.infos.keys()) {
    const name = canonicalName(fileName);
    if (!wanted.has(name)) continue;
    fileNames.set(name, fileName);
    tensors.set(name, await reader.read(fileName));
  }
  return { folder, config, configJson, weights: fillWeights(specs, tensors, folder), fileNames };
}

/**
 * Opens a model to be run: its config is read, its weights stay in their files until a graph maps
 * them, in the type they are stored in, packed matrices included.
 * @throws CheckpointError when a parameter is missing or misshapen.
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const { configJson, config } = await readConfig(folder);
  await using reader = await openModelFolder(folder);
  const fileNames = new Map([...reader.infos.keys()].map((name) => [canonicalName(name), name]));
  const infos = new Map([...reader.infos].map(([name, info]) => [canonicalName(name), info]));
  const packings = findPackings(runSpecs(config), infos);
  const specs = storedSpecs(config, packings);
  expectParameters(specs, infos, folder);
  const constants = new Map<string, Constant>();
  for (const { name } of specs) {
    const fileName = fileNames.get(name) ?? name;
    const stored = reader.place(fileName);
    const isAligned = stored.begin % ELEMENT_SIZES[stored.dtype] === 0;
    constants.set(name, isAligned ? stored : await reader.read(fileName));
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
