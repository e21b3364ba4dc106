// Owns drawing a chart as SVG by vega-lite without a browser, in the look of a report; charts call it.
// The chart libraries are loaded by the first chart: they take longer than everything else together.
import type { Loader, Spec } from 'vega';
import type { Config, TopLevelSpec } from 'vega-lite';
import { markup, trustedHtml } from './html.ts';
import type { Html } from './html.ts';

const FONT = 'system-ui, sans-serif';
/** Look of every chart; colours are the page's CSS variables, so that it follows light, dark and print. */
export const CHART_CONFIG = {
  background: 'transparent',
  aria: false,
  font: FONT,
  padding: 4,
  view: { stroke: null },
  axis: {
    labelColor: 'var(--soft)',
    titleColor: 'var(--soft)',
    titleFontWeight: 'normal',
    titleFontSize: 12,
    labelFontSize: 12,
    gridColor: 'var(--line)',
    domainColor: 'var(--line)',
    ticks: false,
    labelPadding: 6,
  },
  header: { labelColor: 'var(--ink)', labelFontSize: 13, labelPadding: 0, title: null },
  text: { color: 'var(--soft)', fontSize: 12 },
} as const;

/** A chart in Vega's own language, as its runtime reads it, in the look of the page. */
export async function compileChart(
  spec: TopLevelSpec,
  config: Config = CHART_CONFIG,
): Promise<Spec> {
  const { Error: errorsOnly, logger } = await import('vega');
  const { compile } = await import('vega-lite');
  return compile({ ...spec, config }, { logger: logger(errorsOnly) }).spec;
}

// Charts bring their data with them: a name of a file or of a host in one is not followed.
const NOTHING_LOADS = {
  load: () => Promise.reject(new Error('a chart loads nothing')),
  sanitize: () => Promise.reject(new Error('a chart links to nothing')),
} as unknown as Loader;

/** What is inside of a drawing's svg element, and its size in pixels. */
export interface Drawing {
  readonly body: Html;
  readonly width: string;
  readonly height: string;
}

/** Draws a chart as SVG; texts of its data are escaped by the chart library. */
export async function drawBody(spec: Spec): Promise<Drawing> {
  const { View, parse } = await import('vega');
  const view = new View(parse(spec), { renderer: 'none', loader: NOTHING_LOADS });
  const svg = await view.toSVG();
  view.finalize();
  const body = svg
    .replace(/^<svg[^>]*>/, '')
    .replace(/<\/svg>$/, '')
    // The drawing is one picture to a screen reader, described as a whole; policies forbid styles.
    .replace(/<[^>]+>/g, (tag) => tag.replace(/ (?:style|role|aria-[a-z]+)="[^"]*"/g, ''));
  const [, width = '0', height = '0'] = /viewBox="0 0 ([\d.]+) ([\d.]+)"/.exec(svg) ?? [];
  return { body: trustedHtml(body), width, height };
}

/** Draws a chart for inside of a page; `label` is what a screen reader says instead. */
export async function drawChart(spec: Spec, label: string): Promise<Html> {
  const { body, width, height } = await drawBody(spec);
  const box = `0 0 ${width} ${height}`;
  return markup`<svg role="img" aria-label="${label}" width="${width}" height="${height}" viewBox="${box}">${body}</svg>`;
}
