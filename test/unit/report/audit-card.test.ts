// Owns the tests of an audit's card and of how its numbers are written; vitest runs it.
import { describe, expect, it } from 'vitest';
import { PART_NAMES } from '../../../src/audit/types.ts';
import { renderCard } from '../../../src/report/audit-card.ts';
import { formatCell, headingOf } from '../../../src/report/audit-format.ts';
import { wrap } from '../../../src/report/text-table.ts';
import {
  emptyAudit,
  fullAudit,
  HOSTILE,
  partialAudit,
  refusedAudit,
} from '../../helpers/audit-data.ts';

function widest(text: string): number {
  return Math.max(...text.split('\n').map((line) => Array.from(line).length));
}

describe('numbers of an audit', () => {
  it('are written by the format of their column', () => {
    const share = { value: 0.8189, low: 0.7912, high: 0.8434 };
    expect(formatCell(share, 'percent')).toBe('81.9 (79.1 to 84.3)');
    expect(formatCell({ value: -0.489, low: -0.532, high: 0.001 }, 'points')).toBe(
      '−48.9 (−53.2 to +0.1)',
    );
    expect(formatCell(0.0000013, 'p')).toBe('< 0.001');
    expect(formatCell(0.0427, 'p')).toBe('0.043');
    expect(formatCell(400, 'count')).toBe('400');
    expect(formatCell('as it is', 'number')).toBe('as it is');
  });

  it('have three digits when they have no format of their own', () => {
    const written = [31.04, 0.5612, -0.0511, 12345.6, 0, -0.0000123, 2.5e7].map((value) =>
      formatCell(value, 'number'),
    );
    expect(written).toEqual(['31.0', '0.561', '−0.0511', '12346', '0', '−1.23e-5', '2.50e+7']);
  });

  it('show a dash where there is none', () => {
    expect([null, undefined, NaN, Infinity].map((cell) => formatCell(cell, 'percent'))).toEqual([
      ...['–', '–', '–', '–'],
    ]);
  });

  it('have their unit in the heading once', () => {
    const heading = (title: string): string => headingOf({ key: 'a', title, format: 'percent' });
    expect(heading('accuracy')).toBe('accuracy, %');
    expect(heading('accuracy in per cent')).toBe('accuracy in per cent');
    expect(headingOf({ key: 'a', title: 'n', format: 'count' })).toBe('n');
  });
});

describe('the card of an audit', () => {
  it('stays within 100 columns, whatever the texts are', () => {
    const hostile = partialAudit();
    const long = {
      ...hostile,
      model: { ...hostile.model, folder: `/${'a'.repeat(300)}` },
      card: hostile.card.map((figure) => ({ ...figure, label: `${HOSTILE} ${figure.label}` })),
      timings: [{ what: HOSTILE.repeat(5), seconds: 1 }],
    };
    for (const audit of [fullAudit(), hostile, refusedAudit(), emptyAudit(), long]) {
      expect(widest(renderCard(audit, { folder: 'b'.repeat(200) }))).toBeLessThanOrEqual(100);
    }
  });

  it('says the verdict before all else, then canaries, figures and what would change it', () => {
    const card = renderCard(fullAudit());
    const order = ['LATENTS ARE USED', 'Canaries', 'Figures', 'What would change it', 'Time'];
    const places = order.map((part) => card.indexOf(part));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
    expect(card).toContain('  accuracy, clean                    85.3 % (81.4 to 89.2)');
    expect(card).toContain('pass  identity     400 of 400 rows');
  });

  it('names every skipped part with its reason', () => {
    const card = renderCard(emptyAudit());
    for (const name of PART_NAMES) expect(card).toContain(`${name}: The model writes no latents.`);
  });

  it('marks a canary that failed in words, and what it had to be', () => {
    const card = renderCard(refusedAudit());
    expect(card).toContain('NO VERDICT');
    expect(card).toContain('FAIL  destruction  Zero vectors change the logits in 0 of 400 rows.');
    expect(card).toContain('had to be: a change in every row');
  });

  it('shows the slowest arms, the rest as one, and all of them', () => {
    const lines = renderCard(fullAudit()).split('\n');
    const from = lines.findIndex((line) => line.includes('time by arm'));
    expect(lines[from + 2]).toMatch(/^ {2}clean answers +42 s$/);
    expect(lines.slice(from + 2, from + 9).join('\n')).toMatch(
      /9 others +1 min 07 s\n.* all +2 min/,
    );
  });

  it('lets nothing through that a terminal would obey', () => {
    // eslint's own rule would forbid these in a pattern.
    const unseen = Array.from(renderCard(partialAudit())).filter(
      (character) => character < ' ' && character !== '\n',
    );
    expect(unseen).toEqual([]);
    expect(renderCard(partialAudit())).not.toContain('\u202e');
  });

  it('says where the files are', () => {
    expect(renderCard(fullAudit(), { folder: 'runs/audit' })).toContain('  in runs/audit\n');
    expect(renderCard(fullAudit())).toContain('audit.html');
  });
});

describe('wrapping', () => {
  it('breaks at blanks, and inside of a word only when it is longer than a line', () => {
    expect(wrap('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrap('abcdefgh ij', 3)).toEqual(['abc', 'def', 'gh', 'ij']);
    expect(wrap('  ', 10)).toEqual(['']);
  });
});
