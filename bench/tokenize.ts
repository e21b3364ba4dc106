// Owns the speed of the tokenizer beside the Rust one; `npm run bench -- tokenize`, last line JSON.
//
// A thousand rows of 60 words of this repository's documents, with the real Qwen2.5 vocabulary: `new` is the
// first time that a process sees rows (after 200 others), `again` are the same rows later, when both sides
// have their words in a cache. The Rust side is the faster of a loop and of a batch over all threads;
// ours is one thread always. --quick: a test; --rounds N; --out FILE.
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Rng } from '../src/rng.ts';
import {
  askPython,
  keep,
  machine,
  measureRounds,
  requireReference,
  runOurs,
  runPython,
} from './sides/rounds.ts';

const ROWS = 1000;
const WARM_ROWS = 200;
const WORDS = 60;

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
});

/** Words of the documents, line ends kept. */
function documentWords(): string[] {
  const docs = fileURLToPath(new URL('../docs/', import.meta.url));
  const files = readdirSync(docs).filter((name) => name.endsWith('.md'));
  const text = files.toSorted().map((name) => readFileSync(join(docs, name), 'utf8'));
  return text.join('\n').match(/\S+\s*/g) ?? [];
}

requireReference();
const host = machine();
const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
try {
  const words = documentWords();
  const rng = new Rng('bench tokenize');
  const draw = (count: number): string[] =>
    Array.from({ length: count }, () => {
      const from = rng.int(words.length - WORDS);
      return words.slice(from, from + WORDS).join('');
    });
  const rows = draw(flags.quick ? ROWS / 5 : ROWS);
  const file = (name: string, value: readonly string[]): string => {
    const path = join(folder, `${name}.json`);
    writeFileSync(path, JSON.stringify(value));
    return path;
  };
  const [warm, measured] = [file('warm', draw(WARM_ROWS)), file('rows', rows)];
  const vocabulary = askPython('tokenize_speed.py', { fetch: true }, 1) as string;
  // In this order always: what was seen once is never new again.
  const work = { vocabulary, warm, rows: measured, again: 2 };
  const results = measureRounds({
    variants: {
      ours: (threads) => runOurs('../tokenize/ours.ts', work, threads),
      'rust loop': (threads) => runPython('tokenize_speed.py', work, threads),
      'rust batch': (threads) => runPython('tokenize_speed.py', { ...work, batch: true }, threads),
    },
    cases: ['new', 'again'],
    threads: flags.quick ? [1] : [1, 2],
    rounds: Number(flags.rounds ?? (flags.quick ? 2 : 7)),
    tolerance: 0,
  });
  const numCharacters = rows.reduce((sum, row) => sum + row.length, 0);
  keep({ bench: 'tokenize', machine: host, numRows: rows.length, numCharacters, results }, flags);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
