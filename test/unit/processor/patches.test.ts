// Tests of patch cutting and normalisation against the reference's image processor.
import { describe, expect, it } from 'vitest';
import type { Raster } from '../../../src/data/raster.ts';
import { ShapeError } from '../../../src/errors.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import { CLIP_MEAN, CLIP_STD, patchify, type PatchConfig } from '../../../src/processor/patches.ts';
import { resizeBicubic, smartResize } from '../../../src/processor/resize.ts';
import { Rng } from '../../../src/rng.ts';
import { bytesOf, floatsOf, readGolden } from './goldens.ts';

interface Golden {
  readonly cases: readonly {
    readonly patchSize: number;
    readonly mergeSize: number;
    readonly temporalPatchSize: number;
    readonly minPixels: number;
    readonly maxPixels: number;
    readonly pictures: readonly {
      readonly height: number;
      readonly width: number;
      readonly data: string;
    }[];
    readonly grids: readonly GridThw[];
    readonly pixelValues: string;
  }[];
}

const golden = readGolden('patches') as Golden;

/** The values of one picture, each looked up by its place. */
function plainPatches(raster: Raster, config: PatchConfig): number[] {
  const { patchSize: side, mergeSize: merge } = config;
  const unit = side * merge;
  const unitsAcross = raster.width / unit;
  const values: number[] = [];
  for (let patch = 0; patch < (raster.width * raster.height) / side ** 2; patch++) {
    const [of, inside] = [Math.floor(patch / merge ** 2), patch % merge ** 2];
    const left = (of % unitsAcross) * unit + (inside % merge) * side;
    const top = Math.floor(of / unitsAcross) * unit + Math.floor(inside / merge) * side;
    for (const channel of [0, 1, 2] as const) {
      for (let pixel = 0; pixel < side ** 2 * config.temporalPatchSize; pixel++) {
        const [x, y] = [left + (pixel % side), top + (Math.floor(pixel / side) % side)];
        const level = raster.data[(y * raster.width + x) * 3 + channel] ?? NaN;
        const centred = Math.fround(level / 255) - Math.fround(config.mean[channel]);
        values.push(Math.fround(centred) / Math.fround(config.std[channel]));
      }
    }
  }
  return values;
}

describe('patches', () => {
  it('come in the order of the worked example', () => {
    const raster: Raster = {
      width: 4,
      height: 2,
      data: Uint8Array.from({ length: 24 }, (_, i) => Math.floor(i / 3)),
    };
    const config: PatchConfig = {
      patchSize: 1,
      temporalPatchSize: 1,
      mergeSize: 2,
      mean: [0, 0, 0],
      std: [1 / 255, 1 / 255, 1 / 255],
    };
    const { pixelValues_PF, grids, patchLength } = patchify([raster], config);
    expect(grids).toEqual([[1, 2, 4]]);
    expect(patchLength).toBe(3);
    const reds = [...pixelValues_PF]
      .filter((_, i) => i % 3 === 0)
      .map((value) => Math.round(value));
    expect(reds).toEqual([0, 1, 4, 5, 2, 3, 6, 7]);
  });

  it.each(golden.cases.map((c, i) => [i, c] as const))(
    'equal the reference bit for bit, resizing included, in case %i',
    (_, c) => {
      const rasters = c.pictures.map((picture) => {
        const raster = { ...picture, data: bytesOf(picture.data) };
        const { height, width } = picture;
        return resizeBicubic(
          raster,
          smartResize(height, width, c.patchSize * c.mergeSize, c.minPixels, c.maxPixels),
        );
      });
      const patches = patchify(rasters, { ...c, mean: CLIP_MEAN, std: CLIP_STD });
      expect(patches.grids).toEqual(c.grids);
      const expected = floatsOf(c.pixelValues);
      expect(patches.pixelValues_PF.length).toBe(expected.length);
      let numDifferent = 0;
      for (const [i, value] of expected.entries())
        if (patches.pixelValues_PF[i] !== value) numDifferent += 1;
      expect(numDifferent).toBe(0);
    },
  );

  it.each([
    { patchSize: 1, mergeSize: 1, temporalPatchSize: 1, sides: [[300, 200]] },
    {
      patchSize: 3,
      mergeSize: 2,
      temporalPatchSize: 3,
      sides: [
        [6, 6],
        [198, 120],
        [12, 6],
      ],
    },
    {
      patchSize: 14,
      mergeSize: 2,
      temporalPatchSize: 2,
      sides: [
        [616, 140],
        [28, 616],
      ],
    },
    { patchSize: 40, mergeSize: 1, temporalPatchSize: 4, sides: [[320, 160]] },
  ] as const)('equal their plain twin, of several strips: $patchSize px, $sides', (c) => {
    const rng = new Rng('patches');
    const rasters = c.sides.map(([width, height]) => ({
      width,
      height,
      data: Uint8Array.from({ length: width * height * 3 }, () => Math.floor(rng.uniform() * 256)),
    }));
    const config = { ...c, mean: CLIP_MEAN, std: CLIP_STD };
    const expected = Float32Array.from(rasters.flatMap((raster) => plainPatches(raster, config)));
    const { pixelValues_PF } = patchify(rasters, config);
    expect(Buffer.from(pixelValues_PF.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
  });

  it('refuse a picture that is no whole number of merged patches or has too little data', () => {
    const config: PatchConfig = {
      patchSize: 4,
      temporalPatchSize: 2,
      mergeSize: 2,
      mean: CLIP_MEAN,
      std: CLIP_STD,
    };
    const raster = (width: number, height: number, length = width * height * 3): Raster => ({
      width,
      height,
      data: new Uint8Array(length),
    });
    expect(() => patchify([raster(8, 12)], config)).toThrow(ShapeError);
    expect(() => patchify([raster(8, 9)], config)).toThrow(ShapeError);
    expect(() => patchify([raster(8, 8, 100)], config)).toThrow(ShapeError);
    expect(patchify([raster(8, 8)], config).numPatches).toBe(4);
  });
});
