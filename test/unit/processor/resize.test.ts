// Tests of picture sizes and of bicubic resampling against transformers and Pillow.
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import { resizeBicubic, smartResize } from '../../../src/processor/resize.ts';
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

  it('returns a raster that already has the size as it is', () => {
    const raster = { width: 2, height: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
    expect(resizeBicubic(raster, { width: 2, height: 1 })).toBe(raster);
  });
});
