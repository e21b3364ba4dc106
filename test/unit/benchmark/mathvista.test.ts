// Owns the tests of MathVista: prefetch, the judge's ladder, comparison, report.
import { describe, expect, it } from 'vitest';
import { BENCHMARKS, aggregate, scoreItem } from '../../../src/benchmark/benchmarks.ts';
import type { Cell, JudgeReply, Row } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import {
  figuresOf,
  headlinesOf,
  makeRow,
  questionOf,
  scoreOf,
} from '../../helpers/benchmark-rows.ts';

const NAME = 'MathVista_MINI';

const free = (type: string, answer: Cell): Row =>
  makeRow({ index: 1n, question: 'q', question_type: 'free_form', answer_type: type, answer });
const ANGLES = makeRow({
  index: 2n,
  question: 'q',
  question_type: 'multi_choice',
  answer_type: 'text',
  choices: "['35°', '70°', '110°', '145°']",
  answer_option: 'C',
  answer: '110°',
});

/** Score with one reply of the judge, if it gets that far. */
function judged(row: Row, prediction: Cell, reply: JudgeReply): [string, 0 | 1, string | null] {
  const score = scoreOf(NAME, row, prediction, { era: 'head', replies: [reply] });
  return [score.settled, score.score, score.result];
}

describe('the worked examples', () => {
  it.each([
    ['integer', '19', '19', 'unasked', 'prefetch', 1],
    ['integer', '19', 'It shows 19 birds', '19', 'judge', 1],
    ['integer', '19', '19.0', '19.0', 'judge', 0],
    ['float', '0.6', '0.60', 'unasked', 'prefetch', 1],
    ['list', '[2, 4]', '[2, 4]', '[2, 4]', 'judge', 0],
  ])('%s %s: %j (%j) is settled by %s: %s', (type, answer, prediction, reply, settled, score) => {
    expect(judged(free(type, answer), prediction, reply).slice(0, 2)).toEqual([settled, score]);
  });

  it('choices: the angle with its sign is prefetched, without it even the judge fails', () => {
    expect(judged(ANGLES, '∠ABC = 110°', 'unasked')).toEqual(['prefetch', 1, 'C']);
    expect(judged(ANGLES, '145', '145')).toEqual(['judge', 0, '145']);
  });
});

describe('prefetching', () => {
  it('takes any letter of a choice, also Z and a wrong one', () => {
    expect(judged(ANGLES, 'Cannot determine the answer', 'C')).toEqual(['prefetch', 0, 'Z']);
    expect(judged(ANGLES, 'A', 'C')).toEqual(['prefetch', 0, 'A']);
  });

  it('follows the era', () => {
    const text = 'The answer is C. It follows from the sum of the three angles of a triangle';
    expect(scoreOf(NAME, ANGLES, text, { era: 'head' }).settled).toBe('prefetch');
    expect(scoreOf(NAME, ANGLES, text, { era: 'paper' }).settled).toBe('none');
  });

  it('never takes zero', () => {
    expect(judged(free('integer', '0'), '0', '0')).toEqual(['judge', 1, '0']);
    expect(judged(free('float', '0.0'), '0', '0')).toEqual(['judge', 1, '0']);
  });

  it('takes numbers that equal the reference only', () => {
    expect(judged(free('integer', '5.0'), '5', '5')).toEqual(['judge', 0, '5']);
    expect(judged(free('integer', '19'), '20', '19')).toEqual(['judge', 1, '19']);
    expect(judged(free('integer', '9007199254740993'), '9007199254740992', 'x')[1]).toBe(0);
    expect(judged(free('float', 'nan'), 'nan', 'nan')[1]).toBe(0);
    expect(judged(free('float', '1e1'), '10', 'x')).toEqual(['prefetch', 1, '10.0']);
  });

  it('turns cells that pandas made numbers into the type of the answer', () => {
    expect(judged(free('integer', 19n), 19.7, 'x')).toEqual(['prefetch', 1, '19']);
    expect(judged(free('integer', 19.2), '19', 'x')).toEqual(['prefetch', 1, '19']);
    expect(judged(free('integer', true), '1', 'x')).toEqual(['prefetch', 1, '1']);
    expect(judged(free('integer', Infinity), '1', 'x')[1]).toBe(0);
    expect(judged(free('float', 5n), '5', 'x')).toEqual(['prefetch', 1, '5.0']);
    expect(judged(free('float', null), null, 'nan')[1]).toBe(0);
  });

  it('compares answers of other types with the constant None', () => {
    expect(judged(free('text', 'None'), 'anything', 'x')).toEqual(['prefetch', 1, 'None']);
    expect(judged(free('list', null), '[1]', '[1]')[1]).toBe(0);
  });
});

describe('the judge', () => {
  it('is asked up to five times, ever warmer, for 128 tokens', () => {
    const row = free('integer', '19');
    const replies: JudgeReply[] = [];
    for (const temperature of [0, 0.5, 1, 1.5, 2]) {
      const question = questionOf(NAME, row, 'many', { era: 'head', replies });
      expect(question).toMatchObject({ temperature, maxTokens: 128, attempt: replies.length });
      replies.push(replies.length === 2 ? 'Failed to obtain answer via API. 19' : null);
    }
    expect(scoreOf(NAME, row, 'many', { era: 'head', replies })).toEqual({
      state: 'scored',
      result: null,
      score: 0,
      settled: 'judge',
      missing: false,
    });
  });

  it('gives the first reply that did not fail, whole', () => {
    const replies = [null, 'The answer: 19', '19'];
    const score = scoreOf(NAME, free('integer', '19'), 'many', { era: 'head', replies });
    expect(score).toMatchObject({ result: 'The answer: 19', score: 0 });
    expect(judged(free('integer', '19'), 'many', ' 19\n')).toEqual(['judge', 1, ' 19\n']);
    expect(judged(free('integer', '19'), 'x', 'Failed to obtain answer via API')[0]).toBe('judge');
  });

  it('gives letters that go through the rules of choices again', () => {
    expect(judged(ANGLES, 'obtuse', 'C')).toEqual(['judge', 1, 'C']);
    expect(judged(ANGLES, 'obtuse', '110°')).toEqual(['judge', 1, '110°']);
    expect(judged(ANGLES, 'obtuse', 'hm')).toEqual(['judge', 0, 'hm']);
  });

  it('gives replies that a file turns into a missing cell, which then reads nan', () => {
    const row = makeRow({ ...ANGLES, choices: "['x', 'an']", answer_option: 'B' });
    expect(judged(row, 'hm', 'NULL')).toEqual(['judge', 1, 'NULL']);
  });

  it('has no verdict in exact mode: a lower bound', () => {
    const score = scoreOf(NAME, free('integer', '19'), 'many');
    expect(score).toMatchObject({ result: null, score: 0, settled: 'none' });
  });
});

describe('cells', () => {
  it.each(["['a', 'b'", 'a, b', '5', "[['a']]", null])('refuses the choices %j', (choices) => {
    const row = makeRow({ ...ANGLES, index: 9n, choices });
    expect(() => scoreItem(NAME, row, 'C', { era: 'head' })).toThrow(DataError);
    expect(() => scoreItem(NAME, row, 'C', { era: 'head' })).toThrow('row 9');
  });

  it('reads choices that are numbers as Python prints them', () => {
    const row = makeRow({ ...ANGLES, choices: '[1, 2.50, None, True]', answer_option: 'B' });
    expect(judged(row, '2.5', 'x')).toEqual(['prefetch', 1, 'B']);
    expect(judged(row, 'true', 'x')).toEqual(['prefetch', 0, 'D']);
  });
});

describe('the report', () => {
  const rowOf = (index: number, task: Cell, skills: Cell): Row =>
    makeRow({ ...free('integer', '19'), index: BigInt(index), task, skills });
  const scoresOf = (rows: readonly Row[], predictions: readonly string[]) =>
    rows.map((row, i) => ({ row, score: scoreOf(NAME, row, predictions[i] ?? null) }));

  it('counts Overall, each skill and each task, in the order they appear', () => {
    const rows = [
      rowOf(1, 'VQA', "['arithmetic', 'geometry']"),
      rowOf(2, 'figure QA', 'statistical reasoning'),
      rowOf(3, 'VQA', "('geometry',)"),
    ];
    const scored = scoresOf(rows, ['19', 'x', '19']);
    const figures = figuresOf(NAME, scored);
    expect([...figures.keys()].filter((name) => name.endsWith('/acc'))).toEqual([
      'Overall/acc',
      'arithmetic/acc',
      'geometry/acc',
      'VQA/acc',
      'statistical reasoning/acc',
      'figure QA/acc',
    ]);
    expect([...figures].slice(0, 5)).toEqual([
      ['Overall/tot', 3],
      ['Overall/prefetch', 2],
      ['Overall/hit', 2],
      ['Overall/prefetch_rate', (2 / 3) * 100],
      ['Overall/acc', (2 / 3) * 100],
    ]);
    expect(figures.get('geometry/tot')).toBe(2);
    const whole = aggregate(NAME, scored, 'head');
    expect(headlinesOf(whole)).toEqual({ Overall: (2 / 3) * 100 });
    expect(whole.isLowerBound).toBe(true);
  });

  it('adds a row to a name as often as it is listed, Overall included', () => {
    const rows = [rowOf(1, 'Overall', "['x', 'x', 'Overall']")];
    const figures = figuresOf(NAME, scoresOf(rows, ['19']));
    expect(figures.get('Overall/tot')).toBe(3);
    expect(figures.get('x/tot')).toBe(2);
    expect(headlinesOf(aggregate(NAME, scoresOf(rows, ['19']), 'head'))).toEqual({ Overall: 100 });
  });

  it('takes a quoted text letter by letter and names missing tasks nan, as the reference does', () => {
    const figures = figuresOf(NAME, scoresOf([rowOf(1, null, "'ab'")], ['19']));
    expect([...figures.keys()].filter((name) => name.endsWith('/tot'))).toEqual([
      'Overall/tot',
      'a/tot',
      'b/tot',
      'nan/tot',
    ]);
  });

  it.each(['5', "[['a']]", null, 7])('refuses the skills %j', (skills) => {
    const scored = scoresOf([rowOf(8, 'VQA', skills)], ['19']);
    expect(() => aggregate(NAME, scored, 'head')).toThrow('row 8');
  });

  it('is no lower bound once the judge answered, or failed, wherever it was asked', () => {
    const row = rowOf(1, 'VQA', "['x']");
    const replies = [null, null, null, null, null];
    const score = scoreOf(NAME, row, 'many', { era: 'head', replies });
    expect(aggregate(NAME, [{ row, score }], 'head').isLowerBound).toBe(false);
    expect(BENCHMARKS[NAME].judge).toBe('needed');
  });

  it('has no Overall without rows', () => {
    expect(headlinesOf(aggregate(NAME, [], 'head'))).toEqual({ Overall: null });
  });
});
