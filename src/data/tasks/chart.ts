// Owns the chart task: count the bars above a level; index.ts lists it.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import { createRaster, fillRect, type Color, type Raster } from '../raster.ts';
import { HIGHLIGHT } from './palette.ts';
import { captionCells, CELL_SIZE, defineTask, GRID_SIZE, PICTURE_SIZE } from './task.ts';
import type { EditGroup } from './task.ts';

interface ChartLayout {
  /** By column: height of the bar in cells, 0..6. */
  readonly heights: readonly number[];
  /** The level asked about, 1..5, in cells from the bottom. */
  readonly level: number;
}

const GROUND_ODD: Color = [255, 255, 255];
const GROUND_EVEN: Color = [228, 232, 240];
const BAR: Color = [40, 150, 110];
const LEVEL_LINE: Color = [20, 20, 28];
const LINE_THICKNESS = 4;

const NUM_LEVELS = GRID_SIZE - 1;
const HEIGHTS = [0, 1, 2, 3, 4, 5, 6];
const EASY_LEVELS = [1, 5];

/** Three distinct heights, one above and one not above the level. */
function sampleThreeHeights(rng: Rng, level: number): number[] {
  for (;;) {
    const heights = rng.shuffle(HEIGHTS).slice(0, 3);
    const numAbove = heights.filter((height) => height > level).length;
    if (numAbove > 0 && numAbove < heights.length) return heights;
  }
}

function sampleLayout(rng: Rng, difficulty: Difficulty): ChartLayout {
  if (difficulty === 'easy') {
    const level = rng.pick(EASY_LEVELS);
    const choices = sampleThreeHeights(rng, level);
    return { level, heights: Array.from({ length: GRID_SIZE }, () => rng.pick(choices)) };
  }
  // ours: the number of bars above is even over 0..6, whatever the level.
  const level = 1 + rng.int(NUM_LEVELS);
  const numAbove = rng.int(GRID_SIZE + 1);
  const heights = Array.from({ length: GRID_SIZE }, (_, index) =>
    index < numAbove ? level + 1 + rng.int(GRID_SIZE - level) : rng.int(level + 1),
  );
  return { level, heights: rng.shuffle(heights) };
}

function isBar({ heights }: ChartLayout, row: number, column: number): boolean {
  return (heights[column] ?? 0) >= GRID_SIZE - row;
}

function isAbove({ heights, level }: ChartLayout, column: number): boolean {
  return (heights[column] ?? 0) > level;
}

function drawBars(layout: ChartLayout, above: Color): Raster {
  const raster = createRaster(PICTURE_SIZE, PICTURE_SIZE, GROUND_ODD);
  for (let row = 0; row < GRID_SIZE; row += 2) {
    fillRect(raster, 0, row * CELL_SIZE, PICTURE_SIZE, CELL_SIZE, GROUND_EVEN);
  }
  layout.heights.forEach((height, column) => {
    const top = (GRID_SIZE - height) * CELL_SIZE;
    const color = isAbove(layout, column) ? above : BAR;
    fillRect(raster, column * CELL_SIZE + 2, top, CELL_SIZE - 4, height * CELL_SIZE, color);
  });
  return raster;
}

/**
 * The line lies at the bottom of the lowest row that only bars above the level reach. So down to
 * that row every bar cell is red, and below it a cell is red where the cell over it is: each cell
 * follows from the query picture, the level and the cells before it in raster order.
 */
function drawAuxiliary(layout: ChartLayout): Raster {
  const raster = drawBars(layout, HIGHLIGHT);
  const bottom = (GRID_SIZE - layout.level) * CELL_SIZE;
  fillRect(raster, 0, bottom - LINE_THICKNESS, PICTURE_SIZE, LINE_THICKNESS, LEVEL_LINE);
  return raster;
}

function auxiliaryWord(layout: ChartLayout, row: number, column: number): string {
  const isRed = isBar(layout, row, column) && isAbove(layout, column);
  if (row === NUM_LEVELS - layout.level) return isRed ? 'redline' : 'line';
  if (isRed) return 'redbar';
  return isBar(layout, row, column) ? 'bar' : 'empty';
}

function editChart(layout: ChartLayout): EditGroup<ChartLayout>[] {
  const { heights, level } = layout;
  const columns = heights.map((_, column) => column);
  const withHeights = (changes: Readonly<Record<number, number>>): ChartLayout => ({
    level,
    heights: heights.map((height, column) => changes[column] ?? height),
  });
  /** All charts with one bar of another height; by whether that bar was, and is, above the level. */
  const resized = (was: boolean, is: boolean): ChartLayout[] =>
    columns
      .filter((column) => isAbove(layout, column) === was)
      .flatMap((column) =>
        HEIGHTS.filter((height) => height !== heights[column] && height > level === is).map(
          (height) => withHeights({ [column]: height }),
        ),
      );
  const exchanged = columns.flatMap((a) =>
    columns
      .filter((b) => a < b && heights[a] !== heights[b])
      .map((b) => withHeights({ [a]: heights[b] ?? 0, [b]: heights[a] ?? 0 })),
  );
  return [
    { effect: 'flip', what: 'a bar is raised above the level', layouts: resized(false, true) },
    { effect: 'flip', what: 'a bar is lowered to the level', layouts: resized(true, false) },
    {
      effect: 'control',
      what: 'a bar changes on its side of the level',
      layouts: [...resized(true, true), ...resized(false, false)],
    },
    { effect: 'control', what: 'two bars change places', layouts: exchanged },
  ];
}

/** How many of six bars are above a level: 0 to 6. Auxiliary: the level, and those bars in red. */
export const chart = defineTask<ChartLayout>({
  think: 'i compare every bar height',
  parser: 'bars above it are red',
  answers: ['0', '1', '2', '3', '4', '5', '6'],
  questionWords: ['how', 'many', 'bars', 'are', 'above', '1', '2', '3', '4', '5'],
  captionWords: ['bar', 'empty', 'redbar', 'redline', 'line'],
  layout: sampleLayout,
  pictureKey: ({ heights }) => `chart ${heights.join('')}`,
  question: ({ level }) => `how many bars are above ${level}`,
  answer: (layout) => `${layout.heights.filter((height) => height > layout.level).length}`,
  picture: (layout) => drawBars(layout, BAR),
  auxiliary: drawAuxiliary,
  caption: (layout) =>
    captionCells((row, column) => (isBar(layout, row, column) ? 'bar' : 'empty')),
  auxiliaryCaption: (layout) => captionCells((row, column) => auxiliaryWord(layout, row, column)),
  edits: editChart,
});
