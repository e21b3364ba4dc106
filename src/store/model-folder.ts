// Owns model folders in Hugging Face layout: weights with tokenizer, template and picture settings.
import { copyFile, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { LATENT_END, LATENT_PAD, LATENT_START } from '../data/format.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { JsonObject } from '../model/config.ts';
import type { Weights } from '../model/weights.ts';
import { createChatTemplate } from '../processor/chat.ts';
import type { TokenizerFiles } from '../processor/tiny-tokenizer.ts';
import { createTokenizer } from '../processor/tokenizer.ts';
import { readPreprocessor } from './preprocessor.ts';
import { readCheckpoint, readCheckpointJson, writeCheckpoint } from './checkpoint.ts';

/** Files beside the weights that a model folder carries along unchanged. */
const COMPANION_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'preprocessor_config.json',
] as const;
const TEMPLATE_FILE = 'chat_template.jinja';
const TEMPLATE_JSON = 'chat_template.json';
const TEMPLATE_FILES: readonly string[] = [TEMPLATE_FILE, TEMPLATE_JSON];

/** In the order the original looks: a file of its own, a JSON file of older folders, the tokenizer's. */
async function readTemplate(folder: string): Promise<string> {
  try {
    return await readFile(join(folder, TEMPLATE_FILE), 'utf8');
  } catch {
    const files = (await readdir(folder)).includes(TEMPLATE_JSON) ? [TEMPLATE_JSON] : [];
    for (const file of [...files, 'tokenizer_config.json']) {
      const json = (await readCheckpointJson(join(folder, file))) as JsonObject;
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

/** Reads a model folder in Hugging Face layout. */
export async function readModelBundle(folder: string): Promise<ModelBundle> {
  const checkpoint = await readCheckpoint(folder);
  const [tokenizerJson, tokenizerConfig, preprocessor] = await Promise.all(
    COMPANION_FILES.map((file) => readCheckpointJson(join(folder, file))),
  );
  const tokenizer = createTokenizer(tokenizerJson, tokenizerConfig);
  const { vision } = checkpoint.config;
  return {
    checkpoint,
    tokenizer,
    template: createChatTemplate(await readTemplate(folder)),
    ...readPreprocessor(preprocessor, vision, join(folder, 'preprocessor_config.json')),
    sequence: {
      imagePad: checkpoint.config.tokens.image,
      latentStart: tokenizer.idOf(LATENT_START),
      latentPad: tokenizer.idOf(LATENT_PAD),
      latentEnd: tokenizer.idOf(LATENT_END),
      responseEnd: tokenizer.idOf('<|im_end|>'),
    },
    padId: tokenizer.idOf('<|endoftext|>'),
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
  for (const file of [...COMPANION_FILES, ...TEMPLATE_FILES]) {
    await copyFile(join(source, file), join(folder, file)).catch((error: unknown) => {
      if (!TEMPLATE_FILES.includes(file)) throw error;
    });
  }
}
