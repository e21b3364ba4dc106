// Owns the choice of the next token from logits; pure given its generator.
import type { Rng } from '../rng.ts';

/** How tokens are drawn. Temperature 0 is greedy. */
export interface Sampling {
  readonly temperature: number;
}

/** Draws a token from logits [V]; `banned` ids are never drawn. Ties go to the smaller id. */
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
  if (sampling.temperature <= 0) return best;
  const weight = (id: number): number =>
    banned.includes(id) ? 0 : Math.exp(((logits[id] as number) - top) / sampling.temperature);
  let total = 0;
  for (let id = 0; id < logits.length; id++) total += weight(id);
  let left = rng.uniform() * total;
  for (let id = 0; id < logits.length; id++) {
    left -= weight(id);
    if (left < 0) return id;
  }
  return best;
}
