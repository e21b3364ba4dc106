// Owns attention drawn over a picture: what is attended to stays bright; the pictures part calls it.
// Axes: M picture tokens in raster order.
import type { Raster } from '../data/raster.ts';
import { ShapeError } from '../errors.ts';

/** Brightness of a place without any attention. ours: the picture can still be made out. */
const DARKEST = 0.15;

/** Mean of maps [M], one behind the other the layers or heads; all of one length. */
export function meanMap(maps: readonly Float32Array[]): Float32Array {
  const sum = new Float32Array(maps[0]?.length ?? 0);
  for (const map of maps) map.forEach((value, m) => (sum[m] = (sum[m] ?? 0) + value));
  return sum.map((value) => value / maps.length);
}

/**
 * A picture with every token's square as bright as it is attended to: the most attended square as
 * it is, one without attention at `DARKEST`. No colour is added, so that none has to be told apart.
 * @param map_M - attention on the tokens in raster order, any scale.
 * @param side - of a token's square in pixels.
 * @throws ShapeError when the map is not of this picture.
 */
export function spotlight(picture: Raster, map_M: Float32Array, side: number): Raster {
  const columns = Math.floor(picture.width / side);
  const numTokens = columns * Math.floor(picture.height / side);
  if (numTokens !== map_M.length) {
    throw new ShapeError({
      what: 'a map of attention does not belong to its picture',
      got: `${map_M.length} values`,
      expected: `${numTokens}, a value a square of ${side} px`,
    });
  }
  const most = map_M.reduce((a, b) => Math.max(a, b), 0);
  const { width, height } = picture;
  const data = new Uint8Array(picture.data.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const token = Math.floor(y / side) * columns + Math.floor(x / side);
      const light = most > 0 ? (map_M[token] ?? 0) / most : 0;
      const factor = DARKEST + (1 - DARKEST) * light;
      for (let c = 0; c < 3; c++) {
        const at = (y * width + x) * 3 + c;
        data[at] = Math.round((picture.data[at] ?? 0) * factor);
      }
    }
  }
  return { width, height, data };
}
