// Owns the tests of the HTML report: self-contained, escaped, complete, bounded; vitest runs it.
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { renderReport } from '../../../src/report/report.ts';
import type { ReportData, ReportExample } from '../../../src/report/types.ts';
import { encodePng } from '../../../src/data/png.ts';
import { DataError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';
import { fullReport } from '../../helpers/report-data.ts';

const HOSTILE = `"><script>alert(1)</script><img src=x onerror='alert(2)'>\u202e&\`javascript:`;

function tagsOf(page: string): string[] {
  return [...page.matchAll(/<([a-zA-Z][\w:-]*)/g)].map((match) => (match[1] ?? '').toLowerCase());
}

// Both keep a failure short: it shows the matches, not the page.
function shows(page: string, part: string): boolean {
  return page.includes(part);
}

function found(page: string, pattern: RegExp): string[] {
  return (pattern.exec(page) ?? []).map((match) => match.slice(0, 80));
}

function count(page: string, part: string): number {
  return page.split(part).length - 1;
}

function anExample(): ReportExample {
  const [first] = fullReport().examples ?? [];
  if (!first) throw new Error('the fixture has no example');
  return first;
}

function minimal(extra: Partial<ReportData> = {}): ReportData {
  const { provenance } = fullReport();
  return { title: 'Little', provenance, verdict: ['Nothing was measured.'], ...extra };
}

/** The same data with every text replaced by something hostile; numbers and pictures stay. */
function poison(value: unknown, key = ''): unknown {
  const fixed = ['source', 'kind', 'name'];
  if (typeof value === 'string') return fixed.includes(key) ? value : `${HOSTILE}${value}`;
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item) => poison(item, key));
  const poisonKeys = ['predictions', 'byTask', 'versions', 'hashes'].includes(key);
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      poisonKeys ? `${HOSTILE}${name}` : name,
      poison(item, name),
    ]),
  );
}

describe('the report', () => {
  it('loads nothing: no script, no link, no address outside of the page', async () => {
    const page = await renderReport(fullReport());
    const allowed = /^(?:data:image\/png;base64,|#)/;
    for (const [, , address = ''] of page.matchAll(/\s(src|href|srcset|action)="([^"]*)"/g)) {
      expect(address).toMatch(allowed);
    }
    expect(found(page, /https?:|url\(|@import|@font-face/)).toEqual([]);
    const forbidden = ['script', 'link', 'iframe', 'object', 'embed', 'base', 'form', 'use'];
    expect(tagsOf(page).filter((tag) => forbidden.includes(tag))).toEqual([]);
  });

  it('carries a policy that allows its own style sheet and data pictures only', async () => {
    const page = await renderReport(fullReport());
    const style = /<style>([\s\S]*?)<\/style>/.exec(page)?.[1] ?? '';
    const hash = createHash('sha256').update(style).digest('base64');
    expect(
      shows(
        page,
        `content="default-src 'none'; img-src data:; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'"`,
      ),
    ).toBe(true);
    expect(found(page, /<[^>]+\sstyle=/)).toEqual([]);
  });

  it('lets no hostile text become markup, wherever it stands', async () => {
    const clean = await renderReport(fullReport());
    const page = await renderReport(poison(fullReport()) as ReportData);
    expect(new Set(tagsOf(page))).toEqual(new Set(tagsOf(clean)));
    expect(found(page, /<script|<img src=x|\u202e/)).toEqual([]);
    const attributes = (of: string): Set<string> =>
      new Set(
        [...of.replace(/"[^"]*"/g, '""').matchAll(/\s([\w:-]+)=""/g)].map(([, name]) => name ?? ''),
      );
    expect(attributes(page)).toEqual(attributes(clean));
    expect(shows(page, '&lt;script&gt;alert(1)&lt;/script&gt;')).toBe(true);
    expect(count(page, '<img')).toBe(count(clean, '<img'));
    // Every quote inside of a tag belongs to a complete attribute.
    for (const [tag] of page.matchAll(/<[a-zA-Z][^>]*>/g)) {
      expect(tag).toMatch(/^<[\w:-]+(?:\s+[\w:-]+(?:="[^"]*")?)*\s*\/?>$/);
    }
  });

  it('shows every part of the data, headings in order', async () => {
    const data = fullReport();
    const page = await renderReport(data);
    for (const row of data.accuracyTable ?? []) expect(shows(page, `>${row.label}`)).toBe(true);
    expect(shows(page, '[82.5, 88.1]')).toBe(true);
    expect(shows(page, '−48.9')).toBe(true);
    expect(count(page, '<article')).toBe(data.examples?.length);
    expect(count(page, 'stored study</span>')).toBe(9);
    expect(shows(page, 'Not part of this run')).toBe(false);
    const levels = [...page.matchAll(/<h([1-6])[ >]/g)].map((match) => Number(match[1]));
    expect(levels[0]).toBe(1);
    levels.slice(1).forEach((level, i) => {
      expect(level - (levels[i] ?? 0)).toBeLessThanOrEqual(1);
      expect(level).toBeGreaterThan(1);
    });
  });

  it('describes every picture and chart in words', async () => {
    const page = await renderReport(fullReport());
    for (const [tag] of page.matchAll(/<img[^>]*>/g)) expect(tag).toMatch(/alt="[^"]{10,}"/);
    for (const [tag] of page.matchAll(/<svg[^>]*>/g)) {
      expect(tag).toMatch(/aria-hidden="true"|role="img" aria-label="[^"]{20,}"/);
    }
    expect(shows(page, 'GAP, final state: 68.4')).toBe(true);
    expect(shows(page, '12 components reach 96.1 % of the variance')).toBe(true);
  });

  it('shows pictures of 96 pixels at 192 without smoothing', async () => {
    const page = await renderReport(fullReport());
    expect(count(page, 'class="pixels"')).toBe(15);
    expect(found(page, /class="pixels" src="[^"]+" width="192" height="192"/)).toHaveLength(1);
  });

  it('works without any optional part and names what is missing', async () => {
    const page = await renderReport(minimal());
    expect(
      shows(
        page,
        'Not part of this run: accuracy by variant, interventions on the latents, examples, training curves, norms, the PCA spectrum.',
      ),
    ).toBe(true);
    expect(shows(page, 'Nothing was measured.')).toBe(true);
    expect(tagsOf(page)).not.toContain('table');
    const bare: ReportExample = {
      id: 'a',
      task: 'own',
      difficulty: '',
      question: 'what is it',
      answer: 'a cat',
      predictions: {},
      queryPng: anExample().queryPng,
    };
    const withBare = await renderReport(minimal({ examples: [bare] }));
    expect(count(withBare, '<figure')).toBe(1);
  });

  it('survives curves that broke, empty lists and a single point', async () => {
    const page = await renderReport(
      minimal({
        accuracyTable: [],
        examples: [],
        trainingCurves: [
          { run: 'broken', name: 'total', points: [[1, NaN]] },
          { run: 'short', name: 'total', points: [[1, 0.5]] },
          {
            run: 'late',
            name: 'lm loss',
            points: [
              [1, 1],
              [2, NaN],
              [3, Infinity],
              [4, 0.5],
            ],
          },
        ],
      }),
    );
    expect(found(page, /NaN|Infinity|undefined/)).toEqual([]);
    expect(shows(page, 'short ends at 0.500')).toBe(true);
  });

  it('stays small however long the training and the texts were', async () => {
    const rng = new Rng(1);
    const long = Array.from({ length: 100_000 }, (_, i) => [i, rng.uniform()] as const);
    const example = { ...anExample(), question: 'why '.repeat(100_000) };
    const page = await renderReport(
      minimal({
        trainingCurves: [{ run: 'a', name: 'total', points: long }],
        examples: Array.from({ length: 500 }, () => example),
      }),
    );
    expect(shows(page, '24 of 500 examples are shown.')).toBe(true);
    expect(page.length).toBeLessThan(600_000);
  });

  it('refuses a picture that is no PNG and leaves out one that is too large', async () => {
    const example = anExample();
    const broken = { ...example, queryPng: Uint8Array.of(1, 2, 3) };
    await expect(renderReport(minimal({ examples: [broken] }))).rejects.toThrow(DataError);
    const rng = new Rng(2);
    const noise = Uint8Array.from({ length: 400 * 400 * 3 }, () => rng.int(256));
    const large = encodePng({ width: 400, height: 400, data: noise });
    const page = await renderReport(minimal({ examples: [{ ...example, queryPng: large }] }));
    expect(shows(page, '400 × 400, 0.5 MiB: too large to embed')).toBe(true);
  });

  it('is the same page for the same data', async () => {
    expect((await renderReport(fullReport())) === (await renderReport(fullReport()))).toBe(true);
  });
});
