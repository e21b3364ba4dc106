// Holds the summary of the parser part against journals whose numbers are worked out by hand.
import { compile } from 'vega-lite';
import { describe, expect, it } from 'vitest';
import { drawDistractors } from '../../../src/audit/candidates.ts';
import { parserPlace, upToParser } from '../../../src/audit/parser-text.ts';
import type { ArmRecord, CleanRow, Journals } from '../../../src/audit/part.ts';
import type { ParserRecord, Standings } from '../../../src/audit/parts/parser-records.ts';
import { summariseParser } from '../../../src/audit/parts/parser-summary.ts';
import type { Standing } from '../../../src/audit/ranks.ts';
import type { AuditPart, Cell, Measured } from '../../../src/audit/types.ts';
import { Rng } from '../../../src/rng.ts';
import { miniBundle } from '../../helpers/mini-model.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'gap' };

const response = (parser: string, answer: string): string =>
  `<think> what <|latent_start|> <|latent_end|> <parser> ${parser} </parser> </think> <answer> ${answer} </answer>`;

function armRecord(id: string, answer: string, expected: string, parser: string): ArmRecord {
  return {
    ...{ id, task: 'rope', cluster: id, triggered: true, response: response(parser, answer) },
    ...{ answer, expected, correct: answer === expected, finished: true },
    ...{ logitsHash: null, logitsDistance: null, latentNorm: null, targetError: null },
  };
}

const standing = (better: number, ties = 0): Standing => ({ candidates: 4, better, ties });

function record(
  id: string,
  donor: string,
  standings: Standings | null,
  numTexts = 4,
): ParserRecord {
  return { id, task: 'rope', donor, standings, numTexts, textDonor: donor };
}

const RECORDS: readonly ParserRecord[] = [
  record('a', 'b', {
    ...{ cosine: standing(0), l2: standing(1), donor: standing(3), text: standing(0, 3) },
  }),
  record('b', 'c', {
    ...{ cosine: standing(2), l2: standing(1), donor: null, text: standing(0, 3) },
  }),
  record('c', 'a', null),
];

const ARMS: Readonly<Record<string, readonly ArmRecord[]>> = {
  clean: [
    armRecord('a', '1', '1', 'red rope'),
    armRecord('b', '5', '2', 'blue rope'),
    armRecord('c', '3', '3', 'blue rope'),
  ],
  // a follows the latents of b in answer and text; b stays with its picture and may not be told by
  // its text, as b and c write the same; c answers what is neither, and keeps its own text.
  other: [
    armRecord('a', '2', '1', 'blue rope'),
    armRecord('b', '2', '2', 'blue rope'),
    armRecord('c', '2', '3', 'blue rope'),
  ],
  'parser-kept': [
    armRecord('a', '1', '1', 'red rope'),
    armRecord('b', '5', '2', 'blue rope'),
    armRecord('c', '3', '3', 'blue rope'),
  ],
  'parser-other': [
    armRecord('a', '2', '1', 'blue rope'),
    armRecord('b', '2', '2', 'red rope'),
    armRecord('c', '3', '3', 'red rope'),
  ],
  'parser-random': [
    armRecord('a', '1', '1', 'one two'),
    armRecord('b', '5', '2', 'two one'),
    armRecord('c', '1', '3', 'one one'),
  ],
};

function journalsOf(
  records: readonly ParserRecord[],
  arms: Readonly<Record<string, readonly ArmRecord[]>> = ARMS,
): Journals {
  return {
    arm: (name) => arms[name] ?? [],
    part: (name) => (name === 'parser' ? records : []),
  };
}

function rowOf(part: AuditPart, table: string, key: string, is: string) {
  const found = part.tables.find(({ id }) => id === table)?.rows.find((row) => row[key] === is);
  return found ?? {};
}

const valueOf = (cell: Cell | undefined): number | undefined => (cell as Measured | null)?.value;

describe('the summary of the parser part', () => {
  const part = summariseParser(journalsOf(RECORDS), FACTS);

  it('averages ranks, and gives what chance would', () => {
    const own = rowOf(part, 'parser-ranks', 'by', 'own latents, cosine');
    expect([own['n'], own['candidates'], own['rank'], own['chanceRank']]).toEqual([2, 4, 2, 2.5]);
    expect(valueOf(own['top1'])).toBe(0.5);
    expect(valueOf(own['mrr'])).toBeCloseTo((1 + 1 / 3) / 2, 12);
    expect(own['chanceTop1']).toBe(0.25);
    expect(own['chanceMrr']).toBeCloseTo(25 / 48, 12);
    expect(rowOf(part, 'parser-ranks', 'by', 'own latents, L2')['rank']).toBe(2);
    const donor = rowOf(part, 'parser-ranks', 'by', "another example's latents, cosine");
    expect([donor['n'], donor['rank']]).toEqual([1, 4]);
  });

  it('puts a text that is the same for all candidates at chance', () => {
    const text = rowOf(part, 'parser-ranks', 'by', 'parser text');
    expect(text['rank']).toBe(text['chanceRank']);
    expect(valueOf(text['top1'])).toBe(text['chanceTop1']);
    expect(valueOf(text['mrr'])).toBe(text['chanceMrr']);
  });

  it('says so when no text of the dataset can tell pictures apart', () => {
    const same = RECORDS.map((own) => ({ ...own, numTexts: 1 }));
    const notes = summariseParser(journalsOf(same), FACTS).notes.join(' ');
    expect(notes).toContain('chance by construction');
    expect(part.notes.join(' ')).not.toContain('chance by construction');
  });

  it('says whom the answer follows, and how often chance would', () => {
    const row = rowOf(part, 'parser-swap-answers', 'task', 'rope');
    expect(row['n']).toBe(3);
    expect(valueOf(row['latents'])).toBeCloseTo(1 / 3, 12);
    expect(valueOf(row['picture'])).toBeCloseTo(1 / 3, 12);
    expect(valueOf(row['neither'])).toBeCloseTo(1 / 3, 12);
    // All answered 2. Others with another right answer than a: 2, 3; than b: 1, 3; than c: 1, 2.
    expect(row['chanceLatents']).toBeCloseTo((1 / 2 + 0 + 1 / 2) / 3, 12);
    expect(row['chancePicture']).toBeCloseTo((1 / 2 + 0 + 1 / 2) / 3, 12);
    expect(valueOf(row['beyondLatents'])).toBeCloseTo(1 / 3 - 1 / 3, 12);
  });

  it('says whom the text follows, over rows where both texts differ', () => {
    const row = rowOf(part, 'parser-swap-texts', 'task', 'rope');
    // a (red, donor b blue) became blue; c (blue, donor a red) stayed blue; b and c write the same.
    expect([row['n'], row['telling']]).toEqual([3, 2]);
    expect(valueOf(row['latents'])).toBe(0.5);
    expect(valueOf(row['picture'])).toBe(0.5);
    expect(valueOf(row['neither'])).toBe(0);
  });

  it('holds answers behind a replaced text against those behind the own one', () => {
    const other = rowOf(part, 'parser-corrupted', 'text', "Another example's parser text");
    expect(other['n']).toBe(3);
    expect(valueOf(other['same'])).toBeCloseTo(1 / 3, 12);
    expect(valueOf(other['accuracy'])).toBeCloseTo(2 / 3, 12);
    expect(valueOf(other['difference'])).toBe(0);
    const random = rowOf(part, 'parser-corrupted', 'text', 'Random words as parser text');
    expect(valueOf(random['same'])).toBeCloseTo(2 / 3, 12);
    expect(valueOf(random['difference'])).toBeCloseTo(-1 / 3, 12);
    const kept = rowOf(part, 'parser-corrupted', 'text', 'Parser text as written');
    expect([valueOf(kept['same']), kept['difference']]).toEqual([1, null]);
  });

  it('leaves rows out that wrote no span or have a donor of another task', () => {
    const arms = {
      ...ARMS,
      other: (ARMS['other'] ?? []).map((own) =>
        own.id === 'a' ? { ...own, triggered: false } : own,
      ),
      clean: (ARMS['clean'] ?? []).map((own) => (own.id === 'c' ? { ...own, task: 'zoom' } : own)),
    };
    const few = summariseParser(journalsOf(RECORDS, arms), FACTS);
    // b has its donor c in another task now, a wrote no span: c alone is left, its donor is a.
    expect(few.tables.find(({ id }) => id === 'parser-swap-answers')).toBeDefined();
    expect(rowOf(few, 'parser-swap-answers', 'task', 'rope')['n']).toBe(1);
  });

  it('has figures that compile', () => {
    expect(part.figures.map(({ id }) => id)).toEqual(['parser-ranks', 'parser-swap-answers']);
    for (const { spec } of part.figures) expect(() => compile(spec)).not.toThrow();
  });
});

/** A row with the given auxiliary embeddings; nothing else of it is looked at. */
function rowWith(id: string, task: string, auxiliary: readonly number[] | undefined): CleanRow {
  return {
    item: {
      example: { id },
      ...(auxiliary ? { auxiliaryRows_KD: Float32Array.from(auxiliary) } : {}),
    },
    prediction: { task },
  } as unknown as CleanRow;
}

describe('distractors', () => {
  const rows = [
    rowWith('0', 'rope', [1, 0]),
    rowWith('1', 'rope', [0, 1]),
    rowWith('2', 'rope', [1, 1e-6]),
    rowWith('3', 'zoom', [1, 0]),
    rowWith('4', 'rope', [0, 1]),
    rowWith('5', 'rope', undefined),
    rowWith('6', 'rope', [5, 5]),
  ];
  const drawn = drawDistractors(rows, new Rng(1));

  it('are other pictures of the task, each once, whatever the rounding', () => {
    // 0 and 2 show one picture, as do 1 and 4.
    expect([...(drawn[0] ?? [])].sort()).toEqual([1, 6]);
    expect([...(drawn[2] ?? [])].sort()).toEqual([1, 6]);
    expect([...(drawn[4] ?? [])].sort()).toEqual([0, 6]);
    expect(drawn[3]).toEqual([]);
  });

  it('are none for a row without a picture', () => {
    expect(drawn[5]).toBeUndefined();
  });
});

describe('a response cut behind its parser text', () => {
  const bundle = miniBundle();
  const ids = bundle.tokenizer.encode(
    '<think> what <|latent_start|><|latent_pad|><|latent_pad|><|latent_end|> <parser> it is red </parser> </think> <answer> one </answer>',
  );
  const latents = [Float32Array.of(1), Float32Array.of(2)];
  const row = { result: { ids, latents } } as unknown as CleanRow;
  const text = (from: readonly number[]): string => bundle.tokenizer.decode(from);

  it('ends with the closing tag and keeps its latents', () => {
    const place = parserPlace(bundle, ids);
    expect(text(ids.slice(place?.start, place?.end))).toBe('it is red </parser>');
    const cut = upToParser(bundle, row);
    expect(cut.latents).toEqual(latents);
    expect(cut.ids).toEqual(ids.slice(0, place?.end));
  });

  it('has other words in the place of its text', () => {
    const cut = upToParser(bundle, row, 'blue two');
    expect(text(cut.ids)).toMatch(/<parser> blue two <\/parser>$/u);
    expect(cut.latents).toEqual(latents);
    expect(cut.ids.slice(0, 6)).toEqual(ids.slice(0, 6));
  });

  it('is whole without a parser text, or with one that is not closed', () => {
    const open = ids.slice(0, (parserPlace(bundle, ids)?.end ?? 0) - 1);
    expect(parserPlace(bundle, open)).toBeUndefined();
    const result = { ids: open, latents };
    expect(upToParser(bundle, { result } as unknown as CleanRow, 'blue').ids).toEqual(open);
  });
});
