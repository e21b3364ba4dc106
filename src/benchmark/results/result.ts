// Owns what scoring leaves behind, result.json and scores.jsonl: types, writing, checked reading; comparing and
// the paper's tables read nothing else.
import { lstat, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { readJournal } from '../../data/journal.ts';
import { systemCode, writeFileAtomic } from '../../engine/atomic-file.ts';
import { isObject } from '../../engine/strict-json.ts';
import { DataError } from '../../errors.ts';
import type { DatasetName, Era, Figures, Settled, Unwrap } from '../types.ts';

/** File with the figures of a scored run. */
export const RESULT_FILE = 'result.json';
/** File with the score of every item. */
export const SCORES_FILE = 'scores.jsonl';
/** Marks RESULT_FILE; the number changes with the layout. */
export const RESULT_FORMAT = 'gapvl.evaluation-result.1';
/** Marks SCORES_FILE. */
export const SCORES_FORMAT = 'gapvl.evaluation-scores.1';

/** Score of one item: a line of scores.jsonl. Items without a response have none. */
export interface ScoreLine {
  readonly index: string;
  readonly sample: number;
  /** What was extracted; null is nothing. */
  readonly result: string | null;
  readonly score: 0 | 1;
  readonly settled: Settled;
  readonly missing: boolean;
  /** The question the item belongs to; items of one are not independent. */
  readonly cluster: string;
}

/** How many items there are of each kind; repeats count. */
export interface ItemCounts {
  /** Items of the whole benchmark; null where nobody says how many. */
  readonly table: number | null;
  /** Items the result should be of: all, or the first ones where a run was limited to them. */
  readonly expected: number;
  readonly scored: number;
  /** Items that failed: in no figure, and no wrong answers. */
  readonly errors: number;
  /** Failed items by the kind of their error. */
  readonly errorKinds: Readonly<Record<string, number>>;
  /** Expected items that nothing was found for. */
  readonly absent: number;
  /** Predictions for rows that the table does not have; left out. */
  readonly extra: number;
  /** Further predictions for a row, equal to the first one. */
  readonly duplicates: number;
  /** Predictions that are missing by pandas' rule: wrong, and counted here. */
  readonly missing: number;
  /** Items settled by a seeded pick after the judge had failed. */
  readonly random: number;
  /** Predictions that say a call had failed: wrong by the protocol, so the result is incomplete. */
  readonly failedCalls: number;
  /** Predictions as long as a cell of an Excel file can be: most likely cut there. */
  readonly fullCells: number;
  /** Responses that the limit of tokens cut off; null where nothing is known. */
  readonly cutOff: number | null;
}

/** Who settled what no rule settles. */
export type JudgeUse =
  | { readonly mode: 'exact' }
  | {
      readonly mode: 'judge';
      /** Model that was asked for, and the names that the server gave itself. */
      readonly model: string;
      readonly versions: readonly (string | null)[];
      /** Items it was asked about, its replies, and those that counted as failed attempts. */
      readonly items: number;
      readonly replies: number;
      readonly failed: number;
    };

/** A headline with what is known about its spread. */
export interface ResultHeadline {
  readonly name: string;
  /** Mean over the repeats, in percent; null where it is not defined. */
  readonly percent: number | null;
  /** Standard deviation over the repeats, with n - 1; null for a single one. */
  readonly std: number | null;
  /** 95 % interval over questions; null where none was asked for or it is not defined. */
  readonly low: number | null;
  readonly high: number | null;
}

/** Latency over items that were decoded alone. */
export interface ResultLatency {
  readonly n: number;
  readonly meanS: number;
  readonly p50S: number;
  readonly p90S: number;
  /** Items without a latency: failed, decoded together with others, or not timed. */
  readonly leftOut: number;
}

/** Where the responses come from. */
export interface ResultSource {
  readonly kind: 'run' | 'predictions';
  /** Name of the folder or file. */
  readonly name: string;
  /** SHA-256 of a predictions file; null for runs. */
  readonly sha256: string | null;
  /** What made the responses, by dotted name; empty for a predictions file. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** Which table the rows are of. */
export interface ResultData {
  readonly file: string;
  readonly md5: string;
  /** Whether the MD5 is the published one; null where none is published. */
  readonly isPublished: boolean | null;
}

/** How intervals were made. */
export interface IntervalMethod {
  readonly level: 0.95;
  readonly draws: number;
  readonly seed: number;
}

/**
 * `incomplete`: some items failed or are absent. `partial`: all that should be there are, but they are by
 * choice not the whole benchmark.
 */
export type Status = 'complete' | 'partial' | 'incomplete';

/** Everything about a scored run: result.json. */
export interface EvaluationResult {
  readonly format: typeof RESULT_FORMAT;
  readonly benchmark: DatasetName;
  /** As tables name it. */
  readonly label: string;
  /** Whether somebody chose the label; without it, runs of different models are never put together. */
  readonly isLabelGiven: boolean;
  readonly status: Status;
  readonly era: Era;
  readonly unwrap: Unwrap;
  readonly judge: JudgeUse;
  readonly isLowerBound: boolean;
  readonly items: ItemCounts;
  readonly headlines: readonly ResultHeadline[];
  readonly intervals: IntervalMethod | null;
  /** Everything the benchmark reports, one a repeat. */
  readonly repeats: readonly Figures[];
  readonly latency: ResultLatency | null;
  /** Share of scored items with a latent span; null where it is not known. */
  readonly triggerRate: number | null;
  readonly source: ResultSource;
  /** The table; null for a predictions file that brings all columns itself. */
  readonly data: ResultData | null;
  /** gapvl, node, and the commit of the reference that the era is. */
  readonly versions: Readonly<Record<string, string>>;
}

/** A result and the folder it stands in. */
export interface StoredResult {
  readonly folder: string;
  readonly result: EvaluationResult;
}

/** ours: figures of six benchmarks are 50 KB; a thousand times that is no result. */
const MAX_RESULT_BYTES = 64 << 20;
/** ours: sweeps nest runs two folders deep. */
const MAX_DEPTH = 4;
/** ours: beyond it somebody named a disk, not runs. */
const MAX_FOLDERS = 20_000;

/** Writes both files into the folder of a run, each as a whole. */
export async function writeResult(
  folder: string,
  result: EvaluationResult,
  scores: readonly ScoreLine[],
): Promise<void> {
  const header = { format: SCORES_FORMAT, benchmark: result.benchmark, era: result.era };
  const lines = [header, ...scores].map((line) => `${JSON.stringify(line)}\n`);
  await writeFileAtomic(join(folder, SCORES_FILE), [lines.join('')]);
  await writeFileAtomic(join(folder, RESULT_FILE), [`${JSON.stringify(result, null, 2)}\n`]);
}

function isNumberOrNull(value: unknown): boolean {
  return value === null || Number.isFinite(value);
}

function isHeadline(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value['name'] === 'string' &&
    ['percent', 'std', 'low', 'high'].every((name) => isNumberOrNull(value[name]))
  );
}

function isLatency(value: unknown): boolean {
  if (value === null) return true;
  const names = ['n', 'meanS', 'p50S', 'p90S', 'leftOut'];
  return isObject(value) && names.every((name) => Number.isFinite(value[name]));
}

/** Checks what is read from it; the rest is only shown. */
function isResult(value: unknown): value is EvaluationResult {
  if (!isObject(value) || value['format'] !== RESULT_FORMAT) return false;
  const { headlines, repeats, items, judge, source, versions, data } = value;
  return (
    ['benchmark', 'label', 'status', 'era', 'unwrap'].every(
      (name) => typeof value[name] === 'string',
    ) &&
    ['isLowerBound', 'isLabelGiven'].every((name) => typeof value[name] === 'boolean') &&
    Array.isArray(headlines) &&
    headlines.every(isHeadline) &&
    Array.isArray(repeats) &&
    repeats.every(
      (figures) =>
        isObject(figures) &&
        Array.isArray(figures['headlines']) &&
        figures['headlines'].every(
          (line) =>
            isObject(line) && typeof line['name'] === 'string' && isNumberOrNull(line['percent']),
        ),
    ) &&
    isLatency(value['latency']) &&
    isNumberOrNull(value['triggerRate']) &&
    isObject(items) &&
    isObject(judge) &&
    isObject(versions) &&
    (data === null || isObject(data)) &&
    isObject(source) &&
    isObject(source['settings'])
  );
}

/** The result in a folder; undefined when there is none. @throws DataError when it is broken. */
export async function readResult(folder: string): Promise<EvaluationResult | undefined> {
  const path = join(folder, RESULT_FILE);
  let text: string;
  try {
    const found = await lstat(path);
    const isReadable = found.isFile() && found.size <= MAX_RESULT_BYTES;
    text = isReadable ? await readFile(path, 'utf8') : '';
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw new DataError(
      { what: `${path} cannot be read`, got: (error as Error).message, fix: 'check the path' },
      error,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (isResult(json)) return json;
  throw new DataError({
    what: `${path} is not a result of \`gapvl evaluate score\``,
    got: text.slice(0, 80),
    expected: `a JSON object with "format": "${RESULT_FORMAT}"`,
    fix: 'score the run again, or name another folder',
  });
}

async function foldersIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    throw new DataError(
      { what: `${folder} cannot be read`, got: (error as Error).message, fix: 'check the path' },
      error,
    );
  });
  // Links are no folders here, so that nothing outside of the runs is read.
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(folder, name));
}

/**
 * Every result in a folder and the folders in it, ordered by path.
 * @throws DataError when there is none, or one is broken.
 */
export async function findResults(root: string): Promise<StoredResult[]> {
  const found: StoredResult[] = [];
  let level = [root];
  let numFolders = 0;
  for (let depth = 0; depth <= MAX_DEPTH && level.length > 0; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      if (++numFolders > MAX_FOLDERS) {
        throw new DataError({
          what: `${root} holds too many folders to look for results in`,
          expected: `at most ${MAX_FOLDERS}`,
          fix: 'name the folders of the runs themselves',
        });
      }
      const result = await readResult(folder);
      if (result) found.push({ folder, result });
      if (depth < MAX_DEPTH) next.push(...(await foldersIn(folder)));
    }
    level = next;
  }
  if (found.length > 0) return found.sort((a, b) => (a.folder < b.folder ? -1 : 1));
  throw new DataError({
    what: `${root} holds no scored run`,
    expected: `${RESULT_FILE} in it or in a folder of it`,
    fix: 'score the run first: `gapvl evaluate score --run DIR`',
  });
}

function isScoreLine(value: unknown): value is ScoreLine {
  return (
    isObject(value) &&
    typeof value['index'] === 'string' &&
    Number.isSafeInteger(value['sample']) &&
    (value['score'] === 0 || value['score'] === 1) &&
    typeof value['cluster'] === 'string'
  );
}

/** The scores in the folder of a run. @throws DataError when there are none, or a line is broken. */
export async function readScores(folder: string): Promise<ScoreLine[]> {
  const path = join(folder, SCORES_FILE);
  const found = await readJournal(path, SCORES_FORMAT);
  if (!found) {
    throw new DataError({
      what: `${path} is not there`,
      expected: `${SCORES_FILE} beside ${RESULT_FILE}`,
      fix: 'score the run again: `gapvl evaluate score`',
    });
  }
  return found.records.map((record, i) => {
    if (isScoreLine(record)) return record;
    throw new DataError({
      what: `${path}:${i + 2}: the line is no score of an item`,
      got: JSON.stringify(record).slice(0, 120),
      expected: 'an object with index, sample, score and cluster',
      fix: 'score the run again: `gapvl evaluate score`',
    });
  });
}
