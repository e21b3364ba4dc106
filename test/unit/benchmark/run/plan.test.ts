// Owns the tests of what a run asks, in which order and which of it again.
import { describe, expect, it } from 'vitest';
import type { ItemRecord } from '../../../../src/benchmark/prediction.ts';
import { failed } from '../../../../src/benchmark/run/answerer.ts';
import { planBatches, planItems } from '../../../../src/benchmark/run/plan.ts';
import { itemKey } from '../../../../src/benchmark/run/run-files.ts';
import type { Cell, Row } from '../../../../src/benchmark/types.ts';

const rowsOf = (cells: readonly Cell[]): Row[] => cells.map((index) => ({ index }));
const keys = (items: readonly { index: string; sample: number }[]): string[] => items.map(itemKey);

function answered(index: string, sample = 0): ItemRecord {
  return { index, sample, response: 'A', batch: 1, finished: true };
}

describe('the plan of a run', () => {
  it('goes through the table once a sample', () => {
    const items = planItems(rowsOf([7n, 'b']), 2);
    expect(keys(items)).toEqual(['0/7', '0/b', '1/7', '1/b']);
    expect(items.map(({ row }) => row['index'])).toEqual([7n, 'b', 7n, 'b']);
  });

  it('asks the first of rows that share an index', () => {
    const rows = [
      { index: 1n, question: 'a' },
      { index: 2n, question: 'b' },
      { index: 1n, question: 'c' },
    ];
    const items = planItems(rows, 1);
    expect(keys(items)).toEqual(['0/1', '0/2']);
    expect(items.map(({ row }) => row['question'])).toEqual(['a', 'b']);
  });

  it('keeps the members of a batch whatever was answered before', () => {
    const items = planItems(rowsOf([0n, 1n, 2n, 3n, 4n]), 1);
    const known = new Map(
      [answered('0'), answered('2'), answered('3')].map((r) => [itemKey(r), r]),
    );
    const batches = [...planBatches(items, 2, known, false)];
    expect(batches.map((batch) => keys(batch.items))).toEqual([['0/0', '0/1'], ['0/4']]);
    expect(batches.map(({ wanted }) => [...wanted])).toEqual([['0/1'], ['0/4']]);
  });

  it('asks errors again only when told to', () => {
    const items = planItems(rowsOf([0n, 1n]), 1);
    const error = failed({ index: '1', sample: 0 }, { kind: 'timeout', what: 'late' });
    const known = new Map([answered('0'), error].map((record) => [itemKey(record), record]));
    expect([...planBatches(items, 1, known, false)]).toEqual([]);
    const again = [...planBatches(items, 1, known, true)];
    expect(again.map(({ wanted }) => [...wanted])).toEqual([['0/1']]);
  });
});
