// Owns the journals of an audit on disk: one for each arm and each part, growing batch by batch; audit.ts writes
// them, summaries read them.
import { join } from 'node:path';
import { Journal, readJournal } from '../data/journal.ts';
import type { JournalHeader } from '../data/journal.ts';
import { DataError } from '../errors.ts';
import type { ArmRecord, Journals, PartRecord } from './part.ts';
import { PART_NAMES } from './types.ts';
import type { PartName } from './types.ts';

/** Marks journals of an audit; the number changes with the layout. */
export const ITEMS_FORMAT = 'gapvl.audit.items.1';

/** What all journals of an audit come from; differing values are another audit. */
export type AuditSource = Readonly<Record<string, unknown>>;

/** File of an arm's journal, relative to the audit's folder. */
export function armFile(name: string): string {
  return `items/arm-${name}.jsonl`;
}

/** File of a part's journal, relative to the audit's folder. */
export function partFile(name: PartName): string {
  return `items/part-${name}.jsonl`;
}

function header(source: AuditSource, of: string): JournalHeader {
  return { format: ITEMS_FORMAT, of, ...source };
}

/**
 * Opens the journal of an arm to go on with it.
 * @param ids - the examples in order; what the journal holds has to be the first of them.
 * @throws ConfigError when it belongs to another audit, DataError when it is not of these examples.
 */
export async function openArm(
  out: string,
  name: string,
  source: AuditSource,
  ids: readonly string[],
): Promise<Journal> {
  const journal = await Journal.open(join(out, armFile(name)), header(source, `arm ${name}`));
  const wrong = journal.records.findIndex(
    (record, i) => (record as Partial<ArmRecord> | null)?.id !== ids[i],
  );
  if (wrong < 0) return journal;
  await journal[Symbol.asyncDispose]();
  throw new DataError({
    what: `${journal.path}:${wrong + 2}: the line is not of example ${wrong + 1}`,
    got: JSON.stringify(journal.records[wrong]).slice(0, 120),
    expected: `a record of ${ids[wrong] ?? 'no example, there are no more'}`,
    fix: 'remove the file and run the command again',
  });
}

/** Opens the journal of a part to go on with it. */
export async function openPart(out: string, name: PartName, source: AuditSource): Promise<Journal> {
  return Journal.open(join(out, partFile(name)), header(source, `part ${name}`));
}

/**
 * All journals of an audit's folder, read whole; no model is needed.
 * @param arms - names of the arms that were run.
 */
export async function readJournals(out: string, arms: readonly string[]): Promise<Journals> {
  const armRecords = new Map<string, readonly ArmRecord[]>();
  for (const name of arms) {
    const found = await readJournal(join(out, armFile(name)), ITEMS_FORMAT);
    if (found) armRecords.set(name, found.records as readonly ArmRecord[]);
  }
  const partRecords = new Map<PartName, readonly PartRecord[]>();
  for (const name of PART_NAMES) {
    const found = await readJournal(join(out, partFile(name)), ITEMS_FORMAT);
    if (found) partRecords.set(name, found.records as readonly PartRecord[]);
  }
  return {
    arm: (name) => armRecords.get(name) ?? [],
    part: (name) => partRecords.get(name) ?? [],
  };
}
