// Owns what a predicted latent becomes before it is read back: norm calibration and interventions.
// Axes: D hidden, K latents of a span.
import { RuntimeError } from '../errors.ts';
import type { Rng } from '../rng.ts';
import { reconstruct } from './pca.ts';
import type { PcaBasis } from './pca.ts';

/** Law of the noise that replaces a latent. */
export type NoiseLaw = 'unit' | 'spectrum' | 'norm';

/**
 * What is done to latents at decoding (GAP Table 6 and more). `clean`: nothing. `zero-latent`: the
 * span is suppressed. `noise`: Gaussian coefficients, reconstructed; by law with variance 1, with
 * the eigenvalues as variances, or rescaled to the norm of the prediction. `other`, `oracle`,
 * `given`: given vectors (another example's latents, the own auxiliary picture's embeddings, any).
 * `forced`: the first `count` latents of a row are given, the rest are its own.
 */
export type Intervention =
  | { readonly kind: 'clean' | 'zero-latent' | 'other' | 'oracle' | 'given' }
  | { readonly kind: 'forced'; readonly count: number }
  | { readonly kind: 'noise'; readonly law: NoiseLaw };

/** Name of an intervention as tables and files write it. */
export function interventionName(intervention: Intervention): string {
  return intervention.kind === 'noise' ? `noise-${intervention.law}` : intervention.kind;
}

/** Norm calibration: none, or to a running mean norm (GAP §3; the paper gives no decay). */
export type Calibration =
  { readonly kind: 'none' } | { readonly kind: 'ema'; readonly decay: number };

/** Decay of the running norm. ours: the paper does not give one. */
export const DEFAULT_EMA_DECAY = 0.99;

/** What one row carries from latent to latent. */
export interface FeedbackRow {
  /** Latents written in this row so far. */
  readonly index: number;
  /** Running norm; starts from the mean norm of the query picture's embeddings. */
  readonly runningNorm: number;
  /** Given vectors, [K, D]; a longer span reuses them from the start. */
  readonly replacement?: Float32Array;
  readonly rng: Rng;
}

/** How latents are treated in a run. */
export interface FeedbackSettings {
  readonly intervention: Intervention;
  readonly calibration: Calibration;
  /** Needed for noise in coefficients; without it noise is drawn in all dimensions. */
  readonly basis?: PcaBasis;
}

/** Euclidean norm of a vector. */
export function norm(vector: Float32Array): number {
  let sum = 0;
  for (const x of vector) sum += x * x;
  return Math.sqrt(sum);
}

/** Mean Euclidean norm of the rows of [N, D]. */
export function meanNorm(rows_ND: Float32Array, width: number): number {
  const count = rows_ND.length / width;
  let sum = 0;
  for (let i = 0; i < count; i++) sum += norm(rows_ND.subarray(i * width, (i + 1) * width));
  return count === 0 ? 0 : sum / count;
}

function scaled(vector: Float32Array, target: number): Float32Array {
  const size = norm(vector);
  return size === 0 ? vector.slice() : vector.map((x) => (x * target) / size);
}

function noise(
  law: NoiseLaw,
  clean: Float32Array,
  basis: PcaBasis | undefined,
  rng: Rng,
): Float32Array {
  const spread = (k: number): number =>
    law === 'unit' || !basis ? 1 : Math.sqrt(basis.eigenvalues[k] ?? 0);
  const draw = (length: number): Float32Array =>
    Float32Array.from({ length }, (_, k) => rng.normal() * spread(k));
  const vector = basis ? reconstruct(basis, draw(basis.k)) : draw(clean.length);
  return law === 'norm' || (law === 'spectrum' && !basis) ? scaled(vector, norm(clean)) : vector;
}

/** The prediction as the model would read it, and the running norm after it. */
function calibrate(
  predicted: Float32Array,
  row: FeedbackRow,
  calibration: Calibration,
): { readonly clean: Float32Array; readonly runningNorm: number } {
  if (calibration.kind === 'none') return { clean: predicted, runningNorm: row.runningNorm };
  const own = norm(predicted);
  // A prompt without pictures has no norm to start from.
  const known = row.runningNorm > 0 ? row.runningNorm : own;
  const runningNorm = calibration.decay * known + (1 - calibration.decay) * own;
  return { clean: scaled(predicted, known), runningNorm };
}

/**
 * The vector to read back for a prediction [D], and the row after it. Noise by the law `norm` has
 * the norm of what would be read otherwise; given vectors are read as they are.
 *
 * Worked example, decay 0.9, running norm 5: (6, 8) of norm 10 is read as (3, 4), and the running
 * norm becomes 0.9 * 5 + 0.1 * 10 = 5.5, which the next latent gets.
 * @throws RuntimeError when given vectors are to be read and there are none.
 */
export function nextLatent(
  predicted: Float32Array,
  row: FeedbackRow,
  settings: FeedbackSettings,
): { readonly latent: Float32Array; readonly row: FeedbackRow } {
  const { intervention, calibration, basis } = settings;
  const { clean, runningNorm } = calibrate(predicted, row, calibration);
  const after = { ...row, index: row.index + 1, runningNorm };
  if (intervention.kind === 'noise') {
    return { latent: noise(intervention.law, clean, basis, row.rng), row: after };
  }
  const isOwn =
    intervention.kind === 'clean' ||
    intervention.kind === 'zero-latent' ||
    (intervention.kind === 'forced' && row.index >= intervention.count);
  if (isOwn) return { latent: clean, row: after };
  const width = predicted.length;
  const given = row.replacement ?? new Float32Array(0);
  if (given.length === 0 || given.length % width !== 0) {
    throw new RuntimeError({
      what: `the intervention ${intervention.kind} has no latents to write`,
      got: `${given.length} numbers`,
      expected: `vectors of ${width} numbers`,
      fix: 'give a replacement to every row',
    });
  }
  const start = (row.index * width) % given.length;
  return { latent: given.slice(start, start + width), row: after };
}
