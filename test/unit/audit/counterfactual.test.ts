// Holds the summary of counterfactual pictures against a journal whose numbers are worked out by hand.
import { describe, expect, it } from 'vitest';
import { compile } from 'vega-lite';
import type { CleanRow, Journals } from '../../../src/audit/part.ts';
import { flippedLatents } from '../../../src/audit/parts/counterfactual.ts';
import type {
  CounterfactualRecord,
  EditAnswer,
} from '../../../src/audit/parts/counterfactual-records.ts';
import { summariseCounterfactual } from '../../../src/audit/parts/counterfactual-summary.ts';
import type { AuditPart, Cell, Measured } from '../../../src/audit/types.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'gap' };

function edit(
  effect: EditAnswer['effect'],
  changed: boolean,
  correct: boolean,
  l2: number | null = null,
): EditAnswer {
  const cosine = l2 === null ? null : l2 / 10;
  return {
    ...{ effect, what: `a ${effect}`, expected: '1', answer: '1' },
    ...{ changed, correct, finished: true, l2, cosine },
  };
}

function record(
  id: string,
  task: string,
  correct: boolean,
  edits: readonly EditAnswer[],
  rest: Partial<CounterfactualRecord> = {},
): CounterfactualRecord {
  return {
    ...{ id, task, difficulty: 'hard', expected: '2', answer: '2', correct, edits },
    ...{ crossed: null, skipped: null, ...rest },
  };
}

const RECORDS: readonly CounterfactualRecord[] = [
  record(
    'a',
    'rope',
    true,
    [
      edit('flip', true, true, 4),
      edit('flip', true, false, 2),
      edit('control', false, true, 2),
      edit('floor', false, true, 1),
    ],
    {
      crossed: {
        ...{ what: 'a flip', expected: '1', answer: '1' },
        ...{ followsLatents: true, followsPicture: false },
      },
    },
  ),
  record('b', 'rope', false, [
    edit('flip', false, false, 6),
    edit('control', true, false, 4),
    edit('floor', false, false, 1),
  ]),
  // Right for the edited picture although nothing changed: it was wrong before.
  record('c', 'zoom', false, [edit('flip', false, true), edit('control', false, false)], {
    crossed: {
      ...{ what: 'a flip', expected: '1', answer: '2' },
      ...{ followsLatents: false, followsPicture: true },
    },
  }),
  record('d', 'zoom', true, [], { skipped: 'its seed does not draw it' }),
];

function journalsOf(records: readonly CounterfactualRecord[]): Journals {
  return { arm: () => [], part: (name) => (name === 'counterfactual' ? records : []) };
}

function rowOf(part: AuditPart, table: string, key: string, is: string) {
  const found = part.tables.find(({ id }) => id === table)?.rows.find((row) => row[key] === is);
  return found ?? {};
}

const valueOf = (cell: Cell | undefined): number | undefined => (cell as Measured | null)?.value;

describe('the summary of counterfactual pictures', () => {
  const part = summariseCounterfactual(journalsOf(RECORDS), FACTS);

  it('counts flips, correct flips and consistency over edits, by task', () => {
    const all = rowOf(part, 'counterfactual-flips', 'task', 'all');
    expect(all['rows']).toBe(3);
    expect(all['edits']).toBe(7);
    expect(all['shouldFlip']).toBeCloseTo(4 / 7, 12);
    expect(valueOf(all['modelFlip'])).toBe(0.5);
    expect(valueOf(all['correctFlip'])).toBe(0.25);
    expect(all['rightFlips']).toBe(2);
    expect(valueOf(all['correctFlipOfRight'])).toBe(0.5);
    expect(valueOf(all['consistency'])).toBeCloseTo(2 / 3, 12);
    expect(valueOf(all['floor'])).toBe(1);
    const zoom = rowOf(part, 'counterfactual-flips', 'task', 'zoom');
    expect([zoom['rows'], zoom['edits'], valueOf(zoom['modelFlip'])]).toEqual([1, 2, 0]);
    // No edit of a row that was right: there is nothing to give a share of.
    expect(zoom['correctFlipOfRight']).toBeNull();
    expect(zoom['floor']).toBeNull();
  });

  it('resamples examples, not edits', () => {
    const all = rowOf(part, 'counterfactual-flips', 'task', 'all');
    // Examples hold 2 of 2, 0 of 1 and 0 of 1 flips: drawing only the first gives 1.
    expect(all['modelFlip']).toEqual({ value: 0.5, low: 0, high: 1 });
  });

  it('says how far latents moved, against the floor and control edits of the same example', () => {
    const flip = rowOf(
      part,
      'counterfactual-latents',
      'effect',
      'edits that change the right answer',
    );
    expect(flip['n']).toBe(3);
    expect(valueOf(flip['l2'])).toBe(4);
    expect(valueOf(flip['cosine'])).toBeCloseTo(0.4, 12);
    // a: 3 - 1, b: 6 - 1.
    expect(valueOf(flip['beyond'])).toBe(3.5);
    // a: 3 - 2, b: 6 - 4.
    expect(valueOf(flip['beyondControl'])).toBe(1.5);
    const floor = rowOf(part, 'counterfactual-latents', 'effect', 'changes no one sees');
    expect([floor['n'], valueOf(floor['l2']), floor['beyond']]).toEqual([2, 1, null]);
  });

  it('says whom the answer follows when picture and latents disagree', () => {
    const all = rowOf(part, 'counterfactual-crossed', 'task', 'all');
    expect([all['n'], valueOf(all['latents']), valueOf(all['picture'])]).toEqual([2, 0.5, 0.5]);
    expect(valueOf(all['neither'])).toBe(0);
    // With its own latents neither gives the edited picture's answer, 1; the latents bring a there.
    expect([valueOf(all['before']), valueOf(all['gain'])]).toEqual([0, 0.5]);
  });

  it('has figures that compile, and says what was left out', () => {
    for (const { spec } of part.figures) expect(() => compile(spec)).not.toThrow();
    expect(part.figures).toHaveLength(2);
    expect(part.notes.join(' ')).toContain('1 examples were left out');
    expect(part.findings[0]).toContain('changed in 50.0 %');
  });

  it('is the same for the same journal and seed', () => {
    expect(summariseCounterfactual(journalsOf(RECORDS), FACTS)).toEqual(part);
  });

  it('says nothing of latents where there are none', () => {
    const plain = summariseCounterfactual(
      journalsOf([record('a', 'rope', true, [edit('flip', true, true)])]),
      FACTS,
    );
    expect(plain.tables.map(({ id }) => id)).toEqual([
      'counterfactual-flips',
      'counterfactual-edits',
    ]);
    expect(plain.notes.join(' ')).toContain('wrote no latents');
  });

  it('has no findings without items', () => {
    const empty = summariseCounterfactual(journalsOf([]), FACTS);
    expect(empty.findings).toEqual([]);
  });
});

describe('the latents read with the original picture', () => {
  const spanOf = (...values: readonly number[]) => ({
    result: { latents: values.map((x) => Float32Array.of(x, -x)) },
  });
  const pair = (id: string, effect: string, own: readonly number[]) =>
    ({
      row: { item: { example: { id } }, ...spanOf(...own) } as unknown as CleanRow,
      edit: { effect },
    }) as Parameters<typeof flippedLatents>[0][number];
  const decodedOf = (...spans: readonly (readonly number[])[]) =>
    spans.map((span) => spanOf(...span)) as unknown as Parameters<typeof flippedLatents>[1];

  it('are those of the first edit that flips the answer and wrote a span', () => {
    const edited = [
      pair('a', 'control', [1, 1]),
      pair('a', 'flip', [1, 1]),
      pair('a', 'flip', [1, 1]),
      pair('b', 'flip', [1, 1]),
      pair('b', 'flip', [1, 1]),
      pair('c', 'flip', []),
    ];
    const found = flippedLatents(edited, decodedOf([2, 3], [4, 5], [6, 7], [], [8, 9], [5, 5]));
    expect([...found.keys()]).toEqual(['a', 'b']);
    expect(found.get('a')).toEqual({ index: 1, latents_KD: Float32Array.of(4, -4, 5, -5) });
    expect(found.get('b')).toEqual({ index: 4, latents_KD: Float32Array.of(8, -8, 9, -9) });
  });
});
