// Owns picture sizes and resampling as the reference's processor does them; called by data loaders and generate/.
import type { Raster } from '../data/raster.ts';
import { ConfigError, DataError, ShapeError } from '../errors.ts';
import { openKernel } from './kernel.ts';

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
const PRECISION = 2 ** 22;

/** How the outputs of one axis are made, in the layout that the kernel reads. */
interface AxisRecords {
  /** [outputs * recordLength]; of each output the first input, the number of taps, their weights. */
  readonly records: Int32Array;
  readonly recordLength: number;
}

/** ours: bytes of a strip of rows; strips of input and output stay in the processor's cache. */
const STRIP_BYTES = 131_072;
/** Rows that the kernel resamples side by side; it takes a multiple of them. */
const ROWS_AT_ONCE = 4;
/** Bytes that the kernel may read or write behind a strip. */
const OVERRUN_BYTES = 16;

/**
 * Resizes by antialiased bicubic interpolation, equal byte by byte to `Image.resize(BICUBIC)` of
 * Pillow up to 12: 22-bit fixed-point weights, width first, rounded to 8 bits between the passes.
 * (Pillow 13 does the height first where it shrinks by more than twice as many pixels as the
 * width; results then differ by a few levels. Published checkpoints were made before.)
 * A raster that already has the size is returned as it is.
 *
 * The kernel's memory stays below 16 MB for every picture that `decodePicture` accepts by default,
 * when its size comes from `smartResize` under Qwen's limits.
 * @throws ShapeError when the data of the raster is not as long as its sides say, or a side is 0.
 */
export function resizeBicubic(raster: Raster, size: PictureSize): Raster {
  if (raster.width === size.width && raster.height === size.height) return raster;
  checkSides(raster, size);
  const across = axisRecords(raster.width, size.width);
  const down = axisRecords(raster.height, size.height);
  const fromStride = raster.width * NUM_CHANNELS;
  const length = size.width * NUM_CHANNELS;
  const keptStride = length + 1; // the kernel writes a byte behind each row
  const widest = Math.max(fromStride, keptStride);
  const stripRows = ROWS_AT_ONCE * Math.ceil(STRIP_BYTES / widest / ROWS_AT_ONCE);
  const maxMade = Math.ceil(STRIP_BYTES / length);
  // Twice the rows that one output reads, so that they are seldom moved to the front.
  const maxKept = 2 * (down.recordLength - 2) + stripRows;

  // Places in the kernel's memory. Rows go through both passes strip by strip; between the passes
  // those are kept that the next output reads.
  const downAt = across.records.byteLength;
  const stripAt = downAt + down.records.byteLength;
  const keptAt = stripAt + stripRows * fromStride + OVERRUN_BYTES;
  const madeAt = keptAt + maxKept * keptStride + OVERRUN_BYTES;
  const { kernel, buffer } = openKernel(madeAt + maxMade * length + OVERRUN_BYTES);
  const bytes = new Uint8Array(buffer);
  new Int32Array(buffer).set(across.records);
  new Int32Array(buffer, downAt).set(down.records);

  const data = new Uint8Array(size.height * length);
  let kept = 0; // the first row kept
  let read = 0; // the rows read so far
  for (let y = 0, made = 0; y < size.height; y += made) {
    const first = firstInput(down, y);
    bytes.copyWithin(
      keptAt,
      keptAt + (first - kept) * keptStride,
      keptAt + (read - kept) * keptStride,
    );
    kept = first;
    while (read < raster.height && read - kept + stripRows <= maxKept) {
      const rows = Math.min(stripRows, raster.height - read);
      bytes.set(raster.data.subarray(read * fromStride, (read + rows) * fromStride), stripAt);
      const to = keptAt + (read - kept) * keptStride;
      kernel.resampleWidth(
        stripAt,
        fromStride,
        to,
        keptStride,
        rows,
        0,
        across.recordLength,
        size.width,
      );
      read += rows;
    }
    for (made = 1; made < maxMade && y + made < size.height; made++) {
      if (endOfInputs(down, y + made) > read) break;
    }
    const from = keptAt - kept * keptStride;
    const records = downAt + y * down.recordLength * down.records.BYTES_PER_ELEMENT;
    kernel.resampleHeight(from, keptStride, madeAt, length, made, records, down.recordLength);
    data.set(bytes.subarray(madeAt, madeAt + made * length), y * length);
  }
  return { width: size.width, height: size.height, data };
}

function checkSides(raster: Raster, size: PictureSize): void {
  const { width, height, data } = raster;
  const isEmpty = Math.min(width, height, size.width, size.height) < 1;
  if (!isEmpty && data.length === width * height * NUM_CHANNELS) return;
  throw new ShapeError({
    what: 'A raster cannot be resized',
    got: `${data.length} bytes of ${width} x ${height} px, for ${size.width} x ${size.height} px`,
    expected: 'sides of at least 1 px and height * width * 3 bytes',
  });
}

function bicubic(distance: number): number {
  const x = Math.abs(distance);
  if (x < 1) return ((BICUBIC_A + 2) * x - (BICUBIC_A + 3)) * x * x + 1;
  if (x < BICUBIC_SUPPORT) return (((x - 5) * x + 8) * x - 4) * BICUBIC_A;
  return 0;
}

function axisRecords(inputSize: number, outputSize: number): AxisRecords {
  const scale = inputSize / outputSize;
  const filterScale = Math.max(scale, 1);
  const support = BICUBIC_SUPPORT * filterScale;
  const inverse = 1 / filterScale;
  const maxTaps = Math.min(inputSize, Math.floor(2 * support) + 1);
  const recordLength = 2 + maxTaps;
  const records = new Int32Array(outputSize * recordLength);
  const exact = new Float64Array(maxTaps);
  for (let i = 0, at = 0; i < outputSize; i++, at += recordLength) {
    const center = (i + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(inputSize, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let j = start; j < end; j++) {
      const weight = bicubic((j - center + 0.5) * inverse);
      exact[j - start] = weight;
      sum += weight;
    }
    records[at] = start;
    records[at + 1] = end - start;
    for (let tap = 0; tap < end - start; tap++) {
      const weight = exact[tap] ?? 0;
      const scaled = (sum === 0 ? weight : weight / sum) * PRECISION;
      records[at + 2 + tap] = Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
    }
  }
  return { records, recordLength };
}

function firstInput({ records, recordLength }: AxisRecords, output: number): number {
  return records[output * recordLength] ?? 0;
}

function endOfInputs({ records, recordLength }: AxisRecords, output: number): number {
  const at = output * recordLength;
  return (records[at] ?? 0) + (records[at + 1] ?? 0);
}
