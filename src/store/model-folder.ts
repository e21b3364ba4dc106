// Owns model folders in Hugging Face layout: weights with tokenizer, template and picture settings.
import { copyFile, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import { parseJsonObject } from '../engine/strict-json.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { JsonObject } from '../model/config.ts';
import { parseGenerationConfig } from '../model/generation-config.ts';
import type { GenerationDefaults } from '../model/generation-config.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import type { WeightSource, Weights } from '../model/weights.ts';
import { createChatTemplate } from '../processor/chat.ts';
import type { TokenizerFiles } from '../processor/tiny-tokenizer.ts';
import { createTokenizer } from '../processor/tokenizer.ts';
import {
  openCheckpoint,
  readCheckpoint,
  readCheckpointJson,
  writeCheckpoint,
} from './checkpoint.ts';
import { expectRowsFor, latentTokenIds } from '../processor/tokens.ts';
import { PICTURE_FILE, PROCESSOR_FILE, readPictureSettings } from './preprocessor.ts';

const TOKENIZER_FILE = 'tokenizer.json';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const TEMPLATE_FILE = 'chat_template.jinja';
const TEMPLATE_JSON = 'chat_template.json';
const GENERATION_FILE = 'generation_config.json';
/** Files beside the weights that a model folder carries along unchanged, and whether it must. */
export const COMPANION_FILES: ReadonlyMap<string, 'needed' | 'optional'> = new Map([
  [TOKENIZER_FILE, 'needed'],
  [TOKENIZER_CONFIG_FILE, 'needed'],
  [PICTURE_FILE, 'optional'],
  [PROCESSOR_FILE, 'optional'],
  [TEMPLATE_FILE, 'optional'],
  [TEMPLATE_JSON, 'optional'],
  [GENERATION_FILE, 'optional'],
]);

/** In the order the original looks: a file of its own, a JSON file of older folders, the tokenizer's. */
async function readTemplate(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, TEMPLATE_FILE), 'utf8');
  } catch {
    const files = (await readdir(folder)).includes(TEMPLATE_JSON) ? [TEMPLATE_JSON] : [];
    for (const file of [...files, TOKENIZER_CONFIG_FILE]) {
      const json = await readCheckpointJson(join(folder, file));
      const template = json['chat_template'];
      if (typeof template === 'string') return template;
    }
    throw new CheckpointError({
      what: `${folder} has no chat template`,
      expected: `${TEMPLATE_FILE}, or chat_template in ${TEMPLATE_JSON} or tokenizer_config.json`,
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
  return {
    checkpoint,
    tokenizer,
    template: createChatTemplate(await readTemplate(folder)),
    ...(await readPictureSettings(folder, vision)),
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
