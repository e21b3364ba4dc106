// Owns checkpoints on disk in Hugging Face layout: config.json, safetensors, and the key map.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import { openModelFolder, writeSafetensors } from '../engine/safetensors.ts';
import type { Tensor } from '../engine/tensor.ts';
import { parseModelConfig } from './config.ts';
import type { JsonObject, ModelConfig } from './config.ts';
import { modelSpecs } from './parameters.ts';
import { Weights, fillWeights } from './weights.ts';

/** A model as read from a folder. */
export interface Checkpoint {
  readonly folder: string;
  readonly config: ModelConfig;
  /** config.json as it was, to be written back unchanged. */
  readonly configJson: JsonObject;
  readonly weights: Weights;
  /** Our parameter name to the name the file uses. */
  readonly fileNames: ReadonlyMap<string, string>;
}

/**
 * The name we use for a tensor of a checkpoint: the published layout (`visual.`, `model.layers.`),
 * also for files written in the newer nested one. Source: the conversion mapping of
 * transformers' Qwen2_5_VLForConditionalGeneration.
 */
export function canonicalName(fileName: string): string {
  if (fileName.startsWith('model.visual.')) return fileName.slice('model.'.length);
  if (fileName.startsWith('model.language_model.'))
    return `model.${fileName.slice('model.language_model.'.length)}`;
  if (fileName.startsWith('language_model.model.')) return fileName.slice('language_model.'.length);
  return fileName;
}

/** Largest config.json that is read. */
const MAX_CONFIG_BYTES = 1 << 20;

/** Reads and parses a JSON file of a checkpoint. */
export async function readCheckpointJson(path: string): Promise<unknown> {
  let text: Buffer;
  try {
    text = await readFile(path);
  } catch (cause) {
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
    if (text.length > MAX_CONFIG_BYTES * 32) throw new RangeError(`${text.length} bytes`);
    return JSON.parse(text.toString('utf8')) as unknown;
  } catch (cause) {
    throw new CheckpointError(
      { what: `${path} is no JSON`, got: cause instanceof Error ? cause.message : '' },
      cause,
    );
  }
}

/** Reads a model's config and all its weights as f32. For models that fit in memory whole. */
export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const path = join(folder, 'config.json');
  const configJson = (await readCheckpointJson(path)) as JsonObject;
  const config = parseModelConfig(configJson, path);
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
