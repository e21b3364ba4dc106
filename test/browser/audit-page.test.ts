// Owns the tests of an audit's page in a real browser: axe, both schemes, paper, hover, switches, silence.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AxeResults } from 'axe-core';
import type { Browser, Page } from 'puppeteer-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Audit } from '../../src/audit/types.ts';
import { renderAudit } from '../../src/report/audit-page.ts';
import { emptyAudit, fullAudit, partialAudit, refusedAudit } from '../helpers/audit-data.ts';
import { chromiumPath, startChromium } from '../helpers/chromium.ts';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const NUM_CHARTS = 7;

interface Opened {
  readonly page: Page;
  /** What the page asked for besides itself. */
  readonly requests: string[];
  /** What it said or threw. */
  readonly said: string[];
}

interface View {
  readonly width?: number;
  readonly scheme?: 'light' | 'dark';
  readonly media?: 'screen' | 'print';
  readonly scripts?: boolean;
}

let browser: Browser;
let folder: string;
const addresses = new Map<string, string>();

async function keep(name: string, audit: Audit, scripts = true): Promise<void> {
  const path = join(folder, `${name}.html`);
  const page = await renderAudit(audit);
  await writeFile(path, scripts ? page : page.replace(/<script[\s\S]*<\/script>/, ''));
  addresses.set(name, pathToFileURL(path).href);
}

async function open(name: string, view: View = {}): Promise<Opened> {
  const { width = 1200, scheme = 'light', media = 'screen', scripts = true } = view;
  const address = addresses.get(name) ?? '';
  const page = await browser.newPage();
  const requests: string[] = [];
  const said: string[] = [];
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const own = request.url() === address || request.url().startsWith('data:');
    if (!own) requests.push(request.url());
    void (own ? request.continue() : request.abort());
  });
  page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => said.push(String(error)));
  await page.setJavaScriptEnabled(scripts);
  await page.setViewport({ width, height: 900 });
  // Each of the two calls forgets what the other one set, so both go out as one.
  const session = await page.createCDPSession();
  await session.send('Emulation.setEmulatedMedia', {
    media,
    features: [{ name: 'prefers-color-scheme', value: scheme }],
  });
  await page.goto(address);
  return { page, requests, said };
}

/** Waits until an expression of the page is true; the page's policy forbids the browser's own waiting. */
async function until(page: Page, expression: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if ((await page.evaluate(expression)) === true) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`the page never came to ${expression}`);
}

/**
 * Scrolls past everything, so that every chart comes near the view and becomes live. Observers report with a
 * frame, and a busy machine takes its time to draw one, so nothing is passed before it has noticed.
 */
async function wake(page: Page): Promise<void> {
  const numCharts = (await count(page, '[data-chart]')) as number;
  for (let i = 0; i < numCharts; i++) {
    await page.evaluate(`document.querySelectorAll('[data-chart]')[${i}].scrollIntoView()`);
    await until(
      page,
      `document.querySelectorAll('[data-chart]')[${i}].classList.contains('is-live')`,
    );
  }
  await page.evaluate('scrollTo(0, 0)');
}

/** What axe finds; the size of targets is nothing to paper. */
async function axe(page: Page, media: View['media'] = 'screen'): Promise<string[]> {
  const screen = media === 'screen' ? ['wcag22aa'] : [];
  const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice', ...screen];
  // The page's policy would refuse a script of ours; the protocol's own evaluation is not bound by it.
  await page.evaluate(await readFile(AXE, 'utf8'));
  const results = (await page.evaluate(
    `axe.run(document, { runOnly: ${JSON.stringify(tags)}, resultTypes: ['violations'] })`,
  )) as AxeResults;
  return results.violations.flatMap(({ id, nodes }) =>
    nodes.map(
      ({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary ?? ''}`,
    ),
  );
}

function count(page: Page, selector: string): Promise<unknown> {
  return page.evaluate(`document.querySelectorAll('${selector}').length`);
}

/** Moves the pointer over the i-th point of a live chart. */
async function hover(page: Page, figure: string, index: number): Promise<void> {
  const place = (await page.evaluate(`(() => {
    document.querySelector('#${figure}').scrollIntoView();
    const point = document.querySelectorAll('#${figure} .live .mark-symbol path')[${index}];
    const { x, y, width, height } = point.getBoundingClientRect();
    return [x + width / 2, y + height / 2];
  })()`)) as [number, number];
  // What scrolling sets off is over after two frames.
  await page.evaluate(
    'new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))',
  );
  await page.mouse.move(...place);
  await until(page, "!document.querySelector('.tip').hidden");
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-page-'));
  browser = await startChromium();
  await keep('full', fullAudit());
  await keep('plain', fullAudit(), false);
  await keep('partial', partialAudit());
  await keep('refused', refusedAudit());
  await keep('empty', emptyAudit());
});

afterAll(async () => {
  await browser.close();
  await rm(folder, { recursive: true, force: true });
});

describe('the page of an audit in a browser', () => {
  const views: readonly View[] = [
    { scheme: 'light' },
    { scheme: 'dark' },
    { scheme: 'light', width: 400 },
    { scheme: 'dark', width: 400 },
    { media: 'print' },
  ];
  for (const view of views) {
    it(`has no fault that axe finds: ${JSON.stringify(view)}`, async () => {
      const { page } = await open('full', view);
      await wake(page);
      await page.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))");
      expect(await axe(page, view.media)).toEqual([]);
      await page.close();
    });
  }

  it('has none either without its script, with parts skipped, without a verdict and without anything measured', async () => {
    for (const name of ['plain', 'partial', 'refused', 'empty']) {
      for (const scheme of ['light', 'dark'] as const) {
        const { page, said } = await open(name, { scheme });
        expect(await axe(page), name).toEqual([]);
        expect(said).toEqual([]);
        await page.close();
      }
    }
  });

  it('asks for nothing and says nothing, while every chart becomes live', async () => {
    const { page, requests, said } = await open('full');
    await wake(page);
    expect(await count(page, '.live svg')).toBe(NUM_CHARTS);
    expect(requests).toEqual([]);
    expect(said).toEqual([]);
    await page.close();
  });

  it('would be stopped by its own policy if it loaded or ran anything else', async () => {
    const { page, requests, said } = await open('full');
    const refused = await page.evaluate(`(async () => {
      const tried = [];
      await fetch('https://example.org/').catch(() => tried.push('fetch'));
      const picture = new Image();
      const failed = new Promise((done) => (picture.onerror = done));
      picture.src = 'https://example.org/x.png';
      await failed.then(() => tried.push('picture'));
      const script = document.createElement('script');
      script.textContent = 'window.ran = true';
      document.body.append(script);
      if (!('ran' in window)) tried.push('script');
      // From a task of the page's own: the protocol lets its own evaluation do what pages may not.
      await new Promise((done) => setTimeout(done));
      try {
        Function('1')();
      } catch {
        tried.push('eval');
      }
      return tried;
    })()`);
    expect(refused).toEqual(['fetch', 'picture', 'script', 'eval']);
    expect(requests).toEqual([]);
    expect(said.length).toBeGreaterThan(0);
    await page.close();
  });

  it('tells the exact values of the point under the pointer, and hides them by Escape', async () => {
    const { page } = await open('full');
    await wake(page);
    await hover(page, 'figure-norms-by-layer', 20);
    const told = await page.evaluate(
      "[...document.querySelectorAll('.tip div')].map((row) => [...row.children].map((cell) => cell.textContent).join('='))",
    );
    expect(told).toEqual(['what=text', 'layer=20', 'ln L2 norm=4.336', 'low=4.116', 'high=4.556']);
    await page.keyboard.press('Escape');
    expect(await page.evaluate("document.querySelector('.tip').hidden")).toBe(true);
    await page.close();
  });

  it('writes values as per cent where the axis does', async () => {
    const { page } = await open('full');
    await wake(page);
    await hover(page, 'figure-replacement-arms', 0);
    const told = await page.evaluate("document.querySelector('.tip').textContent");
    expect(told).toContain('accuracy, %85.3');
    await page.close();
  });

  it('switches series off and on by the legend, also by the keyboard', async () => {
    const { page } = await open('full');
    await wake(page);
    const points = (): Promise<unknown> =>
      count(page, '#figure-norms-by-layer .live .mark-symbol path');
    const [button] = await page.$$('#figure-norms-by-layer .legend button');
    const pressed = (): Promise<unknown> =>
      page.evaluate(
        "document.querySelector('#figure-norms-by-layer .legend button').getAttribute('aria-pressed')",
      );
    expect([await points(), await pressed()]).toEqual([87, 'true']);
    await button?.click();
    await until(
      page,
      "document.querySelectorAll('#figure-norms-by-layer .live .mark-symbol path').length === 58",
    );
    expect(await pressed()).toBe('false');
    await button?.focus();
    await page.keyboard.press('Space');
    await until(
      page,
      "document.querySelectorAll('#figure-norms-by-layer .live .mark-symbol path').length === 87",
    );
    expect(await pressed()).toBe('true');
    await page.close();
  });

  it('keeps the described drawing for paper, for screen readers and without scripts', async () => {
    const seen = (page: Page, selector: string): Promise<unknown> =>
      page.evaluate(
        `[...document.querySelectorAll('${selector}')].filter((element) => element.getBoundingClientRect().width > 100).length`,
      );
    const live = await open('full');
    await wake(live.page);
    expect(await count(live.page, 'svg[role="img"][aria-label]')).toBe(NUM_CHARTS);
    expect(await seen(live.page, '.live svg')).toBe(7);
    expect(await seen(live.page, '.chart > svg')).toBe(0);
    const session = await live.page.createCDPSession();
    await session.send('Emulation.setEmulatedMedia', { media: 'print' });
    expect(await seen(live.page, '.live svg')).toBe(0);
    expect(await seen(live.page, '.chart > svg')).toBe(7);
    await live.page.close();
    const plain = await open('full', { scripts: false });
    expect(await seen(plain.page, '.chart > svg')).toBe(7);
    await plain.page.close();
  });

  it('is never wider than the screen, and charts fit a narrow one', async () => {
    for (const width of [1200, 700, 400]) {
      const { page } = await open('full', { width });
      await wake(page);
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
      const chart = await page.evaluate(
        "document.querySelector('#figure-replacement-arms .live svg').getBoundingClientRect().width",
      );
      expect(chart).toBeLessThanOrEqual(Math.min(640, width - 40));
      await page.close();
    }
  });

  it('prints in light colours, whatever the screen has', async () => {
    const { page } = await open('full', { scheme: 'dark', media: 'print' });
    const paper = await page.evaluate('getComputedStyle(document.body).backgroundColor');
    expect(paper).toBe('rgb(255, 255, 255)');
    expect((await page.pdf({ format: 'A4' })).length).toBeGreaterThan(10_000);
    await page.close();
  });
});

describe('looking for Chromium', () => {
  it('says how to install it when there is none', () => {
    expect(() => chromiumPath(undefined, ['/nowhere/chromium'])).toThrow(
      'run `apt-get install chromium`, or set CHROMIUM_PATH',
    );
    expect(() => chromiumPath('/nowhere/else')).toThrow('CHROMIUM_PATH names /nowhere/else');
  });
});
