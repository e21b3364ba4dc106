// Owns what the journal of the part on dependence holds; dependence.ts writes it, dependence-summary.ts reads it.
// Axes: L layers.
import type { RegionObstacle } from '../deciding-region.ts';
import type { PartRecord } from '../part.ts';
import type { AttentionShares } from '../row-observation.ts';

/** Log-probabilities of an answer after so many latents were replaced, in the order of `steps`. */
export interface StepLogProbs {
  /** The most attended first. */
  readonly top: readonly number[];
  /** In a random order. */
  readonly random: readonly number[];
}

/** Attention of latents on the deciding region, over its share of the picture's tokens; 1 is even. */
export interface RegionAttention {
  /** Share of the picture's tokens that lie in the region. */
  readonly share: number;
  /** By layer. */
  readonly enrichment: readonly number[];
  /** The same region under the attention of another example of the task; absent without one. */
  readonly ofOther?: readonly number[];
}

/** What the journal holds of a row. */
export interface DependenceRecord extends PartRecord {
  readonly task: string;
  readonly triggered: boolean;
  /** Numbers of latents that are replaced: 0, 1, 2, 4, ..., K. */
  readonly steps?: readonly number[];
  /** Of the answer that the model wrote. */
  readonly own?: StepLogProbs;
  /** Of the expected answer. */
  readonly gold?: StepLogProbs;
  /** Why there are no log-probabilities. */
  readonly without?: 'no span' | 'not one whole span' | 'no answer';
  /** Of text after the span. */
  readonly later?: AttentionShares;
  /** Of positions that predict the answer. */
  readonly answer?: AttentionShares;
  /** Of latents: share on the picture, entropy over it (over ln M, 1 is even), by layer. */
  readonly onPicture?: readonly number[];
  readonly entropy?: readonly (number | null)[];
  readonly region?: RegionAttention;
  readonly noRegion?: RegionObstacle;
}
