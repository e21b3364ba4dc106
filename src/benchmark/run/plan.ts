// Owns which questions a run asks, in which order and which of them together, and which are answered already;
// run.ts goes through them.
import { DataError } from '../../errors.ts';
import type { ItemRecord } from '../prediction.ts';
import type { Cell, Row } from '../types.ts';
import { itemKey } from './run-files.ts';

/** A row to be answered. */
export interface PlannedItem {
  readonly index: string;
  readonly sample: number;
  readonly row: Row;
}

/** Questions that are answered together. */
export interface PlannedBatch {
  /** All of the batch: what is answered already may be needed, since bits depend on neighbours. */
  readonly items: readonly PlannedItem[];
  /** Those whose records are wanted. */
  readonly wanted: ReadonlySet<string>;
}

/** A cell of the column `index` as text; numbers as the reference writes them. */
export function indexText(cell: Cell | undefined): string | undefined {
  if (cell === undefined || cell === null) return undefined;
  return typeof cell === 'boolean' ? (cell ? 'True' : 'False') : String(cell);
}

/**
 * The items of a table, sample by sample, so that a run that stopped has whole samples.
 * @throws DataError for a row without an index, or one that another row has.
 */
export function planItems(
  rows: readonly Row[],
  samples: number,
  file: string,
): readonly PlannedItem[] {
  const seen = new Map<string, number>();
  const indexed = rows.map((row, i) => {
    const index = indexText(row['index']);
    const before = index === undefined ? undefined : seen.get(index);
    if (index === undefined || before !== undefined) {
      throw new DataError({
        what: `${file}: row ${i + 1} cannot be told from others by its index`,
        got: index === undefined ? 'no index' : `${index}, which row ${(before ?? 0) + 1} has too`,
        expected: 'a column index with a value of its own in each row',
        fix: 'repair the table: records of a run are kept by index',
      });
    }
    seen.set(index, i);
    return { index, row };
  });
  return Array.from({ length: samples }, (_, sample) =>
    indexed.map((one) => ({ ...one, sample })),
  ).flat();
}

/**
 * Batches that still have something to do, in order. Their members are always the same, whatever
 * was answered before, so that a run that goes on computes the same bits.
 */
export function* planBatches(
  items: readonly PlannedItem[],
  batchSize: number,
  known: ReadonlyMap<string, ItemRecord>,
  retryErrors: boolean,
): Generator<PlannedBatch> {
  const isDone = (item: PlannedItem): boolean => {
    const record = known.get(itemKey(item));
    return record !== undefined && !(retryErrors && record.error !== undefined);
  };
  for (let start = 0; start < items.length; start += batchSize) {
    const batch = items.slice(start, start + batchSize);
    const wanted = new Set(batch.filter((item) => !isDone(item)).map(itemKey));
    if (wanted.size > 0) yield { items: batch, wanted };
  }
}
