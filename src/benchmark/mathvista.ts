// Owns MathVista: prefetching, the judge's extraction, comparison with the reference, accuracies by task and
// skill.
import { DataError } from '../errors.ts';
import {
  HitCount,
  countRows,
  entryOf,
  indexOf,
  nameRow,
  predictionText,
  requireText,
  sameRow,
  scored,
  toPercent,
} from './figures.ts';
import { WARMING_CALLS, mathvistaPrompt, warmerQuestion } from './judge-prompts.ts';
import { ChoiceMatcher, FAILED_CALL, letterOptions } from './matcher.ts';
import type { Option } from './matcher.ts';
import { isMissing } from './missing.ts';
import { mathvistaQuestion } from './prompts.ts';
import { parseLiteral } from './python/literal.ts';
import type { Literal } from './python/literal.ts';
import { parseFloatText, parseInteger, reprFloat, str } from './python/numbers.ts';
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

const MAX_TOKENS = 128;

const OVERALL = 'Overall';

/** What a free-form answer that is no number is compared with, whatever was extracted. */
const NO_EXTRACTION = 'None';

function fault(row: Row, column: string, expected: string): DataError {
  return new DataError({
    what: `${nameRow(row)} has "${column}" that cannot be read`,
    got: str(row[column] ?? null).slice(0, 80),
    expected,
    fix: 'correct or remove the row',
  });
}

/** `str(element)` of an element of a list cell; a list within the list is none. */
function elementText(element: Literal): string | undefined {
  if (element === null) return 'None';
  return typeof element === 'object' ? undefined : str(element);
}

/**
 * The lettered choices of a row.
 * @throws DataError if the cell holds no list of texts or numbers.
 */
function choicesOf(row: Row): readonly Option[] {
  const list = parseLiteral(requireText(row, 'choices'));
  const texts = Array.isArray(list) ? (list as readonly Literal[]).map(elementText) : undefined;
  if (texts === undefined || !texts.every((text) => text !== undefined))
    throw fault(row, 'choices', "a Python list of options, e.g. ['3/11', '8/11']");
  return letterOptions(texts, nameRow(row));
}

/** `int(cell)`; undefined where Python has none. */
function toInteger(cell: Cell): bigint | undefined {
  if (typeof cell === 'string') return parseInteger(cell);
  if (typeof cell === 'number') return Number.isFinite(cell) ? BigInt(Math.trunc(cell)) : undefined;
  return cell === null ? undefined : BigInt(cell);
}

/** `float(cell)`; undefined where Python has none. */
function toFloat(cell: Cell): number | undefined {
  if (typeof cell === 'string') return parseFloatText(cell);
  return cell === null ? undefined : Number(cell);
}

/** The value of a cell that equals the row's reference, by its type of answer; undefined if it does not. */
function equalValue(row: Row, cell: Cell): { text: string; isZero: boolean } | undefined {
  const answer = row['answer'] ?? null;
  if (row['answer_type'] === 'integer') {
    const value = toInteger(cell);
    const isEqual = value !== undefined && value === toInteger(answer);
    return isEqual ? { text: value.toString(), isZero: value === 0n } : undefined;
  }
  if (row['answer_type'] === 'float') {
    const value = toFloat(cell);
    const isEqual = value !== undefined && value === toFloat(answer);
    return isEqual ? { text: reprFloat(value), isZero: value === 0 } : undefined;
  }
  return str(answer) === NO_EXTRACTION ? { text: NO_EXTRACTION, isZero: false } : undefined;
}

/** What is extracted without a judge; zero counts as nothing, as it does in the reference. */
function prefetch(row: Row, prediction: Cell, era: Era): string | undefined {
  if (row['question_type'] === 'multi_choice')
    return new ChoiceMatcher(choicesOf(row), era).match(predictionText(prediction))?.letter;
  const equal = equalValue(row, isMissing(prediction) ? null : prediction);
  return equal === undefined || equal.isZero ? undefined : equal.text;
}

/** Whether an extraction is right; it went through a file first, so that some texts read as missing. */
function isRight(row: Row, extraction: string, era: Era): boolean {
  if (row['question_type'] !== 'multi_choice')
    return equalValue(row, isMissing(extraction) ? null : extraction) !== undefined;
  const match = new ChoiceMatcher(choicesOf(row), era).match(predictionText(extraction));
  return match !== undefined && match.letter === row['answer_option'];
}

function scoreItem(row: Row, prediction: Cell, options: ScoreOptions): ItemScore | JudgeQuestion {
  const { era } = options;
  const early = prefetch(row, prediction, era);
  if (early !== undefined) return scored(early, isRight(row, early, era), 'prefetch', prediction);
  // ours: without a judge the extraction is empty, as it is after a judge whose calls all failed.
  const replies = options.replies?.slice(0, WARMING_CALLS);
  const reply = replies?.find((one) => one !== null && !one.includes(`${FAILED_CALL}.`)) ?? null;
  if (reply !== null) return scored(reply, isRight(row, reply, era), 'judge', prediction);
  if (replies === undefined || replies.length >= WARMING_CALLS) {
    const settled = replies === undefined ? 'none' : 'judge';
    return scored(null, isRight(row, '', era), settled, prediction);
  }
  const prompt = mathvistaPrompt(requireText(row, 'question'), predictionText(prediction));
  return { ...warmerQuestion(prompt, replies.length), maxTokens: MAX_TOKENS };
}

/**
 * Skills of a row: the elements of a list, the characters of a quoted text (so does the reference), or the
 * cell itself where it is no literal at all.
 */
function skillsOf(row: Row): readonly string[] {
  const cell = row['skills'];
  const value = typeof cell === 'string' ? parseLiteral(cell) : null;
  if (value === undefined) return [cell as string];
  if (typeof value === 'string') return Array.from(value);
  const texts = Array.isArray(value) ? (value as readonly Literal[]).map(elementText) : undefined;
  if (texts === undefined || !texts.every((text) => text !== undefined))
    throw fault(row, 'skills', "a Python list of texts, e.g. ['arithmetic reasoning'], or a text");
  return texts;
}

interface Tally {
  readonly hits: HitCount;
  numPrefetched: number;
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const tallies = new Map<string, Tally>();
  for (const { row, score } of rows) {
    for (const name of [OVERALL, ...skillsOf(row), str(row['task'] ?? null)]) {
      const tally = entryOf(tallies, name, () => ({ hits: new HitCount(), numPrefetched: 0 }));
      tally.hits.add(score.score);
      if (score.settled === 'prefetch') tally.numPrefetched++;
    }
  }
  const figures = [...tallies].flatMap(([name, { hits, numPrefetched }]): Figure[] => [
    { name: `${name}/tot`, value: hits.total },
    { name: `${name}/prefetch`, value: numPrefetched },
    { name: `${name}/hit`, value: hits.hits },
    { name: `${name}/prefetch_rate`, value: (numPrefetched / hits.total) * 100 },
    { name: `${name}/acc`, value: toPercent(hits.mean()) },
  ]);
  const isLowerBound = rows.some(({ score }) => score.settled === 'none');
  const overall = new HitCount();
  for (const { score } of rows) overall.add(score.score);
  return {
    benchmark: 'MathVista_MINI',
    era,
    ...countRows(rows),
    isLowerBound,
    figures,
    headlines: [{ name: OVERALL, percent: toPercent(overall.mean()) }],
  };
}

/** MathVista, the 1000 questions of testmini. */
export const mathvista: Benchmark = {
  name: 'MathVista_MINI',
  paperName: 'MathVista',
  file: 'MathVista_MINI.tsv',
  url: 'https://opencompass.openxlab.space/utils/VLMEval/MathVista_MINI.tsv',
  md5: 'f199b98e178e5a2a20e7048f5dcb0464',
  numRows: 1000,
  judge: 'needed',
  judgeModel: 'gpt-4o-mini-2024-07-18',
  scoringColumns: [
    'index',
    'question_type',
    'answer_type',
    'answer',
    'answer_option',
    'choices',
    'task',
    'skills',
  ],
  promptColumns: ['index', 'question'],
  promptText: mathvistaQuestion,
  prepareRow: sameRow,
  scoreItem,
  aggregate,
  cluster: indexOf,
};
