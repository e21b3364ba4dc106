// Owns the files of an audit besides its journals; `gapvl audit` writes what this returns.
import type { Config } from 'vega-lite';
import type { Audit, AuditFigure } from '../audit/types.ts';
import { renderCard } from './audit-card.ts';
import { tableCsv } from './audit-csv.ts';
import { checkIds } from './audit-format.ts';
import { renderAudit } from './audit-page.ts';
import { AUDIT_CONFIG, dressChart } from './audit-spec.ts';
import { coloursOf } from './audit-style.ts';
import { figureTex, tableTex } from './audit-tex.ts';
import { compileChart, drawBody } from './draw.ts';
import { markup, trustedHtml } from './html.ts';

// Fonts that papers, slides and every system have under one of these names.
const FILE_CONFIG: Config = { ...AUDIT_CONFIG, font: 'Helvetica, Arial, sans-serif' };

/** The drawing with colours instead of the page's variables, and nothing that XML forbids. */
function standalone(body: string): string {
  const colours = coloursOf('light');
  return body
    .replace(/var\(--(\w+)\)/g, (whole, name: string) => colours[name] ?? whole)
    .replace(/[\p{Cs}\ufffe\uffff]/gu, '\ufffd');
}

/**
 * A figure as an SVG file of its own: explicit colours on white, its title and legend inside, title
 * and description for those who do not see it.
 *
 * @throws DataError when its data are not inside.
 */
export async function figureSvg({ id, title, alt, spec }: AuditFigure): Promise<string> {
  const dressed = dressChart(spec, 'file', title);
  const { body, width, height } = await drawBody(await compileChart(dressed.spec, FILE_CONFIG));
  const names = `title-${id} description-${id}`;
  const svg = markup`<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="${names}" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<title id="title-${id}">${title}</title>
<desc id="description-${id}">${alt}</desc>
<rect width="100%" height="100%" fill="#ffffff"/>
${trustedHtml(body.source)}
</svg>
`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n${standalone(svg.source)}`;
}

/**
 * Every file of an audit by its path inside of the audit's folder, the journals under `items/`
 * excepted: `audit.html`, `audit.json`, `card.txt`, `tables/ID.csv` and `.tex`, `figures/ID.svg`
 * and `.tex`.
 *
 * @throws DataError when an id cannot name a file, a chart lacks its data or a picture is no PNG file.
 * @throws RuntimeError when the packages of the charts are not as they were published.
 */
export async function auditFiles(audit: Audit): Promise<Map<string, string>> {
  checkIds(audit);
  const files = new Map<string, string>([
    ['audit.html', await renderAudit(audit)],
    ['audit.json', `${JSON.stringify(audit, null, 2)}\n`],
    ['card.txt', `${renderCard(audit)}\n`],
  ]);
  for (const { tables, figures } of audit.parts) {
    for (const table of tables) {
      files.set(`tables/${table.id}.csv`, tableCsv(table));
      files.set(`tables/${table.id}.tex`, tableTex(table));
    }
    for (const figure of figures) {
      files.set(`figures/${figure.id}.svg`, await figureSvg(figure));
      files.set(`figures/${figure.id}.tex`, figureTex(figure));
    }
  }
  return files;
}
