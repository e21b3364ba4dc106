// Owns the tests that a loss of speed is told from noise, and that nothing vanishes from the check.
import { describe, expect, it } from 'vitest';
import { LEAST_SHARE, compareRatios, lowerRatios } from '../../../bench/check/compare.ts';

describe('the check of ratios', () => {
  it('fails on a loss of more than a third and on nothing less', () => {
    const kept = { 'step tiny': 3 };
    const passed = (ratio: number): boolean | undefined =>
      compareRatios(kept, [{ 'step tiny': ratio }])[0]?.passed;
    expect(LEAST_SHARE).toBeCloseTo(2 / 3);
    expect([3.5, 3, 2.01, 1.99, 0].map(passed)).toEqual([true, true, true, false, false]);
  });

  it('takes the better of two measurements', () => {
    const kept = { a: 3, b: 3 };
    const compared = compareRatios(kept, [
      { a: 1, b: 1 },
      { a: 2.5, b: 1.5 },
    ]);
    expect(compared.map(({ name, ratio, passed }) => [name, ratio, passed])).toEqual([
      ['a', 2.5, true],
      ['b', 1.5, false],
    ]);
  });

  it('fails cases that were not measured, or that nothing is kept of', () => {
    const compared = compareRatios({ a: 3, b: 3 }, [{ b: 3, c: 3 }]);
    expect(compared.map(({ name, passed }) => [name, passed])).toEqual([
      ['a', false],
      ['b', true],
      ['c', false],
    ]);
    expect(compareRatios({ a: NaN }, [{ a: 1 }])[0]?.passed).toBe(false);
  });

  it('keeps the smaller of the ratios, and NaN for one that a run lacks', () => {
    expect(lowerRatios([{ a: 2, b: 1 }, { a: 1.5 }])).toEqual({ a: 1.5, b: NaN });
  });
});
