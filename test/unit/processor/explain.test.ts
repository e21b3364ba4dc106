// Tests of the account of picture sizes: every rule with its numbers, orientations, limits of one picture.
import { describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { explainResize, orientationText, orientedSize } from '../../../src/processor/explain.ts';
import { pixelLimits, QWEN_MAX_PIXELS, QWEN_MIN_PIXELS } from '../../../src/processor/resize.ts';

const QWEN = {
  patchSize: 14,
  mergeSize: 2,
  minPixels: QWEN_MIN_PIXELS,
  maxPixels: QWEN_MAX_PIXELS,
};

describe('explainResize', () => {
  it('explains the worked example', () => {
    expect(explainResize({ width: 100, height: 40 }, QWEN)).toEqual({
      used: { width: 100, height: 40 },
      rule: 'rounded',
      why: 'each side rounded to the nearest multiple of 28',
      resized: { width: 112, height: 28 },
      grid: [1, 2, 8],
      numPatches: 16,
      numTokens: 4,
    });
  });

  it('names the rule of pictures that are kept, grown and shrunk, with the numbers', () => {
    const kept = explainResize({ width: 280, height: 140 }, QWEN);
    expect([kept.rule, kept.numTokens]).toEqual(['kept', 50]);
    const grown = explainResize({ width: 20, height: 20 }, QWEN);
    expect(grown).toMatchObject({ rule: 'grown', resized: { width: 56, height: 56 } });
    expect(grown.why).toContain('28 x 28 = 784 px, below min_pixels 3136: grown by 2.800');
    const shrunk = explainResize({ width: 4000, height: 6000 }, QWEN);
    expect(shrunk).toMatchObject({ rule: 'shrunk', resized: { width: 2912, height: 4368 } });
    expect(shrunk.why).toContain('above max_pixels 12845056: shrunk by 1.367');
  });
});

describe('orientations', () => {
  it('swap the sides from 5 on and say nothing where they mean nothing', () => {
    const stored = { width: 3, height: 2 };
    for (const kept of [0, 1, 2, 3, 4, 9]) expect(orientedSize(stored, kept)).toEqual(stored);
    for (const swapped of [5, 6, 7, 8]) {
      expect(orientedSize(stored, swapped)).toEqual({ width: 2, height: 3 });
    }
    expect([1, 6, 0, 9].map(orientationText)).toEqual([
      'none',
      'turned by 90 degrees clockwise',
      'none',
      'none',
    ]);
  });
});

describe('pixelLimits', () => {
  const model = { minPixels: 100, maxPixels: 1000 };

  it('lets the limits of a picture win over those of the model', () => {
    expect(pixelLimits(model, {})).toEqual(model);
    expect(pixelLimits(model, { maxPixels: 50 })).toEqual({ minPixels: 50, maxPixels: 50 });
    expect(pixelLimits(model, { minPixels: 2000 })).toEqual({ minPixels: 2000, maxPixels: 2000 });
    expect(pixelLimits(model, { minPixels: 7, maxPixels: 9 })).toEqual({
      minPixels: 7,
      maxPixels: 9,
    });
  });

  it('refuses limits that exclude every size', () => {
    expect(() => pixelLimits(model, { minPixels: 9, maxPixels: 8 })).toThrow(ConfigError);
  });
});
