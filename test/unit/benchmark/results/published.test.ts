// Owns the checks of the paper's figures as data.
import { describe, expect, it } from 'vitest';
import { findOddities } from '../../../../src/benchmark/results/published-checks.ts';
import { PUBLISHED_TABLES, TABLE_NUMBERS } from '../../../../src/benchmark/results/published.ts';
import type { TableNumber } from '../../../../src/benchmark/results/published.ts';
import { KNOWN_ODDITIES } from '../../../helpers/known-oddities.ts';

function valueOf(table: TableNumber, row: number, heading: string): number {
  const { columns, rows } = PUBLISHED_TABLES[table];
  const cell = rows[row]?.cells[columns.findIndex((column) => column.heading === heading)] ?? null;
  return typeof cell === 'number' ? cell : (cell?.value ?? NaN);
}

describe('the published figures', () => {
  it('have one cell a column in every row', () => {
    for (const number of TABLE_NUMBERS) {
      const { columns, rows } = PUBLISHED_TABLES[number];
      expect(rows.map(({ cells }) => cells.length)).toEqual(rows.map(() => columns.length));
    }
  });
  it('contradict each other in the known places and nowhere else', () => {
    const found = TABLE_NUMBERS.flatMap((number) => findOddities(PUBLISHED_TABLES[number]));
    const rounded = found.map((oddity) => ({
      ...oddity,
      against:
        'computed' in oddity.against
          ? { computed: Math.round(1000 * oddity.against.computed) / 1000 }
          : oddity.against,
    }));
    expect(rounded).toEqual(KNOWN_ODDITIES);
  });
  it('have averages that follow from their cells, save Avg-P of Dense Cap by 0.03', () => {
    const averages = KNOWN_ODDITIES.filter(({ column }) => column.startsWith('Avg'));
    expect(averages).toEqual([
      expect.objectContaining({ row: 'Dense Cap', column: 'Avg-P', against: { computed: 59.37 } }),
    ]);
  });
  it('are the same model in the same benchmark wherever they are printed', () => {
    expect(valueOf('2', 7, 'HRBench4K')).toBe(valueOf('6', 4, 'HRBench4K'));
    expect(valueOf('2', 7, 'HRBench4K')).toBe(valueOf('10', 2, 'HRBench4K'));
    expect(valueOf('2', 7, 'MMStar')).toBe(valueOf('10', 2, 'MMStar'));
    expect(valueOf('3', 7, 'MathVista')).toBe(valueOf('10', 2, 'MathVista'));
    expect(valueOf('2', 1, 'HRBench4K')).toBe(valueOf('10', 0, 'HRBench4K'));
    expect(valueOf('6', 4, 'Avg-2')).toBe(valueOf('9', 3, 'Avg-2'));
  });
  it('are found odd when one is changed', () => {
    const table = PUBLISHED_TABLES['3'];
    const [first, ...others] = table.rows;
    const changed = { label: first?.label ?? '', cells: [78.5, ...(first?.cells.slice(1) ?? [])] };
    const found = findOddities({ ...table, rows: [changed, ...others] });
    expect(found).toContainEqual(expect.objectContaining({ column: 'Avg-R', printed: 52.62 }));
  });
});
