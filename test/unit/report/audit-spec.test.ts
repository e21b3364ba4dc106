// Owns the tests of what the page does to a part's chart: series, switches, sizes, heat, data; vitest runs it.
import { parse, View } from 'vega';
import type { TopLevelSpec } from 'vega-lite';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import { plot } from '../../../src/report/audit-chart.ts';
import { cleanSpec, dressChart } from '../../../src/report/audit-spec.ts';
import { coloursOf } from '../../../src/report/audit-style.ts';
import { compileChart } from '../../../src/report/draw.ts';
import { chartData, formatDatum } from '../../../src/report/spec-data.ts';
import {
  cells,
  facetedBars,
  forest,
  groupedBars,
  lines,
  pair,
} from '../../helpers/audit-charts.ts';

const ROWS = ['a', 'b', 'c'].flatMap((series) =>
  [0, 1, 2].map((x) => ({ series, x, value: x, low: x - 1, high: x + 1 })),
);
const LINES = lines(ROWS, { x: 'step', y: 'size' });

async function drawn(spec: TopLevelSpec, hidden: readonly string[] = []): Promise<string> {
  const view = new View(parse(await compileChart(dressChart(spec, 'page').spec)), {
    renderer: 'none',
  });
  if (hidden.length > 0) view.signal('hiddenSeries', hidden);
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}

function count(text: string, part: string): number {
  return text.split(part).length - 1;
}

function looks(svg: string, attribute: string): Set<string> {
  return new Set(
    [...svg.matchAll(new RegExp(`${attribute}="([^"]+)"`, 'g'))].map(([, v]) => v ?? ''),
  );
}

describe('the series of a chart', () => {
  it('are found in the order of the data, or in the order that the chart wants', () => {
    expect(dressChart(LINES, 'page').series?.values).toEqual(['a', 'b', 'c']);
    const bars = groupedBars([
      { kind: 'x', place: 'p', accuracy: 1 },
      { kind: 'y', place: 'p', accuracy: 0.5 },
    ]) as unknown as { encoding: { color: object } };
    const sorted = {
      ...bars,
      encoding: { ...bars.encoding, color: { field: 'kind', type: 'nominal', sort: ['y', 'x'] } },
    } as unknown as TopLevelSpec;
    expect(dressChart(sorted, 'page').series?.values).toEqual(['y', 'x']);
  });

  it('differ by more than colour: points by shape', async () => {
    const svg = await drawn(LINES);
    const symbols = [...svg.matchAll(/aria-roledescription="point"[^>]*d="([^"]+)"/g)];
    const shapes = symbols.length > 0 ? symbols : [...svg.matchAll(/<path[^>]*? d="(M[^"]+Z)"/g)];
    const kinds = new Set(shapes.map(([, d]) => (d ?? '').replace(/[\d.-]+/g, '#')));
    expect(kinds.size).toBeGreaterThanOrEqual(3);
  });

  it('differ by dashes where points would cover the line', async () => {
    const dense = ['a', 'b', 'c'].flatMap((series) =>
      Array.from({ length: 200 }, (_, x) => ({ series, x, value: x, low: x, high: x })),
    );
    const chart = lines(dense, { x: 'step', y: 'size' });
    expect(dressChart(chart, 'page').series?.swatch).toBe('dash');
    expect(looks(await drawn(chart), 'stroke-dasharray')).toEqual(new Set(['1,0', '7,3', '2,2']));
  });

  it('differ by how far bars are filled', async () => {
    const rows = ['x', 'y', 'z'].map((kind) => ({ kind, place: 'p', accuracy: 0.5 }));
    const fills = looks(await drawn(groupedBars(rows)), 'fill-opacity');
    expect(fills).toEqual(new Set(['0.9', '0.51', '0.12']));
  });

  it('are switched off by the signal, everywhere they are drawn', async () => {
    const all = await drawn(LINES);
    const some = await drawn(LINES, ['b']);
    for (const colour of ['var(--c1)', 'var(--c2)', 'var(--c3)']) expect(all).toContain(colour);
    expect(count(some, 'var(--c2)')).toBe(0);
    expect(count(some, 'var(--c1)')).toBe(count(all, 'var(--c1)'));
    expect(await drawn(LINES, ['a', 'b', 'c'])).toContain('</svg>');
  });

  it('may be numbers', async () => {
    const numbers = ROWS.map((row) => ({ ...row, series: row.series.charCodeAt(0) }));
    const chart = lines(numbers, { x: 'step', y: 'size' });
    expect(dressChart(chart, 'page').series?.values).toEqual([97, 98, 99]);
    const svg = await drawn(chart, ['98']);
    expect([count(svg, 'var(--c1)') > 0, count(svg, 'var(--c2)')]).toEqual([true, 0]);
  });

  it('are none where colour only repeats the names on an axis', () => {
    const spec = forest([{ arm: 'a', low: 0, high: 1, accuracy: 0.5 }]) as unknown as {
      encoding: object;
    };
    const coloured = {
      ...spec,
      encoding: { ...spec.encoding, color: { field: 'arm', type: 'nominal' } },
    } as unknown as TopLevelSpec;
    expect(dressChart(coloured, 'page').series).toBeUndefined();
  });
});

describe('the drawing of a chart', () => {
  it('uses variables of the page for every colour', async () => {
    const attention = [0, 1, 2].map((latent) => ({ latent, layer: 0, attention: latent / 7 }));
    const ranks = [1, 2].map((rank) => ({ kind: 'k', rank, count: rank }));
    const forced = [0, 1].map((x) => ({ forced: x, error: x, accuracy: x }));
    const charts = [LINES, cells(attention), facetedBars(ranks), pair(forced)];
    for (const chart of charts) {
      const { html } = await plot({
        id: 'a',
        title: 'A',
        alt: 'What it shows',
        spec: chart,
        items: [],
      });
      const used = new Set([...looks(html.source, 'fill'), ...looks(html.source, 'stroke')]);
      const known = Object.keys(coloursOf('light')).map((name) => `var(--${name})`);
      const others = [...used].filter((colour) => !known.includes(colour));
      expect(others.filter((colour) => colour !== 'none' && colour !== 'transparent')).toEqual([]);
    }
  });

  it('is as wide as the page wants, whatever the part said', () => {
    const wide = { ...LINES, width: 4000, height: 9000 } as TopLevelSpec;
    expect(dressChart(wide, 'page').spec).toMatchObject({ width: 640, height: 240 });
    expect(dressChart(wide, 'page').fitsWidth).toBe(true);
    const row = { forced: 0, error: 0, accuracy: 0 };
    const halves = dressChart(pair([row]), 'page').spec as unknown as {
      hconcat: { width: number }[];
    };
    expect(halves.hconcat.map(({ width }) => width)).toEqual([236, 236]);
  });

  it('shows unseen characters of its data as such', async () => {
    const svg = await drawn(forest([{ arm: 'a\u202eb\u0007', low: 0, high: 1, accuracy: 0.5 }]));
    expect(svg).toContain('a\ufffdb\ufffd');
  });

  it('answers the pointer with points, not with the lines that join them', async () => {
    const { live } = await plot({ id: 'a', title: 'A', alt: 'B', spec: LINES, items: [] });
    const marks = JSON.stringify(live.spec.marks);
    expect(count(marks, '"tooltip"')).toBe(1);
    expect(live.spec.marks).toBeDefined();
  });

  it('is refused when its data are elsewhere', () => {
    for (const data of [
      { url: 'https://example.org/x.json' },
      { url: 'file:///etc/passwd' },
      { name: 'x' },
    ]) {
      const chart = { data, mark: 'bar', encoding: {} } as unknown as TopLevelSpec;
      expect(() => dressChart(chart, 'page')).toThrow(DataError);
    }
  });
});

describe('the data of a chart', () => {
  it('have the names of its axes, and per cent where an axis is in per cent', () => {
    const [table] = chartData(
      cleanSpec(forest([{ arm: 'a', low: 0.25, high: 1, accuracy: 0.512345 }])),
    );
    const titles = table?.fields.map(({ title }) => title);
    expect(titles).toEqual(['arm', 'low, %', 'high, %', 'accuracy, %']);
  });

  it('are in per cent only where their own axis is, with charts side by side', () => {
    const [table] = chartData(cleanSpec(pair([{ forced: 0, error: 0.5, accuracy: 0.5 }])));
    expect(table?.fields).toEqual([
      { name: 'forced', title: 'latents forced', percent: false },
      { name: 'error', title: 'error of the free ones', percent: false },
      { name: 'accuracy', title: 'accuracy, %', percent: true },
    ]);
  });

  it('are written with four digits', () => {
    const field = { name: 'a', title: 'a', percent: false };
    expect(formatDatum(-1.23456, field)).toBe('−1.235');
    expect(formatDatum(0.512345, { ...field, percent: true })).toBe('51.2');
    expect(formatDatum(null, field)).toBe('–');
    expect(formatDatum('text', field)).toBe('text');
  });
});
