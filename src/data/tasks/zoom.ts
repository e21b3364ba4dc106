// Owns the zoom task: find the red tile, and read the letter on it or on one beside it; index.ts lists it.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import { createRaster, crop, enlarge, fillRect } from '../raster.ts';
import type { Color, Raster } from '../raster.ts';
import { captionCells, CELL_SIZE, defineTask, GRID_SIZE, PICTURE_SIZE } from './task.ts';
import type { EditGroup } from './task.ts';

/** The nine frame colours by name; a picture has each of them once. */
export const TILE_COLORS = {
  red: [236, 56, 56],
  orange: [255, 146, 20],
  yellow: [250, 226, 40],
  green: [70, 190, 70],
  cyan: [70, 222, 232],
  blue: [58, 120, 255],
  purple: [166, 84, 236],
  pink: [255, 148, 206],
  grey: [150, 150, 150],
} as const satisfies Record<string, Color>;

/** Side of the square of tiles, in tiles. */
export const NUM_TILES_SIDE = 3;

// Six rows of six pixels, `#` is ink: as many as a picture has cells, so that an enlarged letter
// fills each cell with ink or with nothing.
const LETTER_ROWS = {
  a: '.####. #....# #....# ###### #....# #....#',
  c: '.##### #..... #..... #..... #..... .#####',
  j: '...### ....#. ....#. ....#. #...#. .###..',
  k: '#...## #..##. ####.. ####.. #..##. #...##',
  m: '#....# ##..## #.##.# #....# #....# #....#',
  s: '.##### #..... .####. .....# .....# #####.',
  t: '###### ..##.. ..##.. ..##.. ..##.. ..##..',
  u: '#....# #....# #....# #....# #....# .####.',
  v: '#....# #....# #....# .#..#. .#..#. ..##..',
  x: '#....# .#..#. ..##.. ..##.. .#..#. #....#',
  y: '#....# .#..#. ..##.. ..##.. ..##.. ..##..',
  z: '###### ....#. ...#.. ..#... .#.... ######',
} as const;

type ColorName = keyof typeof TILE_COLORS;
type Letter = keyof typeof LETTER_ROWS;

/** Letters on the tiles. */
export const TILE_LETTERS = Object.keys(LETTER_ROWS) as readonly Letter[];

/** Whether a letter has ink at a place of its 6 x 6 pixels. */
export function hasInk(letter: Letter, row: number, column: number): boolean {
  return LETTER_ROWS[letter].charAt(row * (GRID_SIZE + 1) + column) === '#';
}

interface ZoomLayout {
  /** Colour and letter by tile, raster order. */
  readonly colors: readonly ColorName[];
  readonly letters: readonly Letter[];
  /** Tile whose letter is asked for, 0..8. */
  readonly target: number;
  /** Where it lies as seen from the red tile. */
  readonly relation: string;
}

const COLOR_NAMES = Object.keys(TILE_COLORS) as ColorName[];
const ANCHOR: ColorName = 'red';
const NUM_TILES = NUM_TILES_SIDE * NUM_TILES_SIDE;
const TILE_SIZE = PICTURE_SIZE / NUM_TILES_SIDE;
const CELLS_PER_TILE = TILE_SIZE / CELL_SIZE;
// A tile is a white card of 24 px with a frame of 4 px; a pixel of a letter is 4 px wide.
const FRAME = 4;
const CARD_SIZE = TILE_SIZE - 2 * FRAME;
const LETTER_PIXEL = CARD_SIZE / GRID_SIZE;
const CARD: Color = [252, 252, 252];
const LETTER_INK: Color = [16, 16, 24];

// Where the target lies as seen from the red tile.
const RELATIONS = [
  { words: 'left of', row: 0, column: -1 },
  { words: 'right of', row: 0, column: 1 },
  { words: 'above', row: -1, column: 0 },
  { words: 'below', row: 1, column: 0 },
] as const;

function sampleTarget(
  rng: Rng,
  difficulty: Difficulty,
  anchor: number,
): Pick<ZoomLayout, 'target' | 'relation'> {
  if (difficulty === 'easy') return { target: anchor, relation: 'on' };
  const anchorColumn = anchor % NUM_TILES_SIDE;
  const anchorRow = (anchor - anchorColumn) / NUM_TILES_SIDE;
  for (;;) {
    const relation = rng.pick(RELATIONS);
    const row = anchorRow + relation.row;
    const column = anchorColumn + relation.column;
    if (Math.min(row, column) < 0 || Math.max(row, column) >= NUM_TILES_SIDE) continue;
    return { target: row * NUM_TILES_SIDE + column, relation: relation.words };
  }
}

function sampleLayout(rng: Rng, difficulty: Difficulty): ZoomLayout {
  const colors = rng.shuffle(COLOR_NAMES);
  const letters = rng.shuffle(TILE_LETTERS).slice(0, NUM_TILES);
  return { colors, letters, ...sampleTarget(rng, difficulty, colors.indexOf(ANCHOR)) };
}

/** Left and top of a tile in pixels. */
function placeOf(tile: number): [x: number, y: number] {
  const column = tile % NUM_TILES_SIDE;
  return [column * TILE_SIZE, ((tile - column) / NUM_TILES_SIDE) * TILE_SIZE];
}

function drawTiles({ colors, letters }: ZoomLayout): Raster {
  const raster = createRaster(PICTURE_SIZE, PICTURE_SIZE, CARD);
  for (const [tile, letter] of letters.entries()) {
    const [x, y] = placeOf(tile);
    fillRect(raster, x, y, TILE_SIZE, TILE_SIZE, TILE_COLORS[colors[tile] ?? ANCHOR]);
    fillRect(raster, x + FRAME, y + FRAME, CARD_SIZE, CARD_SIZE, CARD);
    for (let row = 0; row < GRID_SIZE; row++) {
      for (let column = 0; column < GRID_SIZE; column++) {
        if (!hasInk(letter, row, column)) continue;
        const left = x + FRAME + column * LETTER_PIXEL;
        const top = y + FRAME + row * LETTER_PIXEL;
        fillRect(raster, left, top, LETTER_PIXEL, LETTER_PIXEL, LETTER_INK);
      }
    }
  }
  return raster;
}

function drawTarget(layout: ZoomLayout): Raster {
  const [x, y] = placeOf(layout.target);
  const card = crop(drawTiles(layout), x + FRAME, y + FRAME, CARD_SIZE, CARD_SIZE);
  return enlarge(card, PICTURE_SIZE / CARD_SIZE);
}

/** The letter that is asked for. */
function targetLetter({ letters, target }: ZoomLayout): Letter {
  return letters[target] ?? 'a';
}

/** Tile a step away, undefined beyond the border. */
function tileAt(tile: number, rows: number, columns: number): number | undefined {
  const column = (tile % NUM_TILES_SIDE) + columns;
  const row = Math.floor(tile / NUM_TILES_SIDE) + rows;
  const isInside = Math.min(row, column) >= 0 && Math.max(row, column) < NUM_TILES_SIDE;
  return isInside ? row * NUM_TILES_SIDE + column : undefined;
}

/** The list with two entries exchanged. */
function swapped<T>(items: readonly T[], a: number, b: number): T[] {
  return items.map((item, i) => items[i === a ? b : i === b ? a : i] ?? item);
}

function editTiles(layout: ZoomLayout): EditGroup<ZoomLayout>[] {
  const { colors, letters, target, relation } = layout;
  const anchor = colors.indexOf(ANCHOR);
  const all = letters.map((_, tile) => tile);
  const others = all.filter((tile) => tile !== target);
  const plain = all.filter((tile) => tile !== anchor);
  const unused = TILE_LETTERS.filter((letter) => !letters.includes(letter));
  const step = RELATIONS.find(({ words }) => words === relation) ?? { row: 0, column: 0 };
  const relettered = (tile: number): ZoomLayout[] =>
    unused.map((letter) => ({ ...layout, letters: letters.with(tile, letter) }));
  return [
    {
      effect: 'flip',
      what: 'the red frame is moved',
      layouts: plain.flatMap((tile) => {
        const seen = tileAt(tile, step.row, step.column);
        return seen === undefined
          ? []
          : [{ ...layout, colors: swapped(colors, anchor, tile), target: seen }];
      }),
    },
    { effect: 'flip', what: 'the letter is another one', layouts: relettered(target) },
    {
      effect: 'control',
      what: 'a letter elsewhere is another',
      layouts: others.flatMap(relettered),
    },
    {
      effect: 'control',
      what: 'two other frames change colours',
      layouts: plain.flatMap((a) =>
        plain.filter((b) => a < b).map((b) => ({ ...layout, colors: swapped(colors, a, b) })),
      ),
    },
  ];
}

/**
 * Which letter is on, or next to, the red tile. Auxiliary: the card of that tile enlarged.
 *
 * The anchor is always red: with an anchor of any colour the tiny model does not learn the search
 * (docs/LOG.md).
 */
export const zoom = defineTask<ZoomLayout>({
  think: 'i zoom into one tile',
  parser: 'that tile is now large',
  answers: TILE_LETTERS,
  questionWords: [
    ...['which', 'letter', 'is', 'on', 'the', 'tile', 'left', 'right', 'of', 'above', 'below'],
    ANCHOR,
  ],
  captionWords: [...COLOR_NAMES, ...TILE_LETTERS, 'ink', 'blank'],
  layout: sampleLayout,
  pictureKey: ({ colors, letters }) =>
    `zoom ${colors.map((color, tile) => `${color}:${letters[tile] ?? ''}`).join(' ')}`,
  question: ({ relation }) => `which letter is ${relation} the ${ANCHOR} tile`,
  answer: targetLetter,
  picture: drawTiles,
  auxiliary: drawTarget,
  // Colour and letter take turns along a row, so that each row of a tile says both.
  caption: ({ colors, letters }) =>
    captionCells((row, column) => {
      const tileRow = Math.floor(row / CELLS_PER_TILE);
      const tile = tileRow * NUM_TILES_SIDE + Math.floor(column / CELLS_PER_TILE);
      return (column % CELLS_PER_TILE === 0 ? colors[tile] : letters[tile]) ?? '';
    }),
  auxiliaryCaption: (layout) =>
    captionCells((row, column) => (hasInk(targetLetter(layout), row, column) ? 'ink' : 'blank')),
  edits: editTiles,
});
