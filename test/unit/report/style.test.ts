// Owns the check that texts and graphics of pages keep their contrast in both schemes; vitest runs it.
import { describe, expect, it } from 'vitest';
import { coloursOf, HEAT_NAMES } from '../../../src/report/audit-style.ts';

// WCAG 2.2, relative luminance and success criteria 1.4.3 and 1.4.11.
const TEXT = 4.5;
const GRAPHIC = 3;

function luminance(colour: string): number {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(first: string, second: string): number {
  const [a, b] = [luminance(first), luminance(second)];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}

describe.each(['light', 'dark'] as const)('the colours of the %s scheme', (scheme) => {
  const colours = coloursOf(scheme);
  const grounds = ['paper', 'card'] as const;
  const pairs = (names: readonly string[], on: readonly string[]) =>
    names.flatMap((name) =>
      on.map((ground) => ({
        name: `${name} on ${ground}`,
        ratio: contrast(colours[name] ?? '', colours[ground] ?? ''),
      })),
    );

  it('leave texts, links and verdicts readable', () => {
    const names = ['ink', 'soft', 'c1', 'c2', 'c3'];
    expect(pairs(names, grounds).filter(({ ratio }) => ratio < TEXT)).toEqual([]);
  });

  it('leave every series visible', () => {
    const names = ['c1', 'c2', 'c3', 'c4', 'c5', 'c6'];
    expect(pairs(names, grounds).filter(({ ratio }) => ratio < GRAPHIC)).toEqual([]);
  });

  it('leave labels on the four palest steps of heat readable, and steps in order', () => {
    expect(pairs(['ink'], HEAT_NAMES.slice(0, 4)).filter(({ ratio }) => ratio < TEXT)).toEqual([]);
    const steps = HEAT_NAMES.map((name) => luminance(colours[name] ?? ''));
    const sorted = steps.toSorted((a, b) => (scheme === 'light' ? b - a : a - b));
    expect(steps).toEqual(sorted);
  });
});

describe('contrast', () => {
  it('is 21 between black and white', () => {
    expect(contrast('#000000', '#ffffff')).toBeCloseTo(21, 6);
  });
});
