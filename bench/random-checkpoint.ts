// Writes a checkpoint of random bf16 weights in the shapes of a published model, so that sizes and times
// can be measured without one; `npx tsx bench/random-checkpoint.ts --size 3b --out DIR`, last line JSON.
//
// The tokenizer is the word-level one of the tiny model, latent tokens included; the ids above it are
// spare rows. Pictures are made 168 x 168 pixels, 36 picture tokens, unless --picture-side says else.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { VOCABULARY } from '../src/data/vocabulary.ts';
import { writeFileAtomic } from '../src/engine/atomic-file.ts';
import { INDEX_FILE } from '../src/engine/safetensors.ts';
import type { TensorDescription } from '../src/engine/safetensors-header.ts';
import { encodeShardIndex, writeSafetensorsStream } from '../src/engine/safetensors-writer.ts';
import { numElements } from '../src/engine/tensor.ts';
import { parseModelConfig } from '../src/model/config.ts';
import type { JsonObject } from '../src/model/config.ts';
import { modelSpecs } from '../src/model/parameters.ts';
import type { ParameterSpec } from '../src/model/parameters.ts';
import { CLIP_MEAN, CLIP_STD } from '../src/processor/patches.ts';
import { buildTinyTokenizer } from '../src/processor/tiny-tokenizer.ts';
import { CHAT_TOKENS } from '../src/processor/tokens.ts';
import { Rng } from '../src/rng.ts';
import { writeCompanions } from '../src/store/model-folder.ts';

/** Decoders as published. Source: config.json of Qwen2.5-VL-3B-Instruct and -7B-Instruct. */
const DECODERS = {
  '3b': {
    hidden_size: 2048,
    intermediate_size: 11008,
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 2,
    vocab_size: 151936,
    tie_word_embeddings: true,
  },
  '7b': {
    hidden_size: 3584,
    intermediate_size: 18944,
    num_hidden_layers: 28,
    num_attention_heads: 28,
    num_key_value_heads: 4,
    vocab_size: 152064,
    tie_word_embeddings: false,
  },
  // ours: for trying this script; heads of 128 as the others, so that the rotary sections fit.
  tiny: {
    hidden_size: 256,
    intermediate_size: 512,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    vocab_size: 1024,
    tie_word_embeddings: true,
  },
} as const;
/** The vision tower of every size but tiny. Source: the same files. */
const VISION = {
  model_type: 'qwen2_5_vl',
  depth: 32,
  hidden_size: 1280,
  intermediate_size: 3420,
  num_heads: 16,
  in_channels: 3,
  hidden_act: 'silu',
  patch_size: 14,
  spatial_patch_size: 14,
  temporal_patch_size: 2,
  spatial_merge_size: 2,
  window_size: 112,
  fullatt_block_indexes: [7, 15, 23, 31],
  tokens_per_second: 2,
};
const TINY_VISION = {
  depth: 2,
  hidden_size: 64,
  intermediate_size: 96,
  num_heads: 2,
  fullatt_block_indexes: [1],
};
/** Of the weights; ours, as the decoder's first values. */
const STD = 0.02;
const SHARD_BYTES = 4e9;
/** Noise is drawn once; tensors are made of runs of it that start at random places. */
const TABLE_SIZE = 1 << 16;
const RUN_SIZE = 1 << 10;
const PIECE_SIZE = 1 << 22;
const BF16_BYTES = 2;
const BF16_ONE = 0x3f80;

const { values: flags } = parseArgs({
  options: {
    size: { type: 'string', default: '3b' },
    out: { type: 'string' },
    layers: { type: 'string' },
    'vision-depth': { type: 'string' },
    vocab: { type: 'string' },
    'picture-side': { type: 'string', default: '168' },
    seed: { type: 'string', default: '1' },
  },
});
const { size, out } = flags;
if (!(size in DECODERS) || out === undefined) {
  throw new Error(`usage: --size ${Object.keys(DECODERS).join('|')} --out DIR [--layers N]`);
}
const seed = Number(flags.seed);

/** The upper half of a float's bits, rounded to even. */
function bf16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

const noise = new Rng(seed).fork('noise');
const table = Uint16Array.from({ length: TABLE_SIZE }, () => bf16(noise.normal() * STD));

/** Norms are 1, everything else is noise that depends on seed and name only. */
function* tensorBytes({ name, dims }: ParameterSpec): Generator<Uint8Array> {
  const total = numElements(dims);
  const piece = new Uint16Array(Math.min(total, PIECE_SIZE));
  const isNorm = dims.length === 1 && name.endsWith('.weight');
  if (isNorm) piece.fill(BF16_ONE);
  const rng = new Rng(`${seed}/${name}`);
  for (let done = 0; done < total; done += piece.length) {
    const count = Math.min(piece.length, total - done);
    for (let at = 0; at < count && !isNorm; at += RUN_SIZE) {
      const length = Math.min(RUN_SIZE, count - at);
      const from = rng.nextUint32() % (TABLE_SIZE - RUN_SIZE);
      piece.set(table.subarray(from, from + length), at);
    }
    yield new Uint8Array(piece.buffer, 0, count * BF16_BYTES);
  }
}

/** Parameters in their order, cut into files of about SHARD_BYTES. */
function cutIntoShards(specs: readonly ParameterSpec[]): ParameterSpec[][] {
  const shards: ParameterSpec[][] = [];
  let room = 0;
  for (const spec of specs) {
    const bytes = numElements(spec.dims) * BF16_BYTES;
    if (shards.length === 0 || bytes > room) {
      shards.push([]);
      room = SHARD_BYTES;
    }
    shards.at(-1)?.push(spec);
    room -= bytes;
  }
  return shards;
}

const tokenizer = buildTinyTokenizer(VOCABULARY);
const added = tokenizer.tokenizerJson['added_tokens'] as readonly { id: number; content: string }[];
const idOf = (token: string): number => added.find(({ content }) => content === token)?.id ?? 0;
const decoder = DECODERS[size as keyof typeof DECODERS];
const depth = Number(flags['vision-depth'] ?? VISION.depth);
const tower = {
  ...VISION,
  depth,
  fullatt_block_indexes: VISION.fullatt_block_indexes.filter((block) => block < depth),
};
const vision = size === 'tiny' ? { ...VISION, ...TINY_VISION } : tower;
const configJson: JsonObject = {
  architectures: ['Qwen2_5_VLForConditionalGeneration'],
  model_type: 'qwen2_5_vl',
  ...decoder,
  ...(flags.layers === undefined ? {} : { num_hidden_layers: Number(flags.layers) }),
  ...(flags.vocab === undefined ? {} : { vocab_size: Number(flags.vocab) }),
  hidden_act: 'silu',
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  rope_scaling: { type: 'mrope', mrope_section: [16, 24, 24] },
  max_position_embeddings: 128000,
  use_sliding_window: false,
  torch_dtype: 'bfloat16',
  image_token_id: idOf(CHAT_TOKENS.imagePad),
  video_token_id: idOf(CHAT_TOKENS.videoPad),
  vision_start_token_id: idOf(CHAT_TOKENS.visionStart),
  vision_end_token_id: idOf(CHAT_TOKENS.visionEnd),
  bos_token_id: idOf(CHAT_TOKENS.pad),
  eos_token_id: idOf(CHAT_TOKENS.turnEnd),
  pad_token_id: idOf(CHAT_TOKENS.pad),
  vision_config: { ...vision, out_hidden_size: decoder.hidden_size },
};
const pixels = Number(flags['picture-side']) ** 2;
const preprocessor = {
  image_processor_type: 'Qwen2VLImageProcessor',
  patch_size: VISION.patch_size,
  temporal_patch_size: VISION.temporal_patch_size,
  merge_size: VISION.spatial_merge_size,
  min_pixels: pixels,
  max_pixels: pixels,
  image_mean: CLIP_MEAN,
  image_std: CLIP_STD,
};

const start = performance.now();
await mkdir(out, { recursive: true });
const specs = modelSpecs(parseModelConfig(configJson, 'the config'));
const shards = cutIntoShards(specs);
const weightMap = new Map<string, string>();
for (const [i, shard] of shards.entries()) {
  const number = (n: number): string => String(n).padStart(5, '0');
  const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
  const byName = new Map(shard.map((spec) => [spec.name, spec]));
  const descriptions = new Map<string, TensorDescription>(
    shard.map(({ name, dims }) => [name, { dtype: 'bf16', dims }]),
  );
  const produce = (name: string): Iterable<Uint8Array> =>
    tensorBytes(byName.get(name) as ParameterSpec);
  await writeSafetensorsStream(join(out, file), descriptions, produce, new Map([['format', 'pt']]));
  for (const name of byName.keys()) weightMap.set(name, file);
  console.log(`${file}: ${shard.length} tensors`);
}
const totalParameters = specs.reduce((sum, { dims }) => sum + numElements(dims), 0);
const totalBytes = totalParameters * BF16_BYTES;
await writeFileAtomic(join(out, INDEX_FILE), [
  encodeShardIndex({ weightMap, totalBytes, totalParameters }),
]);
await writeFileAtomic(join(out, 'config.json'), [`${JSON.stringify(configJson, null, 2)}\n`]);
await writeCompanions(out, { tokenizer, preprocessor });
const seconds = (performance.now() - start) / 1000;
console.log(
  JSON.stringify({
    out,
    size,
    totalParameters,
    totalBytes,
    seconds,
    peakRssMB: Math.round(process.resourceUsage().maxRSS / 1024),
  }),
);
