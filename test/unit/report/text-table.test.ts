// Owns the tests of text and Markdown tables; vitest runs it.
import { describe, expect, it } from 'vitest';
import {
  accuracyTextTable,
  interventionTextTable,
  percent,
  points,
  renderMarkdownTable,
  renderTextTable,
  taskTextTable,
} from '../../../src/report/text-table.ts';
import type { AccuracyRow, InterventionRow } from '../../../src/report/types.ts';

const ROWS: readonly AccuracyRow[] = [
  {
    variant: 'base',
    label: 'base',
    n: 600,
    accuracy: 0.267,
    low: 0.2333,
    high: 0.3037,
    source: 'stored study',
    byTask: { rope: { easy: 0.57, hard: 0.26 }, rungs: { easy: 0, hard: null } },
  },
  {
    variant: 'gap',
    label: 'GAP',
    n: 600,
    accuracy: 0.853,
    low: 0.8225,
    high: 0.8791,
    source: 'this run',
    triggerRate: 1,
    byTask: { rope: { easy: 0.97, hard: 1 } },
  },
];

const INTERVENTIONS: readonly InterventionRow[] = [
  {
    intervention: 'clean',
    label: 'clean',
    n: 600,
    accuracy: 0.853,
    low: 0.8225,
    high: 0.8791,
    source: 'this run',
  },
  {
    intervention: 'noise',
    label: 'noise',
    n: 600,
    accuracy: 0.314,
    low: 0.2781,
    high: 0.3522,
    source: 'this run',
    differenceToClean: { mean: -0.539, low: -0.58, high: -0.495 },
  },
];

describe('text tables', () => {
  it('show variants by accuracy with intervals, stored rows marked', () => {
    expect(renderTextTable(accuracyTextTable(ROWS))).toBe(
      [
        'variant  accuracy %  95 % interval    n  latents emitted %',
        '───────  ──────────  ─────────────  ───  ─────────────────',
        'base *         26.7   [23.3, 30.4]  600                  –',
        'GAP            85.3   [82.3, 87.9]  600              100.0',
        '* from the stored study, not from this run',
      ].join('\n'),
    );
  });

  it('leave the trigger column out when nothing emits latents', () => {
    const table = accuracyTextTable(ROWS.slice(0, 1));
    expect(table.columns.map((column) => column.heading)).not.toContain('latents emitted %');
  });

  it('show interventions with the paired difference to clean', () => {
    const text = renderTextTable(interventionTextTable(INTERVENTIONS));
    expect(text.split('\n').at(-1)).toBe(
      'noise               31.4   [27.8, 35.2]  600          −53.9  [−58.0, −49.5]',
    );
    expect(text).not.toContain('stored study');
  });

  it('show accuracy by task, dashes where nothing was asked', () => {
    const lines = renderTextTable(taskTextTable(ROWS)).split('\n');
    expect(lines[2]).toBe('base *   26.7     57/26        0/–');
    expect(lines[3]).toBe('GAP      85.3    97/100        –/–');
  });

  it('turn into Markdown that no label can break', () => {
    const table = accuracyTextTable([{ ...ROWS[1], label: 'a|b\n<i>*' } as AccuracyRow]);
    expect(renderMarkdownTable(table).split('\n')).toEqual([
      '| variant | accuracy % | 95 % interval | n | latents emitted % |',
      '| --- | --: | --: | --: | --: |',
      '| a\\|b \\<i\\>\\* | 85.3 | \\[82.3, 87.9\\] | 600 | 100.0 |',
    ]);
    expect(renderMarkdownTable(accuracyTextTable(ROWS)).endsWith('not from this run')).toBe(true);
  });

  it('keep control characters out of the terminal', () => {
    const table = accuracyTextTable([{ ...ROWS[1], label: '\u001b[31mred\u0007' } as AccuracyRow]);
    expect(renderTextTable(table)).not.toMatch(/\u001b|\u0007/);
  });

  it('write numbers with a true minus and no minus zero', () => {
    expect([-0.539, 0.118, -0.0001, 0].map(points)).toEqual(['−53.9', '+11.8', '0.0', '0.0']);
    expect(percent(0.99999)).toBe('100.0');
  });
});
