// Owns tables of one's own: choices by the letter and text rules, other rows by the rule of `gapvl compare`.
import { TAGS } from '../data/format.ts';
import { scoreAnswer } from '../evaluate/answers.ts';
import {
  HitCount,
  compareCells,
  countRows,
  entryOf,
  indexOf,
  isEmptyCell,
  requireText,
  sameRow,
  toPercent,
} from './figures.ts';
import { ChoiceMatcher, NONE, optionsOf } from './matcher.ts';
import { choiceQuestion } from './prompts.ts';
import { str } from './python/numbers.ts';
import type {
  Benchmark,
  Cell,
  Era,
  Figure,
  Figures,
  ItemScore,
  PromptBuilder,
  Row,
  ScoredRow,
  Settled,
} from './types.ts';

/** Options make a row a multiple choice; without any the question stands alone. */
function promptText(row: Row, builder: PromptBuilder): string {
  return optionsOf(row).length > 0 ? choiceQuestion(row, builder) : requireText(row, 'question');
}

/** What a text means: an option's letter or `Z`, or the answer it gives. */
function read(row: Row, text: string, era: Era): readonly [string | null, boolean, Settled] {
  const answer = requireText(row, 'answer');
  const options = optionsOf(row);
  if (options.length > 0) {
    const match = new ChoiceMatcher(options, era).match(text);
    const letter = match?.letter ?? NONE;
    return [letter, letter === answer, match?.rule ?? 'none'];
  }
  // An unwrapped answer, or one of a model that knows no tags, is all the text there is.
  const tagged = text.includes(TAGS.answerOpen)
    ? text
    : `${TAGS.answerOpen}${text}${TAGS.answerClose}`;
  const { answer: given, correct } = scoreAnswer(tagged, answer);
  return [given ?? null, correct, given === undefined ? 'none' : 'parsed'];
}

/** ours: no file of pandas stands between, so `None` and `NA` are answers; only nothing is missing. */
function scoreItem(row: Row, prediction: Cell, { era }: { readonly era: Era }): ItemScore {
  const missing = isEmptyCell(prediction) || prediction === '';
  const [result, isRight, settled] = read(row, missing ? '' : str(prediction), era);
  return { state: 'scored', result, score: isRight ? 1 : 0, settled, missing };
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const overall = new HitCount();
  const categories = new Map<Cell, HitCount>();
  for (const { row, score } of rows) {
    overall.add(score.score);
    const category = row['category'];
    if (!isEmptyCell(category))
      entryOf(categories, category, () => new HitCount()).add(score.score);
  }
  const byCategory = [...categories].sort(([a], [b]) => compareCells(a, b));
  const figures: Figure[] = [
    { name: 'Overall', value: overall.mean() },
    ...byCategory.map(([category, count]) => ({ name: str(category), value: count.mean() })),
  ];
  return {
    benchmark: 'own',
    era,
    ...countRows(rows),
    isLowerBound: false,
    figures,
    headlines: [{ name: 'Overall', percent: toPercent(overall.mean()) }],
  };
}

/** A table of one's own; figures are fractions, over all rows and by `category`. */
export const own: Benchmark = {
  name: 'own',
  paperName: 'own',
  file: '',
  url: null,
  md5: null,
  numRows: null,
  judge: 'none',
  judgeModel: null,
  scoringColumns: ['index', 'answer'],
  promptColumns: ['index', 'question'],
  promptText,
  prepareRow: sameRow,
  scoreItem,
  aggregate,
  cluster: indexOf,
};
