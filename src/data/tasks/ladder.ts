// Owns ladder pictures (six ropes, rungs between neighbours): rope.ts and rungs.ts ask about them.

import type { Rng } from '../../rng.ts';
import type { Difficulty } from '../example.ts';
import { createRaster, drawSegment, type Raster } from '../raster.ts';
import { HIGHLIGHT, INK, PAPER } from './palette.ts';
import { captionCells, CELL_SIZE, GRID_SIZE, PICTURE_SIZE } from './task.ts';
import type { EditGroup } from './task.ts';

/** Names of the ropes by column, leftmost first. */
export const ROPE_NAMES = ['a', 'b', 'c', 'd', 'e', 'f'] as const;

/** Words of a ladder's cells; the last five are cells of the red path. */
export const LADDER_WORDS = [
  'plain',
  'left',
  'right',
  'redplain',
  'goleft',
  'goright',
  'fromleft',
  'fromright',
] as const;

/** A ladder and the rope that is asked about. */
export interface LadderLayout {
  /** By row: bit g is a rung between columns g and g + 1; no two neighbouring bits are set. */
  readonly rungs: readonly number[];
  /** Column of the rope asked about, 0..5. */
  readonly start: number;
}

const ROPE_THICKNESS = 4;
const NUM_GAPS = GRID_SIZE - 1;

function isRung(rungs: readonly number[], row: number, gap: number): boolean {
  return gap >= 0 && (((rungs[row] ?? 0) >> gap) & 1) === 1;
}

/** One row with at least one rung; every gap that is still free gets one with the probability. */
function sampleRow(rng: Rng, probability: number): number {
  for (;;) {
    let row = 0;
    for (const gap of rng.shuffle([0, 1, 2, 3, 4])) {
      const neighbours = (row >> (gap + 1)) | (gap > 0 ? row >> (gap - 1) : 0);
      if ((neighbours & 1) === 0 && rng.uniform() < probability) row |= 1 << gap;
    }
    if (row !== 0) return row;
  }
}

/**
 * Rungs of a whole ladder. Easy: one or two rows have rungs. Hard: all six rows have, one to three
 * each; the density differs from picture to picture so that rung counts do.
 */
export function sampleRungs(rng: Rng, difficulty: Difficulty): number[] {
  if (difficulty === 'hard') {
    const probability = 0.3 + 0.7 * rng.uniform();
    return Array.from({ length: GRID_SIZE }, () => sampleRow(rng, probability));
  }
  const rows = new Array<number>(GRID_SIZE).fill(0);
  // ours: two rows in three of four, as there are only 72 ladders with one.
  const numRows = rng.int(4) === 0 ? 1 : 2;
  for (const row of rng.shuffle([0, 1, 2, 3, 4, 5]).slice(0, numRows)) {
    rows[row] = sampleRow(rng, 0.8);
  }
  return rows;
}

/** Columns of a rope at the top of each row and, as the seventh entry, at the bottom. */
export function tracePath({ rungs, start }: LadderLayout): number[] {
  const path = [start];
  let column = start;
  for (let row = 0; row < GRID_SIZE; row++) {
    if (isRung(rungs, row, column)) column += 1;
    else if (isRung(rungs, row, column - 1)) column -= 1;
    path.push(column);
  }
  return path;
}

/** Number of rungs a rope takes on its way down, 0..6. */
export function countRungs(layout: LadderLayout): number {
  const path = tracePath(layout);
  let count = 0;
  for (let row = 0; row < GRID_SIZE; row++) if (path[row] !== path[row + 1]) count += 1;
  return count;
}

/** Canonical content of a ladder picture: a digit pair a row. */
export function ladderKey({ rungs }: LadderLayout): string {
  return `ladder ${rungs.map((row) => row.toString().padStart(2, '0')).join('')}`;
}

function centre(cell: number): number {
  return cell * CELL_SIZE + CELL_SIZE / 2;
}

/** The ladder as it is asked about. */
export function drawLadder({ rungs }: LadderLayout): Raster {
  const raster = createRaster(PICTURE_SIZE, PICTURE_SIZE, PAPER);
  for (let column = 0; column < GRID_SIZE; column++) {
    const x = centre(column);
    drawSegment(raster, [x, 0], [x, PICTURE_SIZE], ROPE_THICKNESS, INK);
  }
  for (let row = 0; row < GRID_SIZE; row++) {
    const y = centre(row);
    for (let gap = 0; gap < NUM_GAPS; gap++) {
      if (!isRung(rungs, row, gap)) continue;
      drawSegment(raster, [centre(gap), y], [centre(gap + 1), y], ROPE_THICKNESS, INK);
    }
  }
  return raster;
}

/** The same ladder with the way of the rope asked about in red. */
export function drawLadderPath(layout: LadderLayout): Raster {
  const raster = drawLadder(layout);
  const path = tracePath(layout);
  for (let row = 0; row < GRID_SIZE; row++) {
    const y = centre(row);
    const from = centre(path[row] ?? 0);
    const to = centre(path[row + 1] ?? 0);
    const half = CELL_SIZE / 2;
    // Half a thickness is kept off the outer ends, where the square end would overlap them.
    const reach = half - ROPE_THICKNESS / 2;
    drawSegment(raster, [from, y - reach], [from, y], ROPE_THICKNESS, HIGHLIGHT);
    drawSegment(raster, [from, y], [to, y], ROPE_THICKNESS, HIGHLIGHT);
    drawSegment(raster, [to, y], [to, y + reach], ROPE_THICKNESS, HIGHLIGHT);
  }
  return raster;
}

function ladderWord(rungs: readonly number[], row: number, column: number): string {
  if (isRung(rungs, row, column)) return 'right';
  return isRung(rungs, row, column - 1) ? 'left' : 'plain';
}

/** Words of the query picture's cells: which neighbour the rope is tied to in this row. */
export function captionLadder({ rungs }: LadderLayout): string[] {
  return captionCells((row, column) => ladderWord(rungs, row, column));
}

/** Words of the auxiliary picture's cells: as the query's, and for red cells the way it takes. */
export function captionLadderPath(layout: LadderLayout): string[] {
  const path = tracePath(layout);
  return captionCells((row, column) => {
    const from = path[row] ?? 0;
    const to = path[row + 1] ?? 0;
    if (column === from && column === to) return 'redplain';
    if (column === from) return to > from ? 'goright' : 'goleft';
    if (column === to) return to > from ? 'fromleft' : 'fromright';
    return ladderWord(layout.rungs, row, column);
  });
}

/** Ladders with one row changed; rows with and without rungs stay such, as the sampler draws them. */
function withRow({ rungs, start }: LadderLayout, row: number, changed: number): LadderLayout[] {
  // No two neighbouring bits may be set, or a rope would be tied to two neighbours.
  const isLegal = changed !== 0 && (changed & (changed >> 1)) === 0 && changed !== rungs[row];
  return isLegal ? [{ rungs: rungs.with(row, changed), start }] : [];
}

/**
 * Changes by one rung. On the rope's way: whether the answer changes is seen afterwards, as a rope
 * may take as many rungs on another way. Beside it: the way, and with it any answer, is the same.
 */
export function editLadder(layout: LadderLayout): EditGroup<LadderLayout>[] {
  const way = tracePath(layout).join();
  const gaps = Array.from({ length: NUM_GAPS }, (_, gap) => gap);
  const rows = layout.rungs.map((row, index) => ({ row, index }));
  const removed = rows.flatMap(({ row, index }) =>
    gaps.flatMap((gap) =>
      ((row >> gap) & 1) === 1 ? withRow(layout, index, row & ~(1 << gap)) : [],
    ),
  );
  const added = rows
    .filter(({ row }) => row !== 0)
    .flatMap(({ row, index }) => gaps.flatMap((gap) => withRow(layout, index, row | (1 << gap))));
  const moved = rows.flatMap(({ row, index }) =>
    gaps
      .filter((gap) => ((row >> gap) & 1) === 1)
      .flatMap((gap) =>
        gaps
          .filter((to) => ((row >> to) & 1) === 0)
          .flatMap((to) => withRow(layout, index, (row & ~(1 << gap)) | (1 << to))),
      ),
  );
  const isBeside = (changed: LadderLayout): boolean => tracePath(changed).join() === way;
  const onWay = (layouts: readonly LadderLayout[]): LadderLayout[] =>
    layouts.filter((changed) => !isBeside(changed));
  return [
    { effect: 'flip', what: 'a moved rung changes the way', layouts: onWay(moved) },
    { effect: 'flip', what: 'a removed rung changes the way', layouts: onWay(removed) },
    { effect: 'flip', what: 'an added rung changes the way', layouts: onWay(added) },
    { effect: 'control', what: 'a rung beside the way is moved', layouts: moved.filter(isBeside) },
    {
      effect: 'control',
      what: 'a rung beside the way comes or goes',
      layouts: [...removed, ...added].filter(isBeside),
    },
  ];
}
