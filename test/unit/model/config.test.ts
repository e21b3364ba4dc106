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
