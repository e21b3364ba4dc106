// Owns the shapes, lengths and repeats that bench/decode.ts measures, and the work a token costs.

/** A text decoder of the Qwen2 architecture, head tied to the embeddings. */
export interface DecoderShape {
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly inner: number;
  readonly vocab: number;
}

/** A decoder, and how its decoding is measured. */
export interface Shape extends DecoderShape {
  readonly promptTokens: number;
  readonly newTokens: number;
  /** Tokens of the prompt that warms a process up. */
  readonly warmPrompt: number;
  /** Responses of one process, after the short one that warms it up. */
  readonly repeats: number;
  /** Unless told otherwise. */
  readonly rounds: number;
}

/** By name; `3b` is the decoder of Qwen2.5-VL-3B, `quick` only tests the benchmark. */
export const SHAPES = {
  quick: {
    ...{ hidden: 256, layers: 2, heads: 4, kvHeads: 2, inner: 512, vocab: 1024 },
    ...{ promptTokens: 64, newTokens: 8, warmPrompt: 64, repeats: 9, rounds: 1 },
  },
  small: {
    ...{ hidden: 768, layers: 12, heads: 12, kvHeads: 2, inner: 3072, vocab: 32000 },
    ...{ promptTokens: 1024, newTokens: 256, warmPrompt: 512, repeats: 1, rounds: 4 },
  },
  '3b': {
    ...{ hidden: 2048, layers: 36, heads: 16, kvHeads: 2, inner: 11008, vocab: 151936 },
    ...{ promptTokens: 128, newTokens: 32, warmPrompt: 32, repeats: 1, rounds: 2 },
  },
} as const satisfies Record<string, Shape>;
/** A name of SHAPES. */
export type ShapeName = keyof typeof SHAPES;
/** How weights are stored. */
export type Precision = 'f32' | 'int4';
/** Who computes. */
export type Variant = 'ours' | 'pytorch' | 'llama.cpp';

/** One comparison: the same shape and precision on both sides. */
export interface Case {
  readonly shape: ShapeName;
  readonly precision: Precision;
  readonly variants: readonly Variant[];
}

/** Tokens of the response that warms a process up. */
export const WARM_TOKENS = 4;
/** Latents of a span. Source: GAP, 36 a span. */
export const SPAN_LATENTS = 36;
/** Text tokens of a response with and without a span. */
export const SPAN_TEXT_TOKENS = 128;
/** Responses of each kind of one process. */
export const SPAN_REPEATS = 3;

/** What a child process measures. */
export interface Work {
  readonly threads: number;
  readonly vocab: number;
  readonly promptIds: readonly number[];
  readonly newTokens: number;
  readonly warmPrompt: number;
  readonly warmTokens: number;
  readonly repeats: number;
  /** Path prefix of a profile to write. */
  readonly profile?: string;
  /** Measure responses with and without a span instead. */
  readonly span?: { readonly textTokens: number; readonly numLatents: number };
}

/** One response: milliseconds to its first token, prompt included, and of each one after it. */
export interface Response {
  readonly firstMs: number;
  readonly stepMs: readonly number[];
  readonly ids: readonly number[];
}

/** What a child process prints last. */
export interface Measured {
  readonly loadMs: number;
  readonly peakBytes: number;
  readonly responses: readonly Response[];
  /** Whole responses by kind, in the order they were measured. */
  readonly spans?: Readonly<Record<string, readonly number[]>>;
  /** What the side says about itself. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Elements of the matrices of all layers, which every token is multiplied with. */
export function layerElements(shape: DecoderShape): number {
  const { hidden, layers, heads, kvHeads, inner } = shape;
  const attention = 2 * hidden * hidden + 2 * hidden * ((hidden / heads) * kvHeads);
  return layers * (attention + 3 * hidden * inner);
}

/** Bytes of weights that one new token has to read, head included. */
export function bytesPerToken(shape: Shape, precision: Precision, variant: Variant): number {
  const elements = layerElements(shape) + shape.vocab * shape.hidden;
  // A block of 32 has 16 bytes of codes and its scale: f32 here, f16 in Q4_0.
  if (precision === 'int4') return elements * ((variant === 'ours' ? 20 : 18) / 32);
  return elements * 4;
}
