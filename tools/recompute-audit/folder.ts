// Owns reading an audit's folder for recomputing; recompute-audit.ts and its test call it.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { AuditFile, Journals } from './recomputation.ts';

/** The result that a folder tells. */
export function readAudit(folder: string): AuditFile {
  return JSON.parse(readFileSync(join(folder, 'audit.json'), 'utf8')) as AuditFile;
}

/** Records of all journals by file name without its ending; the first line of each is its header. */
export function readJournals(folder: string): Journals {
  return new Map(
    readdirSync(join(folder, 'items')).map((name) => {
      const text = readFileSync(join(folder, 'items', name), 'utf8');
      const [, ...lines] = text.trimEnd().split('\n');
      return [name.replace(/\.jsonl$/, ''), lines.map((line) => JSON.parse(line) as unknown)];
    }),
  );
}
