// Owns HRBench4K: rows scored one by one, means by rotation of the options, averages over the rotations.
import { scoreChoice } from './choices.ts';
import {
  HitCount,
  compareCells,
  countRows,
  entryOf,
  isEmptyCell,
  lowerColumns,
  toPercent,
} from './figures.ts';
import { choicePrompt } from './judge-prompts.ts';
import { optionsOf } from './matcher.ts';
import { choiceQuestion } from './prompts.ts';
import { str } from './python/numbers.ts';
import { compareText } from './python/text.ts';
import type { Benchmark, Cell, Era, Figure, Figures, Row, ScoredRow } from './types.ts';

const ALL = 'all';

/** Hits by rotation, then by type; rows without a rotation belong nowhere. */
function countCycles(rows: readonly ScoredRow[]): Map<Cell, Map<string, HitCount>> {
  const cycles = new Map<Cell, Map<string, HitCount>>();
  for (const { row, score } of rows) {
    const cycle = row['cycle_category'];
    if (isEmptyCell(cycle)) continue;
    const types = entryOf(cycles, cycle, () => new Map([[ALL, new HitCount()]]));
    const type = str(row['category'] ?? null);
    entryOf(types, type, () => new HitCount()).add(score.score);
    entryOf(types, ALL, () => new HitCount()).add(score.score);
  }
  return cycles;
}

function aggregate(rows: readonly ScoredRow[], era: Era): Figures {
  const cycles = [...countCycles(rows)].sort(([a], [b]) => compareCells(a, b));
  const figures: Figure[] = [];
  const sums = new Map<string, number>();
  for (const [cycle, types] of cycles) {
    for (const type of sortTypes(types)) {
      const accuracy = types.get(type)?.mean() ?? 0;
      figures.push({ name: `${str(cycle)}/${type}`, value: accuracy });
      sums.set(type, (sums.get(type) ?? 0) + accuracy);
    }
  }
  const averages = new Map([...sums].map(([type, sum]) => [type, sum / cycles.length]));
  for (const [type, value] of averages) figures.push({ name: `Average/${type}`, value });
  const headline = (name: string, type: string): Figures['headlines'][number] => ({
    name,
    percent: toPercent(averages.get(type) ?? null),
  });
  return {
    benchmark: 'HRBench4K',
    era,
    ...countRows(rows),
    isLowerBound: false,
    figures,
    headlines: [headline('Overall', ALL), headline('FSP', 'single'), headline('FCP', 'cross')],
  };
}

/** `all` first; the reference has the others in the order of a set, which differs from run to run. */
function sortTypes(types: ReadonlyMap<string, HitCount>): string[] {
  return [ALL, ...[...types.keys()].filter((type) => type !== ALL).sort(compareText)];
}

/** Rotations of one question have its text, its kind and its options, in whatever order. */
function cluster(row: Row): string {
  const options = optionsOf(row).map((option) => option.text);
  const parts = [row['question'] ?? null, row['category'] ?? null, ...options.sort(compareText)];
  return JSON.stringify(parts.map((part) => str(part)));
}

/** HRBench4K, 200 questions in four rotations each. */
export const hrbench: Benchmark = {
  name: 'HRBench4K',
  paperName: 'HRBench4K',
  file: 'HRBench4K.tsv',
  url: 'https://huggingface.co/datasets/DreamMr/HR-Bench/resolve/main/hr_bench_4k.tsv',
  md5: 'f6b041b03d49543494b8a56d2e35be65',
  numRows: 800,
  judge: 'helps',
  judgeModel: 'gpt-4o-mini-2024-07-18',
  scoringColumns: ['index', 'A', 'B', 'C', 'D', 'answer', 'category', 'cycle_category'],
  promptColumns: ['index', 'question', 'A', 'B', 'C', 'D'],
  promptText: choiceQuestion,
  prepareRow: lowerColumns,
  scoreItem: (row, prediction, options) => scoreChoice(row, prediction, options, choicePrompt),
  aggregate,
  cluster,
};
