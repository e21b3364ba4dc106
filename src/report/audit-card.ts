// Owns the card of an audit, the text that `gapvl audit` prints and keeps as card.txt.
import type { Audit, AuditTiming, Canary } from '../audit/types.ts';
import { formatFigure, subjectOf, totalSeconds, VERDICT_TITLES } from './audit-format.ts';
import { visible } from './html.ts';
import { duration, renderTextTable, wrap } from './text-table.ts';

// The widest line; a terminal beside an editor still shows it whole.
const WIDTH = 100;
const MARGIN = 2;
// ours: the arms that are worth making faster; the page has them all.
const MAX_TIMINGS = 5;

/** Where an audit was written; file names stand alone without it. */
export interface CardOptions {
  readonly folder?: string;
}

/** A text behind a label; its further lines stand below its first. */
function labelled(label: string, text: string): string[] {
  const space = ' '.repeat(Array.from(label).length);
  return wrap(text, WIDTH - Array.from(label).length).map((line, i) =>
    `${i === 0 ? label : space}${line}`.trimEnd(),
  );
}

function block(title: string, lines: readonly string[]): string[] {
  return lines.length > 0 ? ['', title, ...lines] : [];
}

function canaryLines({ name, passed, seen, expected }: Canary): string[] {
  const label = `  ${passed ? 'pass' : 'FAIL'}  ${name.padEnd(11)}  `;
  const wanted = passed ? [] : labelled(' '.repeat(label.length), `had to be: ${expected}`);
  return [...labelled(label, seen), ...wanted];
}

function figureLines({ card }: Audit): string[] {
  const rows = card.map((figure) => ({
    label: visible(figure.label),
    text: formatFigure(figure),
  }));
  const width = Math.min(44, Math.max(0, ...rows.map(({ label }) => Array.from(label).length)));
  return rows.flatMap(({ label, text }) => {
    const lines = wrap(label, width);
    const last = lines.pop() ?? '';
    const padded = `  ${last}${' '.repeat(width - Array.from(last).length)}  `;
    return [...lines.map((line) => `  ${line}`), ...labelled(padded, text)];
  });
}

function timingLines(audit: Audit): string[] {
  const slowest = audit.timings.toSorted((a, b) => b.seconds - a.seconds);
  const shown = slowest.slice(0, MAX_TIMINGS);
  const rest = slowest.slice(MAX_TIMINGS);
  const restSeconds = rest.reduce((sum, { seconds }) => sum + seconds, 0);
  const rows: readonly AuditTiming[] = [
    ...shown,
    ...(rest.length > 0 ? [{ what: `${rest.length} others`, seconds: restSeconds }] : []),
    { what: 'all', seconds: totalSeconds(audit) },
  ];
  const table = renderTextTable({
    columns: [
      { heading: 'time by arm', align: 'left' },
      { heading: 'time', align: 'right' },
    ],
    rows: rows.map(({ what, seconds }) => [wrap(what, 70)[0] ?? '', duration(seconds)]),
    notes: [],
  });
  return table.split('\n').map((line) => `  ${line}`);
}

function fileLines(folder: string | undefined): string[] {
  const files = [
    ['audit.html', 'the whole audit to read'],
    ['audit.json', 'the same as data'],
    ['tables/', 'each table as CSV and LaTeX'],
    ['figures/', 'each figure as SVG'],
    ['items/', 'every item behind every number, JSON lines'],
  ] as const;
  const under = folder === undefined ? [] : labelled('  in ', folder);
  return [...under, ...files.map(([name, what]) => `  ${name.padEnd(11)}  ${what}`)];
}

/**
 * The card as text of at most 100 columns, without colour and without a final line feed: verdict,
 * canaries, figures, what would change it, what was skipped, time, files.
 */
export function renderCard(audit: Audit, { folder }: CardOptions = {}): string {
  const { verdict, canaries, skipped } = audit;
  const title = VERDICT_TITLES[verdict.kind].toUpperCase();
  const lines = [
    ...labelled('Audit of ', subjectOf(audit)),
    '',
    title,
    '─'.repeat(title.length),
    ...wrap(verdict.sentence, WIDTH),
    ...verdict.because.flatMap((reason) => labelled('  - ', reason)),
    ...block(
      'Canaries',
      canaries.length > 0 ? canaries.flatMap(canaryLines) : ['  none could be run'],
    ),
    ...block('Figures', figureLines(audit)),
    ...block('What would change it', labelled(' '.repeat(MARGIN), verdict.wouldChange)),
    ...block(
      'Skipped',
      skipped.flatMap(({ name, reason }) => labelled(`  ${name}: `, reason)),
    ),
    ...block('Time', audit.timings.length > 0 ? timingLines(audit) : []),
    ...block('Files', fileLines(folder)),
  ];
  return lines.join('\n');
}
