// Owns the zoom task: find a tile and read its letter; index.ts lists it.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import { GLYPH_HEIGHT, GLYPH_WIDTH } from '../glyphs.ts';
import { createRaster, crop, drawText, enlarge, fillRect } from '../raster.ts';
import type { Color, Raster } from '../raster.ts';
import { captionCells, CELL_SIZE, defineTask, PICTURE_SIZE } from './task.ts';

/** The nine tile colours by name; a picture has each of them once. */
export const TILE_COLORS = {
  red: [236, 56, 56],
  orange: [255, 146, 20],
  yellow: [250, 226, 40],
  green: [70, 190, 70],
  cyan: [70, 222, 232],
  blue: [58, 120, 255],
  purple: [166, 84, 236],
  pink: [255, 148, 206],
  white: [250, 250, 250],
} as const satisfies Record<string, Color>;

/** Letters on the tiles; any two differ in at least 9 of the font's 35 pixels. */
export const TILE_LETTERS = ['a', 'c', 'j', 'k', 'm', 's', 't', 'u', 'v', 'x', 'y', 'z'] as const;

/** Side of the square of tiles, in tiles. */
export const NUM_TILES_SIDE = 3;

type ColorName = keyof typeof TILE_COLORS;

interface ZoomLayout {
  /** Colour and letter by tile, raster order. */
  readonly colors: readonly ColorName[];
  readonly letters: readonly string[];
  /** Tile whose colour the question names, 0..8. */
  readonly anchor: number;
  /** Tile whose letter is asked for, 0..8. */
  readonly target: number;
  /** Words between "which letter is" and "the ... tile". */
  readonly relation: string;
}

const COLOR_NAMES = Object.keys(TILE_COLORS) as ColorName[];
const TILE_SIZE = PICTURE_SIZE / NUM_TILES_SIDE;
const CELLS_PER_TILE = TILE_SIZE / CELL_SIZE;
const NUM_TILES = NUM_TILES_SIDE * NUM_TILES_SIDE;
const LETTER_INK: Color = [16, 16, 24];
// 20 x 28 px letters with strokes of 4 px on tiles of 32 px.
const LETTER_SCALE = 4;

// Where the target lies as seen from the anchor.
const RELATIONS = [
  { words: 'left of', row: 0, column: -1 },
  { words: 'right of', row: 0, column: 1 },
  { words: 'above', row: -1, column: 0 },
  { words: 'below', row: 1, column: 0 },
] as const;

function sampleQuestion(
  rng: Rng,
  difficulty: Difficulty,
): Pick<ZoomLayout, 'anchor' | 'target' | 'relation'> {
  const target = rng.int(NUM_TILES);
  if (difficulty === 'easy') return { anchor: target, target, relation: 'on' };
  const column = target % NUM_TILES_SIDE;
  const row = (target - column) / NUM_TILES_SIDE;
  for (;;) {
    const relation = rng.pick(RELATIONS);
    const anchorRow = row - relation.row;
    const anchorColumn = column - relation.column;
    if (Math.min(anchorRow, anchorColumn) < 0) continue;
    if (Math.max(anchorRow, anchorColumn) >= NUM_TILES_SIDE) continue;
    const anchor = anchorRow * NUM_TILES_SIDE + anchorColumn;
    return { anchor, target, relation: relation.words };
  }
}

function drawTiles({ colors, letters }: ZoomLayout): Raster {
  const raster = createRaster(PICTURE_SIZE, PICTURE_SIZE, TILE_COLORS.white);
  const marginX = (TILE_SIZE - GLYPH_WIDTH * LETTER_SCALE) / 2;
  const marginY = (TILE_SIZE - GLYPH_HEIGHT * LETTER_SCALE) / 2;
  colors.forEach((color, tile) => {
    const x = (tile % NUM_TILES_SIDE) * TILE_SIZE;
    const y = Math.floor(tile / NUM_TILES_SIDE) * TILE_SIZE;
    fillRect(raster, x, y, TILE_SIZE, TILE_SIZE, TILE_COLORS[color]);
    const letter = (letters[tile] ?? '').toUpperCase();
    drawText(raster, letter, x + marginX, y + marginY, LETTER_SCALE, LETTER_INK);
  });
  return raster;
}

function drawTarget(layout: ZoomLayout): Raster {
  const x = (layout.target % NUM_TILES_SIDE) * TILE_SIZE;
  const y = Math.floor(layout.target / NUM_TILES_SIDE) * TILE_SIZE;
  return enlarge(crop(drawTiles(layout), x, y, TILE_SIZE, TILE_SIZE), NUM_TILES_SIDE);
}

/** Colour and letter take turns along a row, so that each tile row says both. */
function tileWord({ colors, letters }: ZoomLayout, tile: number, column: number): string {
  return (column % 2 === 0 ? colors[tile] : letters[tile]) ?? '';
}

/** Which letter is on, or next to, a tile of a colour. Auxiliary: that tile enlarged. */
export const zoom = defineTask<ZoomLayout>({
  think: 'i zoom into one tile',
  parser: 'that tile is now large',
  answers: TILE_LETTERS,
  questionWords: [
    ...['which', 'letter', 'is', 'on', 'the', 'tile', 'left', 'right', 'of', 'above', 'below'],
    ...COLOR_NAMES,
  ],
  captionWords: [...COLOR_NAMES, ...TILE_LETTERS],
  layout: (rng, difficulty) => ({
    colors: rng.shuffle(COLOR_NAMES),
    letters: rng.shuffle(TILE_LETTERS).slice(0, NUM_TILES),
    ...sampleQuestion(rng, difficulty),
  }),
  pictureKey: ({ colors, letters }) =>
    `zoom ${colors.map((color, tile) => `${color}:${letters[tile] ?? ''}`).join(' ')}`,
  question: ({ colors, anchor, relation }) =>
    `which letter is ${relation} the ${colors[anchor] ?? ''} tile`,
  answer: ({ letters, target }) => letters[target] ?? '',
  picture: drawTiles,
  auxiliary: drawTarget,
  caption: (layout) =>
    captionCells((row, column) => {
      const tileRow = Math.floor(row / CELLS_PER_TILE);
      const tile = tileRow * NUM_TILES_SIDE + Math.floor(column / CELLS_PER_TILE);
      return tileWord(layout, tile, column);
    }),
  auxiliaryCaption: (layout) =>
    captionCells((_row, column) => tileWord(layout, layout.target, column)),
});
