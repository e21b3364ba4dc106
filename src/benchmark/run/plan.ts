// Owns which questions a run asks, in which order and which of them together, and which are answered already;
// run.ts goes through them.
import type { ItemRecord } from '../prediction.ts';
import { indexText } from '../table/table.ts';
import type { Row } from '../types.ts';
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

/**
 * The items of a table, sample by sample, so that a run that stopped has whole samples. Of rows that share
 * an index, which one benchmark allows, the first is asked: they share its prediction.
 */
export function planItems(rows: readonly Row[], samples: number): readonly PlannedItem[] {
  const byIndex = new Map<string, Row>();
  for (const row of rows) {
    const index = indexText(row);
    if (!byIndex.has(index)) byIndex.set(index, row);
  }
  const first = [...byIndex].map(([index, row]) => ({ index, row }));
  return Array.from({ length: samples }, (_, sample) =>
    first.map((one) => ({ ...one, sample })),
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
