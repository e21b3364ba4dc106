// Owns M-RoPE positions (time, height, width of every token); called by train/ for rows and by generate/ token by token.
// Axes: B rows, T tokens of a padded row, 3 = time, height, width.
import { ConfigError, DataError, ShapeError } from '../errors.ts';
import { checkGrid, type GridThw } from './grid.ts';

/** Ids of the tokens that positions depend on. */
export interface PositionIds {
  readonly visionStart: number;
  readonly imagePad: number;
  /** Needed only when latent spans get grid positions. */
  readonly latentPad?: number;
}

/**
 * Positions of latent spans. `sequential` (default): as text. `grid`: a span of K latents is
 * placed like a picture of sqrt(K) x sqrt(K) merged tokens (ours: the paper does not say which).
 */
export type LatentPositions =
  { readonly kind: 'sequential' } | { readonly kind: 'grid'; readonly numLatents: number };

/** A padded batch of token rows. */
export interface TokenRows {
  /** B. */
  readonly batch: number;
  /** T, padding included. */
  readonly length: number;
  readonly inputIds_BT: Int32Array;
  /** 1 at tokens, 0 at padding, on either side. */
  readonly attentionMask_BT: Int32Array;
}

/** Settings of `mropePositions`. */
export interface PositionConfig {
  readonly ids: PositionIds;
  /** `spatial_merge_size`. */
  readonly mergeSize: number;
  readonly latents?: LatentPositions;
}

/** Positions of a batch and where each row goes on. */
export interface MropePositions {
  /** `position_ids`; 0 at padding. */
  readonly positions_3BT: Int32Array;
  /** Position of the next text token of each row. */
  readonly next_B: Int32Array;
  /** `rope_deltas`: `next_B` minus the number of tokens of the row, padding not counted. */
  readonly deltas_B: Int32Array;
}

/** Where the next token of a row goes; a plain value, so decoding can branch and store it. */
export interface PositionCursor {
  /** Position of the next text token. */
  readonly next: number;
  /** Latents already placed in the open grid span. */
  readonly latentsPlaced: number;
  /** `next` at the first latent of the open grid span. */
  readonly latentBase: number;
}

/** Time, height and width of one token. */
export type Position = readonly [time: number, height: number, width: number];

/** Cursor of an empty row. */
export const ROW_START: PositionCursor = { next: 0, latentsPlaced: 0, latentBase: 0 };

/** Places one text token (anything that is neither a picture token nor a grid latent). */
export function placeText(cursor: PositionCursor): { position: Position; cursor: PositionCursor } {
  const { next } = cursor;
  return {
    position: [next, next, next],
    cursor: { next: next + 1, latentsPlaced: 0, latentBase: 0 },
  };
}

/**
 * Places one latent of a span.
 * @throws DataError when a grid span gets more than `numLatents` latents.
 */
export function placeLatent(
  cursor: PositionCursor,
  latents: LatentPositions,
): { position: Position; cursor: PositionCursor } {
  if (latents.kind === 'sequential') return placeText(cursor);
  const side = gridSide(latents.numLatents);
  const placed = cursor.latentsPlaced;
  if (placed >= latents.numLatents) {
    throw new DataError({
      what: 'A latent span is longer than the grid its positions are laid out on',
      got: `more than ${latents.numLatents} consecutive latents`,
      expected: `at most K = ${latents.numLatents}`,
      fix: 'use the K the data was built with, or sequential latent positions',
    });
  }
  const base = placed === 0 ? cursor.next : cursor.latentBase;
  const row = Math.floor(placed / side);
  const column = placed % side;
  return {
    position: [base, base + row, base + column],
    cursor: {
      next: Math.max(cursor.next, base + Math.max(row, column) + 1),
      latentsPlaced: placed + 1,
      latentBase: base,
    },
  };
}

function gridSide(numLatents: number): number {
  const side = Math.round(Math.sqrt(numLatents));
  if (side > 0 && side * side === numLatents) return side;
  throw new ConfigError({
    what: 'Grid positions need a square number of latents',
    got: `K = ${numLatents}`,
    expected: 'a perfect square: 1, 4, 9, 16, 36, 64, 144, ...',
    fix: 'choose a square K or sequential latent positions',
  });
}

/**
 * The cursor behind a row that `mropePositions` has placed, to go on decoding from it. The row must
 * not end inside an open grid span.
 */
export function cursorAfterRow(positions: MropePositions, row: number): PositionCursor {
  return { ...ROW_START, next: positions.next_B[row] ?? 0 };
}

/**
 * Positions of a batch: text counts up, a picture keeps one time position while height and width
 * follow its merged grid, and text after it goes on at the largest position so far plus one.
 *
 * Worked example: one row of 12, left padding 2, a picture of grid 1 x 4 x 6 (2 x 3 tokens),
 * S = `<|vision_start|>`, I = `<|image_pad|>`:
 *
 *     token    _ _ a S I I I I I I b c
 *     time     0 0 0 1 2 2 2 2 2 2 5 6
 *     height   0 0 0 1 2 2 2 3 3 3 5 6
 *     width    0 0 0 1 2 3 4 2 3 4 5 6      next 7, delta 7 - 10 = -3
 *
 * @param grids - pictures of all rows in reading order.
 * @throws DataError when pictures and grids do not match; ShapeError for arrays of a wrong size.
 * Source: transformers 5 modeling_qwen2_5_vl.py, `Qwen2_5_VLModel.get_rope_index` (without video).
 * transformers 4 puts 1 at padding and counts padding into the delta; the tokens agree.
 */
export function mropePositions(
  rows: TokenRows,
  grids: readonly GridThw[],
  config: PositionConfig,
): MropePositions {
  checkRows(rows);
  const { batch, length, inputIds_BT, attentionMask_BT } = rows;
  const { ids } = config;
  const latents = config.latents ?? { kind: 'sequential' };
  const plane = batch * length;
  const positions_3BT = new Int32Array(3 * plane);
  const next_B = new Int32Array(batch);
  const deltas_B = new Int32Array(batch);
  const put = (at: number, position: Position): void => {
    positions_3BT[at] = position[0];
    positions_3BT[plane + at] = position[1];
    positions_3BT[2 * plane + at] = position[2];
  };
  let nextGrid = 0;
  for (let row = 0; row < batch; row++) {
    const tokens: number[] = [];
    for (let at = row * length; at < (row + 1) * length; at++) {
      if (attentionMask_BT[at] === 1) tokens.push(at);
    }
    let cursor = ROW_START;
    for (let i = 0; i < tokens.length;) {
      const at = tokens[i] ?? 0;
      const id = inputIds_BT[at];
      if (id === ids.imagePad) {
        const previous = tokens[i - 1];
        const afterStart = previous !== undefined && inputIds_BT[previous] === ids.visionStart;
        const grid = grids[nextGrid];
        if (!afterStart || grid === undefined)
          throw pictureError(row, nextGrid, grids.length, afterStart);
        const cells = pictureCells(grid, config.mergeSize, cursor.next);
        for (const [offset, position] of cells.entries()) {
          const cell = tokens[i + offset];
          if (cell === undefined || inputIds_BT[cell] !== ids.imagePad) {
            throw shortPictureError(row, nextGrid, offset, cells.length);
          }
          put(cell, position);
        }
        cursor = { ...ROW_START, next: nextAfterPicture(grid, config.mergeSize, cursor.next) };
        i += cells.length;
        nextGrid += 1;
        continue;
      }
      const isLatent = latents.kind === 'grid' && id === ids.latentPad;
      const placed = isLatent ? placeLatent(cursor, latents) : placeText(cursor);
      put(at, placed.position);
      cursor = placed.cursor;
      i += 1;
    }
    next_B[row] = cursor.next;
    deltas_B[row] = cursor.next - tokens.length;
  }
  if (nextGrid !== grids.length) {
    throw new DataError({
      what: 'The batch has more pictures than its rows mention',
      got: `${grids.length} picture grids`,
      expected: `${nextGrid}, one for each run of <|image_pad|> after <|vision_start|>`,
      fix: 'give each picture its place in the text',
    });
  }
  return { positions_3BT, next_B, deltas_B };
}

function pictureCells(grid: GridThw, mergeSize: number, base: number): Position[] {
  checkGrid(grid, mergeSize);
  const [t, h, w] = grid;
  const cells: Position[] = [];
  for (let frame = 0; frame < t; frame++) {
    for (let y = 0; y < h / mergeSize; y++) {
      for (let x = 0; x < w / mergeSize; x++) cells.push([base + frame, base + y, base + x]);
    }
  }
  return cells;
}

function nextAfterPicture(grid: GridThw, mergeSize: number, base: number): number {
  return base + Math.max(grid[1], grid[2]) / mergeSize;
}

function checkRows(rows: TokenRows): void {
  const size = rows.batch * rows.length;
  if (rows.inputIds_BT.length === size && rows.attentionMask_BT.length === size) return;
  throw new ShapeError({
    what: 'Token ids and attention mask do not have the size of the batch',
    got: `${rows.inputIds_BT.length} ids, ${rows.attentionMask_BT.length} mask values`,
    expected: `${size} each (${rows.batch} rows x ${rows.length} tokens)`,
  });
}

function pictureError(
  row: number,
  picture: number,
  numGrids: number,
  afterStart: boolean,
): DataError {
  return new DataError({
    what: `Row ${row}: the picture tokens and the pictures do not match`,
    got: afterStart
      ? `picture ${picture + 1} in the text, but ${numGrids} picture grids`
      : '<|image_pad|> that does not follow <|vision_start|> or exceeds its picture',
    expected: '<|vision_start|>, then one <|image_pad|> for each merged token of the picture',
    fix: 'build the row with the chat template, which places and counts picture tokens',
  });
}

function shortPictureError(row: number, picture: number, got: number, expected: number): DataError {
  return new DataError({
    what: `Row ${row}: picture ${picture + 1} has too few picture tokens`,
    got: `${got} x <|image_pad|>`,
    expected: `${expected}, the merged tokens of its grid`,
    fix: 'do not truncate rows inside a picture',
  });
}
