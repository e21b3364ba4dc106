// Owns what the journal of the part on norms holds; norms.ts writes it, norms-summary.ts reads it.
import type { PartRecord } from '../part.ts';
import type { NormSums, PositionKind, VectorSums } from '../row-observation.ts';

/** Sets of vectors whose spectra are taken. */
export const SPECTRUM_SETS = ['latents', 'auxiliary', 'query'] as const;
/** A set of vectors. */
export type SpectrumSet = (typeof SPECTRUM_SETS)[number];

/** What the journal holds of a row. */
export interface NormRecord extends PartRecord {
  readonly kind: 'row';
  readonly norms: Readonly<Record<PositionKind, NormSums>>;
  /** What was read at its latents. */
  readonly injected: VectorSums;
  /** States that the latents were made of, before and after the final norm. */
  readonly sources: { readonly raw: VectorSums; readonly normed: VectorSums };
}

/** What it holds of a set of vectors, behind all rows. */
export interface SpectrumRecord extends PartRecord {
  readonly kind: 'spectrum';
  readonly set: SpectrumSet;
  /** Vectors there are. */
  readonly available: number;
  /** Vectors that the spectrum is made of. */
  readonly count: number;
  /** Along the principal axes, largest first, those above rounding, seven digits; none below two vectors. */
  readonly variances: readonly number[];
}
