// Owns the patch grid of a picture and what is counted from it; used by every file of the processor and by model/.
import { ShapeError } from '../errors.ts';

/**
 * The grid of one picture in patches: time, height, width, as one row of `image_grid_thw`.
 * Height and width are multiples of the merge size; time is 1 for a still picture.
 */
export type GridThw = readonly [t: number, h: number, w: number];

/** Number of patches of a grid, rows of `pixel_values`. */
export function numPatches(grid: GridThw): number {
  return grid[0] * grid[1] * grid[2];
}

/**
 * Number of merged tokens of a grid, `<|image_pad|>` positions of the decoder.
 * @param mergeSize - `spatial_merge_size`: side of the square of patches that becomes one token.
 * @throws ShapeError when a side is not a positive multiple of the merge size.
 */
export function numMergedTokens(grid: GridThw, mergeSize: number): number {
  checkGrid(grid, mergeSize);
  return numPatches(grid) / (mergeSize * mergeSize);
}

/**
 * Checks that a grid can be merged.
 * @throws ShapeError when it has a side that is not a positive multiple of the merge size.
 */
export function checkGrid(grid: GridThw, mergeSize: number): void {
  const [t, h, w] = grid;
  const valid =
    grid.every((side) => Number.isSafeInteger(side) && side > 0) &&
    h % mergeSize === 0 &&
    w % mergeSize === 0;
  if (valid) return;
  throw new ShapeError({
    what: 'The patch grid of a picture cannot be merged',
    got: `t, h, w = ${t}, ${h}, ${w}`,
    expected: `positive whole numbers, h and w multiples of the merge size ${mergeSize}`,
    fix: 'resize the picture with smartResize before cutting it into patches',
  });
}
