// Owns the tables of the oracle part; oracle-summary.ts puts them together.
import type { Rng } from '../../rng.ts';
import { armFile, partFile } from '../journals.ts';
import type { Journals } from '../part.ts';
import type { OracleAnswer, OracleRecord } from '../picture-oracle.ts';
import { hit, measuredMean, measuredShare } from '../rates.ts';
import type { TaskGroup } from '../rates.ts';
import type { AuditTable, Cell, Measured } from '../types.ts';

/** Rows listed on the page; the journal has all of them. ours: two screens. */
const MOST_LISTED = 50;
const ITEMS = [partFile('oracle')];
const ARM_ITEMS = ['clean', 'zero-latent', 'oracle'].map(armFile);

/** How one example was answered in all ways; absent where it was not asked that way. */
export interface Asked {
  readonly id: string;
  readonly task: string;
  readonly question: string;
  readonly expected: string;
  readonly ways: Readonly<Partial<Record<Way, OracleAnswer>>>;
}

/** Ways of answering, as tables write them. */
export const WAYS = {
  clean: 'own latents',
  zero: 'no latents',
  oracle: 'oracle latents',
  one: 'query picture, no latents',
  two: 'both pictures, no latents',
} as const;
/** A way of answering. */
export type Way = keyof typeof WAYS;

/** An oracle and what it is held against. */
export interface Comparison {
  readonly label: string;
  readonly before: Way;
  readonly after: Way;
}

const COMPARISONS: readonly Comparison[] = [
  { label: 'oracle latents for own latents', before: 'clean', after: 'oracle' },
  { label: 'oracle latents for none', before: 'zero', after: 'oracle' },
  { label: 'auxiliary picture as second input', before: 'one', after: 'two' },
];

/** All answers to every example. */
export function askedOf(journals: Journals): Asked[] {
  const arm = (name: string) => new Map(journals.arm(name).map((record) => [record.id, record]));
  const [clean, zero, oracle] = [arm('clean'), arm('zero-latent'), arm('oracle')];
  return (journals.part('oracle') as readonly OracleRecord[]).map((record): Asked => {
    const { id, task, question, expected, one, two } = record;
    const ways: Partial<Record<Way, OracleAnswer>> = { one };
    if (two) ways.two = two;
    const [own, without, given] = [clean.get(id), zero.get(id), oracle.get(id)];
    if (own) ways.clean = own;
    if (without) ways.zero = without;
    if (given) ways.oracle = given;
    return { id, task, question, expected, ways };
  });
}

/** Accuracy in one way over the examples asked so. */
function accuracy(asked: readonly Asked[], way: Way, rng: Rng): Measured | null {
  return measuredShare(
    asked.flatMap(({ id, ways }) => {
      const found = ways[way];
      return found ? [hit(id, found.correct)] : [];
    }),
    rng,
  );
}

/** Accuracy in every way by task. */
export function accuracyTable(groups: readonly TaskGroup<Asked>[], ways: readonly Way[], rng: Rng) {
  return {
    id: 'oracle-accuracy',
    title: 'Accuracy with and without the oracle',
    columns: [
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      ...ways.map((way) => ({ key: way, title: WAYS[way], format: 'percent' as const })),
    ],
    rows: groups.map(({ label, records }) => ({
      task: label,
      n: records.length,
      ...Object.fromEntries(ways.map((way) => [way, accuracy(records, way, rng)])),
    })),
    note: 'Oracle latents are the embeddings of the auxiliary picture, projected onto the plane of a PCA head; examples that wrote no span keep their answer. Both pictures: the auxiliary picture stands behind the query picture in the prompt, and the model answers without latents.',
    items: [...ARM_ITEMS, ...ITEMS],
  } satisfies AuditTable;
}

/** Examples by what an oracle did to them. */
export function gainTable(groups: readonly TaskGroup<Asked>[], ways: readonly Way[], rng: Rng) {
  const usable = COMPARISONS.filter(({ before, after }) =>
    [before, after].every((way) => ways.includes(way)),
  );
  const rows = usable.flatMap(({ label, before, after }) =>
    groups.map(({ label: task, records }): Readonly<Record<string, Cell>> => {
      const pairs = records.flatMap(({ id, ways: own }) => {
        const [first, second] = [own[before], own[after]];
        return first && second ? [{ id, was: first.correct, is: second.correct }] : [];
      });
      const count = (was: boolean, is: boolean): number =>
        pairs.filter((pair) => pair.was === was && pair.is === is).length;
      return {
        oracle: label,
        task,
        n: pairs.length,
        turnedRight: count(false, true),
        turnedWrong: count(true, false),
        stayRight: count(true, true),
        stayWrong: count(false, false),
        gain: measuredMean(
          pairs.map(({ id, was, is }) => ({ cluster: id, value: Number(is) - Number(was) })),
          rng,
        ),
      };
    }),
  );
  return {
    id: 'oracle-gain',
    title: 'What the oracle does, by example',
    columns: [
      { key: 'oracle', title: 'Given', format: 'text' },
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'n', title: 'Examples', format: 'count' },
      { key: 'turnedRight', title: 'Turned right', format: 'count' },
      { key: 'turnedWrong', title: 'Turned wrong', format: 'count' },
      { key: 'stayRight', title: 'Right either way', format: 'count' },
      { key: 'stayWrong', title: 'Wrong either way', format: 'count' },
      { key: 'gain', title: 'Gain', format: 'points' },
    ],
    rows,
    items: [...ARM_ITEMS, ...ITEMS],
  } satisfies AuditTable;
}

/** The way the oracle is given in here: as latents where the model has them, else as a picture. */
export function mainComparison(ways: readonly Way[]): Comparison | undefined {
  return COMPARISONS.find(({ before, after }) =>
    [before, after].every((way) => ways.includes(way)),
  );
}

/** Examples that are wrong before and after. */
export function cannotTeach(asked: readonly Asked[], { before, after }: Comparison): Asked[] {
  return asked.filter(
    ({ ways }) => ways[before]?.correct === false && ways[after]?.correct === false,
  );
}

/** The first of the examples that stay wrong. */
export function listTable(rows: readonly Asked[], { before, after }: Comparison): AuditTable {
  return {
    id: 'oracle-cannot-teach',
    title: 'Examples that stay wrong even with the oracle',
    columns: [
      { key: 'id', title: 'Example', format: 'text' },
      { key: 'task', title: 'Task', format: 'text' },
      { key: 'question', title: 'Question', format: 'text' },
      { key: 'expected', title: 'Right answer', format: 'text' },
      { key: 'before', title: WAYS[before], format: 'text' },
      { key: 'after', title: WAYS[after], format: 'text' },
      ...(after === 'two' ? [] : [{ key: 'two', title: WAYS.two, format: 'text' as const }]),
    ],
    rows: rows.slice(0, MOST_LISTED).map(({ id, task, question, expected, ways }) => ({
      ...{ id, task, question, expected },
      before: ways[before]?.answer ?? '(none)',
      after: ways[after]?.answer ?? '(none)',
      ...(after === 'two' ? {} : { two: ways.two ? (ways.two.answer ?? '(none)') : null }),
    })),
    note: `${rows.length} examples in all${rows.length > MOST_LISTED ? `, the first ${MOST_LISTED} here; the journals have the rest` : ''}. Wrong without the oracle and wrong with it: for this model their auxiliary pictures do not hold the answer, or it cannot read it from them.`,
    items: [...ARM_ITEMS, ...ITEMS],
  };
}
