// Owns the checks of predictions brought together with their rows: absent, extra, twice, of another benchmark.
import { describe, expect, it } from 'vitest';
import { BENCHMARKS } from '../../../../src/benchmark/benchmarks.ts';
import { joinPredictions } from '../../../../src/benchmark/results/join-predictions.ts';
import type { NamedTable } from '../../../../src/benchmark/results/join-predictions.ts';
import { otherBenchmark } from '../../../../src/benchmark/results/recognise.ts';
import type { Cell } from '../../../../src/benchmark/types.ts';
import { DataError } from '../../../../src/errors.ts';
import { makeRow } from '../../../helpers/benchmark-rows.ts';

const { MMStar, POPE, 'MME-RealWorld-Lite': realWorld } = BENCHMARKS;

function table(name: string, rows: readonly Record<string, Cell>[]): NamedTable {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return { name, columns, rows: rows.map(makeRow) };
}

function star(index: number, answer = 'A', rest: Record<string, Cell> = {}): Record<string, Cell> {
  const options = { A: '4', B: '14', C: '40', D: '0' };
  const cells = { index: BigInt(index), question: 'How many?', ...options, answer };
  return { ...cells, category: 'math', ...rest };
}

const STARS = table(
  'MMStar.tsv',
  [0, 1, 2, 3].map((index) => star(index)),
);

function predicted(...pairs: readonly (readonly [number, Cell])[]): NamedTable {
  return table(
    'answers.tsv',
    pairs.map(([index, prediction]) => ({ index: BigInt(index), prediction })),
  );
}

describe('predictions of other columns', () => {
  it('get them from the table, in its order', () => {
    const joined = joinPredictions(
      MMStar,
      predicted([3, 'D'], [1, 'B'], [0, 'A'], [2, 'C']),
      STARS,
    );
    expect(joined).toMatchObject({ expected: 4, absent: 0, extra: 0, duplicates: 0 });
    expect(joined.items.map(({ index, prediction }) => [index, prediction])).toEqual([
      ...[
        ['0', 'A'],
        ['1', 'B'],
        ['2', 'C'],
        ['3', 'D'],
      ],
    ]);
    expect(joined.items[0]?.row['category']).toBe('math');
  });
  it('are refused without a table, with the columns that are missing', () => {
    expect(() => joinPredictions(MMStar, predicted([0, 'A']))).toThrow(/A, B, C, D, answer/);
  });
  it('are no predictions without index or prediction', () => {
    const scores = table('scores.tsv', [{ index: 1n, hit: 1n }]);
    expect(() => joinPredictions(MMStar, scores)).toThrow(/lacks prediction/);
  });
  it('may hold their own columns and need no table', () => {
    const own = table('answers.xlsx', [
      star(0, 'A', { prediction: 'A' }),
      star(1, 'B', { prediction: null }),
    ]);
    const joined = joinPredictions(MMStar, own);
    expect(joined).toMatchObject({ expected: 2, absent: 0 });
    expect(joined.items[1]?.prediction).toBeNull();
  });
  it('may have any name as a column', () => {
    const row = makeRow({ ...star(0), prediction: 'A' }) as Record<string, Cell>;
    Object.defineProperty(row, '__proto__', { value: 'x', enumerable: true, configurable: true });
    const joined = joinPredictions(
      MMStar,
      { name: 'a.tsv', columns: Object.keys(row), rows: [row] },
      STARS,
    );
    expect(joined.items[0]?.row['__proto__']).toBe('x');
    expect(Object.getPrototypeOf(joined.items[0]?.row)).toBeNull();
  });
});

describe('predictions that do not fit their table', () => {
  it('are counted where rows are absent or too many', () => {
    const joined = joinPredictions(
      MMStar,
      predicted([0, 'A'], [2, 'B'], [3, 'C'], [9, 'D']),
      STARS,
    );
    expect(joined).toMatchObject({ expected: 4, absent: 1, extra: 1 });
    expect(joined.items).toHaveLength(3);
  });
  it('are another benchmark when most indices are unknown', () => {
    const others = predicted([0, 'A'], [7, 'A'], [8, 'A']);
    expect(() => joinPredictions(MMStar, others, STARS)).toThrow(/another benchmark/);
  });
  it('are another version when their answers differ, but not when 7 is written 7.0', () => {
    const rows = [0, 1].map((index) => star(index, 'C', { prediction: 'C' }));
    expect(() => joinPredictions(MMStar, table('a.tsv', rows), STARS)).toThrow(
      /different answers to the same rows[^]*2 rows: 0, 1/,
    );
    const numbers = table('t.tsv', [{ ...star(0), answer: 7n }]);
    const doubles = table('a.tsv', [{ ...star(0), answer: 7, prediction: '7' }]);
    expect(joinPredictions(MMStar, doubles, numbers).items).toHaveLength(1);
  });
});

describe('two predictions for one row', () => {
  it('are one when they are equal, and an error when they are not', () => {
    const same = predicted([0, 'A'], [1, 'B'], [1, 'B'], [2, 'C'], [3, 'D']);
    expect(joinPredictions(MMStar, same, STARS)).toMatchObject({ duplicates: 1, absent: 0 });
    const other = predicted([0, 'A'], [1, 'B'], [1, 'C']);
    expect(() => joinPredictions(MMStar, other, STARS)).toThrow(/two predictions for index 1/);
  });
  it('share the first one in MME-RealWorld-Lite, with the answers of their own rows', () => {
    const row = (answer: string, prediction: string): Record<string, Cell> => ({
      ...{ index: 5n, answer, prediction, category: 'Perception/Monitoring' },
      'l2-category': 'color',
    });
    const rows = [row('A', 'A'), row('B', 'B')];
    const { items, duplicates } = joinPredictions(realWorld, table('a.tsv', rows));
    expect(duplicates).toBe(1);
    expect(items.map((item) => [item.row['answer'], item.prediction])).toEqual([
      ['A', 'A'],
      ['B', 'A'],
    ]);
    const data = table(
      't.tsv',
      rows.map(({ prediction: _, ...rest }) => rest),
    );
    const joined = joinPredictions(realWorld, table('a.tsv', [row('A', 'A')]), data);
    expect(joined.items.map((item) => [item.row['answer'], item.prediction])).toEqual([
      ['A', 'A'],
      ['B', 'A'],
    ]);
  });
});

describe('the marks of predictions', () => {
  it('are counted: failed calls, and seconds', () => {
    const rows = [
      star(0, 'A', { prediction: 'Failed to obtain answer via API.', latency_s: 2.5 }),
      star(1, 'A', { prediction: 'A', latency_s: null }),
      star(2, 'A', { prediction: 'A', latency_s: 3n }),
    ];
    expect(joinPredictions(MMStar, table('a.tsv', rows))).toMatchObject({
      ...{ failedCalls: 1, latencies: [2.5, 3] },
    });
  });
});

describe('rows of a benchmark', () => {
  const rows = {
    HRBench4K: { category: 'single' },
    MMStar: { category: 'instance reasoning' },
    'MME-RealWorld-Lite': { category: 'Reasoning/Monitoring' },
    MathVista_MINI: { question_type: 'free_form' },
    WeMath: { key: '3steps_multi' },
    POPE: { answer: 'No', category: 'popular,random' },
  };
  it('are told from those of all others', () => {
    for (const [name, cells] of Object.entries(rows)) {
      const found = Object.keys(rows).map((asked) =>
        otherBenchmark([makeRow(cells)], asked as keyof typeof rows),
      );
      expect(found).toEqual(Object.keys(rows).map((asked) => (asked === name ? undefined : name)));
    }
  });
  it('are let pass where they are of none', () => {
    expect(otherBenchmark([makeRow({ category: 'weather' })], 'MMStar')).toBeUndefined();
  });
  it('make predictions for another one an error that names it', () => {
    const wrong = table('a.tsv', [{ ...star(0), prediction: 'A' }]);
    expect(() => joinPredictions(POPE, wrong)).toThrow(DataError);
    expect(() => joinPredictions(POPE, wrong)).toThrow(/rows of MMStar[^]*--benchmark MMStar/);
  });
});
