// Owns the shapes, batches and repeats that bench/step.ts measures, and the work a training step costs.
import { layerElements } from '../decode/shapes.ts';
import type { DecoderShape } from '../decode/shapes.ts';

/** A model and how its training is measured. */
export interface StepShape extends DecoderShape {
  /** Shipped model to train instead of a random one of this shape. */
  readonly folder?: string;
  /** Merged picture tokens a side, one picture in every CHUNK tokens. */
  readonly pictureSide: number;
  /** Steps that warm a process up, and steps after them that are measured. */
  readonly warmSteps: number;
  readonly repeats: number;
}

/** By name; the last three are named by their parameters in millions. */
export const SHAPES = {
  tiny: {
    ...{ hidden: 128, layers: 4, heads: 4, kvHeads: 2, inner: 288, vocab: 118 },
    ...{ folder: 'assets/base', pictureSide: 6, warmSteps: 3, repeats: 15 },
  },
  '5m': {
    ...{ hidden: 256, layers: 6, heads: 4, kvHeads: 2, inner: 768, vocab: 2048 },
    ...{ pictureSide: 8, warmSteps: 2, repeats: 9 },
  },
  '50m': {
    ...{ hidden: 512, layers: 12, heads: 8, kvHeads: 2, inner: 1536, vocab: 24000 },
    ...{ pictureSide: 8, warmSteps: 2, repeats: 4 },
  },
  '150m': {
    ...{ hidden: 768, layers: 17, heads: 12, kvHeads: 2, inner: 2560, vocab: 32000 },
    ...{ pictureSide: 8, warmSteps: 1, repeats: 3 },
  },
} as const satisfies Record<string, StepShape>;
/** A name of SHAPES. */
export type ShapeName = keyof typeof SHAPES;

/**
 * Who computes: `eager` and `compile` are Hugging Face's model with its own loss; `labelled` is eager
 * with logits at labelled positions only, as ours always has them.
 */
export type Variant = 'ours' | 'eager' | 'compile' | 'labelled';

/** Rows and tokens of one batch; a row is made of chunks. */
export interface BatchShape {
  readonly rows: number;
  readonly length: number;
}

/** Tokens of one exchange: a picture, a question, a response. */
export const CHUNK = 256;
/** Labelled tokens of a chunk, at its end. */
export const RESPONSE = 128;

/** What a child process measures. */
export interface Work {
  readonly variant: Variant;
  readonly threads: number;
  readonly warmSteps: number;
  readonly repeats: number;
  /** Path prefix of a profile to write. */
  readonly profile?: string;
}

/** What a child process prints last. */
export interface Measured {
  /** Milliseconds of each step, wall clock and processor. */
  readonly stepMs: readonly number[];
  readonly cpuMs: readonly number[];
  /** Loss before each step, warm-up included. */
  readonly losses: readonly number[];
  readonly peakBytes: number;
  /** Reading the checkpoint, compiling, pictures, and the first step. */
  readonly startMs: number;
  /** What the side says about itself. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Constants of every run; the rate moves the loss visibly within a few steps. */
export const OPTIMIZER = {
  ...{ learningRate: 1e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8 },
  ...{ weightDecay: 0.01, clipNorm: 1 },
} as const;

/** Parameters of a decoder, norms and biases left out. */
export function parameterCount(shape: DecoderShape): number {
  return layerElements(shape) + shape.vocab * shape.hidden;
}

/**
 * Floating-point operations that a step cannot do without: products of the layers for all tokens, of
 * the head for labelled ones, and attention over whole rows; backward twice forward. The frozen
 * tower runs once and is no part of it.
 */
export function stepFlops(shape: DecoderShape, { rows, length }: BatchShape): number {
  const tokens = rows * length;
  const head = ((tokens * RESPONSE) / CHUNK) * shape.vocab * shape.hidden;
  const attention = shape.layers * 2 * tokens * length * shape.hidden;
  return 3 * 2 * (tokens * layerElements(shape) + head + attention);
}
