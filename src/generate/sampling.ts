// Owns the choice of the next token from logits; pure given its generator.
import { RuntimeError } from '../errors.ts';
import type { Rng } from '../rng.ts';

/** How tokens are drawn. Temperature 0 is greedy. */
export interface Sampling {
  readonly temperature: number;
}

/**
 * Draws a token from logits [V]; `banned` ids are never drawn. Ties go to the smaller id.
 * @throws RuntimeError when there is none to draw: everything banned, or logits that are no numbers.
 */
export function sampleToken(
  logits: Float32Array,
  sampling: Sampling,
  rng: Rng,
  banned: readonly number[] = [],
): number {
  let best = -1;
  let top = -Infinity;
  for (let id = 0; id < logits.length; id++) {
    const value = logits[id] as number;
    if (value > top && !banned.includes(id)) {
      best = id;
      top = value;
    }
  }
  if (best >= 0 && sampling.temperature <= 0) return best;
  const weight = (id: number): number =>
    banned.includes(id) ? 0 : Math.exp(((logits[id] as number) - top) / sampling.temperature);
  let total = 0;
  for (let id = 0; id < logits.length; id++) total += weight(id);
  if (best < 0 || !Number.isFinite(total)) {
    throw new RuntimeError({
      what: 'no token can be drawn from these logits',
      got: `${logits.length} logits that are not all numbers, or all banned`,
      fix: 'check the weights: training may have diverged',
    });
  }
  let left = rng.uniform() * total;
  for (let id = 0; id < logits.length; id++) {
    left -= weight(id);
    if (left < 0) return id;
  }
  return best;
}
