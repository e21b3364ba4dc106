// Owns MMStar: rows scored one by one, the mean over all of them and by ability.
import { scoreChoice } from './choices.ts';
import {
  HitCount,
  compareCells,
  countRows,
  entryOf,
  indexOf,
  isEmptyCell,
  lowerColumns,
  toPercent,
} from './figures.ts';
import { choicePrompt } from './judge-prompts.ts';
import { choiceQuestion } from './prompts.ts';
import { str } from './python/numbers.ts';
import type { Benchmark, Cell, Era, Figure, Figures, ScoredRow } from './types.ts';

const OVERALL = 'Overall';

/** Columns of abilities in the order of the report; `l2_category` is none of them. */
const GROUP_COLUMNS = ['l2-category', 'category'] as const;

/** Abilities that VLMEvalKit's report shortens, whichever table they are in. */
const SHORT_NAMES: ReadonlyMap<string, string> = new Map([
  ['coarse_perception', 'CP'],
  ['finegrained_perception (instance-level)', 'FP-S'],
  ['finegrained_perception (cross-instance)', 'FP-C'],
  ['logic_reasoning', 'LR'],
  ['relation_reasoning', 'RR'],
  ['attribute_reasoning', 'AR'],
]);

/** Split of a row: `none` for a table without the column, null for an empty cell, which equals nothing. */
function splitOf({ row }: ScoredRow): string | null {
  const cell = row['split'];
  if (cell === undefined) return 'none';
  return isEmptyCell(cell) ? null : str(cell);
}

/** Hits of some rows by split. */
function countSplits(rows: readonly ScoredRow[]): ReadonlyMap<string, HitCount> {
  const counts = new Map<string, HitCount>();
  for (const one of rows) {
    const split = splitOf(one);
    if (split !== null) entryOf(counts, split, () => new HitCount()).add(one.score.score);
  }
  return counts;
}

/** Rows by ability, sorted; a row without one is in no group (the reference fails on such a column). */
function groupRows(rows: readonly ScoredRow[], column: string): [Cell, ScoredRow[]][] {
  const groups = new Map<Cell, ScoredRow[]>();
  for (const one of rows) {
    const cell = one.row[column];
    if (!isEmptyCell(cell)) entryOf(groups, cell, () => []).push(one);
  }
  return [...groups].sort(([a], [b]) => compareCells(a, b));
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const columns = new Map([[OVERALL, countSplits(rows)]]);
  for (const column of GROUP_COLUMNS) {
    for (const [ability, group] of groupRows(rows, column)) {
      const name = SHORT_NAMES.get(str(ability)) ?? str(ability);
      columns.set(name, countSplits(group));
    }
  }
  const figures: Figure[] = [];
  for (const split of new Set(rows.map(splitOf))) {
    for (const [name, counts] of columns) {
      const value = counts.get(split ?? '')?.mean() ?? null;
      figures.push({ name: `${split ?? 'nan'}/${name}`, value });
    }
  }
  const all = new HitCount();
  for (const { score } of rows) all.add(score.score);
  return {
    benchmark: 'MMStar',
    era,
    ...countRows(rows),
    isLowerBound: false,
    figures,
    // ours: over all splits; the reference has no such figure, and the released table no such column.
    headlines: [{ name: OVERALL, percent: toPercent(all.mean()) }],
  };
}

/** MMStar, 1500 questions. */
export const mmstar: Benchmark = {
  name: 'MMStar',
  paperName: 'MMStar',
  file: 'MMStar.tsv',
  url: 'https://opencompass.openxlab.space/utils/VLMEval/MMStar.tsv',
  md5: 'e1ecd2140806c1b1bbf54b43372efb9e',
  numRows: 1500,
  judge: 'helps',
  judgeModel: 'gpt-4o-mini-2024-07-18',
  scoringColumns: ['index', 'A', 'B', 'C', 'D', 'answer'],
  promptColumns: ['index', 'question', 'A', 'B', 'C', 'D'],
  promptText: choiceQuestion,
  prepareRow: lowerColumns,
  scoreItem: (row, prediction, options) => scoreChoice(row, prediction, options, choicePrompt),
  aggregate,
  cluster: indexOf,
};
