// Owns our side of vlmeval_fuzz.py: answers each line of a file of cases as vlmeval_original.py does.
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { BENCHMARKS } from '../../src/benchmark/benchmarks.ts';
import { splitThinking } from '../../src/benchmark/thinking.ts';
import type { BenchmarkName, Era, PromptBuilder } from '../../src/benchmark/types.ts';
import { answerItem, answerTable, decodeRow } from '../../test/helpers/benchmark-answers.ts';
import type { EncodedCell, EncodedRow, Replies } from '../../test/helpers/benchmark-answers.ts';

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
  | { readonly kind: 'prompt'; readonly row: EncodedRow; readonly builder: PromptBuilder }
  | { readonly kind: 'thinking'; readonly text: string }
);

function answer(one: Case, era: Era): object {
  switch (one.kind) {
    case 'item': {
      const { score, asked } = answerItem(one.benchmark, one.row, one.prediction, one.replies, era);
      return { ...score, asked };
    }
    case 'table': {
      const figures = answerTable(one.benchmark, one.rows, one.replies, era);
      return { figures: figures.map(({ name, value }) => [name, value]) };
    }
    case 'prompt':
      return { text: BENCHMARKS[one.benchmark].promptText(decodeRow(one.row), one.builder) };
    case 'thinking':
      return splitThinking(one.text);
  }
}

const [era = '', input = '', output = ''] = process.argv.slice(2);
const out = createWriteStream(output);
for await (const line of createInterface({ input: createReadStream(input), crlfDelay: Infinity })) {
  let made: object;
  try {
    made = answer(JSON.parse(line) as Case, era as Era);
  } catch (error) {
    const { name, message } = error as Error;
    made = { crash: name, what: message };
  }
  if (!out.write(`${JSON.stringify(made)}\n`)) await once(out, 'drain');
}
out.end();
await once(out, 'finish');
