// Owns the feeds of a padded batch: tokens, positions, labels, picture and latent places.
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { hiddenAfterSpan, isDenied } from '../latent/after-span.ts';
import type { SpanIds } from '../latent/after-span.ts';
import { int64Tensor, placementFeeds } from '../model/feeds.ts';
import type { GridThw } from '../processor/grid.ts';
import { mropePositions } from '../processor/positions.ts';
import type { PositionConfig } from '../processor/positions.ts';
import { IGNORED_LABEL } from '../processor/sequence.ts';
import type { Batch } from '../processor/sequence.ts';
import { pickTables } from './objective.ts';

function scalar(value: number): Tensor {
  return tensor('f32', [], Float32Array.of(value));
}

function pickFeeds(name: string, places: Int32Array, size: number): Record<string, Tensor> {
  const { to, back } = pickTables(places, size);
  return {
    [`${name}_to`]: int64Tensor([to.length], to),
    [`${name}_back`]: int64Tensor([size], back),
  };
}

/** Feeds that every training graph needs, whatever its pictures and latents are. */
export function textFeeds(
  batch: Batch,
  grids: readonly GridThw[],
  positions: PositionConfig,
): Record<string, Tensor> {
  const { batch: rows, length } = batch;
  const size = rows * length;
  const states: number[] = [];
  const labels: number[] = [];
  batch.labels_BT.forEach((label, place) => {
    // The state at t predicts label t + 1; a row's first token has no state before it.
    if (label === IGNORED_LABEL || place % length === 0) return;
    states.push(place - 1);
    labels.push(label);
  });
  return {
    input_ids: int64Tensor([rows, length], batch.inputIds_BT),
    attention_mask: int64Tensor([rows, length], batch.attentionMask_BT),
    position_ids: int64Tensor(
      [3, rows, length],
      mropePositions(batch, grids, positions).positions_3BT,
    ),
    label_ids: int64Tensor([labels.length], labels),
    label_count: scalar(labels.length),
    ...pickFeeds('labels', Int32Array.from(states), size),
    ...placementFeeds('pictures', rows, length, batch.pictureTokens),
  };
}

/** Feeds of the latent spans: what is read at latent positions and what their states are held to. */
export function latentFeeds(
  batch: Batch,
  inputs_LD: Float32Array,
  targets_LD: Float32Array,
  weight: number,
): Record<string, Tensor> {
  const count = batch.latentInputs_L.length;
  const width = inputs_LD.length / Math.max(1, count);
  return {
    latent_rows: tensor('f32', [count, width], inputs_LD),
    latent_targets: tensor('f32', [count, width], targets_LD),
    latent_count: scalar(count),
    latent_weight: scalar(weight),
    ...placementFeeds('latents', batch.batch, batch.length, batch.latentInputs_L),
    ...pickFeeds('latent_states', batch.latentStates_L, batch.batch * batch.length),
  };
}

/**
 * Feeds of what is hidden from positions after each row's span. Padding on the right is hidden from
 * nobody and denied what its row is, which nothing reads.
 */
export function hiddenKeyFeeds(
  batch: Pick<Batch, 'batch' | 'length' | 'inputIds_BT'>,
  tokens: SpanIds,
): Record<string, Tensor> {
  const { batch: rows, length } = batch;
  const [hidden, denied] = [new Uint8Array(rows * length), new Uint8Array(rows * length)];
  for (let start = 0; start < hidden.length; start += length) {
    const ids = batch.inputIds_BT.subarray(start, start + length);
    const places = hiddenAfterSpan(ids, tokens);
    if (!places) continue;
    hidden.fill(1, start + places.from, start + places.to);
    ids.forEach((id, place) => {
      if (isDenied(places, id, place, tokens)) denied[start + place] = 1;
    });
  }
  return {
    hidden: tensor('bool', [rows, length], hidden),
    denied: tensor('bool', [rows, length], denied),
  };
}
