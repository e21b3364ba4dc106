// Owns the batch of a step of a variant's training: which rows, what stands at latent positions, feeds.
// Axes: L latents of a batch, D hidden, M picture tokens.
import type { TrainRecipe } from '../config.ts';
import type { PreparedExample } from '../context/prepared.ts';
import type { Tensor } from '../engine/tensor.ts';
import { tensor } from '../engine/tensor.ts';
import { projectOntoPlane } from '../latent/pca.ts';
import type { PcaBasis } from '../latent/pca.ts';
import { positionConfig } from '../model/bundle.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { LatentPositions } from '../processor/positions.ts';
import { batchRows } from '../processor/sequence.ts';
import type { Batch, Row } from '../processor/sequence.ts';
import { Rng } from '../rng.ts';
import { hiddenKeyFeeds, latentFeeds, textFeeds } from './text-batch.ts';
import type { BatchFeeds, Trainer } from './trainer.ts';

/** Rows are padded to a multiple of this, so that few shapes occur; ours. */
const LENGTH_MULTIPLE = 8;

/** A row of the training set and the example it was made from. */
export interface TrainingRow {
  readonly row: Row;
  readonly item: PreparedExample;
}

/** What batches are made from. */
export interface BatchSource {
  readonly bundle: ModelBundle;
  readonly rows: readonly TrainingRow[];
  readonly recipe: TrainRecipe;
  readonly positions: LatentPositions;
  /** Plane that projected teacher inputs lie on. */
  readonly basis: PcaBasis;
  /** lambda of GAP Eq. 3 over the scale of the loss. */
  readonly latentWeight: number;
  /** Predicts latents for scheduled sampling, by its objective `predict`. */
  readonly trainer: Trainer;
}

/** Row indices of a step; epochs are shuffled and everything follows from seed and step. */
export function epochSampler(count: number, recipe: TrainRecipe): (step: number) => number[] {
  let known = { epoch: -1, order: [] as readonly number[] };
  const rowAt = (at: number): number => {
    const epoch = Math.floor(at / count);
    if (known.epoch !== epoch) {
      const rng = new Rng(recipe.seed).fork(`epoch ${epoch}`);
      known = { epoch, order: rng.shuffle(Array.from({ length: count }, (_, i) => i)) };
    }
    return known.order[at % count] as number;
  };
  return (step) =>
    Array.from({ length: recipe.batchSize }, (_, i) => rowAt(step * recipe.batchSize + i));
}

/** Rows of several parts, one after the other. */
export function joinRows(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Chance that a teacher input is replaced by the model's own prediction; ours: a ramp to 1 at half time. */
function scheduledShare(recipe: TrainRecipe, step: number): number {
  return Math.min(1, step / (recipe.steps / 2));
}

/** Rows padded into one batch, and their feeds but for what latents need. */
function feedRows(
  { bundle, positions }: BatchSource,
  chosen: readonly TrainingRow[],
): { readonly padded: Batch; readonly feeds: Readonly<Record<string, Tensor>> } {
  const padded = batchRows(
    chosen.map((c) => c.row),
    { padId: bundle.padId, side: 'right', multiple: LENGTH_MULTIPLE },
  );
  const width = bundle.checkpoint.config.text.hiddenSize;
  const pictures_MD = joinRows(chosen.map((c) => c.item.pictureRows_MD));
  const grids = chosen.map((c) => c.item.grid);
  return {
    padded,
    feeds: {
      ...textFeeds(padded, grids, positionConfig(bundle, positions)),
      picture_rows: tensor('f32', [pictures_MD.length / width, width], pictures_MD),
    },
  };
}

/** Feeds that batches with latents need besides. */
function spanFeeds(
  { bundle, recipe, latentWeight }: BatchSource,
  padded: Batch,
  inputs_LD: Float32Array,
  targets_LD: Float32Array,
): Record<string, Tensor> {
  return {
    ...latentFeeds(padded, inputs_LD, targets_LD, latentWeight),
    ...(recipe.afterSpan ? hiddenKeyFeeds(padded, bundle.sequence) : {}),
  };
}

/**
 * Teacher inputs of which a growing share is replaced by what the model predicts from them now.
 * Source: GAP appendix F names scheduled sampling; the schedule is ours.
 */
async function mixOwnPredictions(
  source: BatchSource,
  step: number,
  spans: readonly TrainingRow[],
  teacher_LD: Float32Array,
): Promise<Float32Array> {
  const { recipe, trainer } = source;
  // Rows without latents have nothing to predict, so they are left out of this pass.
  const { padded, feeds } = feedRows(source, spans);
  const latents = spanFeeds(source, padded, teacher_LD, teacher_LD);
  const predicted = await trainer.evaluate(
    { objective: 'predict', feeds: { ...feeds, ...latents } },
    ['predicted_latents'],
  );
  const own_LD = predicted['predicted_latents']?.data as Float32Array;
  const width = own_LD.length / padded.latentInputs_L.length;
  const rng = new Rng(recipe.seed).fork(`scheduled sampling ${step}`);
  const share = scheduledShare(recipe, step);
  const mixed_LD = teacher_LD.slice();
  for (let i = 0; i < mixed_LD.length; i += width) {
    if (rng.uniform() < share) mixed_LD.set(own_LD.subarray(i, i + width), i);
  }
  return mixed_LD;
}

/** The batch of each step: a function of the step and, with scheduled sampling, of the weights. */
export function stepBatches(source: BatchSource): (step: number) => Promise<BatchFeeds> {
  const { rows, recipe, basis } = source;
  const sampler = epochSampler(rows.length, recipe);
  const teacherInputs = async (
    step: number,
    spans: readonly TrainingRow[],
    targets_LD: Float32Array,
  ): Promise<Float32Array> => {
    if (recipe.teacherInputs === 'plain') return targets_LD;
    if (recipe.teacherInputs === 'projected') return projectOntoPlane(basis, targets_LD);
    return await mixOwnPredictions(source, step, spans, targets_LD);
  };
  return async (step) => {
    const chosen = sampler(step).map((i) => rows[i] as TrainingRow);
    const { padded, feeds } = feedRows(source, chosen);
    const spans = chosen.filter((c) => c.row.spans.length > 0);
    if (spans.length === 0) return { objective: 'text', feeds };
    const targets_LD = joinRows(spans.map((c) => c.item.auxiliaryRows_KD ?? new Float32Array(0)));
    const inputs_LD = await teacherInputs(step, spans, targets_LD);
    return {
      objective: 'latent',
      feeds: { ...feeds, ...spanFeeds(source, padded, inputs_LD, targets_LD) },
    };
  };
}
