// Owns the tables of counterfactual pictures; counterfactual-summary.ts puts them together.
import type { Rng } from '../../rng.ts';
import type { PictureEffect } from '../edited-pictures.ts';
import { hit, isAnswer, measuredMean, measuredShare } from '../rates.ts';
import type { TaskGroup } from '../rates.ts';
import type { AuditTable, Cell, Measured } from '../types.ts';
import { EFFECTS, ITEMS, pairsOf } from './counterfactual-records.ts';
import type { CounterfactualRecord, CrossedAnswer, Pair } from './counterfactual-records.ts';

function rate(pairs: readonly Pair[], rng: Rng, is: (pair: Pair) => boolean): Measured | null {
  return measuredShare(
    pairs.map((pair) => hit(pair.record.id, is(pair))),
    rng,
  );
}

/** Rates of one task. */
export function flipRow(
  { label, records }: TaskGroup<CounterfactualRecord>,
  rng: Rng,
): Readonly<Record<string, Cell>> {
  const [flips, controls, floors] = [
    pairsOf(records, 'flip'),
    pairsOf(records, 'control'),
    pairsOf(records, 'floor'),
  ];
  const right = flips.filter(({ record }) => record.correct);
  const numEdits = flips.length + controls.length;
  return {
    task: label,
    rows: records.length,
    edits: numEdits,
    shouldFlip: numEdits === 0 ? null : flips.length / numEdits,
    modelFlip: rate(flips, rng, ({ edit }) => edit.changed),
    correctFlip: rate(flips, rng, ({ edit }) => edit.changed && edit.correct),
    rightFlips: right.length,
    correctFlipOfRight: rate(right, rng, ({ edit }) => edit.correct),
    consistency: rate(controls, rng, ({ edit }) => !edit.changed),
    floor: rate(floors, rng, ({ edit }) => !edit.changed),
  };
}

/** Rates by task. */
export function flipTable(rows: AuditTable['rows']): AuditTable {
  return {
    id: 'counterfactual-flips',
    title: 'Answers to edited pictures',
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'rows', title: 'Examples', format: 'count' },
      { key: 'edits', title: 'Edits', format: 'count' },
      { key: 'shouldFlip', title: 'Should flip', format: 'percent' },
      { key: 'modelFlip', title: 'Model flip', format: 'percent' },
      { key: 'correctFlip', title: 'Correct flip', format: 'percent' },
      { key: 'rightFlips', title: 'Edits of rows that were right', format: 'count' },
      { key: 'correctFlipOfRight', title: 'Correct flip of those', format: 'percent' },
      { key: 'consistency', title: 'Same answer after control edits', format: 'percent' },
      { key: 'floor', title: 'Same answer after changes no one sees', format: 'percent' },
    ],
    rows,
    note: 'Should flip: share of the edits that change the right answer. Model flip and correct flip are shares of those: the answer changed, and it became the new right answer. Intervals resample examples.',
    items: ITEMS,
  };
}

/** Rates by what was changed. */
export function editTable(records: readonly CounterfactualRecord[], rng: Rng): AuditTable {
  const kinds = new Map<string, Pair[]>();
  for (const effect of Object.keys(EFFECTS) as PictureEffect[]) {
    for (const pair of pairsOf(records, effect)) {
      const task = effect === 'floor' ? 'all' : pair.record.task;
      const key = JSON.stringify([effect, task, pair.edit.what]);
      kinds.set(key, [...(kinds.get(key) ?? []), pair]);
    }
  }
  return {
    id: 'counterfactual-edits',
    title: 'By kind of edit',
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'what', title: 'What was changed', format: 'text' },
      { key: 'should', title: 'Answer should', format: 'text' },
      { key: 'n', title: 'Edits', format: 'count' },
      { key: 'changed', title: 'Answer changed', format: 'percent' },
      { key: 'right', title: 'Right afterwards', format: 'percent' },
      { key: 'l2', title: 'Latents moved (L2)', format: 'number' },
    ],
    rows: [...kinds].map(([key, pairs]) => {
      const [effect, task, what] = JSON.parse(key) as [PictureEffect, string, string];
      return {
        task,
        what,
        should: effect === 'flip' ? 'change' : 'stay',
        n: pairs.length,
        changed: rate(pairs, rng, ({ edit }) => edit.changed),
        right: rate(pairs, rng, ({ edit }) => edit.correct),
        l2: distance(pairs, 'l2', rng),
      };
    }),
    items: ITEMS,
  };
}

/** Mean distance over the pairs that have one. */
function distance(pairs: readonly Pair[], key: 'l2' | 'cosine', rng: Rng): Measured | null {
  const observations = pairs.flatMap(({ record, edit }) => {
    const value = edit[key];
    return value === null ? [] : [{ cluster: record.id, value }];
  });
  return measuredMean(observations, rng);
}

/** How much farther latents moved by one effect than by another, in means by example, over examples with both. */
function beyond(
  records: readonly CounterfactualRecord[],
  effect: PictureEffect,
  than: PictureEffect,
  rng: Rng,
): Measured | null {
  const meanOf = (record: CounterfactualRecord, of: PictureEffect): number | undefined => {
    const values = record.edits.flatMap(({ effect: own, l2 }) =>
      own === of && l2 !== null ? [l2] : [],
    );
    return values.length === 0 ? undefined : values.reduce((a, b) => a + b, 0) / values.length;
  };
  const observations = records.flatMap((record) => {
    const [moved, less] = [meanOf(record, effect), meanOf(record, than)];
    return moved === undefined || less === undefined
      ? []
      : [{ cluster: record.id, value: moved - less }];
  });
  return measuredMean(observations, rng);
}

/** How far latents moved, by effect. */
export function movedTable(records: readonly CounterfactualRecord[], rng: Rng): AuditTable {
  return {
    id: 'counterfactual-latents',
    title: 'How far latents moved',
    columns: [
      { key: 'effect', title: 'Picture changed by', format: 'text' },
      { key: 'n', title: 'Pictures', format: 'count' },
      { key: 'l2', title: 'L2', format: 'number' },
      { key: 'cosine', title: '1 - cosine', format: 'number' },
      { key: 'beyond', title: 'L2 beyond the floor', format: 'number' },
      { key: 'beyondControl', title: 'L2 beyond control edits', format: 'number' },
    ],
    rows: (Object.keys(EFFECTS) as PictureEffect[]).map((effect) => {
      const pairs = pairsOf(records, effect).filter(({ edit }) => edit.l2 !== null);
      return {
        effect: EFFECTS[effect],
        n: pairs.length,
        l2: distance(pairs, 'l2', rng),
        cosine: distance(pairs, 'cosine', rng),
        beyond: effect === 'floor' ? null : beyond(records, effect, 'floor', rng),
        beyondControl: effect === 'flip' ? beyond(records, 'flip', 'control', rng) : null,
      };
    }),
    note: 'Mean over the K positions of the distance between the latents of the clean and of the changed picture. The floor is what changes of one level of 256 do. L2 beyond: difference of the means of each example that has both.',
    items: ITEMS,
  };
}

/** Whom the answer follows when latents and picture disagree, by task. */
export function crossedTable(
  groups: readonly TaskGroup<CounterfactualRecord>[],
  rng: Rng,
): AuditTable {
  return {
    id: 'counterfactual-crossed',
    title: 'Original picture, latents of the edited one',
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      { key: 'latents', title: 'Answer of the latents', format: 'percent' },
      { key: 'before', title: 'with its own latents', format: 'percent' },
      { key: 'gain', title: 'due to the latents', format: 'points' },
      { key: 'picture', title: 'Answer of the picture', format: 'percent' },
      { key: 'neither', title: 'Neither', format: 'percent' },
    ],
    rows: groups.map(({ label, records }) => {
      const crossed = records.flatMap(({ id, answer, crossed: one }) =>
        one ? [{ id, one, before: isAnswer(answer, one.expected) }] : [],
      );
      const share = (is: (one: CrossedAnswer) => boolean): Measured | null =>
        measuredShare(
          crossed.map(({ id, one }) => hit(id, is(one))),
          rng,
        );
      return {
        task: label,
        n: crossed.length,
        latents: share(({ followsLatents }) => followsLatents),
        before: measuredShare(
          crossed.map(({ id, before }) => hit(id, before)),
          rng,
        ),
        gain: measuredMean(
          crossed.map(({ id, one, before }) => ({
            cluster: id,
            value: Number(one.followsLatents) - Number(before),
          })),
          rng,
        ),
        picture: share(({ followsPicture }) => followsPicture),
        neither: share(({ followsLatents, followsPicture }) => !followsLatents && !followsPicture),
      };
    }),
    note: 'The prompt holds the original picture; the latents that are read are those written for an edit that changes the right answer. The two right answers differ. Beside it, how often the model gives the answer to the edited picture anyway, with the original picture and its own latents.',
    items: ITEMS,
  };
}
