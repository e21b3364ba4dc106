// Owns recomputing the part on the oracle from its journals; recompute-audit.ts calls it.
import { average, byTask, isAnswer, share } from './recomputation.ts';
import type { Estimate, Expected, Recomputation } from './recomputation.ts';

interface Answer {
  readonly answer: string | null;
  readonly correct: boolean;
}

interface Item {
  readonly id: string;
  readonly task: string;
  readonly question: string;
  readonly expected: string;
  readonly one: Answer;
  readonly two: Answer | null;
}

type Way = 'clean' | 'zero' | 'oracle' | 'one' | 'two';

const ORDER: readonly Way[] = ['clean', 'zero', 'oracle', 'one', 'two'];
const COMPARISONS: readonly (readonly [label: string, before: Way, after: Way])[] = [
  ['oracle latents for own latents', 'clean', 'oracle'],
  ['oracle latents for none', 'zero', 'oracle'],
  ['auxiliary picture as second input', 'one', 'two'],
];
/** Rows that the table of hopeless examples shows at most. */
const MOST_LISTED = 50;

interface Asked extends Omit<Item, Way> {
  readonly answers: Readonly<Partial<Record<Way, string | null>>>;
}

function askedOf(run: Recomputation): Asked[] {
  const arms = { clean: 'clean', zero: 'zero-latent', oracle: 'oracle' };
  return (run.part('oracle') as readonly Item[]).map(({ one, two, ...item }) => {
    const answers: Partial<Record<Way, string | null>> = { one: one.answer };
    if (two) answers.two = two.answer;
    for (const [way, name] of Object.entries(arms) as [Way, string][]) {
      const found = run.arm(name).find(({ id }) => id === item.id);
      if (found) answers[way] = found.answer;
    }
    return { ...item, answers };
  });
}

/** Whether an example was answered right in a way; undefined where it was not asked so. */
function isRight({ answers, expected }: Asked, way: Way): boolean | undefined {
  const answer = answers[way];
  return answer === undefined ? undefined : isAnswer(answer, expected);
}

function accuracy(asked: readonly Asked[], way: Way): Estimate | null {
  return share(
    asked.flatMap((item) => {
      const is = isRight(item, way);
      return is === undefined ? [] : [[item.id, is] as const];
    }),
  );
}

function gain(label: string, before: Way, after: Way, task: string, asked: readonly Asked[]) {
  const pairs = asked.flatMap((item) => {
    const [was, is] = [isRight(item, before), isRight(item, after)];
    return was === undefined || is === undefined ? [] : [{ id: item.id, was, is }];
  });
  const count = (was: boolean, is: boolean): number =>
    pairs.filter((pair) => pair.was === was && pair.is === is).length;
  return {
    ...{ oracle: label, task, n: pairs.length },
    ...{ turnedRight: count(false, true), turnedWrong: count(true, false) },
    ...{ stayRight: count(true, true), stayWrong: count(false, false) },
    gain: average(pairs.map(({ id, was, is }) => [id, Number(is) - Number(was)] as const)),
  };
}

/** All tables of the part; what is right follows from answers, not from what the journal says of them. */
export function oracle(run: Recomputation): void {
  if (!run.has('oracle')) return;
  const asked = askedOf(run);
  const ways = ORDER.filter((way) => asked.some(({ answers }) => answers[way] !== undefined));
  const groups = byTask(asked);
  run.table(
    'oracle-accuracy',
    groups.map(({ task, items }) => {
      const cells: Record<string, Expected> = { task, n: items.length };
      for (const way of ways) cells[way] = accuracy(items, way);
      return cells;
    }),
  );
  const usable = COMPARISONS.filter(([, ...both]) => both.every((way) => ways.includes(way)));
  run.table(
    'oracle-gain',
    usable.flatMap(([label, before, after]) =>
      groups.map(({ task, items }) => gain(label, before, after, task, items)),
    ),
  );
  const [main] = usable;
  if (!main) return;
  const [, before, after] = main;
  const stuck = asked.filter(
    (item) => isRight(item, before) === false && isRight(item, after) === false,
  );
  run.table(
    'oracle-cannot-teach',
    stuck.slice(0, MOST_LISTED).map(({ id, task, question, expected, answers }) => {
      const told = (way: Way): string => answers[way] ?? '(none)';
      const row = { id, task, question, expected, before: told(before), after: told(after) };
      if (after === 'two') return row;
      return { ...row, two: answers.two === undefined ? null : told('two') };
    }),
  );
  const sentence = `${stuck.length} of ${asked.length} examples stay wrong even with the oracle.`;
  const findings = run.findings('oracle');
  run.holds(`oracle, not "${sentence}"`, findings.includes(sentence), findings.at(-1));
}
