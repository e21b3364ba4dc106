// Owns the tests of MME-RealWorld-Lite: extraction in both eras, report.
import { describe, expect, it } from 'vitest';
import { aggregate, scoreItem } from '../../../src/benchmark/benchmarks.ts';
import type { Era, Row } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import { figuresOf, headlinesOf, makeRow, scoreOf, withHit } from '../../helpers/benchmark-rows.ts';

const NAME = 'MME-RealWorld-Lite';

function extracted(text: string | null, era: Era = 'head'): string | null {
  return scoreOf(NAME, makeRow({ index: 1n, answer: 'D' }), text, { era }).result;
}

describe('extraction', () => {
  it.each([
    ['The answer is D.', 'D', 'D'],
    ['Answer: C', 'A', 'A'],
    ['The answer', 'A', 'A'],
    ['The best answer is b', null, null],
    ['<answer>c) van</answer>', 'C', 'C'],
    ['Best option: E', 'E', 'B'],
  ])('reads %j as %j in head and %j in paper', (text, head, paper) => {
    expect(extracted(text, 'head')).toBe(head);
    expect(extracted(text, 'paper')).toBe(paper);
  });

  it('joins the last four prefixes to two in paper', () => {
    expect(extracted('The best option isThe correct option is D', 'paper')).toBe('D');
    expect(extracted('Best answer:Best option:D', 'paper')).toBe('D');
    expect(extracted('Best answer: D', 'paper')).toBe('B');
    expect(extracted('Best answer: D', 'head')).toBe('D');
  });

  it('takes the first answer pair, over several lines, and trims and upper-cases it', () => {
    expect(extracted('B <answer>\n d\n</answer> <answer>a</answer>')).toBe('D');
    expect(extracted('<answer> <answer> e </answer>')).toBe('A');
    expect(extracted('<Answer>d</Answer>')).toBe('A');
    expect(extracted('</answer>d<answer>')).toBeNull();
    expect(extracted('<answer>\u1e9a</answer>')).toBe('A');
  });

  it('rejects more than ten words without a capital', () => {
    const words = 'x '.repeat(10).trim();
    expect(extracted(words)).toBeNull();
    expect(extracted(`${words} x`)).toBeNull();
    expect(extracted(`${words} x Dx`)).toBe('D');
  });

  it.each([
    ['b', 'B'],
    ['(c', 'C'],
    ['e)', 'E'],
    ['(', 'A'],
    [')', 'A'],
    [' \n', 'A'],
    ['ab', null],
    ['The answer is d', null],
    ['The answer isd', 'D'],
  ])('reads the small rest of %j as %j', (text, result) => {
    expect(extracted(text)).toBe(result);
  });

  it('scores a missing prediction as wrong and counts it', () => {
    const row = makeRow({ index: 1n, answer: 'A' });
    for (const prediction of [null, '', 'NA', 'nan']) {
      expect(scoreOf(NAME, row, prediction)).toEqual({
        state: 'scored',
        result: null,
        score: 0,
        settled: 'none',
        missing: true,
      });
    }
  });

  it('never asks a judge', () => {
    const score = scoreItem(NAME, makeRow({ index: 1n, answer: 'A' }), 'hm', {
      era: 'head',
      replies: [],
    });
    expect(score).toMatchObject({ state: 'scored', settled: 'none' });
  });
});

describe('the report', () => {
  const row = (category: string, kind: string): Row =>
    makeRow({ index: 1n, category, 'l2-category': kind });

  it('averages over rows as in the worked example', () => {
    const rows = [
      withHit(row('Perception/Remote Sensing', 'count'), 1),
      withHit(row('Perception/Remote Sensing', 'count'), 0),
      withHit(row('Perception/Monitoring', 'count'), 1),
      withHit(row('Reasoning/Monitoring', 'count'), 0),
    ];
    const figures = figuresOf(NAME, rows);
    expect(figures.get('Overall')).toBe(0.5);
    expect(figures.get('Perception/Avg')).toBe(2 / 3);
    expect(figures.get('Reasoning/Avg')).toBe(0);
    expect(headlinesOf(aggregate(NAME, rows, 'head'))).toEqual({
      Overall: 50,
      Reasoning: 0,
      Perception: (2 / 3) * 100,
    });
  });

  it('lists tasks, subtasks and kinds in the order of the reference', () => {
    const rows = [
      withHit(row('Reasoning/Monitoring/x', 'Person/Attribute/Color'), 1),
      withHit(row('Reasoning/Monitoring', 'COUNT'), 1),
      withHit(row('Reasoning/Monitoring', 'person/ATTRIBUTE'), 0),
    ];
    const figures = [...figuresOf(NAME, rows)];
    expect(figures.slice(0, 5)).toEqual([
      ['Overall', 2 / 3],
      ['Reasoning/Monitoring/person/attribute', 0.5],
      ['Reasoning/Monitoring/count', 1],
      ['Reasoning/Monitoring/Avg', 2 / 3],
      ['Reasoning/Autonomous_Driving/Avg', 0],
    ]);
    expect(figures.slice(-2)).toEqual([
      ['Perception/Remote Sensing/Avg', 0],
      ['Perception/Avg', 0],
    ]);
    const { Perception, Overall } = headlinesOf(aggregate(NAME, rows, 'head'));
    expect(Perception).toBeNull();
    expect(Overall).toBe((2 / 3) * 100);
  });

  it.each([
    ['Perception/Cooking', 'x'],
    ['Cooking/Monitoring', 'x'],
    ['Perception', 'x'],
    [null, 'x'],
    ['Perception/Monitoring', null],
  ])('refuses the category %j with the kind %j and names the row', (category, kind) => {
    const bad = makeRow({ index: 77n, category, 'l2-category': kind });
    expect(() => aggregate(NAME, [withHit(bad, 1)], 'head')).toThrow(DataError);
    expect(() => aggregate(NAME, [withHit(bad, 1)], 'head')).toThrow('row 77');
  });

  it('has no Overall without rows', () => {
    expect(figuresOf(NAME, []).get('Overall')).toBeNull();
  });
});
