// Owns the script of an audit's page: Vega's runtime, and what makes charts answer pointer and switches.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { RuntimeError } from '../errors.ts';
import { trustedHtml } from './html.ts';
import type { Html } from './html.ts';

const require = createRequire(import.meta.url);
/** Id of the element that holds the charts as JSON. */
export const CHART_DATA_ID = 'chart-data';

// Runs in the browser: charts become live when they come near the view, drawn as SVG in the page's
// own colours. The drawing stays for paper and screen readers. Texts only ever become text nodes.
const LIVE = `
(() => {
  const charts = JSON.parse(document.getElementById('${CHART_DATA_ID}').textContent);
  const nothing = () => Promise.reject(new Error('a chart loads nothing'));
  const make = (name, className, text) => {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const tip = make('div', 'tip');
  tip.hidden = true;
  tip.setAttribute('aria-hidden', 'true');
  document.body.append(tip);
  const told = (value, percent) => {
    if (typeof value !== 'number') return value === null || value === undefined ? '–' : String(value);
    const text = percent ? (100 * value).toFixed(1) : String(Number(value.toPrecision(4)));
    return text.replace('-', '−');
  };
  const hover = (fields) => (_handler, event, _item, datum) => {
    tip.hidden = datum === null || typeof datum !== 'object';
    if (tip.hidden) return;
    const rows = fields.filter(({ name }) => datum[name] !== undefined);
    tip.replaceChildren(...rows.map(({ name, title, percent }) => {
      const row = make('div');
      row.append(make('span', '', title), make('span', '', told(datum[name], percent)));
      return row;
    }));
    const { width, height } = tip.getBoundingClientRect();
    const [x, y] = [event.clientX + 14, event.clientY + 16];
    tip.style.left = Math.max(4, x + width > innerWidth ? x - width - 28 : x) + 'px';
    tip.style.top = Math.max(4, y + height > innerHeight ? y - height - 32 : y) + 'px';
  };
  addEventListener('keydown', (event) => { if (event.key === 'Escape') tip.hidden = true; });
  addEventListener('scroll', () => { tip.hidden = true; }, { passive: true });

  const addSwitches = (legend, view, { signal, values }) => {
    const hidden = new Set();
    [...legend.children].forEach((item, i) => {
      const button = make('button');
      button.type = 'button';
      button.setAttribute('aria-pressed', 'true');
      button.append(...item.childNodes);
      item.append(button);
      button.addEventListener('click', () => {
        const value = values[i];
        if (!hidden.delete(value)) hidden.add(value);
        button.setAttribute('aria-pressed', String(!hidden.has(value)));
        view.signal(signal, [...hidden]).runAsync();
      });
    });
  };
  const start = async (box) => {
    const id = box.dataset.chart;
    const { spec, fields, fitsWidth, series } = charts[id];
    const live = make('div', 'live');
    live.setAttribute('aria-hidden', 'true');
    const widest = spec.width;
    const room = () => Math.max(200, Math.min(widest, box.clientWidth));
    if (fitsWidth) spec.width = room();
    const view = new vega.View(vega.parse(spec, undefined, { ast: true }), {
      expr: expressionInterpreter, renderer: 'svg', container: live, logLevel: vega.Error,
      tooltip: hover(fields), loader: { load: nothing, sanitize: nothing },
    });
    await view.runAsync();
    box.append(live);
    box.classList.add('is-live');
    const legend = document.querySelector('[data-legend="' + id + '"]');
    if (legend && series) addSwitches(legend, view, series);
    if (fitsWidth) new ResizeObserver(() => view.width(room()).runAsync()).observe(box);
  };
  const observer = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      observer.unobserve(target);
      start(target);
    }
  }, { rootMargin: '600px' });
  document.querySelectorAll('[data-chart]').forEach((box) => observer.observe(box));
})();`;

function unexpected(name: string): RuntimeError {
  return new RuntimeError({
    what: `the installed package ${name} cannot be put into a page`,
    expected: 'the files it is published with',
    fix: 'run `npm install` again; a newer version may have another layout',
  });
}

/** The interpreter of expressions as a plain script: its one import is part of Vega's own file. */
function asScript(module: string): string {
  const imported = /^import (\{[^}]+\}) from 'vega-util';$/m.exec(module);
  const exported = /^export \{ (\w+) as expressionInterpreter \};$/m.exec(module);
  if (!imported?.[1] || !exported?.[1]) throw unexpected('vega-interpreter');
  const body = module
    .replace(imported[0], '')
    .replace(exported[0], '')
    .replace(/^\/\/# sourceMappingURL.*$/m, '');
  return `const expressionInterpreter = (() => {\nconst ${imported[1]} = vega;\n${body}\nreturn ${exported[1]};\n})();`;
}

/**
 * The one script of the page. It runs under a policy without `unsafe-eval`, because Vega's
 * expressions are interpreted, not compiled.
 *
 * @throws RuntimeError when the installed packages are not as they were published.
 */
export async function liveScript(): Promise<string> {
  const vegaFolder = dirname(require.resolve('vega'));
  const interpreterFile = require.resolve('vega-interpreter');
  const [vega, licence, interpreter] = await Promise.all([
    readFile(join(vegaFolder, 'vega.min.js'), 'utf8'),
    readFile(join(vegaFolder, '..', 'LICENSE'), 'utf8'),
    readFile(interpreterFile, 'utf8'),
  ]);
  const notice = `/*! Vega and vega-interpreter, with parts of d3 and topojson (ISC, Mike Bostock).\n${licence.trim()}\n*/`;
  const script = [notice, vega.trim(), asScript(interpreter), LIVE].join('\n');
  if (/<\/script|<!--/i.test(script)) throw unexpected('vega');
  return script;
}

/** A value as JSON that no text of it can leave: nothing of HTML or of line breaks is in it. */
export function embeddedJson(value: unknown): Html {
  const escaped = JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return trustedHtml(escaped);
}
