// Holds latent mosaics against pictures whose patches are known.
import { describe, expect, it } from 'vitest';
import {
  cosine,
  cutPatches,
  latentMosaic,
  makePatchBank,
  nearestPatch,
} from '../../../src/audit/mosaic.ts';
import { createRaster, fillRect } from '../../../src/data/raster.ts';

/** A 4 x 4 picture of four 2 x 2 patches with the given grey levels. */
function quarters(levels: readonly [number, number, number, number]) {
  const picture = createRaster(4, 4, [0, 0, 0]);
  levels.forEach((level, i) => {
    fillRect(picture, (i % 2) * 2, Math.floor(i / 2) * 2, 2, 2, [level, level, level]);
  });
  return picture;
}

describe('a patch bank', () => {
  const picture = quarters([10, 20, 30, 40]);
  const rows = Float32Array.of(1, 0, 0, 1, -1, 0, 0, -1);
  const bank = makePatchBank([picture], rows, 2, 2);

  it('cuts pictures in raster order', () => {
    expect(cutPatches(picture, 2).map((patch) => patch.data[0])).toEqual([10, 20, 30, 40]);
  });

  it('finds the row with the smallest distance, not the largest product', () => {
    expect(nearestPatch(bank, Float32Array.of(0.9, 0.2))).toBe(0);
    expect(nearestPatch(bank, Float32Array.of(0.1, -3))).toBe(3);
  });

  it('lays latents out as the picture their embeddings come from', () => {
    const latents = [0, 1, 2, 3].map((i) => rows.slice(2 * i, 2 * i + 2));
    expect(latentMosaic(bank, latents).data).toEqual(picture.data);
    const swapped = latentMosaic(bank, [...latents].reverse());
    expect(swapped.data).toEqual(quarters([40, 30, 20, 10]).data);
  });

  it('refuses embeddings that are not those of the patches', () => {
    expect(() => makePatchBank([picture], rows.slice(2), 2, 2)).toThrow('do not belong together');
  });
});

describe('cosine', () => {
  it('is 1, 0 and -1 for equal, orthogonal and opposite directions, whatever the lengths', () => {
    const x = Float32Array.of(3, 4);
    expect(cosine(x, Float32Array.of(6, 8))).toBeCloseTo(1, 12);
    expect(cosine(x, Float32Array.of(-4, 3))).toBeCloseTo(0, 12);
    expect(cosine(x, Float32Array.of(-0.3, -0.4))).toBeCloseTo(-1, 6);
    expect(cosine(x, Float32Array.of(0, 0))).toBe(0);
  });
});
