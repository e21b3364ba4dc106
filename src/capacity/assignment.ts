// Owns the capacity level: from sampled answers of the base to who gets latent supervision.
import { ConfigError } from '../errors.ts';

/** Samples a question. Source: GAP §4.3, N = 8. */
export const DEFAULT_SAMPLES = 8;
/** Accuracy above which an example is text-only. Source: GAP §4.3, tau = 0. */
export const PAPER_TAU = 0;
/** ours, chosen on validation (docs/LOG.md): with few choices guessing alone passes tau = 0. */
export const SMALL_SCALE_TAU = 0.75;

/** What an example is trained as. */
export type CapacityAssignment = 'latent' | 'text-only';

/** Empirical accuracy of the base on one example. */
export interface CapacityScore {
  readonly id: string;
  readonly numSamples: number;
  readonly numCorrect: number;
}

/** Text-only when the base's accuracy is above tau, else latent. Source: GAP Eq. 4. */
export function assign(score: CapacityScore, tau: number): CapacityAssignment {
  if (!(tau >= 0 && tau <= 1)) {
    throw new ConfigError({ what: 'tau is out of range', got: String(tau), expected: '0..1' });
  }
  return score.numCorrect / score.numSamples > tau ? 'text-only' : 'latent';
}

/** Ids of the examples that get latent supervision. */
export function latentIds(scores: readonly CapacityScore[], tau: number): Set<string> {
  return new Set(scores.filter((score) => assign(score, tau) === 'latent').map((s) => s.id));
}
