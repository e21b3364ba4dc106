// Owns the tests of tables of one's own, and of finding benchmarks by name.
import { describe, expect, it } from 'vitest';
import { BENCHMARKS, aggregate, findBenchmark } from '../../../src/benchmark/benchmarks.ts';
import { BENCHMARK_NAMES } from '../../../src/benchmark/types.ts';
import type { DatasetName } from '../../../src/benchmark/types.ts';
import { ConfigError, DataError } from '../../../src/errors.ts';
import {
  figuresOf,
  headlinesOf,
  makeRow,
  scoreOf,
  scoreRows,
} from '../../helpers/benchmark-rows.ts';

const OPEN = makeRow({ index: 1n, question: 'How many?', answer: 3n, category: 'count' });
const CHOICE = makeRow({ index: 2n, question: 'Which?', A: 'red', B: 'None', answer: 'B' });

describe("a table of one's own", () => {
  it.each([
    ['<think> hm </think> <answer> 3 </answer>', '3', 1],
    ['3', '3', 1],
    ['<answer>4</answer>', '4', 0],
    ['three', 'three', 0],
  ])('reads the open answer %j as %s: %i', (text, result, score) => {
    const expected = { state: 'scored', result, score, settled: 'parsed', missing: false };
    expect(scoreOf('own', OPEN, text)).toEqual(expected);
  });

  it('compares open answers as gapvl compare does, case and spacing aside', () => {
    const row = makeRow({ ...OPEN, answer: 'Dark  Red' });
    expect(scoreOf('own', row, '<answer> dark red </answer>').score).toBe(1);
    expect(scoreOf('own', makeRow({ ...OPEN, answer: 'None' }), 'none').score).toBe(1);
  });

  it('reads choices by letter and text, and asks no judge', () => {
    expect(scoreOf('own', CHOICE, 'B')).toMatchObject({ score: 1, settled: 'letter' });
    expect(scoreOf('own', CHOICE, 'none')).toMatchObject({ score: 1, settled: 'text' });
    const score = scoreOf('own', CHOICE, 'hm', { era: 'head', replies: [] });
    expect(score).toMatchObject({ result: 'Z', score: 0, settled: 'none' });
  });

  it('takes words such as NA for answers and only nothing for missing', () => {
    expect(scoreOf('own', CHOICE, 'None')).toMatchObject({ missing: false, score: 1 });
    expect(scoreOf('own', OPEN, null)).toMatchObject({ missing: true, score: 0 });
    expect(scoreOf('own', CHOICE, '')).toMatchObject({ missing: true, score: 0, result: 'Z' });
  });

  it('refuses a row without an answer and names it', () => {
    const row = makeRow({ ...OPEN, index: 'a7', answer: null });
    expect(() => scoreOf('own', row, '3')).toThrow(DataError);
    expect(() => scoreOf('own', row, '3')).toThrow('row a7');
  });

  it('reports the mean over all rows and by category', () => {
    const rows = scoreRows('own', [
      [OPEN, '3'],
      [makeRow({ ...OPEN, category: 'colour' }), 'x'],
      [makeRow({ ...OPEN, category: 'count' }), 'x'],
      [CHOICE, 'B'],
    ]);
    expect([...figuresOf('own', rows)]).toEqual([
      ['Overall', 0.5],
      ['colour', 0],
      ['count', 0.5],
    ]);
    expect(headlinesOf(aggregate('own', rows, 'head'))).toEqual({ Overall: 50 });
    expect(headlinesOf(aggregate('own', [], 'head'))).toEqual({ Overall: null });
  });
});

describe('benchmarks', () => {
  it("are the six of the paper and one's own", () => {
    expect(Object.keys(BENCHMARKS)).toEqual([...BENCHMARK_NAMES, 'own'].map(String));
    for (const [name, benchmark] of Object.entries(BENCHMARKS)) {
      expect(benchmark.name).toBe(name);
      expect(findBenchmark(name)).toBe(benchmark);
    }
  });

  it('have the files, sums and sizes of the protocol', () => {
    const facts = BENCHMARK_NAMES.map((name) => {
      const { paperName, file, md5, numRows, judge } = BENCHMARKS[name];
      return [paperName, file, md5, numRows, judge].join(' ');
    });
    expect(facts).toEqual([
      'HRBench4K HRBench4K.tsv f6b041b03d49543494b8a56d2e35be65 800 helps',
      'MMStar MMStar.tsv e1ecd2140806c1b1bbf54b43372efb9e 1500 helps',
      'MME-RealWorld-Lite MME-RealWorld-Lite.tsv 4c17057d7d3b6c4a0d4397c3dae0881c 1919 none',
      'MathVista MathVista_MINI.tsv f199b98e178e5a2a20e7048f5dcb0464 1000 needed',
      'WeMath WeMath.tsv b5e969a075f01290a542411fb7766388 1740 helps',
      'POPE POPE.tsv c12f5acb142f2ef1f85a26ba2fbe41d5  helps',
    ]);
  });

  it.each(['mmstar', 'constructor', '__proto__', ''])('there is none called %j', (name) => {
    expect(() => findBenchmark(name)).toThrow(ConfigError);
    expect(() => aggregate(name as DatasetName, [], 'head')).toThrow(ConfigError);
  });
});
