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
import { yesNoPrompt } from './judge-prompts.ts';
import { yesNoQuestion } from './prompts.ts';
import { str } from './python/numbers.ts';
import { lower, split } from './python/text.ts';
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

/** Calls of the judge about one row, each half a degree warmer. */
const MAX_CALLS = 5;
const TEMPERATURE_STEP = 0.5;

const YES = 'Yes';
const NO = 'No';
const UNKNOWN = 'Unknown';

/** Marks that are deleted or replaced by a space. Apostrophes, asterisks and colons are none of them. */
const MARKS = ';/[]"{}()=+\\_-><@`,?!';
const IS_MARK: readonly boolean[] = Array.from({ length: 128 }, (_, unit) =>
  MARKS.includes(String.fromCharCode(unit)),
);
const DIGIT_COMMA = /\p{Nd},\p{Nd}/u;
const LONE_STOP = /(?<!\p{Nd})\.(?!\p{Nd})/gu;
/** The reference passes a flag where Python wants the greatest number of replacements: 32. */
const MAX_STOPS = 32;

/** The deleted marks: those beside a space anywhere, or all of them where a number has a comma. */
function deletedMarks(text: string): string {
  if (text.includes(',') && DIGIT_COMMA.test(text)) return MARKS;
  let deleted = '';
  for (let i = 0; i < text.length; i++) {
    const mark = text.charAt(i);
    if (IS_MARK[text.charCodeAt(i)] !== true || deleted.includes(mark)) continue;
    if (text.charAt(i - 1) === ' ' || text.charAt(i + 1) === ' ') deleted += mark;
  }
  return deleted;
}

function withoutPunctuation(text: string): string {
  const deleted = deletedMarks(text);
  const parts: string[] = [];
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if (IS_MARK[text.charCodeAt(i)] !== true) continue;
    parts.push(text.slice(start, i), deleted.includes(text.charAt(i)) ? '' : ' ');
    start = i + 1;
  }
  parts.push(text.slice(start));
  let numStops = 0;
  return parts.join('').replace(LONE_STOP, (stop) => (numStops++ < MAX_STOPS ? '' : stop));
}

function extract(text: string): string {
  const words = split(withoutPunctuation(lower(text)));
  const hasYes = words.includes('yes');
  if (hasYes === words.includes('no')) return UNKNOWN;
  return hasYes ? YES : NO;
}

function scoreItem(row: Row, prediction: Cell, options: ScoreOptions): ItemScore | JudgeQuestion {
  const isRight = (result: string): boolean => result === row['answer'];
  const text = predictionText(prediction);
  const result = extract(text);
  if (result !== UNKNOWN) return scored(result, isRight(result), 'parsed', prediction);
  const replies = options.replies?.slice(0, MAX_CALLS);
  for (const reply of replies ?? []) {
    const said = reply === null ? UNKNOWN : extract(reply);
    if (said !== UNKNOWN) return scored(said, isRight(said), 'judge', prediction);
  }
  if (replies === undefined || replies.length >= MAX_CALLS)
    return scored(UNKNOWN, isRight(UNKNOWN), 'none', prediction);
  return {
    state: 'ask',
    prompt: yesNoPrompt(requireText(row, 'question'), text),
    temperature: TEMPERATURE_STEP * replies.length,
    attempt: replies.length,
  };
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
