// Owns MME-RealWorld-Lite: a parser of its own, no judge, accuracies by task, subtask and kind.
import { DataError } from '../errors.ts';
import {
  HitCount,
  countRows,
  entryOf,
  indexOf,
  nameRow,
  requireText,
  sameRow,
  scored,
  toPercent,
} from './figures.ts';
import { isMissing } from './missing.ts';
import { realWorldQuestion } from './prompts.ts';
import { str } from './python/numbers.ts';
import { lower, split, strip, upper } from './python/text.ts';
import type { Benchmark, Cell, Era, Figure, Figures, ItemScore, Row, ScoredRow } from './types.ts';

const OPEN = '<answer>';
const CLOSE = '</answer>';

const FIRST_PREFIXES = [
  'The best answer is',
  'The correct answer is',
  'The answer is',
  'The answer',
] as const;

/** In `paper` two commas were forgotten, so that Python joined the last four prefixes to two. */
const PREFIXES: Readonly<Record<Era, readonly string[]>> = {
  head: [
    ...FIRST_PREFIXES,
    'The best option is',
    'The correct option is',
    'Best answer:',
    'Best option:',
  ],
  paper: [...FIRST_PREFIXES, 'The best option isThe correct option is', 'Best answer:Best option:'],
};

/** A text of more words needs a capital letter of an option. */
const MAX_WORDS_WITHOUT_LETTER = 10;

const LETTER = /[A-E]/;
const LETTERS = ['A', 'B', 'C', 'D', 'E'] as const;

/** Tasks and subtasks in the order of the report; others are errors. */
const TASKS = ['Reasoning', 'Perception'] as const;
const SUBTASKS = [
  'Monitoring',
  'Autonomous_Driving',
  'OCR with Complex Context',
  'Diagram and Table',
  'Remote Sensing',
] as const;

/** Inside of the first answer pair, in upper case; the whole text without one. */
function unwrap(text: string): string {
  const start = text.indexOf(OPEN);
  const end = start < 0 ? -1 : text.indexOf(CLOSE, start + OPEN.length);
  return end < 0 ? text : upper(strip(text.slice(start + OPEN.length, end)));
}

function extract(text: string, era: Era): string | null {
  let rest = strip(unwrap(text));
  for (const prefix of PREFIXES[era]) rest = rest.replaceAll(prefix, '');
  const letter = LETTER.exec(rest)?.[0];
  if (letter !== undefined) return letter;
  if (split(rest).length > MAX_WORDS_WITHOUT_LETTER) return null;
  const small = lower(rest);
  return LETTERS.find((option) => `(${lower(option)})`.includes(small)) ?? null;
}

function scoreItem(row: Row, prediction: Cell, { era }: { readonly era: Era }): ItemScore {
  // The reference fails on a missing prediction; an empty one would otherwise read as `A`.
  const letter = isMissing(prediction) ? null : extract(str(prediction), era);
  const isRight = letter !== null && letter === row['answer'];
  return scored(letter, isRight, letter === null ? 'none' : 'parsed', prediction);
}

interface Place {
  readonly task: string;
  readonly subtask: string;
  readonly kind: string;
}

/**
 * Where a row stands in the report.
 * @throws DataError for a task or subtask that the report has no place for.
 */
function placeOf(row: Row): Place {
  const category = requireText(row, 'category');
  const [task = '', subtask = ''] = category.split('/');
  if (!TASKS.some((one) => one === task) || !SUBTASKS.some((one) => one === subtask)) {
    throw new DataError({
      what: `${nameRow(row)} has a "category" that MME-RealWorld does not know`,
      got: category,
      expected: `${TASKS.join(' or ')}, a slash, and one of ${SUBTASKS.join(', ')}`,
      fix: 'score it with the benchmark it is of, or as a table of your own',
    });
  }
  const kind = lower(requireText(row, 'l2-category'));
  const [head = ''] = kind.split('/');
  return { task, subtask, kind: kind.includes('attribute') ? `${head}/attribute` : kind };
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const counts = new Map<string, HitCount>();
  const kinds = new Map<string, Set<string>>();
  const count = (name: string): HitCount => entryOf(counts, name, () => new HitCount());
  for (const { row, score } of rows) {
    const { task, subtask, kind } = placeOf(row);
    const group = `${task}/${subtask}`;
    entryOf(kinds, group, () => new Set<string>()).add(kind);
    for (const name of ['Overall', `${task}/Avg`, `${group}/Avg`, `${group}/${kind}`])
      count(name).add(score.score);
  }
  const average = (name: string): Figure => ({ name, value: counts.get(name)?.mean() ?? 0 });
  const figures: Figure[] = [{ name: 'Overall', value: counts.get('Overall')?.mean() ?? null }];
  for (const task of TASKS) {
    for (const subtask of SUBTASKS) {
      const group = `${task}/${subtask}`;
      for (const kind of kinds.get(group) ?? []) figures.push(average(`${group}/${kind}`));
      figures.push(average(`${group}/Avg`));
    }
    figures.push(average(`${task}/Avg`));
  }
  const headline = (name: string, key: string): Figures['headlines'][number] => ({
    name,
    percent: toPercent(counts.get(key)?.mean() ?? null),
  });
  return {
    benchmark: 'MME-RealWorld-Lite',
    era,
    ...countRows(rows),
    isLowerBound: false,
    figures,
    headlines: [
      headline('Overall', 'Overall'),
      headline('Reasoning', 'Reasoning/Avg'),
      headline('Perception', 'Perception/Avg'),
    ],
  };
}

/** MME-RealWorld-Lite, 1919 questions. */
export const mmeRealWorld: Benchmark = {
  name: 'MME-RealWorld-Lite',
  paperName: 'MME-RealWorld-Lite',
  file: 'MME-RealWorld-Lite.tsv',
  url: 'https://huggingface.co/datasets/yifanzhang114/MME-RealWorld-Base64/resolve/main/mme_realworld_lite.tsv',
  md5: '4c17057d7d3b6c4a0d4397c3dae0881c',
  numRows: 1919,
  judge: 'none',
  judgeModel: null,
  scoringColumns: ['index', 'answer', 'category', 'l2-category'],
  promptColumns: ['index', 'question', 'multi-choice options'],
  promptText: realWorldQuestion,
  prepareRow: sameRow,
  scoreItem,
  aggregate,
  cluster: indexOf,
};
