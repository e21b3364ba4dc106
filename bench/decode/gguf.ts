// Owns the random GGUF files of bench/decode.ts: qwen2 in Q4_0, with the numbers of the packed checkpoint.
// Source: the GGUF specification, version 3.
import { closeSync, openSync, writeSync } from 'node:fs';
import { NORM_EPSILON, ROPE_THETA, TABLE } from './checkpoint.ts';
import { CODE_SCALE, randomCodes, randomFloats } from './random.ts';
import type { Shape } from './shapes.ts';

const ALIGNMENT = 32;
const UINT32 = 4;
const FLOAT32 = 6;
const STRING = 8;
const ARRAY = 9;
const F32 = 0;
const Q4_0 = 2;
/** Codes and bytes of a Q4_0 block: an f16 scale comes first. */
const BLOCK = 32;
const CODE_BYTES = 16;
const BLOCK_BYTES = 18;
/** CODE_SCALE as f16: exponent -8, biased by 15. */
const SCALE_F16 = (Math.log2(CODE_SCALE) + 15) << 10;
/** `general.file_type` of a file that is mostly Q4_0. */
const MOSTLY_Q4_0 = 2;

interface Entry {
  readonly name: string;
  /** Our name of the parameter. */
  readonly ours: string;
  /** [rows, columns] or [size]. */
  readonly dims: readonly number[];
}

function entriesOf({ hidden, layers, heads, kvHeads, inner, vocab }: Shape): Entry[] {
  const kv = (hidden / heads) * kvHeads;
  const layer = (i: number): Entry[] => {
    const entry = (name: string, ours: string, ...dims: number[]): Entry => ({
      name: `blk.${i}.${name}`,
      ours: `model.layers.${i}.${ours}`,
      dims,
    });
    return [
      entry('attn_norm.weight', 'input_layernorm.weight', hidden),
      entry('ffn_norm.weight', 'post_attention_layernorm.weight', hidden),
      entry('attn_q.weight', 'self_attn.q_proj.weight', hidden, hidden),
      entry('attn_q.bias', 'self_attn.q_proj.bias', hidden),
      entry('attn_k.weight', 'self_attn.k_proj.weight', kv, hidden),
      entry('attn_k.bias', 'self_attn.k_proj.bias', kv),
      entry('attn_v.weight', 'self_attn.v_proj.weight', kv, hidden),
      entry('attn_v.bias', 'self_attn.v_proj.bias', kv),
      entry('attn_output.weight', 'self_attn.o_proj.weight', hidden, hidden),
      entry('ffn_gate.weight', 'mlp.gate_proj.weight', inner, hidden),
      entry('ffn_up.weight', 'mlp.up_proj.weight', inner, hidden),
      entry('ffn_down.weight', 'mlp.down_proj.weight', hidden, inner),
    ];
  };
  return [
    { name: 'token_embd.weight', ours: TABLE, dims: [vocab, hidden] },
    ...Array.from({ length: layers }, (_, i) => layer(i)).flat(),
    { name: 'output_norm.weight', ours: 'model.norm.weight', dims: [hidden] },
  ];
}

function sizeOf({ dims }: Entry): number {
  const count = dims.reduce((product, dim) => product * dim, 1);
  return dims.length === 1 ? 4 * count : (count / BLOCK) * BLOCK_BYTES;
}

function padded(size: number): number {
  return Math.ceil(size / ALIGNMENT) * ALIGNMENT;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  return Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);
}

/**
 * Ids go in and come out, but llama.cpp loads no model without a tokenizer: one that has a token for
 * the newline and names for all others.
 */
function vocabulary(size: number): string[] {
  return Array.from({ length: size }, (_, i) => (i === 0 ? '\u010a' : `<${i}>`));
}

function settings(shape: Shape): Buffer[] {
  const count = (key: string, value: number): Buffer =>
    Buffer.concat([text(key), u32(UINT32), u32(value)]);
  const real = (key: string, value: number): Buffer =>
    Buffer.concat([text(key), u32(FLOAT32), f32(value)]);
  const word = (key: string, value: string): Buffer =>
    Buffer.concat([text(key), u32(STRING), text(value)]);
  const words = (key: string, values: readonly string[]): Buffer =>
    Buffer.concat([
      ...[text(key), u32(ARRAY), u32(STRING), u64(values.length)],
      ...values.map((value) => text(value)),
    ]);
  return [
    word('general.architecture', 'qwen2'),
    count('general.file_type', MOSTLY_Q4_0),
    count('general.quantization_version', 2),
    count('qwen2.context_length', 4096),
    count('qwen2.embedding_length', shape.hidden),
    count('qwen2.block_count', shape.layers),
    count('qwen2.feed_forward_length', shape.inner),
    count('qwen2.attention.head_count', shape.heads),
    count('qwen2.attention.head_count_kv', shape.kvHeads),
    count('qwen2.vocab_size', shape.vocab),
    real('qwen2.attention.layer_norm_rms_epsilon', NORM_EPSILON),
    real('qwen2.rope.freq_base', ROPE_THETA),
    word('tokenizer.ggml.model', 'gpt2'),
    word('tokenizer.ggml.pre', 'qwen2'),
    words('tokenizer.ggml.tokens', vocabulary(shape.vocab)),
    words('tokenizer.ggml.merges', []),
  ];
}

/** Blocks of codes as Q4_0 has them: byte j holds elements j and j + 16 instead of 2j and 2j + 1. */
function toBlocks(codes: Uint8Array): Uint8Array {
  const numBlocks = codes.length / CODE_BYTES;
  const blocks = new Uint8Array(numBlocks * BLOCK_BYTES);
  const nibble = (at: number, i: number): number =>
    ((codes[at + (i >> 1)] as number) >> ((i & 1) * 4)) & 15;
  for (let b = 0; b < numBlocks; b++) {
    const [from, to] = [b * CODE_BYTES, b * BLOCK_BYTES];
    blocks[to] = SCALE_F16 & 255;
    blocks[to + 1] = SCALE_F16 >> 8;
    for (let j = 0; j < CODE_BYTES; j++)
      blocks[to + 2 + j] = nibble(from, j) | (nibble(from, j + 16) << 4);
  }
  return blocks;
}

function* bytesOf({ ours, dims }: Entry): Generator<Uint8Array> {
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (dims.length === 2) {
    for (const piece of randomCodes(ours, count / 2)) yield toBlocks(piece);
  } else if (ours.endsWith('.weight')) {
    yield new Uint8Array(new Float32Array(count).fill(1).buffer);
  } else {
    for (const piece of randomFloats(ours, count))
      yield new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength);
  }
}

/** Writes the model of a shape. */
export function writeGguf(path: string, shape: Shape): void {
  const entries = entriesOf(shape);
  const values = settings(shape);
  const parts = [Buffer.from('GGUF'), u32(3), u64(entries.length), u64(values.length), ...values];
  let offset = 0;
  for (const entry of entries) {
    const { name, dims } = entry;
    const sizes = dims.toReversed().map(u64);
    parts.push(text(name), u32(dims.length), ...sizes, u32(dims.length === 1 ? F32 : Q4_0));
    parts.push(u64(offset));
    offset += padded(sizeOf(entry));
  }
  const header = Buffer.concat(parts);
  const file = openSync(path, 'wx');
  try {
    const write = (bytes: Uint8Array): void => {
      for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done);
    };
    write(header);
    write(new Uint8Array(padded(header.length) - header.length));
    for (const entry of entries) {
      for (const piece of bytesOf(entry)) write(piece);
      write(new Uint8Array(padded(sizeOf(entry)) - sizeOf(entry)));
    }
  } finally {
    closeSync(file);
  }
}
