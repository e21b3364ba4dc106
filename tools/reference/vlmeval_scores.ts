// Owns our side of vlmeval_fuzz.py: answers each line of a file of cases as vlmeval_original.py does.
import { createReadStream, createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { BENCHMARKS } from '../../src/benchmark/benchmarks.ts';
import { splitThinking } from '../../src/benchmark/thinking.ts';
import type {
  BenchmarkName,
  Cell,
  Era,
  ItemScore,
  JudgeReply,
  PromptBuilder,
  Row,
} from '../../src/benchmark/types.ts';

type EncodedCell = string | boolean | null | { readonly int: string } | { readonly float: string };
type EncodedRow = Readonly<Record<string, EncodedCell>>;
type Replies = readonly JudgeReply[] | null;

interface Item {
  readonly kind: 'item';
  readonly benchmark: BenchmarkName;
  readonly path: string;
  readonly row: EncodedRow;
  readonly prediction: EncodedCell;
  readonly replies: Replies;
}

interface Table {
  readonly kind: 'table';
  readonly benchmark: BenchmarkName;
  readonly rows: readonly EncodedRow[];
  readonly replies: readonly Replies[] | null;
}

interface Prompt {
  readonly kind: 'prompt';
  readonly benchmark: BenchmarkName;
  readonly row: EncodedRow;
  readonly builder: PromptBuilder;
}

interface Thinking {
  readonly kind: 'thinking';
  readonly text: string;
}

interface Asked {
  readonly prompt: string;
  readonly temperature: number;
}

function decode(cell: EncodedCell): Cell {
  if (cell === null || typeof cell !== 'object') return cell;
  if ('int' in cell) return BigInt(cell.int);
  if (/inf/.test(cell.float)) return cell.float === 'inf' ? Infinity : -Infinity;
  return Number(cell.float);
}

function decodeRow(row: EncodedRow): Row {
  const made = Object.create(null) as Record<string, Cell>;
  for (const [name, cell] of Object.entries(row)) made[name] = decode(cell);
  return made;
}

/** Scores a prediction, answering the judge's questions from the list; -0 and NaN have no place in it. */
function score(
  benchmark: BenchmarkName,
  row: Row,
  prediction: Cell,
  replies: Replies,
  era: Era,
): { readonly score: ItemScore; readonly asked: Asked[] } {
  const asked: Asked[] = [];
  const said: JudgeReply[] = [];
  for (;;) {
    const options = replies === null ? { era } : { era, replies: [...said] };
    const made = BENCHMARKS[benchmark].scoreItem(row, prediction, options);
    if (made.state === 'scored') return { score: made, asked };
    if (made.attempt !== said.length) throw new Error(`attempt ${made.attempt} after ${said.length}`);
    if (replies === null) throw new Error('asks a judge that is not there');
    const reply = replies[said.length];
    if (reply === undefined) throw new Error('asks once too often');
    asked.push({ prompt: made.prompt, temperature: made.temperature });
    said.push(reply);
  }
}

function answerItem({ benchmark, row, prediction, replies }: Item, era: Era): object {
  const prepared = BENCHMARKS[benchmark].prepareRow(decodeRow(row));
  const made = score(benchmark, prepared, decode(prediction), replies, era);
  const { result, settled, missing } = made.score;
  return { result, score: made.score.score, settled, missing, asked: made.asked };
}

function answerTable({ benchmark, rows, replies }: Table, era: Era): object {
  const { prepareRow, aggregate } = BENCHMARKS[benchmark];
  const scored = rows.map((encoded, i) => {
    const { prediction = null, ...cells } = decodeRow(encoded);
    const row = prepareRow(Object.assign(Object.create(null) as Row, cells));
    const answers = replies === null ? null : (replies[i] ?? []);
    return { row, score: score(benchmark, row, prediction, answers, era).score };
  });
  const { figures, headlines } = aggregate(scored, era);
  return { figures: figures.map(({ name, value }) => [name, value]), headlines };
}

function answer(one: Item | Table | Prompt | Thinking, era: Era): object {
  if (one.kind === 'item') return answerItem(one, era);
  if (one.kind === 'table') return answerTable(one, era);
  if (one.kind === 'thinking') return splitThinking(one.text);
  return { text: BENCHMARKS[one.benchmark].promptText(decodeRow(one.row), one.builder) };
}

const [era = '', input = '', output = ''] = process.argv.slice(2);
const out = createWriteStream(output);
for await (const line of createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
  let made: object;
  try {
    made = answer(JSON.parse(line) as Item, era as Era);
  } catch (error) {
    const { name, message } = error as Error;
    made = { crash: name, what: message };
  }
  if (!out.write(`${JSON.stringify(made)}\n`)) await once(out, 'drain');
}
out.end();
await once(out, 'finish');
