// Owns the cut of rasters into normalised patches (`pixel_values`, `image_grid_thw`); called by data loaders and generate/.
// Axes: P patches of all pictures, F = 3 * temporalPatchSize * patchSize^2 values of a patch.
import type { Raster } from '../data/raster.ts';
import { ShapeError } from '../errors.ts';
import { checkGrid, type GridThw } from './grid.ts';
import { openKernel } from './kernel.ts';

/** Mean of each RGB channel on the 0..1 scale. Source: transformers OPENAI_CLIP_MEAN. */
export const CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073] as const;
/** Standard deviation of each RGB channel on the 0..1 scale. Source: transformers OPENAI_CLIP_STD. */
export const CLIP_STD = [0.26862954, 0.26130258, 0.27577711] as const;

const NUM_CHANNELS = 3;
const NUM_LEVELS = 256;

/** How pictures are cut and normalised; the fields of `preprocessor_config.json`. */
export interface PatchConfig {
  /** Patch side in pixels. */
  readonly patchSize: number;
  /** Frames a patch spans; a still picture is repeated. */
  readonly temporalPatchSize: number;
  /** Side of the square of patches that becomes one token. */
  readonly mergeSize: number;
  /** What levels 0..255 are multiplied by; 1 / 255 unless given. */
  readonly rescaleFactor?: number;
  /** Per channel, 0..1 scale. */
  readonly mean: readonly [number, number, number];
  /** Per channel, 0..1 scale. */
  readonly std: readonly [number, number, number];
}

/** Patches of several pictures, one after the other. */
export interface Patches {
  /** [P, F], row-major; P is the sum of h * w over the grids. */
  readonly pixelValues_PF: Float32Array;
  /** One row of `image_grid_thw` a picture; t is 1. */
  readonly grids: readonly GridThw[];
  readonly numPatches: number;
  /** F. */
  readonly patchLength: number;
}

/**
 * Values of the 256 levels of each channel: (level * rescaleFactor - mean) / std, rounded to float32 after
 * each step as the reference's float32 arrays are, so that pixels agree bit for bit.
 */
function normalisedLevels(config: PatchConfig): Float32Array {
  const table = new Float32Array(NUM_CHANNELS * NUM_LEVELS);
  for (let channel = 0; channel < NUM_CHANNELS; channel++) {
    const mean = Math.fround(config.mean[channel] ?? 0);
    const std = Math.fround(config.std[channel] ?? 1);
    for (let level = 0; level < NUM_LEVELS; level++) {
      const scaled = Math.fround(level * (config.rescaleFactor ?? 1 / 255));
      table[channel * NUM_LEVELS + level] = Math.fround(scaled - mean) / std;
    }
  }
  return table;
}

/**
 * Cuts pictures into normalised patches. Sides must already be multiples of
 * patchSize * mergeSize (see resize.ts).
 *
 * Patches follow merged units: units row by row, inside a unit its mergeSize x mergeSize patches
 * row by row; a patch holds channel, frame, row, column.
 *
 * Worked example: patchSize 1, mergeSize 2, a picture of 4 x 2 pixels numbered 0..7 row by row
 * gives the patches 0 1 4 5 2 3 6 7 and the grid 1, 2, 4.
 *
 * @throws ShapeError when a picture's side is not a multiple of patchSize * mergeSize.
 * Source: transformers image_processing_qwen2_vl.py, `Qwen2VLImageProcessor._preprocess`.
 */
export function patchify(rasters: readonly Raster[], config: PatchConfig): Patches {
  const { patchSize, temporalPatchSize } = config;
  const grids = rasters.map((raster) => rasterGrid(raster, config));
  let numPatches = 0;
  for (const [t, h, w] of grids) numPatches += t * h * w;
  const patchLength = NUM_CHANNELS * temporalPatchSize * patchSize * patchSize;
  const pixelValues_PF = new Float32Array(numPatches * patchLength);
  const table = normalisedLevels(config);
  let cursor = 0;
  for (const raster of rasters)
    cursor = writePatches(pixelValues_PF, cursor, raster, config, table);
  return { pixelValues_PF, grids, numPatches, patchLength };
}

/**
 * The grid a raster gets without looking at its pixels.
 * @throws ShapeError when a side is not a multiple of patchSize * mergeSize or the data is short.
 */
export function rasterGrid(
  raster: Raster,
  config: Pick<PatchConfig, 'patchSize' | 'mergeSize'>,
): GridThw {
  const { width, height, data } = raster;
  if (data.length !== width * height * NUM_CHANNELS) {
    throw new ShapeError({
      what: `The data of a ${width} x ${height} raster has the wrong length`,
      got: `${data.length} bytes`,
      expected: `${width * height * NUM_CHANNELS} bytes (height * width * 3)`,
    });
  }
  const grid: GridThw = [1, height / config.patchSize, width / config.patchSize];
  checkGrid(grid, config.mergeSize);
  return grid;
}

/** ours: bytes of the patches that are cut before they are copied out; they stay in the cache. */
const STRIP_BYTES = 262_144;

function writePatches(
  out: Float32Array,
  start: number,
  raster: Raster,
  config: PatchConfig,
  table: Float32Array,
): number {
  const { width, height, data } = raster;
  const { patchSize, mergeSize, temporalPatchSize } = config;
  const unit = patchSize * mergeSize;
  const stride = width * NUM_CHANNELS;
  const patchBytes = NUM_CHANNELS * temporalPatchSize * patchSize * patchSize * 4;
  const maxPatches = Math.ceil(STRIP_BYTES / patchBytes);
  // Places in the kernel's memory: the table at 0, a row of units, some patches.
  const rowAt = table.byteLength;
  const patchesAt = rowAt + Math.ceil((unit * stride) / 4) * 4;
  const { kernel, buffer } = openKernel(patchesAt + maxPatches * patchBytes);
  new Float32Array(buffer).set(table);
  const row = new Uint8Array(buffer, rowAt);
  const end = patchesAt + maxPatches * patchBytes;
  let to = patchesAt;
  let cursor = start;
  const flush = (): void => {
    const patches = new Float32Array(buffer, patchesAt, (to - patchesAt) / 4);
    out.set(patches, cursor);
    cursor += patches.length;
    to = patchesAt;
  };
  for (let unitY = 0; unitY < height; unitY += unit) {
    row.set(data.subarray(unitY * stride, (unitY + unit) * stride));
    for (let unitX = 0; unitX < width; unitX += unit) {
      for (let top = 0; top < unit; top += patchSize) {
        for (let left = unitX; left < unitX + unit; left += patchSize) {
          if (to === end) flush();
          const from = rowAt + top * stride + left * NUM_CHANNELS;
          kernel.cutPatch(from, stride, to, patchSize, temporalPatchSize);
          to += patchBytes;
        }
      }
    }
  }
  flush();
  return cursor;
}
