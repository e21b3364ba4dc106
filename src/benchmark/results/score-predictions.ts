// Owns scoring a file of predictions without a model, whoever made it; `gapvl evaluate score --predictions` calls
// it.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, parse } from 'node:path';
import { findBenchmark } from '../benchmarks.ts';
import { openTable } from '../run/table.ts';
import { loadPredictions } from '../table/predictions.ts';
import type { DatasetName } from '../types.ts';
import { joinPredictions } from './join-predictions.ts';
import type { JoinedPredictions } from './join-predictions.ts';
import { judgeUse, scoreItems } from './score-items.ts';
import type { Scored } from './score-run.ts';
import { checkJudge } from './score-settings.ts';
import type { ScoreSettings } from './score-settings.ts';
import { scoreLines, summarise } from './summary.ts';
import type { ItemFacts } from './summary.ts';

/** Which predictions, and how they are scored. */
export interface ScorePredictionsOptions extends ScoreSettings {
  readonly benchmark: DatasetName;
  /** JSONL, JSON, TSV or xlsx with the columns of VLMEvalKit's files of predictions. */
  readonly predictions: string;
  /** Table of the benchmark, for columns that the predictions lack and to see what is absent. */
  readonly data?: string;
  /** Takes a table whose MD5 is not the published one. */
  readonly anyTable?: boolean;
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

function factsOf(joined: JoinedPredictions, numRows: number | null, fullCells: number): ItemFacts {
  const { expected, absent, extra, duplicates, failedCalls, latencies } = joined;
  return {
    counts: {
      ...{ table: numRows, expected, errors: 0, errorKinds: {}, absent, extra, duplicates },
      ...{ failedCalls, fullCells, cutOff: null },
    },
    ...{ latencies, numTriggered: 0, numTriggerKnown: 0 },
  };
}

/** The model's name in a file that is called as VLMEvalKit calls it: MODEL_BENCHMARK.xlsx. */
function labelOf(path: string, benchmark: DatasetName): string {
  const { name } = parse(path);
  const suffix = `_${benchmark}`;
  return name.endsWith(suffix) && name.length > suffix.length
    ? name.slice(0, -suffix.length)
    : name;
}

/**
 * Scores a file of predictions.
 * @throws DataError for a file of other columns or of another benchmark, or two predictions for one row;
 * RuntimeError with exit code 4 for a judge that does not answer.
 */
export async function scorePredictions(options: ScorePredictionsOptions): Promise<Scored> {
  const { predictions: path, data, era, unwrap, seed, draws, judge, label, signal } = options;
  const benchmark = findBenchmark(options.benchmark);
  checkJudge(benchmark, judge !== undefined);
  const predictions = await loadPredictions(path, {
    // The index of a row that is there twice is looked at below.
    duplicates: 'keep',
    ...(signal ? { signal } : {}),
  });
  const table =
    data === undefined
      ? undefined
      : await openTable({
          ...{ benchmark: benchmark.name, data, anyTable: options.anyTable ?? false },
          ...(signal ? { signal } : {}),
        });
  const joined = joinPredictions(
    benchmark,
    { name: path, columns: predictions.columns, rows: predictions.rows },
    table && { name: table.file, rows: table.rows },
  );
  const items = await scoreItems(joined.items, { ...options, benchmark });
  const result = summarise(items, {
    ...{ benchmark, era, unwrap, seed, draws, versions: options.versions },
    judge: judgeUse(items, judge),
    facts: factsOf(joined, table ? table.rows.length : benchmark.numRows, predictions.numCut),
    ...{ label: label ?? labelOf(path, benchmark.name), isLabelGiven: label !== undefined },
    source: {
      ...{ kind: 'predictions', name: basename(path), sha256: await sha256Of(path) },
      settings: {},
    },
    data: table ? { file: table.file, md5: table.md5, isPublished: table.isPublished } : null,
    ...(signal ? { signal } : {}),
  });
  return { result, scores: scoreLines(items, benchmark) };
}
