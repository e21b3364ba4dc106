// Owns recomputing the part on counterfactual pictures from its journal; recompute-audit.ts calls it.
import { average, byTask, isAnswer, share } from './recomputation.ts';
import type { Estimate, Expected, Recomputation } from './recomputation.ts';
import { mean } from './statistics.ts';

type Effect = 'flip' | 'control' | 'floor';

interface Edit {
  readonly effect: Effect;
  readonly what: string;
  readonly expected: string;
  readonly answer: string | null;
  readonly correct: boolean;
  readonly changed: boolean;
  readonly l2: number | null;
  readonly cosine: number | null;
}

interface Crossed {
  readonly expected: string;
  readonly answer: string | null;
  readonly followsLatents: boolean;
  readonly followsPicture: boolean;
}

interface Item {
  readonly id: string;
  readonly task: string;
  readonly expected: string;
  readonly answer: string | null;
  readonly correct: boolean;
  readonly edits: readonly Edit[];
  readonly crossed: Crossed | null;
  readonly skipped: string | null;
}

/** An edit with its example, judged by the answers alone. */
interface Judged extends Edit {
  readonly item: Item;
  readonly isChanged: boolean;
  readonly isRight: boolean;
}

const EFFECTS: Readonly<Record<Effect, string>> = {
  flip: 'edits that change the right answer',
  control: 'edits that keep it',
  floor: 'changes no one sees',
};
const ORDER: readonly Effect[] = ['flip', 'control', 'floor'];

function isOther(answer: string | null, before: string | null): boolean {
  return before === null ? answer !== null : !isAnswer(answer, before);
}

function judgedOf(items: readonly Item[]): Judged[] {
  return items.flatMap((item) =>
    item.edits.map((edit) => ({
      ...edit,
      item,
      isChanged: isOther(edit.answer, item.answer),
      isRight: isAnswer(edit.answer, edit.expected),
    })),
  );
}

function rate(edits: readonly Judged[], is: (edit: Judged) => boolean): Estimate | null {
  return share(edits.map((edit) => [edit.item.id, is(edit)] as const));
}

function distance(edits: readonly Judged[], key: 'l2' | 'cosine'): Estimate | null {
  return average(
    edits.flatMap((edit) => {
      const value = edit[key];
      return value === null ? [] : [[edit.item.id, value] as const];
    }),
  );
}

function flips(task: string, items: readonly Item[]): Record<string, Expected> {
  const all = judgedOf(items);
  const [flip = [], control = [], floor = []] = ORDER.map((effect) =>
    all.filter((edit) => edit.effect === effect),
  );
  const wereRight = flip.filter(({ item }) => isAnswer(item.answer, item.expected));
  const numEdits = flip.length + control.length;
  return {
    ...{ task, rows: items.length, edits: numEdits, rightFlips: wereRight.length },
    shouldFlip: numEdits === 0 ? null : flip.length / numEdits,
    modelFlip: rate(flip, (edit) => edit.isChanged),
    correctFlip: rate(flip, (edit) => edit.isChanged && edit.isRight),
    correctFlipOfRight: rate(wereRight, (edit) => edit.isRight),
    consistency: rate(control, (edit) => !edit.isChanged),
    floor: rate(floor, (edit) => !edit.isChanged),
  };
}

/** Kinds of edits, each effect in order of appearance; the floor is one for all tasks. */
function kinds(items: readonly Item[]): Record<string, Expected>[] {
  const all = judgedOf(items);
  return ORDER.flatMap((effect) => {
    const groups = new Map<string, Judged[]>();
    for (const edit of all.filter((one) => one.effect === effect)) {
      const key = JSON.stringify([effect === 'floor' ? 'all' : edit.item.task, edit.what]);
      groups.set(key, [...(groups.get(key) ?? []), edit]);
    }
    return [...groups].map(([key, edits]) => {
      const [task = '', what = ''] = JSON.parse(key) as string[];
      return {
        ...{ task, what, should: effect === 'flip' ? 'change' : 'stay', n: edits.length },
        changed: rate(edits, (edit) => edit.isChanged),
        right: rate(edits, (edit) => edit.isRight),
        l2: distance(edits, 'l2'),
      };
    });
  });
}

/** Difference of the mean moves of two effects, over examples that have both. */
function beyond(items: readonly Item[], effect: Effect, than: Effect): Estimate | null {
  return average(
    items.flatMap((item) => {
      const [more = [], less = []] = [effect, than].map((of) =>
        item.edits.flatMap((edit) => (edit.effect === of && edit.l2 !== null ? [edit.l2] : [])),
      );
      return more.length && less.length ? [[item.id, mean(more) - mean(less)] as const] : [];
    }),
  );
}

function moves(items: readonly Item[]): Record<string, Expected>[] {
  return ORDER.map((effect) => {
    const edits = judgedOf(items).filter((edit) => edit.effect === effect && edit.l2 !== null);
    return {
      effect: EFFECTS[effect],
      n: edits.length,
      l2: distance(edits, 'l2'),
      cosine: distance(edits, 'cosine'),
      beyond: effect === 'floor' ? null : beyond(items, effect, 'floor'),
      beyondControl: effect === 'flip' ? beyond(items, 'flip', 'control') : null,
    };
  });
}

function crossing(task: string, items: readonly Item[]): Record<string, Expected> {
  const found = items.flatMap(({ id, expected, answer, crossed }) =>
    crossed
      ? [
          {
            id,
            latents: isAnswer(crossed.answer, crossed.expected),
            picture: isAnswer(crossed.answer, expected),
            before: isAnswer(answer, crossed.expected),
          },
        ]
      : [],
  );
  type Case = (typeof found)[number];
  const of = (is: (one: Case) => boolean): Estimate | null =>
    share(found.map((one) => [one.id, is(one)] as const));
  return {
    ...{ task, n: found.length },
    latents: of((one) => one.latents),
    before: of((one) => one.before),
    gain: average(found.map((one) => [one.id, Number(one.latents) - Number(one.before)] as const)),
    picture: of((one) => one.picture),
    neither: of((one) => !one.latents && !one.picture),
  };
}

/** Flags of the journal that its answers contradict. */
function contradictions(items: readonly Item[]): string[] {
  return items.flatMap((item) => {
    const edits = judgedOf([item]);
    const { crossed } = item;
    const isSound =
      edits.every((e) => e.changed === e.isChanged && e.correct === e.isRight) &&
      item.correct === isAnswer(item.answer, item.expected) &&
      (!crossed ||
        (crossed.followsLatents === isAnswer(crossed.answer, crossed.expected) &&
          crossed.followsPicture === isAnswer(crossed.answer, item.expected)));
    return isSound ? [] : [item.id];
  });
}

/** All tables of the part; its rates follow from answers, not from what the journal says of them. */
export function counterfactual(run: Recomputation): void {
  if (!run.has('counterfactual')) return;
  const all = run.part('counterfactual') as readonly Item[];
  const items = all.filter(({ skipped }) => skipped === null);
  run.check('counterfactual, contradictions', contradictions(items).length, 0);
  const clean = new Map(run.arm('clean').map((item) => [item.id, item.answer]));
  const strangers = items.filter(({ id, answer }) => clean.get(id) !== answer);
  run.check('counterfactual, clean answers that arm-clean has not', strangers.length, 0);
  const groups = byTask(items);
  run.table(
    'counterfactual-flips',
    groups.map(({ task, items: own }) => flips(task, own)),
  );
  run.table('counterfactual-edits', kinds(items));
  const hasMoves = judgedOf(items).some(({ l2 }) => l2 !== null);
  run.table('counterfactual-latents', hasMoves ? moves(items) : []);
  const hasCrossed = items.some(({ crossed }) => crossed !== null);
  run.table(
    'counterfactual-crossed',
    hasCrossed ? groups.map(({ task, items: own }) => crossing(task, own)) : [],
  );
}
