// Owns our side of bench/tokenize.ts: rows of text to ids; last line JSON.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createTokenizer } from '../../src/processor/tokenizer.ts';
import { peakBytes } from '../decode/peak.ts';
import type { Side } from '../sides/rounds.ts';
import { checksum } from './checksum.ts';

/** What a child process measures. */
export interface TokenizeWork {
  /** With `tokenizer.json` and `tokenizer_config.json`. */
  readonly vocabulary: string;
  /** JSON files of rows. */
  readonly warm: string;
  readonly rows: string;
  /** Times that the rows are encoded after the first. */
  readonly again: number;
}

function measure(work: TokenizeWork): Side {
  const read = (path: string): unknown => JSON.parse(readFileSync(path, 'utf8'));
  const open = (name: string): unknown => read(join(work.vocabulary, name));
  const tokenizer = createTokenizer(open('tokenizer.json'), open('tokenizer_config.json'));
  const rows = read(work.rows) as string[];
  let ids: number[][] = [];
  const encode = (texts: readonly string[]): number => {
    const before = performance.now();
    ids = texts.map((text) => tokenizer.encode(text));
    return performance.now() - before;
  };
  encode(read(work.warm) as string[]);
  const ms = { new: [encode(rows)], again: Array.from({ length: work.again }, () => encode(rows)) };
  const check = checksum(ids);
  return { ms, check: { new: check, again: check }, peakBytes: peakBytes() };
}

console.log(JSON.stringify(measure(JSON.parse(process.argv[2] ?? '') as TokenizeWork)));
