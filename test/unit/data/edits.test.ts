// Owns the check that edited pictures have the answer they are said to have; answers are read from pixels.

import { describe, expect, it } from 'vitest';
import { DIFFICULTIES } from '../../../src/data/example.ts';
import type { Raster } from '../../../src/data/raster.ts';
import { TASK_NAMES, tasks, type TaskName } from '../../../src/data/tasks/index.ts';
import type { TaskEdit, TaskSample } from '../../../src/data/tasks/task.ts';
import { Rng } from '../../../src/rng.ts';
import {
  readBars,
  readLadderWords,
  readLetter,
  readLevel,
  readRedPath,
  readTiles,
  readWallWords,
  walkLadder,
} from './pixel-readers.ts';

const NUM_SAMPLES = 150;

interface Edited {
  readonly seed: number;
  readonly sample: TaskSample;
  readonly edits: readonly TaskEdit[];
}

function drawEdited(name: TaskName): Edited[] {
  return DIFFICULTIES.flatMap((difficulty) =>
    Array.from({ length: NUM_SAMPLES }, (_, seed) => {
      const draft = tasks[name].draft(new Rng(seed), difficulty);
      return { seed, sample: draft.render(), edits: draft.edits(new Rng(`edit ${seed}`)) };
    }),
  );
}

const ropeOf = (question: string): number =>
  'abcdef'.indexOf(/rope ([a-f])/u.exec(question)?.[1] ?? '?');

const STEPS: Readonly<Record<string, number>> = {
  on: 0,
  'left of': -1,
  'right of': 1,
  above: -3,
  below: 3,
};

/** Answers a question by looking at the pixels alone. */
const ANSWER: Readonly<Record<TaskName, (picture: Raster, question: string) => string>> = {
  rope: (picture, question) => `${walkLadder(picture, ropeOf(question)).end + 1}`,
  rungs: (picture, question) => `${walkLadder(picture, ropeOf(question)).numRungs}`,
  bricks: (picture) => `${readWallWords(picture).filter((cell) => cell === 'gap').length}`,
  chart: (picture, question) => {
    const level = Number(question.split(' ')[5]);
    return `${readBars(picture).filter(({ height }) => height > level).length}`;
  },
  zoom: (picture, question) => {
    const relation = /^which letter is (.+) the red tile$/u.exec(question)?.[1] ?? '';
    const tiles = readTiles(picture);
    const anchor = tiles.findIndex(({ color }) => color === 'red');
    const target = anchor + (STEPS[relation] ?? NaN);
    if (relation.endsWith('of') && Math.floor(target / 3) !== Math.floor(anchor / 3)) return 'none';
    return tiles[target]?.letter ?? 'none';
  },
};

/** Answers a question by looking at the auxiliary picture alone. */
const AUXILIARY_ANSWER: Readonly<Record<TaskName, (picture: Raster) => string>> = {
  rope: (picture) => `${readRedPath(picture).end + 1}`,
  rungs: (picture) => `${readRedPath(picture).numRungs}`,
  bricks: (picture) => `${readWallWords(picture).filter((cell) => cell === 'redgap').length}`,
  chart: (picture) => `${readBars(picture).filter(({ red }) => red).length}`,
  zoom: (picture) => readLetter(picture, 0, 0, 16),
};

/** Pixels of two pictures that differ. */
function numChanged(a: Raster, b: Raster): number {
  let count = 0;
  for (let i = 0; i < a.data.length; i += 3) {
    if ([0, 1, 2].some((c) => a.data[i + c] !== b.data[i + c])) count += 1;
  }
  return count;
}

describe.each(TASK_NAMES)('edits of a %s picture', (name) => {
  const all = drawEdited(name);

  it('have the answer that their pixels have, in the query and in the auxiliary picture', () => {
    for (const { sample, edits } of all) {
      for (const { picture, auxiliary, answer } of edits) {
        expect(ANSWER[name](picture, sample.question)).toBe(answer);
        expect(AUXILIARY_ANSWER[name](auxiliary)).toBe(answer);
      }
    }
  });

  it('flip the answer or keep it, as they say, and always change the picture', () => {
    for (const { sample, edits } of all) {
      for (const edit of edits) {
        expect(edit.answer !== sample.answer).toBe(edit.effect === 'flip');
        expect(tasks[name].answers).toContain(edit.answer);
        const changed = numChanged(sample.picture, edit.picture);
        expect(changed, edit.what).toBeGreaterThan(0);
        // One object moved: at most two of nine tiles, two of six bars, two of 36 cells.
        expect(changed, edit.what).toBeLessThanOrEqual((96 * 96) / 3);
      }
    }
  });

  it('are there for nearly every sample, of both effects', () => {
    const having = (effect: string): number =>
      all.filter(({ edits }) => edits.some((edit) => edit.effect === effect)).length;
    expect(having('flip')).toBeGreaterThan(0.97 * all.length);
    expect(having('control')).toBeGreaterThan(0.9 * all.length);
    for (const { edits } of all) {
      expect(new Set(edits.map(({ what }) => what)).size).toBe(edits.length);
    }
  });

  it('are the same for the same seeds, and others for others', () => {
    const pixels = (seed: number, editSeed: number): string =>
      JSON.stringify(
        tasks[name]
          .draft(new Rng(seed), 'hard')
          .edits(new Rng(editSeed))
          .map(({ picture }) => Buffer.from(picture.data).toString('latin1')),
      );
    expect(pixels(5, 1)).toBe(pixels(5, 1));
    expect(pixels(5, 2)).not.toBe(pixels(5, 1));
  });
});

describe('edits of what decides nothing', () => {
  it('leave the red way of a ladder where it is', () => {
    for (const name of ['rope', 'rungs'] as const) {
      for (const { sample, edits } of drawEdited(name)) {
        for (const edit of edits.filter(({ effect }) => effect === 'control')) {
          const red = (picture: Raster): boolean[] =>
            readLadderWords(picture).map((cell) => /^(?:red|go|from)/u.test(cell));
          expect(red(edit.auxiliary)).toEqual(red(sample.auxiliary));
          expect(readRedPath(edit.auxiliary)).toEqual(readRedPath(sample.auxiliary));
        }
      }
    }
  });

  it('leave the tile asked for, and the level of a chart, as they are', () => {
    for (const { sample, edits } of drawEdited('zoom')) {
      for (const edit of edits.filter(({ effect }) => effect === 'control')) {
        expect(numChanged(edit.auxiliary, sample.auxiliary)).toBe(0);
      }
    }
    for (const { sample, edits } of drawEdited('chart')) {
      for (const edit of edits) {
        expect(readLevel(edit.auxiliary)).toBe(readLevel(sample.auxiliary));
      }
    }
  });
});

describe('an edited ladder', () => {
  it('is one the sampler could have drawn: the same rows have rungs', () => {
    const rows = (picture: Raster): number[] =>
      readLadderWords(picture).flatMap((cell, i) => (cell === 'plain' ? [] : [Math.floor(i / 6)]));
    for (const { sample, edits } of drawEdited('rope')) {
      const before = [...new Set(rows(sample.picture))];
      for (const { picture } of edits) expect([...new Set(rows(picture))]).toEqual(before);
    }
  });
});
