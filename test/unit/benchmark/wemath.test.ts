// Owns the tests of WeMath: both ways of reading an answer, groups, classes, scores.
import { describe, expect, it } from 'vitest';
import { BENCHMARKS, aggregate, scoreItem } from '../../../src/benchmark/benchmarks.ts';
import type { Cell, Row, ScoredRow } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import {
  figuresOf,
  headlinesOf,
  makeRow,
  questionOf,
  scoreOf,
  withHit,
} from '../../helpers/benchmark-rows.ts';

const CUBES = makeRow({
  index: 1n,
  question: 'How many',
  A: '3',
  B: '4',
  C: '5',
  D: '6',
  answer: 'C',
});

/** Rows of `count` groups of one pattern: a letter a step, then the composite; `-` is not there. */
function groupRows(pattern: string, count: number, first = 0): ScoredRow[] {
  const size = pattern.length - 1;
  const keys = [...Array.from({ length: size }, (_, i) => `${i + 1}`), 'multi'];
  return Array.from({ length: count }, (_, i) => i + first).flatMap((problem) =>
    keys.flatMap((key, at) => {
      const mark = pattern.charAt(at);
      const row = makeRow({
        index: `${size}/${problem}/${key}`,
        ID: `${pattern}${problem}`,
        key: `${size}steps_${key}`,
        answer: 'A',
        'knowledge concept': null,
      });
      return mark === '-' ? [] : [withHit(row, mark === 'T' ? 1 : 0)];
    }),
  );
}

const groups = (patterns: Readonly<Record<string, number>>): ScoredRow[] =>
  Object.entries(patterns).flatMap(([pattern, count]) => groupRows(pattern, count));

describe('reading answers', () => {
  it.each([
    ['<Thought process>: <<count cubes>> <Answer>: <<D>>', 'D', null],
    ['The correct choice is B', null, 'B'],
    ['Answer: (B)', null, 'B'],
    ['Counting gives 5', 'C', null],
  ])('%j is %j without a judge, %j before one', (text, direct, early) => {
    expect(scoreOf('WeMath', CUBES, text).result).toBe(direct);
    const withJudge = scoreItem('WeMath', CUBES, text, { era: 'head', replies: [] });
    expect(withJudge.state === 'ask' ? null : withJudge.result).toBe(early);
  });

  it('reads directly what follows the last Answer, marks taken off, A to H only', () => {
    const direct = (text: Cell): string | null => scoreOf('WeMath', CUBES, text).result;
    expect(direct('Answer: A. No, Answer :. <H>')).toBe('H');
    expect(direct('answer: A')).toBeNull();
    expect(direct('I')).toBeNull();
    expect(direct('Answer')).toBeNull();
    expect(direct(':\x85 .B')).toBe('B');
    expect(direct('\u{1d400}')).toBeNull();
  });

  it('scores a missing prediction as wrong and counts it', () => {
    expect(scoreOf('WeMath', CUBES, 'NA')).toEqual({
      state: 'scored',
      result: null,
      score: 0,
      settled: 'none',
      missing: true,
    });
  });

  it('asks the judge in its own words, without a question mark and the template', () => {
    const template =
      'Regarding the format, please answer following the template below, and be sure to include ' +
      'two <> symbols:\n<Thought process>: <<your thought process>> <Answer>: <<your option>>';
    const row = makeRow({ ...CUBES, question: `How many${template}` });
    const { prompt } = questionOf('WeMath', row, 'hm', { era: 'head', replies: [] });
    expect(prompt).toContain('<start>\nHow many\nOptions: There are several options: \nA. 3\n');
    expect(prompt.endsWith('\n<end>\nAnswer: <start>\nhm\n<end>\nYour output: ')).toBe(true);
    const settled = scoreOf('WeMath', CUBES, 'hm', { era: 'head', replies: ['C'] });
    expect(settled).toMatchObject({ result: 'C', score: 1, settled: 'judge' });
  });
});

describe('classes and scores', () => {
  const whole = groups({
    TTT: 150,
    TTF: 30,
    TFT: 60,
    FFT: 20,
    FFF: 100,
    TTTT: 50,
    TTTF: 15,
    FTTT: 30,
    FFFT: 10,
    TFFF: 60,
  });

  it('are those of the worked example of a whole table', () => {
    const figures = figuresOf('WeMath', whole);
    expect([...figures].slice(0, 10)).toEqual([
      ['Score (Strict)', '42.38%'],
      ['InsufficientKnowledge (Strict)', '30.48% (160)'],
      ['InadequateGeneralization (Strict)', '8.57% (45)'],
      ['CompleteMastery (Strict)', '38.10% (200)'],
      ['RoteMemorization (Strict)', '37.50% (120)'],
      ['Score (Loose)', '59.52%'],
      ['InsufficientKnowledge (Loose)', '30.48% (160)'],
      ['InadequateGeneralization (Loose)', '8.57% (45)'],
      ['CompleteMastery (Loose)', '55.24% (290)'],
      ['RoteMemorization (Loose)', '9.38% (30)'],
    ]);
    const headlines = headlinesOf(aggregate('WeMath', whole, 'head'));
    expect(headlines['WeMath-S']).toBeCloseTo(42.38095238095238, 12);
    expect(headlines['WeMath-L']).toBeCloseTo(59.52380952380952, 12);
  });

  it('are those of the worked example of a partial table', () => {
    const partial = groups({ TTT: 2, TTF: 1, TFT: 1, FFF: 1, TFTT: 1, FFFT: 1 });
    const figures = figuresOf('WeMath', partial);
    expect(figures.get('Score (Strict)')).toBe('99.14%');
    expect(figures.get('Score (Loose)')).toBe('99.52%');
  });

  it('leave unknown partners out: neither right nor wrong', () => {
    const figures = figuresOf('WeMath', groups({ 'T-T': 1, 'F-T': 1, 'TT-': 1, '-TT': 1 }));
    expect(figures.get('CompleteMastery (Strict)')).toBe('0.00% (0)');
    expect(figures.get('CompleteMastery (Loose)')).toBe('0.19% (1)');
    expect(figures.get('RoteMemorization (Strict)')).toBe('100.00% (1)');
    expect(figures.get('RoteMemorization (Loose)')).toBe('0.00% (0)');
    expect(figures.get('One-step(S1)')).toBe('75.00%');
    expect(figures.get('Two-step(S2)')).toBe('100.00%');
    expect(figures.get('Three-step(S3)')).toBe('nan%');
  });

  it('have no rate of rote memorization when no composite was solved', () => {
    const figures = figuresOf('WeMath', groups({ TTF: 1 }));
    expect(figures.get('RoteMemorization (Strict)')).toBeNull();
    expect(figures.get('RoteMemorization (Loose)')).toBeNull();
    expect(figures.get('Score (Strict)')).toBe('99.90%');
  });

  it('multiply groups by steps that are there twice, as a left join does', () => {
    const twice = [...groupRows('TTT', 1), ...groupRows('TTT', 1)];
    // Two first steps, two second ones, two composites.
    expect(figuresOf('WeMath', twice).get('CompleteMastery (Strict)')).toBe('1.52% (8)');
    const hostile = Array.from({ length: 200 }, () => groupRows('TTTT', 1)).flat();
    expect(() => aggregate('WeMath', hostile, 'head')).toThrow(DataError);
  });

  it('keep problems of two and of three steps apart', () => {
    const rows = [...groupRows('TTT', 1), ...groupRows('FFFT', 1)];
    const figures = figuresOf('WeMath', rows);
    expect(figures.get('CompleteMastery (Strict)')).toBe('0.19% (1)');
    const [first, , , other] = rows;
    const { cluster } = BENCHMARKS.WeMath;
    expect(cluster(first?.row ?? {})).not.toBe(cluster(other?.row ?? {}));
  });

  it('ignore keys they do not know and refuse a missing one', () => {
    const odd = withHit(makeRow({ index: 5n, ID: 1n, key: '4steps_1', answer: 'A' }), 1);
    expect(figuresOf('WeMath', [odd]).get('One-step(S1)')).toBe('nan%');
    const bad = withHit(makeRow({ index: 5n, ID: 1n, key: null, answer: 'A' }), 1);
    expect(() => aggregate('WeMath', [bad], 'head')).toThrow('row 5');
  });
});

describe('knowledge concepts', () => {
  it('are averaged by concept, then by area', () => {
    const step = (problem: number, key: string, concept: string, hit: 0 | 1): ScoredRow =>
      withHit(
        makeRow({ index: 1n, ID: problem, key, answer: 'A', 'knowledge concept': concept }),
        hit,
      );
    const figures = figuresOf('WeMath', [
      step(1, '2steps_1', 'Axial Symmetry', 1),
      step(1, '2steps_2', 'Translation', 0),
      step(2, '2steps_1', 'Translation', 1),
      step(2, '2steps_2', 'no such concept', 1),
    ]);
    expect(figures.get('Basic Transformations of Figures')).toBe('75.00%');
    expect(figures.get('Direction')).toBe('nan%');
    expect([...figures.keys()].slice(10)).toEqual([
      'One-step(S1)',
      'Two-step(S2)',
      'Three-step(S3)',
      'Understanding and Conversion of Units',
      'Angles and Length',
      'Calculation of Plane Figures',
      'Understanding of Plane Figures',
      'Calculation of Solid Figures',
      'Understanding of Solid Figures',
      'Basic Transformations of Figures',
      'Cutting and Combining of Figures',
      'Direction',
      'Position',
      'Route Map',
      'Correspondence of Coordinates and Positions',
    ]);
  });
});

describe('the mean of an area halfway between two texts', () => {
  /** Rows right of 20 for each concept of the area: 0.50625 but for the last bit of the sum. */
  const HITS = {
    'Expanded View of Cylinders': 20,
    'Expanded View of Rectangular Cuboids': 12,
    'Expanded View of Cubes': 6,
    'Properties of Cylinders': 3,
    'Properties of Cones': 15,
    'Properties and Understanding of Rectangular Cuboids': 0,
    'Properties and Understanding of Cubes': 12,
    'Observing Objects': 13,
  };
  const steps = Object.entries(HITS).flatMap(([concept, hits]) =>
    Array.from({ length: 20 }, (_, i) => ({
      concept,
      hit: i < hits ? (1 as const) : (0 as const),
    })),
  );
  const rows = steps.map(({ concept, hit }, i) =>
    withHit(
      makeRow({
        index: BigInt(i),
        ID: Math.floor(i / 2),
        key: `2steps_${(i % 2) + 1}`,
        answer: 'A',
        'knowledge concept': concept,
      }),
      hit,
    ),
  );
  const mean = (scored: readonly ScoredRow[]): unknown =>
    figuresOf('WeMath', scored).get('Understanding of Solid Figures');

  it('falls as the compensated sum of pandas does', () => {
    expect(mean(rows)).toBe('50.62%');
  });

  it('falls as the plain sum does where a step is missing anywhere', () => {
    expect(mean([...rows, ...groupRows('F---', 1)])).toBe('50.63%');
  });
});

describe('columns', () => {
  it('are lower-cased, ID apart', () => {
    const { prepareRow } = BENCHMARKS.WeMath;
    const spelled: Row = makeRow({ Index: 1n, ID: 'p', Key: '2steps_1', A: 'x' });
    expect({ ...prepareRow(spelled) }).toEqual({ index: 1n, ID: 'p', key: '2steps_1', A: 'x' });
    const plain = makeRow({ index: 1n, A: 'x' });
    expect(prepareRow(plain)).toBe(plain);
  });
});
