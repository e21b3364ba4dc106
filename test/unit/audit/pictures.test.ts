// Holds the choice of shown examples and attention over a picture against small cases worked out by hand.
import { describe, expect, it } from 'vitest';
import type { CleanRow } from '../../../src/audit/part.ts';
import { chooseShown } from '../../../src/audit/parts/pictures.ts';
import { meanMap, spotlight } from '../../../src/audit/spotlight.ts';
import { createRaster } from '../../../src/data/raster.ts';
import { ShapeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

function rowOf(id: string, task: string, correct: boolean, numLatents = 4): CleanRow {
  const latents = Array.from({ length: numLatents }, () => Float32Array.of(1));
  return { prediction: { id, task, correct }, result: { latents } } as unknown as CleanRow;
}

const ROWS = ['rope', 'rungs', 'zoom'].flatMap((task) => [
  ...[0, 1, 2, 3].map((i) => rowOf(`${task}-right-${i}`, task, true)),
  ...[0, 1].map((i) => rowOf(`${task}-wrong-${i}`, task, false)),
  rowOf(`${task}-spanless`, task, true, 0),
]);

describe('the examples shown', () => {
  const chosen = chooseShown(ROWS, 6, new Rng(1)).map(({ prediction }) => prediction);

  it('are right and wrong by turns, of all tasks', () => {
    expect(chosen.map(({ correct }) => correct)).toEqual([true, false, true, false, true, false]);
    const tasks = chosen.map(({ task }) => task);
    for (const task of ['rope', 'rungs', 'zoom']) {
      expect(tasks.filter((own) => own === task)).toHaveLength(2);
    }
    expect(new Set(chosen.map(({ id }) => id)).size).toBe(6);
  });

  it('are drawn: the same for a seed, others for another', () => {
    const ids = (seed: number) => chooseShown(ROWS, 6, new Rng(seed)).map((r) => r.prediction.id);
    expect(ids(1)).toEqual(chosen.map(({ id }) => id));
    expect(new Set([1, 2, 3, 4].map((seed) => ids(seed).join())).size).toBeGreaterThan(1);
  });

  it('are fewer, or all right, where there is nothing else, and never without a span', () => {
    const right = ROWS.filter(({ prediction }) => prediction.correct);
    expect(chooseShown(right, 6, new Rng(1))).toHaveLength(6);
    expect(chooseShown(ROWS, 100, new Rng(1))).toHaveLength(18);
    expect(chooseShown([rowOf('a', 'rope', true, 0)], 6, new Rng(1))).toEqual([]);
  });
});

describe('attention over a picture', () => {
  const white = createRaster(4, 2, [200, 100, 0]);

  it('leaves the most attended square as it is and darkens the others in proportion', () => {
    const shown = spotlight(white, Float32Array.of(0.5, 0), 2);
    const pixel = (x: number, y: number) => [
      ...shown.data.subarray((y * 4 + x) * 3, (y * 4 + x) * 3 + 3),
    ];
    expect(pixel(0, 0)).toEqual([200, 100, 0]);
    expect(pixel(1, 1)).toEqual([200, 100, 0]);
    expect(pixel(2, 0)).toEqual([30, 15, 0]);
    const half = spotlight(white, Float32Array.of(1, 2), 2);
    // 0.15 + 0.85 / 2 = 0.575
    expect(half.data[0]).toBe(115);
    expect(half.data[6]).toBe(200);
  });

  it('refuses a map of another picture', () => {
    expect(() => spotlight(white, Float32Array.of(1, 2, 3), 2)).toThrow(ShapeError);
  });

  it('is a mean over maps', () => {
    expect(meanMap([Float32Array.of(1, 0), Float32Array.of(0, 0.5)])).toEqual(
      Float32Array.of(0.5, 0.25),
    );
  });
});
