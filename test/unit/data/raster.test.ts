// Owns the check of the drawing strokes, the font and PNG encoding.

import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { glyphOf } from '../../../src/data/glyphs.ts';
import { encodePng } from '../../../src/data/png.ts';
import {
  createRaster,
  crop,
  drawSegment,
  drawText,
  enlarge,
  fillRect,
  measureText,
  paste,
  type Raster,
} from '../../../src/data/raster.ts';
import { ShapeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

const WHITE = [255, 255, 255] as const;
const BLACK = [0, 0, 0] as const;

/** The picture as rows of characters: '#' where it is not white. */
function ascii(raster: Raster): string[] {
  return Array.from({ length: raster.height }, (_, y) =>
    Array.from({ length: raster.width }, (_unused, x) =>
      raster.data[(y * raster.width + x) * 3] === 255 ? '.' : '#',
    ).join(''),
  );
}

function noise(width: number, height: number): Raster {
  const rng = new Rng(1);
  const data = Uint8Array.from({ length: width * height * 3 }, () => rng.int(256));
  return { width, height, data };
}

describe('strokes', () => {
  it('fill a rectangle and cut off what lies outside', () => {
    const raster = createRaster(4, 3, WHITE);
    fillRect(raster, 2, 1, 9, 9, BLACK);
    fillRect(raster, -1, -1, 2, 2, BLACK);
    fillRect(raster, 9, 0, 2, 2, BLACK);
    expect(ascii(raster)).toEqual(['#...', '..##', '..##']);
  });

  it('keep the three channels in order', () => {
    const raster = createRaster(2, 2, [1, 2, 3]);
    fillRect(raster, 1, 0, 1, 2, [7, 8, 9]);
    expect([...raster.data]).toEqual([1, 2, 3, 7, 8, 9, 1, 2, 3, 7, 8, 9]);
  });

  it('close the corner between two thick segments', () => {
    const raster = createRaster(6, 6, WHITE);
    drawSegment(raster, [2, 0], [2, 3], 2, BLACK);
    drawSegment(raster, [4, 3], [2, 3], 2, BLACK);
    expect(ascii(raster)).toEqual(['.##...', '.##...', '.####.', '.####.', '......', '......']);
  });

  it('refuse slanted segments', () => {
    const raster = createRaster(6, 6, WHITE);
    expect(() => {
      drawSegment(raster, [0, 0], [3, 4], 2, BLACK);
    }).toThrow(ShapeError);
  });

  it('enlarge each pixel to a square and crop it back', () => {
    const small = noise(5, 4);
    const large = enlarge(small, 3);
    expect([large.width, large.height]).toEqual([15, 12]);
    for (let y = 0; y < 12; y++) {
      for (let x = 0; x < 15; x++) {
        const pixel = crop(large, x, y, 1, 1).data;
        expect(pixel).toEqual(crop(small, Math.floor(x / 3), Math.floor(y / 3), 1, 1).data);
      }
    }
  });

  it('paste what crop cut out', () => {
    const picture = noise(9, 7);
    const target = createRaster(9, 7, WHITE);
    paste(target, crop(picture, 2, 3, 4, 3), 2, 3);
    expect(crop(target, 2, 3, 4, 3)).toEqual(crop(picture, 2, 3, 4, 3));
    expect(ascii(target)[0]).toBe('.........');
  });

  it('refuse to crop or paste outside of the picture', () => {
    const picture = noise(4, 4);
    expect(() => crop(picture, 2, 0, 3, 1)).toThrow(ShapeError);
    expect(() => {
      paste(createRaster(4, 4, WHITE), picture, 1, 0);
    }).toThrow(ShapeError);
  });
});

describe('the font', () => {
  it('draws a letter where it says it does', () => {
    const { width, height } = measureText('Ty', 1);
    const raster = createRaster(width, height + 2, WHITE);
    drawText(raster, 'Ty', 0, 0, 1, BLACK);
    expect(ascii(raster)).toEqual([
      '#####......',
      '..#........',
      '..#...#...#',
      '..#...#...#',
      '..#...#...#',
      '..#....####',
      '..#.......#',
      '..........#',
      '.......###.',
    ]);
  });

  it('has a glyph of its own for every letter and digit and a box for the rest', () => {
    const characters = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789');
    const glyphs = new Set(characters.map((character) => glyphOf(character).join('')));
    expect(glyphs.size).toBe(characters.length);
    expect(glyphs.has(glyphOf('\u{1f600}').join(''))).toBe(false);
    for (const character of characters) expect(glyphOf(character)).toHaveLength(35);
  });
});

describe('PNG encoding', () => {
  it('is read back pixel by pixel by another decoder', async () => {
    for (const [width, height] of [
      [1, 1],
      [7, 3],
      [96, 96],
    ] as const) {
      const raster = noise(width, height);
      const decoded = await sharp(encodePng(raster)).raw().toBuffer({ resolveWithObject: true });
      expect(decoded.info).toMatchObject({ width, height, channels: 3 });
      expect(decoded.data.equals(Buffer.from(raster.data))).toBe(true);
    }
  });
});
