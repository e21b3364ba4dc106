// Tests reading config.json: the published layout, the nested one, all faults at once.
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { parseModelConfig } from '../../../src/model/config.ts';
import type { JsonObject } from '../../../src/model/config.ts';
import { decoderSpecs, modelSpecs, visionSpecs } from '../../../src/model/parameters.ts';
import { numElements } from '../../../src/engine/tensor.ts';
import { miniConfigJson } from '../../helpers/mini-model.ts';

/** The values of Qwen2.5-VL-7B-Instruct's config.json that describe its shape. */
const PUBLISHED: JsonObject = {
  model_type: 'qwen2_5_vl',
  vision_start_token_id: 151652,
  image_token_id: 151655,
  video_token_id: 151656,
  hidden_act: 'silu',
  hidden_size: 3584,
  intermediate_size: 18944,
  num_attention_heads: 28,
  num_hidden_layers: 28,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-6,
  rope_theta: 1000000,
  use_sliding_window: false,
  tie_word_embeddings: false,
  vocab_size: 152064,
  rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
  vision_config: {
    depth: 32,
    hidden_act: 'silu',
    hidden_size: 1280,
    intermediate_size: 3420,
    num_heads: 16,
    in_chans: 3,
    out_hidden_size: 3584,
    patch_size: 14,
    spatial_merge_size: 2,
    spatial_patch_size: 14,
    window_size: 112,
    fullatt_block_indexes: [7, 15, 23, 31],
    temporal_patch_size: 2,
  },
};

/** Sizes that tell the published models apart. Source: their config.json files. */
const SIZES = {
  '3B': [2048, 11008, 36, 16, 2, 151936, 3420, true],
  '7B': [3584, 18944, 28, 28, 4, 152064, 3420, false],
  '32B': [5120, 27648, 64, 40, 8, 152064, 3456, false],
  '72B': [8192, 29568, 80, 64, 8, 152064, 3456, false],
  '72B-AWQ': [8192, 29696, 80, 64, 8, 152064, 3456, false],
} as const;
type Size = keyof typeof SIZES;

/** The flat config.json of a published model, with the fields we do not read. */
function flat(size: Size): JsonObject {
  const [hidden, ff, layers, heads, kvHeads, vocabulary, visionFf, tied] = SIZES[size];
  return {
    ...PUBLISHED,
    architectures: ['Qwen2_5_VLForConditionalGeneration'],
    attention_dropout: 0.0,
    bos_token_id: 151643,
    eos_token_id: 151645,
    hidden_size: hidden,
    intermediate_size: ff,
    max_position_embeddings: 128000,
    max_window_layers: layers,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: kvHeads,
    sliding_window: 32768,
    tie_word_embeddings: tied,
    torch_dtype: 'bfloat16',
    use_cache: true,
    vocab_size: vocabulary,
    vision_config: {
      ...(PUBLISHED['vision_config'] as JsonObject),
      intermediate_size: visionFf,
      out_hidden_size: hidden,
      tokens_per_second: 2,
    },
  };
}

const FLAT_ONLY = ['architectures', 'model_type', 'torch_dtype', 'vision_config'];
const ROOT_IDS = ['image_token_id', 'video_token_id', 'vision_start_token_id'];

/** The same model as files of later years write it. */
const VINTAGES: Readonly<Record<string, (json: JsonObject) => JsonObject>> = {
  'flat, rope called default': (json) => ({
    ...json,
    rope_scaling: { type: 'default', rope_type: 'default', mrope_section: [16, 24, 24] },
  }),
  'flat and nested at once': (json) => ({ ...json, text_config: textOf(json) }),
  nested: (json) => ({
    ...rootOf(json),
    tie_word_embeddings: json['tie_word_embeddings'],
    text_config: { ...textOf(json), model_type: 'qwen2_5_vl_text', sliding_window: null },
  }),
  'nested, tying said inside': (json) => ({ ...rootOf(json), text_config: textOf(json) }),
  'nested, rope_parameters': (json) => {
    const { rope_scaling, rope_theta, ...text } = textOf(json);
    const { mrope_section } = rope_scaling as JsonObject;
    return {
      ...rootOf(json),
      dtype: 'bfloat16',
      text_config: {
        ...text,
        layer_types: Array<string>(json['num_hidden_layers'] as number).fill('full_attention'),
        use_sliding_window: null,
        rope_parameters: { rope_type: 'default', rope_theta, mrope_section },
      },
    };
  },
};

function rootOf(json: JsonObject): JsonObject {
  const names = [...FLAT_ONLY, ...ROOT_IDS];
  return Object.fromEntries(Object.entries(json).filter(([name]) => names.includes(name)));
}

function textOf(json: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(json).filter(([name]) => !FLAT_ONLY.includes(name)));
}

function fault(change: JsonObject): string {
  try {
    parseModelConfig({ ...miniConfigJson(), ...change }, 'here/config.json');
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return String(error);
  }
  return 'no fault';
}

describe('a model config', () => {
  it('of the published 7B model has its shape and 8.29 billion parameters', () => {
    const config = parseModelConfig(PUBLISHED, 'config.json');
    expect(config.text).toMatchObject({ headSize: 128, numKvHeads: 4, mropeSection: [16, 24, 24] });
    expect(config.vision.fullAttentionBlocks).toEqual([7, 15, 23, 31]);
    const count = (specs: ReturnType<typeof modelSpecs>): number =>
      specs.reduce((sum, { dims }) => sum + numElements(dims), 0);
    // Source: total_size of its model.safetensors.index.json, 16,584,333,312 bytes in bf16.
    expect(count(modelSpecs(config))).toBe(8_292_166_656);
    expect(count(visionSpecs(config.vision)) + count(decoderSpecs(config.text))).toBe(
      8_292_166_656,
    );
  });

  it('is the same in the nested layout of today', () => {
    const { vision_config, model_type, tie_word_embeddings, rope_theta, rope_scaling, ...rest } =
      PUBLISHED;
    const scaling = rope_scaling as JsonObject;
    const text_config = {
      ...rest,
      rope_parameters: {
        rope_type: 'default',
        rope_theta,
        mrope_section: scaling['mrope_section'],
      },
    };
    const nested = { model_type, tie_word_embeddings, vision_config, text_config };
    expect(parseModelConfig(nested, 'nested')).toEqual(parseModelConfig(PUBLISHED, 'flat'));
  });

  it.each(Object.keys(SIZES) as Size[])(
    'of the published %s model is read in each vintage',
    (size) => {
      const [hidden, ff, layers, heads, kvHeads, vocabulary, visionFf, tied] = SIZES[size];
      const config = parseModelConfig(flat(size), 'flat');
      expect(config.text).toEqual({
        vocabSize: vocabulary,
        hiddenSize: hidden,
        intermediateSize: ff,
        numLayers: layers,
        numHeads: heads,
        numKvHeads: kvHeads,
        headSize: 128,
        rmsNormEpsilon: 1e-6,
        ropeTheta: 1e6,
        mropeSection: [16, 24, 24],
        tieWordEmbeddings: tied,
      });
      expect(config.vision).toEqual({
        depth: 32,
        hiddenSize: 1280,
        intermediateSize: visionFf,
        numHeads: 16,
        inChannels: 3,
        patchSize: 14,
        temporalPatchSize: 2,
        mergeSize: 2,
        windowSize: 112,
        fullAttentionBlocks: [7, 15, 23, 31],
        outHiddenSize: hidden,
      });
      expect(config.tokens).toEqual({ image: 151655, video: 151656, visionStart: 151652 });
      for (const [name, rewrite] of Object.entries(VINTAGES)) {
        expect(parseModelConfig(rewrite(flat(size)), name), name).toEqual(config);
      }
    },
  );

  it('takes what the reference takes where a setting is missing', () => {
    const { rms_norm_eps, rope_theta, tie_word_embeddings, ...rest } = PUBLISHED;
    expect([rms_norm_eps, rope_theta, tie_word_embeddings]).toEqual([1e-6, 1e6, false]);
    const { text } = parseModelConfig(rest, 'short');
    expect(text.rmsNormEpsilon).toBe(1e-5);
    expect(text.ropeTheta).toBe(1e6);
    expect(text.tieWordEmbeddings).toBe(false);
  });

  it('reports every fault at once, with its path', () => {
    const text = fault({
      hidden_size: 0,
      num_attention_heads: 2.5,
      image_token_id: 1e9,
      vision_config: { ...(miniConfigJson()['vision_config'] as JsonObject), patch_size: 'four' },
    });
    for (const path of [
      'hidden_size is 0',
      'num_attention_heads is 2.5',
      'image_token_id is 1000000000',
      'vision_config.patch_size is "four"',
    ]) {
      expect(text).toContain(path);
    }
    expect(text).toContain('here/config.json');
  });

  it.each<readonly [string, JsonObject]>([
    ['another model', { model_type: 'llama' }],
    ['sections that do not add up', { rope_scaling: { type: 'mrope', mrope_section: [2, 1, 2] } }],
    ['a rope it does not know', { rope_scaling: { type: 'yarn', mrope_section: [2, 1, 1] } }],
    ['a sliding window', { use_sliding_window: true }],
    ['layers that slide', { layer_types: ['full_attention', 'sliding_attention'] }],
    ['broken sections', { rope_scaling: { type: 'mrope', mrope_section: [1.5, 1.5, 1] } }],
    ['empty sections', { rope_scaling: { type: 'mrope', mrope_section: [4, 0, 0] } }],
    ['no rope at all', { rope_scaling: null }],
    ['another activation', { hidden_act: 'gelu' }],
    ['heads that do not share keys evenly', { num_attention_heads: 4, num_key_value_heads: 3 }],
    ['a merger of another width', { hidden_size: 32 }],
  ])('refuses %s', (_name, change) => {
    expect(fault(change)).not.toBe('no fault');
  });

  it('refuses a million layers before it asks for their weights', () => {
    const vision = { ...(miniConfigJson()['vision_config'] as JsonObject), depth: 1_000_000 };
    const text = fault({ num_hidden_layers: 1_000_000, vision_config: vision });
    expect(text).toContain('num_hidden_layers is 1000000, expected an integer in 1..1024');
    expect(text).toContain('vision_config.depth is 1000000');
  });

  it('refuses what is no object', () => {
    for (const json of [null, [], 'text', 7]) {
      expect(() => parseModelConfig(json, 'x')).toThrow(CheckpointError);
    }
  });
});
