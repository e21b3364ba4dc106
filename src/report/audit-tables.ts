// Owns the tables of an audit's page, and the links from numbers to the items they come from.
import type { AuditTable, Cell, Column } from '../audit/types.ts';
import { cellTexts, headingOf, isPlainPath, NOTHING } from './audit-format.ts';
import { markup } from './html.ts';
import type { Html } from './html.ts';

/** A file of the audit that a link may lead to. */
export interface LinkedFile {
  readonly path: string;
  readonly name: string;
}

// ours: more links than this in a line hide the table they belong to.
const MAX_OPEN_LINKS = 3;

/** A link to a file of the audit; a path that leads anywhere else stays a text. */
export function fileLink({ path, name }: LinkedFile): Html {
  return isPlainPath(path) ? markup`<a href="${path}">${name}</a>` : markup`<code>${name}</code>`;
}

function between(links: readonly Html[]): Html[] {
  return links.map((link, i) => markup`${i > 0 ? ', ' : ''}${link}`);
}

/** Where the items of numbers are, and the numbers themselves as files; `kind` is what they are. */
export function itemLinks(
  items: readonly string[],
  kind: 'Table' | 'Figure',
  files: readonly LinkedFile[],
): Html {
  const links = items.map((path) => fileLink({ path, name: path }));
  const own = markup`${kind} as ${between(files.map(fileLink))}`;
  if (links.length === 0) return markup`<p class="sources">${own}</p>`;
  if (links.length <= MAX_OPEN_LINKS) {
    return markup`<p class="sources">Items: ${between(links)} · ${own}</p>`;
  }
  const list = links.map((link) => markup`<li>${link}</li>`);
  return markup`<div class="sources"><details><summary>Items: ${links.length} files</summary><ul>${list}</ul></details>${own}</div>`;
}

function cell(value: Cell | undefined, column: Column, isFirst: boolean): Html {
  const kind = column.format === 'text' ? 'text' : 'number';
  const { value: text, interval } = cellTexts(value, column.format);
  const inside =
    text === NOTHING
      ? markup`<span aria-hidden="true">${NOTHING}</span><span class="unseen">not measured</span>`
      : markup`${text}${interval === undefined ? undefined : markup` <span class="interval">(${interval})</span>`}`;
  return isFirst
    ? markup`<th scope="row" class="${kind}">${inside}</th>`
    : markup`<td class="${kind}">${inside}</td>`;
}

/** A table with its title, its note, and where its items are. */
export function auditTable({ id, title, columns, rows, note, items }: AuditTable): Html {
  const heads = columns.map(
    (column) =>
      markup`<th scope="col" class="${column.format === 'text' ? 'text' : 'number'}">${headingOf(column)}</th>`,
  );
  const body = rows.map(
    (row) => markup`<tr>${columns.map((column, i) => cell(row[column.key], column, i === 0))}</tr>`,
  );
  const table =
    rows.length > 0
      ? markup`<div class="scroll" role="group" aria-labelledby="table-${id}" tabindex="0"><table aria-labelledby="table-${id}"><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table></div>`
      : markup`<p class="note">No rows.</p>`;
  const before = note === undefined ? undefined : markup`<p class="note">${note}</p>`;
  const files = [
    { path: `tables/${id}.csv`, name: 'CSV' },
    { path: `tables/${id}.tex`, name: 'LaTeX' },
  ];
  return markup`<h3 id="table-${id}">${title}</h3>${before}${table}${itemLinks(items, 'Table', files)}`;
}
