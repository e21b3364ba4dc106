// Owns the one place where latents enter the model; training, decoding and every intervention use it.
import type { Value } from '../engine/graph.ts';
import { where } from '../engine/ops/elementwise.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { dimAt } from '../engine/dims.ts';

/**
 * Input embeddings x [B, T, D] with the vectors of `latents` [B, T, D] at the positions where
 * `isLatent` [B, T] holds. `<|latent_start|>` and `<|latent_end|>` keep their own embeddings.
 * Source: GAP §4.2, Eq. 1.
 */
export function injectLatents(x_BTD: Value, isLatent_BT: Value, latents_BTD: Value): Value {
  const [b, t] = [dimAt(isLatent_BT.shape, 0), dimAt(isLatent_BT.shape, 1)];
  return where(reshape(isLatent_BT, [b, t, 1]), latents_BTD, x_BTD);
}
