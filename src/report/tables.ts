// Owns the tables of a report as HTML: numbers to read, and their intervals drawn beside them.
import { markup } from './html.ts';
import type { Html } from './html.ts';
import { interval, percent, points } from './text-table.ts';
import type { AccuracyRow, Estimate, InterventionRow, Source, TaskAccuracy } from './types.ts';

const STRIP_WIDTH = 190;
const STRIP_HEIGHT = 18;
const STRIP_MARGIN = 11;

function place(fraction: number): string {
  const clamped = Math.min(1, Math.max(0, fraction));
  return (STRIP_MARGIN + clamped * (STRIP_WIDTH - 2 * STRIP_MARGIN)).toFixed(1);
}

/** The interval on a line from 0 to 100 %; the numbers beside it say the same. */
function strip({ accuracy, low, high }: Estimate, source: Source): Html {
  const middle = STRIP_HEIGHT / 2;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map(
    (at) =>
      markup`<line x1="${place(at)}" x2="${place(at)}" y1="0" y2="${STRIP_HEIGHT}" class="tick"/>`,
  );
  const kind = source === 'stored study' ? 'stored' : 'measured';
  return markup`<svg class="strip ${kind}" aria-hidden="true" width="${STRIP_WIDTH}" height="${STRIP_HEIGHT}" viewBox="0 0 ${STRIP_WIDTH} ${STRIP_HEIGHT}">${ticks}<line x1="${place(low)}" x2="${place(high)}" y1="${middle}" y2="${middle}" class="whisker"/><circle cx="${place(accuracy)}" cy="${middle}" r="3.5"/></svg>`;
}

function estimateCells(row: Estimate, source: Source): Html {
  return markup`<td class="strong">${percent(row.accuracy)}</td><td class="quiet">${interval(percent(row.low), percent(row.high))}</td><td class="graphic">${strip(row, source)}</td><td class="quiet">${row.n}</td>`;
}

/** Heading of the drawn column: the ends and the middle of its line. */
function scale(): Html {
  const labels = [0, 0.5, 1].map(
    (at) => markup`<text x="${place(at)}" y="11" text-anchor="middle">${100 * at}</text>`,
  );
  return markup`<svg class="scale" aria-hidden="true" width="${STRIP_WIDTH}" height="13" viewBox="0 0 ${STRIP_WIDTH} 13">${labels}</svg>`;
}

const ESTIMATE_HEADINGS = markup`<th scope="col">accuracy, %</th><th scope="col">95 % interval</th><th scope="col" class="graphic"><span class="unseen">interval, drawn</span>${scale()}</th><th scope="col">n</th>`;

function rowHeading(label: string, source: Source): Html {
  const mark =
    source === 'stored study' ? markup` <span class="tag">stored study</span>` : undefined;
  return markup`<th scope="row">${label}${mark}</th>`;
}

function scrollable(label: string, table: Html): Html {
  return markup`<div class="scroll" role="region" aria-label="${label}" tabindex="0">${table}</div>`;
}

/** What the hollow dots mean, when there are any. */
export function storedNote(rows: readonly { readonly source: Source }[]): Html | undefined {
  const stored = rows.filter(({ source }) => source === 'stored study').length;
  if (stored === 0) return undefined;
  return markup`<p class="note">${stored} of ${rows.length} rows come from the <em>stored study</em> that ships with gapvl, not from this run; their dots are hollow.</p>`;
}

/** Variant by accuracy with its interval, and how often latents were emitted. */
export function accuracyTable(rows: readonly AccuracyRow[]): Html {
  const withTrigger = rows.some(({ triggerRate }) => triggerRate !== undefined);
  const heading = withTrigger ? markup`<th scope="col">latents emitted, %</th>` : undefined;
  const body = rows.map((row) => {
    const rate = row.triggerRate;
    const low = rate !== undefined && rate < 1 ? 'alarm' : 'quiet';
    const trigger = withTrigger
      ? markup`<td class="${low}">${rate === undefined ? '–' : percent(rate)}</td>`
      : undefined;
    return markup`<tr>${rowHeading(row.label, row.source)}${estimateCells(row, row.source)}${trigger}</tr>`;
  });
  const label = 'Accuracy by variant';
  return scrollable(
    label,
    markup`<table><caption class="unseen">${label}</caption><thead><tr><th scope="col">variant</th>${ESTIMATE_HEADINGS}${heading}</tr></thead><tbody>${body}</tbody></table>`,
  );
}

function difference(row: InterventionRow): Html {
  const gap = row.differenceToClean;
  if (gap === undefined) return markup`<td class="quiet">–</td><td></td>`;
  return markup`<td class="strong">${points(gap.mean)}</td><td class="quiet">${interval(points(gap.low), points(gap.high))}</td>`;
}

/** Intervention by accuracy, and by its paired difference to clean. */
export function interventionTable(rows: readonly InterventionRow[]): Html {
  const body = rows.map(
    (row) =>
      markup`<tr>${rowHeading(row.label, row.source)}${estimateCells(row, row.source)}${difference(row)}</tr>`,
  );
  const label = 'Accuracy by intervention on the latents';
  return scrollable(
    label,
    markup`<table><caption class="unseen">${label}</caption><thead><tr><th scope="col">latents are</th>${ESTIMATE_HEADINGS}<th scope="col">against clean, points</th><th scope="col">95 % interval</th></tr></thead><tbody>${body}</tbody></table>`,
  );
}

function taskCells(cell: TaskAccuracy | undefined): Html[] {
  return [cell?.easy, cell?.hard].map((value, i) => {
    const side = i === 0 ? ' first' : '';
    if (value === null || value === undefined) return markup`<td class="heat0${side}">–</td>`;
    const depth = Math.round(10 * Math.min(1, Math.max(0, value)));
    return markup`<td class="heat${depth}${side}">${Math.round(100 * value)}</td>`;
  });
}

/** Variant by task and difficulty, in whole per cent, deeper where more is right. */
export function taskTable(rows: readonly AccuracyRow[]): Html {
  const tasks = [...new Set(rows.flatMap(({ byTask }) => Object.keys(byTask)))];
  const body = rows.map(
    (row) =>
      markup`<tr>${rowHeading(row.label, row.source)}${tasks.map((task) => taskCells(row.byTask[task]))}</tr>`,
  );
  const label = 'Accuracy by variant, task and difficulty, per cent';
  const groups = tasks.map((task) => markup`<th scope="colgroup" colspan="2">${task}</th>`);
  const halves = tasks.map(
    () => markup`<th scope="col" class="first">easy</th><th scope="col">hard</th>`,
  );
  return scrollable(
    label,
    markup`<table class="tasks"><caption class="unseen">${label}</caption><thead><tr><td></td>${groups}</tr><tr><th scope="col">variant</th>${halves}</tr></thead><tbody>${body}</tbody></table>`,
  );
}
