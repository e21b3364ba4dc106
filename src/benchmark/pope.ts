// Owns POPE: yes or no after punctuation is taken out, F1 over the exploded table and by split.
import {
  HitCount,
  countRows,
  entryOf,
  indexOf,
  isEmptyCell,
  predictionText,
  requireText,
  sameRow,
  scored,
  toPercent,
} from './figures.ts';
import { WARMING_CALLS, yesNoPrompt, warmerQuestion } from './judge-prompts.ts';
import { yesNoQuestion } from './prompts.ts';
import { str } from './python/numbers.ts';
import { isBlank, lower } from './python/text.ts';
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

const YES = 'Yes';
const NO = 'No';
const UNKNOWN = 'Unknown';

/** Marks that are deleted or replaced by a space. Apostrophes, asterisks and colons are none of them. */
const MARKS = ';/[]"{}()=+\\_-><@`,?!';
const IS_MARK = Uint8Array.from({ length: 128 }, (_, unit) =>
  MARKS.includes(String.fromCharCode(unit)) ? 1 : 0,
);
const SPACE = 0x20;
const DIGIT_COMMA = /\p{Nd},\p{Nd}/u;
const DIGIT = /\p{Nd}/u;
/** The reference passes a flag where Python wants the greatest number of replacements: 32. */
const MAX_STOPS = 32;

/** Which ASCII units are deleted: marks beside a space anywhere, or all marks where a number has a comma. */
function deletedMarks(text: string): Uint8Array {
  if (text.includes(',') && DIGIT_COMMA.test(text)) return IS_MARK;
  const deleted = new Uint8Array(IS_MARK.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (IS_MARK[unit] !== 1) continue;
    if (text.charCodeAt(i - 1) === SPACE || text.charCodeAt(i + 1) === SPACE) deleted[unit] = 1;
  }
  return deleted;
}

/** The text without its first lone full stops: those with no digit of any script before or after. */
function withoutStops(text: string): string {
  const parts: string[] = [];
  let start = 0;
  for (let at = text.indexOf('.'); at >= 0; at = text.indexOf('.', at + 1)) {
    // Two units before: a digit may be an astral one.
    const before = Array.from(text.slice(Math.max(0, at - 2), at)).at(-1) ?? '';
    const after = Array.from(text.slice(at + 1, at + 3)).at(0) ?? '';
    if (DIGIT.test(before) || DIGIT.test(after)) continue;
    parts.push(text.slice(start, at));
    start = at + 1;
    if (parts.length === MAX_STOPS) break;
  }
  return parts.join('') + text.slice(start);
}

function withoutPunctuation(text: string): string {
  const deleted = deletedMarks(text);
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (IS_MARK[unit] !== 1) continue;
    parts.push(text.slice(start, i), deleted[unit] === 1 ? '' : ' ');
    start = i + 1;
  }
  return withoutStops(parts.join('') + text.slice(start));
}

/** Whether a word stands between blanks. */
function hasWord(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) {
    const end = at + word.length;
    const isFirst = at === 0 || isBlank(text.charCodeAt(at - 1));
    if (isFirst && (end === text.length || isBlank(text.charCodeAt(end)))) return true;
  }
  return false;
}

function extract(text: string): string {
  const plain = withoutPunctuation(lower(text));
  const hasYes = hasWord(plain, 'yes');
  if (hasYes === hasWord(plain, 'no')) return UNKNOWN;
  return hasYes ? YES : NO;
}

function scoreItem(row: Row, prediction: Cell, options: ScoreOptions): ItemScore | JudgeQuestion {
  const isRight = (result: string): boolean => result === row['answer'];
  const text = predictionText(prediction);
  const result = extract(text);
  if (result !== UNKNOWN) return scored(result, isRight(result), 'parsed', prediction);
  const replies = options.replies?.slice(0, WARMING_CALLS);
  for (const reply of replies ?? []) {
    const said = reply === null ? UNKNOWN : extract(reply);
    if (said !== UNKNOWN) return scored(said, isRight(said), 'judge', prediction);
  }
  if (replies === undefined || replies.length >= WARMING_CALLS)
    return scored(UNKNOWN, isRight(UNKNOWN), 'none', prediction);
  return warmerQuestion(yesNoPrompt(requireText(row, 'question'), text), replies.length);
}

/** Counts of one split; everything but `Yes` is negative. */
class Confusion {
  private truePositives = 0;
  private falsePositives = 0;
  private falseNegatives = 0;
  private readonly hits = new HitCount();

  add({ row, score }: ScoredRow): void {
    const isTrue = row['answer'] === YES;
    const isPositive = score.result === YES;
    if (isTrue && isPositive) this.truePositives++;
    if (!isTrue && isPositive) this.falsePositives++;
    if (isTrue && !isPositive) this.falseNegatives++;
    this.hits.add(score.score);
  }

  /** F1 (the column the reference calls Overall), accuracy, precision and recall, in percent. */
  measures(): { Overall: number; acc: number | null; precision: number; recall: number } {
    const ratio = (part: number, rest: number): number =>
      part + rest === 0 ? 0 : part / (part + rest);
    const precision = ratio(this.truePositives, this.falsePositives);
    const recall = ratio(this.truePositives, this.falseNegatives);
    const sum = precision + recall;
    const f1 = sum === 0 ? 0 : (2 * (precision * recall)) / sum;
    return {
      Overall: f1 * 100,
      acc: toPercent(this.hits.mean()),
      precision: precision * 100,
      recall: recall * 100,
    };
  }
}

/** Splits of a row, as they stand between the commas; null for a row without any. */
function splitsOf(row: Row): readonly (string | null)[] {
  const cell = row['category'];
  return isEmptyCell(cell) ? [null] : str(cell).split(',');
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const overall = new Confusion();
  const splits = new Map<string, Confusion>();
  for (const one of rows) {
    for (const name of splitsOf(one.row)) {
      overall.add(one);
      if (name !== null) entryOf(splits, name, () => new Confusion()).add(one);
    }
  }
  const figures: Figure[] = [['Overall', overall] as const, ...splits].flatMap(([name, counts]) =>
    Object.entries(counts.measures()).map(([measure, value]) => ({
      name: `${name}/${measure}`,
      value,
    })),
  );
  const headline = (name: string): Figures['headlines'][number] => ({
    name,
    percent: splits.get(lower(name))?.measures().Overall ?? null,
  });
  return {
    benchmark: 'POPE',
    era,
    ...countRows(rows),
    isLowerBound: false,
    figures,
    headlines: [
      { name: 'Overall', percent: rows.length === 0 ? null : overall.measures().Overall },
      headline('Popular'),
      headline('Adversarial'),
      headline('Random'),
    ],
  };
}

/** POPE; a question that several splits use is stored once. */
export const pope: Benchmark = {
  name: 'POPE',
  paperName: 'POPE',
  file: 'POPE.tsv',
  url: 'https://opencompass.openxlab.space/utils/VLMEval/POPE.tsv',
  md5: 'c12f5acb142f2ef1f85a26ba2fbe41d5',
  numRows: null,
  judge: 'helps',
  judgeModel: 'gpt-4o-mini-2024-07-18',
  scoringColumns: ['index', 'answer', 'category'],
  promptColumns: ['index', 'question'],
  promptText: yesNoQuestion,
  prepareRow: sameRow,
  scoreItem,
  aggregate,
  cluster: indexOf,
};
