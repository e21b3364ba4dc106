// Owns the checks of symbolic dimensions: polynomials behave like the integers they stand for.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  SymbolicDim,
  addDims,
  broadcastShapes,
  dimAt,
  divideDim,
  evaluateDim,
  mulDims,
  normalizeAxis,
  parseDim,
  sameDim,
  sameShape,
  showShape,
  staticDim,
  subDims,
  toDim,
} from '../../../src/engine/dims.ts';
import type { Dim } from '../../../src/engine/dims.ts';
import { ShapeError } from '../../../src/errors.ts';

const SEED = 20260101;
const check = <T>(property: fc.IPropertyWithHooks<T>): void => {
  fc.assert(property, { seed: SEED, numRuns: 200 });
};

const SYMBOLS = ['B', 'T', 'numTokens', 'B2'] as const;
const sizes = fc
  .tuple(...SYMBOLS.map(() => fc.integer({ min: 0, max: 20 })))
  .map((values) => new Map(values.map((size, i) => [SYMBOLS[i] ?? '', size])));

const leaf: fc.Arbitrary<Dim> = fc.oneof(
  fc.integer({ min: -6, max: 6 }),
  fc.constantFrom(...SYMBOLS).map(toDim),
);
const pair = (of: fc.Arbitrary<Dim>): fc.Arbitrary<readonly [Dim, Dim]> => fc.tuple(of, of);
const small = pair(leaf).map(([a, b]) => addDims(mulDims(a, b), b));
/** Polynomials up to degree four with negative coefficients and vanishing terms. */
const dim: fc.Arbitrary<Dim> = fc.oneof(
  leaf,
  small,
  pair(small).map(([a, b]) => mulDims(a, b)),
  pair(small).map(([a, b]) => subDims(a, b)),
);

describe('arithmetic on dimensions', () => {
  it('adds, subtracts and multiplies as the integers behind the symbols do', () => {
    check(
      fc.property(dim, dim, sizes, (a, b, at) => {
        const value = (d: Dim): number => evaluateDim(d, at) ?? NaN;
        expect(value(addDims(a, b))).toBe(value(a) + value(b));
        expect(value(subDims(a, b))).toBe(value(a) - value(b));
        expect(value(mulDims(a, b)) + 0).toBe(value(a) * value(b) + 0);
        expect(value(mulDims(a, b, a)) + 0).toBe(value(a) * value(b) * value(a) + 0);
      }),
    );
  });
  it('finds equal polynomials equal however they were computed', () => {
    check(
      fc.property(dim, dim, dim, (a, b, c) => {
        expect(sameDim(mulDims(a, b), mulDims(b, a))).toBe(true);
        const spread = addDims(mulDims(a, c), mulDims(b, c));
        expect(sameDim(mulDims(addDims(a, b), c), spread)).toBe(true);
        expect(String(mulDims(addDims(a, b), c))).toBe(String(spread));
        expect(subDims(a, a)).toBe(0);
      }),
    );
  });
  it('finds polynomials that differ somewhere different', () => {
    check(
      fc.property(dim, dim, sizes, (a, b, at) => {
        expect(sameDim(a, addDims(a, 1))).toBe(false);
        expect(sameDim(a, addDims(a, toDim('T')))).toBe(false);
        if (evaluateDim(a, at) !== evaluateDim(b, at)) expect(sameDim(a, b)).toBe(false);
      }),
    );
  });
  it('is a plain number once no symbol is left', () => {
    expect(subDims(addDims(toDim('B'), 3), toDim('B'))).toBe(3);
    expect(mulDims(toDim('B'), 0)).toBe(0);
    expect(mulDims()).toBe(1);
    expect(SymbolicDim.of(new Map([['B', 0]]))).toBe(0);
  });
  it('divides by a number that divides every coefficient, and by no other', () => {
    check(
      fc.property(dim, fc.integer({ min: 1, max: 9 }), (a, divisor) => {
        expect(sameDim(divideDim(mulDims(a, divisor), divisor), a)).toBe(true);
      }),
    );
    expect(() => divideDim(addDims(mulDims(4, toDim('B')), 2), 4)).toThrow(ShapeError);
  });
});

describe('a dimension as text', () => {
  it('is read back as the same dimension', () => {
    check(
      fc.property(dim, (a) => {
        const back = parseDim(String(a));
        expect(back !== undefined && sameDim(back, a)).toBe(true);
      }),
    );
  });
  it('is refused when it is something else', () => {
    for (const text of ['', '+', '2*', '*B', 'B +', 'unk dim', '2 * B', 'B-1', '3B', 'B**2'])
      expect(parseDim(text), text).toBeUndefined();
  });
  it('has no size while a symbol has none', () => {
    expect(evaluateDim(addDims(toDim('B'), 1), new Map())).toBeUndefined();
    expect(evaluateDim(7, new Map())).toBe(7);
  });
  it('starts from a name that cannot be mistaken for arithmetic', () => {
    for (const name of ['', '2', '2*B', 'B*T', 'B + 1', 'a b', '-B'])
      expect(() => toDim(name), name).toThrow(ShapeError);
    expect(String(toDim('num_tokens2'))).toBe('num_tokens2');
  });
});

describe('shapes', () => {
  const B = toDim('B');
  it('broadcast from the back, a symbol against itself and 1 only', () => {
    const shape = broadcastShapes([B, 1, 3], [4, 1], 'test');
    expect(sameShape(shape, [B, 4, 3])).toBe(true);
    expect(sameShape(broadcastShapes([], [B], 'test'), [B])).toBe(true);
    expect(() => broadcastShapes([B], [toDim('T')], 'test')).toThrow(/\[B\] and \[T\]/);
    expect(() => broadcastShapes([B], [2], 'test')).toThrow(ShapeError);
  });
  it('compare by rank and by every axis', () => {
    expect(sameShape([B, 2], [toDim('B'), 2])).toBe(true);
    expect(sameShape([B, 2], [B])).toBe(false);
    expect(sameShape([2, B], [B, 2])).toBe(false);
    expect(showShape([addDims(B, 1), 2])).toBe('[1 + B, 2]');
  });
  it('count negative axes from the back and refuse axes outside', () => {
    expect(normalizeAxis(-1, 3, 'test')).toBe(2);
    expect(normalizeAxis(0, 1, 'test')).toBe(0);
    for (const axis of [3, -4, 0.5, Number.NaN])
      expect(() => normalizeAxis(axis, 3, 'test'), String(axis)).toThrow(ShapeError);
    expect(dimAt([2, B], -1)).toBe(B);
    expect(() => dimAt([2, B], 2)).toThrow(ShapeError);
    expect(() => dimAt([2, B], -3)).toThrow(ShapeError);
  });
  it('tell where a number is needed and a symbol stands', () => {
    expect(staticDim([B, 5], 1, 'width')).toBe(5);
    expect(() => staticDim([B, 5], 0, 'width')).toThrow(/width/);
  });
});
