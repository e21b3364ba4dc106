// Owns the JSONL file of capacity scores: header, one line an example; scoring writes it, training reads it.
import { readJournal } from '../data/journal.ts';
import type { JournalHeader } from '../data/journal.ts';
import { DataError } from '../errors.ts';
import { assign } from './assignment.ts';
import type { CapacityAssignment, CapacityScore } from './assignment.ts';

/** Marks the file; the number changes with the layout. */
export const CAPACITY_FORMAT = 'gapvl.capacity.1';

/** First line of the file: what was scored, and how. */
export interface CapacityHeader extends JournalHeader {
  readonly format: typeof CAPACITY_FORMAT;
  /** Hash of the model that answered. */
  readonly model: string;
  /** Hash of the dataset, and its split. */
  readonly data: string;
  readonly split: string;
  readonly samples: number;
  readonly tau: number;
  readonly temperature: number;
  readonly maxNewTokens: number;
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** One line: how often the base was right about an example, and what follows from it. */
export interface CapacityRecord extends CapacityScore {
  /** numCorrect / numSamples */
  readonly accuracy: number;
  readonly assignment: CapacityAssignment;
}

/** The record of a score at a threshold. Source: GAP Eq. 4. */
export function capacityRecord(score: CapacityScore, tau: number): CapacityRecord {
  const { id, numSamples, numCorrect } = score;
  return {
    id,
    numSamples,
    numCorrect,
    accuracy: numCorrect / numSamples,
    assignment: assign(score, tau),
  };
}

function isCount(value: unknown, from: number, to: number): value is number {
  return Number.isSafeInteger(value) && Number(value) >= from && Number(value) <= to;
}

/**
 * Checks lines of a scores file.
 * @throws DataError naming file and line for one that is no score or does not fit the header.
 */
export function parseCapacityRecords(
  records: readonly unknown[],
  header: Pick<CapacityHeader, 'samples' | 'tau'>,
  path: string,
): CapacityRecord[] {
  return records.map((value, i) => {
    const { id, numSamples, numCorrect, assignment } = (value ?? {}) as Partial<CapacityRecord>;
    if (
      typeof id === 'string' &&
      numSamples === header.samples &&
      isCount(numCorrect, 0, numSamples)
    ) {
      const record = capacityRecord({ id, numSamples, numCorrect }, header.tau);
      if (record.assignment === assignment) return record;
    }
    throw new DataError({
      what: `${path}:${i + 2}: the line is no capacity score of this file`,
      got: JSON.stringify(value).slice(0, 120),
      expected: `id, ${header.samples} samples, numCorrect, and the assignment at tau ${header.tau}`,
      fix: 'remove the file and run `gapvl capacity score` again',
    });
  });
}

/** A scores file as training reads it. */
export interface CapacityFile {
  readonly header: CapacityHeader;
  readonly records: readonly CapacityRecord[];
}

/** Reads a scores file. @throws DataError when it is missing or broken. */
export async function readCapacity(path: string): Promise<CapacityFile> {
  const found = await readJournal(path, CAPACITY_FORMAT);
  if (!found) {
    throw new DataError({
      what: `there are no capacity scores at ${path}`,
      expected: 'a file that `gapvl capacity score` wrote',
      fix: 'run `gapvl capacity score` first, or check the path',
    });
  }
  const header = found.header as CapacityHeader;
  return { header, records: parseCapacityRecords(found.records, header, path) };
}
