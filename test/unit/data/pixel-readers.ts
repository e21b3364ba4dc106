// Owns reading generated pictures back from their pixels; of the samplers' code only the letters' shapes;
// the task tests call it.

import { hasInk, TILE_LETTERS } from '../../../src/data/tasks/zoom.ts';
import type { Raster } from '../../../src/data/raster.ts';

type Rgb = readonly [number, number, number];

const CELL = 16;
const CELLS = [0, 1, 2, 3, 4, 5] as const;

/** Colour of a pixel. */
export function pixelAt(raster: Raster, x: number, y: number): Rgb {
  const offset = (y * raster.width + x) * 3;
  const [red = -1, green = -1, blue = -1] = raster.data.subarray(offset, offset + 3);
  return [red, green, blue];
}

const isRed = ([red, green, blue]: Rgb): boolean => red > 200 && green < 60 && blue < 70;
const isBlueInk = ([red, , blue]: Rgb): boolean => blue > 100 && red < 80;
const isGrey = ([red, green, blue]: Rgb): boolean =>
  Math.max(red, green, blue) - Math.min(red, green, blue) < 16;
const isDark = ([red, green, blue]: Rgb): boolean => red < 60 && green < 60 && blue < 60;

/** Is there ink, of either colour, halfway between a column and its right neighbour. */
function hasRung(raster: Raster, row: number, gap: number): boolean {
  if (gap < 0 || gap > 4) return false;
  const pixel = pixelAt(raster, (gap + 1) * CELL, row * CELL + 8);
  return isRed(pixel) || isBlueInk(pixel);
}

/** Follows a rope through the pixels of a ladder. */
export function walkLadder(raster: Raster, start: number): { end: number; numRungs: number } {
  let column = start;
  let numRungs = 0;
  for (const row of CELLS) {
    if (hasRung(raster, row, column)) column += 1;
    else if (hasRung(raster, row, column - 1)) column -= 1;
    else continue;
    numRungs += 1;
  }
  return { end: column, numRungs };
}

/** Reads the red path: where it starts and ends and how many red rungs there are. */
export function readRedPath(raster: Raster): { start: number; end: number; numRungs: number } {
  const columnsWithRed = (y: number): number[] =>
    CELLS.filter((column) => isRed(pixelAt(raster, column * CELL + 8, y)));
  const [start = -1, ...moreStarts] = columnsWithRed(0);
  const [end = -1, ...moreEnds] = columnsWithRed(95);
  if (moreStarts.length + moreEnds.length > 0) throw new Error('more than one red rope');
  let numRungs = 0;
  for (const row of CELLS) {
    for (let gap = 0; gap < 5; gap++) {
      if (isRed(pixelAt(raster, (gap + 1) * CELL, row * CELL + 8))) numRungs += 1;
    }
  }
  return { start, end, numRungs };
}

/** Word of each cell of a ladder picture, query or auxiliary. */
export function readLadderWords(raster: Raster): string[] {
  return CELLS.flatMap((row) =>
    CELLS.map((column) => {
      const x = column * CELL + 8;
      const y = row * CELL + 8;
      const isRedTop = isRed(pixelAt(raster, x, y - 7));
      const isRedBottom = isRed(pixelAt(raster, x, y + 7));
      const toRight = hasRung(raster, row, column);
      const toLeft = hasRung(raster, row, column - 1);
      if (isRedTop && isRedBottom) return 'redplain';
      if (isRedTop) return toRight ? 'goright' : 'goleft';
      if (isRedBottom) return toRight ? 'fromright' : 'fromleft';
      if (toRight) return 'right';
      return toLeft ? 'left' : 'plain';
    }),
  );
}

/** Word of each cell of a wall: bricks are ochre, holes dark, filled holes red. */
export function readWallWords(raster: Raster): string[] {
  return CELLS.flatMap((row) =>
    CELLS.map((column) => {
      const pixel = pixelAt(raster, column * CELL + 8, row * CELL + 8);
      if (isRed(pixel)) return 'redgap';
      return pixel[0] < 60 ? 'gap' : 'brick';
    }),
  );
}

/** Height of each bar in cells and whether it is red. */
export function readBars(raster: Raster): { height: number; red: boolean }[] {
  return CELLS.map((column) => {
    let height = 0;
    let red = false;
    for (const row of CELLS) {
      const pixel = pixelAt(raster, column * CELL + 8, row * CELL + 4);
      if (isGrey(pixel)) continue;
      height += 1;
      red ||= isRed(pixel);
    }
    return { height, red };
  });
}

/** Level of the dark line across an auxiliary chart, in cells from the bottom. */
export function readLevel(raster: Raster): number {
  for (const row of CELLS) {
    if (isDark(pixelAt(raster, 0, row * CELL + 15))) return 5 - row;
  }
  throw new Error('no level line');
}

/** Word of each cell of a chart, query or auxiliary. */
export function readChartWords(raster: Raster): string[] {
  return CELLS.flatMap((row) =>
    CELLS.map((column) => {
      const pixel = pixelAt(raster, column * CELL + 8, row * CELL + 4);
      if (isDark(pixelAt(raster, column * CELL, row * CELL + 15))) {
        return isRed(pixel) ? 'redline' : 'line';
      }
      if (isRed(pixel)) return 'redbar';
      return isGrey(pixel) ? 'empty' : 'bar';
    }),
  );
}

const COLOR_NAMES: Readonly<Record<string, (pixel: Rgb) => boolean>> = {
  grey: ([red, green, blue]) => red === green && green === blue && red > 100 && red < 200,
  yellow: ([red, green, blue]) => red > 200 && green > 200 && blue < 100,
  pink: ([red, green, blue]) => red > 200 && green < 180 && blue > 150,
  orange: ([red, green, blue]) => red > 200 && green > 100 && green < 200 && blue < 80,
  red: ([red, green]) => red > 200 && green < 100,
  purple: ([red, , blue]) => red > 120 && red < 200 && blue > 200,
  cyan: ([red, green, blue]) => red < 120 && green > 200 && blue > 200,
  blue: ([red, green, blue]) => red < 120 && green < 200 && blue > 200,
  green: ([red, green, blue]) => red < 120 && green > 150 && blue < 120,
};

/** Letter of 6 x 6 pixels, each a square of the given side, whose left top corner is given. */
export function readLetter(raster: Raster, x: number, y: number, side: number): string {
  const isInk = (row: number, column: number): boolean =>
    isDark(pixelAt(raster, x + (column + 0.5) * side, y + (row + 0.5) * side));
  const matches = TILE_LETTERS.filter((letter) =>
    Array.from({ length: 36 }, (_, i) => [Math.floor(i / 6), i % 6] as const).every(
      ([row, column]) => hasInk(letter, row, column) === isInk(row, column),
    ),
  );
  if (matches.length !== 1) throw new Error(`${matches.length} letters fit at ${x}, ${y}`);
  return matches.join('');
}

/** Frame colour and letter of the nine tiles of a zoom picture in raster order. */
export function readTiles(raster: Raster): { color: string; letter: string }[] {
  return Array.from({ length: 9 }, (_, tile) => {
    const [x, y] = [(tile % 3) * 32, Math.floor(tile / 3) * 32];
    const corner = pixelAt(raster, x, y);
    const [color = ''] = Object.keys(COLOR_NAMES).filter((name) => COLOR_NAMES[name]?.(corner));
    return { color, letter: readLetter(raster, x + 4, y + 4, 4) };
  });
}
