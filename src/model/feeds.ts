// Owns the tensors fed to vision and decoder graphs: index tables for pictures of any size.

import { ShapeError } from '../errors.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { GridThw } from '../processor/grid.ts';
import { packSegments, visionLayout, windowPatchOrder } from '../processor/vision-layout.ts';
import type { VisionConfig } from './config.ts';
import type { PictureLayout } from './vision.ts';

/** int64 tensor from ordinary integers. */
export function int64Tensor(dims: readonly number[], values: ArrayLike<number>): Tensor<'i64'> {
  const data = new BigInt64Array(values.length);
  for (let i = 0; i < values.length; i++) data[i] = BigInt(values[i] as number);
  return tensor('i64', dims, data);
}

/** Tables of `moveRows` for padded segments: -1 (padding) becomes the row count, a zero row. */
export function segmentFeeds(name: string, lengths: Int32Array): Record<string, Tensor> {
  const packing = packSegments(lengths);
  const rows = packing.unpackIndex.length;
  return {
    [`${name}_to`]: int64Tensor(
      [packing.numSegments, packing.maxLength],
      packing.packIndex.map((row) => (row < 0 ? rows : row)),
    ),
    [`${name}_back`]: int64Tensor([rows], packing.unpackIndex),
  };
}

/**
 * Feeds of the vision tower for pixel values [P, F] in `pixel_values` order. Patches are put into
 * window order here, once, so that the graph never moves them.
 */
export function visionFeeds(
  config: VisionConfig,
  pixels_PF: Float32Array,
  grids: readonly GridThw[],
  layoutKind: PictureLayout['kind'],
): Record<string, Tensor> {
  const layout = visionLayout(grids, config);
  const order_P = windowPatchOrder(layout, config.mergeSize);
  const width = pixels_PF.length / layout.numPatches;
  if (!Number.isInteger(width)) {
    throw new ShapeError({
      what: 'pixel_values does not fit image_grid_thw',
      got: `${pixels_PF.length} values for ${layout.numPatches} patches`,
    });
  }
  const ordered_PF = new Float32Array(pixels_PF.length);
  const positions = new Int32Array(2 * layout.numPatches);
  order_P.forEach((from, to) => {
    ordered_PF.set(pixels_PF.subarray(from * width, (from + 1) * width), to * width);
    positions[2 * to] = layout.positions_P2[2 * from] as number;
    positions[2 * to + 1] = layout.positions_P2[2 * from + 1] as number;
  });
  return {
    pixel_values: tensor('f32', [layout.numPatches, width], ordered_PF),
    patch_positions: int64Tensor([layout.numPatches, 2], positions),
    merged_order: int64Tensor([layout.numMerged], layout.inverseIndex_M),
    merged_back: int64Tensor([layout.numMerged], layout.windowIndex_M),
    ...(layoutKind === 'ragged'
      ? {
          ...segmentFeeds('window', layout.windowLengths_S),
          ...segmentFeeds('picture', layout.fullLengths_S),
        }
      : {}),
  };
}

/**
 * The uniform layout when all pictures share one size whose windows are all full, else ragged.
 */
export function pictureLayout(config: VisionConfig, grids: readonly GridThw[]): PictureLayout {
  if (grids.length === 0) return { kind: 'ragged' };
  const layout = visionLayout(grids, config);
  const windowLength = layout.windowLengths_S[0] ?? 0;
  const pictureLength = layout.fullLengths_S[0] ?? 0;
  const same = (lengths: Int32Array, length: number): boolean => lengths.every((l) => l === length);
  return same(layout.windowLengths_S, windowLength) && same(layout.fullLengths_S, pictureLength)
    ? { kind: 'uniform', windowLength, pictureLength }
    : { kind: 'ragged' };
}

/**
 * Tables of `moveRows` that put N rows at given flat places of a [B, T] batch. Example: B*T = 4,
 * places [2, 1] gives to = [2, 1, 0, 2] (2 = no row) and back = [2, 1].
 */
export function placementFeeds(
  name: string,
  batch: number,
  length: number,
  places_N: Int32Array,
): Record<string, Tensor> {
  const to = new Int32Array(batch * length).fill(places_N.length);
  places_N.forEach((place, row) => {
    to[place] = row;
  });
  return {
    [`${name}_to`]: int64Tensor([batch, length], to),
    [`${name}_back`]: int64Tensor([places_N.length], places_N),
  };
}

/** Flat places of a token id in ids [B, T]. */
export function placesOf(ids_BT: ArrayLike<number>, id: number): Int32Array {
  const places: number[] = [];
  for (let i = 0; i < ids_BT.length; i++) if (ids_BT[i] === id) places.push(i);
  return Int32Array.from(places);
}
