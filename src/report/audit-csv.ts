// Owns tables of an audit as CSV (RFC 4180): full precision, intervals in three columns, safe in spreadsheets.
import type { AuditTable, Cell } from '../audit/types.ts';
import { isMeasured } from './audit-format.ts';

// A spreadsheet reads a field that begins like this as a formula, also behind blanks and in full width.
// Source: OWASP, CSV Injection.
const FORMULA = /^\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/;

/** A text as a field: quoted where it has to be, led by an apostrophe where it would be a formula. */
export function csvText(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvNumber(value: number): string {
  return Number.isFinite(value) ? String(value) : '';
}

function fields(cell: Cell | undefined, hasInterval: boolean): string[] {
  if (isMeasured(cell)) return [cell.value, cell.low, cell.high].map(csvNumber);
  const text = typeof cell === 'number' ? csvNumber(cell) : csvText(cell ?? '');
  return hasInterval ? [text, '', ''] : [text];
}

/**
 * A table as CSV, lines ended by CR LF. Numbers are as they are in `audit.json`: fractions, not per
 * cent; empty where nothing could be measured. A column with intervals becomes three.
 */
export function tableCsv({ columns, rows }: AuditTable): string {
  const wide = columns.map(({ key }) => rows.some((row) => isMeasured(row[key])));
  const head = columns.flatMap(({ key }, i) =>
    wide[i] === true ? [key, `${key}_low`, `${key}_high`] : [key],
  );
  const body = rows.map((row) =>
    columns.flatMap(({ key }, i) => fields(row[key], wide[i] === true)),
  );
  return [head.map(csvText), ...body].map((line) => `${line.join(',')}\r\n`).join('');
}
