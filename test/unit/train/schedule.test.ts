// Tests the learning-rate schedule with worked numbers.
import { describe, expect, it } from 'vitest';
import { learningRateAt } from '../../../src/train/schedule.ts';

describe('the learning rate', () => {
  it('rises in equal steps to the peak, then follows a cosine down to just above zero', () => {
    const schedule = { peak: 8, totalSteps: 10, warmupSteps: 4 };
    const rates = Array.from({ length: 10 }, (_, step) => learningRateAt(schedule, step));
    // cos of 0, 30, 60, 90, 120, 150 degrees: 4 * (1 + cos).
    const cosine = [8, 7.464102, 6, 4, 2, 0.535898];
    [2, 4, 6, 8, ...cosine].forEach((rate, step) => {
      expect(rates[step], `step ${step}`).toBeCloseTo(rate, 5);
    });
  });

  it('starts at the peak without warm-up and is zero behind the last step', () => {
    const schedule = { peak: 3, totalSteps: 5, warmupSteps: 0 };
    expect(learningRateAt(schedule, 0)).toBe(3);
    expect(learningRateAt(schedule, 5)).toBeCloseTo(0, 12);
    expect(learningRateAt(schedule, 50)).toBeCloseTo(0, 12);
  });

  it('is finite when all steps are warm-up', () => {
    const schedule = { peak: 1, totalSteps: 2, warmupSteps: 2 };
    expect([0, 1, 2].map((step) => learningRateAt(schedule, step))).toEqual([0.5, 1, 1]);
  });
});
