// Tests of M-RoPE positions against the reference, and of token-by-token placement against the batch.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, DataError, ShapeError } from '../../../src/errors.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import {
  cursorAfterRow,
  mropePositions,
  placeLatent,
  placeText,
  ROW_START,
  type LatentPositions,
  type TokenRows,
} from '../../../src/processor/positions.ts';
import { readGolden } from './goldens.ts';

interface Golden {
  readonly ids: {
    readonly visionStart: number;
    readonly imagePad: number;
    readonly latentPad: number;
  };
  readonly cases: readonly {
    readonly name: string;
    readonly batch: number;
    readonly length: number;
    readonly mergeSize: number;
    readonly grids: readonly GridThw[];
    readonly ids: readonly number[];
    readonly mask: readonly number[];
    readonly positions: readonly number[];
    readonly deltas: readonly number[];
  }[];
}

const golden = readGolden('positions') as Golden;
const { ids } = golden;
const [START, IMAGE, LATENT] = [ids.visionStart, ids.imagePad, ids.latentPad];

function oneRow(tokens: readonly number[], paddingLeft = 0): TokenRows {
  const length = tokens.length + paddingLeft;
  const inputIds_BT = new Int32Array(length);
  inputIds_BT.set(tokens, paddingLeft);
  const attentionMask_BT = new Int32Array(length).fill(1, paddingLeft);
  return { batch: 1, length, inputIds_BT, attentionMask_BT };
}

function axes(positions_3BT: Int32Array): number[][] {
  const plane = positions_3BT.length / 3;
  return [0, 1, 2].map((axis) => [...positions_3BT.slice(axis * plane, (axis + 1) * plane)]);
}

describe('M-RoPE positions', () => {
  it('gives the positions of the worked example', () => {
    const rows = oneRow([5, START, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, 6, 7], 2);
    const { positions_3BT, next_B, deltas_B } = mropePositions(rows, [[1, 4, 6]], {
      ids,
      mergeSize: 2,
    });
    expect(axes(positions_3BT)).toEqual([
      [0, 0, 0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
      [0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
      [0, 0, 0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]);
    expect([...next_B]).toEqual([7]);
    expect([...deltas_B]).toEqual([-3]);
  });

  it.each(golden.cases.map((c) => [c.name, c] as const))('equals the reference: %s', (_, c) => {
    const rows: TokenRows = {
      batch: c.batch,
      length: c.length,
      inputIds_BT: Int32Array.from(c.ids),
      attentionMask_BT: Int32Array.from(c.mask),
    };
    const { positions_3BT, deltas_B } = mropePositions(rows, c.grids, {
      ids,
      mergeSize: c.mergeSize,
    });
    expect([...positions_3BT]).toEqual(c.positions);
    expect([...deltas_B]).toEqual(c.deltas);
  });

  it('places latents as text by default and as a square picture with the grid option', () => {
    const tokens = [1, 2, LATENT, LATENT, LATENT, LATENT, 3];
    const plain = mropePositions(oneRow(tokens), [], { ids, mergeSize: 2 });
    expect(axes(plain.positions_3BT)[1]).toEqual([0, 1, 2, 3, 4, 5, 6]);
    const grid = mropePositions(oneRow(tokens), [], {
      ids,
      mergeSize: 2,
      latents: { kind: 'grid', numLatents: 4 },
    });
    expect(axes(grid.positions_3BT)).toEqual([
      [0, 1, 2, 2, 2, 2, 4],
      [0, 1, 2, 2, 3, 3, 4],
      [0, 1, 2, 3, 2, 3, 4],
    ]);
    expect([...grid.next_B]).toEqual([5]);
  });

  it('gives a grid span the positions a picture of the same grid has', () => {
    const latents: LatentPositions = { kind: 'grid', numLatents: 9 };
    const span = mropePositions(oneRow([1, START, ...Array<number>(9).fill(LATENT), 2]), [], {
      ids,
      mergeSize: 2,
      latents,
    });
    const picture = mropePositions(
      oneRow([1, START, ...Array<number>(9).fill(IMAGE), 2]),
      [[1, 6, 6]],
      { ids, mergeSize: 2 },
    );
    expect([...span.positions_3BT]).toEqual([...picture.positions_3BT]);
  });

  it('agrees token by token with the batch, wherever decoding takes over', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }),
        fc.constantFrom<LatentPositions>({ kind: 'sequential' }, { kind: 'grid', numLatents: 9 }),
        fc.integer({ min: 0, max: 9 }),
        fc.integer({ min: 0, max: 3 }),
        (texts, latents, lastSpan, padding) => {
          const prompt = [1, START, ...Array<number>(6).fill(IMAGE), 4];
          const response: number[] = [];
          for (const numWords of texts) {
            response.push(
              ...Array<number>(numWords + 1).fill(2),
              ...Array<number>(9).fill(LATENT),
              3,
            );
          }
          response.push(...Array<number>(lastSpan).fill(LATENT));
          const config = { ids, mergeSize: 2, latents };
          const grids: GridThw[] = [[1, 4, 6]];
          const whole = mropePositions(oneRow([...prompt, ...response], padding), grids, config);
          let cursor = cursorAfterRow(mropePositions(oneRow(prompt, padding), grids, config), 0);
          const plane = whole.positions_3BT.length / 3;
          for (const [i, id] of response.entries()) {
            const placed = id === LATENT ? placeLatent(cursor, latents) : placeText(cursor);
            const at = padding + prompt.length + i;
            expect([...placed.position]).toEqual(
              [0, 1, 2].map((axis) => whole.positions_3BT[axis * plane + at]),
            );
            cursor = placed.cursor;
          }
          expect(cursor.next).toBe(whole.next_B[0]);
        },
      ),
      { seed: 11, numRuns: 80 },
    );
  });

  it('refuses pictures and grids that do not match, naming the row', () => {
    const config = { ids, mergeSize: 2 };
    const picture = [START, IMAGE, IMAGE];
    expect(() => mropePositions(oneRow(picture), [], config)).toThrow(DataError);
    expect(() => mropePositions(oneRow(picture), [[1, 4, 4]], config)).toThrow(
      /Row 0: picture 1 has too few/,
    );
    expect(() => mropePositions(oneRow([IMAGE, IMAGE]), [[1, 2, 4]], config)).toThrow(/Row 0/);
    expect(() => mropePositions(oneRow([...picture, IMAGE]), [[1, 2, 4]], config)).toThrow(/Row 0/);
    expect(() => mropePositions(oneRow([1, 2]), [[1, 2, 4]], config)).toThrow(/more pictures/);
    expect(() => mropePositions({ ...oneRow([1, 2]), length: 3 }, [], config)).toThrow(ShapeError);
  });

  it('refuses a grid of latents that is no square and a span longer than its grid', () => {
    expect(() => placeLatent(ROW_START, { kind: 'grid', numLatents: 8 })).toThrow(ConfigError);
    const rows = oneRow([1, ...Array<number>(5).fill(LATENT)]);
    const latents: LatentPositions = { kind: 'grid', numLatents: 4 };
    expect(() => mropePositions(rows, [], { ids, mergeSize: 2, latents })).toThrow(DataError);
  });
});
