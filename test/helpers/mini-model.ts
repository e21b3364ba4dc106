// Owns models small enough to run in milliseconds, with random weights that hide nothing.
import { join } from 'node:path';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { parseModelConfig } from '../../src/model/config.ts';
import type { JsonObject } from '../../src/model/config.ts';
import type { ModelBundle } from '../../src/model/bundle.ts';
import { modelSpecs } from '../../src/model/parameters.ts';
import { Weights } from '../../src/model/weights.ts';
import type { ParameterSpec } from '../../src/model/parameters.ts';
import { createChatTemplate } from '../../src/processor/chat.ts';
import { CLIP_MEAN, CLIP_STD } from '../../src/processor/patches.ts';
import { TINY_CHAT_TEMPLATE, buildTinyTokenizer } from '../../src/processor/tiny-tokenizer.ts';
import { createTokenizer } from '../../src/processor/tokenizer.ts';
import { chatTokenIds, latentTokenIds } from '../../src/processor/tokens.ts';
import { Rng } from '../../src/rng.ts';

/** What of a mini model can be chosen. */
export interface MiniOptions {
  readonly seed?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly layers?: number;
  readonly tied?: boolean;
  /** Vision blocks; the second one of every pair attends to the whole picture. */
  readonly depth?: number;
  /** Side of an attention window in merged patches of 8 x 8 pixels. */
  readonly window?: number;
}

/** Words of the mini vocabulary besides tags and special tokens. */
export const MINI_WORDS = ['red', 'blue', 'green', 'one', 'two', 'three', 'what', 'is', 'it'];

const FILES = buildTinyTokenizer(MINI_WORDS);
const TOKENIZER = createTokenizer(FILES.tokenizerJson, FILES.tokenizerConfig);
const TEMPLATE = createChatTemplate(TINY_CHAT_TEMPLATE);
const IDS = { ...chatTokenIds(TOKENIZER), ...latentTokenIds(TOKENIZER) };

/** Head size 8 with sections 2, 1, 1; patches of 4 x 4 pixels, 2 x 2 of them a token. */
export function miniConfigJson(options: MiniOptions = {}): JsonObject {
  const { heads = 2, kvHeads = 1, layers = 2, tied = true, depth = 2, window = 2 } = options;
  return {
    model_type: 'qwen2_5_vl',
    hidden_size: 8 * heads,
    intermediate_size: 20,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    vocab_size: FILES.numTokens,
    rope_theta: 100,
    rope_scaling: { type: 'mrope', mrope_section: [2, 1, 1] },
    tie_word_embeddings: tied,
    image_token_id: IDS.imagePad,
    video_token_id: TOKENIZER.idOf('<|video_pad|>'),
    vision_start_token_id: IDS.visionStart,
    vision_config: {
      depth,
      hidden_size: 16,
      intermediate_size: 12,
      num_heads: 2,
      patch_size: 4,
      temporal_patch_size: 2,
      spatial_merge_size: 2,
      window_size: 8 * window,
      fullatt_block_indexes: Array.from({ length: depth }, (_, i) => i).filter((i) => i % 2 === 1),
      out_hidden_size: 8 * heads,
    },
  };
}

/** Random weights: matrices that keep the size of states, norms around 1, biases around 0. */
export function randomWeights(specs: readonly ParameterSpec[], rng: Rng): Weights {
  const weights = new Weights(specs);
  for (const [name, { data, dims }] of weights.byName) {
    const inner = dims.slice(1).reduce((product, size) => product * size, 1);
    for (let i = 0; i < data.length; i++) {
      const noise = rng.normal();
      if (dims.length > 1) data[i] = noise / Math.sqrt(inner);
      else data[i] = (name.endsWith('bias') ? 0 : 1) + 0.2 * noise;
    }
  }
  return weights;
}

/** A bundle in memory; its folder does not exist. */
export function miniBundle(options: MiniOptions = {}): ModelBundle<Weights> {
  const configJson = miniConfigJson(options);
  const config = parseModelConfig(configJson, 'the mini model');
  const { vision } = config;
  return {
    checkpoint: {
      folder: '/nowhere',
      config,
      configJson,
      weights: randomWeights(modelSpecs(config), new Rng(options.seed ?? 1)),
      fileNames: new Map(),
    },
    tokenizer: TOKENIZER,
    template: TEMPLATE,
    patches: {
      patchSize: vision.patchSize,
      temporalPatchSize: vision.temporalPatchSize,
      mergeSize: vision.mergeSize,
      mean: CLIP_MEAN,
      std: CLIP_STD,
    },
    pixels: { minPixels: 64, maxPixels: 4096 },
    sequence: {
      imagePad: IDS.imagePad,
      latentStart: IDS.latentStart,
      latentPad: IDS.latentPad,
      latentEnd: IDS.latentEnd,
      responseEnd: IDS.turnEnd,
    },
    padId: IDS.pad,
  };
}

/** Random numbers around zero with deviation `size`. */
export function randomRows(rng: Rng, length: number, size = 1): Float32Array {
  return Float32Array.from({ length }, () => size * rng.normal());
}

/** Gives a fresh folder to `use` and removes it afterwards. */
export async function inTemporaryFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'gapvl-test-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
