// Owns picture sizes and resampling as the reference's processor does them; called by data loaders and generate/.
import type { Raster } from '../data/raster.ts';
import { ConfigError, DataError } from '../errors.ts';

/** Largest ratio of the sides that Qwen2.5-VL takes. Source: image_processing_qwen2_vl.py. */
export const MAX_ASPECT_RATIO = 200;
/** Default `min_pixels`. Source: Qwen2.5-VL preprocessor_config.json. */
export const QWEN_MIN_PIXELS = 56 * 56;
/** Default `max_pixels`. Source: Qwen2.5-VL preprocessor_config.json. */
export const QWEN_MAX_PIXELS = 28 * 28 * 16384;

/** Least and most pixels of a resized picture. */
export interface PixelRange {
  readonly minPixels: number;
  readonly maxPixels: number;
}

/** Limits of one picture that stand in for the model's. */
export type PixelOverrides = Partial<PixelRange>;

/**
 * The limits that hold for one picture. A single limit given for it wins over the model's other
 * one: asking for at most 1000 px of a model with at least 3136 px gives 1000 to 1000.
 * @throws ConfigError when both are given and the least is above the most.
 */
export function pixelLimits(model: PixelRange, own: PixelOverrides): PixelRange {
  const { minPixels, maxPixels } = own;
  if (minPixels !== undefined && maxPixels !== undefined && minPixels > maxPixels) {
    throw new ConfigError({
      what: 'The limits of a picture exclude every size',
      got: `min_pixels ${minPixels}, max_pixels ${maxPixels}`,
      expected: 'min_pixels of at most max_pixels',
      fix: 'lower the first or raise the second',
    });
  }
  return {
    minPixels: minPixels ?? Math.min(model.minPixels, maxPixels ?? Infinity),
    maxPixels: maxPixels ?? Math.max(model.maxPixels, minPixels ?? 0),
  };
}

/** Sides in pixels. */
export interface PictureSize {
  readonly height: number;
  readonly width: number;
}

/** Which rule of the processor made the size: within the limits as it was, or changed how. */
export type ResizeRule = 'kept' | 'rounded' | 'grown' | 'shrunk';

/** A new size and how it came about. */
export interface ResizePlan {
  readonly rule: ResizeRule;
  /** Both sides rounded to multiples of the factor, whatever the limits. */
  readonly rounded: PictureSize;
  /** What both sides were multiplied by to come within the limits; 1 unless grown or shrunk. */
  readonly scale: number;
  readonly size: PictureSize;
}

/**
 * The size a picture is resized to: both sides multiples of `factor`, the area within
 * [minPixels, maxPixels], the aspect ratio kept as nearly as that allows.
 * @param factor - patch_size * spatial_merge_size.
 * @throws DataError for an empty picture or an aspect ratio above 200.
 */
export function smartResize(
  height: number,
  width: number,
  factor: number,
  minPixels: number,
  maxPixels: number,
): PictureSize {
  return planResize(height, width, factor, minPixels, maxPixels).size;
}

/**
 * The same as `smartResize`, with the rule that made the size.
 * @throws DataError for an empty picture or an aspect ratio above 200.
 * Source: transformers image_processing_qwen2_vl.py, `smart_resize`.
 */
export function planResize(
  height: number,
  width: number,
  factor: number,
  minPixels: number,
  maxPixels: number,
): ResizePlan {
  const ratio = Math.max(height, width) / Math.min(height, width);
  if (!(ratio <= MAX_ASPECT_RATIO)) {
    throw new DataError({
      what: 'A picture is too long and narrow for Qwen2.5-VL',
      got: `${width} x ${height} px, sides ${ratio.toFixed(1)} : 1`,
      expected: `sides of at most ${MAX_ASPECT_RATIO} : 1`,
      fix: 'crop the picture, or split it into several',
    });
  }
  const rounded = {
    height: roundHalfEven(height / factor) * factor,
    width: roundHalfEven(width / factor) * factor,
  };
  const area = rounded.height * rounded.width;
  if (area > maxPixels) {
    const shrink = Math.sqrt((height * width) / maxPixels);
    const size = {
      height: Math.max(factor, Math.floor(height / shrink / factor) * factor),
      width: Math.max(factor, Math.floor(width / shrink / factor) * factor),
    };
    return { rule: 'shrunk', rounded, scale: 1 / shrink, size };
  }
  if (area < minPixels) {
    const grow = Math.sqrt(minPixels / (height * width));
    const size = {
      height: Math.ceil((height * grow) / factor) * factor,
      width: Math.ceil((width * grow) / factor) * factor,
    };
    return { rule: 'grown', rounded, scale: grow, size };
  }
  const isKept = rounded.height === height && rounded.width === width;
  return { rule: isKept ? 'kept' : 'rounded', rounded, scale: 1, size: rounded };
}

/** Rounds halves to even, as Python does: 2.5 -> 2, 3.5 -> 4. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

const NUM_CHANNELS = 3;
// Source: Pillow Resample.c (bicubic_filter, precompute_coeffs, PRECISION_BITS = 32 - 8 - 2).
const BICUBIC_A = -0.5;
const BICUBIC_SUPPORT = 2;
const PRECISION_BITS = 22;
const PRECISION = 2 ** PRECISION_BITS;
const HALF = 1 << (PRECISION_BITS - 1);

/** Fixed-point weights of one axis: output i reads `numTaps` inputs from `starts[i]` on. */
interface AxisWeights {
  readonly starts: Int32Array;
  /** [outputs * numTaps]; 0 for inputs that are read for nothing. */
  readonly weights: Int32Array;
  readonly numTaps: number;
}

/** Stores round to 0..255 by clamping. */
type OutBytes = Uint8ClampedArray;

/** Taps of the unrolled passes: enough for pictures that grow, or shrink to two thirds. */
const FAST_TAPS = 6;
/** Lines that are narrowed together, so that the weights of a column are loaded once for them. */
const LINES_AT_ONCE = 8;

/**
 * Resizes by antialiased bicubic interpolation, equal byte by byte to `Image.resize(BICUBIC)` of
 * Pillow up to 12: 22-bit fixed-point weights, width first, rounded to 8 bits between the passes.
 * (Pillow 13 does the height first where it shrinks by more than twice as many pixels as the
 * width; results then differ by a few levels. Published checkpoints were made before.)
 * A raster that already has the size is returned as it is.
 */
export function resizeBicubic(raster: Raster, size: PictureSize): Raster {
  const narrowed = raster.width === size.width ? raster : resizeWidth(raster, size.width);
  return narrowed.height === size.height ? narrowed : resizeHeight(narrowed, size.height);
}

function bicubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((BICUBIC_A + 2) * x - (BICUBIC_A + 3)) * x * x + 1;
  if (x < BICUBIC_SUPPORT) return (((x - 5) * x + 8) * x - 4) * BICUBIC_A;
  return 0;
}

function axisWeights(inputSize: number, outputSize: number): AxisWeights {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = BICUBIC_SUPPORT * filterScale;
  const inverse = 1 / filterScale;
  const mostTaps = Math.min(inputSize, Math.floor(2 * support) + 1);
  const numTaps = mostTaps <= FAST_TAPS && inputSize >= FAST_TAPS ? FAST_TAPS : mostTaps;
  const starts = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * numTaps);
  for (let i = 0; i < outputSize; i++) {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inputSize, Math.trunc(center + support + 0.5));
    const exact: number[] = [];
    let sum = 0;
    for (let j = start; j < end; j++) {
      const weight = bicubic((j - center + 0.5) * inverse);
      exact.push(weight);
      sum += weight;
    }
    // Near the end of the axis the window is moved back, so that no tap lies behind it.
    const first = Math.min(start, inputSize - numTaps);
    starts[i] = first;
    for (const [j, weight] of exact.entries()) {
      const scaled = (sum === 0 ? weight : weight / sum) * PRECISION;
      const rounded = Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
      weights[i * numTaps + start - first + j] = rounded;
    }
  }
  return { starts, weights, numTaps };
}

function resizeWidth(raster: Raster, width: number): Raster {
  const axis = axisWeights(raster.width, width);
  const data = new Uint8ClampedArray(width * raster.height * NUM_CHANNELS);
  const pass = axis.numTaps === FAST_TAPS ? narrowBySix : narrowByMany;
  pass(raster, axis, width, data);
  return { width, height: raster.height, data: new Uint8Array(data.buffer) };
}

/** The common case, unrolled, mostly with four weights that are not 0; each `| 0` keeps a sum a 32-bit integer, which it fits as Pillow's. */
function narrowBySix(raster: Raster, axis: AxisWeights, width: number, out: OutBytes): void {
  const { height, data: input } = raster;
  const { starts, weights } = axis;
  const from = raster.width * NUM_CHANNELS;
  const to = width * NUM_CHANNELS;
  for (let top = 0; top < height; top += LINES_AT_ONCE) {
    const bottom = Math.min(height, top + LINES_AT_ONCE);
    for (let x = 0; x < width; x++) {
      const w = x * FAST_TAPS;
      const a = weights[w] ?? 0;
      const b = weights[w + 1] ?? 0;
      const c = weights[w + 2] ?? 0;
      const d = weights[w + 3] ?? 0;
      const e = weights[w + 4] ?? 0;
      const f = weights[w + 5] ?? 0;
      let first = top * from + (starts[x] ?? 0) * NUM_CHANNELS;
      let at = top * to + x * NUM_CHANNELS;
      if (e === 0 && f === 0) {
        for (let y = top; y < bottom; y++, first += from, at += to) {
          for (let channel = 0; channel < NUM_CHANNELS; channel++) {
            const i = first + channel;
            const ab = (Math.imul(input[i] ?? 0, a) + Math.imul(input[i + 3] ?? 0, b)) | 0;
            const cd = (Math.imul(input[i + 6] ?? 0, c) + Math.imul(input[i + 9] ?? 0, d)) | 0;
            out[at + channel] = (((ab + cd) | 0) + HALF) >> PRECISION_BITS;
          }
        }
        continue;
      }
      for (let y = top; y < bottom; y++, first += from, at += to) {
        for (let channel = 0; channel < NUM_CHANNELS; channel++) {
          const i = first + channel;
          const ab = (Math.imul(input[i] ?? 0, a) + Math.imul(input[i + 3] ?? 0, b)) | 0;
          const cd = (Math.imul(input[i + 6] ?? 0, c) + Math.imul(input[i + 9] ?? 0, d)) | 0;
          const ef = (Math.imul(input[i + 12] ?? 0, e) + Math.imul(input[i + 15] ?? 0, f)) | 0;
          out[at + channel] = ((((ab + cd) | 0) + ef + HALF) | 0) >> PRECISION_BITS;
        }
      }
    }
  }
}

function narrowByMany(raster: Raster, axis: AxisWeights, width: number, out: OutBytes): void {
  const { height, data: input } = raster;
  const { starts, weights, numTaps } = axis;
  let at = 0;
  for (let y = 0; y < height; y++) {
    const line = y * raster.width;
    for (let x = 0; x < width; x++, at += NUM_CHANNELS) {
      let i = (line + (starts[x] ?? 0)) * NUM_CHANNELS;
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      for (let w = x * numTaps, last = w + numTaps; w < last; w++, i += NUM_CHANNELS) {
        const weight = weights[w] ?? 0;
        red = (red + Math.imul(input[i] ?? 0, weight)) | 0;
        green = (green + Math.imul(input[i + 1] ?? 0, weight)) | 0;
        blue = (blue + Math.imul(input[i + 2] ?? 0, weight)) | 0;
      }
      out[at] = red >> PRECISION_BITS;
      out[at + 1] = green >> PRECISION_BITS;
      out[at + 2] = blue >> PRECISION_BITS;
    }
  }
}

function resizeHeight(raster: Raster, height: number): Raster {
  const axis = axisWeights(raster.height, height);
  const data = new Uint8ClampedArray(raster.width * height * NUM_CHANNELS);
  const pass = axis.numTaps === FAST_TAPS ? shortenBySix : shortenByMany;
  pass(raster, axis, height, data);
  return { width: raster.width, height, data: new Uint8Array(data.buffer) };
}

function shortenBySix(raster: Raster, axis: AxisWeights, height: number, out: OutBytes): void {
  const { data: input } = raster;
  const { starts, weights } = axis;
  const line = raster.width * NUM_CHANNELS;
  for (let y = 0; y < height; y++) {
    const at = y * line;
    const w = y * FAST_TAPS;
    const a = weights[w] ?? 0;
    const b = weights[w + 1] ?? 0;
    const c = weights[w + 2] ?? 0;
    const d = weights[w + 3] ?? 0;
    const e = weights[w + 4] ?? 0;
    const f = weights[w + 5] ?? 0;
    const first = (starts[y] ?? 0) * line;
    if (e === 0 && f === 0) {
      for (let j = 0, i = first; j < line; j++, i++) {
        const ab = (Math.imul(input[i] ?? 0, a) + Math.imul(input[i + line] ?? 0, b)) | 0;
        const cd =
          (Math.imul(input[i + 2 * line] ?? 0, c) + Math.imul(input[i + 3 * line] ?? 0, d)) | 0;
        out[at + j] = (((ab + cd) | 0) + HALF) >> PRECISION_BITS;
      }
      continue;
    }
    for (let j = 0, i = first; j < line; j++, i++) {
      const ab = (Math.imul(input[i] ?? 0, a) + Math.imul(input[i + line] ?? 0, b)) | 0;
      const cd =
        (Math.imul(input[i + 2 * line] ?? 0, c) + Math.imul(input[i + 3 * line] ?? 0, d)) | 0;
      const ef =
        (Math.imul(input[i + 4 * line] ?? 0, e) + Math.imul(input[i + 5 * line] ?? 0, f)) | 0;
      out[at + j] = ((((ab + cd) | 0) + ef + HALF) | 0) >> PRECISION_BITS;
    }
  }
}

function shortenByMany(raster: Raster, axis: AxisWeights, height: number, out: OutBytes): void {
  const { data: input } = raster;
  const { starts, weights, numTaps } = axis;
  const line = raster.width * NUM_CHANNELS;
  const sums = new Int32Array(line);
  for (let y = 0; y < height; y++) {
    sums.fill(HALF);
    for (let tap = 0; tap < numTaps; tap++) {
      const weight = weights[y * numTaps + tap] ?? 0;
      const first = ((starts[y] ?? 0) + tap) * line;
      for (let i = 0; i < line; i++) {
        sums[i] = ((sums[i] ?? 0) + Math.imul(input[first + i] ?? 0, weight)) | 0;
      }
    }
    for (let i = 0; i < line; i++) out[y * line + i] = (sums[i] ?? 0) >> PRECISION_BITS;
  }
}
