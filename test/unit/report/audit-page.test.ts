// Owns the tests of an audit's page: self-contained, escaped, complete, linked to its items; vitest runs it.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { PART_NAMES } from '../../../src/audit/types.ts';
import type { Audit, AuditPart } from '../../../src/audit/types.ts';
import { DataError } from '../../../src/errors.ts';
import { renderAudit } from '../../../src/report/audit-page.ts';
import {
  emptyAudit,
  fullAudit,
  HOSTILE,
  partialAudit,
  refusedAudit,
} from '../../helpers/audit-data.ts';

/** The page without its script, which is checked by its hash. */
function withoutScript(page: string): string {
  return page.replace(/<script>[\s\S]*?<\/script>/, '');
}

function tagsOf(page: string): string[] {
  return [...withoutScript(page).matchAll(/<([a-zA-Z][\w:-]*)/g)].map(([, tag]) =>
    (tag ?? '').toLowerCase(),
  );
}

function hashes(page: string, pattern: RegExp): string {
  const text = pattern.exec(page)?.[1] ?? '';
  return createHash('sha256').update(text).digest('base64');
}

// Both keep a failure short: it shows the part, not the page.
function shows(page: string, part: string): boolean {
  return page.includes(part);
}

function count(page: string, part: string): number {
  return page.split(part).length - 1;
}

/** The same audit with every text replaced by something hostile; names that code reads stay. */
function poison(value: unknown, key = ''): unknown {
  const fixed = [
    ...['id', 'key', 'name', 'kind', 'format', 'png', 'spec', 'numLatents', 'columns', 'rows'],
  ];
  if (fixed.includes(key)) return value;
  if (typeof value === 'string') return `${HOSTILE}${value}`;
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => poison(item, key));
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      key === 'versions' ? `${HOSTILE}${name}` : name,
      poison(item, name),
    ]),
  );
}

function poisonedTables(audit: Audit): Audit {
  const parts = audit.parts.map((part) => ({
    ...part,
    tables: part.tables.map((table) => ({
      ...table,
      columns: table.columns.map((column) => ({ ...column, title: HOSTILE + column.title })),
      rows: table.rows.map((row) =>
        Object.fromEntries(
          Object.entries(row).map(([key, cell]) => [
            key,
            typeof cell === 'string' ? HOSTILE + cell : cell,
          ]),
        ),
      ),
    })),
    figures: part.figures.map((figure) => ({
      ...figure,
      spec: JSON.parse(
        JSON.stringify(figure.spec, (key, value: unknown) =>
          typeof value === 'string' && ['series', 'kind', 'arm', 'place', 'title'].includes(key)
            ? HOSTILE + value
            : value,
        ),
      ) as typeof figure.spec,
    })),
  }));
  return { ...audit, parts };
}

function onlyPart(part: Partial<AuditPart>): Audit {
  const audit = fullAudit();
  const [first] = audit.parts;
  if (!first) throw new Error('the fixture has no part');
  return { ...audit, parts: [{ ...first, ...part }] };
}

describe('the page of an audit', () => {
  it('loads nothing: every address is a picture inside, a place in the page or a file beside it', async () => {
    const page = withoutScript(await renderAudit(fullAudit()));
    const allowed =
      /^(?:data:image\/png;base64,|#|(?:items|tables|figures)\/[\w.-]+$|(?:audit\.json|card\.txt)$)/;
    for (const [, , address = ''] of page.matchAll(/\s(src|href|srcset|action)="([^"]*)"/g)) {
      expect(address).toMatch(allowed);
    }
    expect(/url\(|@import|@font-face/.exec(page)).toBeNull();
    const forbidden = ['link', 'iframe', 'object', 'embed', 'base', 'form', 'use'];
    expect(tagsOf(page).filter((tag) => forbidden.includes(tag))).toEqual([]);
  });

  it('carries a policy that allows its own style sheet, its own script and nothing else', async () => {
    const page = await renderAudit(fullAudit());
    const style = hashes(page, /<style>([\s\S]*?)<\/style>/);
    const script = hashes(page, /<script>([\s\S]*?)<\/script>/);
    const policy = `content="default-src 'none'; img-src data:; style-src 'sha256-${style}'; script-src 'sha256-${script}'; base-uri 'none'; form-action 'none'"`;
    expect(shows(page, policy)).toBe(true);
    const bare = withoutScript(page).replace(/"[^"]*"/g, '""');
    expect(/<[^>]+\s(?:style|on\w+)=/.exec(bare)).toBeNull();
  });

  it('has no script at all where there is no chart', async () => {
    const page = await renderAudit(emptyAudit());
    expect(shows(page, '<script')).toBe(false);
    expect(shows(page, 'script-src')).toBe(false);
  });

  it('lets no hostile text become markup, in texts, tables, charts and their data', async () => {
    const clean = await renderAudit(partialAudit());
    const page = await renderAudit(poisonedTables(poison(partialAudit()) as Audit));
    expect(new Set(tagsOf(page))).toEqual(new Set(tagsOf(clean)));
    expect(count(page, '</script>')).toBe(2);
    expect(count(page, '<!--')).toBe(0);
    expect(count(page, '\u202e')).toBe(0);
    expect(shows(page, '&lt;script&gt;alert(1)&lt;/script&gt;')).toBe(true);
    expect(shows(page, '\\u003cscript\\u003ealert(1)\\u003c/script\\u003e')).toBe(true);
    for (const [tag] of withoutScript(page).matchAll(/<[a-zA-Z][^>]*>/g)) {
      expect(tag).toMatch(/^<[\w:-]+(?:\s+[\w:-]+(?:="[^"]*")?)*\s*\/?>$/);
    }
  });

  it('keeps charts as JSON that reads back', async () => {
    const page = await renderAudit(poisonedTables(fullAudit()));
    const json = /<script type="application\/json" id="chart-data">([^<]*)<\/script>/.exec(
      page,
    )?.[1];
    const charts = JSON.parse(json ?? '') as Record<string, { series?: { values: string[] } }>;
    expect(Object.keys(charts)).toHaveLength(7);
    expect(charts['norms-by-layer']?.series?.values[0]).toContain('</script><!--');
  });

  it('shows verdict, figures and canaries first, then the parts in their order', async () => {
    const audit = fullAudit();
    const page = await renderAudit({ ...audit, parts: audit.parts.toReversed() });
    const marks = ['class="verdict-lead"', 'class="tiles"', 'class="canaries"'];
    const places = [...marks, ...PART_NAMES.map((name) => `id="part-${name}"`)].map((mark) =>
      page.indexOf(mark),
    );
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });

  it('gives a part its definition, source, findings, figures, tables, notes and pictures in turn', async () => {
    const [part] = partialAudit().parts;
    const rows = fullAudit().parts.at(-1)?.pictures ?? [];
    const page = await renderAudit(onlyPart({ pictures: rows }));
    const order = [
      part?.definition.slice(0, 40) ?? '',
      'Source: GAP Table 6',
      part?.findings[1] ?? '',
      '<figure class="plot"',
      'id="table-replacement-arms"',
      part?.notes[0] ?? '',
      '<article class="card">',
    ];
    const places = order.map((text) => page.indexOf(text));
    expect(places.every((place) => place > 0)).toBe(true);
    expect(places).toEqual(places.toSorted((a, b) => a - b));
  });

  it('links every table and figure to its items and to its files', async () => {
    const page = await renderAudit(fullAudit());
    for (const { tables, figures } of fullAudit().parts) {
      for (const { items } of [...tables, ...figures]) {
        for (const path of items) expect(shows(page, `<a href="${path}">`)).toBe(true);
      }
      for (const { id } of tables) expect(shows(page, `href="tables/${id}.csv"`)).toBe(true);
      for (const { id } of figures) expect(shows(page, `href="figures/${id}.svg"`)).toBe(true);
    }
  });

  it('makes no link of a path that leads out of the audit', async () => {
    const [table] = fullAudit().parts[0]?.tables ?? [];
    if (!table) throw new Error('the fixture has no table');
    const paths = ['javascript:alert(1)', '../secret', '/etc/passwd', '//host/x', 'items/../../x'];
    for (const path of paths) {
      const page = await renderAudit(
        onlyPart({ figures: [], tables: [{ ...table, items: [path] }] }),
      );
      expect(shows(page, `href="${path}"`)).toBe(false);
      expect(shows(page, `<code>${path}</code>`)).toBe(true);
    }
  });

  it('describes every chart and picture in words and gives the data of charts as tables', async () => {
    const page = withoutScript(await renderAudit(fullAudit()));
    for (const [tag] of page.matchAll(/<svg[^>]*>/g)) {
      expect(tag).toMatch(/aria-hidden="true"|role="img" aria-label="[^"]{20,}"/);
    }
    for (const [tag] of page.matchAll(/<img[^>]*>/g)) expect(tag).toMatch(/alt="[^"]{10,}"/);
    expect(count(page, '<summary>Data of the figure</summary>')).toBe(7);
    expect(shows(page, '<td class="number">4.816</td>')).toBe(true);
  });

  it('writes intervals, p values and what is missing', async () => {
    const page = await renderAudit(fullAudit());
    expect(shows(page, '30.1 <span class="interval">(25.2 to 35.0)</span>')).toBe(true);
    expect(shows(page, '&lt; 0.001')).toBe(true);
    expect(shows(page, '<span class="unseen">not measured</span>')).toBe(true);
    expect(
      /NaN|Infinity|undefined/.exec(withoutScript(page).replace(/<script[\s\S]*$/, '')),
    ).toBeNull();
  });

  it('names skipped parts with the reason, in the contents and in a section', async () => {
    const page = await renderAudit(partialAudit());
    expect(shows(page, '<a href="#skipped">oracle</a>, not measured')).toBe(true);
    expect(shows(page, '<dt>oracle</dt><dd>The dataset has no auxiliary pictures')).toBe(true);
  });

  it('says in words that a canary failed and that there is no verdict', async () => {
    const page = await renderAudit(refusedAudit());
    expect(shows(page, 'No verdict</p>')).toBe(true);
    expect(count(page, '<li class="failed">')).toBe(1);
    expect(shows(page, 'destruction <span class="outcome">failed</span>')).toBe(true);
  });

  it('steps headings by one level', async () => {
    const page = withoutScript(await renderAudit(fullAudit()));
    const levels = [...page.matchAll(/<h([1-6])[ >]/g)].map(([, level]) => Number(level));
    expect(levels[0]).toBe(1);
    levels.slice(1).forEach((level, i) => expect(level - (levels[i] ?? 0)).toBeLessThanOrEqual(1));
  });

  it('stays under a megabyte and a half with ten parts, and is the same for the same audit', async () => {
    const page = await renderAudit(fullAudit());
    expect(page.length).toBeLessThan(1.5e6);
    expect((await renderAudit(fullAudit())) === page).toBe(true);
  });

  it('refuses ids that cannot name files, and pictures that are no PNG files', async () => {
    const [table] = fullAudit().parts[0]?.tables ?? [];
    if (!table) throw new Error('the fixture has no table');
    for (const id of ['../x', 'A', '', 'a/b', '-a', 'a"b']) {
      const broken = onlyPart({ tables: [{ ...table, id }] });
      await expect(renderAudit(broken), id).rejects.toThrow(DataError);
    }
    await expect(renderAudit(onlyPart({ tables: [table, table] }))).rejects.toThrow(DataError);
    const pictures = [{ title: 'a', text: 'b', pictures: [{ title: 'c', alt: 'd', png: 'eA==' }] }];
    await expect(renderAudit(onlyPart({ pictures }))).rejects.toThrow(DataError);
  });
});
