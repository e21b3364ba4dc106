// Owns AdamW steps on one fixed batch, the comparison that parity runs against the reference.
import { RuntimeError } from '../errors.ts';
import type { SessionOptions } from '../engine/session.ts';
import type { ForwardPass } from '../model/forward.ts';
import type { Weights } from '../model/weights.ts';
import { AdamW } from './optimizer.ts';
import type { AdamWConfig } from './optimizer.ts';

/** Settings of `trainOnBatch`. */
export interface FixedBatchOptions extends SessionOptions {
  readonly steps: number;
  readonly learningRate: number;
  readonly adamw: AdamWConfig;
}

/** Trains in place on the batch of a forward pass; returns the loss before each step. */
export async function trainOnBatch(
  weights: Weights,
  pass: ForwardPass,
  options: FixedBatchOptions,
): Promise<number[]> {
  if (!pass.gradients)
    throw new RuntimeError({ what: 'this forward pass was compiled without gradients' });
  const group = { weights: weights.flat, gradients: pass.gradients.flat };
  await using optimizer = await AdamW.create(options.adamw, [group], options);
  const losses: number[] = [];
  for (let step = 0; step < options.steps; step++) {
    const { loss } = await pass.run();
    losses.push(Number(loss?.data[0]));
    await optimizer.step([options.learningRate]);
  }
  return losses;
}
