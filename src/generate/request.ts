// Owns what decoding is asked for and what it gives back; run.ts decodes, everyone else asks.
// Axes: D hidden, K latents of a span, M picture tokens, V vocabulary.
import type { Calibration, Intervention } from '../latent/feedback.ts';
import type { GridThw } from '../processor/grid.ts';
import type { Rng } from '../rng.ts';
import type { Sampling } from './sampling.ts';

/** One prompt to answer. */
export interface GenerationRequest {
  readonly promptIds: readonly number[];
  readonly grids: readonly GridThw[];
  /** Embeddings of the pictures, [M, D]. */
  readonly pictureRows_MD: Float32Array;
  /** Vectors for the interventions that read given ones, [K, D]. */
  readonly replacement?: Float32Array;
  /** Source of this row's random draws. */
  readonly rng: Rng;
  /** What the response begins with: read with the prompt, and counted as written. */
  readonly prefix?: ResponsePrefix;
}

/** The beginning of a response, given and not decoded. It ends outside of a latent span. */
export interface ResponsePrefix {
  /** Tokens, `<|latent_pad|>` where a latent stands. */
  readonly ids: readonly number[];
  /** The vectors [D] that stand there, in order. */
  readonly latents: readonly Float32Array[];
}

/** How a batch is decoded. */
export interface GenerationSettings extends Sampling {
  /** K; a model trained with another K still decodes, but says less. */
  readonly numLatents: number;
  readonly maxNewTokens: number;
  /** Texts that end a response; looked for between latent spans, special tokens spelled out. */
  readonly stop?: readonly string[];
  readonly intervention: Intervention;
  readonly calibration: Calibration;
  /** What positions after a span may not see, besides what the model was trained not to. */
  readonly afterSpan?: 'picture-hidden';
  /** Keeps the logits at the first position after each row's first span. */
  readonly keepAfterSpan?: boolean;
}

/** One thing that happened in one row. */
export type GenerationEvent =
  | { readonly row: number; readonly kind: 'token'; readonly id: number }
  | {
      readonly row: number;
      readonly kind: 'latent';
      readonly latent: Float32Array;
      readonly stateNorm: number;
    }
  | {
      readonly row: number;
      readonly kind: 'end';
      readonly finished: boolean;
      /** The stop string that ended the row; its tokens were given out before. */
      readonly stop?: string;
    };

/** A finished row. */
export interface GenerationResult {
  /** Token ids, the end token left out, those of a stop string not, latents as `<|latent_pad|>`. */
  readonly ids: readonly number[];
  /** Vectors that were read back, in order. */
  readonly latents: readonly Float32Array[];
  /** Norm of the state before the final norm that each latent came from. */
  readonly stateNorms: readonly number[];
  readonly numSpans: number;
  /** False when the limit cut the response off. */
  readonly finished: boolean;
  /** The stop string that ended the response. */
  readonly stop?: string;
  /** With `keepAfterSpan`: logits [V] of the first token after the first span. */
  readonly afterSpan_V?: Float32Array;
}
