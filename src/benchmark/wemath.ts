// Owns WeMath: answers read with or without a judge, groups of steps and their composite, mastery classes,
// scores strict and loose.
import { DataError } from '../errors.ts';
import { scoreChoice } from './choices.ts';
import {
  HitCount,
  countRows,
  entryOf,
  isEmptyCell,
  lowerColumns,
  requireText,
  scored,
} from './figures.ts';
import { wemathPrompt } from './judge-prompts.ts';
import { isMissing } from './missing.ts';
import { wemathQuestion } from './prompts.ts';
import { percent, str } from './python/numbers.ts';
import { strip } from './python/text.ts';
import type {
  Benchmark,
  Cell,
  Era,
  Figure,
  Figures,
  ItemScore,
  JudgeQuestion,
  Row,
  ScoreOptions,
  ScoredRow,
} from './types.ts';
import { CONCEPT_AREAS } from './wemath-concepts.ts';

/** Groups of the whole benchmark: what every rate is relative to, also for a part of the table. */
const NUM_GROUPS = 525;

const ANSWER = 'Answer';
const DIRECT_LETTERS = 'ABCDEFGH';
const MARKS = /[><:.]/g;

/** Groups at most; only a table that repeats its problems without end has more. */
const MAX_GROUPS = 1_000_000;

/** The letter after the last `Answer`, without a judge. */
function readDirectly(prediction: Cell): string | null {
  if (isMissing(prediction)) return null;
  const text = str(prediction);
  const at = text.lastIndexOf(ANSWER);
  const rest = strip(at < 0 ? text : text.slice(at + ANSWER.length));
  const first = strip(rest.replace(MARKS, '')).charAt(0);
  return first !== '' && DIRECT_LETTERS.includes(first) ? first : null;
}

function scoreItem(row: Row, prediction: Cell, options: ScoreOptions): ItemScore | JudgeQuestion {
  if (options.replies !== undefined) return scoreChoice(row, prediction, options, wemathPrompt);
  const letter = readDirectly(prediction);
  const isRight = letter !== null && letter === row['answer'];
  return scored(letter, isRight, letter === null ? 'none' : 'parsed', prediction);
}

/** Renamed as for choices, `ID` apart, which the reference names back. */
function prepareRow(row: Row): Row {
  const lowered = lowerColumns(row);
  if (lowered['id'] === undefined || lowered['ID'] !== undefined) return lowered;
  const made = Object.create(null) as Record<string, Cell>;
  for (const [name, cell] of Object.entries(lowered)) made[name === 'id' ? 'ID' : name] = cell;
  return made;
}

/** A row of a group: right or wrong, and what it asks for. */
interface Step {
  readonly isRight: boolean;
  readonly concept: string | null;
}

/** A composite with its steps; one that is not in the table is null. */
interface Group {
  readonly steps: readonly (Step | null)[];
  readonly composite: Step | null;
}

function stepOf({ row, score }: ScoredRow): Step {
  const concept = row['knowledge concept'];
  return { isRight: score.score === 1, concept: isEmptyCell(concept) ? null : str(concept) };
}

/** Steps by key, then by problem. */
type StepIndex = ReadonlyMap<string, ReadonlyMap<string, readonly Step[]>>;

function indexSteps(rows: readonly ScoredRow[]): StepIndex {
  const index = new Map<string, Map<string, Step[]>>();
  for (const one of rows) {
    const problems = entryOf(index, requireText(one.row, 'key'), () => new Map<string, Step[]>());
    entryOf(problems, str(one.row['ID'] ?? null), () => []).push(stepOf(one));
  }
  return index;
}

function tooManyGroups(problem: string): DataError {
  return new DataError({
    what: 'WeMath has problems whose steps are repeated too often',
    got: `more than ${MAX_GROUPS} groups, the last of problem ${problem}`,
    expected: `${NUM_GROUPS} groups in the whole benchmark`,
    fix: 'remove the rows that repeat a problem and key',
  });
}

/**
 * Groups of a size: the other steps and the composite joined to the first step by problem. As in a left join,
 * a part that is missing is null, and one that is there twice makes two groups.
 */
function groupsOf(index: StepIndex, size: 2 | 3): readonly Group[] {
  const parts = Array.from({ length: size }, (_, i) => `${i + 1}`).concat('multi');
  const groups: Group[] = [];
  for (const [problem, firsts] of index.get(`${size}steps_1`) ?? []) {
    let joined: (Step | null)[][] = firsts.map((first) => [first]);
    for (const part of parts.slice(1)) {
      const found = index.get(`${size}steps_${part}`)?.get(problem) ?? [null];
      if (groups.length + joined.length * found.length > MAX_GROUPS) throw tooManyGroups(problem);
      joined = joined.flatMap((steps) => found.map((step) => [...steps, step]));
    }
    for (const steps of joined)
      groups.push({ steps: steps.slice(0, -1), composite: steps.at(-1) ?? null });
  }
  return groups;
}

/** How many groups are of each class. */
interface Classes {
  readonly insufficient: number;
  readonly inadequate: number;
  readonly mastery: number;
  readonly rote: number;
}

function classify(groups: readonly Group[], isStrict: boolean): Classes {
  const isRight = (step: Step | null): boolean => step?.isRight === true;
  const isWrong = (step: Step | null): boolean => step?.isRight === false;
  const count = (composite: boolean, steps: (steps: Group['steps']) => boolean): number =>
    groups.filter((group) => group.composite?.isRight === composite && steps(group.steps)).length;
  return {
    insufficient: count(false, (steps) => steps.some(isWrong)),
    inadequate: count(false, (steps) => steps.every(isRight)),
    mastery: count(true, (steps) => (isStrict ? steps.every(isRight) : steps.some(isRight))),
    rote: count(true, (steps) => (isStrict ? steps.some(isWrong) : steps.every(isWrong))),
  };
}

function scoreOf(classes: Classes): number {
  const lost = 0.5 * classes.inadequate + classes.rote + classes.insufficient;
  return (NUM_GROUPS - lost) / NUM_GROUPS;
}

function classFigures(groups: readonly Group[], isStrict: boolean): Figure[] {
  const classes = classify(groups, isStrict);
  const kind = isStrict ? 'Strict' : 'Loose';
  const share = (name: string, count: number): Figure => ({
    name: `${name} (${kind})`,
    value: `${percent(count / NUM_GROUPS)} (${count})`,
  });
  const numSolved = classes.mastery + classes.rote;
  const rote = `${percent(classes.rote / numSolved)} (${classes.rote})`;
  return [
    { name: `Score (${kind})`, value: percent(scoreOf(classes)) },
    share('InsufficientKnowledge', classes.insufficient),
    share('InadequateGeneralization', classes.inadequate),
    share('CompleteMastery', classes.mastery),
    // The reference divides by zero here and reports nothing at all.
    { name: `RoteMemorization (${kind})`, value: numSolved === 0 ? null : rote },
  ];
}

function meanOf(steps: readonly (Step | null)[]): HitCount {
  const count = new HitCount();
  for (const step of steps) if (step !== null) count.add(step.isRight ? 1 : 0);
  return count;
}

/**
 * Mean of the means of an area's concepts, summed as pandas does: with Kahan's compensation, but one after the
 * other where a step is missing anywhere, because its column is one of Python objects then. The last bit of a
 * sum shows where the mean lies halfway between two texts: `49.38%` or `49.37%`.
 */
function areaMean(means: readonly number[], isCompensated: boolean): number {
  let sum = 0;
  let lost = 0;
  for (const mean of means) {
    const next = mean - lost;
    const total = sum + next;
    lost = isCompensated ? total - sum - next : 0;
    sum = total;
  }
  return sum / means.length;
}

function accuracyFigures(two: readonly Group[], three: readonly Group[]): Figure[] {
  const steps = [...two, ...three].flatMap((group) => group.steps);
  const concepts = new Map<string, HitCount>();
  for (const step of steps) {
    if (step !== null && step.concept !== null)
      entryOf(concepts, step.concept, () => new HitCount()).add(step.isRight ? 1 : 0);
  }
  const composites = (groups: readonly Group[]): number | null =>
    meanOf(groups.map((group) => group.composite)).mean();
  const figure = (name: string, value: number | null): Figure => ({
    name,
    value: percent(value ?? NaN),
  });
  return [
    figure('One-step(S1)', meanOf(steps).mean()),
    figure('Two-step(S2)', composites(two)),
    figure('Three-step(S3)', composites(three)),
    ...CONCEPT_AREAS.map(([area, names]) => {
      const means = names.flatMap((name) => concepts.get(name)?.mean() ?? []);
      return figure(area, areaMean(means, !steps.includes(null)));
    }),
  ];
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const index = indexSteps(rows);
  const two = groupsOf(index, 2);
  const three = groupsOf(index, 3);
  const groups = [...two, ...three];
  const headline = (name: string, isStrict: boolean): Figures['headlines'][number] => ({
    name,
    percent: rows.length === 0 ? null : scoreOf(classify(groups, isStrict)) * 100,
  });
  return {
    benchmark: 'WeMath',
    era,
    ...countRows(rows),
    isLowerBound: false,
    figures: [
      ...classFigures(groups, true),
      ...classFigures(groups, false),
      ...accuracyFigures(two, three),
    ],
    headlines: [headline('WeMath-S', true), headline('WeMath-L', false)],
  };
}

/** Rows of one problem and size belong together. */
function cluster(row: Row): string {
  const [size = ''] = str(row['key'] ?? null).split('_');
  return `${size}/${str(row['ID'] ?? null)}`;
}

/** WeMath, 525 groups of one composite question and its steps. */
export const wemath: Benchmark = {
  name: 'WeMath',
  paperName: 'WeMath',
  file: 'WeMath.tsv',
  url: 'https://opencompass.openxlab.space/utils/VLMEval/WeMath.tsv',
  md5: 'b5e969a075f01290a542411fb7766388',
  numRows: 1740,
  judge: 'helps',
  judgeModel: 'gpt-4o-mini-2024-07-18',
  scoringColumns: ['index', 'ID', 'key', 'A', 'B', 'answer', 'knowledge concept'],
  promptColumns: ['index', 'question', 'A', 'B'],
  promptText: wemathQuestion,
  prepareRow,
  scoreItem,
  aggregate,
  cluster,
};
