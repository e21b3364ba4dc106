// Owns an audit as one self-contained HTML page; `gapvl audit` writes it as audit.html.
import { createHash } from 'node:crypto';
import { PART_NAMES } from '../audit/types.ts';
import type { Audit, AuditPart, PictureRow } from '../audit/types.ts';
import { plot } from './audit-chart.ts';
import type { LiveChart, Plot } from './audit-chart.ts';
import { checkIds, subjectOf } from './audit-format.ts';
import { CHART_DATA_ID, embeddedJson, liveScript } from './audit-live.ts';
import {
  canaries,
  provenanceSection,
  skippedSection,
  tiles,
  timingSection,
  verdictBlock,
} from './audit-sections.ts';
import { AUDIT_STYLE } from './audit-style.ts';
import { auditTable } from './audit-tables.ts';
import { picture } from './examples.ts';
import { markup, shorten, trustedHtml } from './html.ts';
import type { Html } from './html.ts';
import { unbroken } from './text-table.ts';

// ours: a text longer than this hides the pictures it belongs to.
const MAX_TEXT = 1200;
// ours: more rows of pictures than this are not looked at.
const MAX_PICTURE_ROWS = 24;

interface RenderedPart {
  readonly html: Html;
  readonly live: readonly (readonly [string, LiveChart])[];
}

function list(className: string, texts: readonly string[]): Html | undefined {
  if (texts.length === 0) return undefined;
  return markup`<ul class="${className}">${texts.map((text) => markup`<li>${unbroken(text)}</li>`)}</ul>`;
}

function pictureRow({ title, text, pictures }: PictureRow): Html {
  const figures = pictures.map((shown) =>
    picture(Buffer.from(shown.png, 'base64'), shown.title, shown.alt, title),
  );
  return markup`<article class="card"><h3>${shorten(title, MAX_TEXT)}</h3><p>${shorten(text, MAX_TEXT)}</p><div class="pictures">${figures}</div></article>`;
}

function pictureRows(rows: readonly PictureRow[] = []): Html {
  const shown = rows.slice(0, MAX_PICTURE_ROWS);
  const more =
    rows.length > shown.length
      ? markup`<p class="note">${shown.length} of ${rows.length} examples are shown.</p>`
      : undefined;
  return markup`${shown.map(pictureRow)}${more}`;
}

async function renderPart(part: AuditPart): Promise<RenderedPart> {
  const { name, title, definition, source, findings, figures, tables, notes, pictures } = part;
  const plots: Plot[] = [];
  for (const figure of figures) plots.push(await plot(figure));
  const html = markup`<section class="part" id="part-${name}"><h2>${title}</h2><p>${unbroken(definition)}</p><p class="source">Source: ${source}</p>${list('findings', findings)}${plots.map((drawn) => drawn.html)}${tables.map(auditTable)}${list('notes', notes)}${pictureRows(pictures)}</section>`;
  const live = plots.map((drawn, i) => [figures[i]?.id ?? '', drawn.live] as const);
  return { html, live };
}

/** Parts in the order of the page, whatever order they were measured in. */
function ordered(parts: readonly AuditPart[]): AuditPart[] {
  return parts.toSorted((a, b) => PART_NAMES.indexOf(a.name) - PART_NAMES.indexOf(b.name));
}

function contents(parts: readonly AuditPart[], { skipped }: Audit): Html {
  const measured = parts.map(
    ({ name, title }) => markup`<li><a href="#part-${name}">${title}</a></li>`,
  );
  const absent = skipped.map(
    ({ name }) => markup`<li class="absent"><a href="#skipped">${name}</a>, not measured</li>`,
  );
  return markup`<section class="contents"><h2 id="measurements">Measurements</h2><nav aria-labelledby="measurements"><ol>${measured}${absent}</ol></nav></section>`;
}

function hashOf(text: string): string {
  return `'sha256-${createHash('sha256').update(text).digest('base64')}'`;
}

/** Nothing loads; the page's own style sheet and script are allowed by what they are. */
function policy(script: string | undefined): string {
  const scripts = script === undefined ? '' : `; script-src ${hashOf(script)}`;
  return `default-src 'none'; img-src data:; style-src ${hashOf(AUDIT_STYLE)}${scripts}; base-uri 'none'; form-action 'none'`;
}

/**
 * Renders an audit as one HTML page that loads nothing. Every text of it is escaped. Without
 * scripts, on paper and by screen reader it is complete; the script makes charts answer.
 *
 * @throws DataError when an id cannot name a file, a chart lacks its data or a picture is no PNG file.
 * @throws RuntimeError when the packages of the charts are not as they were published.
 */
export async function renderAudit(audit: Audit): Promise<string> {
  checkIds(audit);
  const parts = ordered(audit.parts);
  const rendered: RenderedPart[] = [];
  for (const part of parts) rendered.push(await renderPart(part));
  const live = rendered.flatMap((part) => part.live);
  const script = live.length > 0 ? await liveScript() : undefined;
  const scripts =
    script === undefined
      ? undefined
      : markup`<script type="application/json" id="${CHART_DATA_ID}">${embeddedJson(Object.fromEntries(live))}</script>
<script>${trustedHtml(script)}</script>`;
  const title = `Latent audit of ${audit.model.variant}`;
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trustedHtml(policy(script))}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${trustedHtml(AUDIT_STYLE)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p class="byline">${subjectOf(audit)}</p>
${verdictBlock(audit)}
</header>
<main>
${tiles(audit)}
${canaries(audit)}
${contents(parts, audit)}
${rendered.map(({ html }) => html)}
${skippedSection(audit)}
${timingSection(audit)}
${provenanceSection(audit)}
</main>
${scripts}
</body>
</html>
`;
  return page.source;
}
