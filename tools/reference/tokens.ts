// Owns our side of tokens.py: ids of texts and chats from a tokenizer folder, and the time they took.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createChatTemplate, renderPrompt } from '../../src/processor/chat.ts';
import type { Message } from '../../src/processor/chat.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { createTokenizer } from '../../src/processor/tokenizer.ts';

interface Work {
  readonly folder: string;
  readonly texts: readonly string[];
  readonly long: string;
  readonly chats: readonly {
    readonly template: string;
    readonly messages: readonly Message[];
    readonly grids: readonly GridThw[];
    readonly open: boolean;
  }[];
}

const [input = '', output = ''] = process.argv.slice(2);
const work = JSON.parse(readFileSync(input, 'utf8')) as Work;
const read = (file: string): unknown => JSON.parse(readFileSync(join(work.folder, file), 'utf8'));
const tokenizer = createTokenizer(read('tokenizer.json'), read('tokenizer_config.json'));
const texts = work.texts.map((text) => tokenizer.encode(text));
const decoded = texts.map((ids) => tokenizer.decode(ids));
const chats = work.chats.map(({ template, messages, grids, open }) => {
  const request = { tokenizer, template: createChatTemplate(template), messages, grids };
  return renderPrompt({ ...request, mergeSize: 2, addGenerationPrompt: open });
});
const times: number[] = [];
for (let round = 0; round < 5; round++) {
  const start = performance.now();
  tokenizer.encode(work.long);
  times.push(performance.now() - start);
}
const longMs = times.toSorted((a, b) => a - b)[2];
const long = tokenizer.encode(work.long);
writeFileSync(output, JSON.stringify({ texts, decoded, chats, long, longMs }));
