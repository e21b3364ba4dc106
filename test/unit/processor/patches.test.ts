// Tests of patch cutting and normalisation against the reference's image processor.
import { describe, expect, it } from 'vitest';
import type { Raster } from '../../../src/data/raster.ts';
import { ShapeError } from '../../../src/errors.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import { CLIP_MEAN, CLIP_STD, patchify, type PatchConfig } from '../../../src/processor/patches.ts';
import { resizeBicubic, smartResize } from '../../../src/processor/resize.ts';
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
