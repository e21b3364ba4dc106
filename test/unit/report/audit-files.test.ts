// Owns the tests of an audit's files: CSV, LaTeX, SVG, JSON; vitest runs it.
import { describe, expect, it } from 'vitest';
import type { AuditTable } from '../../../src/audit/types.ts';
import { csvText, tableCsv } from '../../../src/report/audit-csv.ts';
import { auditFiles, figureSvg } from '../../../src/report/audit-files.ts';
import { escapeTex, figureTex, tableTex } from '../../../src/report/audit-tex.ts';
import { fullAudit, HOSTILE } from '../../helpers/audit-data.ts';

const TABLE: AuditTable = {
  id: 'a-table',
  title: 'Shares & 100 %',
  note: 'Under_scores',
  columns: [
    { key: 'arm', title: 'arm', format: 'text' },
    { key: 'share', title: 'accuracy', format: 'percent' },
    { key: 'p', title: 'p', format: 'p' },
  ],
  rows: [
    { arm: 'clean', share: { value: 0.819, low: 0.791, high: 0.843 }, p: null },
    { arm: 'a "quoted", one\nof two lines', share: 0.5, p: 1e-9 },
    { arm: '=HYPERLINK("http://x")', share: null, p: -0.25 },
  ],
  items: [],
};

/** A plain reader of RFC 4180, to hold the writer to it. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  let field = '';
  let quoted = false;
  for (let i = 0; i < text.length; i++) {
    const character = text[i] ?? '';
    if (quoted) {
      if (character !== '"') field += character;
      else if (text[i + 1] === '"') field += text[++i] ?? '';
      else quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === ',' || character === '\r') {
      rows.at(-1)?.push(field);
      field = '';
      if (character === '\r' && text[++i] === '\n') rows.push([]);
    } else field += character;
  }
  return rows.slice(0, -1);
}

describe('a table as CSV', () => {
  it('has intervals in three columns, full precision, and nothing where nothing is', () => {
    expect(readCsv(tableCsv(TABLE))).toEqual([
      ['arm', 'share', 'share_low', 'share_high', 'p'],
      ['clean', '0.819', '0.791', '0.843', ''],
      ['a "quoted", one\nof two lines', '0.5', '', '', '1e-9'],
      [`'=HYPERLINK("http://x")`, '', '', '', '-0.25'],
    ]);
  });

  it('ends every line by CR LF', () => {
    expect(tableCsv({ ...TABLE, rows: [] })).toBe('arm,share,p\r\n');
  });

  it('leads texts that a spreadsheet would run by an apostrophe, and no other', () => {
    for (const text of ['=1+1', '+1', '-1', '@x', '\t=1', '\r=1', ' =1', '＝1', '\n1']) {
      expect(csvText(text).replace(/^"/, ''), JSON.stringify(text)).toMatch(/^'/);
    }
    for (const text of ['a=b', '1-2', 'x@y', '−48.9', '']) expect(csvText(text)).toBe(text);
  });
});

describe('a table as LaTeX', () => {
  it('is a booktabs table with caption and label, numbers as in the page', () => {
    const tex = tableTex(TABLE);
    expect(tex).toContain('\\caption{Shares \\& 100 \\%}');
    expect(tex).toContain('\\label{tab:a-table}');
    expect(tex).toContain('\\begin{tabular}{lrr}');
    expect(tex).toContain('clean & 81.9 (79.1 to 84.3) & -- \\\\');
    expect(tex).toContain('& 50.0 & \\textless{} 0.001 \\\\');
    expect(tex).toContain('{\\footnotesize Under\\_scores}');
    for (const rule of ['top', 'mid', 'bottom']) expect(tex).toContain(`\\${rule}rule`);
  });

  it('lets no text become a command, a comment, math or the argument of a row', () => {
    const escaped = escapeTex(`${HOSTILE}[*`);
    const words = escaped.replace(/\\[a-z]+\{\}|\\[{}$&#_%]|\{[[*]\}/g, '');
    expect(words).not.toMatch(/[\\{}$&#_%^~<>|"`[*]/);
    expect(escapeTex('−1 ± 2 × σ')).toBe('$-$1 $\\pm$ 2 $\\times$ $\\sigma$');
  });

  it('captions a figure by its title and what it shows', () => {
    const [figure] = fullAudit().parts[0]?.figures ?? [];
    if (!figure) throw new Error('the fixture has no figure');
    const tex = figureTex(figure);
    expect(tex).toContain('\\includegraphics[width=\\linewidth]{figures/replacement-arms.pdf}');
    expect(tex).toContain('intervals. Clean answers 85.3 \\% of the questions');
    expect(tex).toContain('\\label{fig:replacement-arms}');
  });
});

describe('a figure as SVG', () => {
  it('stands alone: colours, font, title, description, nothing of the page', async () => {
    for (const figure of fullAudit().parts.flatMap(({ figures }) => figures)) {
      const svg = await figureSvg(figure);
      expect(svg).toMatch(/^<\?xml version="1.0" encoding="UTF-8"\?>\n<svg xmlns=/);
      expect(svg).not.toMatch(/var\(|style=|<script|href=|class="[^"]*html/);
      expect(svg).toMatch(/fill="#0b62a8"|stroke="#0b62a8"|fill="#[0-9a-f]{6}"/);
      expect(svg).toContain('font-family="Helvetica, Arial, sans-serif"');
      expect(svg).toContain(`<title id="title-${figure.id}">${figure.title}</title>`);
      expect(svg).toContain(`<desc id="description-${figure.id}">`);
    }
  });

  it('tells its series in a legend of its own', async () => {
    const figure = fullAudit().parts[1]?.figures[0];
    if (!figure) throw new Error('the fixture has no figure');
    const svg = await figureSvg(figure);
    for (const name of ['text', 'query picture', 'latent'])
      expect(svg).toContain(`>${name}</text>`);
  });

  it('escapes its texts and holds nothing that XML forbids', async () => {
    const [figure] = fullAudit().parts[0]?.figures ?? [];
    if (!figure) throw new Error('the fixture has no figure');
    const hostile = `${HOSTILE}\ud800\uffff\u0000]]>`;
    const svg = await figureSvg({ ...figure, title: hostile, alt: hostile });
    // eslint's own rule would forbid these in a pattern.
    const forbidden = Array.from(svg).filter(
      (character) =>
        (character < ' ' && character !== '\n') || /[\p{Cs}\ufffe\uffff]/u.test(character),
    );
    expect(forbidden).toEqual([]);
    expect(svg).not.toContain('<script');
    expect(svg.match(/<(?!\/?[a-zA-Z?])/g)).toBeNull();
  });
});

describe('the files of an audit', () => {
  it('are the page, the data, the card, and two a table and a figure', async () => {
    const audit = fullAudit();
    const files = await auditFiles(audit);
    const tables = audit.parts.flatMap((part) => part.tables);
    const figures = audit.parts.flatMap((part) => part.figures);
    expect(files.size).toBe(3 + 2 * tables.length + 2 * figures.length);
    for (const path of files.keys()) {
      expect(path).toMatch(
        /^(?:audit\.(?:html|json)|card\.txt|(?:tables|figures)\/[a-z0-9-]+\.\w+)$/,
      );
    }
    expect(JSON.parse(files.get('audit.json') ?? '')).toEqual(JSON.parse(JSON.stringify(audit)));
    expect(files.get('card.txt')).toContain('LATENTS ARE USED');
  });

  it('are those that the page links to', async () => {
    const files = await auditFiles(fullAudit());
    const page = files.get('audit.html') ?? '';
    const links = [...page.matchAll(/href="((?:tables|figures)\/[^"]+|audit\.json|card\.txt)"/g)];
    expect(links.length).toBeGreaterThan(20);
    for (const [, path = ''] of links) expect(files.has(path), path).toBe(true);
  });
});
