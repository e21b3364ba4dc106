// Owns the check that every task's texts and pictures say the same; answers are read from pixels.

import { describe, expect, it } from 'vitest';
import { DIFFICULTIES, type Difficulty } from '../../../src/data/example.ts';
import { TASK_NAMES, tasks, type TaskName } from '../../../src/data/tasks/index.ts';
import type { TaskSample } from '../../../src/data/tasks/task.ts';
import { hasInk, TILE_LETTERS } from '../../../src/data/tasks/zoom.ts';
import { Rng } from '../../../src/rng.ts';
import {
  pixelAt,
  readBars,
  readChartWords,
  readLadderWords,
  readLevel,
  readRedPath,
  readLetter,
  readTiles,
  readWallWords,
  walkLadder,
} from './pixel-readers.ts';

const NUM_SAMPLES = 300;

function draw(task: TaskName, difficulty: Difficulty, count = NUM_SAMPLES): TaskSample[] {
  const rng = new Rng(`${task} ${difficulty}`);
  return Array.from({ length: count }, () => tasks[task].sample(rng, difficulty));
}

function drawBoth(task: TaskName): TaskSample[] {
  return DIFFICULTIES.flatMap((difficulty) => draw(task, difficulty));
}

function word(text: string, index: number): string {
  return text.split(' ')[index] ?? '';
}

function ropeColumn(name: string): number {
  return 'abcdef'.indexOf(name);
}

function countDifferences(sample: TaskSample): number {
  let count = 0;
  for (let i = 0; i < sample.picture.data.length; i++) {
    if (sample.picture.data[i] !== sample.auxiliary.data[i]) count += 1;
  }
  return count;
}

describe('rope', () => {
  it('says where a walk along the drawn ropes ends, and the red path ends there', () => {
    for (const sample of drawBoth('rope')) {
      const start = ropeColumn(word(sample.question, 3));
      const { end, numRungs } = walkLadder(sample.picture, start);
      expect(sample.answer).toBe(`${end + 1}`);
      expect(readRedPath(sample.auxiliary)).toEqual({ start, end, numRungs });
    }
  });
});

describe('rungs', () => {
  it('says how many rungs a walk along the drawn ropes takes, and as many are red', () => {
    for (const sample of drawBoth('rungs')) {
      const start = ropeColumn(word(sample.question, 5));
      const { end, numRungs } = walkLadder(sample.picture, start);
      expect(sample.answer).toBe(`${numRungs}`);
      expect(readRedPath(sample.auxiliary)).toEqual({ start, end, numRungs });
    }
  });
});

describe('ladders', () => {
  const samples = [...drawBoth('rope'), ...drawBoth('rungs')];

  it('have captions that say what each cell shows', () => {
    for (const sample of samples) {
      expect(sample.caption).toBe(readLadderWords(sample.picture).join(' '));
      expect(sample.auxiliaryCaption).toBe(readLadderWords(sample.auxiliary).join(' '));
    }
  });

  it('tie a rope to one neighbour at most in each row', () => {
    for (const { picture } of samples) {
      const paper = pixelAt(picture, 0, 0).join();
      const hasInk = (x: number, y: number): boolean => pixelAt(picture, x, y).join() !== paper;
      let numTwice = 0;
      for (let y = 8; y < 96; y += 16) {
        for (let x = 16; x < 80; x += 16) if (hasInk(x, y) && hasInk(x + 16, y)) numTwice += 1;
      }
      expect(numTwice).toBe(0);
    }
  });

  it('have rungs in one or two rows if easy and in all rows if hard', () => {
    const countRows = (sample: TaskSample): number =>
      sample.caption.split(' ').reduce((rows, cell, index) => {
        if (cell !== 'plain') rows.add(Math.floor(index / 6));
        return rows;
      }, new Set<number>()).size;
    const easy = [...draw('rope', 'easy'), ...draw('rungs', 'easy')].map(countRows);
    const hard = [...draw('rope', 'hard'), ...draw('rungs', 'hard')].map(countRows);
    expect([...new Set(easy)].sort()).toEqual([1, 2]);
    expect([...new Set(hard)]).toEqual([6]);
  });

  it('differ from their auxiliary picture in recoloured ink alone', () => {
    for (const { picture, auxiliary } of samples.slice(0, 50)) {
      const paper = pixelAt(picture, 0, 0).join();
      for (let y = 0; y < 96; y++) {
        for (let x = 0; x < 96; x++) {
          const isPaper = pixelAt(picture, x, y).join() === paper;
          if ((pixelAt(auxiliary, x, y).join() === paper) !== isPaper) {
            throw new Error(`paper and ink change places at ${x},${y}`);
          }
        }
      }
    }
  });
});

describe('bricks', () => {
  it('says how many bricks the drawn wall lacks, and as many cells are red', () => {
    for (const sample of drawBoth('bricks')) {
      const query = readWallWords(sample.picture);
      const auxiliary = readWallWords(sample.auxiliary);
      expect(sample.answer).toBe(`${query.filter((cell) => cell === 'gap').length}`);
      expect(sample.auxiliaryAnswer).toBe(
        `${auxiliary.filter((cell) => cell === 'redgap').length}`,
      );
      expect(auxiliary).toEqual(query.map((cell) => (cell === 'gap' ? 'redgap' : cell)));
      expect(sample.caption).toBe(query.join(' '));
      expect(sample.auxiliaryCaption).toBe(auxiliary.join(' '));
    }
  });

  it('lacks one to three bricks if easy and four to nine if hard', () => {
    const answers = (difficulty: Difficulty): string[] =>
      [...new Set(draw('bricks', difficulty).map((sample) => sample.answer))].sort();
    expect(answers('easy')).toEqual(['1', '2', '3']);
    expect(answers('hard')).toEqual(['4', '5', '6', '7', '8', '9']);
  });
});

describe('chart', () => {
  const samples = drawBoth('chart');

  it('says how many drawn bars are above the level, and those are red above its line', () => {
    for (const sample of samples) {
      const level = Number(word(sample.question, 5));
      const bars = readBars(sample.picture);
      const redBars = readBars(sample.auxiliary);
      expect(sample.answer).toBe(`${bars.filter((bar) => bar.height > level).length}`);
      expect(readLevel(sample.auxiliary)).toBe(level);
      expect(redBars).toEqual(bars.map(({ height }) => ({ height, red: height > level })));
      expect(bars.some((bar) => bar.red)).toBe(false);
    }
  });

  it('has captions that say what each cell shows', () => {
    for (const sample of samples) {
      expect(sample.caption).toBe(readChartWords(sample.picture).join(' '));
      expect(sample.auxiliaryCaption).toBe(readChartWords(sample.auxiliary).join(' '));
    }
  });

  it('has auxiliary cells that follow from the query cell, the level and the cell above', () => {
    for (const sample of samples) {
      const lineRow = 5 - Number(word(sample.question, 5));
      const query = sample.caption.split(' ');
      const auxiliary = sample.auxiliaryCaption.split(' ');
      const derived = query.map((cell, index) => {
        const row = Math.floor(index / 6);
        const isAboveRed = auxiliary[index - 6]?.startsWith('red') === true;
        const isRed = cell === 'bar' && (row <= lineRow || isAboveRed);
        if (row === lineRow) return isRed ? 'redline' : 'line';
        return isRed ? 'redbar' : cell;
      });
      expect(auxiliary).toEqual(derived);
    }
  });

  it('has at most three heights and an outermost level if easy', () => {
    for (const sample of draw('chart', 'easy')) {
      expect(new Set(readBars(sample.picture).map((bar) => bar.height)).size).toBeLessThan(4);
      expect(['1', '5']).toContain(word(sample.question, 5));
    }
  });
});

describe('zoom', () => {
  it('asks for the letter on the red tile if easy', () => {
    for (const { question, answer, picture } of draw('zoom', 'easy')) {
      expect(question).toBe('which letter is on the red tile');
      expect(readTiles(picture).filter((tile) => tile.color === 'red')).toEqual([
        { color: 'red', letter: answer },
      ]);
    }
  });

  it('asks for the letter next to the red tile if hard', () => {
    const steps: Readonly<Record<string, number>> = {
      'left of': -1,
      'right of': 1,
      above: -3,
      below: 3,
    };
    const seen = new Set<string>();
    for (const { question, answer, picture } of draw('zoom', 'hard')) {
      const [, relation = ''] = /^which letter is (.+) the red tile$/u.exec(question) ?? [];
      const tiles = readTiles(picture);
      const anchor = tiles.findIndex((tile) => tile.color === 'red');
      const target = anchor + (steps[relation] ?? NaN);
      if (relation.endsWith('of')) expect(Math.floor(target / 3)).toBe(Math.floor(anchor / 3));
      expect(tiles[target]?.letter).toBe(answer);
      seen.add(relation);
    }
    expect([...seen].sort()).toEqual(Object.keys(steps).sort());
  });

  it('has the card of that tile enlarged as auxiliary picture, a cell a pixel', () => {
    for (const { answer, auxiliary, auxiliaryCaption } of drawBoth('zoom')) {
      expect(readLetter(auxiliary, 0, 0, 16)).toBe(answer);
      const words = auxiliaryCaption.split(' ');
      for (const [index, said] of words.entries()) {
        const [x, y] = [(index % 6) * 16, Math.floor(index / 6) * 16];
        const pixels = new Set(
          Array.from({ length: 256 }, (_, i) =>
            pixelAt(auxiliary, x + (i % 16), y + Math.floor(i / 16)).join(),
          ),
        );
        expect([...pixels]).toEqual([said === 'ink' ? '16,16,24' : '252,252,252']);
      }
    }
  });

  it('keeps any two letters at least eight of 36 pixels apart', () => {
    for (const first of TILE_LETTERS) {
      for (const second of TILE_LETTERS) {
        if (first >= second) continue;
        const distance = Array.from({ length: 36 }, (_, i) => {
          const [row, column] = [Math.floor(i / 6), i % 6];
          return hasInk(first, row, column) === hasInk(second, row, column) ? 0 : 1;
        }).reduce<number>((sum, bit) => sum + bit, 0);
        expect(distance, `${first} and ${second}`).toBeGreaterThanOrEqual(8);
      }
    }
  });

  it('has nine colours and nine letters, each once, named by turns in the caption', () => {
    for (const { picture, caption } of drawBoth('zoom')) {
      const tiles = readTiles(picture);
      expect(new Set(tiles.map((tile) => tile.color)).size).toBe(9);
      expect(new Set(tiles.map((tile) => tile.letter)).size).toBe(9);
      const words = Array.from({ length: 36 }, (_, index) => {
        const column = index % 6;
        const tile = tiles[Math.floor(index / 12) * 3 + Math.floor(column / 2)];
        return column % 2 === 0 ? tile?.color : tile?.letter;
      });
      expect(caption.split(' ')).toEqual(words);
    }
  });
});

describe.each(TASK_NAMES)('every %s sample', (name) => {
  it('has the texts that the tiny tokenizer and the response format need', () => {
    const task = tasks[name];
    const words = new Set<string>();
    for (const sample of drawBoth(name)) {
      const { question, answer, think, parser, caption, auxiliaryCaption } = sample;
      const text = [question, answer, think, parser, caption, auxiliaryCaption].join(' ');
      expect(text).toMatch(/^[a-z0-9]+( [a-z0-9]+)*$/u);
      for (const item of text.split(' ')) words.add(item);
      expect(task.answers).toContain(answer);
      const lengths = [think, parser, caption, auxiliaryCaption].map((t) => t.split(' ').length);
      expect(lengths).toEqual([5, 5, 36, 36]);
      expect(task.answers.some((item) => parser.split(' ').includes(item))).toBe(false);
    }
    expect([...words].filter((item) => !task.words.includes(item))).toEqual([]);
  });

  it('has two pictures of 96 x 96 that differ where there is something to point out', () => {
    for (const sample of drawBoth(name).slice(200, 400)) {
      for (const raster of [sample.picture, sample.auxiliary]) {
        expect([raster.width, raster.height, raster.data.length]).toEqual([96, 96, 27_648]);
      }
      expect(countDifferences(sample)).toBeGreaterThan(100);
    }
  });

  it('is the same for the same seed', () => {
    for (const difficulty of DIFFICULTIES) {
      const [first, second, other] = [3, 3, 4].map((seed) => {
        const { picture, auxiliary, ...texts } = tasks[name].sample(new Rng(seed), difficulty);
        const pixels = [picture, auxiliary].map((raster) =>
          Buffer.from(raster.data).toString('hex'),
        );
        return JSON.stringify({ texts, pixels });
      });
      expect(second).toBe(first);
      expect(other).not.toBe(first);
    }
  });

  it('has a picture key that stands for the drawn picture', () => {
    const pictures = new Map<string, string>();
    const keys = new Map<string, string>();
    for (const { picture, pictureKey } of drawBoth(name)) {
      const pixels = Buffer.from(picture.data).toString('latin1');
      expect(pictures.get(pictureKey) === undefined || pictures.get(pictureKey) === pixels).toBe(
        true,
      );
      expect(keys.get(pixels) ?? pictureKey).toBe(pictureKey);
      pictures.set(pictureKey, pixels);
      keys.set(pixels, pictureKey);
    }
  });
});

describe('answers', () => {
  it('are not worth guessing: no hard answer is right more than 40 % of the time', () => {
    for (const name of TASK_NAMES) {
      // The usual answer of each question, so that the rope's name does not give it away either.
      const byQuestion = new Map<string, Map<string, number>>();
      const samples = draw(name, 'hard', 1_500);
      for (const { question, answer } of samples) {
        const counts = byQuestion.get(question) ?? new Map<string, number>();
        counts.set(answer, (counts.get(answer) ?? 0) + 1);
        byQuestion.set(question, counts);
      }
      let numRight = 0;
      for (const counts of byQuestion.values()) numRight += Math.max(...counts.values());
      expect(numRight / samples.length, name).toBeLessThan(0.4);
    }
  });

  it('to different tasks are asked for in different words', () => {
    const taskOf = new Map<string, string>();
    for (const name of TASK_NAMES) {
      for (const { question } of drawBoth(name)) {
        expect(taskOf.get(question) ?? name).toBe(name);
        taskOf.set(question, name);
      }
    }
  });
});
