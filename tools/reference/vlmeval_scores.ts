// Owns our side of vlmeval_fuzz.py: answers each line of a file of cases as vlmeval_original.py does.
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { BENCHMARKS } from '../../src/benchmark/benchmarks.ts';
import { scorePredictions } from '../../src/benchmark/results/score-predictions.ts';
import { splitThinking } from '../../src/benchmark/thinking.ts';
import type { BenchmarkName, Era, PromptBuilder } from '../../src/benchmark/types.ts';
import { answerItem, answerTable, decodeRow } from '../../test/helpers/benchmark-answers.ts';
import type { EncodedCell, EncodedRow, Replies } from '../../test/helpers/benchmark-answers.ts';

const [era = '', input = '', output = ''] = process.argv.slice(2);

type Case = { readonly benchmark: BenchmarkName } & (
  | {
      readonly kind: 'item';
      readonly row: EncodedRow;
      readonly prediction: EncodedCell;
      readonly replies: Replies;
    }
  | {
      readonly kind: 'table';
      readonly rows: readonly EncodedRow[];
      readonly replies: readonly Replies[] | null;
    }
  | { readonly kind: 'file'; readonly name: string }
  | { readonly kind: 'prompt'; readonly row: EncodedRow; readonly builder: PromptBuilder }
  | { readonly kind: 'thinking'; readonly text: string }
);

/** Figures of a file of predictions that the original has left in a folder beside the cases. */
async function answerFile(benchmark: BenchmarkName, path: string, era: Era): Promise<object> {
  const options = { unwrap: 'raw', seed: 0, draws: 0, versions: {} } as const;
  const { result } = await scorePredictions({ benchmark, predictions: path, era, ...options });
  const [figures] = result.repeats;
  return { figures: figures?.figures.map(({ name, value }) => [name, value]) };
}

function answer(one: Case, era: Era): object | Promise<object> {
  switch (one.kind) {
    case 'item': {
      const { score, asked } = answerItem(one.benchmark, one.row, one.prediction, one.replies, era);
      return { ...score, asked };
    }
    case 'table': {
      const figures = answerTable(one.benchmark, one.rows, one.replies, era);
      return { figures: figures.map(({ name, value }) => [name, value]) };
    }
    case 'file':
      return answerFile(one.benchmark, join(dirname(input), era, one.name), era);
    case 'prompt':
      return { text: BENCHMARKS[one.benchmark].promptText(decodeRow(one.row), one.builder) };
    case 'thinking':
      return splitThinking(one.text);
  }
}

const out = createWriteStream(output);
for await (const line of createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
  let made: object;
  try {
    made = await answer(JSON.parse(line) as Case, era as Era);
  } catch (error) {
    const { name, message } = error as Error;
    made = { crash: name, what: message };
  }
  if (!out.write(`${JSON.stringify(made)}\n`)) await once(out, 'drain');
}
out.end();
await once(out, 'finish');
