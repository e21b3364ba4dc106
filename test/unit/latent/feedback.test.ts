// Tests what a predicted latent becomes before it is read back, with worked numbers.
import { describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../src/errors.ts';
import {
  DEFAULT_EMA_DECAY,
  interventionName,
  meanNorm,
  nextLatent,
  norm,
} from '../../../src/latent/feedback.ts';
import type {
  Calibration,
  FeedbackRow,
  FeedbackSettings,
  Intervention,
} from '../../../src/latent/feedback.ts';
import { project, reconstruct } from '../../../src/latent/pca.ts';
import type { PcaBasis } from '../../../src/latent/pca.ts';
import { Rng } from '../../../src/rng.ts';
import { miniBasis } from '../../helpers/mini-gap.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const NONE: Calibration = { kind: 'none' };
const EMA: Calibration = { kind: 'ema', decay: 0.9 };
const CLEAN: Intervention = { kind: 'clean' };

function row(change: Partial<FeedbackRow> = {}): FeedbackRow {
  return { index: 0, runningNorm: 5, rng: new Rng(1), ...change };
}

function settings(
  intervention: Intervention,
  calibration: Calibration = NONE,
  basis?: PcaBasis,
): FeedbackSettings {
  return { intervention, calibration, ...(basis ? { basis } : {}) };
}

const vector = (...values: number[]): Float32Array => Float32Array.from(values);

describe('clean latents', () => {
  it('are read back as predicted', () => {
    const predicted = vector(6, 8);
    const next = nextLatent(predicted, row(), settings(CLEAN));
    expect(next.latent).toBe(predicted);
    expect(next.row).toMatchObject({ index: 1, runningNorm: 5 });
  });

  it('are what zero-latent would read too: the span itself is suppressed elsewhere', () => {
    const predicted = vector(6, 8);
    expect(nextLatent(predicted, row(), settings({ kind: 'zero-latent' })).latent).toBe(predicted);
  });
});

describe('EMA calibration', () => {
  it('gives each latent the running norm of before it: 5, 5.5, 5.15', () => {
    const first = nextLatent(vector(6, 8), row(), settings(CLEAN, EMA));
    expect([...first.latent]).toEqual([3, 4]);
    expect(first.row.runningNorm).toBeCloseTo(0.9 * 5 + 0.1 * 10, 12);
    const second = nextLatent(vector(0, 2), first.row, settings(CLEAN, EMA));
    expect([...second.latent]).toEqual([0, 5.5]);
    expect(second.row.runningNorm).toBeCloseTo(0.9 * 5.5 + 0.1 * 2, 12);
    const third = nextLatent(vector(-1, 0), second.row, settings(CLEAN, EMA));
    expect(third.latent[0]).toBeCloseTo(-5.15, 6);
    expect(third.row.index).toBe(3);
  });

  it('with decay 1 holds every latent to the norm it began with', () => {
    const hold: Calibration = { kind: 'ema', decay: 1 };
    let now = row();
    for (const size of [100, 0.01, 7]) {
      const next = nextLatent(vector(size, 0), now, settings(CLEAN, hold));
      expect([...next.latent]).toEqual([5, 0]);
      now = next.row;
    }
    expect(DEFAULT_EMA_DECAY).toBe(0.99);
  });

  it('starts from the first prediction when the prompt has no picture, and leaves zero zero', () => {
    const next = nextLatent(vector(6, 8), row({ runningNorm: 0 }), settings(CLEAN, EMA));
    expect([...next.latent]).toEqual([6, 8]);
    expect(next.row.runningNorm).toBeCloseTo(10, 12);
    expect([...nextLatent(vector(0, 0), row(), settings(CLEAN, EMA)).latent]).toEqual([0, 0]);
  });
});

describe('noise', () => {
  it.each(['unit', 'spectrum'] as const)(
    '%s is P c + mu with coefficients of that law',
    async (law) => {
      const basis = await miniBasis(12);
      const predicted = new Float32Array(12).fill(3);
      const rng = new Rng(9);
      const spread = (k: number): number =>
        law === 'unit' ? 1 : Math.sqrt(basis.eigenvalues[k] ?? 0);
      const coefficients = Float32Array.from(
        { length: basis.k },
        (_, k) => rng.normal() * spread(k),
      );
      const next = nextLatent(
        predicted,
        row({ rng: new Rng(9) }),
        settings({ kind: 'noise', law }, NONE, basis),
      );
      expect([...next.latent]).toEqual([...reconstruct(basis, coefficients)]);
      expect(next.row.index).toBe(1);
    },
  );

  it('spectrum has the variances of the basis, and unit has variance 1', async () => {
    const basis = await miniBasis(12);
    for (const law of ['unit', 'spectrum'] as const) {
      const draws = 3000;
      const squares = new Float64Array(basis.k);
      let now = row({ rng: new Rng(5) });
      for (let i = 0; i < draws; i++) {
        const next = nextLatent(
          new Float32Array(12),
          now,
          settings({ kind: 'noise', law }, NONE, basis),
        );
        project(basis, next.latent).forEach((c, k) => (squares[k] = (squares[k] ?? 0) + c * c));
        now = next.row;
      }
      squares.forEach((square, k) => {
        const variance = law === 'unit' ? 1 : (basis.eigenvalues[k] ?? NaN);
        expect(square / draws / variance, `${law} ${k}`).toBeGreaterThan(0.9);
        expect(square / draws / variance, `${law} ${k}`).toBeLessThan(1.1);
      });
    }
  });

  it('norm has the direction of spectrum noise and the norm of what it replaces', async () => {
    const basis = await miniBasis(12);
    const predicted = new Float32Array(12).fill(2);
    const by = (law: 'spectrum' | 'norm', calibration: Calibration = NONE): Float32Array =>
      nextLatent(
        predicted,
        row({ rng: new Rng(9) }),
        settings({ kind: 'noise', law }, calibration, basis),
      ).latent;
    const [plain, matched] = [by('spectrum'), by('norm')];
    expect(norm(matched)).toBeCloseTo(norm(predicted), 5);
    const scale = norm(predicted) / norm(plain);
    expect(
      relativeError(
        matched,
        plain.map((x) => x * scale),
      ),
    ).toBeLessThan(1e-6);
    // Under calibration the replaced latent has the running norm.
    expect(norm(by('norm', EMA))).toBeCloseTo(5, 5);
  });

  it('without a basis is drawn in all dimensions: of norm 1 each, or as the prediction', () => {
    const predicted = vector(3, 4, 0, 0);
    const rng = new Rng(9);
    const expected = Float32Array.from({ length: 4 }, () => rng.normal());
    const by = (law: 'unit' | 'spectrum' | 'norm'): Float32Array =>
      nextLatent(predicted, row({ rng: new Rng(9) }), settings({ kind: 'noise', law })).latent;
    expect([...by('unit')]).toEqual([...expected]);
    for (const law of ['spectrum', 'norm'] as const) {
      expect(norm(by(law))).toBeCloseTo(5, 5);
      expect(
        relativeError(
          by(law),
          expected.map((x) => (x * 5) / norm(expected)),
        ),
      ).toBeLessThan(1e-6);
    }
  });
});

describe.each(['other', 'oracle'] as const)('%s latents', (kind) => {
  const replacement = vector(1, 2, 3, 4, 5, 6);

  it('are written as given, in order, from the start again when they run out', () => {
    let now = row({ replacement });
    const read: number[][] = [];
    for (let i = 0; i < 5; i++) {
      const next = nextLatent(vector(9, 9), now, settings({ kind }, EMA));
      read.push([...next.latent]);
      now = next.row;
    }
    expect(read).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
      [1, 2],
      [3, 4],
    ]);
  });

  it('are an error when there are none, or of another width', () => {
    expect(() => nextLatent(vector(9, 9), row(), settings({ kind }))).toThrow(RuntimeError);
    const odd = row({ replacement: vector(1, 2, 3) });
    expect(() => nextLatent(vector(9, 9), odd, settings({ kind }))).toThrow(RuntimeError);
  });
});

describe('norms and names', () => {
  it('measure rows', () => {
    expect(norm(vector(3, 4))).toBe(5);
    expect(meanNorm(vector(3, 4, 0, 1), 2)).toBe(3);
    expect(meanNorm(new Float32Array(0), 2)).toBe(0);
  });

  it('name interventions as files write them', () => {
    expect(interventionName({ kind: 'noise', law: 'unit' })).toBe('noise-unit');
    expect(interventionName({ kind: 'zero-latent' })).toBe('zero-latent');
  });
});
