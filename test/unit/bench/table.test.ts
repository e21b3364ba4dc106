// Owns the tests that the table of speed says met only where every value keeps its goal.
import { describe, expect, it } from 'vitest';
import { besides } from '../../../bench/sides/rounds.ts';
import type { Figure, SideResults } from '../../../bench/sides/rounds.ts';
import { tableLines } from '../../../bench/table/lines.ts';
import type { Kept, Line } from '../../../bench/table/lines.ts';
import { speedTable, verdict } from '../../../bench/table/render.ts';

const figure = (name: string, variant: string, threads: number, ms: number): Figure => ({
  ...{ case: name, variant, threads, ms },
  ...{ raw: [[ms]], loads: [0] },
});
const machine = { cpu: 'a processor', cores: 2, startLoad: 0.1 };
const kept = (bench: keyof Kept, results: readonly Figure[], more: object = {}): Kept => ({
  [bench]: { bench, machine, results, ...more } satisfies SideResults,
});
const lineOf = (all: Kept, work: string): Line => {
  const found = tableLines(all).find((line) => line.work === work);
  if (!found) throw new Error(`there is no line ${work}`);
  return found;
};

describe('the table of speed', () => {
  it('calls a goal met, met in part, missed, or not measured', () => {
    const line = (values: readonly number[]): Line => ({
      ...{ work: '', shapes: '', against: '', values },
      goal: { kind: 'at least', bound: 2, unit: 'x' },
    });
    const atMost: Line = { ...line([1, 2]), goal: { kind: 'at most', bound: 2, unit: 'ms' } };
    expect([[2, 3], [1.99, 3], [1], []].map((values) => verdict(line(values)))).toEqual([
      ...['met', 'in part', 'missed', 'not measured'],
    ]);
    expect(verdict(atMost)).toBe('met');
    expect(verdict({ ...atMost, values: [2.5] })).toBe('missed');
  });

  it('shows every line before anything was measured', () => {
    const lines = tableLines({});
    expect(lines.length).toBeGreaterThan(20);
    expect(new Set(lines.map(verdict))).toEqual(new Set(['not measured']));
    expect(speedTable({})).toContain(`${lines.length} not measured`);
  });

  it('holds ours against the fastest other side of the same case and threads', () => {
    const results = [
      figure('new', 'ours', 1, 10),
      figure('new', 'rust loop', 1, 30),
      figure('new', 'rust batch', 1, 20),
      figure('new', 'rust batch', 2, 5),
    ];
    expect(besides(results)).toMatchObject([{ ratio: 2, peer: { variant: 'rust batch' } }]);
    expect(lineOf(kept('tokenize', results), 'tokenizing').values).toEqual([2]);
  });

  it('compares capacity sampling at the batch that suits each side best', () => {
    const results = [
      figure('1', 'ours', 2, 40),
      figure('32', 'ours', 2, 10),
      figure('1', 'generate', 2, 60),
      figure('32', 'generate', 2, 80),
    ];
    expect(lineOf(kept('capacity', results), 'capacity scoring').values).toEqual([6]);
  });

  it('calls memory flat by the largest peak over the smallest', () => {
    const growth = [
      { rows: 8192, dim: 1024, peakBytes: 100 },
      { rows: 524288, dim: 1024, peakBytes: 105 },
    ];
    const line = lineOf(kept('pca', [], { totals: [], growth }), 'its memory against N');
    expect(line.values).toEqual([1.05]);
    expect(verdict(line)).toBe('met');
  });

  it('calls figures provisional that were measured beside other work', () => {
    const idle = kept('start', [figure('help', 'ours', 1, 90)]);
    expect(speedTable(idle)).not.toContain('Provisional');
    expect(speedTable(idle)).toContain('| <= 150 ms |  | 90 ms | met |');
    const busy: Kept = {
      ...idle,
      whole: { bench: 'whole', machine: { ...machine, startLoad: 3 }, results: [] },
    };
    expect(speedTable(busy)).toContain('Provisional, measured beside other work (load): whole 3.0');
  });
});
