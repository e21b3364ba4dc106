// Owns journals in memory, gathered from parts as an audit does; tests of the audit's parts call it.
import type {
  ArmRecord,
  AuditContext,
  Journals,
  PartDefinition,
  PartRecord,
} from '../../src/audit/part.ts';
import type { AuditPart, AuditTable, Cell, Measured } from '../../src/audit/types.ts';

/** All records of a part behind the first `done`, as they would be read back. */
export async function collected(
  part: PartDefinition,
  context: AuditContext,
  done = 0,
): Promise<PartRecord[]> {
  const records: PartRecord[] = [];
  for await (const chunk of part.collect?.(context, done) ?? []) records.push(...chunk);
  return JSON.parse(JSON.stringify(records)) as PartRecord[];
}

/** Journals of the given arms and of one part. */
export function journalsOf(
  part: PartDefinition,
  records: readonly PartRecord[],
  arms: Readonly<Record<string, readonly ArmRecord[]>> = {},
): Journals {
  return {
    arm: (name) => arms[name] ?? [],
    part: (name) => (name === part.name ? records : []),
  };
}

/** The record of an arm for each row of a context: right where the list says so. */
export function armRecords(
  context: AuditContext,
  answers: readonly (string | null)[],
  latentNorm: number | null = null,
): ArmRecord[] {
  return context.rows.map(({ prediction, result }, i) => {
    const { id, task, expected, response } = prediction;
    const answer = answers[i] ?? null;
    return {
      ...{ id, task, cluster: id, triggered: result.latents.length > 0, response, answer },
      ...{ expected, correct: answer === expected, finished: true },
      ...{ logitsHash: null, logitsDistance: null, latentNorm, targetError: null },
    };
  });
}

/** A table of a part. */
export function tableOf(part: AuditPart, id: string): AuditTable {
  const found = part.tables.find((table) => table.id === id);
  if (!found) throw new RangeError(`no table is called ${id}`);
  return found;
}

/** The row of a table whose first column says so. */
export function rowOf(table: AuditTable, first: string): Readonly<Record<string, Cell>> {
  const key = table.columns[0]?.key ?? '';
  const found = table.rows.find((row) => row[key] === first || row[key] === Number(first));
  if (!found) throw new RangeError(`no row is called ${first}`);
  return found;
}

/** A cell that holds a measured number. */
export function measuredCell(cell: Cell | undefined): Measured {
  if (typeof cell === 'object' && cell !== null) return cell;
  throw new RangeError(`no measured number: ${String(cell)}`);
}
