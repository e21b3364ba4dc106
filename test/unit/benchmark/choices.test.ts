// Owns the tests of HRBench4K, MMStar and the judge's ladder of multiple choice.
import { describe, expect, it } from 'vitest';
import { BENCHMARKS, aggregate, scoreItem } from '../../../src/benchmark/benchmarks.ts';
import type { Row } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import {
  figuresOf,
  headlinesOf,
  makeRow,
  questionOf,
  scoreOf,
  withHit,
} from '../../helpers/benchmark-rows.ts';

const LANES = makeRow({
  index: 3n,
  question: 'Where is the cyclist',
  A: 'left lane',
  B: 'right lane',
  C: 'bike lane',
  D: 'sidewalk',
  answer: 'B',
});
const NUMBERS = makeRow({ index: 1n, A: '4', B: '14', C: '40', D: '0', answer: 'A' });
const VERBOSE = 'The correct answer is **B**, because the cyclist keeps clear of the parked cars';

describe('scores of single rows', () => {
  it.each([
    ['It rides in the right lane', 'B', 1, 'B', 1],
    ['A cyclist is in the right lane', 'B', 1, 'B', 1],
    ['A cyclist, B', 'Z', 0, 'Z', 0],
    ['<answer>D</answer>', 'Z', 0, 'Z', 0],
    ['<answer> D </answer>', 'D', 0, 'D', 0],
    [VERBOSE, 'B', 1, 'Z', 0],
    ['The answer is a bike lane', 'A', 0, 'C', 0],
  ])(
    'HRBench4K: %j gives %s (%i) in head, %s (%i) in paper',
    (text, head, hit, paper, paperHit) => {
      expect(scoreOf('HRBench4K', LANES, text)).toMatchObject({ result: head, score: hit });
      const inPaper = scoreOf('HRBench4K', LANES, text, { era: 'paper' });
      expect(inPaper).toMatchObject({ result: paper, score: paperHit });
    },
  );

  it.each([
    ['14', 'Z', 0, 'none'],
    ['40', 'Z', 0, 'none'],
    ['I see 4', 'A', 1, 'text'],
    ['Option C, i.e. forty', 'C', 0, 'letter'],
    ['Option E', 'Z', 0, 'none'],
  ])('MMStar: %j gives %s (%i), settled by %s', (text, result, score, settled) => {
    expect(scoreOf('MMStar', NUMBERS, text)).toEqual({
      state: 'scored',
      result,
      score,
      settled,
      missing: false,
    });
  });

  it('reads a missing prediction as the text nan, and counts it', () => {
    const row = makeRow({ index: 1n, A: 'banana', B: 'nan', answer: 'B' });
    for (const prediction of [null, '', 'NA', NaN]) {
      expect(scoreOf('MMStar', row, prediction)).toEqual({
        state: 'scored',
        result: 'B',
        score: 1,
        settled: 'text',
        missing: true,
      });
    }
  });

  it('scores predictions that pandas made numbers as it writes them', () => {
    const row = makeRow({ index: 1n, A: '7.0', B: '8', answer: 'A' });
    expect(scoreOf('MMStar', row, 7).score).toBe(1);
    expect(scoreOf('MMStar', row, 7n).score).toBe(0);
  });
});

describe('the judge of multiple choice', () => {
  const vague =
    'somewhere on the road, it seems to me, but far from the pavement and from the cars';

  it('is not asked about what the rules settle', () => {
    expect(scoreItem('HRBench4K', LANES, 'B', { era: 'head', replies: [] })).toMatchObject({
      state: 'scored',
      settled: 'letter',
    });
  });

  it('is asked up to three times, at temperature 0, the same each time', () => {
    for (const replies of [[], [null], ['hard to say', null]]) {
      const question = questionOf('HRBench4K', LANES, vague, { era: 'head', replies });
      expect(question).toMatchObject({ temperature: 0, attempt: replies.length });
      expect(question.maxTokens).toBeUndefined();
      expect(question.prompt).toContain('Question: Where is the cyclist?\nOptions: There are');
      expect(question.prompt.endsWith(`\nAnswer: ${vague}\nYour output: `)).toBe(true);
    }
  });

  it.each([
    [['B'], 'B'],
    [[null, 'the right lane'], 'B'],
    [['Failed to obtain answer via API. B', 'Z'], 'Z'],
    [[null, 'x', 'C'], 'C'],
  ])('settles it with the replies %j: %s', (replies, result) => {
    const score = scoreOf('HRBench4K', LANES, vague, { era: 'head', replies });
    expect(score).toMatchObject({ result, score: result === 'B' ? 1 : 0, settled: 'judge' });
  });

  it('applies the length limit and the era to replies, too', () => {
    const long = `${VERBOSE}, as I said before`;
    expect(scoreOf('HRBench4K', LANES, vague, { era: 'head', replies: [long] }).result).toBe('B');
    const asked = questionOf('HRBench4K', LANES, vague, { era: 'paper', replies: [long] });
    expect(asked.attempt).toBe(1);
  });

  it('picks among letters and Z after three failures, the same for the same seed and row', () => {
    const picks = new Map<string, number>();
    for (let i = 0; i < 5000; i++) {
      const row = makeRow({ ...LANES, index: `${i}` });
      const options = { era: 'head', replies: [null, null, 'hm'], seed: 7 } as const;
      const score = scoreOf('HRBench4K', row, vague, options);
      if (score.settled !== 'random') throw new Error(`settled by ${score.settled}`);
      if (i % 100 === 0) expect(scoreOf('HRBench4K', row, vague, options)).toEqual(score);
      picks.set(score.result ?? '', (picks.get(score.result ?? '') ?? 0) + 1);
    }
    expect([...picks.keys()].sort()).toEqual(['A', 'B', 'C', 'D', 'Z']);
    // Five standard deviations about 1000.
    for (const count of picks.values()) expect(Math.abs(count - 1000)).toBeLessThan(142);
  });

  it('picks otherwise for another seed', () => {
    const results = [1, 2, 3, 4, 5, 6, 7, 8].map(
      (seed) =>
        scoreOf('HRBench4K', LANES, vague, { era: 'head', replies: [null, null, null], seed })
          .result,
    );
    expect(new Set(results).size).toBeGreaterThan(1);
  });

  it('picks Z no more often where it is an option itself', () => {
    const row = makeRow({ index: 1n, question: 'q', Z: 'zebra', answer: 'Z' });
    const options = { era: 'head', replies: [null, null, null] } as const;
    expect(scoreOf('MMStar', row, 'lion and other animals', options).result).toBe('Z');
  });

  it('needs the question', () => {
    const row = makeRow({ ...NUMBERS, question: null });
    expect(() => scoreItem('MMStar', row, '14', { era: 'head', replies: [] })).toThrow(DataError);
  });
});

describe('HRBench4K', () => {
  const row = (cycle: bigint, category: string): Row =>
    makeRow({ index: cycle, category, cycle_category: cycle });

  it('averages rotations as in the worked example', () => {
    const rows = [
      ...([1, 1, 0, 1] as const).map((hit, i) => withHit(row(BigInt(i), 'single'), hit)),
      ...([1, 0, 0, 0] as const).map((hit, i) => withHit(row(BigInt(i), 'cross'), hit)),
    ];
    const figures = figuresOf('HRBench4K', rows);
    expect([0, 1, 2, 3].map((cycle) => figures.get(`${cycle}/all`))).toEqual([1, 0.5, 0, 0.5]);
    expect(figures.get('Average/all')).toBe(0.5);
    expect(figures.get('Average/single')).toBe(0.75);
    expect(figures.get('Average/cross')).toBe(0.25);
    const headlines = headlinesOf(aggregate('HRBench4K', rows, 'head'));
    expect(headlines).toEqual({ Overall: 50, FSP: 75, FCP: 25 });
  });

  it('divides by the number of cycles, also for a type that some of them lack', () => {
    const rows = [withHit(row(0n, 'single'), 1), withHit(row(1n, 'cross'), 1)];
    const figures = figuresOf('HRBench4K', rows);
    expect(figures.get('Average/single')).toBe(0.5);
    expect(figures.get('1/single')).toBeUndefined();
  });

  it('lists cycles in order and leaves rows without a cycle out', () => {
    const rows = [
      withHit(makeRow({ index: 1n, category: 'single', cycle_category: 'b' }), 1),
      withHit(makeRow({ index: 2n, category: 'single', cycle_category: 'a' }), 1),
      withHit(makeRow({ index: 3n, category: 'single', cycle_category: null }), 0),
    ];
    expect([...figuresOf('HRBench4K', rows)]).toEqual([
      ['a/all', 1],
      ['a/single', 1],
      ['b/all', 1],
      ['b/single', 1],
      ['Average/all', 1],
      ['Average/single', 1],
    ]);
  });

  it('has no headlines without rows', () => {
    const figures = aggregate('HRBench4K', [], 'head');
    expect(figures.figures).toEqual([]);
    expect(headlinesOf(figures)).toEqual({ Overall: null, FSP: null, FCP: null });
  });

  it('keeps the rotations of a question together, and questions apart', () => {
    const { cluster } = BENCHMARKS.HRBench4K;
    const turned = makeRow({ ...LANES, index: 4n, A: 'sidewalk', D: 'left lane', answer: 'B' });
    expect(cluster(turned)).toBe(cluster(LANES));
    expect(cluster(makeRow({ ...LANES, D: 'pavement' }))).not.toBe(cluster(LANES));
    expect(cluster(makeRow({ ...LANES, question: 'Where' }))).not.toBe(cluster(LANES));
  });

  it('lower-cases column names, single capitals aside; changed names win', () => {
    const { prepareRow } = BENCHMARKS.HRBench4K;
    const row = makeRow({
      A: 'a',
      a: 'b',
      Category: 'new',
      category: 'old',
      ÄB: 'c',
      '__proto__ ': 1,
    });
    expect({ ...prepareRow(row) }).toEqual({
      A: 'a',
      a: 'b',
      category: 'new',
      äb: 'c',
      '__proto__ ': 1,
    });
    const lower = makeRow({ A: 'a', category: 'x' });
    expect(prepareRow(lower)).toBe(lower);
    expect(prepareRow(prepareRow(row))).toEqual(prepareRow(row));
  });

  it('takes any column name without touching prototypes', () => {
    const row = makeRow({});
    Object.defineProperty(row, '__PROTO__', { value: 'x', enumerable: true });
    const made = BENCHMARKS.MMStar.prepareRow(row);
    expect(Object.getPrototypeOf(made)).toBeNull();
    expect(Object.keys(made)).toEqual(['__proto__']);
  });
});

describe('MMStar', () => {
  it('reports the mean over all rows, then by l2-category and category, sorted', () => {
    const rows = [
      withHit(makeRow({ index: 1n, category: 'math', 'l2-category': 'x', l2_category: 'no' }), 1),
      withHit(makeRow({ index: 2n, category: 'coarse perception', 'l2-category': 'x' }), 0),
      withHit(makeRow({ index: 3n, category: 'math', 'l2-category': 'w' }), 0),
    ];
    expect([...figuresOf('MMStar', rows)]).toEqual([
      ['none/Overall', 1 / 3],
      ['none/w', 0],
      ['none/x', 0.5],
      ['none/coarse perception', 0],
      ['none/math', 0.5],
    ]);
    expect(headlinesOf(aggregate('MMStar', rows, 'head'))).toEqual({ Overall: (1 / 3) * 100 });
  });

  it('computes every figure per split; an empty split has none', () => {
    const rows = [
      withHit(makeRow({ index: 1n, split: 'val', category: 'math' }), 1),
      withHit(makeRow({ index: 2n, split: null, category: 'math' }), 0),
      withHit(makeRow({ index: 3n, split: 'test', category: 'logic_reasoning' }), 0),
    ];
    expect([...figuresOf('MMStar', rows)]).toEqual([
      ['val/Overall', 1],
      ['val/LR', null],
      ['val/math', 1],
      ['nan/Overall', null],
      ['nan/LR', null],
      ['nan/math', null],
      ['test/Overall', 0],
      ['test/LR', 0],
      ['test/math', null],
    ]);
  });

  it('keeps the later of two abilities of the same name, at the place of the first', () => {
    const rows = [
      withHit(makeRow({ index: 1n, category: 'same', 'l2-category': 'same' }), 1),
      withHit(makeRow({ index: 2n, category: 'other', 'l2-category': 'same' }), 0),
    ];
    expect([...figuresOf('MMStar', rows)]).toEqual([
      ['none/Overall', 0.5],
      ['none/same', 1],
      ['none/other', 0],
    ]);
  });

  it('counts missing predictions and seeded picks', () => {
    const score = scoreOf('MMStar', NUMBERS, null);
    const random = { ...score, settled: 'random', missing: false } as const;
    const figures = aggregate(
      'MMStar',
      [
        { row: NUMBERS, score },
        { row: NUMBERS, score: random },
      ],
      'paper',
    );
    expect(figures).toMatchObject({
      benchmark: 'MMStar',
      era: 'paper',
      numRows: 2,
      numMissing: 1,
      numRandom: 1,
      isLowerBound: false,
    });
  });
});
