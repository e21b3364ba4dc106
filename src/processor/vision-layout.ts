// Owns the index tables of the vision tower (rotary positions, window order, attention segments); called by model/.
// Axes: P patches of all pictures, M merged units (mergeSize^2 consecutive patches), S segments.
import { ConfigError } from '../errors.ts';
import { checkGrid, numPatches, type GridThw } from './grid.ts';

/** What the tables depend on; the names are those of the vision part of `config.json`. */
export interface VisionLayoutConfig {
  /** Patch side in pixels. */
  readonly patchSize: number;
  /** `spatial_merge_size`. */
  readonly mergeSize: number;
  /** `window_size` in pixels; a window is windowSize / mergeSize / patchSize merged units wide. */
  readonly windowSize: number;
}

/** Index tables for the pictures of one batch, concatenated in the order of the grids. */
export interface VisionLayout {
  readonly numPatches: number;
  readonly numMerged: number;
  /** (h, w) of each patch in its picture, in the order of `pixel_values`. */
  readonly positions_P2: Int32Array;
  /** Window order: row i of the reordered units is unit `windowIndex_M[i]`. */
  readonly windowIndex_M: Int32Array;
  /** Undoes `windowIndex_M`: unit m stands at row `inverseIndex_M[m]` of the window order. */
  readonly inverseIndex_M: Int32Array;
  /** Patches of each attention window, in window order; windows without a patch are left out. */
  readonly windowLengths_S: Int32Array;
  /** Patches of each frame (h * w, t times a picture): the segments of full attention. */
  readonly fullLengths_S: Int32Array;
}

/**
 * The index tables of the vision tower for a list of pictures.
 *
 * Worked example (mergeSize 2, a window of 2 x 2 units, grid 1 x 4 x 6, so 2 x 3 units):
 *
 *     units     windows      windowIndex_M    0 1 3 4 2 5
 *     0 1 2     a a b        inverseIndex_M   0 1 4 2 3 5
 *     3 4 5     a a b        windowLengths_S  16 8       fullLengths_S  24
 *
 * Patches come unit by unit, so positions_P2 starts (0,0) (0,1) (1,0) (1,1) (0,2) (0,3) ...
 *
 * @throws ShapeError for a grid that cannot be merged; ConfigError for a window below one unit.
 * Source: transformers modeling_qwen2_5_vl.py, `rot_pos_emb`, `get_window_index` and the
 * `cu_seqlens` of `Qwen2_5_VisionTransformerPretrainedModel.forward`.
 */
export function visionLayout(grids: readonly GridThw[], config: VisionLayoutConfig): VisionLayout {
  const { mergeSize } = config;
  const windowSide = Math.floor(Math.floor(config.windowSize / mergeSize) / config.patchSize);
  if (windowSide < 1) {
    throw new ConfigError({
      what: 'The vision window is smaller than one merged patch',
      got: `window_size ${config.windowSize}, patch_size ${config.patchSize}, spatial_merge_size ${mergeSize}`,
      expected: 'window_size >= patch_size * spatial_merge_size (all in vision_config)',
      fix: 'correct vision_config in config.json',
    });
  }
  let total = 0;
  for (const grid of grids) {
    checkGrid(grid, mergeSize);
    total += numPatches(grid);
  }
  const unitSize = mergeSize * mergeSize;
  const positions_P2 = new Int32Array(2 * total);
  const windowIndex_M = new Int32Array(total / unitSize);
  const windowLengths: number[] = [];
  const fullLengths: number[] = [];
  let cursor = 0;
  let ordered = 0;
  for (const [t, h, w] of grids) {
    const unitsH = h / mergeSize;
    const unitsW = w / mergeSize;
    for (let frame = 0; frame < t; frame++) {
      const firstUnit = cursor / (2 * unitSize);
      cursor = writeFramePositions(positions_P2, cursor, h, w, mergeSize);
      fullLengths.push(h * w);
      for (let top = 0; top < unitsH; top += windowSide) {
        const bottom = Math.min(top + windowSide, unitsH);
        for (let left = 0; left < unitsW; left += windowSide) {
          const right = Math.min(left + windowSide, unitsW);
          for (let y = top; y < bottom; y++) {
            for (let x = left; x < right; x++)
              windowIndex_M[ordered++] = firstUnit + y * unitsW + x;
          }
          windowLengths.push((bottom - top) * (right - left) * unitSize);
        }
      }
    }
  }
  return {
    numPatches: total,
    numMerged: windowIndex_M.length,
    positions_P2,
    windowIndex_M,
    inverseIndex_M: invertPermutation(windowIndex_M),
    windowLengths_S: Int32Array.from(windowLengths),
    fullLengths_S: Int32Array.from(fullLengths),
  };
}

function writeFramePositions(
  positions_P2: Int32Array,
  start: number,
  h: number,
  w: number,
  mergeSize: number,
): number {
  let cursor = start;
  for (let unitY = 0; unitY < h; unitY += mergeSize) {
    for (let unitX = 0; unitX < w; unitX += mergeSize) {
      for (let y = unitY; y < unitY + mergeSize; y++) {
        for (let x = unitX; x < unitX + mergeSize; x++) {
          positions_P2[cursor++] = y;
          positions_P2[cursor++] = x;
        }
      }
    }
  }
  return cursor;
}

function invertPermutation(order: Int32Array): Int32Array {
  const inverse = new Int32Array(order.length);
  for (const [row, item] of order.entries()) inverse[item] = row;
  return inverse;
}

/**
 * The patches in window order: row i of the reordered [P, ...] is patch `windowPatchOrder[i]`.
 * The same order puts `positions_P2` beside the reordered patches.
 */
export function windowPatchOrder(layout: VisionLayout, mergeSize: number): Int32Array {
  const unitSize = mergeSize * mergeSize;
  const order_P = new Int32Array(layout.numPatches);
  let row = 0;
  for (const unit of layout.windowIndex_M) {
    for (let i = 0; i < unitSize; i++) order_P[row++] = unit * unitSize + i;
  }
  return order_P;
}

/** Gather tables that turn ragged segments into one padded batch and back. */
export interface SegmentPacking {
  readonly numSegments: number;
  readonly maxLength: number;
  /** Row of each padded slot, [numSegments * maxLength]; -1 marks padding. */
  readonly packIndex: Int32Array;
  /** Slot of each row, [sum of lengths]. */
  readonly unpackIndex: Int32Array;
  /** True when all lengths agree: packing is then a plain reshape and both tables are 0, 1, 2, ... */
  readonly uniform: boolean;
}

/**
 * Packing tables for consecutive segments, so that attention inside segments becomes one batched
 * attention over [numSegments, maxLength].
 *
 * Worked example: lengths 3, 1 -> packIndex 0 1 2 3 -1 -1, unpackIndex 0 1 2 3.
 * Lengths 1, 3 -> packIndex 0 -1 -1 1 2 3, unpackIndex 0 3 4 5.
 */
export function packSegments(lengths: Int32Array): SegmentPacking {
  let maxLength = 0;
  let total = 0;
  for (const length of lengths) {
    maxLength = Math.max(maxLength, length);
    total += length;
  }
  const packIndex = new Int32Array(lengths.length * maxLength).fill(-1);
  const unpackIndex = new Int32Array(total);
  let row = 0;
  for (const [segment, length] of lengths.entries()) {
    for (let i = 0; i < length; i++) {
      const slot = segment * maxLength + i;
      packIndex[slot] = row;
      unpackIndex[row++] = slot;
    }
  }
  const uniform = packIndex.length === total;
  return { numSegments: lengths.length, maxLength, packIndex, unpackIndex, uniform };
}
