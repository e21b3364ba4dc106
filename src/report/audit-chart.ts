// Owns a chart of an audit's page: drawn for everyone, its data as a table, its legend, what the script needs.
import type { Mark, Spec } from 'vega';
import type { AuditFigure } from '../audit/types.ts';
import { DASHES, fillOf, HIDDEN_SIGNAL, SHAPES } from './audit-series.ts';
import type { Series } from './audit-series.ts';
import { AUDIT_CONFIG, cleanSpec, dressChart } from './audit-spec.ts';
import { itemLinks } from './audit-tables.ts';
import { seriesStyle } from './charts.ts';
import { compileChart, drawChart } from './draw.ts';
import { markup } from './html.ts';
import type { Html } from './html.ts';
import { chartData, formatDatum } from './spec-data.ts';
import type { DataField, DataTable } from './spec-data.ts';

/** What the page's script makes a chart live from. */
export interface LiveChart {
  /** For Vega's runtime. */
  readonly spec: Spec;
  /** What a row of data is called and how its values are written. */
  readonly fields: readonly DataField[];
  /** The chart may be made narrower than it is drawn. */
  readonly fitsWidth: boolean;
  /** The signal of switched-off series and the values of the series, in the legend's order. */
  readonly series?: { readonly signal: string; readonly values: readonly string[] };
}

/** A chart as it stands in the page, and what makes it live. */
export interface Plot {
  readonly html: Html;
  readonly live: LiveChart;
}

// ours: a table longer than this is not read; the file of the items has all of it.
const MAX_ROWS = 400;
// Drawn like Vega's symbols of the same names, in a square of 12 around the middle.
const SYMBOLS: Readonly<Record<string, string>> = {
  circle: 'M-4.2 0a4.2 4.2 0 1 0 8.4 0a4.2 4.2 0 1 0 -8.4 0Z',
  square: 'M-3.8 -3.8H3.8V3.8H-3.8Z',
  'triangle-up': 'M0 -4.6L5 4H-5Z',
  diamond: 'M0 -5.4L4.6 0L0 5.4L-4.6 0Z',
  cross: 'M-1.7 -5H1.7V-1.7H5V1.7H1.7V5H-1.7V1.7H-5V-1.7H-1.7Z',
  'triangle-down': 'M0 4.6L5 -4H-5Z',
};

function swatch({ swatch: kind, values }: Series, index: number): Html {
  const { colour, dash: plain } = seriesStyle(index);
  const dash = kind === 'dash' ? (DASHES[index % DASHES.length] ?? []) : plain;
  const symbol = SYMBOLS[SHAPES[index % SHAPES.length] ?? 'circle'] ?? '';
  const fill = fillOf(index, values.length).toFixed(2);
  const line = markup`<line x1="-15" x2="15" y1="0" y2="0" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash.join(' ')}"/>`;
  const mark = markup`<path d="${symbol}" fill="${colour}"/>`;
  const inside =
    kind === 'fill'
      ? markup`<rect x="-11" y="-5.5" width="22" height="11" fill="${colour}" fill-opacity="${fill}" stroke="${colour}" stroke-width="1.2"/>`
      : markup`${kind === 'point' ? undefined : line}${kind === 'dash' ? undefined : mark}`;
  return markup`<svg aria-hidden="true" width="32" height="14" viewBox="-16 -7 32 14">${inside}</svg>`;
}

function legend(id: string, series: Series | undefined): Html | undefined {
  if (series === undefined) return undefined;
  const items = series.values.map(
    (value, i) => markup`<li>${swatch(series, i)}<span>${String(value)}</span></li>`,
  );
  return markup`<ul class="legend" data-legend="${id}" aria-label="Series by ${series.title}">${items}</ul>`;
}

function dataTable({ fields, rows }: DataTable, label: string): Html {
  const isText = (name: string): boolean => rows.some((row) => typeof row[name] === 'string');
  const kinds = fields.map(({ name }) => (isText(name) ? 'text' : 'number'));
  const heads = fields.map(
    ({ title }, i) => markup`<th scope="col" class="${kinds[i] ?? ''}">${title}</th>`,
  );
  const body = rows.slice(0, MAX_ROWS).map((row) => {
    const cells = fields.map((field, i) => {
      const text = formatDatum(row[field.name], field);
      return markup`<td class="${kinds[i] ?? ''}">${text}</td>`;
    });
    return markup`<tr>${cells}</tr>`;
  });
  const more =
    rows.length > MAX_ROWS
      ? markup`<p class="note">The first ${MAX_ROWS} of ${rows.length} rows.</p>`
      : undefined;
  return markup`<div class="scroll" role="group" aria-label="${label}" tabindex="0"><table><caption class="unseen">${label}</caption><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table></div>${more}`;
}

/** Lines and areas answer the pointer with their first row only, so their points answer instead. */
function quiet(marks: readonly Mark[]): Mark[] {
  return marks.map((mark) => {
    if (mark.type === 'group') return { ...mark, marks: quiet(mark.marks ?? []) };
    if (mark.type !== 'line' && mark.type !== 'area' && mark.type !== 'trail') return mark;
    const { tooltip: _tooltip, ...update } = mark.encode?.update ?? {};
    return { ...mark, encode: { ...mark.encode, update } };
  });
}

/**
 * A figure of an audit for the page: the drawing that readers on paper, without scripts and by
 * screen reader get, and what the script makes it live from.
 *
 * @throws DataError when its data are not inside.
 */
export async function plot(figure: AuditFigure): Promise<Plot> {
  const { id, title, alt } = figure;
  const { spec, series, fitsWidth } = dressChart(figure.spec, 'page');
  const compiled = await compileChart(spec, AUDIT_CONFIG);
  const vega: Spec = { ...compiled, marks: quiet(compiled.marks ?? []) };
  const drawing = await drawChart(vega, alt);
  const tables = chartData(cleanSpec(figure.spec));
  const data = tables.map((table, i) =>
    dataTable(table, `Data of ${title}${tables.length > 1 ? `, ${i + 1}` : ''}`),
  );
  const files = [
    { path: `figures/${id}.svg`, name: 'SVG' },
    { path: `figures/${id}.tex`, name: 'LaTeX' },
  ];
  const html = markup`<figure class="plot" id="figure-${id}"><figcaption>${title}</figcaption>${legend(id, series)}<div class="chart" data-chart="${id}" role="group" aria-label="Drawing of ${title}" tabindex="0">${drawing}</div><details><summary>Data of the figure</summary>${data}</details>${itemLinks(figure.items, 'Figure', files)}</figure>`;
  const fields = tables.flatMap((table) => table.fields);
  const live: LiveChart = {
    spec: vega,
    fields: fields.filter(({ name }, i) => fields.findIndex((f) => f.name === name) === i),
    fitsWidth,
    ...(series ? { series: { signal: HIDDEN_SIGNAL, values: series.values.map(String) } } : {}),
  };
  return { html, live };
}
