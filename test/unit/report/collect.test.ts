// Holds the verdict sentences of a report to the intervals they speak of.
import { describe, expect, it } from 'vitest';
import { verdictOf } from '../../../src/report/collect.ts';
import { readStudy, studyAccuracyRows } from '../../../src/report/study.ts';
import type { AccuracyRow, InterventionRow } from '../../../src/report/types.ts';

const estimate = (accuracy: number) => ({
  n: 100,
  accuracy,
  low: accuracy - 0.1,
  high: accuracy + 0.1,
});

function interventions(low: number, high: number): InterventionRow[] {
  const source = 'this run' as const;
  return [
    { intervention: 'clean', label: 'Clean', source, ...estimate(0.8) },
    {
      intervention: 'zero-latent',
      label: 'Zero-latent',
      source,
      ...estimate(0.8 + (low + high) / 2),
      differenceToClean: { mean: (low + high) / 2, low, high },
    },
  ];
}

describe('the verdict of a report', () => {
  it('says that latents matter only when the whole interval is below zero', () => {
    expect(verdictOf([], interventions(-0.5, -0.3))[0]).toContain('the latents matter');
    expect(verdictOf([], interventions(-0.5, 0.01))[0]).toContain('no difference is shown');
  });

  it('says that latents hurt when leaving them out is better', () => {
    expect(verdictOf([], interventions(0.1, 0.3))[0]).toContain('the latents hurt');
  });

  it('judges this run, never the stored study', () => {
    const stored = interventions(-0.5, -0.3).map((row) => ({
      ...row,
      source: 'stored study' as const,
    }));
    expect(verdictOf([], stored)).toEqual([]);
    const row: AccuracyRow = {
      variant: 'gap',
      label: 'GAP',
      source: 'stored study',
      byTask: {},
      ...estimate(0.9),
    };
    expect(verdictOf([row, row], [])).toEqual([]);
  });
});

describe('the stored study', () => {
  it('ships, and every row is a share inside of its interval', async () => {
    const study = await readStudy();
    for (const row of studyAccuracyRows(study)) {
      expect(row.source).toBe('stored study');
      expect(row.low).toBeLessThanOrEqual(row.accuracy);
      expect(row.high).toBeGreaterThanOrEqual(row.accuracy);
    }
  });

  it('is refused when a file holds something else', async () => {
    await expect(readStudy(new URL('../../../package.json', import.meta.url))).rejects.toThrow(
      'holds no study',
    );
  });
});
