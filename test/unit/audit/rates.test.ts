// Holds rates with intervals against values worked out by hand.
import { describe, expect, it } from 'vitest';
import {
  groupByTask,
  hit,
  isAnswer,
  labelOf,
  measuredMean,
  measuredOf,
  measuredShare,
  percent,
  withInterval,
} from '../../../src/audit/rates.ts';
import { Rng } from '../../../src/rng.ts';

describe('a mean of observations', () => {
  it('resamples questions, not observations', () => {
    const two = [hit('a', true), hit('a', true), hit('b', false), hit('b', false)];
    expect(measuredMean(two, new Rng(1))).toEqual({ value: 0.5, low: 0, high: 1 });
    expect(measuredMean([], new Rng(1))).toBeNull();
  });
});

describe('a share', () => {
  it('has an interval of some width also where all say the same', () => {
    const twenty = Array.from({ length: 20 }, (_, i) => hit(`${i}`, true));
    const all = measuredShare(twenty, new Rng(1));
    expect(all?.value).toBe(1);
    expect(all?.low).toBeCloseTo(0.8389, 4);
    expect(all?.high).toBe(1);
    const none = measuredShare(
      twenty.map(({ cluster }) => hit(cluster, false)),
      new Rng(1),
    );
    expect(none?.low).toBe(0);
    expect(none?.high).toBeCloseTo(0.1611, 4);
  });

  it('counts questions, not observations, where all say the same', () => {
    const one = Array.from({ length: 20 }, () => hit('a', true));
    // One question: z^2 = 3.84, 1 / (1 + 3.84) = 0.2065.
    expect(measuredShare(one, new Rng(1))?.low).toBeCloseTo(0.2065, 4);
    expect(measuredShare([], new Rng(1))).toBeNull();
  });
});

describe('words of tables', () => {
  it('group by task, with all of them first where there are several', () => {
    const records = [{ task: 'b' }, { task: '' }, { task: 'b' }];
    expect(groupByTask(records).map(({ label, records: own }) => [label, own.length])).toEqual([
      ['all', 3],
      ['b', 2],
      ['(no task)', 1],
    ]);
    expect(groupByTask(records.slice(2)).map(({ label }) => label)).toEqual(['b']);
    expect(groupByTask([])).toEqual([{ label: 'all', records: [] }]);
  });

  it('compare answers by the rule that scores them', () => {
    expect(isAnswer(' Two ', 'two')).toBe(true);
    expect(isAnswer('three', 'two')).toBe(false);
    expect(isAnswer(null, 'two')).toBe(false);
  });

  it('write numbers and read cells', () => {
    expect(percent({ value: 0.1234, low: 0, high: 1 })).toBe('12.3 %');
    expect(percent(null)).toBe('-');
    expect(withInterval({ value: 1.23456, low: 1, high: 1234.5 })).toBe('1.23 (1 to 1230)');
    const row = { a: { value: 1, low: 0, high: 2 }, b: 3, c: null };
    expect(measuredOf(row, 'a')).toEqual(row.a);
    expect([measuredOf(row, 'b'), measuredOf(row, 'c'), measuredOf(undefined, 'a')]).toEqual([
      ...[null, null, null],
    ]);
    expect([labelOf(row.b), labelOf(row.c), labelOf('x')]).toEqual(['3', '', 'x']);
  });
});
