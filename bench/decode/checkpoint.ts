// Owns the random checkpoints of bench/decode.ts and bench/step.ts in our layout, plain or packed to 4 bits.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TensorDescription } from '../../src/engine/safetensors-header.ts';
import { writeSafetensorsStream } from '../../src/engine/safetensors-writer.ts';
import type { TensorBytes } from '../../src/engine/safetensors-writer.ts';
import { numElements } from '../../src/engine/tensor.ts';
import { parseModelConfig } from '../../src/model/config.ts';
import type { JsonObject } from '../../src/model/config.ts';
import { runSpecs, storedSpecs } from '../../src/model/packed-weights.ts';
import { PACKED_SUFFIXES, modelSpecs } from '../../src/model/parameters.ts';
import { CODE_SCALE, randomCodes, randomFloats } from './random.ts';
import type { DecoderShape, Precision } from './shapes.ts';

/** What a layer normalises with. */
export const NORM_EPSILON = 1e-6;
/** Base of the rotary positions. */
export const ROPE_THETA = 1e6;
const HEAD = 'lm_head.weight';
/** The name under which a matrix draws its numbers; a head of its own is the table once more. */
export const TABLE = 'model.embed_tokens.weight';

/** config.json of a shape; the vision tower is as small as it can be unless settings say otherwise. */
function configJson(shape: DecoderShape, vision: JsonObject): JsonObject {
  const quarter = shape.hidden / shape.heads / 8;
  return {
    architectures: ['Qwen2_5_VLForConditionalGeneration'],
    model_type: 'qwen2_5_vl',
    hidden_size: shape.hidden,
    intermediate_size: shape.inner,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    vocab_size: shape.vocab,
    rms_norm_eps: NORM_EPSILON,
    rope_theta: ROPE_THETA,
    rope_scaling: { type: 'mrope', mrope_section: [2 * quarter, quarter, quarter] },
    tie_word_embeddings: true,
    hidden_act: 'silu',
    max_position_embeddings: 4096,
    use_sliding_window: false,
    image_token_id: shape.vocab - 1,
    video_token_id: shape.vocab - 2,
    vision_start_token_id: shape.vocab - 3,
    vision_end_token_id: shape.vocab - 4,
    bos_token_id: shape.vocab - 5,
    eos_token_id: shape.vocab - 6,
    pad_token_id: shape.vocab - 5,
    torch_dtype: 'float32',
    vision_config: {
      ...{ model_type: 'qwen2_5_vl', depth: 1, hidden_size: 32, intermediate_size: 64 },
      ...{ num_heads: 2, in_channels: 3, hidden_act: 'silu', patch_size: 14, window_size: 112 },
      ...{ spatial_patch_size: 14, temporal_patch_size: 2, spatial_merge_size: 2 },
      ...{ fullatt_block_indexes: [0], out_hidden_size: shape.hidden, tokens_per_second: 2 },
      ...vision,
    },
  };
}

function asBytes(array: Float32Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

function* produce(name: string, { dims }: TensorDescription): Generator<Uint8Array> {
  const count = numElements(dims);
  if (name.endsWith(PACKED_SUFFIXES.codes)) {
    const matrix = name.slice(0, -PACKED_SUFFIXES.codes.length);
    yield* randomCodes(matrix === HEAD ? TABLE : matrix, count);
  } else if (name.endsWith(PACKED_SUFFIXES.scales)) {
    yield asBytes(new Float32Array(count).fill(CODE_SCALE));
  } else if (dims.length === 1 && name.endsWith('.weight')) {
    yield asBytes(new Float32Array(count).fill(1));
  } else {
    for (const piece of randomFloats(name, count)) yield asBytes(piece);
  }
}

/** Writes a checkpoint of a shape into a new folder; `vision` are settings of its vision tower. */
export async function writeCheckpoint(
  folder: string,
  shape: DecoderShape,
  precision: Precision,
  vision: JsonObject = {},
): Promise<void> {
  const json = configJson(shape, vision);
  const config = parseModelConfig(json, folder);
  const matrices = runSpecs(config).filter(
    ({ name, dims }) => dims.length === 2 && !name.startsWith('visual.'),
  );
  const packing = { bits: 4, symmetric: true } as const;
  const specs =
    precision === 'f32'
      ? modelSpecs(config)
      : storedSpecs(config, new Map(matrices.map(({ name }) => [name, packing])));
  const described = new Map<string, TensorDescription>();
  for (const { name, dims, dtype } of specs) described.set(name, { dtype: dtype ?? 'f32', dims });
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(json));
  await writeSafetensorsStream(
    join(folder, 'model.safetensors'),
    described,
    (name): TensorBytes => produce(name, described.get(name) as TensorDescription),
    new Map([['format', 'pt']]),
  );
}
