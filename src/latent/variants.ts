// Owns the variants of the method and its controls as one typed choice; training and decoding read it.
import type { LatentLoss } from './head.ts';
import type { BasisKind } from './pca.ts';

/** Every variant by name. Source: GAP §5.1, §6, appendix B and D; see the table below. */
export type VariantName =
  | 'base'
  | 'dense-caption'
  | 'output-mse'
  | 'output-cosine'
  | 'output-mse-ema'
  | 'output-cosine-ema'
  | 'lh'
  | 'lh-da'
  | 'lh-pca'
  | 'gap'
  | 'gap-random-basis'
  | 'gap-no-mean'
  | 'gap-learned-basis';

/** How a variant makes its next latent. */
export type HeadKind = 'output' | 'full' | 'pca' | 'bottleneck';

/** Which examples get latent supervision: none, all, or those the base fails (GAP Eq. 4). */
export type Assignment = 'none' | 'all' | 'capacity';

/** What a variant is. */
export interface Variant {
  /** As tables show it. */
  readonly label: string;
  /** The variant whose weights it uses, when it differs in decoding only. */
  readonly weightsOf?: VariantName;
  /** False: the base checkpoint as it is. */
  readonly trained: boolean;
  readonly assignment: Assignment;
  readonly head: HeadKind;
  readonly loss: LatentLoss;
  /** Basis of a PCA head. */
  readonly basis?: BasisKind;
  /** Norm calibration while decoding (GAP §3). */
  readonly calibrated: boolean;
}

function latent(
  label: string,
  head: HeadKind,
  assignment: Assignment,
  rest: Partial<Variant> = {},
): Variant {
  return { label, trained: true, assignment, head, loss: 'mse', calibrated: false, ...rest };
}

/** The definition of every variant. */
export const VARIANTS: Readonly<Record<VariantName, Variant>> = {
  base: { ...latent('Base', 'output', 'none'), trained: false },
  'dense-caption': latent('Dense caption SFT', 'output', 'none'),
  'output-mse': latent('Output-as-input, MSE', 'output', 'all'),
  'output-cosine': latent('Output-as-input, cosine', 'output', 'all', { loss: 'cosine' }),
  'output-mse-ema': latent('Output-as-input, MSE + EMA', 'output', 'all', {
    weightsOf: 'output-mse',
    calibrated: true,
  }),
  'output-cosine-ema': latent('Output-as-input, cosine + EMA', 'output', 'all', {
    loss: 'cosine',
    weightsOf: 'output-cosine',
    calibrated: true,
  }),
  lh: latent('LH', 'full', 'all'),
  'lh-da': latent('LH+DA', 'full', 'capacity'),
  'lh-pca': latent('LH+PCA', 'pca', 'all', { basis: 'pca' }),
  gap: latent('GAP', 'pca', 'capacity', { basis: 'pca' }),
  'gap-random-basis': latent('GAP, random basis', 'pca', 'capacity', { basis: 'random' }),
  'gap-no-mean': latent('GAP, no mean', 'pca', 'capacity', { basis: 'no-mean' }),
  'gap-learned-basis': latent('GAP, learned basis of equal size', 'bottleneck', 'capacity'),
};

/** All names, in the order tables use. */
export const VARIANT_NAMES = Object.keys(VARIANTS) as readonly VariantName[];

/** Whether a variant writes latents at all. */
export function usesLatents(name: VariantName): boolean {
  return VARIANTS[name].assignment !== 'none';
}

/**
 * What stands at latent positions in training. `plain`: the auxiliary embeddings (GAP §4.2).
 * `projected`: their projections onto the PCA plane, which is all a PCA head can ever write.
 * `scheduled`: the model's own predictions, more and more often, from a first pass. The last two
 * are not in the paper's main recipe.
 */
export type TeacherInputs = 'plain' | 'projected' | 'scheduled';

/** All teacher input modes. */
export const TEACHER_INPUTS: readonly TeacherInputs[] = ['plain', 'projected', 'scheduled'];
