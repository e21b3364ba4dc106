// Tests of training rows and batches: labels, latent positions, padding.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import {
  assembleRow,
  batchRows,
  findLatentSpans,
  IGNORED_LABEL,
  type SequenceIds,
} from '../../../src/processor/sequence.ts';

const ids: SequenceIds = {
  imagePad: 90,
  latentStart: 91,
  latentPad: 92,
  latentEnd: 93,
  responseEnd: 94,
};
const [IMAGE, START, LATENT, END, DONE] = [90, 91, 92, 93, 94];
const NONE = IGNORED_LABEL;

describe('training rows', () => {
  it('have the labels of the worked example', () => {
    const row = assembleRow([1, 2], [3, START, LATENT, LATENT, END, 4], ids);
    expect(row.inputIds).toEqual([1, 2, 3, START, LATENT, LATENT, END, 4, DONE]);
    expect(row.labels).toEqual([NONE, NONE, 3, START, NONE, NONE, END, 4, DONE]);
    expect(row.spans).toEqual([{ start: 4, length: 2 }]);
    const batch = batchRows([row], { padId: 0, side: 'right' });
    expect([...batch.latentInputs_L]).toEqual([4, 5]);
    expect([...batch.latentStates_L]).toEqual([3, 4]);
    expect(batch.numLabels).toBe(5);
  });

  it('never label picture tokens and list their positions', () => {
    const row = assembleRow([7, IMAGE, IMAGE, 8], [5, IMAGE], ids);
    expect(row.picturePositions).toEqual([1, 2, 5]);
    expect(row.labels).toEqual([NONE, NONE, NONE, NONE, 5, NONE, DONE]);
  });

  it('find several spans, and refuse spans that are open, empty, bare or in the prompt', () => {
    const span = [START, LATENT, END];
    expect(findLatentSpans([1, ...span, 2, ...span], ids)).toEqual([
      { start: 2, length: 1 },
      { start: 6, length: 1 },
    ]);
    const broken = [
      [LATENT],
      [START, LATENT],
      [START, END],
      [LATENT, END],
      [START, LATENT, 1, END],
      [END],
      [START],
      [START, START, LATENT, END],
    ];
    for (const response of broken) expect(() => assembleRow([1], response, ids)).toThrow(DataError);
    expect(() => assembleRow([1, ...span], [2], ids)).toThrow(/prompt/);
    expect(() => assembleRow([], [2], ids)).toThrow(DataError);
    expect(() => assembleRow([1], [], ids)).toThrow(DataError);
  });
});

describe('batches', () => {
  const rows = [
    assembleRow([7, IMAGE, 8], [5, START, LATENT, END], ids),
    assembleRow([7], [6], ids),
  ];

  it('pad on the right', () => {
    const batch = batchRows(rows, { padId: 99, side: 'right', multiple: 5 });
    expect(batch).toMatchObject({ batch: 2, length: 10, numLabels: 6 });
    expect([...batch.inputIds_BT]).toEqual([
      7,
      IMAGE,
      8,
      5,
      START,
      LATENT,
      END,
      DONE,
      99,
      99,
      7,
      6,
      DONE,
      99,
      99,
      99,
      99,
      99,
      99,
      99,
    ]);
    expect([...batch.attentionMask_BT]).toEqual([
      1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0,
    ]);
    expect([...batch.labels_BT.slice(10)]).toEqual([
      NONE,
      6,
      DONE,
      NONE,
      NONE,
      NONE,
      NONE,
      NONE,
      NONE,
      NONE,
    ]);
  });

  it('pad on the left', () => {
    const batch = batchRows(rows, { padId: 99, side: 'left' });
    expect([...batch.inputIds_BT.slice(8)]).toEqual([99, 99, 99, 99, 99, 7, 6, DONE]);
    expect([...batch.attentionMask_BT.slice(8)]).toEqual([0, 0, 0, 0, 0, 1, 1, 1]);
    expect([...batch.labels_BT.slice(8)]).toEqual([NONE, NONE, NONE, NONE, NONE, NONE, 6, DONE]);
  });

  it('refuse no rows and rows beyond the limit', () => {
    expect(() => batchRows([], { padId: 0, side: 'left' })).toThrow(DataError);
    expect(() => batchRows(rows, { padId: 0, side: 'left', maxLength: 7 })).toThrow(/too long/);
    expect(batchRows(rows, { padId: 0, side: 'left', maxLength: 8 }).length).toBe(8);
  });

  it('point at the right tokens with every flat index, on either side', () => {
    const piece = fc.constantFrom(
      [1],
      [2, 3],
      [START, LATENT, END],
      [START, LATENT, LATENT, LATENT, LATENT, END],
    );
    const row = fc.tuple(
      fc.array(fc.constantFrom(1, 2, IMAGE), { minLength: 1, maxLength: 6 }),
      fc.array(piece, { minLength: 1, maxLength: 5 }),
    );
    fc.assert(
      fc.property(
        fc.array(row, { minLength: 1, maxLength: 4 }),
        fc.constantFrom('left', 'right'),
        (list, side) => {
          const assembled = list.map(([prompt, response]) =>
            assembleRow(prompt, response.flat(), ids),
          );
          const batch = batchRows(assembled, { padId: 0, side });
          const where = (id: number): number[] =>
            [...batch.inputIds_BT.keys()].filter((i) => batch.inputIds_BT[i] === id);
          expect([...batch.latentInputs_L]).toEqual(where(LATENT));
          expect([...batch.pictureTokens]).toEqual(where(IMAGE));
          for (const [i, state] of batch.latentStates_L.entries()) {
            expect([START, LATENT]).toContain(batch.inputIds_BT[state]);
            expect(batch.latentRows_L[i]).toBe(Math.floor(state / batch.length));
          }
          // Shifted as the loss does it, each label is the next input, and the prompt predicts nothing.
          for (const [i, label] of batch.labels_BT.entries()) {
            if (label === NONE) continue;
            expect(label).toBe(batch.inputIds_BT[i]);
            expect(batch.attentionMask_BT[i]).toBe(1);
            expect(i % batch.length).toBeGreaterThan(0);
          }
          const numTokens = assembled.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
          expect(batch.attentionMask_BT.reduce((sum, bit) => sum + bit, 0)).toBe(numTokens);
        },
      ),
      { seed: 5, numRuns: 60 },
    );
  });
});
