// Owns what our scoring says of a case that VLMEvalKit was asked about too; the golden test of benchmarks and
// tools/reference/vlmeval_scores.ts call it.
import { BENCHMARKS } from '../../src/benchmark/benchmarks.ts';
import type {
  BenchmarkName,
  Cell,
  Era,
  Figure,
  ItemScore,
  JudgeReply,
  Row,
} from '../../src/benchmark/types.ts';

/** A cell as JSON holds it: int64 and float64 by name. */
export type EncodedCell =
  string | boolean | null | { readonly int: string } | { readonly float: string };

/** A row as JSON holds it. */
export type EncodedRow = Readonly<Record<string, EncodedCell>>;

/** What a judge says call by call; null is no judge. */
export type Replies = readonly JudgeReply[] | null;

/** What a judge was asked. */
export interface Asked {
  readonly prompt: string;
  readonly temperature: number;
}

/** A scored prediction and what it took. */
export interface AnsweredItem {
  readonly score: ItemScore;
  readonly asked: readonly Asked[];
}

function decode(cell: EncodedCell): Cell {
  if (cell === null || typeof cell !== 'object') return cell;
  if ('int' in cell) return BigInt(cell.int);
  if (cell.float.endsWith('inf')) return cell.float === 'inf' ? Infinity : -Infinity;
  return Number(cell.float);
}

/** The row of its JSON. */
export function decodeRow(row: EncodedRow): Row {
  const made = Object.create(null) as Record<string, Cell>;
  for (const [name, cell] of Object.entries(row)) made[name] = decode(cell);
  return made;
}

/** Scores one prediction; the judge's questions are answered from the list. */
export function answerItem(
  benchmark: BenchmarkName,
  row: EncodedRow,
  prediction: EncodedCell,
  replies: Replies,
  era: Era,
): AnsweredItem {
  const { prepareRow } = BENCHMARKS[benchmark];
  return score(benchmark, prepareRow(decodeRow(row)), decode(prediction), replies, era);
}

function score(
  benchmark: BenchmarkName,
  row: Row,
  prediction: Cell,
  replies: Replies,
  era: Era,
): AnsweredItem {
  const asked: Asked[] = [];
  const said: JudgeReply[] = [];
  for (;;) {
    const options = replies === null ? { era } : { era, replies: [...said] };
    const made = BENCHMARKS[benchmark].scoreItem(row, prediction, options);
    if (made.state === 'scored') return { score: made, asked };
    if (made.attempt !== said.length) throw new Error(`call ${made.attempt} after ${said.length}`);
    if (replies === null) throw new Error('asks a judge that is not there');
    const reply = replies[said.length];
    if (reply === undefined) throw new Error('asks once too often');
    asked.push({ prompt: made.prompt, temperature: made.temperature });
    said.push(reply);
  }
}

/** Figures of a table of rows with their predictions; the replies go by row. */
export function answerTable(
  benchmark: BenchmarkName,
  rows: readonly EncodedRow[],
  replies: readonly Replies[] | null,
  era: Era,
): readonly Figure[] {
  const { prepareRow, aggregate } = BENCHMARKS[benchmark];
  const scored = rows.map((encoded, i) => {
    const { prediction = null, ...cells } = decodeRow(encoded);
    const row = prepareRow(Object.assign(Object.create(null) as Record<string, Cell>, cells));
    const answers = replies === null ? null : (replies[i] ?? []);
    return { row, score: score(benchmark, row, prediction, answers, era).score };
  });
  return aggregate(scored, era).figures;
}
