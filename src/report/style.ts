// Owns the look of a report: one style sheet for light, dark and paper; `renderReport` embeds it.

const HEAT_STEPS = 10;
// ours: the deepest cell still leaves its number a contrast of 7:1.
const HEAT_DEPTH_PERCENT = 30;

/** Names of the colours; charts and style sheet use them as CSS variables, `var(--ink)`. */
export type ColourName =
  'paper' | 'card' | 'ink' | 'soft' | 'line' | 'c1' | 'c2' | 'c3' | 'c4' | 'c5' | 'c6';

// The palette follows Okabe and Ito (2008), darkened on white and lightened on black for contrast.
/** The colours of both schemes, six hexadecimal digits each. */
export const COLOURS: Readonly<Record<'light' | 'dark', Readonly<Record<ColourName, string>>>> = {
  light: {
    ...{ paper: '#fcfbf8', card: '#ffffff', ink: '#1f2328', soft: '#5a6068', line: '#e2dfd8' },
    ...{ c1: '#0b62a8', c2: '#b84a08', c3: '#0a7a5c', c4: '#9a4480', c5: '#86660a', c6: '#6b7078' },
  },
  dark: {
    ...{ paper: '#15171a', card: '#1c1f23', ink: '#e6e4df', soft: '#a3a8ae', line: '#33373c' },
    ...{ c1: '#6fb3ee', c2: '#f0965e', c3: '#48c5a2', c4: '#dc97c6', c5: '#dcb944', c6: '#9aa0a8' },
  },
};

function variables(colours: Readonly<Record<string, string>>): string {
  return Object.entries(colours)
    .map(([name, colour]) => `--${name}: ${colour};`)
    .join(' ');
}

const LIGHT = variables(COLOURS.light);
const DARK = variables(COLOURS.dark);

const HEAT = Array.from({ length: HEAT_STEPS + 1 }, (_, step) => {
  const depth = Math.round((HEAT_DEPTH_PERCENT * step) / HEAT_STEPS);
  return `.heat${step} { background: color-mix(in srgb, var(--c1) ${depth}%, transparent); }`;
}).join('\n');

/** The whole style sheet. */
export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 Charter, "Bitstream Charter", "Iowan Old Style", Cambria, "Noto Serif", "DejaVu Serif", Georgia, serif;
  font-variant-numeric: oldstyle-nums; text-rendering: optimizeLegibility;
}
header, main { max-width: 70rem; margin: 0 auto; padding: 0 1.5rem; }
header { padding-top: 4.5rem; }
main { padding-bottom: 3rem; }
h1 { font-size: 2.1rem; line-height: 1.2; font-weight: 600; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.4rem; line-height: 1.3; font-weight: 600; margin: 4rem 0 0.4rem; }
h3 { font-size: 1.06rem; line-height: 1.4; font-weight: 600; margin: 2.2rem 0 0.3rem; }
p { margin: 0.4rem 0 0.9rem; max-width: 40rem; overflow-wrap: anywhere; }
.byline, .note, .kind, figcaption, .label, table, .legend, dl, .answers, .response .span, nav {
  font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums lining-nums;
}
.byline { color: var(--soft); font-size: 0.875rem; margin: 0.5rem 0 2rem; }
.verdict-lead { font-size: 1.3rem; line-height: 1.5; max-width: 44rem; }
.verdict-more { margin: 0.2rem 0; padding-left: 1.1rem; max-width: 42rem; }
.verdict-more li { margin: 0.3rem 0; }
.note { color: var(--soft); font-size: 0.875rem; line-height: 1.5; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.scroll { overflow-x: auto; margin: 1rem 0; }
.scroll:focus-visible { outline: 2px solid var(--c1); outline-offset: 4px; }
table { border-collapse: collapse; font-size: 0.9375rem; line-height: 1.35; }
th, td { padding: 0.45rem 0.6rem; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { font-weight: 400; font-size: 0.8125rem; color: var(--soft); vertical-align: bottom; }
thead tr:last-child th { border-bottom: 1px solid var(--ink); }
tbody tr > * { border-bottom: 1px solid var(--line); }
tbody th { font-weight: 400; }
td.strong { font-weight: 600; }
td.quiet { color: var(--soft); }
td.alarm { color: var(--c2); font-weight: 600; }
.graphic { padding: 0 0.4rem; }
th.graphic { padding-bottom: 0.5rem; }
.scale { display: block; }
.scale text { fill: var(--soft); font-size: 0.75rem; }
.strip { display: block; }
.strip .tick { stroke: var(--line); }
.strip .whisker { stroke: var(--c1); stroke-width: 2; }
.strip circle { fill: var(--c1); }
.strip.stored .whisker { stroke: var(--soft); }
.strip.stored circle { fill: var(--paper); stroke: var(--soft); stroke-width: 2; }
.tag { color: var(--soft); font-size: 0.75rem; border: 1px solid var(--line); border-radius: 3px; padding: 0.05rem 0.35rem; margin-left: 0.35rem; }
.tasks th[scope="colgroup"] { text-align: center; color: var(--ink); }
.tasks td, .tasks thead tr:last-child th:not(:first-child) { min-width: 3.2rem; padding: 0.45rem 0.6rem; }
.tasks .first { border-left: 0.6rem solid var(--paper); }
${HEAT}

.card { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 1.4rem 1.6rem 1.2rem; margin: 1.2rem 0; }
.card h3 { margin: 0; font-size: 1.125rem; }
.kind { color: var(--soft); font-size: 0.8125rem; margin: 0.1rem 0 1.1rem; }
.pictures { display: flex; flex-wrap: wrap; gap: 1.4rem 2.2rem; }
figure { margin: 0; }
.pictures figure { width: 192px; }
figcaption { color: var(--soft); font-size: 0.8125rem; line-height: 1.4; margin-top: 0.5rem; }
img { display: block; background: var(--line); }
img.pixels { image-rendering: pixelated; }
.missing { width: 192px; height: 192px; margin: 0; padding: 4rem 1rem; text-align: center; font-size: 0.8125rem; color: var(--soft); border: 1px dashed var(--line); }
svg.heat { display: block; outline: 1px solid var(--line); outline-offset: -1px; }
svg.heat rect { fill: var(--c3); stroke: var(--card); stroke-width: 1; }
.response { margin: 1.2rem 0 0.9rem; max-width: 52rem; font-size: 1rem; }
.label { color: var(--soft); font-size: 0.8125rem; margin-right: 0.8rem; }
.span { font-size: 0.8125rem; border-radius: 3px; padding: 0.1rem 0.5rem; white-space: nowrap; color: var(--c3); border: 1px solid currentColor; }
.answers { list-style: none; display: flex; flex-wrap: wrap; gap: 0.5rem 2rem; margin: 1rem 0 0; padding: 0.9rem 0 0; border-top: 1px solid var(--line); font-size: 0.875rem; }
.answers .who { color: var(--soft); margin-right: 0.35rem; }
.answers .said { font-weight: 600; overflow-wrap: anywhere; }
.answers .verdict { margin-left: 0.35rem; }
.answers .right .verdict { color: var(--c3); }
.answers .wrong .verdict { color: var(--c2); }
.answers .right .verdict::before { content: "✓ "; }
.answers .wrong .verdict::before { content: "✗ "; }

.charts { display: flex; flex-wrap: wrap; gap: 1.5rem 1.6rem; margin: 1rem 0; }
.charts figure, .chart { max-width: 100%; }
.chart { margin: 1rem 0; }
.charts svg, .chart svg { display: block; max-width: 100%; height: auto; }
.charts figcaption { margin: 0 0 0.3rem; color: var(--ink); font-size: 0.875rem; }
.legend { display: flex; flex-wrap: wrap; gap: 0.2rem 1.4rem; list-style: none; margin: 0.8rem 0 0; padding: 0; font-size: 0.875rem; }
.legend svg { vertical-align: middle; margin-right: 0.45rem; }

dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.3rem 1.6rem; font-size: 0.875rem; margin: 0.8rem 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: 0.8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; }

@media (max-width: 40rem) {
  header { padding-top: 2.5rem; }
  h1 { font-size: 1.7rem; }
  .verdict-lead { font-size: 1.15rem; }
  .card { padding: 1.1rem; }
  dl { grid-template-columns: 1fr; gap: 0 0; }
  dd { margin-bottom: 0.5rem; }
}
@media print {
  :root { color-scheme: light; ${LIGHT} --paper: #fff; }
  html { font-size: 11px; }
  .pictures { flex-wrap: nowrap; gap: 1rem; }
  .pictures figure, .pictures img, svg.heat { width: 140px; height: auto; }
  header { padding-top: 0; }
  h2 { margin-top: 1.6rem; break-after: avoid; }
  .card, .chart, .charts figure, .scroll, dl { break-inside: avoid; }
  .charts svg { width: 210px; }
  .scroll { overflow: visible; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
`;
