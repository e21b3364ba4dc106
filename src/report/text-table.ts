// Owns tables as text, for the terminal and for Markdown; the CLI and the README generator call it.
import { visible } from './html.ts';
import type { AccuracyRow, Estimate, InterventionRow, Source } from './types.ts';

/** A column of a table: its heading and the side its cells lean to. */
export interface Column {
  readonly heading: string;
  readonly align: 'left' | 'right';
}

/** A table of finished texts, with notes that stand below it. */
export interface TextTable {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
  readonly notes: readonly string[];
}

const STORED_MARK = ' *';
const STORED_NOTE = '* from the stored study, not from this run';

/** A fraction as per cent with one decimal: 0.853 is `85.3`. */
export function percent(fraction: number): string {
  return (100 * fraction).toFixed(1);
}

/** A difference of fractions in points with its sign: -0.49 is `−49.0`. */
export function points(difference: number): string {
  const rounded = (100 * Math.abs(difference)).toFixed(1);
  if (rounded === '0.0') return '0.0';
  return `${difference < 0 ? '−' : '+'}${rounded}`;
}

/** Two ends of an interval around a comma: `[82.1, 88.0]`. */
export function interval(low: string, high: string): string {
  return `[${low}, ${high}]`;
}

/** The text with every number and the per cent sign behind it on one line. */
export function unbroken(text: string): string {
  return text.replace(/(\d) %/g, '$1\u00a0%');
}

/** Seconds as a reader says them: `7.4 s`, `31 s`, `3 min 42 s`. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

/** A word in pieces that fit; only paths and hostile texts are ever that long. */
function pieces(word: string, width: number): string[] {
  const characters = Array.from(word);
  const count = Math.max(1, Math.ceil(characters.length / width));
  return Array.from({ length: count }, (_, i) =>
    characters.slice(i * width, (i + 1) * width).join(''),
  );
}

/** A text in lines of at most `width` characters, broken at blanks where there are any. */
export function wrap(text: string, width: number): string[] {
  const words = visible(text)
    .split(' ')
    .filter((word) => word !== '')
    .flatMap((word) => pieces(word, width));
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    const joined = `${last ?? ''} ${word}`;
    if (last !== undefined && Array.from(joined).length <= width) lines[lines.length - 1] = joined;
    else lines.push(word);
  }
  return lines.length > 0 ? lines : [''];
}

function printable(text: string): string {
  return visible(text).trim();
}

function marked(label: string, source: Source): string {
  return source === 'stored study' ? label + STORED_MARK : label;
}

function notesFor(rows: readonly { readonly source: Source }[]): string[] {
  return rows.some((row) => row.source === 'stored study') ? [STORED_NOTE] : [];
}

function estimateCells({ accuracy, low, high, n }: Estimate): string[] {
  return [percent(accuracy), interval(percent(low), percent(high)), String(n)];
}

const ESTIMATE_COLUMNS: readonly Column[] = [
  { heading: 'accuracy %', align: 'right' },
  { heading: '95 % interval', align: 'right' },
  { heading: 'n', align: 'right' },
];

/** Variant by accuracy; a column for the trigger rate when any row has one. */
export function accuracyTextTable(rows: readonly AccuracyRow[]): TextTable {
  const withTrigger = rows.some((row) => row.triggerRate !== undefined);
  return {
    columns: [
      { heading: 'variant', align: 'left' },
      ...ESTIMATE_COLUMNS,
      ...(withTrigger ? [{ heading: 'latents emitted %', align: 'right' as const }] : []),
    ],
    rows: rows.map((row) => [
      marked(row.label, row.source),
      ...estimateCells(row),
      ...(withTrigger ? [row.triggerRate === undefined ? '–' : percent(row.triggerRate)] : []),
    ]),
    notes: notesFor(rows),
  };
}

function taskCell(value: number | null | undefined): string {
  return value === null || value === undefined ? '–' : (100 * value).toFixed(0);
}

/** Variant by task, each cell `easy/hard` in whole per cent. */
export function taskTextTable(rows: readonly AccuracyRow[]): TextTable {
  const tasks = [...new Set(rows.flatMap((row) => Object.keys(row.byTask)))];
  return {
    columns: [
      { heading: 'variant', align: 'left' },
      { heading: 'all', align: 'right' },
      ...tasks.map((task) => ({ heading: `${task} E/H`, align: 'right' as const })),
    ],
    rows: rows.map((row) => [
      marked(row.label, row.source),
      percent(row.accuracy),
      ...tasks.map((task) => {
        const cell = row.byTask[task];
        return `${taskCell(cell?.easy)}/${taskCell(cell?.hard)}`;
      }),
    ]),
    notes: ['E easy, H hard, per cent', ...notesFor(rows)],
  };
}

/** Intervention by accuracy, with the paired difference to clean. */
export function interventionTextTable(rows: readonly InterventionRow[]): TextTable {
  return {
    columns: [
      { heading: 'intervention', align: 'left' },
      ...ESTIMATE_COLUMNS,
      { heading: 'against clean', align: 'right' },
      { heading: '95 % interval', align: 'right' },
    ],
    rows: rows.map(({ label, source, differenceToClean: gap, ...estimate }) => [
      marked(label, source),
      ...estimateCells(estimate),
      ...(gap ? [points(gap.mean), interval(points(gap.low), points(gap.high))] : ['–', '']),
    ]),
    notes: notesFor(rows),
  };
}

/** The table with aligned columns and a rule under the headings; no final line feed. */
export function renderTextTable(table: TextTable): string {
  const { columns } = table;
  const cells = table.rows.map((row) => columns.map((_, i) => printable(row[i] ?? '')));
  const lines = [columns.map((column) => column.heading), ...cells];
  const widths = columns.map((_, i) =>
    Math.max(...lines.map((line) => Array.from(line[i] ?? '').length)),
  );
  const pad = (line: readonly string[]): string =>
    columns
      .map(({ align }, i) => {
        const space = ' '.repeat((widths[i] ?? 0) - Array.from(line[i] ?? '').length);
        return align === 'left' ? (line[i] ?? '') + space : space + (line[i] ?? '');
      })
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '─'.repeat(width)).join('  ');
  const [headings, ...body] = lines.map(pad);
  return [headings, rule, ...body, ...table.notes.map(printable)].join('\n');
}

function escapeMarkdown(text: string): string {
  return printable(text).replace(/[\\`*_[\]<>|~]/g, '\\$&');
}

/** The same table as GitHub Markdown; cell texts are escaped; no final line feed. */
export function renderMarkdownTable(table: TextTable): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const notes = table.notes.map(escapeMarkdown);
  return [
    row(table.columns.map((column) => column.heading)),
    row(table.columns.map((column) => (column.align === 'right' ? '--:' : '---'))),
    ...table.rows.map((cells) => row(table.columns.map((_, i) => escapeMarkdown(cells[i] ?? '')))),
    ...(notes.length > 0 ? ['', notes.join('  \n')] : []),
  ].join('\n');
}
