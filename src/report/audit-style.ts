// Owns what the page of an audit looks like beyond a report: tiles, canaries, switches, hover, paper.
import { COLOURS, STYLE } from './style.ts';

// ours: shares of the first colour in the steps of a map of heat; the first four keep text readable.
const HEAT_SHARES = [0.04, 0.12, 0.2, 0.28, 0.4, 0.52, 0.64, 0.76, 0.88] as const;

/** CSS variables of the steps of a map of heat, palest first. */
export const HEAT_NAMES: readonly string[] = HEAT_SHARES.map((_, i) => `h${i + 1}`);

function mix(first: string, second: string, share: number): string {
  const channels = (colour: string): number[] =>
    [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
  const [a, b] = [channels(first), channels(second)];
  const mixed = a.map((value, i) => Math.round(share * value + (1 - share) * (b[i] ?? 0)));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

/** Every colour of a scheme by the name of its CSS variable, the steps of heat among them. */
export function coloursOf(scheme: 'light' | 'dark'): Readonly<Record<string, string>> {
  const colours = COLOURS[scheme];
  const heat = HEAT_SHARES.map((share, i) => [
    HEAT_NAMES[i] ?? '',
    mix(colours.c1, colours.card, share),
  ]);
  return { ...colours, ...(Object.fromEntries(heat) as Record<string, string>) };
}

function heat(scheme: 'light' | 'dark'): string {
  const colours = coloursOf(scheme);
  return HEAT_NAMES.map((name) => `--${name}: ${colours[name] ?? ''};`).join(' ');
}

/** The whole style sheet of an audit's page. */
export const AUDIT_STYLE = `${STYLE}
:root { ${heat('light')} }
@media (prefers-color-scheme: dark) { :root { ${heat('dark')} } }
a { color: var(--c1); text-underline-offset: 0.15em; text-decoration-thickness: 1px; }
a:focus-visible, button:focus-visible, summary:focus-visible { outline: 2px solid var(--c1); outline-offset: 3px; border-radius: 2px; }
h3 { overflow-wrap: anywhere; max-width: 40rem; }
.eyebrow, .verdict-kind, .tiles, .canaries, .sources, .note, .tip, details, nav ol, .source {
  font-family: system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif;
  font-variant-numeric: tabular-nums lining-nums;
}
.verdict-kind { display: inline-flex; align-items: center; gap: 0.6rem; margin: 1.4rem 0 0.6rem; padding: 0.3rem 0.9rem 0.3rem 0.7rem; border: 1px solid currentColor; border-radius: 2rem; font-size: 0.9375rem; font-weight: 600; }
.verdict-kind svg { flex: none; }
.kind-used { color: var(--c3); }
.kind-harmful, .kind-refused { color: var(--c2); }
.kind-not-used { color: var(--c1); }
.kind-open { color: var(--soft); }
.verdict-lead { margin: 0.3rem 0 0.9rem; font-size: 1.4rem; line-height: 1.45; }
.change { margin: 1.4rem 0 0; padding: 0.1rem 0 0.1rem 1.1rem; border-left: 3px solid var(--line); max-width: 42rem; }
.change strong { font-weight: 600; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: 0 2rem; margin: 3.2rem 0 0; padding: 0.4rem 0; border: solid var(--line); border-width: 1px 0; }
.tiles > div { padding: 1.1rem 0; }
.tiles dt { font-size: 0.8125rem; line-height: 1.4; min-height: 2.3rem; overflow-wrap: anywhere; }
.tiles dd { font-size: 1.75rem; line-height: 1.25; letter-spacing: -0.01em; }
.tiles dd .unit { font-size: 1rem; letter-spacing: 0; }
.tiles dd .interval { display: block; font-size: 0.8125rem; letter-spacing: 0; color: var(--soft); margin-top: 0.2rem; }
.tiles dd.words { font-size: 1.0625rem; letter-spacing: 0; }

.canaries { list-style: none; margin: 1.2rem 0 0; padding: 0; display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
.canaries li { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 1rem 1.2rem 1.1rem; font-size: 0.875rem; line-height: 1.5; }
.canaries li.failed { border: 2px solid var(--c2); }
.canaries h3 { margin: 0 0 0.5rem; font-size: 0.9375rem; display: flex; justify-content: space-between; gap: 1rem; }
.canaries .outcome { font-weight: 600; color: var(--c3); white-space: nowrap; }
.canaries .failed .outcome { color: var(--c2); }
.canaries .outcome::before { content: "✓ " / ""; }
.canaries .failed .outcome::before { content: "✗ " / ""; }
.canaries p { margin: 0; }
.canaries .expected { color: var(--soft); margin-top: 0.5rem; }

nav ol { columns: 2; column-gap: 2.5rem; margin: 0.8rem 0 0; padding: 0; list-style: none; font-size: 0.9375rem; max-width: 52rem; }
nav li { padding: 0.24rem 0; break-inside: avoid; overflow-wrap: anywhere; }
nav .absent { color: var(--soft); }

.part { margin-top: 5rem; padding-top: 0.4rem; border-top: 1px solid var(--line); }
.part h2 { margin-top: 2rem; overflow-wrap: anywhere; }
.findings { margin: 1.2rem 0; padding: 0; list-style: none; max-width: 42rem; }
.findings li { padding: 0.15rem 0 0.15rem 1.1rem; border-left: 3px solid var(--c1); margin: 0.6rem 0; overflow-wrap: anywhere; }
.source { color: var(--soft); font-size: 0.875rem; line-height: 1.5; }
.sources { color: var(--soft); font-size: 0.8125rem; line-height: 1.6; margin: 0.5rem 0 0; max-width: none; }
.sources ul { list-style: none; margin: 0.3rem 0 0; padding: 0; columns: 16rem; }
.sources li a { display: inline-block; padding: 0.3rem 0; }
.sources details { margin: 0; }
.notes { color: var(--soft); font-size: 0.875rem; line-height: 1.5; padding-left: 1.1rem; max-width: 40rem; }
.scroll { margin: 0.6rem 0; position: relative; }
td.text { text-align: left; white-space: normal; min-width: 9rem; max-width: 26rem; overflow-wrap: anywhere; }
th.text { text-align: left; }
tbody th { white-space: normal; min-width: 8rem; max-width: 22rem; overflow-wrap: anywhere; }
td .interval { color: var(--soft); }
.card h3 { max-width: none; }
.card > p { font-size: 0.9375rem; overflow-wrap: anywhere; }

figure.plot { margin: 2.2rem 0; max-width: 640px; }
.plot > figcaption { margin: 0 0 0.6rem; font-size: 1rem; color: var(--ink); font-weight: 600; overflow-wrap: anywhere; }
.chart { margin: 0.4rem 0 0; position: relative; overflow-x: auto; }
.chart:focus-visible { outline: 2px solid var(--c1); outline-offset: 4px; }
.chart svg { max-width: none; }
.plot .legend { margin: 0.2rem 0 0.4rem; gap: 0.1rem 0.4rem; }
.plot .legend li { padding: 0.2rem 0.6rem 0.2rem 0; overflow-wrap: anywhere; }
.legend button { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: 4px; padding: 0.2rem 0.55rem; margin-left: -0.55rem; cursor: pointer; text-align: left; min-height: 1.75rem; }
.legend button:hover { border-color: var(--soft); }
.legend button[aria-pressed="false"] { color: var(--soft); text-decoration: line-through; }
.legend button[aria-pressed="false"] svg { opacity: 0.3; }
.live { display: none; }
details { margin: 0.5rem 0; font-size: 0.8125rem; }
summary { cursor: pointer; color: var(--soft); width: max-content; max-width: 100%; min-height: 24px; padding: 0.15rem 0.3rem 0.15rem 0; }
.plot details table, .sources details table { font-size: 0.8125rem; }
.plot details td, .plot details th { padding: 0.25rem 0.6rem 0.25rem 0; }
.tip { position: fixed; z-index: 2; max-width: 22rem; pointer-events: none; background: var(--card); color: var(--ink); border: 1px solid var(--soft); border-radius: 4px; padding: 0.45rem 0.7rem; font-size: 0.8125rem; line-height: 1.45; box-shadow: 0 2px 10px rgb(0 0 0 / 18%); }
.tip[hidden] { display: none; }
.tip div { display: flex; justify-content: space-between; gap: 1.2rem; overflow-wrap: anywhere; }
.tip span:first-child { color: var(--soft); }
.times { max-width: 44rem; columns: 2; column-gap: 3rem; display: block; }
.times div { display: flex; justify-content: space-between; gap: 1rem; padding: 0.16rem 0; break-inside: avoid; border-bottom: 1px solid var(--line); }
.times dt { overflow-wrap: anywhere; }
.times dd { white-space: nowrap; }
.times .all { font-weight: 600; }
.times .all dt { color: var(--ink); }

@media screen {
  .is-live > .live { display: block; }
  .is-live > svg { position: absolute; width: 1px; height: 1px; clip-path: inset(50%); }
}
@media (max-width: 40rem) {
  nav ol, .times { columns: 1; }
  .verdict-lead { font-size: 1.2rem; }
  .tiles { margin-top: 2.2rem; }
  .tiles dt { min-height: 0; }
  .part { margin-top: 3.5rem; }
  .part h2 { margin-top: 1.4rem; }
}
@media print {
  :root { ${heat('light')} }
  .part { margin-top: 2rem; }
  figure.plot, .canaries li, .tiles { break-inside: avoid; }
  .chart { overflow: visible; }
  .tiles { grid-template-columns: repeat(5, 1fr); gap: 0 1rem; margin-top: 1.6rem; }
  .chart svg { max-width: 46rem; height: auto; }
  .plot details, .tip, .contents { display: none; }
  a { color: inherit; text-decoration: none; }
  table { font-size: 0.8125rem; }
  th, td { padding: 0.25rem 0.4rem; }
}
`;
