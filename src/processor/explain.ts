// Owns the account of how a picture becomes tokens: size used, rule, size, grid; called by `gapvl explain`.
import { numMergedTokens, numPatches, type GridThw } from './grid.ts';
import { planResize, type PictureSize, type ResizeRule } from './resize.ts';

/** What decides the size of a picture; `QWEN_RESIZE` is Qwen2.5-VL's. */
export interface ResizeSettings {
  readonly patchSize: number;
  readonly mergeSize: number;
  readonly minPixels: number;
  readonly maxPixels: number;
}

/** How one picture becomes tokens. */
export interface ResizeExplanation {
  /** Sides after the EXIF orientation. */
  readonly used: PictureSize;
  readonly rule: ResizeRule;
  /** The rule in words, with its numbers. */
  readonly why: string;
  readonly resized: PictureSize;
  readonly grid: GridThw;
  readonly numPatches: number;
  readonly numTokens: number;
}

const ORIENTATIONS: readonly string[] = [
  'none',
  'mirrored left to right',
  'turned by 180 degrees',
  'mirrored top to bottom',
  'mirrored left to right, turned by 270 degrees clockwise',
  'turned by 90 degrees clockwise',
  'mirrored left to right, turned by 90 degrees clockwise',
  'turned by 270 degrees clockwise',
];

/** What an EXIF orientation does to the stored picture; values that mean nothing do nothing. */
export function orientationText(orientation: number): string {
  return ORIENTATIONS[orientation - 1] ?? 'none';
}

/** Sides after the EXIF orientation: 5 to 8 swap them. Source: EXIF 2.32, tag 0x0112. */
export function orientedSize(stored: PictureSize, orientation: number): PictureSize {
  const isSwapped = orientation >= 5 && orientation <= 8;
  return isSwapped ? { height: stored.width, width: stored.height } : stored;
}

function sides({ height, width }: PictureSize): string {
  return `${width} x ${height}`;
}

/**
 * Why a picture gets the size and the number of tokens it gets.
 *
 * Worked example: 100 x 40 px with Qwen2.5-VL's settings: rounded to 112 x 28 = 3136 px, which is
 * min_pixels, so that size stays: grid 1, 2, 8, 16 patches, 4 tokens.
 *
 * @throws DataError for an empty picture or an aspect ratio above 200.
 */
export function explainResize(used: PictureSize, settings: ResizeSettings): ResizeExplanation {
  const { patchSize, mergeSize, minPixels, maxPixels } = settings;
  const factor = patchSize * mergeSize;
  const plan = planResize(used.height, used.width, factor, minPixels, maxPixels);
  const { rule, rounded, scale, size } = plan;
  const area = `${sides(rounded)} = ${rounded.width * rounded.height} px`;
  const why = {
    kept: `both sides are multiples of ${factor}, the area is within the limits`,
    rounded: `each side rounded to the nearest multiple of ${factor}`,
    grown: `rounded it would be ${area}, below min_pixels ${minPixels}: grown by ${scale.toFixed(3)}, then up to multiples of ${factor}`,
    shrunk: `rounded it would be ${area}, above max_pixels ${maxPixels}: shrunk by ${(1 / scale).toFixed(3)}, then down to multiples of ${factor}`,
  }[rule];
  const grid: GridThw = [1, size.height / patchSize, size.width / patchSize];
  return {
    used,
    rule,
    why,
    resized: size,
    grid,
    numPatches: numPatches(grid),
    numTokens: numMergedTokens(grid, mergeSize),
  };
}
