// Owns scoring the folder of a run: its items with the rows of its table, and what failed; `gapvl evaluate score
// --run` and sweeps call it.
import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { DataError } from '../../errors.ts';
import { findBenchmark } from '../benchmarks.ts';
import type { ItemRecord } from '../prediction.ts';
import { str } from '../python/numbers.ts';
import { RUN_FILE, itemKey, readRunItems, readRunSettings } from '../run/run-files.ts';
import { comparedFields } from '../run/settings.ts';
import type { RunSettings } from '../run/settings.ts';
import { openTable } from '../run/table.ts';
import type { Row } from '../types.ts';
import type { EvaluationResult, ScoreLine } from './result.ts';
import { judgeUse, scoreItems } from './score-items.ts';
import { checkJudge } from './score-settings.ts';
import type { ScoreSettings } from './score-settings.ts';
import { scoreLines, summarise } from './summary.ts';
import type { ItemFacts } from './summary.ts';

/** Which run, with the table it was made from, and how it is scored. */
export interface ScoreRunOptions extends ScoreSettings {
  /** Folder with run.json and items.jsonl. */
  readonly run: string;
  /** The table that was answered. */
  readonly data: string;
}

/** A result and the scores it is made of. */
export interface Scored {
  readonly result: EvaluationResult;
  readonly scores: readonly ScoreLine[];
}

/**
 * The runs in a folder: itself, or those right in it, as a sweep has them.
 * @throws DataError when there is none.
 */
export async function findRuns(root: string): Promise<string[]> {
  const hasRun = async (folder: string): Promise<boolean> =>
    (await stat(join(folder, RUN_FILE)).catch(() => undefined))?.isFile() ?? false;
  if (await hasRun(root)) return [root];
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const runs: string[] = [];
  for (const entry of entries) {
    const folder = join(root, entry.name);
    // Links are no folders here, so that nothing outside is scored.
    if (entry.isDirectory() && (await hasRun(folder))) runs.push(folder);
  }
  if (runs.length > 0) return runs.sort();
  throw new DataError({
    what: `${root} holds no run`,
    expected: `${RUN_FILE} in it, as \`gapvl evaluate\` writes it, or in folders right in it`,
    fix: 'name the folder that was given as --out; a file of predictions goes to --predictions',
  });
}

/** An item that should be there, with what the journal says of it. */
interface Expected {
  readonly index: string;
  readonly sample: number;
  readonly row: Row;
  readonly record: ItemRecord | undefined;
}

/** Every repeat of every row that was to be answered, in the order of the table; rows may share an index. */
function expectedItems(
  records: readonly ItemRecord[],
  rows: readonly Row[],
  { limit, samples }: RunSettings,
  run: string,
): Expected[] {
  const byKey = new Map(records.map((record) => [itemKey(record), record]));
  const own = (limit === null ? rows : rows.slice(0, limit)).map((row) => ({
    index: str(row['index'] ?? null),
    row,
  }));
  const known = new Set(own.map(({ index }) => index));
  const stranger = records.find(({ index, sample }) => !known.has(index) || sample >= samples);
  if (stranger) {
    throw new DataError({
      what: `${run} has an item that does not belong to it`,
      got: `index ${stranger.index.slice(0, 40)}, sample ${stranger.sample}`,
      expected: `an index of the table, a sample below ${samples}`,
      fix: 'name the table that the run was made from, or make the run again',
    });
  }
  return Array.from({ length: samples }, (_, sample) =>
    own.map((item) => ({ ...item, sample, record: byKey.get(itemKey({ ...item, sample })) })),
  ).flat();
}

function factsOf(expected: readonly Expected[], numItems: number): ItemFacts {
  const records = expected.flatMap(({ record }) => record ?? []);
  const failed = records.flatMap(({ error }) => error ?? []);
  const written = records.filter(({ response }) => response !== null);
  const kinds = new Map<string, number>();
  for (const { kind } of failed) kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  const spans = written.flatMap(({ numSpans }) => numSpans ?? []);
  return {
    counts: {
      ...{ table: numItems, expected: expected.length },
      errors: failed.length,
      errorKinds: Object.fromEntries(kinds),
      ...{ absent: expected.length - records.length },
      // The journal keeps one record an item, and its files have no cells.
      ...{ extra: 0, duplicates: 0, failedCalls: 0, fullCells: 0 },
      cutOff: written.filter(({ finished }) => !finished).length,
    },
    // Rows that share an index were answered once.
    latencies: [...new Set(written)].flatMap(({ latencyS, batch }) =>
      latencyS === undefined || batch > 1 ? [] : [latencyS],
    ),
    numTriggered: spans.filter((numSpans) => numSpans > 0).length,
    numTriggerKnown: spans.length,
  };
}

function labelOf({ source }: RunSettings): string {
  return source.kind === 'endpoint' ? source.model : basename(source.folder);
}

/**
 * Scores a run. What failed is in no figure; it is counted, and makes the result incomplete.
 * @throws DataError for a folder without a run, or a table that is not the run's; RuntimeError with exit code
 * 4 for a judge that does not answer.
 */
export async function scoreRun(options: ScoreRunOptions): Promise<Scored> {
  const { run, data, era, unwrap, seed, draws, judge, label, signal } = options;
  const settings = await readRunSettings(run);
  if (!settings) {
    throw new DataError({
      what: `${run} holds no run`,
      expected: 'run.json and items.jsonl, as `gapvl evaluate` writes them',
      fix: 'name the folder that was given as --out; a file of predictions goes to --predictions',
    });
  }
  const benchmark = findBenchmark(settings.benchmark);
  checkJudge(benchmark, judge !== undefined);
  const records = await readRunItems(run);
  const table = await openTable({
    ...{ benchmark: benchmark.name, data, anyTable: true },
    ...(signal ? { signal } : {}),
  });
  if (table.md5 !== settings.data.md5) {
    throw new DataError({
      what: `${data} is not the table that ${run} was made from`,
      got: `MD5 ${table.md5}`,
      expected: `${settings.data.file}, MD5 ${settings.data.md5}`,
      fix: 'name that table',
    });
  }
  const expected = expectedItems(records, table.rows, settings, run);
  const answered = expected.flatMap(({ index, sample, row, record }) => {
    const prediction = record?.response ?? null;
    return prediction === null ? [] : [{ index, sample, row, prediction }];
  });
  const items = await scoreItems(answered, { ...options, benchmark });
  const result = summarise(items, {
    ...{ benchmark, era, unwrap, seed, draws, versions: options.versions },
    judge: judgeUse(items, judge),
    facts: factsOf(expected, table.rows.length * settings.samples),
    ...{ label: label ?? labelOf(settings), isLabelGiven: label !== undefined },
    source: {
      ...{ kind: 'run', name: basename(resolve(run)), sha256: null },
      settings: comparedFields(settings),
    },
    data: { file: settings.data.file, md5: table.md5, isPublished: table.isPublished },
    ...(signal ? { signal } : {}),
  });
  return { result, scores: scoreLines(items, benchmark) };
}
