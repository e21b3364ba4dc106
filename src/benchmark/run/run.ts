// Owns a run of a benchmark from its table to the journal of its items: resume, retries, errors; the CLI and
// sweeps call it.
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { versions } from '../../context/provenance.ts';
import { Journal, readJournal } from '../../data/journal.ts';
import { ConfigError, DataError, EXIT_CODES, RuntimeError } from '../../errors.ts';
import { BENCHMARKS } from '../benchmarks.ts';
import { answerAll } from '../endpoint/answer-all.ts';
import type { ItemRecord } from '../prediction.ts';
import type { PromptBuilder } from '../types.ts';
import { failed, faultText } from './answerer.ts';
import type { Answerer, Asked, Contestant } from './answerer.ts';
import { openLocal } from './local.ts';
import type { LocalOptions, RunContext } from './local.ts';
import { lockFolder } from './lock.ts';
import { planBatches, planItems } from './plan.ts';
import type { PlannedBatch, PlannedItem } from './plan.ts';
import { openRemote } from './remote.ts';
import type { RemoteOptions } from './remote.ts';
import { ITEMS_FILE, ITEMS_FORMAT, beginRun } from './run-files.ts';
import { itemKey, latestItems, parseItems } from './run-files.ts';
import { RUN_FORMAT, comparedFields } from './settings.ts';
import type { RunSettings } from './settings.ts';
import { openTable } from './table.ts';
import type { OpenTableOptions, RunTable } from './table.ts';

/** A run of a benchmark. */
export interface BenchmarkRunOptions extends ItemsOptions, OpenTableOptions {
  /** Who answers. */
  readonly answerer: LocalOptions | RemoteOptions;
}

/** A run of a table that is open. */
export interface ItemsOptions {
  /** Folder of the run. */
  readonly out: string;
  /** Default `dataset`: what the published baselines saw. */
  readonly promptBuilder?: PromptBuilder;
  /** System message; default: none, or what the chat template does without one. */
  readonly system?: string;
  readonly seed: number;
  /** Answers a row, default 1. */
  readonly samples?: number;
  /** First rows only. */
  readonly limit?: number;
  /** Asks items again whose last record is an error. */
  readonly retryErrors?: boolean;
  /** Failures of the endpoint or the runtime in a row that end the run, default MOST_ERRORS. */
  readonly maxErrors?: number;
  /** Milliseconds since some moment; without it no latency of a local model is kept. */
  readonly now?: () => number;
  readonly signal?: AbortSignal;
}

/** How far a run is: once at its start, then with every item that is safe on disk. */
export interface RunEvent {
  /** Absent at the start. */
  readonly record?: ItemRecord;
  /** Items that have a record, those of earlier processes included. */
  readonly done: number;
  readonly total: number;
  /** Items among them whose last record is an error. */
  readonly numErrors: number;
}

/** A finished run. */
export interface RunResult {
  readonly out: string;
  readonly settings: RunSettings;
  readonly numItems: number;
  readonly numAnswered: number;
  /** The records of all items without an answer. */
  readonly errors: readonly ItemRecord[];
  /** Answers that the limit of tokens cut off. */
  readonly numCutOff: number;
  /** Words of prompts outside of the model's vocabulary, of this process. */
  readonly numUnknownWords: number;
}

/** ours: an endpoint that failed twenty times in a row, retries included, is not there. */
export const MOST_ERRORS = 20;

/** Faults of a row, which say nothing about whoever answers. */
const ROW_FAULTS: readonly string[] = ['picture', 'data'];

function checkOptions({ samples = 1, limit = 1, maxErrors = 1, seed }: ItemsOptions): void {
  const counts = { samples, limit, maxErrors };
  const broken = Object.entries(counts).filter(([, n]) => !Number.isSafeInteger(n) || n < 1);
  if (!Number.isSafeInteger(seed) || seed < 0) broken.push(['seed', seed]);
  if (broken.length === 0) return;
  throw new ConfigError({
    what: 'a benchmark cannot be run like this',
    got: broken.map(([name, n]) => `${name} ${n}`).join(', '),
    expected: 'whole numbers: a seed of at least 0, the others of at least 1',
  });
}

async function settingsOf(
  options: ItemsOptions,
  table: RunTable,
  contestant: Contestant,
): Promise<RunSettings> {
  return {
    format: RUN_FORMAT,
    benchmark: table.name,
    data: {
      file: table.file,
      md5: table.md5,
      numRows: planItems(table.rows, 1).length,
      isPublished: table.isPublished,
    },
    source: contestant.source,
    promptBuilder: options.promptBuilder ?? 'dataset',
    system: options.system ?? null,
    decoding: contestant.decoding,
    seed: options.seed,
    samples: options.samples ?? 1,
    limit: options.limit ?? null,
    versions: { ...(await versions()), node: process.versions.node },
  };
}

/** Opens the journal of a run that begins or goes on. */
async function openItems(out: string, settings: RunSettings): Promise<Journal> {
  const path = join(out, ITEMS_FILE);
  const found = await readJournal(path, ITEMS_FORMAT);
  const hasItems = found !== undefined && found.records.length > 0;
  await beginRun(out, settings, hasItems);
  if (found && !hasItems) await rm(path);
  const fields = comparedFields(settings);
  const text = JSON.stringify(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)));
  const hash = createHash('sha256').update(text).digest('hex');
  return Journal.open(path, {
    format: ITEMS_FORMAT,
    benchmark: settings.benchmark,
    settings: hash,
  });
}

/** Whoever answers, started when the first question comes. */
class Starter implements AsyncDisposable {
  private readonly contestant: Contestant;
  private started: Promise<Answerer> | undefined;

  constructor(contestant: Contestant) {
    this.contestant = contestant;
  }

  answerer(signal: AbortSignal): Promise<Answerer> {
    return (this.started ??= this.contestant.start(signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const answerer = await this.started?.catch(() => undefined);
    await answerer?.[Symbol.asyncDispose]();
  }
}

/** The question of an item, or the record of a row that makes none. */
async function ask(
  item: PlannedItem,
  table: RunTable,
  builder: PromptBuilder,
): Promise<Asked | ItemRecord> {
  const { index, sample, row } = item;
  let prompt: string;
  try {
    prompt = BENCHMARKS[table.name].promptText(row, builder);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return failed(item, { kind: 'data', what: faultText(error) });
  }
  try {
    return { index, sample, prompt, pictures: await table.pictures(row) };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return failed(item, { kind: 'picture', what: faultText(error) });
  }
}

/** Ends a run whose answerer fails again and again. */
class Failures {
  private readonly most: number;
  private count = 0;

  constructor(most: number) {
    this.most = most;
  }

  note({ error }: ItemRecord): void {
    if (error && ROW_FAULTS.includes(error.kind)) return;
    this.count = error ? this.count + 1 : 0;
    if (!error || this.count < this.most) return;
    throw new RuntimeError(
      {
        what: `${this.count} items failed one after the other; what is finished is kept`,
        got: `${error.kind}: ${error.what}`,
        expected: 'answers',
        fix: 'mend the cause, then run the same command with --retry-errors',
      },
      undefined,
      error.kind === 'runtime' ? EXIT_CODES.other : EXIT_CODES.unreachable,
    );
  }
}

/** Who answers, opened. */
export async function openContestant(
  answerer: LocalOptions | RemoteOptions,
  { seed, system, now }: Pick<ItemsOptions, 'seed' | 'system' | 'now'>,
): Promise<Contestant> {
  const context: RunContext = { seed, system: system ?? null, ...(now ? { now } : {}) };
  return answerer.kind === 'model'
    ? await openLocal(answerer, context)
    : openRemote(answerer, context);
}

/**
 * Answers every row of a table and journals each item as it is finished; the same call goes on where
 * an earlier one ended. A row that cannot be answered is an error in its record, never a wrong answer.
 * @throws ConfigError for a folder of another run or one that another process works in; DataError for
 * a table that is not the benchmark's; RuntimeError when failures do not end.
 */
export async function* runBenchmark(
  options: BenchmarkRunOptions,
): AsyncGenerator<RunEvent, RunResult> {
  checkOptions(options);
  await using _lock = await lockFolder(options.out);
  const table = await openTable(options);
  const contestant = await openContestant(options.answerer, options);
  return yield* runItems(table, contestant, options);
}

/** The same for a table and an answerer that are open; the folder has to be locked. */
export async function* runItems(
  table: RunTable,
  contestant: Contestant,
  options: ItemsOptions,
): AsyncGenerator<RunEvent, RunResult> {
  checkOptions(options);
  const { out, samples = 1, promptBuilder = 'dataset', retryErrors = false } = options;
  const settings = await settingsOf(options, table, contestant);
  const items = planItems(table.rows.slice(0, options.limit), samples);
  options.signal?.throwIfAborted();
  await using journal = await openItems(out, settings);
  const latest = new Map(latestItems(parseItems(journal.records, journal.path)));
  let errors = [...latest.values()].filter(({ error }) => error !== undefined).length;
  yield { done: latest.size, total: items.length, numErrors: errors };
  await using starter = new Starter(contestant);
  const failures = new Failures(options.maxErrors ?? MOST_ERRORS);
  // One after the other, so that no two lines get into each other.
  let written: Promise<void> = Promise.resolve();
  const answer = async (
    batch: PlannedBatch,
    signal: AbortSignal,
  ): Promise<readonly ItemRecord[]> => {
    signal.throwIfAborted();
    const questions: Asked[] = [];
    const records: ItemRecord[] = [];
    for (const item of batch.items) {
      const asked = await ask(item, table, promptBuilder);
      if ('prompt' in asked) questions.push(asked);
      else records.push(asked);
    }
    if (questions.length > 0) {
      const answerer = await starter.answerer(signal);
      records.push(...(await answerer.answer(questions)));
    }
    const wanted = records.filter((record) => batch.wanted.has(itemKey(record)));
    // Here and not where it is taken: what is finished is kept, whoever leaves.
    written = written.then(() => journal.append(wanted));
    await written;
    return wanted;
  };
  const batches = planBatches(items, contestant.batchSize, new Map(latest), retryErrors);
  const all = answerAll(batches, answer, {
    concurrency: contestant.concurrency,
    ...(options.signal ? { signal: options.signal } : {}),
  });
  for await (const finished of all) {
    for (const record of finished) {
      const before = latest.get(itemKey(record));
      latest.set(itemKey(record), record);
      errors += Number(record.error !== undefined) - Number(before?.error !== undefined);
      yield { record, done: latest.size, total: items.length, numErrors: errors };
      failures.note(record);
    }
  }
  const records = [...latest.values()];
  return {
    ...{ out, settings, numItems: items.length },
    numAnswered: records.filter(({ error }) => error === undefined).length,
    errors: records.filter(({ error }) => error !== undefined),
    numCutOff: records.filter(({ error, finished }) => error === undefined && !finished).length,
    numUnknownWords: contestant.numUnknownWords(),
  };
}
