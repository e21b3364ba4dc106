// Owns the shape of the embedded model: the real architecture at a size that trains in minutes.
import type { JsonObject } from './config.ts';

/** Ids a config needs from the tokenizer. */
export interface TinyTokenIds {
  readonly vocabSize: number;
  readonly image: number;
  readonly video: number;
  readonly visionStart: number;
  readonly visionEnd: number;
  readonly endOfTurn: number;
  readonly pad: number;
}

/**
 * config.json of the tiny model. ours, from the pilot: pictures of 96 x 96 pixels, patch 8, merge
 * 2, hence 36 picture tokens. Rotary base 10 instead of 1e6: with heads of 32 the width section
 * holds the lowest frequencies, which at a large base cannot tell neighbouring columns apart.
 */
export function tinyConfigJson(ids: TinyTokenIds): JsonObject {
  return {
    architectures: ['Qwen2_5_VLForConditionalGeneration'],
    model_type: 'qwen2_5_vl',
    hidden_size: 128,
    intermediate_size: 288,
    num_hidden_layers: 4,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    vocab_size: ids.vocabSize,
    rms_norm_eps: 1e-6,
    rope_theta: 10,
    rope_scaling: { type: 'mrope', mrope_section: [4, 6, 6] },
    tie_word_embeddings: true,
    hidden_act: 'silu',
    max_position_embeddings: 4096,
    use_sliding_window: false,
    image_token_id: ids.image,
    video_token_id: ids.video,
    vision_start_token_id: ids.visionStart,
    vision_end_token_id: ids.visionEnd,
    bos_token_id: ids.pad,
    eos_token_id: ids.endOfTurn,
    pad_token_id: ids.pad,
    initializer_range: 0.02,
    torch_dtype: 'float32',
    vision_config: {
      model_type: 'qwen2_5_vl',
      depth: 2,
      hidden_size: 64,
      intermediate_size: 160,
      num_heads: 2,
      in_channels: 3,
      hidden_act: 'silu',
      patch_size: 8,
      spatial_patch_size: 8,
      temporal_patch_size: 2,
      spatial_merge_size: 2,
      window_size: 48,
      fullatt_block_indexes: [1],
      out_hidden_size: 128,
      tokens_per_second: 2,
    },
  };
}
