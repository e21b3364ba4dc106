// Owns the rule by which pandas takes a text for a missing cell; tables and scorers of benchmark/ call it.
import type { Cell } from './types.ts';

/** Source: pandas 2.2, `STR_NA_VALUES` (`None` since 2.0). Case matters, blanks are not trimmed. */
const MISSING_TEXTS: ReadonlySet<string> = new Set([
  '',
  '#N/A',
  '#N/A N/A',
  '#NA',
  '-1.#IND',
  '-1.#QNAN',
  '-NaN',
  '-nan',
  '1.#IND',
  '1.#QNAN',
  '<NA>',
  'N/A',
  'NA',
  'NULL',
  'NaN',
  'None',
  'n/a',
  'nan',
  'null',
]);

/** Whether a cell of a TSV, or text of an xlsx cell, is read as missing. */
export function isMissingText(text: string): boolean {
  return MISSING_TEXTS.has(text);
}

/** Whether a cell is missing, or would be after one trip through a TSV or xlsx file. */
export function isMissing(cell: Cell): boolean {
  if (cell === null) return true;
  if (typeof cell === 'string') return MISSING_TEXTS.has(cell);
  return typeof cell === 'number' && Number.isNaN(cell);
}
