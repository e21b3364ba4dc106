// Owns the tests of thinking removal, latency and the averages of the tables.
import { describe, expect, it } from 'vitest';
import { AVERAGE_MEMBERS, summarizeSeeds, tableAverages } from '../../../src/benchmark/averages.ts';
import { summarizeLatency } from '../../../src/benchmark/latency.ts';
import { splitThinking, unwrapAnswer } from '../../../src/benchmark/thinking.ts';
import type { Figures } from '../../../src/benchmark/types.ts';
import { ConfigError } from '../../../src/errors.ts';

describe('splitThinking', () => {
  it.each([
    ['no tags', null, 'no tags'],
    ['<think> never closed', null, '<think> never closed'],
    ['<think> a </think> b ', 'a', 'b'],
    ['x <think> a <think> b </think> c', 'a', 'c'],
    ['a </think> b', 'a </think>', 'b'],
    ['<think>a</think>b</think>\x85c', '<think>a</think>b</think>', 'c'],
    ['<think></think>', '', ''],
    ['a </think> <think> b', 'a </think>', '<think> b'],
    ['<THINK>a</think >b', null, '<THINK>a</think >b'],
  ])('takes %j apart', (text, thinking, answer) => {
    expect(splitThinking(text)).toEqual({ thinking, answer });
  });
});

describe('unwrapAnswer', () => {
  it.each([
    ['<answer> D </answer>', 'D'],
    [' <answer>\nD</answer>\n', 'D'],
    ['<answer></answer>', ''],
    ['<answer><answer>D</answer></answer>', '<answer>D</answer>'],
    ['It is <answer>D</answer>', 'It is <answer>D</answer>'],
    ['<answer>D', '<answer>D'],
    [' D ', ' D '],
    ['<answer>', '<answer>'],
  ])('turns %j into %j', (text, answer) => {
    expect(unwrapAnswer(text)).toBe(answer);
  });

  it('follows splitThinking in a response of GAP', () => {
    const text = '<think> i look </think> <answer> 3 </answer>';
    expect(unwrapAnswer(splitThinking(text).answer)).toBe('3');
  });
});

describe('summarizeLatency', () => {
  it('is that of the worked example, whatever the order', () => {
    const summary = { n: 5, meanS: 6.2, p50S: 4, p90S: 12.8 };
    expect(summarizeLatency([1, 2, 4, 8, 16])).toEqual(summary);
    expect(summarizeLatency([16, 1, 8, 4, 2])).toEqual(summary);
  });

  it('interpolates between two, and keeps one', () => {
    expect(summarizeLatency([1, 2])).toEqual({ n: 2, meanS: 1.5, p50S: 1.5, p90S: 1.9 });
    expect(summarizeLatency([3])).toEqual({ n: 1, meanS: 3, p50S: 3, p90S: 3 });
  });

  it('has no figures without latencies', () => {
    expect(summarizeLatency([])).toEqual({ n: 0, meanS: null, p50S: null, p90S: null });
  });
});

describe('tableAverages', () => {
  const one = (
    benchmark: Figures['benchmark'],
    headlines: Readonly<Record<string, number | null>>,
  ): Pick<Figures, 'benchmark' | 'headlines'> => ({
    benchmark,
    headlines: Object.entries(headlines).map(([name, percent]) => ({ name, percent })),
  });
  const gap = [
    one('HRBench4K', { Overall: 73.25, FSP: 86.5, FCP: 60 }),
    one('MMStar', { Overall: 63.4 }),
    one('MME-RealWorld-Lite', { Overall: 47.31 }),
    one('MathVista_MINI', { Overall: 71 }),
    one('WeMath', { 'WeMath-S': 36.33, 'WeMath-L': 54.57 }),
    one('POPE', { Overall: 86.3 }),
  ];

  it('gives the averages of the GAP row', () => {
    const averages = tableAverages(gap);
    expect(averages['Avg-P']?.toFixed(2)).toBe('61.32');
    expect(averages['Avg-R']?.toFixed(2)).toBe('53.97');
    expect(averages['Avg-2']).toBe((73.25 + 71) / 2);
    expect(averages['Avg-3']).toBeCloseTo((73.25 + 63.4 + 71) / 3, 12);
  });

  it('has no average without one of its members, or with one that is not defined', () => {
    expect(tableAverages(gap.slice(1))).toMatchObject({ 'Avg-P': null, 'Avg-2': null });
    const undefinedScore = [...gap.slice(0, 4), one('WeMath', { 'WeMath-S': null, 'WeMath-L': 1 })];
    expect(tableAverages(undefinedScore)['Avg-R']).toBeNull();
    expect(tableAverages(undefinedScore)['Avg-P']).not.toBeNull();
  });

  it('refuses a benchmark that is there twice', () => {
    expect(() => tableAverages([...gap, ...gap.slice(1, 2)])).toThrow(ConfigError);
  });

  it('names members that benchmarks have', () => {
    const names = gap.flatMap(({ benchmark, headlines }) =>
      headlines.map(({ name }) => `${benchmark}/${name}`),
    );
    for (const members of Object.values(AVERAGE_MEMBERS))
      for (const member of members)
        expect(names).toContain(`${member.benchmark}/${member.headline}`);
  });
});

describe('summarizeSeeds', () => {
  it('divides by n - 1', () => {
    const { n, mean, std } = summarizeSeeds([72.0, 73.5, 74.25]);
    expect(n).toBe(3);
    expect(mean).toBeCloseTo(73.25, 12);
    expect(std).toBeCloseTo(Math.sqrt((1.25 ** 2 + 0.25 ** 2 + 1) / 2), 12);
  });

  it('has no spread of one seed, and nothing of none', () => {
    expect(summarizeSeeds([5])).toEqual({ n: 1, mean: 5, std: null });
    expect(summarizeSeeds([])).toEqual({ n: 0, mean: null, std: null });
  });
});
