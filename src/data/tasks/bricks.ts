// Owns the bricks task: count what is missing in a wall; index.ts lists it.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import { createRaster, fillRect, type Color, type Raster } from '../raster.ts';
import { HIGHLIGHT } from './palette.ts';
import { captionCells, CELL_SIZE, defineTask, GRID_SIZE, PICTURE_SIZE } from './task.ts';
import type { EditGroup } from './task.ts';

interface BricksLayout {
  /** By cell in raster order: is the brick missing. */
  readonly isMissing: readonly boolean[];
  readonly numMissing: number;
}

const MORTAR: Color = [238, 232, 216];
const BRICK: Color = [216, 148, 52];
const HOLE: Color = [36, 44, 72];
const NUM_CELLS = GRID_SIZE * GRID_SIZE;

// ours: one missing brick is rarer, as there are only 36 such walls; hard counts are even.
const EASY_COUNTS = [1, 2, 2, 3, 3];
const HARD_COUNTS = [4, 5, 6, 7, 8, 9];

const allCells = Array.from({ length: NUM_CELLS }, (_, cell) => cell);

function sampleLayout(rng: Rng, difficulty: Difficulty): BricksLayout {
  const numMissing = rng.pick(difficulty === 'hard' ? HARD_COUNTS : EASY_COUNTS);
  const isMissing = new Array<boolean>(NUM_CELLS).fill(false);
  for (const cell of rng.shuffle(allCells).slice(0, numMissing)) isMissing[cell] = true;
  return { isMissing, numMissing };
}

function drawWall({ isMissing }: BricksLayout, missing: Color): Raster {
  const raster = createRaster(PICTURE_SIZE, PICTURE_SIZE, MORTAR);
  isMissing.forEach((gone, cell) => {
    const column = cell % GRID_SIZE;
    const row = (cell - column) / GRID_SIZE;
    // A brick leaves 1 px of mortar at its sides and 2 px above and below.
    const color = gone ? missing : BRICK;
    fillRect(raster, column * CELL_SIZE + 1, row * CELL_SIZE + 2, 14, 12, color);
  });
  return raster;
}

function captionWall({ isMissing }: BricksLayout, missing: string): string[] {
  return captionCells((row, column) =>
    isMissing[row * GRID_SIZE + column] === true ? missing : 'brick',
  );
}

/** The wall with some of its cells turned over: bricks taken out, gaps filled. */
function turned({ isMissing }: BricksLayout, ...cells: readonly number[]): BricksLayout {
  const after = isMissing.map((gone, cell) => (cells.includes(cell) ? !gone : gone));
  return { isMissing: after, numMissing: after.filter(Boolean).length };
}

function editWall(layout: BricksLayout): EditGroup<BricksLayout>[] {
  const gaps = allCells.filter((cell) => layout.isMissing[cell] === true);
  const whole = allCells.filter((cell) => layout.isMissing[cell] === false);
  const moved = gaps.flatMap((gap) => whole.map((cell) => turned(layout, gap, cell)));
  return [
    { effect: 'flip', what: 'a brick is removed', layouts: whole.map((c) => turned(layout, c)) },
    { effect: 'flip', what: 'a gap is filled', layouts: gaps.map((c) => turned(layout, c)) },
    { effect: 'control', what: 'a gap is moved', layouts: moved },
  ];
}

/** How many bricks are missing: 1 to 9. Auxiliary: the missing ones filled in red. */
export const bricks = defineTask<BricksLayout>({
  think: 'i look for missing bricks',
  parser: 'all missing bricks are red',
  answers: ['1', '2', '3', '4', '5', '6', '7', '8', '9'],
  questionWords: ['how', 'many', 'bricks', 'are', 'missing'],
  captionWords: ['brick', 'gap', 'redgap'],
  layout: sampleLayout,
  pictureKey: ({ isMissing }) => `bricks ${isMissing.map((gone) => (gone ? 1 : 0)).join('')}`,
  question: () => 'how many bricks are missing',
  answer: ({ numMissing }) => `${numMissing}`,
  picture: (layout) => drawWall(layout, HOLE),
  auxiliary: (layout) => drawWall(layout, HIGHLIGHT),
  caption: (layout) => captionWall(layout, 'gap'),
  auxiliaryCaption: (layout) => captionWall(layout, 'redgap'),
  edits: editWall,
});
