// Owns the short forms in which the tests of benchmark/ write rows and scores.
import { BENCHMARKS, scoreItem } from '../../src/benchmark/benchmarks.ts';
import type {
  Cell,
  DatasetName,
  Era,
  Figures,
  ItemScore,
  JudgeQuestion,
  Row,
  ScoreOptions,
  ScoredRow,
} from '../../src/benchmark/types.ts';

/** A row of these cells. */
export function makeRow(cells: Record<string, Cell>): Row {
  return Object.assign(Object.create(null) as Record<string, Cell>, cells);
}

/** The score of a prediction; a question to the judge fails the test. */
export function scoreOf(
  name: DatasetName,
  row: Row,
  prediction: Cell,
  options: ScoreOptions = { era: 'head' },
): ItemScore {
  const score = scoreItem(name, row, prediction, options);
  if (score.state === 'ask') throw new Error(`asked the judge: ${score.prompt}`);
  return score;
}

/** The question that scoring comes back with; a score fails the test. */
export function questionOf(
  name: DatasetName,
  row: Row,
  prediction: Cell,
  options: ScoreOptions,
): JudgeQuestion {
  const question = scoreItem(name, row, prediction, options);
  if (question.state === 'scored') throw new Error(`scored: ${String(question.result)}`);
  return question;
}

/** Rows scored one by one in exact mode. */
export function scoreRows(
  name: DatasetName,
  rows: readonly (readonly [Row, Cell])[],
  era: Era = 'head',
): ScoredRow[] {
  return rows.map(([row, prediction]) => ({ row, score: scoreOf(name, row, prediction, { era }) }));
}

/** A row with a score made up, for tests of figures alone. */
export function withHit(row: Row, score: 0 | 1): ScoredRow {
  return { row, score: { state: 'scored', result: 'A', score, settled: 'letter', missing: false } };
}

/** The figures of rows as `[name, value]` pairs. */
export function figuresOf(name: DatasetName, rows: readonly ScoredRow[]): Map<string, unknown> {
  const { figures } = BENCHMARKS[name].aggregate(rows, 'head');
  return new Map(figures.map((figure) => [figure.name, figure.value]));
}

/** The headlines of figures by name. */
export function headlinesOf(figures: Figures): Record<string, number | null> {
  return Object.fromEntries(figures.headlines.map(({ name, percent }) => [name, percent]));
}
