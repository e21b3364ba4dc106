// Holds scores, figures and prompts of the benchmarks to what VLMEvalKit says of the same cases, bit by bit.
// Source of the files: tools/reference/vlmeval_goldens.py.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { BENCHMARKS } from '../../src/benchmark/benchmarks.ts';
import { splitThinking } from '../../src/benchmark/thinking.ts';
import { BENCHMARK_NAMES, ERAS } from '../../src/benchmark/types.ts';
import type { BenchmarkName, Era, PromptBuilder } from '../../src/benchmark/types.ts';
import { answerItem, answerTable, decodeRow } from '../helpers/benchmark-answers.ts';
import type { EncodedCell, EncodedRow, Replies } from '../helpers/benchmark-answers.ts';

/** Result, score, 1 for missing + 2 for prefetched, calls of the judge, digest of what it was asked. */
type Verdict = readonly [string | null, 0 | 1 | null, number, number, string];
/** Number of the row, prediction, replies, verdict at head, and at paper where it is another one. */
type GoldenItem = readonly [number, EncodedCell, Replies, Verdict, Verdict?];
type GoldenFigure = readonly [string, string | number | null];

interface Golden {
  readonly sets: readonly {
    readonly path: string;
    readonly rows: readonly EncodedRow[];
    readonly items: readonly GoldenItem[];
  }[];
  readonly tables: readonly {
    readonly columns: readonly string[];
    readonly rows: readonly (readonly EncodedCell[])[];
    readonly replies: readonly Replies[] | null;
    readonly head: readonly GoldenFigure[];
    readonly paper?: readonly GoldenFigure[];
  }[];
  readonly prompts: readonly {
    readonly row: EncodedRow;
    readonly builder: PromptBuilder;
    readonly text: string;
  }[];
}

/** Stands for the pick after a judge that failed, which is drawn otherwise here. */
const RANDOM = '<random>';
const OPTION = /^[A-Z]$/;

const read = (name: string): unknown =>
  JSON.parse(readFileSync(join(import.meta.dirname, 'data', 'benchmark', `${name}.json`), 'utf8'));

function verdictOf(
  name: BenchmarkName,
  row: EncodedRow,
  [, prediction, replies]: GoldenItem,
  era: Era,
): Verdict {
  const { score, asked } = answerItem(name, row, prediction, replies, era);
  const prompts = asked.map((one) => `${one.temperature} ${one.prompt}`).join('\0');
  const digest = createHash('sha256').update(prompts).digest('hex').slice(0, 8);
  const flags = (score.missing ? 1 : 0) + (score.settled === 'prefetch' ? 2 : 0);
  const calls = [flags, asked.length, asked.length === 0 ? '' : digest] as const;
  // An empty reply and none at all are the same extraction there.
  const result = score.result === '' ? null : score.result;
  if (score.settled !== 'random') return [result, score.score, ...calls];
  const options = Object.keys(row).filter((column) => OPTION.test(column) && row[column] !== null);
  expect([...options, 'Z']).toContain(score.result);
  return [RANDOM, null, ...calls];
}

const byName = (figures: readonly GoldenFigure[]): readonly string[] =>
  figures.map((figure) => JSON.stringify(figure)).sort();

describe.each(BENCHMARK_NAMES)('%s', (name) => {
  const golden = read(name) as Golden;

  it.each(ERAS)('scores every prediction as VLMEvalKit does, era %s', (era) => {
    let count = 0;
    for (const { path, rows, items } of golden.sets) {
      for (const item of items) {
        const row = rows[item[0]] ?? {};
        const expected = era === 'paper' ? (item[4] ?? item[3]) : item[3];
        const place = `${path}, ${JSON.stringify(item.slice(0, 3))}, ${JSON.stringify(row)}`;
        expect(verdictOf(name, row, item, era), place).toEqual(expected);
        count += 1;
      }
    }
    expect(count).toBe(500);
  });

  it.each(ERAS)('makes the same figures of tables, to the last digit, era %s', (era) => {
    for (const { columns, rows, replies, head, paper } of golden.tables) {
      const table = rows.map((cells) =>
        Object.fromEntries(columns.map((column, i) => [column, cells[i] ?? null])),
      );
      const figures = answerTable(name, table, replies, era).map(
        (figure) => [figure.name, figure.value] as const,
      );
      // The order of groups is that of a set there, another one in every run.
      expect(byName(figures)).toEqual(byName(era === 'paper' ? (paper ?? head) : head));
    }
    expect(golden.tables.length).toBe(8);
  });

  it('builds the same prompts', () => {
    for (const { row, builder, text } of golden.prompts)
      expect(BENCHMARKS[name].promptText(decodeRow(row), builder)).toBe(text);
    expect(golden.prompts.length).toBe(24);
  });
});

describe('splitThinking', () => {
  it('splits as VLMEvalKit does', () => {
    const golden = read('thinking') as readonly {
      text: string;
      answer: string;
      thinking: string;
    }[];
    for (const { text, answer, thinking } of golden) {
      const made = splitThinking(text);
      expect({ ...made, thinking: made.thinking ?? '' }, text).toEqual({ answer, thinking });
    }
    expect(golden.length).toBe(60);
  });
});
