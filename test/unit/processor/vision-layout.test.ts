// Tests of the vision tower's index tables against the reference and against plain twins.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConfigError, ShapeError } from '../../../src/errors.ts';
import type { GridThw } from '../../../src/processor/grid.ts';
import {
  packSegments,
  visionLayout,
  windowPatchOrder,
} from '../../../src/processor/vision-layout.ts';
import { readGolden } from './goldens.ts';

interface Golden {
  readonly cases: readonly {
    readonly grids: readonly GridThw[];
    readonly patchSize: number;
    readonly mergeSize: number;
    readonly windowSize: number;
    readonly windowIndex: readonly number[];
    readonly inverse: readonly number[];
    readonly cuWindow: readonly number[];
    readonly cuFull: readonly number[];
    readonly positions: readonly number[];
  }[];
}

const golden = readGolden('vision-layout') as Golden;

function cumulative(lengths: Int32Array): number[] {
  const sums = [0];
  for (const length of lengths) sums.push((sums.at(-1) ?? 0) + length);
  return sums;
}

describe('vision layout', () => {
  it('gives the tables of the worked example', () => {
    const layout = visionLayout([[1, 4, 6]], { patchSize: 4, mergeSize: 2, windowSize: 16 });
    expect([...layout.windowIndex_M]).toEqual([0, 1, 3, 4, 2, 5]);
    expect([...layout.inverseIndex_M]).toEqual([0, 1, 4, 2, 3, 5]);
    expect([...layout.windowLengths_S]).toEqual([16, 8]);
    expect([...layout.fullLengths_S]).toEqual([24]);
    expect([...layout.positions_P2.slice(0, 12)]).toEqual([0, 0, 0, 1, 1, 0, 1, 1, 0, 2, 0, 3]);
  });

  it.each(golden.cases.map((c, i) => [i, c] as const))(
    'equals the reference in case %i',
    (_, c) => {
      const layout = visionLayout(c.grids, c);
      expect([...layout.windowIndex_M]).toEqual(c.windowIndex);
      expect([...layout.inverseIndex_M]).toEqual(c.inverse);
      expect(cumulative(layout.windowLengths_S)).toEqual(c.cuWindow);
      expect(cumulative(layout.fullLengths_S)).toEqual(c.cuFull);
      expect([...layout.positions_P2]).toEqual(c.positions);
      expect(layout.numPatches).toBe(c.cuFull.at(-1));
      expect(layout.numMerged).toBe(c.windowIndex.length);
    },
  );

  it('orders patches so that every window holds the patches of one square, each patch once', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 3 }),
        fc.integer({ min: 1, max: 4 }),
        fc.array(
          fc.tuple(
            fc.integer({ min: 1, max: 2 }),
            fc.integer({ min: 1, max: 7 }),
            fc.integer({ min: 1, max: 7 }),
          ),
          { minLength: 1, maxLength: 3 },
        ),
        (mergeSize, windowUnits, units) => {
          const grids = units.map(([t, h, w]): GridThw => [t, h * mergeSize, w * mergeSize]);
          const patchSize = 4;
          const windowSize = patchSize * mergeSize * windowUnits;
          const layout = visionLayout(grids, { patchSize, mergeSize, windowSize });
          const order = windowPatchOrder(layout, mergeSize);
          expect(new Set(order).size).toBe(layout.numPatches);
          // Which (picture, frame) a patch belongs to, from the grids alone.
          const frameOf: number[] = [];
          let frame = 0;
          for (const [t, h, w] of grids) {
            for (let i = 0; i < t; i++, frame++)
              for (let j = 0; j < h * w; j++) frameOf.push(frame);
          }
          const side = mergeSize * windowUnits;
          const windowOf = (patch: number): string => {
            const y = layout.positions_P2[2 * patch] ?? -1;
            const x = layout.positions_P2[2 * patch + 1] ?? -1;
            return `${frameOf[patch] ?? -1}/${Math.floor(y / side)}/${Math.floor(x / side)}`;
          };
          let row = 0;
          const seen = new Set<string>();
          for (const length of layout.windowLengths_S) {
            const names = new Set([...order.slice(row, row + length)].map(windowOf));
            expect(names.size).toBe(1);
            for (const name of names) {
              expect(seen.has(name)).toBe(false);
              seen.add(name);
            }
            row += length;
          }
          expect(row).toBe(layout.numPatches);
        },
      ),
      { seed: 7, numRuns: 60 },
    );
  });

  it('refuses grids that cannot be merged and windows below one unit', () => {
    const config = { patchSize: 4, mergeSize: 2, windowSize: 16 };
    expect(() => visionLayout([[1, 3, 4]], config)).toThrow(ShapeError);
    expect(() => visionLayout([[1, 0, 4]], config)).toThrow(ShapeError);
    expect(() => visionLayout([[1, 4, 4]], { ...config, windowSize: 7 })).toThrow(ConfigError);
  });
});

describe('segment packing', () => {
  it('gives the tables of the worked examples', () => {
    const first = packSegments(Int32Array.of(3, 1));
    expect([...first.packIndex]).toEqual([0, 1, 2, 3, -1, -1]);
    expect([...first.unpackIndex]).toEqual([0, 1, 2, 3]);
    expect(first.uniform).toBe(false);
    const second = packSegments(Int32Array.of(1, 3));
    expect([...second.packIndex]).toEqual([0, -1, -1, 1, 2, 3]);
    expect([...second.unpackIndex]).toEqual([0, 3, 4, 5]);
  });

  it('is the identity for equal lengths and always undoes itself', () => {
    const equal = packSegments(Int32Array.of(2, 2, 2));
    expect(equal).toMatchObject({ uniform: true, numSegments: 3, maxLength: 2 });
    expect([...equal.packIndex]).toEqual([0, 1, 2, 3, 4, 5]);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 8 }),
        (lengths) => {
          const packing = packSegments(Int32Array.from(lengths));
          for (const [row, slot] of packing.unpackIndex.entries())
            expect(packing.packIndex[slot]).toBe(row);
          const filled = packing.packIndex.filter((row) => row >= 0);
          expect([...filled]).toEqual([...packing.unpackIndex.keys()]);
        },
      ),
      { seed: 3, numRuns: 50 },
    );
  });
});
