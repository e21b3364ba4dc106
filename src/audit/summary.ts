// Owns the way from an audit's journals to its result; needs no model, so that every number can be made again.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import { DataError } from '../errors.ts';
import { readJournals } from './journals.ts';
import type { AuditFacts } from './part.ts';
import { PARTS } from './parts/index.ts';
import type { Audit, AuditPart, AuditTiming, PartName, SkippedPart } from './types.ts';
import { canaries, cardFigures, verdictOf } from './verdict.ts';

/** What an audit is of and how it went, beside its journals. */
export interface AuditRun {
  readonly format: 'gapvl.audit-run.1';
  readonly model: Audit['model'];
  readonly data: Audit['data'];
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
  /** Arms that were run, by name. */
  readonly arms: readonly string[];
  readonly parts: readonly PartName[];
  readonly skipped: readonly SkippedPart[];
  readonly timings: readonly AuditTiming[];
}

/** File that holds the AuditRun inside of an audit's folder. */
export const AUDIT_RUN_FILE = 'run.json';
/** File of the whole result inside of an audit's folder. */
export const AUDIT_FILE = 'audit.json';

/**
 * Reads what an audit is of.
 * @throws DataError when the folder holds no finished audit.
 */
export async function readAuditRun(out: string): Promise<AuditRun> {
  const path = join(out, AUDIT_RUN_FILE);
  try {
    const run = JSON.parse(await readFile(path, 'utf8')) as Partial<AuditRun>;
    if (run.format === 'gapvl.audit-run.1') return run as AuditRun;
  } catch (error) {
    if (!(error instanceof SyntaxError) && systemCode(error) === undefined) throw error;
  }
  throw new DataError({
    what: `${out} holds no finished audit`,
    expected: `${AUDIT_RUN_FILE}, which \`gapvl audit\` writes last`,
    fix: 'run `gapvl audit` with this folder as --out; it goes on where it stopped',
  });
}

/**
 * The result of an audit, from its journals alone, written to AUDIT_FILE. The same journals give
 * the same bytes.
 */
export async function summariseAudit(out: string): Promise<Audit> {
  const run = await readAuditRun(out);
  const journals = await readJournals(out, run.arms);
  const { numLatents, variant } = run.model;
  const facts: AuditFacts = { seed: run.seed, numLatents, variant };
  const checks = canaries(journals);
  const parts: AuditPart[] = [];
  for (const definition of PARTS) {
    if (!run.parts.includes(definition.name)) continue;
    parts.push(await definition.summarise(journals, facts));
  }
  const audit: Audit = {
    format: 'gapvl.audit.1',
    model: run.model,
    data: run.data,
    seed: run.seed,
    versions: run.versions,
    canaries: checks,
    verdict: verdictOf(journals, checks, facts),
    card: cardFigures(journals, facts),
    parts,
    skipped: run.skipped,
    timings: run.timings,
  };
  await writeFileAtomic(join(out, AUDIT_FILE), [`${JSON.stringify(audit, null, 2)}\n`]);
  return audit;
}
