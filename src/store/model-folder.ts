// Owns model folders in Hugging Face layout: weights with tokenizer, template and picture settings.
import { access, copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import { isObject, parseJsonObject } from '../engine/strict-json.ts';
import type { ModelBundle, PixelLimits } from '../model/bundle.ts';
import type { JsonObject } from '../model/config.ts';
import { parseGenerationConfig } from '../model/generation-config.ts';
import type { GenerationDefaults } from '../model/generation-config.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { WeightSource, Weights } from '../model/weights.ts';
import { createChatTemplate } from '../processor/chat.ts';
import { CLIP_MEAN, CLIP_STD } from '../processor/patches.ts';
import type { TokenizerFiles } from '../processor/tiny-tokenizer.ts';
import { createTokenizer } from '../processor/tokenizer.ts';
import {
  openCheckpoint,
  readCheckpoint,
  readCheckpointJson,
  writeCheckpoint,
} from './checkpoint.ts';
import { expectRowsFor, latentTokenIds } from '../processor/tokens.ts';

const TOKENIZER_FILE = 'tokenizer.json';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const TEMPLATE_FILE = 'chat_template.jinja';
const GENERATION_FILE = 'generation_config.json';
const PICTURE_FILE = 'preprocessor_config.json';
/** Where transformers 5 writes the picture settings, among others, as `image_processor`. */
const PROCESSOR_FILE = 'processor_config.json';
/** Files beside the weights that a model folder carries along unchanged, and whether it must. */
const COMPANION_FILES: ReadonlyMap<string, 'needed' | 'optional'> = new Map([
  [TOKENIZER_FILE, 'needed'],
  [TOKENIZER_CONFIG_FILE, 'needed'],
  [PICTURE_FILE, 'optional'],
  [PROCESSOR_FILE, 'optional'],
  [TEMPLATE_FILE, 'optional'],
  [GENERATION_FILE, 'optional'],
]);

function numberOr(json: JsonObject, name: string, fallback: number): number {
  const value = json[name];
  return typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : fallback;
}

function triple(
  json: JsonObject,
  name: string,
  fallback: readonly [number, number, number],
): readonly [number, number, number] {
  const value = json[name];
  const numbers = Array.isArray(value) ? value.filter((v) => typeof v === 'number') : [];
  const [r = 0, g = 0, b = 0] = numbers;
  return numbers.length === 3 ? [r, g, b] : fallback;
}

async function readTemplate(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, TEMPLATE_FILE), 'utf8');
  } catch {
    const json = await readCheckpointJson(join(folder, TOKENIZER_CONFIG_FILE));
    const template = json['chat_template'];
    if (typeof template === 'string') return template;
    throw new CheckpointError({
      what: `${folder} has no chat template`,
      expected: `${TEMPLATE_FILE}, or chat_template in tokenizer_config.json`,
      fix: 'get the checkpoint again with all its files',
    });
  }
}

/** The picture settings of any vintage. */
async function readPictureSettings(folder: string): Promise<JsonObject> {
  const isThere = (file: string): Promise<boolean> =>
    access(join(folder, file)).then(
      () => true,
      () => false,
    );
  if ((await isThere(PICTURE_FILE)) || !(await isThere(PROCESSOR_FILE)))
    return readCheckpointJson(join(folder, PICTURE_FILE));
  const path = join(folder, PROCESSOR_FILE);
  const settings = (await readCheckpointJson(path))['image_processor'];
  if (isObject(settings)) return settings;
  throw new CheckpointError({
    what: `${path} has no picture settings`,
    expected: `image_processor in it, or ${PICTURE_FILE} beside it`,
    fix: 'get the checkpoint again with all its files',
  });
}

/**
 * Limits of a picture's pixels: `min_pixels` and `max_pixels`, else the edges of `size`, which
 * mean the same. Source: transformers 5.23.0 image_processing_qwen2_vl.py.
 */
function readPixelLimits(json: JsonObject): PixelLimits {
  const size = isObject(json['size']) ? json['size'] : {};
  return {
    minPixels: numberOr(json, 'min_pixels', numberOr(size, 'shortest_edge', 56 * 56)),
    maxPixels: numberOr(json, 'max_pixels', numberOr(size, 'longest_edge', 28 * 28 * 1280)),
  };
}

async function readGeneration(folder: string): Promise<GenerationDefaults | undefined> {
  const path = join(folder, GENERATION_FILE);
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw new CheckpointError(
      { what: `${path} cannot be read`, expected: 'a file, or none', fix: 'check the folder' },
      cause,
    );
  }
  return parseGenerationConfig(parseJsonObject(bytes, path), path);
}

/**
 * Reads a model folder in Hugging Face layout, its weights into memory, to be trained. A tokenizer
 * without the tokens of latent spans, as published ones are, will do for text; what needs latents
 * calls expectLatentTokens.
 */
export async function readModelBundle(folder: string): Promise<ModelBundle<Weights>> {
  return withCompanions(folder, await readCheckpoint(folder));
}

/** Opens a model folder in Hugging Face layout to be run: its weights stay in their files. */
export async function openModelBundle(folder: string): Promise<ModelBundle> {
  return withCompanions(folder, await openCheckpoint(folder));
}

async function withCompanions<W extends WeightSource>(
  folder: string,
  checkpoint: Checkpoint<W>,
): Promise<ModelBundle<W>> {
  const tokenizer = createTokenizer(
    await readCheckpointJson(join(folder, TOKENIZER_FILE)),
    await readCheckpointJson(join(folder, TOKENIZER_CONFIG_FILE)),
  );
  const generation = await readGeneration(folder);
  const { vision, text } = checkpoint.config;
  expectRowsFor(tokenizer, text.vocabSize, folder);
  const json = await readPictureSettings(folder);
  return {
    checkpoint,
    tokenizer,
    template: createChatTemplate(await readTemplate(folder)),
    patches: {
      patchSize: vision.patchSize,
      temporalPatchSize: vision.temporalPatchSize,
      mergeSize: vision.mergeSize,
      mean: triple(json, 'image_mean', CLIP_MEAN),
      std: triple(json, 'image_std', CLIP_STD),
    },
    pixels: readPixelLimits(json),
    sequence: {
      imagePad: checkpoint.config.tokens.image,
      ...latentTokenIds(tokenizer),
      responseEnd: tokenizer.idOf('<|im_end|>'),
    },
    padId: tokenizer.idOf('<|endoftext|>'),
    ...(generation ? { generation } : {}),
  };
}

/** Files of a model folder besides config and weights. */
export interface ModelCompanions {
  readonly tokenizer: TokenizerFiles;
  readonly preprocessor: JsonObject;
}

/** Writes the files beside the weights of a new model. */
export async function writeCompanions(folder: string, companions: ModelCompanions): Promise<void> {
  const text = (value: unknown): Uint8Array[] => [
    new TextEncoder().encode(
      typeof value === 'string' ? value : `${JSON.stringify(value, null, 2)}\n`,
    ),
  ];
  await writeFileAtomic(join(folder, TOKENIZER_FILE), text(companions.tokenizer.tokenizerJson));
  await writeFileAtomic(
    join(folder, TOKENIZER_CONFIG_FILE),
    text(companions.tokenizer.tokenizerConfig),
  );
  await writeFileAtomic(join(folder, PICTURE_FILE), text(companions.preprocessor));
  await writeFileAtomic(join(folder, TEMPLATE_FILE), text(companions.tokenizer.chatTemplate));
}

/** Writes a trained copy of a model: new weights, everything else as it was. */
export async function writeTrainedModel(
  bundle: ModelBundle,
  folder: string,
  weights: Weights,
  metadata: ReadonlyMap<string, string>,
): Promise<void> {
  await writeCheckpoint(folder, bundle.checkpoint.configJson, weights, metadata);
  const source = bundle.checkpoint.folder;
  for (const [file, need] of COMPANION_FILES) {
    await copyFile(join(source, file), join(folder, file)).catch((error: unknown) => {
      if (need === 'needed' || systemCode(error) !== 'ENOENT') throw error;
    });
  }
}
