// Owns the checks of the paper's tables with rows of ours, as values and as text.
import { describe, expect, it } from 'vitest';
import { contendersOf } from '../../../../src/benchmark/results/contenders.ts';
import { fillTable } from '../../../../src/benchmark/results/paper-tables.ts';
import type { FilledRow } from '../../../../src/benchmark/results/paper-tables.ts';
import type { TableNumber } from '../../../../src/benchmark/results/published.ts';
import type { EvaluationResult } from '../../../../src/benchmark/results/result.ts';
import { ConfigError } from '../../../../src/errors.ts';
import { renderTables } from '../../../../src/report/benchmark-tables.ts';
import { resultOf, runSource } from '../../../helpers/scored-runs.ts';

const HR = { Overall: 73.25, FSP: 86.5, FCP: 60 };
const MME = { Overall: 47.31, Reasoning: 43.07, Perception: 50.79 };

function stored(results: readonly EvaluationResult[]) {
  return results.map((result, i) => ({ folder: `runs/${i}`, result }));
}

function ours(number: TableNumber, results: readonly EvaluationResult[]): readonly FilledRow[] {
  const table = fillTable(number, contendersOf(stored(results)));
  return table.rows.filter(({ source }) => source === 'ours');
}

function valuesOf(row: FilledRow | undefined): (number | null)[] {
  return (row?.cells ?? []).map(({ value }) => value);
}

describe('a table of the paper', () => {
  it('gives the averages of GAP from its headlines', () => {
    const results = [
      resultOf('HRBench4K', HR),
      resultOf('MMStar', { Overall: 63.4 }),
      resultOf('MME-RealWorld-Lite', MME),
      resultOf('MathVista_MINI', { Overall: 71 }),
      resultOf('WeMath', { 'WeMath-S': 36.33, 'WeMath-L': 54.57 }),
    ];
    expect(valuesOf(ours('2', results)[0]).at(-1)).toBeCloseTo(61.32, 8);
    expect(valuesOf(ours('3', results)[0]).at(-1)).toBeCloseTo(53.9667, 3);
    expect(valuesOf(ours('6', results)[0])[3]).toBeCloseTo(72.125, 8);
    expect(valuesOf(ours('10', results)[0]).at(-1)).toBeCloseTo(69.2167, 3);
  });
  it('has no average where a benchmark is missing', () => {
    const [row] = ours('2', [resultOf('HRBench4K', HR), resultOf('MMStar', { Overall: 63.4 })]);
    expect(valuesOf(row)).toEqual([73.25, 86.5, 60, 63.4, null, null, null, null]);
    expect(ours('8', [resultOf('MMStar', { Overall: 63.4 })])).toEqual([]);
  });
  it('has the published rows without any run', () => {
    expect(fillTable('2', []).rows).toHaveLength(8);
    expect(fillTable('10', []).rows[2]?.cells[1]).toEqual({ value: 73.25, std: 0.22, marks: [] });
  });
  it('puts seeds together as mean and deviation with n - 1, whichever way they were run', () => {
    const [repeats] = ours('10', [resultOf('MMStar', { Overall: [60, 62, 67] })]);
    const seeds = [60, 62, 67].map((value, seed) =>
      resultOf('MMStar', { Overall: value }, { source: runSource({ seed, 'source.hash': 'h' }) }),
    );
    const [runs] = ours('10', seeds);
    expect(repeats?.cells[2]).toEqual({ value: 63, std: Math.sqrt(13), marks: [] });
    expect(runs?.cells[2]).toEqual(repeats?.cells[2]);
    expect(runs?.cells[0]?.value).toBe(36);
  });
  it('refuses two runs of the same seed in one row, and two judges', () => {
    const source = runSource({ 'source.hash': 'h' });
    const one = resultOf('MMStar', { Overall: 60 }, { source });
    expect(() => ours('2', [one, one])).toThrow(ConfigError);
    const judge = {
      ...{ mode: 'judge' as const, model: 'gpt', versions: ['gpt-1'] },
      ...{ items: 1, replies: 1, failed: 0 },
    };
    const other = resultOf(
      'MMStar',
      { Overall: 61 },
      { source: runSource({ seed: 2, 'source.hash': 'h' }), judge },
    );
    expect(() => ours('2', [one, other])).toThrow(/judges differ/);
  });
  it('keeps eras, budgets, interventions and unnamed models apart', () => {
    const of = (settings: Record<string, unknown>, rest: Partial<EvaluationResult> = {}) =>
      resultOf('HRBench4K', HR, { source: runSource(settings), ...rest });
    const rows = ours('6', [
      of({}),
      of({}, { era: 'paper' }),
      of({ 'source.numLatents': 16 }),
      of({ 'source.intervention': 'zero-latent' }),
      of({ 'source.hash': 'a' }, { isLabelGiven: false }),
      of({ 'source.hash': 'b' }, { isLabelGiven: false }),
    ]);
    expect(rows).toHaveLength(6);
    expect(rows.map(({ cells }) => cells[0]?.value)).toEqual([36, 36, 16, 0, 36, 36]);
    expect(rows[3]?.label).toBe('ours, zero-latent, 36 latents');
  });
  it('gives gains and relative latency against the variants they are against', () => {
    const run = (variant: string, hr: number, mv: number, seconds: number) => {
      const rest = {
        label: variant,
        source: runSource({ 'source.variant': variant, 'source.hash': variant }),
        latency: { n: 4, meanS: seconds, p50S: 1, p90S: 1, leftOut: 0 },
      };
      return [
        resultOf('HRBench4K', { Overall: hr }, rest),
        resultOf('MathVista_MINI', { Overall: mv }, rest),
      ];
    };
    const results = [
      ...run('base', 60, 50, 9),
      ...run('dense-caption', 62, 50, 10),
      ...run('gap', 66, 60, 16),
    ];
    expect(ours('6', results).map((row) => valuesOf(row).at(-1))).toEqual([0, 1, 8]);
    expect(ours('9', results).map((row) => valuesOf(row)[4])).toEqual([0.9, 1, 1.6]);
    const table = fillTable('9', contendersOf(stored(results)), { denseCaption: 'gap' });
    expect(table.rows.at(-1)?.cells[4]?.value).toBe(1);
    expect(() => fillTable('9', [], { denseCaption: 'nobody' })).toThrow(ConfigError);
  });
  it('marks parts of a benchmark and tables that are not the published ones', () => {
    const data = { file: 'mine.tsv', md5: '', isPublished: false };
    const [row] = ours('10', [
      resultOf('HRBench4K', HR, { status: 'partial' }),
      resultOf('MMStar', { Overall: 1 }, { data }),
    ]);
    expect(row?.cells.map(({ marks }) => marks)).toEqual([
      ...[[], ['partial'], ['other table'], [], []],
    ]);
  });
  it('marks lower bounds and incomplete results, also in what is made of them', () => {
    const [row] = ours('6', [
      resultOf('HRBench4K', HR, { status: 'incomplete' }),
      resultOf('MathVista_MINI', { Overall: 71 }, { isLowerBound: true }),
    ]);
    expect(row?.cells.map(({ marks }) => marks)).toEqual([
      [],
      ['incomplete'],
      ['lower bound'],
      ['lower bound', 'incomplete'],
      [],
    ]);
  });
});

describe('the text of a table', () => {
  const hostile = '=HYPERLINK("x")|<b>\\input{secret}_$';
  const results = [resultOf('POPE', { Overall: [80, 90], Popular: 85 }, { label: hostile })];
  const tables = [fillTable('8', contendersOf(stored(results)))];

  it('shows a dash for what is missing and three digits of deviations', () => {
    const text = renderTables(tables, 'text');
    expect(text).toContain('85.00 ± 7.071');
    expect(text).toMatch(/ours +85\.00 ± 7\.071 +- +- +-$/m);
  });
  it('cannot become markup, a formula or a command', () => {
    const markdown = renderTables(tables, 'markdown');
    expect(markdown).toContain('\\|\\<b\\>\\\\input{secret}\\_');
    const csv = renderTables(tables, 'csv').split('\r\n');
    expect(csv.at(-1)).toMatch(/^8,"'=HYPERLINK\(""x""\)/);
    expect(csv[0]).toBe(
      'table,method,source,Overall,Overall std,Popular,Adversarial,Random,remarks',
    );
    const latex = renderTables(tables, 'latex');
    expect(latex).not.toContain('\\input{');
    expect(latex).toContain('\\textbackslash{}input\\{secret\\}\\_\\$');
    expect(latex).toContain('85.00 $\\pm$ 7.071');
  });
});
