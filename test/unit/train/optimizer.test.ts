// Tests AdamW in its own memory against plain loops in doubles.
import { afterEach, describe, expect, it } from 'vitest';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { Rng } from '../../../src/rng.ts';
import { AdamW } from '../../../src/train/optimizer.ts';
import type { AdamWConfig, Moments, ParameterGroup } from '../../../src/train/optimizer.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const CONFIG: AdamWConfig = {
  beta1: 0.9,
  beta2: 0.98,
  epsilon: 1e-8,
  weightDecay: 0.1,
  clipNorm: 1,
};

/** AdamW and clipping as their papers write them. */
class Twin {
  readonly config: AdamWConfig;
  readonly weights: number[][];
  readonly first: number[][];
  readonly second: number[][];
  steps = 0;

  constructor(config: AdamWConfig, weights: readonly Float32Array[]) {
    this.config = config;
    this.weights = weights.map((w) => [...w]);
    this.first = weights.map((w) => [...w].fill(0));
    this.second = weights.map((w) => [...w].fill(0));
  }

  step(rates: readonly number[], gradients: readonly Float32Array[]): number {
    const { beta1, beta2, epsilon, weightDecay, clipNorm } = this.config;
    const norm = Math.sqrt(gradients.reduce((sum, g) => sum + g.reduce((s, x) => s + x * x, 0), 0));
    const factor = norm > clipNorm ? clipNorm / (norm + 1e-6) : 1;
    this.steps += 1;
    this.weights.forEach((weights, group) => {
      const [m, v, rate] = [this.first[group] ?? [], this.second[group] ?? [], rates[group] ?? NaN];
      weights.forEach((weight, i) => {
        const g = factor * (gradients[group]?.[i] ?? NaN);
        m[i] = beta1 * (m[i] ?? NaN) + (1 - beta1) * g;
        v[i] = beta2 * (v[i] ?? NaN) + (1 - beta2) * g * g;
        const [mHat, vHat] = [m[i] / (1 - beta1 ** this.steps), v[i] / (1 - beta2 ** this.steps)];
        const decayed = weight - rate * weightDecay * weight;
        weights[i] = decayed - (rate * mHat) / (Math.sqrt(vHat) + epsilon);
      });
    });
    return norm;
  }
}

describe('AdamW', () => {
  const before = countLiveSessions();
  afterEach(() => {
    expect(countLiveSessions()).toBe(before);
  });

  it.each([
    ['clipping and decay', CONFIG],
    ['no clipping', { ...CONFIG, clipNorm: Infinity }],
    ['no decay, rare clipping', { ...CONFIG, weightDecay: 0, clipNorm: 60 }],
  ])('is its plain twin over 20 steps: %s', async (_name, config) => {
    const rng = new Rng(1);
    const sizes = [5003, 0, 17];
    const groups = sizes.map((size) => ({
      weights: randomRows(rng, size),
      gradients: new Float32Array(size),
    }));
    const memory = groups.map(({ weights }) => weights.buffer);
    const twin = new Twin(
      config,
      groups.map(({ weights }) => weights),
    );
    await using adamw = await AdamW.create(config, groups, SESSION);
    for (let step = 0; step < 20; step++) {
      // Sizes from far below to far above the clip norm; the last group stands still at first.
      const size = 10 ** (rng.uniform() * 4 - 3);
      for (const [i, { gradients }] of groups.entries()) {
        gradients.set(i === 2 && step < 5 ? gradients : randomRows(rng, gradients.length, size));
      }
      const rates = [1e-2 * (1 + step), 1, 3e-3];
      const norm = await adamw.step(rates);
      const expected = twin.step(
        rates,
        groups.map(({ gradients }) => gradients),
      );
      if (config.clipNorm < Infinity) expect(norm / expected).toBeCloseTo(1, 5);
      else expect(norm).toBeNaN();
      groups.forEach(({ weights }, i) => {
        const { first, second } = adamw.moments[i] ?? { first: [], second: [] };
        expect(relativeError(weights, twin.weights[i] ?? []), `step ${step}`).toBeLessThan(2e-6);
        expect(relativeError(first, twin.first[i] ?? []), `step ${step}`).toBeLessThan(2e-6);
        expect(relativeError(second, twin.second[i] ?? []), `step ${step}`).toBeLessThan(2e-6);
      });
    }
    expect(adamw.steps).toBe(20);
    expect(groups.map(({ weights }) => weights.buffer)).toEqual(memory);
  });

  it('gives the same bits by its kernel and by its graphs, up to the norm', async () => {
    const rng = new Rng(2);
    const sizes = [8192 * 2 + 5, 3, 8192];
    const make = (): ParameterGroup[] =>
      sizes.map((n) => ({ weights: new Float32Array(n), gradients: new Float32Array(n) }));
    const [fast, slow] = [make(), make()];
    for (const i of sizes.keys()) {
      const start = randomRows(rng, sizes[i] ?? 0);
      for (const groups of [fast, slow]) groups[i]?.weights.set(start);
    }
    await using kernel = await AdamW.create(CONFIG, fast, { ...SESSION, implementation: 'kernel' });
    await using graph = await AdamW.create(CONFIG, slow, { ...SESSION, implementation: 'graph' });
    for (let step = 0; step < 10; step++) {
      for (const i of sizes.keys()) {
        const found = randomRows(rng, sizes[i] ?? 0, 10 ** (2 - step));
        for (const groups of [fast, slow]) groups[i]?.gradients.set(found);
      }
      const norm = await kernel.gradientNorm();
      expect((await graph.gradientNorm()) / norm).toBeCloseTo(1, 6);
      await kernel.step([1e-2, 1e-3, 1], norm);
      await graph.step([1e-2, 1e-3, 1], norm);
      const bytes = (adamw: AdamW): Buffer[] =>
        adamw.groups.flatMap(({ weights }, i) => {
          const { first, second } = adamw.moments[i] as Moments;
          return [weights, first, second].map((a) => Buffer.from(a.slice().buffer));
        });
      const [expected, found] = [bytes(graph), bytes(kernel)];
      expect(found.map((b, i) => b.equals(expected[i] as Buffer))).toEqual(found.map(() => true));
    }
  });

  it('takes a norm that is already known instead of measuring it', async () => {
    const group = { weights: Float32Array.of(1, 1), gradients: Float32Array.of(3, 4) };
    await using adamw = await AdamW.create({ ...CONFIG, clipNorm: 5 }, [group], SESSION);
    expect(await adamw.gradientNorm()).toBe(5);
    expect(await adamw.step([0.1], 50)).toBe(50);
    const [m = NaN] = adamw.moments[0]?.first ?? [];
    expect(m).toBeCloseTo(0.1 * 3 * (5 / 50), 6);
  });

  it('moves by the learning rate in the first step, against the sign of the gradient', async () => {
    const group = { weights: Float32Array.of(1, 1, 1), gradients: Float32Array.of(1e-3, -20, 0) };
    const config = { ...CONFIG, weightDecay: 0, clipNorm: Infinity };
    await using adamw = await AdamW.create(config, [group], SESSION);
    await adamw.step([0.25]);
    [0.75, 1.25, 1].forEach((weight, i) => {
      expect(group.weights[i]).toBeCloseTo(weight, 4);
    });
  });
});
