// Owns what the figures of all benchmarks share: counts of rows, means, columns in lower case, faults of rows.
// The files of the single benchmarks call it.
import { DataError } from '../errors.ts';
import { isMissing } from './missing.ts';
import { str } from './python/numbers.ts';
import { compareText, lower } from './python/text.ts';
import type { Cell, Figures, ItemScore, Row, ScoredRow, Settled } from './types.ts';

/** The counts every report begins with. */
export function countRows(
  rows: readonly ScoredRow[],
): Pick<Figures, 'numRows' | 'numMissing' | 'numRandom'> {
  return {
    numRows: rows.length,
    numMissing: rows.filter((one) => one.score.missing).length,
    numRandom: rows.filter((one) => one.score.settled === 'random').length,
  };
}

/** A score; a prediction counts as missing after pandas' rule. */
export function scored(
  result: string | null,
  isRight: boolean,
  settled: Settled,
  prediction: Cell,
): ItemScore {
  const score = isRight ? 1 : 0;
  return { state: 'scored', result, score, settled, missing: isMissing(prediction) };
}

/** A prediction as the scorers see it after its trip through a file: what is missing there reads `nan`. */
export function predictionText(prediction: Cell): string {
  return isMissing(prediction) ? 'nan' : str(prediction);
}

/** A running mean of hits. */
export class HitCount {
  hits = 0;
  total = 0;

  /** Counts one more row. */
  add(score: number): void {
    this.hits += score;
    this.total++;
  }

  /** Hits per row; null without rows. */
  mean(): number | null {
    return this.total === 0 ? null : this.hits / this.total;
  }
}

/** The entry of a map, made when it is not there yet. */
export function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const found = map.get(key);
  if (found !== undefined) return found;
  const made = make();
  map.set(key, made);
  return made;
}

/** A hundredfold; null stays null. */
export function toPercent(fraction: number | null): number | null {
  return fraction === null ? null : fraction * 100;
}

/**
 * The row with its column names in lower case, single capitals aside, as VLMEvalKit renames them before it
 * scores choices; a name that had to be changed overwrites one that had not.
 */
export function lowerColumns(row: Row): Row {
  const names = Object.keys(row);
  const renamed = names.filter((name) => !/^[A-Z]$/.test(name) && lower(name) !== name);
  if (renamed.length === 0) return row;
  const made = Object.create(null) as Record<string, Cell>;
  for (const name of names) if (!renamed.includes(name)) made[name] = row[name] ?? null;
  for (const name of renamed) made[lower(name)] = row[name] ?? null;
  return made;
}

/** A row as it is. */
export function sameRow(row: Row): Row {
  return row;
}

/** How a row is named in messages. */
export function nameRow(row: Row): string {
  return `row ${str(row['index'] ?? null)}`;
}

/** The row's `index` as text: what a row is grouped by when it stands alone. */
export function indexOf(row: Row): string {
  return str(row['index'] ?? null);
}

/** Whether pandas holds a cell as missing; texts such as `NA` are the table reader's business. */
export function isEmptyCell(cell: Cell | undefined): cell is null | undefined {
  return cell === undefined || cell === null || (typeof cell === 'number' && Number.isNaN(cell));
}

/**
 * A cell as text, for columns a row cannot do without.
 * @throws DataError if it is missing.
 */
export function requireText(row: Row, column: string): string {
  const cell = row[column];
  if (isEmptyCell(cell)) {
    throw new DataError({
      what: `${nameRow(row)} has no "${column}"`,
      got: 'a missing cell (empty, or a word such as NA or null)',
      expected: 'a text',
      fix: 'complete or remove the row',
    });
  }
  return str(cell);
}

/** The order in which pandas lists groups: numbers by size, texts by code points. */
export function compareCells(first: Cell, second: Cell): number {
  if (typeof first === 'string' || typeof second === 'string')
    return compareText(str(first), str(second));
  return Number(first) - Number(second);
}
