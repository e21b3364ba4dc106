// Holds the summary of the oracle part against journals whose numbers are worked out by hand.
import { compile } from 'vega-lite';
import { describe, expect, it } from 'vitest';
import type { ArmRecord, Journals } from '../../../src/audit/part.ts';
import { summariseOracle } from '../../../src/audit/parts/oracle-summary.ts';
import type { OracleRecord } from '../../../src/audit/picture-oracle.ts';
import type { AuditPart, Cell, Measured } from '../../../src/audit/types.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'gap' };
const IDS = ['a', 'b', 'c', 'd'];
const TASKS = ['rope', 'rope', 'rope', 'zoom'];

/** Answers by example; `x` is the right one. */
function arm(answers: readonly string[]): ArmRecord[] {
  return answers.map((answer, i) => {
    const id = IDS[i] ?? '';
    return {
      ...{ id, task: TASKS[i] ?? '', cluster: id, triggered: true, response: '' },
      ...{ answer, expected: 'x', correct: answer === 'x', finished: true },
      ...{ logitsHash: null, logitsDistance: null, latentNorm: null, targetError: null },
    };
  });
}

function records(one: readonly string[], two: readonly (string | null)[]): OracleRecord[] {
  const said = (answer: string) => ({ answer, correct: answer === 'x' });
  return IDS.map((id, i) => {
    const second = two[i] ?? null;
    return {
      ...{ id, task: TASKS[i] ?? '', question: `what is ${id}`, expected: 'x' },
      one: said(one[i] ?? ''),
      two: second === null ? null : said(second),
    };
  });
}

const PART = records(['x', 'n', 'n', 'n'], ['n', 'x', 'n', null]);
const ARMS: Readonly<Record<string, readonly ArmRecord[]>> = {
  clean: arm(['x', 'n', 'n', 'm']),
  'zero-latent': arm(['n', 'n', 'x', 'n']),
  oracle: arm(['x', 'x', 'n', 'k']),
};

function journalsOf(arms: typeof ARMS, part: readonly OracleRecord[] = PART): Journals {
  return { arm: (name) => arms[name] ?? [], part: (name) => (name === 'oracle' ? part : []) };
}

function rowOf(part: AuditPart, table: string, keys: Readonly<Record<string, string>>) {
  const rows = part.tables.find(({ id }) => id === table)?.rows ?? [];
  return rows.find((row) => Object.entries(keys).every(([key, is]) => row[key] === is)) ?? {};
}

const valueOf = (cell: Cell | undefined): number | undefined => (cell as Measured | null)?.value;

describe('the summary of the oracle part', () => {
  const part = summariseOracle(journalsOf(ARMS), FACTS);

  it('gives accuracy in every way, over the examples asked that way', () => {
    const all = rowOf(part, 'oracle-accuracy', { task: 'all' });
    const ways = ['clean', 'zero', 'oracle', 'one', 'two'].map((way) => valueOf(all[way]));
    expect(ways).toEqual([0.25, 0.25, 0.5, 0.25, 1 / 3]);
    expect(all['n']).toBe(4);
    expect(rowOf(part, 'oracle-accuracy', { task: 'zoom' })['two']).toBeNull();
  });

  it('counts examples that the oracle turns', () => {
    const own = rowOf(part, 'oracle-gain', {
      oracle: 'oracle latents for own latents',
      task: 'all',
    });
    const counts = ['n', 'turnedRight', 'turnedWrong', 'stayRight', 'stayWrong'];
    expect(counts.map((key) => own[key])).toEqual([4, 1, 0, 1, 2]);
    expect(valueOf(own['gain'])).toBe(0.25);
    const none = rowOf(part, 'oracle-gain', { oracle: 'oracle latents for none', task: 'all' });
    expect(counts.map((key) => none[key])).toEqual([4, 2, 1, 0, 1]);
    const picture = rowOf(part, 'oracle-gain', {
      ...{ oracle: 'auxiliary picture as second input', task: 'all' },
    });
    expect(counts.map((key) => picture[key])).toEqual([3, 1, 1, 0, 1]);
    expect(valueOf(picture['gain'])).toBe(0);
  });

  it('lists what cannot teach, with question and answers', () => {
    const listed = part.tables.find(({ id }) => id === 'oracle-cannot-teach');
    expect(listed?.rows).toEqual([
      {
        ...{ id: 'c', task: 'rope', question: 'what is c', expected: 'x' },
        ...{ before: 'n', after: 'n', two: 'n' },
      },
      {
        ...{ id: 'd', task: 'zoom', question: 'what is d', expected: 'x' },
        ...{ before: 'm', after: 'k', two: null },
      },
    ]);
    expect(part.findings.at(-1)).toBe('2 of 4 examples stay wrong even with the oracle.');
  });

  it('works before training: the second picture is the oracle', () => {
    const base = summariseOracle(journalsOf({ clean: arm(['x', 'n', 'n', 'n']) }), FACTS);
    const listed = base.tables.find(({ id }) => id === 'oracle-cannot-teach');
    expect(listed?.rows.map(({ id }) => id)).toEqual(['c']);
    expect(listed?.columns.map(({ key }) => key)).not.toContain('two');
    const gains = base.tables.find(({ id }) => id === 'oracle-gain')?.rows ?? [];
    expect([...new Set(gains.map((row) => row['oracle']))]).toEqual([
      'auxiliary picture as second input',
    ]);
    expect(base.notes.join(' ')).toContain('No oracle latents');
  });

  it('lists 50 examples at most and says how many there are', () => {
    const many = Array.from({ length: 60 }, (_, i): OracleRecord => ({
      ...{ id: `${i}`, task: 'rope', question: 'what', expected: 'x' },
      ...{ one: { answer: 'n', correct: false }, two: { answer: null, correct: false } },
    }));
    const base = summariseOracle(journalsOf({}, many), FACTS);
    const listed = base.tables.find(({ id }) => id === 'oracle-cannot-teach');
    expect(listed?.rows).toHaveLength(50);
    expect(listed?.rows[0]?.['after']).toBe('(none)');
    expect(listed?.note).toMatch(/^60 examples in all, the first 50 here/u);
  });

  it('has a figure that compiles', () => {
    for (const { spec } of part.figures) expect(() => compile(spec)).not.toThrow();
    expect(part.figures).toHaveLength(1);
  });
});
