// Owns how numbers and names of an audit are written; its card, page and files all write them alike.
import type { Audit, CardFigure, Cell, CellFormat, Column, Measured } from '../audit/types.ts';
import { DataError } from '../errors.ts';
import { percent, points } from './text-table.ts';

/** Stands where nothing could be measured. */
export const NOTHING = '–';
const MINUS = '\u2212';
// ours: below it three decimals say nothing, and no audit has the rows to tell such values apart.
const SMALLEST_P = 0.001;
// ours: from here on a number of three digits is no longer read at a glance without a power of ten.
const MAX_PLAIN = 1e6;
const MIN_PLAIN = 1e-4;

/** Whether a cell is a number with its interval. */
export function isMeasured(cell: Cell | undefined): cell is Measured {
  return typeof cell === 'object' && cell !== null;
}

function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  const sign = value < 0 ? MINUS : '';
  if (size >= MAX_PLAIN || size < MIN_PLAIN) return sign + size.toExponential(2);
  return sign + (size >= 1000 ? size.toFixed(0) : size.toPrecision(3));
}

function formatNumber(value: number, format: CellFormat): string {
  if (!Number.isFinite(value)) return NOTHING;
  switch (format) {
    case 'percent':
      return percent(value);
    case 'points':
      return points(value);
    case 'p':
      return value < SMALLEST_P ? `< ${SMALLEST_P}` : value.toFixed(3);
    case 'count':
      return String(Math.round(value)).replace('-', MINUS);
    default:
      return threeDigits(value);
  }
}

/** A cell in two texts: its value, and its interval `79.1 to 84.3` where it has one. */
export function cellTexts(
  cell: Cell | undefined,
  format: CellFormat,
): { readonly value: string; readonly interval?: string } {
  if (cell === null || cell === undefined) return { value: NOTHING };
  if (typeof cell === 'string') return { value: cell };
  if (typeof cell === 'number') return { value: formatNumber(cell, format) };
  const ends = [cell.low, cell.high].map((end) => formatNumber(end, format));
  return { value: formatNumber(cell.value, format), interval: ends.join(' to ') };
}

/** A cell in one text, without its unit: `81.9 (79.1 to 84.3)`, `< 0.001`, `–` for nothing. */
export function formatCell(cell: Cell | undefined, format: CellFormat): string {
  const { value, interval } = cellTexts(cell, format);
  return interval === undefined ? value : `${value} (${interval})`;
}

/** The unit of a format, with a blank before it; empty when it has none. */
export function unitOf(format: CellFormat): string {
  if (format === 'percent') return ' %';
  return format === 'points' ? ' points' : '';
}

/** A figure of the card with its unit: `81.9 % (79.1 to 84.3)`. */
export function formatFigure({ value: cell, format }: CardFigure): string {
  const { value, interval } = cellTexts(cell, format);
  const unit = value === NOTHING || typeof cell === 'string' ? '' : unitOf(format);
  return `${value}${unit}${interval === undefined ? '' : ` (${interval})`}`;
}

/** Heading of a column, with its unit unless the title names it already. */
export function headingOf({ title, format }: Column): string {
  const unit = unitOf(format).trim();
  return unit === '' || /%|per cent|points/i.test(title) ? title : `${title}, ${unit}`;
}

/** Words for what an audit says, before its sentence. */
export const VERDICT_TITLES = {
  refused: 'No verdict',
  used: 'Latents are used',
  harmful: 'Latents do harm',
  'not-used': 'Latents are not used',
  open: 'Open',
} as const satisfies Readonly<Record<Audit['verdict']['kind'], string>>;

/** What was audited, in one line. */
export function subjectOf({ model, data, seed }: Audit): string {
  const latents = model.numLatents > 0 ? `K = ${model.numLatents}` : 'writes no latents';
  return `${model.folder} (${model.variant}, ${latents}) on ${data.n} questions of the ${data.split} split of ${data.folder}, seed ${seed}`;
}

/** Seconds of all that was timed. */
export function totalSeconds({ timings }: Audit): number {
  return timings.reduce((sum, { seconds }) => sum + seconds, 0);
}

/** A path that may stand in a link: relative, inside of the audit's folder, of plain characters. */
export function isPlainPath(path: string): boolean {
  return /^[\w-][\w.-]*(?:\/[\w-][\w.-]*)*$/.test(path);
}

/**
 * Holds the names of tables and figures to what their files need.
 *
 * @throws DataError when an id is not of lower case letters, digits and dashes, or stands twice.
 */
export function checkIds({ parts }: Audit): void {
  for (const kind of ['tables', 'figures'] as const) {
    const ids = parts.flatMap((part) => part[kind].map(({ id }) => id));
    const bad = ids.find((id, i) => !/^[a-z0-9][a-z0-9-]*$/.test(id) || ids.indexOf(id) !== i);
    if (bad === undefined) continue;
    throw new DataError({
      what: `the ${kind} of the audit have an id that cannot name a file`,
      got: JSON.stringify(bad),
      expected: 'lower case letters, digits and dashes, each id once',
      fix: 'make the audit again, or give the part that made it another id',
    });
  }
}
