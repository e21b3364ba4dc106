// Kills runs of a benchmark at random moments and looks whether anything that was finished got lost; a test
// does it a few times, tools/kill-evaluate.ts often.
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { ItemRecord } from '../../src/benchmark/prediction.ts';
import { hashString, Rng } from '../../src/rng.ts';
import { pictureCell, smallTables, writeTable } from './benchmark-tables.ts';
import type { WrittenTable } from './benchmark-tables.ts';
import { startGapvl } from './gapvl-process.ts';
import { answer, slow, startOpenAiServer } from './openai-server.ts';
import type { OpenAiServer } from './openai-server.ts';

/** How often and how a run is killed. */
export interface KillOptions {
  readonly numKills: number;
  readonly seed: number;
  /** An empty folder. */
  readonly folder: string;
  /** Rows of the table; a run that is finished before it was killed often enough begins anew. */
  readonly numRows: number;
  readonly onKill?: (text: string) => void;
}

/** What came of it. */
export interface KillReport {
  readonly numKills: number;
  /** Kills that hit a run between its first item and its last. */
  readonly numInTheMiddle: number;
  /** Kills that left half a line. */
  readonly numTorn: number;
  /** Runs that came to their end, killed or not. */
  readonly numRuns: number;
  /** Items that stood in the journal and were gone or others later. */
  readonly lost: readonly string[];
  /** Questions that the server answered, of all runs together. */
  readonly numCalls: number;
}

/** ours: kills come this soon after the first question of a process, so that most hit it at work. */
const LONGEST_MS = 400;

function manyRows(numRows: number): WrittenTable {
  const { POPE } = smallTables();
  const columns = ['index', 'question', 'answer', 'category', 'image'];
  const rows = Array.from({ length: numRows }, (_, i) => [
    ...[String(i), `Is there thing ${i} in the image?`, 'Yes', 'random'],
    // All rows but the first show its picture.
    i === 0 ? pictureCell(1) : '0',
  ]);
  return { ...POPE, columns, rows, files: new Map() };
}

/** Complete lines of the journal behind its header, by item, and whether half a line follows. */
async function journalOf(out: string): Promise<{ items: Map<string, string>; isTorn: boolean }> {
  const text = await readFile(join(out, 'items.jsonl'), 'utf8').catch(() => '');
  const lines = text.split('\n');
  const rest = lines.pop() ?? '';
  const items = new Map<string, string>();
  for (const line of lines.slice(1)) {
    const { index, sample, response, error } = JSON.parse(line) as ItemRecord;
    items.set(`${sample}/${index}`, JSON.stringify([response, error ?? null]));
  }
  return { items, isTorn: rest !== '' };
}

async function firstCall(server: OpenAiServer, before: number, until: AbortSignal): Promise<void> {
  while (server.calls.length === before && !until.aborted) await wait(2);
}

/**
 * Runs a benchmark against a fast endpoint and kills the process again and again, until it was killed as often
 * as wanted; then lets it end.
 */
export async function killRuns(options: KillOptions): Promise<KillReport> {
  const rng = new Rng(options.seed);
  const delays = new Rng(options.seed).fork('delays');
  // What is answered depends on the question alone, and when on chance.
  await using server = await startOpenAiServer({
    behave: ({ text }) => slow(delays.int(12), answer(`answer ${hashString(text)} "quoted"\nNo`)),
  });
  const data = await writeTable(join(options.folder, 'data'), manyRows(options.numRows));
  const out = join(options.folder, 'run');
  const argv = [
    ...['evaluate', '--benchmark', 'POPE', '--data', data, '--any-table', '--out', out],
    ...['--endpoint', server.url, '--model', 'm', '--concurrency', '8', '--json'],
  ];
  const lost: string[] = [];
  let [numKills, numInTheMiddle, numTorn, numRuns] = [0, 0, 0, 0];
  let before = new Map<string, string>();
  for (;;) {
    const isLast = numKills >= options.numKills;
    const numCallsBefore = server.calls.length;
    const process = startGapvl(argv, { OPENAI_API_KEY: '' });
    const over = new AbortController();
    void process.ended.then(() => over.abort());
    if (!isLast) {
      // One in eight is killed while it starts.
      if (rng.int(8) === 0) await wait(rng.int(1500));
      else {
        await firstCall(server, numCallsBefore, over.signal);
        await wait(rng.int(LONGEST_MS));
      }
      process.kill('SIGKILL');
    }
    const outcome = await process.ended;
    const { items, isTorn } = await journalOf(out);
    for (const [key, item] of before) if (items.get(key) !== item) lost.push(key);
    before = items;
    if (isLast && outcome.code !== 0) throw new Error(`${outcome.out}${outcome.err}`);
    const isFinished = items.size === options.numRows;
    if (!isLast) {
      numKills += 1;
      numTorn += Number(isTorn);
      numInTheMiddle += Number(items.size > 0 && !isFinished);
      options.onKill?.(`kill ${numKills}: ${items.size} of ${options.numRows} items`);
    }
    if (!isFinished) continue;
    numRuns += 1;
    for (let i = 0; i < options.numRows; i++) {
      const expected = `answer ${hashString(`Is there thing ${i} in the image?`)} "quoted"\nNo`;
      if (items.get(`0/${i}`) !== JSON.stringify([expected, null])) lost.push(`0/${i}`);
    }
    if (isLast) break;
    await rm(out, { recursive: true });
    before = new Map();
  }
  return { numKills, numInTheMiddle, numTorn, numRuns, lost, numCalls: server.calls.length };
}
