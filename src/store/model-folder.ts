// Owns model folders in Hugging Face layout: weights with tokenizer, template and picture settings.
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { LATENT_END, LATENT_PAD, LATENT_START } from '../data/format.ts';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import { parseJsonObject } from '../engine/strict-json.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { JsonObject } from '../model/config.ts';
import { parseGenerationConfig } from '../model/generation-config.ts';
import type { GenerationDefaults } from '../model/generation-config.ts';
import type { Weights } from '../model/weights.ts';
import { createChatTemplate } from '../processor/chat.ts';
import { CLIP_MEAN, CLIP_STD } from '../processor/patches.ts';
import type { TokenizerFiles } from '../processor/tiny-tokenizer.ts';
import { createTokenizer } from '../processor/tokenizer.ts';
import { readCheckpoint, readCheckpointJson, writeCheckpoint } from './checkpoint.ts';

/** Files beside the weights that a model folder carries along unchanged. */
const COMPANION_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'preprocessor_config.json',
] as const;
const TEMPLATE_FILE = 'chat_template.jinja';
const GENERATION_FILE = 'generation_config.json';

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
    const json = (await readCheckpointJson(join(folder, 'tokenizer_config.json'))) as JsonObject;
    const template = json['chat_template'];
    if (typeof template === 'string') return template;
    throw new CheckpointError({
      what: `${folder} has no chat template`,
      expected: `${TEMPLATE_FILE}, or chat_template in tokenizer_config.json`,
      fix: 'get the checkpoint again with all its files',
    });
  }
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
 * Reads a model folder in Hugging Face layout; generation_config.json may be missing.
 * @throws CheckpointError naming the file that is missing or broken.
 */
export async function readModelBundle(folder: string): Promise<ModelBundle> {
  const checkpoint = await readCheckpoint(folder);
  const [tokenizerJson, tokenizerConfig, preprocessor] = await Promise.all(
    COMPANION_FILES.map((file) => readCheckpointJson(join(folder, file))),
  );
  const generation = await readGeneration(folder);
  const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig);
  const { vision } = checkpoint.config;
  const json = preprocessor as JsonObject;
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
    pixels: {
      minPixels: numberOr(json, 'min_pixels', 56 * 56),
      maxPixels: numberOr(json, 'max_pixels', 28 * 28 * 1280),
    },
    sequence: {
      imagePad: checkpoint.config.tokens.image,
      latentStart: tokenizer.idOf(LATENT_START),
      latentPad: tokenizer.idOf(LATENT_PAD),
      latentEnd: tokenizer.idOf(LATENT_END),
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
  await writeFileAtomic(join(folder, 'tokenizer.json'), text(companions.tokenizer.tokenizerJson));
  await writeFileAtomic(
    join(folder, 'tokenizer_config.json'),
    text(companions.tokenizer.tokenizerConfig),
  );
  await writeFileAtomic(join(folder, 'preprocessor_config.json'), text(companions.preprocessor));
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
  for (const file of [...COMPANION_FILES, TEMPLATE_FILE, GENERATION_FILE]) {
    await copyFile(join(source, file), join(folder, file)).catch((error: unknown) => {
      if (file !== TEMPLATE_FILE && file !== GENERATION_FILE) throw error;
    });
  }
}
