// Owns the shape of a Qwen2.5-VL model, read from a Hugging Face config.json of any vintage.

import { CheckpointError } from '../errors.ts';

/** The vision tower's shape. */
export interface VisionConfig {
  readonly depth: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHeads: number;
  readonly inChannels: number;
  /** Pixels a side. */
  readonly patchSize: number;
  /** Frames a patch; a still picture is repeated. */
  readonly temporalPatchSize: number;
  /** Patches a side that become one token. */
  readonly mergeSize: number;
  /** Pixels a side of an attention window. */
  readonly windowSize: number;
  /** Blocks that attend to the whole picture instead of windows. */
  readonly fullAttentionBlocks: readonly number[];
  /** Width of the merged tokens, equal to the decoder's. */
  readonly outHiddenSize: number;
}

/** The decoder's shape. */
export interface TextConfig {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headSize: number;
  readonly rmsNormEpsilon: number;
  readonly ropeTheta: number;
  /** Frequencies for the temporal, height and width positions; their sum is headSize / 2. */
  readonly mropeSection: readonly [number, number, number];
  readonly tieWordEmbeddings: boolean;
}

/** Token ids the model treats specially. */
export interface SpecialTokenIds {
  readonly image: number;
  readonly video: number;
  readonly visionStart: number;
}

/** The whole model's shape. */
export interface ModelConfig {
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  readonly tokens: SpecialTokenIds;
}

/** A folded or nested JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Upper bound of any count in a config; far above every published model. */
const MAX_COUNT = 1 << 24;
// ours: every layer costs memory before any weight is looked for; the largest Qwen2.5-VL has 80.
const MAX_LAYERS = 1024;
/** What holds without `rms_norm_eps`. Source: transformers 5.23.0 `Qwen2_5_VLTextConfig`. */
const DEFAULT_EPSILON = 1e-5;

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class Reader {
  readonly faults: string[] = [];

  positive(
    source: JsonObject,
    path: string,
    name: string,
    fallback?: number,
    most = MAX_COUNT,
  ): number {
    const value = source[name] ?? fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= most)
      return value;
    this.faults.push(
      `${path}${name} is ${JSON.stringify(value)}, expected an integer in 1..${most}`,
    );
    return 1;
  }

  real(source: JsonObject, path: string, name: string, fallback: number): number {
    const value = source[name] ?? fallback;
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    this.faults.push(`${path}${name} is ${JSON.stringify(value)}, expected a number above 0`);
    return fallback;
  }

  require(holds: boolean, fault: string): void {
    if (!holds) this.faults.push(fault);
  }
}

function readVision(reader: Reader, json: JsonObject, textHidden: number): VisionConfig {
  const path = 'vision_config.';
  const blocks = json['fullatt_block_indexes'] ?? [7, 15, 23, 31];
  const fullAttentionBlocks = Array.isArray(blocks)
    ? blocks.filter((b) => typeof b === 'number')
    : [];
  const vision: VisionConfig = {
    depth: reader.positive(json, path, 'depth', 32, MAX_LAYERS),
    hiddenSize: reader.positive(json, path, 'hidden_size', 1280),
    intermediateSize: reader.positive(json, path, 'intermediate_size', 3420),
    numHeads: reader.positive(json, path, 'num_heads', 16),
    inChannels: reader.positive(
      json,
      path,
      json['in_channels'] === undefined ? 'in_chans' : 'in_channels',
      3,
    ),
    patchSize: reader.positive(
      json,
      path,
      json['patch_size'] === undefined ? 'spatial_patch_size' : 'patch_size',
      14,
    ),
    temporalPatchSize: reader.positive(json, path, 'temporal_patch_size', 2),
    mergeSize: reader.positive(json, path, 'spatial_merge_size', 2),
    windowSize: reader.positive(json, path, 'window_size', 112),
    fullAttentionBlocks,
    outHiddenSize: reader.positive(json, path, 'out_hidden_size', textHidden),
  };
  const act = json['hidden_act'] ?? 'silu';
  reader.require(act === 'silu', `${path}hidden_act is ${JSON.stringify(act)}, expected "silu"`);
  reader.require(
    vision.hiddenSize % vision.numHeads === 0 && (vision.hiddenSize / vision.numHeads) % 4 === 0,
    `${path}hidden_size / num_heads must be a multiple of 4 for 2-D rotary positions`,
  );
  reader.require(
    vision.windowSize >= vision.patchSize * vision.mergeSize,
    `${path}window_size is smaller than one merged patch`,
  );
  reader.require(
    vision.outHiddenSize === textHidden,
    `${path}out_hidden_size ${vision.outHiddenSize} differs from the decoder's hidden_size ${textHidden}`,
  );
  return vision;
}

/**
 * The rotary settings, which moved with the years: `rope_scaling` at the root, the same in
 * `text_config`, `rope_parameters` with the base in it. Where several stand, the oldest name counts.
 * Source: transformers 5.23.0 configuration_qwen2_5_vl.py, `convert_rope_params_to_dict`.
 */
function readRope(json: JsonObject, top: JsonObject): JsonObject {
  const names = ['rope_scaling', 'rope_parameters'];
  const found = [json, top].flatMap((source) => names.map((name) => source[name]));
  return found.find(isObject) ?? {};
}

function readText(reader: Reader, json: JsonObject, top: JsonObject): TextConfig {
  const path = json === top ? '' : 'text_config.';
  const ropeJson = readRope(json, top);
  const numHeads = reader.positive(json, path, 'num_attention_heads');
  const hiddenSize = reader.positive(json, path, 'hidden_size');
  const headSize = reader.positive(json, path, 'head_dim', Math.floor(hiddenSize / numHeads));
  const section = ropeJson['mrope_section'];
  const [t, h, w] = Array.isArray(section) ? (section as unknown[]) : [];
  const mropeSection = [t, h, w].map((v) => (typeof v === 'number' ? v : 0)) as unknown as [
    number,
    number,
    number,
  ];
  const isWhole = mropeSection.every((size) => Number.isInteger(size) && size > 0);
  reader.require(
    isWhole && mropeSection[0] + mropeSection[1] + mropeSection[2] === headSize / 2,
    `${path}rope_scaling.mrope_section is ${JSON.stringify(section)}, expected three integers that add up to head size / 2 = ${headSize / 2}`,
  );
  const ropeType = ropeJson['rope_type'] ?? ropeJson['type'] ?? 'default';
  reader.require(
    ropeType === 'default' || ropeType === 'mrope',
    `${path}rope type is ${JSON.stringify(ropeType)}, expected "default" or "mrope"`,
  );
  const sliding = json['use_sliding_window'] ?? false;
  reader.require(
    sliding === false,
    `${path}use_sliding_window is set; only full attention is implemented`,
  );
  const layerTypes: unknown = json['layer_types'] ?? [];
  reader.require(
    Array.isArray(layerTypes) && layerTypes.every((type) => type === 'full_attention'),
    `${path}layer_types has others than "full_attention"; only full attention is implemented`,
  );
  const act = json['hidden_act'] ?? 'silu';
  reader.require(act === 'silu', `${path}hidden_act is ${JSON.stringify(act)}, expected "silu"`);
  const numKvHeads = reader.positive(json, path, 'num_key_value_heads', numHeads);
  reader.require(
    numHeads % numKvHeads === 0,
    `${path}num_attention_heads ${numHeads} is no multiple of num_key_value_heads ${numKvHeads}`,
  );
  return {
    vocabSize: reader.positive(json, path, 'vocab_size'),
    hiddenSize,
    intermediateSize: reader.positive(json, path, 'intermediate_size'),
    numLayers: reader.positive(json, path, 'num_hidden_layers', undefined, MAX_LAYERS),
    numHeads,
    numKvHeads,
    headSize,
    rmsNormEpsilon: reader.real(json, path, 'rms_norm_eps', DEFAULT_EPSILON),
    ropeTheta: reader.real({ ...json, ...ropeJson }, path, 'rope_theta', 1e6),
    mropeSection,
    tieWordEmbeddings:
      (top['tie_word_embeddings'] ?? json['tie_word_embeddings'] ?? false) === true,
  };
}

/**
 * Reads a parsed config.json; both the published flat layout and the newer nested one
 * (`text_config`). All faults are reported at once.
 */
export function parseModelConfig(json: unknown, where: string): ModelConfig {
  const fail = (got: string): never => {
    throw new CheckpointError({
      what: `${where} does not describe a Qwen2.5-VL model`,
      got,
      expected: 'the config.json of a Qwen2_5_VLForConditionalGeneration checkpoint',
      fix: 'point --model at a folder with such a config.json',
    });
  };
  if (!isObject(json)) return fail('no JSON object');
  if (json['model_type'] !== 'qwen2_5_vl')
    return fail(`model_type ${JSON.stringify(json['model_type'])}`);
  const reader = new Reader();
  const textJson = isObject(json['text_config']) ? json['text_config'] : json;
  const text = readText(reader, textJson, json);
  const visionJson = isObject(json['vision_config']) ? json['vision_config'] : {};
  const vision = readVision(reader, visionJson, text.hiddenSize);
  const id = (name: string, fallback: number): number => {
    const value = json[name] ?? textJson[name] ?? fallback;
    const valid =
      typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < text.vocabSize;
    reader.require(
      valid,
      `${name} is ${JSON.stringify(value)}, expected an id below vocab_size ${text.vocabSize}`,
    );
    return valid ? value : 0;
  };
  const tokens = {
    image: id('image_token_id', 151655),
    video: id('video_token_id', 151656),
    visionStart: id('vision_start_token_id', 151652),
  };
  if (reader.faults.length > 0) fail(reader.faults.join('; '));
  return { vision, text, tokens };
}
