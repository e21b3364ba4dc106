// Owns the tests of chart data: thinning, ticks, series styles; vitest runs it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { logTicks, seriesStyle, thin } from '../../../src/report/charts.ts';

describe('chart data', () => {
  it('keeps short curves as they are and the mean of long ones', () => {
    expect(thin([[1, 2]])).toEqual([[1, 2]]);
    const long = Array.from({ length: 1000 }, (_, i) => [i, i % 10] as const);
    const thinned = thin(long, 100);
    expect(thinned).toHaveLength(100);
    expect(thinned[0]).toEqual([4.5, 4.5]);
    expect(thinned.every(([, value]) => value === 4.5)).toBe(true);
  });

  it('drops points that are no number', () => {
    expect(
      thin([
        [1, NaN],
        [2, 1],
        [NaN, 1],
        [3, Infinity],
      ]),
    ).toEqual([[2, 1]]);
  });

  it('never leaves more points than asked for, in ascending steps', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 900 }),
        fc.integer({ min: 1, max: 300 }),
        (n, limit) => {
          const steps = thin(
            Array.from({ length: n }, (_, i) => [i, 1] as const),
            limit,
          ).map(([step]) => step);
          expect(steps.length).toBeLessThanOrEqual(limit);
          expect(steps.every((step, i) => i === 0 || step > (steps[i - 1] ?? 0))).toBe(true);
        },
      ),
      { seed: 7 },
    );
  });

  it('ticks logarithmic axes at 1, 2, 5 or at powers of ten', () => {
    expect(logTicks(0.04, 1.1)).toEqual([0.05, 0.1, 0.2, 0.5, 1]);
    expect(logTicks(0.001, 5)).toEqual([0.001, 0.01, 0.1, 1]);
  });

  it('gives eighteen series different looks', () => {
    const looks = Array.from({ length: 18 }, (_, i) => JSON.stringify(seriesStyle(i)));
    expect(new Set(looks).size).toBe(18);
  });
});
