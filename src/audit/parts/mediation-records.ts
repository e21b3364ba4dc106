// Owns what the journal of the part on mediation holds; mediation.ts writes it, mediation-summary.ts reads it.
// Axes: D hidden.
import type { PartRecord } from '../part.ts';
import type { SamePlaceCosines } from '../same-place.ts';

/**
 * Kinds of vectors whose similarity is measured. Inputs: `injected` (what was read at latents),
 * `targets` (embeddings of the auxiliary picture), `query` (embeddings of the query picture).
 * States after the final norm: at latents, at picture tokens, at the words of question and response.
 */
export const VECTOR_KINDS = [
  'injected',
  'targets',
  'query',
  'latentStates',
  'pictureStates',
  'textStates',
] as const;
/** A kind of vector. */
export type VectorKind = (typeof VECTOR_KINDS)[number];

/** Vectors of one kind in one row. */
export interface MeanDirection {
  /** Vectors there are. */
  readonly count: number;
  /**
   * Mean of the vectors, each scaled to length 1, [D], six digits: the product of two rows' means is
   * the mean cosine over all pairs of their vectors.
   */
  readonly mean: readonly number[];
}

/** What the journal holds of a row. */
export interface MediationRecord extends PartRecord {
  readonly task: string;
  readonly triggered: boolean;
  /** Only of rows that wrote a span. */
  readonly directions?: Readonly<Partial<Record<VectorKind, MeanDirection>>>;
  /**
   * Mean cosine with vectors at the same place of the span of other examples; of rows that wrote K
   * latents, and that have targets.
   */
  readonly samePlace?: {
    readonly injected?: SamePlaceCosines;
    readonly targets?: SamePlaceCosines;
  };
  /** The example whose latents this row reads in the arm `picture-hidden-other`. */
  readonly donor?: { readonly id: string; readonly expected: string };
}
