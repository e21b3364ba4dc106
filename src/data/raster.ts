// Owns pictures in memory and the few strokes the tasks draw with; processor/ and report/ read them.

import { ShapeError } from '../errors.ts';
import { descentOf, GLYPH_HEIGHT, GLYPH_WIDTH, glyphOf } from './glyphs.ts';

/** An RGB picture, 8 bit a channel, row-major: `data[(y * width + x) * 3 + channel]`. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** Red, green, blue, each 0..255. */
export type Color = readonly [number, number, number];

/** A new picture of one colour. */
export function createRaster(width: number, height: number, color: Color): Raster {
  const raster = { width, height, data: new Uint8Array(width * height * 3) };
  fillRect(raster, 0, 0, width, height, color);
  return raster;
}

/** Fills a rectangle, in pixels; the part outside of the picture is cut off. */
export function fillRect(
  raster: Raster,
  x: number,
  y: number,
  width: number,
  height: number,
  color: Color,
): void {
  const left = Math.max(0, x);
  const top = Math.max(0, y);
  const right = Math.min(raster.width, x + width);
  const bottom = Math.min(raster.height, y + height);
  if (left >= right || top >= bottom) return;
  const { data } = raster;
  const [red, green, blue] = color;
  const stride = raster.width * 3;
  const first = top * stride + left * 3;
  const end = top * stride + right * 3;
  for (let i = first; i < end; i += 3) {
    data[i] = red;
    data[i + 1] = green;
    data[i + 2] = blue;
  }
  for (let row = 1; row < bottom - top; row++) data.copyWithin(first + row * stride, first, end);
}

/**
 * A horizontal or vertical bar of even thickness with square ends: it covers every pixel within
 * half a thickness of the segment between the two points (so corners of joined bars are closed).
 */
export function drawSegment(
  raster: Raster,
  from: readonly [x: number, y: number],
  to: readonly [x: number, y: number],
  thickness: number,
  color: Color,
): void {
  if (from[0] !== to[0] && from[1] !== to[1]) {
    throw new ShapeError({
      what: 'drawSegment draws horizontal and vertical segments only',
      got: `from ${from.join(',')} to ${to.join(',')}`,
    });
  }
  const half = thickness / 2;
  const left = Math.min(from[0], to[0]) - half;
  const top = Math.min(from[1], to[1]) - half;
  const width = Math.abs(to[0] - from[0]) + thickness;
  const height = Math.abs(to[1] - from[1]) + thickness;
  fillRect(raster, left, top, width, height, color);
}

/** Draws text in the 5x7 font, each font pixel a square of `scale` pixels, one column between. */
export function drawText(
  raster: Raster,
  text: string,
  x: number,
  y: number,
  scale: number,
  color: Color,
): void {
  let left = x;
  for (const character of text) {
    const glyph = glyphOf(character);
    const top = y + descentOf(character) * scale;
    for (let i = 0; i < glyph.length; i++) {
      if (glyph[i] !== 1) continue;
      const glyphX = i % GLYPH_WIDTH;
      const glyphY = (i - glyphX) / GLYPH_WIDTH;
      fillRect(raster, left + glyphX * scale, top + glyphY * scale, scale, scale, color);
    }
    left += (GLYPH_WIDTH + 1) * scale;
  }
}

/** Size in pixels that `drawText` covers; g, p, q and y hang two font pixels below the height. */
export function measureText(text: string, scale: number): { width: number; height: number } {
  const numGlyphs = Array.from(text).length;
  const width = Math.max(0, numGlyphs * (GLYPH_WIDTH + 1) - 1) * scale;
  return { width, height: GLYPH_HEIGHT * scale };
}

/** A copy of a rectangle that lies wholly inside of the picture. */
export function crop(raster: Raster, x: number, y: number, width: number, height: number): Raster {
  if (x < 0 || y < 0 || x + width > raster.width || y + height > raster.height) {
    throw new ShapeError({
      what: 'crop needs a rectangle inside of the picture',
      got: `${width}x${height} at ${x},${y}`,
      expected: `inside of ${raster.width}x${raster.height}`,
    });
  }
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const start = ((y + row) * raster.width + x) * 3;
    data.set(raster.data.subarray(start, start + width * 3), row * width * 3);
  }
  return { width, height, data };
}

/** Nearest-neighbour enlargement by a whole factor: each pixel becomes a square. */
export function enlarge(raster: Raster, factor: number): Raster {
  const width = raster.width * factor;
  const height = raster.height * factor;
  const data = new Uint8Array(width * height * 3);
  const stride = width * 3;
  for (let y = 0; y < raster.height; y++) {
    const rowStart = y * factor * stride;
    let target = rowStart;
    let source = y * raster.width * 3;
    for (let x = 0; x < raster.width; x++) {
      const red = raster.data[source++] ?? 0;
      const green = raster.data[source++] ?? 0;
      const blue = raster.data[source++] ?? 0;
      for (let copy = 0; copy < factor; copy++) {
        data[target++] = red;
        data[target++] = green;
        data[target++] = blue;
      }
    }
    for (let copy = 1; copy < factor; copy++) {
      data.copyWithin(rowStart + copy * stride, rowStart, rowStart + stride);
    }
  }
  return { width, height, data };
}

/** Copies a smaller picture into a larger one; it must fit. */
export function paste(raster: Raster, piece: Raster, x: number, y: number): void {
  if (x < 0 || y < 0 || x + piece.width > raster.width || y + piece.height > raster.height) {
    throw new ShapeError({
      what: 'paste needs a place that holds the whole piece',
      got: `${piece.width}x${piece.height} at ${x},${y}`,
      expected: `inside of ${raster.width}x${raster.height}`,
    });
  }
  for (let row = 0; row < piece.height; row++) {
    const start = row * piece.width * 3;
    const rowData = piece.data.subarray(start, start + piece.width * 3);
    raster.data.set(rowData, ((y + row) * raster.width + x) * 3);
  }
}
