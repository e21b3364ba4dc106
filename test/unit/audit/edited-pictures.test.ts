// Holds the changed pictures of an example against its own picture and the tasks' edits.
import { describe, expect, it } from 'vitest';
import { editedPictures, floorPictures, isDrawn } from '../../../src/audit/edited-pictures.ts';
import type { Example } from '../../../src/data/example.ts';
import { createRaster } from '../../../src/data/raster.ts';
import type { Raster } from '../../../src/data/raster.ts';
import { sampleExamples } from '../../../src/data/splits.ts';
import type { GeneratedExample } from '../../../src/data/splits.ts';
import { Rng } from '../../../src/rng.ts';

const SAMPLES = [...sampleExamples({ split: 'test', count: 20, seed: 4 })];

function exampleOf(sample: GeneratedExample, changed: Partial<Example> = {}): Example {
  const { id, question, answer, task, difficulty, seed } = sample;
  return { id, question, answer, image: 'a.png', task, difficulty, seed, ...changed };
}

function largestStep(a: Raster, b: Raster): number {
  let most = 0;
  a.data.forEach((x, i) => (most = Math.max(most, Math.abs(x - (b.data[i] ?? NaN)))));
  return most;
}

describe('the changed pictures of an example', () => {
  it('are up to two edits of each effect and two changes of one level', () => {
    for (const sample of SAMPLES) {
      const edits = editedPictures(exampleOf(sample), sample.picture, new Rng(1)) ?? [];
      const count = (effect: string): number => edits.filter((e) => e.effect === effect).length;
      expect(count('flip')).toBeGreaterThan(0);
      expect(count('flip')).toBeLessThanOrEqual(2);
      expect(count('control')).toBeLessThanOrEqual(2);
      expect(count('floor')).toBe(2);
      for (const { effect, answer, picture } of edits) {
        expect(answer === sample.answer).toBe(effect !== 'flip');
        const step = largestStep(sample.picture, picture);
        if (effect === 'floor') expect(step).toBe(1);
        else expect(step).toBeGreaterThan(10);
      }
    }
  });

  it('are none where the seed does not draw this question, answer or picture', () => {
    const [sample] = SAMPLES as [GeneratedExample];
    const tried = (changed: Partial<Example>, picture = sample.picture) =>
      editedPictures(exampleOf(sample, changed), picture, new Rng(1));
    expect(tried({})).toBeDefined();
    expect(tried({ question: 'another' })).toBeUndefined();
    expect(tried({ answer: 'another' })).toBeUndefined();
    expect(tried({ seed: (sample.seed + 1) >>> 0 })).toBeUndefined();
    expect(tried({ task: 'geometry' })).toBeUndefined();
    expect(tried({}, createRaster(96, 96, [1, 2, 3]))).toBeUndefined();
  });

  it('need task, difficulty and seed', () => {
    const [sample] = SAMPLES as [GeneratedExample];
    const whole = exampleOf(sample);
    expect(isDrawn(whole)).toBe(true);
    const { seed, ...seedless } = whole;
    expect(seed).toBeDefined();
    expect(isDrawn(seedless)).toBe(false);
    expect(isDrawn({ ...whole, task: 'geometry' })).toBe(false);
  });
});

describe('changes that no one sees', () => {
  it('stay within 0 and 255 and do not touch the picture they come from', () => {
    const [white, black] = [createRaster(8, 8, [255, 255, 255]), createRaster(8, 8, [0, 0, 0])];
    const [brighter, noise] = floorPictures(white, 'x', new Rng(2));
    expect(new Set(brighter?.picture.data)).toEqual(new Set([255]));
    expect(new Set(noise?.picture.data)).toEqual(new Set([254, 255]));
    expect(new Set(floorPictures(black, 'x', new Rng(2))[1]?.picture.data)).toEqual(
      new Set([0, 1]),
    );
    expect(new Set(white.data)).toEqual(new Set([255]));
  });
});
