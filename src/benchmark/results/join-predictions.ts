// Owns bringing a table of predictions together with the table of its benchmark: what is absent, too much, there
// twice, or of another benchmark; score-predictions.ts calls it.
import { DataError } from '../../errors.ts';
import { FAILED_CALL } from '../matcher.ts';
import { parseFloatText, str } from '../python/numbers.ts';
import type { Benchmark, Cell, Row, Table } from '../types.ts';
import { otherBenchmark } from './recognise.ts';
import type { AnsweredItem } from './score-items.ts';

const INDEX = 'index';
const PREDICTION = 'prediction';
const LATENCY = 'latency_s';

/** Rows of a table with the name it has in messages. */
export interface NamedRows extends Pick<Table, 'rows'> {
  readonly name: string;
}

/** A table with the name it has in messages. */
export interface NamedTable extends NamedRows {
  readonly columns: readonly string[];
}

/** Predictions with their rows, and what was found out on the way. */
export interface JoinedPredictions {
  /** In the order of the benchmark's table; without it, of the predictions. */
  readonly items: readonly AnsweredItem[];
  /** Rows of the benchmark's table; without it, of the predictions. */
  readonly expected: number;
  readonly absent: number;
  readonly extra: number;
  readonly duplicates: number;
  /** Predictions that say that a call had failed. */
  readonly failedCalls: number;
  /** Seconds, where the predictions have a column of them. */
  readonly latencies: readonly number[];
}

/** At most this many indices are named in a message. */
const NUM_NAMED = 5;

function indexOf(row: Row): string {
  return str(row[INDEX] ?? null);
}

function cell(row: Row, column: string): Cell {
  return row[column] ?? null;
}

function listed(indices: readonly string[]): string {
  const names = indices.slice(0, NUM_NAMED).map((index) => index.slice(0, 40));
  return indices.length > NUM_NAMED ? `${names.join(', ')}, ...` : names.join(', ');
}

function checkColumns({ name, columns }: NamedTable): void {
  const missing = [INDEX, PREDICTION].filter((column) => !columns.includes(column));
  if (missing.length === 0) return;
  throw new DataError({
    what: `${name} holds no predictions: it lacks ${missing.join(' and ')}`,
    got: `columns ${columns.slice(0, 20).join(', ').slice(0, 200)}`,
    expected: `columns ${INDEX} and ${PREDICTION}, as VLMEvalKit writes them`,
    fix: 'name the file of predictions, not that of judge or scores; the folder of a run goes to --run',
  });
}

/** First prediction of every index; further ones have to be the same. */
function firstPredictions(
  benchmark: Benchmark,
  { name, rows }: NamedTable,
): { readonly byIndex: ReadonlyMap<string, Row>; readonly duplicates: number } {
  const byIndex = new Map<string, Row>();
  let duplicates = 0;
  for (const row of rows) {
    const index = indexOf(row);
    const first = byIndex.get(index);
    if (!first) {
      byIndex.set(index, row);
      continue;
    }
    duplicates++;
    // The protocol of this one benchmark gives rows of one index the first one's prediction.
    if (benchmark.name === 'MME-RealWorld-Lite') continue;
    if (str(cell(first, PREDICTION)) === str(cell(row, PREDICTION))) continue;
    throw new DataError({
      what: `${name} has two predictions for index ${index.slice(0, 40)}`,
      got: [first, row]
        .map((one) => JSON.stringify(str(cell(one, PREDICTION)).slice(0, 60)))
        .join(' and '),
      expected: 'one prediction a row',
      fix: 'remove one of them',
    });
  }
  return { byIndex, duplicates };
}

/** Cells that columns of other types wrote otherwise are the same: 7, `7` and 7.0. */
function isSameCell(a: Cell, b: Cell): boolean {
  const [first, second] = [str(a), str(b)];
  if (first === second) return true;
  const [x, y] = [parseFloatText(first), parseFloatText(second)];
  return x !== undefined && x === y;
}

/** The row of the table, with whatever the predictions bring themselves. */
function mergedRow(own: Row, data: Row): Row {
  const merged = Object.create(null) as Record<string, Cell>;
  for (const row of [data, own]) {
    for (const [name, value] of Object.entries(row)) merged[name] = value;
  }
  return merged;
}

function checkBenchmark(benchmark: Benchmark, { name, rows }: NamedTable): void {
  const other = otherBenchmark(rows, benchmark.name);
  if (other === undefined) return;
  throw new DataError({
    what: `${name} holds predictions for another benchmark`,
    got: `rows of ${other}`,
    expected: `rows of ${benchmark.name}`,
    fix: `score it with --benchmark ${other}`,
  });
}

function checkScoringColumns(benchmark: Benchmark, rows: readonly Row[], names: string): void {
  const [first] = rows;
  if (!first) return;
  const prepared = benchmark.prepareRow(first);
  const missing = benchmark.scoringColumns.filter((column) => !(column in prepared));
  if (missing.length === 0) return;
  throw new DataError({
    what: `${names} lacks columns that ${benchmark.name} is scored by: ${missing.join(', ')}`,
    got: `columns ${Object.keys(first).slice(0, 20).join(', ').slice(0, 200)}`,
    expected: `columns ${benchmark.scoringColumns.join(', ')}`,
    fix: 'add the table of the benchmark with --data, or name the benchmark the predictions are for',
  });
}

function joinData(
  benchmark: Benchmark,
  predictions: NamedTable,
  byIndex: ReadonlyMap<string, Row>,
  data: NamedRows,
): { readonly rows: readonly Row[]; readonly absent: number; readonly extra: number } {
  const known = new Set(data.rows.map(indexOf));
  const extra = [...byIndex.keys()].filter((index) => !known.has(index));
  if (extra.length * 2 > byIndex.size) {
    throw new DataError({
      what: `${predictions.name} holds predictions for another benchmark than ${data.name}`,
      got: `${extra.length} of ${byIndex.size} indices that the table does not have: ${listed(extra)}`,
      expected: `indices of ${benchmark.name}`,
      fix: 'name the table the predictions were made from, or the benchmark they are for',
    });
  }
  const changed: string[] = [];
  const rows = data.rows.flatMap((row) => {
    const own = byIndex.get(indexOf(row));
    if (!own) return [];
    const isChanged = 'answer' in own && !isSameCell(cell(own, 'answer'), cell(row, 'answer'));
    // Rows of one index may have answers of their own where they share a prediction.
    if (isChanged && benchmark.name !== 'MME-RealWorld-Lite') changed.push(indexOf(row));
    return [
      benchmark.name === 'MME-RealWorld-Lite' ? withPrediction(row, own) : mergedRow(own, row),
    ];
  });
  if (changed.length > 0) {
    throw new DataError({
      what: `${predictions.name} and ${data.name} have different answers to the same rows`,
      got: `${changed.length} rows: ${listed(changed)}`,
      expected: 'the table that the predictions were made from',
      fix: 'name that table, or leave --data out',
    });
  }
  return { rows, absent: data.rows.length - rows.length, extra: extra.length };
}

function withPrediction(row: Row, own: Row): Row {
  const merged = mergedRow(row, own) as Record<string, Cell>;
  merged[PREDICTION] = cell(own, PREDICTION);
  return merged;
}

/**
 * Brings predictions together with the rows they are for.
 * @param data - the benchmark's table; without it the predictions have to bring all columns.
 * @throws DataError for a table of other columns, for predictions of another benchmark or table, and for two
 * different predictions for one row.
 */
export function joinPredictions(
  benchmark: Benchmark,
  predictions: NamedTable,
  data?: NamedRows,
): JoinedPredictions {
  checkColumns(predictions);
  checkBenchmark(benchmark, predictions);
  const { byIndex, duplicates } = firstPredictions(benchmark, predictions);
  // Without a table, rows that share an index are still rows of their own in the one benchmark that has them.
  const alone =
    benchmark.name === 'MME-RealWorld-Lite'
      ? predictions.rows.map((row) => withPrediction(row, byIndex.get(indexOf(row)) ?? row))
      : [...byIndex.values()];
  const { rows, absent, extra } = data
    ? joinData(benchmark, predictions, byIndex, data)
    : { rows: alone, absent: 0, extra: 0 };
  checkScoringColumns(benchmark, rows, predictions.name);
  const items = rows.map((row) => ({
    ...{ index: indexOf(row), sample: 0, row, prediction: cell(row, PREDICTION) },
  }));
  const seconds = rows.map((row) => Number(cell(row, LATENCY) ?? NaN));
  return {
    items,
    expected: data ? data.rows.length : rows.length,
    ...{ absent, extra, duplicates },
    failedCalls: items.filter(({ prediction }) => str(prediction).includes(FAILED_CALL)).length,
    latencies: seconds.filter((value) => Number.isFinite(value) && value > 0),
  };
}
