// Owns scoring the folder of a run: its items with the rows of its table, and what failed; `gapvl evaluate score
// --run` and sweeps call it.
import { basename, resolve } from 'node:path';
import { DataError } from '../../errors.ts';
import { findBenchmark } from '../benchmarks.ts';
import type { ItemRecord } from '../prediction.ts';
import { str } from '../python/numbers.ts';
import { readRunItems, readRunSettings } from '../run/run-files.ts';
import { comparedFields } from '../run/settings.ts';
import type { RunSettings } from '../run/settings.ts';
import { openTable } from '../run/table.ts';
import type { Row } from '../types.ts';
import type { EvaluationResult, ScoreLine } from './result.ts';
import { judgeUse, scoreItems } from './score-items.ts';
import type { AnsweredItem } from './score-items.ts';
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

/** Rows that were to be answered, by index. */
function expectedRows(rows: readonly Row[], { limit }: RunSettings): ReadonlyMap<string, Row> {
  const own = limit === null ? rows : rows.slice(0, limit);
  return new Map(own.map((row) => [str(row['index'] ?? null), row]));
}

function answered(
  records: readonly ItemRecord[],
  rows: ReadonlyMap<string, Row>,
  run: string,
): AnsweredItem[] {
  const places = new Map([...rows.keys()].map((index, place) => [index, place]));
  const items = records.flatMap(({ index, sample, response }) => {
    const row = rows.get(index);
    if (!row) {
      throw new DataError({
        what: `${run} has an item that its table does not have`,
        got: `index ${index.slice(0, 40)}`,
        expected: 'an index of the table',
        fix: 'name the table that the run was made from',
      });
    }
    return response === null ? [] : [{ index, sample, row, prediction: response }];
  });
  const placeOf = ({ index }: AnsweredItem): number => places.get(index) ?? 0;
  return items.sort((a, b) => a.sample - b.sample || placeOf(a) - placeOf(b));
}

function factsOf(
  records: readonly ItemRecord[],
  rows: ReadonlyMap<string, Row>,
  { samples, data }: RunSettings,
): ItemFacts {
  const failed = records.flatMap(({ error }) => error ?? []);
  const written = records.filter(({ response }) => response !== null);
  const errorKinds: Record<string, number> = {};
  for (const { kind } of failed) errorKinds[kind] = (errorKinds[kind] ?? 0) + 1;
  const expected = rows.size * samples;
  const spans = written.flatMap(({ numSpans }) => numSpans ?? []);
  return {
    counts: {
      table: data.numRows * samples,
      ...{ expected, errors: failed.length, errorKinds, absent: expected - records.length },
      // The journal keeps one record an item, and the run refuses rows that it does not know.
      ...{ extra: 0, duplicates: 0, failedCalls: 0, fullCells: 0 },
      cutOff: written.filter(({ finished }) => !finished).length,
    },
    latencies: written.flatMap(({ latencyS, batch }) =>
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
  const rows = expectedRows(table.rows, settings);
  const items = await scoreItems(answered(records, rows, run), { ...options, benchmark });
  const result = summarise(items, {
    ...{ benchmark, era, unwrap, seed, draws, versions: options.versions },
    judge: judgeUse(items, judge),
    facts: factsOf(records, rows, settings),
    ...{ label: label ?? labelOf(settings), isLabelGiven: label !== undefined },
    source: {
      ...{ kind: 'run', name: basename(resolve(run)), sha256: null },
      settings: comparedFields(settings),
    },
    data: { file: settings.data.file, md5: settings.data.md5 },
    ...(signal ? { signal } : {}),
  });
  return { result, scores: scoreLines(items, benchmark) };
}
