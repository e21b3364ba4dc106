// Owns writing generated datasets, resumable at any point; `gapvl data generate` and recipes call it.

import {
  mkdir,
  open,
  readFile,
  rename,
  truncate,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigError, DataError, RuntimeError } from '../errors.ts';
import { EXAMPLES_FILE, isReadable, PARTIAL_FILE } from './dataset.ts';
import { SPLITS, type Example, type Split } from './example.ts';
import { encodePng } from './png.ts';
import { DEFAULT_EASY_FRACTION, sampleExamples, type GeneratedExample } from './splits.ts';
import { TASK_NAMES, type TaskName } from './tasks/index.ts';

/** The file of a dataset folder that says what it was generated from. */
export const PLAN_FILE = 'dataset.json';

// Raised when the same plan gives other examples than before.
const GENERATOR_VERSION = 2;
const BATCH_SIZE = 64;
const NEWLINE = 10;

/** What to generate and whom to tell. */
export interface WriteOptions {
  /** Examples by split; a split that is left out has none. */
  readonly counts: Partial<Readonly<Record<Split, number>>>;
  readonly seed: number;
  /** Tasks that take turns; all by default. */
  readonly tasks?: readonly TaskName[];
  /** Share of easy examples, 0..1; DEFAULT_EASY_FRACTION by default. */
  readonly easyFraction?: number;
  /** Called after each batch with the number of examples that are safe on disk. */
  readonly progress?: (done: number, total: number) => void;
  /** Stops after the current batch. */
  readonly signal?: AbortSignal;
}

/** What a call has done. */
export interface WriteResult {
  readonly numExamples: number;
  /** Examples that an earlier, interrupted call had written. */
  readonly numReused: number;
}

/** The record of a generated example; its pictures lie in images/ under its id. */
function recordOf(example: GeneratedExample): Example {
  const { id, task, split, difficulty, question, answer, think, parser, caption } = example;
  return {
    ...{ id, task, split, difficulty, question, answer, think, parser, caption },
    image: `images/${id}.png`,
    auxiliary: `images/${id}-auxiliary.png`,
    auxiliaryCaption: example.auxiliaryCaption,
    seed: example.seed,
  };
}

function* generateAll(options: WriteOptions): Generator<GeneratedExample, void> {
  const { counts, seed, tasks = TASK_NAMES, easyFraction = DEFAULT_EASY_FRACTION } = options;
  for (const split of SPLITS) {
    yield* sampleExamples({ split, count: counts[split] ?? 0, seed, tasks, easyFraction });
  }
}

function planOf(options: WriteOptions): string {
  const { counts, seed, tasks = TASK_NAMES, easyFraction = DEFAULT_EASY_FRACTION } = options;
  const allCounts = Object.fromEntries(SPLITS.map((split) => [split, counts[split] ?? 0]));
  const plan = { version: GENERATOR_VERSION, seed, counts: allCounts, tasks, easyFraction };
  return `${JSON.stringify(plan, undefined, 2)}\n`;
}

function countExamples(options: WriteOptions): number {
  const counts = SPLITS.map((split) => options.counts[split] ?? 0);
  const total = counts.reduce((sum, count) => sum + count, 0);
  const isUsable = counts.every((count) => Number.isSafeInteger(count) && count >= 0);
  if (isUsable && total > 0) return total;
  throw new ConfigError({
    what: 'a dataset needs at least one example',
    got: `counts ${JSON.stringify(options.counts)}`,
    expected: 'a whole number of examples for one split or more',
  });
}

function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}

/** Does a file operation; a failure names the path and what to do. */
async function onDisk<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const isFull = hasCode(error, 'ENOSPC', 'EDQUOT');
    throw new RuntimeError(
      {
        what: isFull ? `the disk is full: cannot write ${path}` : `cannot write ${path}`,
        got: error instanceof Error ? error.message : String(error),
        fix: `${isFull ? 'free some space' : 'make the folder writable'} and run the same command again: it goes on where it stopped`,
      },
      error,
    );
  }
}

/** Bytes of a file, undefined if there is none. */
async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function otherDataset(folder: string, got: string): DataError {
  return new DataError({
    what: `${folder} holds another dataset`,
    got,
    expected: 'an empty folder, or the same generation unfinished',
    fix: 'name another folder, or remove this one',
  });
}

/** Writes the plan into a new folder, or checks it; returns whether the dataset is complete. */
async function checkPlan(folder: string, options: WriteOptions): Promise<boolean> {
  const path = join(folder, PLAN_FILE);
  const plan = planOf(options);
  const found = await onDisk(path, () => readIfThere(path));
  const isComplete = await isReadable(join(folder, EXAMPLES_FILE));
  if (found === undefined) {
    if (isComplete) throw otherDataset(folder, `${EXAMPLES_FILE} without ${PLAN_FILE}`);
    await onDisk(path, async () => {
      await writeFile(`${path}.partial`, plan);
      await rename(`${path}.partial`, path);
    });
  } else if (found.toString('utf8') !== plan) {
    throw otherDataset(folder, `${PLAN_FILE} with other settings`);
  }
  return isComplete;
}

/** Lines that an earlier call finished; half a line at the end is cut off. */
async function recoverLines(path: string): Promise<string[]> {
  const bytes = await onDisk(path, () => readIfThere(path));
  if (bytes === undefined) return [];
  const end = bytes.lastIndexOf(NEWLINE) + 1;
  if (end < bytes.length) await onDisk(path, () => truncate(path, end));
  return end === 0 ? [] : bytes.toString('utf8', 0, end - 1).split('\n');
}

/** Pictures first, then their lines: a line stands for pictures that are there. */
async function writeBatch(
  folder: string,
  lines: FileHandle,
  batch: readonly GeneratedExample[],
): Promise<void> {
  const pictures = batch.flatMap((example) => {
    const { image, auxiliary = '' } = recordOf(example);
    return [
      { path: join(folder, image), raster: example.picture },
      { path: join(folder, auxiliary), raster: example.auxiliary },
    ];
  });
  const results = await Promise.allSettled(
    pictures.map(({ path, raster }) => onDisk(path, () => writeFile(path, encodePng(raster)))),
  );
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  const text = batch.map((example) => `${JSON.stringify(recordOf(example))}\n`).join('');
  await onDisk(join(folder, PARTIAL_FILE), () => lines.appendFile(text));
}

async function writeExamples(
  folder: string,
  lines: FileHandle,
  oldLines: readonly string[],
  options: WriteOptions,
): Promise<void> {
  const total = countExamples(options);
  let numDone = 0;
  let batch: GeneratedExample[] = [];
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    await writeBatch(folder, lines, batch);
    numDone += batch.length;
    batch = [];
    options.progress?.(numDone, total);
    if (options.signal?.aborted !== true || numDone === total) return;
    throw new RuntimeError({
      what: `writing the dataset ${folder} was interrupted`,
      got: `${numDone} of ${total} examples, which are kept`,
      fix: 'run the same command again: it goes on where it stopped',
    });
  };
  for (const example of generateAll(options)) {
    const oldLine = oldLines[numDone];
    if (oldLine === undefined) {
      batch.push(example);
      if (batch.length === BATCH_SIZE) await flush();
    } else {
      const isSame = oldLine === JSON.stringify(recordOf(example));
      if (!isSame) throw otherDataset(folder, `another example in ${PARTIAL_FILE}:${numDone + 1}`);
      numDone += 1;
    }
  }
  await flush();
}

/**
 * Generates a dataset into a folder: examples.jsonl, images/*.png and dataset.json (the plan).
 * Until the last line is written the list is called examples.jsonl.partial; an interrupted call is
 * completed by the same call, and a complete one is left as it is.
 * @throws ConfigError for unusable settings, DataError if the folder holds another dataset,
 * RuntimeError naming the path if the disk is full or writing was interrupted; what is written stays.
 */
export async function writeDataset(folder: string, options: WriteOptions): Promise<WriteResult> {
  const numExamples = countExamples(options);
  const images = join(folder, 'images');
  await onDisk(images, () => mkdir(images, { recursive: true }));
  if (await checkPlan(folder, options)) return { numExamples, numReused: numExamples };
  const partial = join(folder, PARTIAL_FILE);
  const oldLines = await recoverLines(partial);
  const lines = await onDisk(partial, () => open(partial, 'a'));
  try {
    await writeExamples(folder, lines, oldLines, options);
    await onDisk(partial, () => lines.sync());
  } finally {
    await lines.close();
  }
  await onDisk(partial, () => rename(partial, join(folder, EXAMPLES_FILE)));
  return { numExamples, numReused: oldLines.length };
}
