// Tests the study's summary on jobs whose verdicts are written by hand: rows, claims, sweep points.
import { describe, expect, it } from 'vitest';
import { STUDY, studyJobs } from '../../../recipes/study/jobs.ts';
import type { StudyJob } from '../../../recipes/study/jobs.ts';
import { readmeTables } from '../../../recipes/study/readme.ts';
import type { ArmResult, JobResult } from '../../../recipes/study/run.ts';
import { summarize } from '../../../recipes/study/summary.ts';

const PLACES = [
  { task: 'rope', difficulty: 'easy' },
  { task: 'rope', difficulty: 'hard' },
  { task: 'chart', difficulty: 'easy' },
  { task: 'chart', difficulty: 'hard' },
];

function arms(verdicts: Readonly<Record<string, string>>): Record<string, ArmResult> {
  return Object.fromEntries(
    Object.entries(verdicts).map(([name, correct]) => [
      name,
      { correct, numTriggered: 2, seconds: 1 },
    ]),
  );
}

function done(
  id: string,
  test: Readonly<Record<string, string>>,
  validation: Readonly<Record<string, string>>,
): JobResult {
  const job = studyJobs().find((planned) => planned.id === id) as StudyJob;
  return {
    job,
    arms: { validation: arms(validation), ...(job.kind === 'main' ? { test: arms(test) } : {}) },
    curve: [],
    basis: { k: 10, explained: 0.99, totalVariance: 1 },
    latentShare: 0.75,
    trainSeconds: 1,
  };
}

const STUDY_OF_FOUR = summarize(
  [
    done('s0-gap', { clean: '1110', 'zero-latent': '1000' }, { clean: '1100', oracle: '1111' }),
    done('s1-gap', { clean: '1100', 'zero-latent': '0000' }, { clean: '1000', oracle: '1110' }),
    done('s0-dense-caption', { clean: '0110' }, { clean: '0000' }),
    done('s0-gap-tau-0', {}, { clean: '1111', oracle: '1111' }),
  ],
  PLACES,
);

describe('the plan', () => {
  it('has every variant on three bases, and each id once', () => {
    const ids = studyJobs().map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => /^s[012]-gap$/u.test(id))).toHaveLength(STUDY.numSeeds);
  });
});

describe('the summary', () => {
  it('has accuracies over seeds, by task and by difficulty', () => {
    const gap = STUDY_OF_FOUR.variants.find(({ name }) => name === 'gap');
    expect(gap).toMatchObject({ numSeeds: 2, n: 8, bySeed: [0.75, 0.5], triggerRate: 0.5 });
    expect(gap?.accuracy.mean).toBeCloseTo(0.625, 12);
    expect(gap?.byTask).toEqual({ rope: { easy: 1, hard: 1 }, chart: { easy: 0.5, hard: 0 } });
  });

  it('takes differences item by item, over the seeds that both have', () => {
    const claim = STUDY_OF_FOUR.contrasts.find((c) => c.claim === 'GAP above dense caption');
    expect(claim).toMatchObject({ numSeeds: 1 });
    expect(claim?.difference.mean).toBeCloseTo(0.25, 12);
    const zero = STUDY_OF_FOUR.interventions.find(({ name }) => name === 'zero-latent');
    expect(zero?.difference?.mean).toBeCloseTo(-0.5, 12);
  });

  it('holds sweep points against the main job of the same seeds', () => {
    const [reference, point] = STUDY_OF_FOUR.sweeps;
    expect(reference).toMatchObject({ name: 'gap', numSeeds: 2, oracle: 0.875 });
    expect(reference?.difference).toBeUndefined();
    expect(point).toMatchObject({ name: 'gap-tau-0', label: 'GAP, tau 0', numSeeds: 1, oracle: 1 });
    expect(point?.difference?.mean).toBeCloseTo(0.5, 12);
  });

  it('becomes tables that say what was refuted', () => {
    const tables = readmeTables(STUDY_OF_FOUR);
    expect(tables).toContain(`4 of ${studyJobs().length} trainings done`);
    expect(tables).toMatch(/\| GAP, tau 0 \| 1 \| 100\.0 \|.*\| 50\.0 \(/u);
    expect(tables).toMatch(/latents help: clean above zero-latent \| 50\.0 \|.*\| shown \|/u);
    expect(tables).toMatch(/GAP above dense caption \| 25\.0 \|.*\| open \|/u);
  });
});
