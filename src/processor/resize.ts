// Owns picture sizes and resampling as the reference's processor does them; called by data loaders and generate/.
import type { Raster } from '../data/raster.ts';
import { DataError } from '../errors.ts';

/** Largest ratio of the sides that Qwen2.5-VL takes. Source: image_processing_qwen2_vl.py. */
export const MAX_ASPECT_RATIO = 200;
/** Default `min_pixels`. Source: Qwen2.5-VL preprocessor_config.json. */
export const QWEN_MIN_PIXELS = 56 * 56;
/** Default `max_pixels`. Source: Qwen2.5-VL preprocessor_config.json. */
export const QWEN_MAX_PIXELS = 28 * 28 * 16384;

/** Sides in pixels. */
export interface PictureSize {
  readonly height: number;
  readonly width: number;
}

/**
 * The size a picture is resized to: both sides multiples of `factor`, the area within
 * [minPixels, maxPixels], the aspect ratio kept as nearly as that allows.
 * @param factor - patch_size * spatial_merge_size.
 * @throws DataError for an empty picture or an aspect ratio above 200.
 * Source: transformers image_processing_qwen2_vl.py, `smart_resize`.
 */
export function smartResize(
  height: number,
  width: number,
  factor: number,
  minPixels: number,
  maxPixels: number,
): PictureSize {
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
    return {
      height: Math.max(factor, Math.floor(height / shrink / factor) * factor),
      width: Math.max(factor, Math.floor(width / shrink / factor) * factor),
    };
  }
  if (area < minPixels) {
    const grow = Math.sqrt(minPixels / (height * width));
    return {
      height: Math.ceil((height * grow) / factor) * factor,
      width: Math.ceil((width * grow) / factor) * factor,
    };
  }
  return rounded;
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

/** Fixed-point weights of one axis: output i reads `counts[i]` inputs from `starts[i]` on. */
interface AxisWeights {
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  /** [outputs * stride]. */
  readonly weights: Int32Array;
  readonly stride: number;
}

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
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outputSize);
  const counts = new Int32Array(outputSize);
  const weights = new Int32Array(outputSize * stride);
  const inverse = 1 / filterScale;
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
    for (const [j, weight] of exact.entries()) {
      const scaled = (sum === 0 ? weight : weight / sum) * PRECISION;
      weights[i * stride + j] = Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
    }
    starts[i] = start;
    counts[i] = end - start;
  }
  return { starts, counts, weights, stride };
}

function toByte(fixedPoint: number): number {
  const value = fixedPoint >> PRECISION_BITS;
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

function resizeWidth(raster: Raster, width: number): Raster {
  const { height, data: input } = raster;
  const axis = axisWeights(raster.width, width);
  const data = new Uint8Array(width * height * NUM_CHANNELS);
  let out = 0;
  for (let y = 0; y < height; y++) {
    const line = y * raster.width;
    for (let x = 0; x < width; x++) {
      const first = (line + (axis.starts[x] ?? 0)) * NUM_CHANNELS;
      const count = axis.counts[x] ?? 0;
      let red = PRECISION / 2;
      let green = PRECISION / 2;
      let blue = PRECISION / 2;
      let at = first;
      for (let k = x * axis.stride, last = k + count; k < last; k++, at += NUM_CHANNELS) {
        const weight = axis.weights[k] ?? 0;
        red += (input[at] ?? 0) * weight;
        green += (input[at + 1] ?? 0) * weight;
        blue += (input[at + 2] ?? 0) * weight;
      }
      data[out] = toByte(red);
      data[out + 1] = toByte(green);
      data[out + 2] = toByte(blue);
      out += NUM_CHANNELS;
    }
  }
  return { width, height, data };
}

function resizeHeight(raster: Raster, height: number): Raster {
  const { width, data: input } = raster;
  const axis = axisWeights(raster.height, height);
  const stride = width * NUM_CHANNELS;
  const data = new Uint8Array(stride * height);
  const sums = new Int32Array(stride);
  for (let y = 0; y < height; y++) {
    sums.fill(PRECISION / 2);
    const start = axis.starts[y] ?? 0;
    for (let k = 0, count = axis.counts[y] ?? 0; k < count; k++) {
      const weight = axis.weights[y * axis.stride + k] ?? 0;
      const line = (start + k) * stride;
      for (let i = 0; i < stride; i++) sums[i] = (sums[i] ?? 0) + (input[line + i] ?? 0) * weight;
    }
    for (let i = 0; i < stride; i++) data[y * stride + i] = toByte(sums[i] ?? 0);
  }
  return { width, height, data };
}
