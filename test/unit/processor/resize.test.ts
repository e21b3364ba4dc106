// Tests of picture sizes and of bicubic resampling against transformers and Pillow.
import { describe, expect, it } from 'vitest';
import type { Raster } from '../../../src/data/raster.ts';
import { DataError, ShapeError } from '../../../src/errors.ts';
import { openKernel } from '../../../src/processor/kernel.ts';
import { QWEN_MAX_PIXELS, QWEN_MIN_PIXELS } from '../../../src/processor/resize.ts';
import { resizeBicubic, smartResize, type PictureSize } from '../../../src/processor/resize.ts';
import { Rng } from '../../../src/rng.ts';
import { bytesOf, readGolden } from './goldens.ts';

type SizeCase = readonly [
  height: number,
  width: number,
  factor: number,
  minPixels: number,
  maxPixels: number,
  newHeight: number,
  newWidth: number,
];

interface Golden {
  readonly smartResize: readonly SizeCase[];
  readonly cases: readonly {
    readonly height: number;
    readonly width: number;
    readonly data: string;
    readonly outHeight: number;
    readonly outWidth: number;
    readonly out: string;
  }[];
}

const golden = readGolden('resize') as Golden;

describe('smartResize', () => {
  it(`equals the reference on ${golden.smartResize.length} sizes`, () => {
    for (const [
      height,
      width,
      factor,
      minPixels,
      maxPixels,
      newHeight,
      newWidth,
    ] of golden.smartResize) {
      const size = smartResize(height, width, factor, minPixels, maxPixels);
      expect({ of: [height, width, factor], ...size }).toEqual({
        of: [height, width, factor],
        height: newHeight,
        width: newWidth,
      });
    }
  });

  it('rounds halves to even: 42 px at factor 28 is 1.5 and becomes 2, 70 px is 2.5 and becomes 2', () => {
    expect(smartResize(42, 70, 28, 1, 1e9)).toEqual({ height: 56, width: 56 });
  });

  it('refuses an aspect ratio above 200 and empty pictures', () => {
    expect(smartResize(200, 1, 28, 3136, 1e9)).toEqual({ height: 812, width: 28 });
    expect(() => smartResize(201, 1, 28, 1, 1e9)).toThrow(DataError);
    expect(() => smartResize(0, 5, 28, 1, 1e9)).toThrow(DataError);
    expect(() => smartResize(0, 0, 28, 1, 1e9)).toThrow(DataError);
  });
});

/** A picture read by column and line. */
interface Plain {
  readonly at: (x: number, y: number) => Uint8Array;
  readonly width: number;
  readonly height: number;
}

/** One axis as Pillow's text says it, in plain numbers: lines of `width` pixels. */
function plainResize(picture: Plain, width: number): Uint8Array {
  const out = new Uint8Array(width * picture.height * 3);
  const scale = picture.width / width;
  const stretch = Math.max(1, scale);
  const cubic = (t: number): number => {
    const x = Math.abs(t);
    if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
  };
  for (let x = 0; x < width; x++) {
    const center = (x + 0.5) * scale;
    const start = Math.max(0, Math.trunc(center - 2 * stretch + 0.5));
    const end = Math.min(picture.width, Math.trunc(center + 2 * stretch + 0.5));
    const exact: number[] = [];
    for (let j = start; j < end; j++) exact.push(cubic((j - center + 0.5) * (1 / stretch)));
    const sum = exact.reduce((total, weight) => total + weight, 0);
    const weights = exact.map((weight) => {
      const scaled = (weight / sum) * 2 ** 22;
      return Math.trunc(scaled + (scaled < 0 ? -0.5 : 0.5));
    });
    for (let y = 0; y < picture.height; y++) {
      for (let channel = 0; channel < 3; channel++) {
        let total = 2 ** 21;
        for (const [j, weight] of weights.entries()) {
          total += weight * (picture.at(start + j, y)[channel] ?? 0);
        }
        const level = Math.floor(total / 2 ** 22);
        out[(y * width + x) * 3 + channel] = Math.min(255, Math.max(0, level));
      }
    }
  }
  return out;
}

/** Both axes of `plainResize`, the width first. */
function twin(raster: Raster, size: PictureSize): Uint8Array {
  const { width, height, data } = raster;
  const wide = plainResize(
    { at: (x, y) => data.subarray((y * width + x) * 3), width, height },
    size.width,
  );
  const turned = {
    at: (y: number, x: number) => wide.subarray((y * size.width + x) * 3),
    width: height,
    height: size.width,
  };
  const plain = plainResize(turned, size.height);
  return Uint8Array.from({ length: plain.length }, (_, i) => {
    const [pixel, channel] = [Math.floor(i / 3), i % 3];
    const [x, y] = [pixel % size.width, Math.floor(pixel / size.width)];
    return plain[(x * size.height + y) * 3 + channel] ?? 0;
  });
}

/** Half of the levels are 0 or 255, so that sums leave 0..255 often. */
function randomRaster(rng: Rng, width: number, height: number): Raster {
  const data = Uint8Array.from({ length: width * height * 3 }, () =>
    rng.uniform() < 0.5 ? 255 * Math.round(rng.uniform()) : Math.floor(rng.uniform() * 256),
  );
  return { width, height, data };
}

describe('resizeBicubic', () => {
  it.each(
    golden.cases.map(
      (c) => [`${c.width} x ${c.height} to ${c.outWidth} x ${c.outHeight}`, c] as const,
    ),
  )('equals Pillow byte by byte: %s', (_, c) => {
    const raster = { width: c.width, height: c.height, data: bytesOf(c.data) };
    const resized = resizeBicubic(raster, { height: c.outHeight, width: c.outWidth });
    expect(resized).toMatchObject({ width: c.outWidth, height: c.outHeight });
    expect(Buffer.from(resized.data).equals(bytesOf(c.out))).toBe(true);
  });

  it('equals its plain twin on random sizes, from one pixel to far smaller ones', () => {
    const rng = new Rng('resize');
    const side = (most: number): number => 1 + Math.floor(rng.uniform() * most);
    for (let round = 0; round < 150; round++) {
      const raster = randomRaster(rng, side(60), side(60));
      const size = { width: side(90), height: side(90) };
      const fast = resizeBicubic(raster, size).data;
      expect(Buffer.from(fast).equals(twin(raster, size))).toBe(true);
    }
  });

  it.each([
    ['shrink in both', [700, 500], [350, 260]],
    ['shrink in height by 100', [90, 3000], [70, 30]],
    ['shrink in width by 300, with rows longer than a strip', [50_000, 9], [170, 8]],
    ['grow in height by 100', [40, 90], [50, 9000]],
    ['grow in width, with rows longer than a strip', [300, 7], [50_000, 9]],
    ['keep the width', [400, 700], [400, 690]],
    ['keep the height', [400, 700], [390, 700]],
  ] as const)('equals its plain twin on pictures of several strips that %s', (_, from, to) => {
    const raster = randomRaster(new Rng('strips'), from[0], from[1]);
    const size = { width: to[0], height: to[1] };
    const fast = resizeBicubic(raster, size).data;
    expect(Buffer.from(fast).equals(twin(raster, size))).toBe(true);
  });

  it('needs at most 16 MB for the longest picture that is accepted', () => {
    const raster = { width: 180_000, height: 900, data: new Uint8Array(180_000 * 900 * 3) };
    const size = smartResize(900, 180_000, 28, QWEN_MIN_PIXELS, QWEN_MAX_PIXELS);
    expect(resizeBicubic(raster, size).width).toBe(size.width);
    const { buffer } = openKernel(0);
    expect(buffer.byteLength).toBeLessThanOrEqual(16 * 2 ** 20);
  });

  it('refuses data that is not as long as the sides say, and sides of no pixel', () => {
    const raster = { width: 4, height: 3, data: new Uint8Array(36) };
    expect(() => resizeBicubic({ ...raster, width: 5 }, { width: 2, height: 2 })).toThrow(
      ShapeError,
    );
    expect(() => resizeBicubic({ ...raster, height: 2 }, { width: 2, height: 2 })).toThrow(
      ShapeError,
    );
    expect(() => resizeBicubic(raster, { width: 0, height: 2 })).toThrow(ShapeError);
    expect(resizeBicubic(raster, { width: 2, height: 2 }).data.length).toBe(12);
  });

  it('returns a raster that already has the size as it is', () => {
    const raster = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
    expect(resizeBicubic(raster, { width: 2, height: 1 })).toBe(raster);
  });
});
