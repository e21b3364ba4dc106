// Owns the report as one self-contained HTML page; `gapvl demo` and `gapvl report` write it.
import { createHash } from 'node:crypto';
import { lossChart, normChart, seriesStyle, spectrumChart } from './charts.ts';
import { exampleCard } from './examples.ts';
import { markup, trustedHtml } from './html.ts';
import type { Html } from './html.ts';
import { STYLE } from './style.ts';
import { accuracyTable, interventionTable, storedNote, taskTable } from './tables.ts';
import { duration, unbroken } from './text-table.ts';
import type { LossName, PcaSpectrum, ReportData, StageTiming, TrainingCurve } from './types.ts';

// ours: more cards than this are not read; the rest are in the prediction files.
const MAX_EXAMPLES = 24;
const LOSSES: readonly { readonly name: LossName; readonly caption: string }[] = [
  { name: 'total', caption: 'Total loss' },
  { name: 'lm loss', caption: 'Language-model loss' },
  { name: 'latent loss', caption: 'Latent loss' },
];

interface Section {
  readonly heading: string;
  /** The part of the data this section needs, as its note names it. */
  readonly part: string;
  /** Absent when the data has nothing for this section. */
  readonly body: Html | undefined;
}

function has<T>(list: readonly T[] | undefined): list is readonly [T, ...T[]] {
  return list !== undefined && list.length > 0;
}

function accuracySection({ accuracyTable: rows }: ReportData): Section {
  const heading = 'How often each variant is right';
  const part = 'accuracy by variant';
  if (!has(rows)) return { heading, part, body: undefined };
  const tasks = rows.some(({ byTask }) => Object.keys(byTask).length > 0);
  const byTask = tasks ? markup`<h3>By task and difficulty</h3>${taskTable(rows)}` : undefined;
  return { heading, part, body: markup`${accuracyTable(rows)}${storedNote(rows)}${byTask}` };
}

function interventionSection({ interventionTable: rows }: ReportData): Section {
  const heading = 'What the latents are worth';
  const part = 'interventions on the latents';
  if (!has(rows)) return { heading, part, body: undefined };
  const body = markup`<p>The same checkpoint answers the same questions while its latents are left alone, removed or replaced. If they carry something of the picture, accuracy falls where they are not its own.</p>${interventionTable(rows)}${storedNote(rows)}`;
  return { heading, part, body };
}

function exampleSection({ examples }: ReportData): Section {
  const heading = 'Examples';
  const part = 'examples';
  if (!has(examples)) return { heading, part, body: undefined };
  const shown = examples.slice(0, MAX_EXAMPLES);
  const more =
    examples.length > shown.length
      ? markup`<p class="note">${shown.length} of ${examples.length} examples are shown.</p>`
      : undefined;
  const lead = markup`<p>The model sees the query picture and the question. It writes its latents between two stretches of text; the auxiliary picture is what they were trained towards and is never shown to it. Each latent is drawn as the picture patch whose embedding is nearest to it.</p>`;
  return { heading, part, body: markup`${lead}${shown.map(exampleCard)}${more}` };
}

function legend(runs: readonly string[]): Html {
  const items = runs.map((run, i) => {
    const { colour, dash } = seriesStyle(i);
    return markup`<li><svg aria-hidden="true" width="26" height="8" viewBox="0 0 26 8"><line x1="0" x2="26" y1="4" y2="4" stroke="${colour}" stroke-width="2" stroke-dasharray="${dash.join(' ')}"/></svg>${run}</li>`;
  });
  return markup`<ul class="legend">${items}</ul>`;
}

async function curveSection({ trainingCurves }: ReportData): Promise<Section> {
  const heading = 'Training';
  const part = 'training curves';
  const curves = (trainingCurves ?? []).filter((curve) =>
    curve.points.some(([, value]) => Number.isFinite(value)),
  );
  if (!has(curves)) return { heading, part, body: undefined };
  const runs = [...new Set(curves.map(({ run }) => run))];
  const figures = await Promise.all(
    LOSSES.flatMap(({ name, caption }) => {
      const chosen: TrainingCurve[] = curves.filter((curve) => curve.name === name);
      return chosen.length > 0 ? [figure(caption, lossChart(chosen, runs))] : [];
    }),
  );
  return { heading, part, body: markup`${legend(runs)}<div class="charts">${figures}</div>` };
}

async function figure(caption: string, chart: Promise<Html>): Promise<Html> {
  return markup`<figure><figcaption>${caption}</figcaption>${await chart}</figure>`;
}

async function normSection({ normBars }: ReportData): Promise<Section> {
  const heading = 'Norms: does a latent look like an input?';
  const part = 'norms';
  if (!has(normBars)) return { heading, part, body: undefined };
  const lead = markup`<p>A decoder reads inputs of a certain size. Its own final state is usually larger, so feeding that state back puts it where training never was; a reconstructed latent should stand beside the query picture. Bars are means of the L2 norm, rules one standard deviation, and the factor in brackets is against the query picture.</p>`;
  return {
    heading,
    part,
    body: markup`${lead}<div class="chart">${await normChart(normBars)}</div>`,
  };
}

function spectrumText({ k, target, relMse }: PcaSpectrum): string {
  const kept = (100 * target).toFixed(0);
  return `${k} components are the fewest that explain ${kept}\u00a0% of the variance of the auxiliary embeddings; what they leave out, as a fraction of the whole, is ${relMse.toFixed(4)} (RelMSE).`;
}

async function spectrumSection({ pcaSpectrum }: ReportData): Promise<Section> {
  const heading = 'The basis latents are written in';
  const part = 'the PCA spectrum';
  if (!pcaSpectrum || pcaSpectrum.cumulativeExplained.length === 0) {
    return { heading, part, body: undefined };
  }
  const chart = await spectrumChart(pcaSpectrum);
  const body = markup`<p>${spectrumText(pcaSpectrum)}</p><div class="chart">${chart}</div>`;
  return { heading, part, body };
}

function timingList(timings: readonly StageTiming[]): Html {
  const total = timings.reduce((sum, t) => sum + (t.isBeside === true ? 0 : t.seconds), 0);
  const rows: readonly StageTiming[] = [...timings, { stage: 'all stages', seconds: total }];
  const items = rows.map(
    ({ stage, seconds, isBeside }) =>
      markup`<dt>${stage}</dt><dd>${duration(seconds)}${isBeside === true ? ', beside the others' : ''}</dd>`,
  );
  return markup`<h3>Time by stage</h3><dl>${items}</dl>`;
}

function provenanceBody({ provenance, timings }: ReportData): Html {
  const { recipe, seed, date, versions, hashes, command } = provenance;
  const again =
    command === undefined ? undefined : markup`<dt>command</dt><dd><code>${command}</code></dd>`;
  const software = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const artefacts = Object.entries(hashes).map(
    ([name, hash]) => markup`<dt>${name}</dt><dd><code>${hash}</code></dd>`,
  );
  const files = artefacts.length > 0 ? markup`<h3>Hashes</h3><dl>${artefacts}</dl>` : undefined;
  return markup`<dl>${again}<dt>recipe</dt><dd>${recipe}</dd><dt>seed</dt><dd>${seed}</dd><dt>date</dt><dd>${date}</dd><dt>versions</dt><dd>${software.join(' · ')}</dd></dl>${has(timings) ? timingList(timings) : undefined}${files}`;
}

function verdict(sentences: readonly string[]): Html | undefined {
  const [lead, ...more] = sentences.map(unbroken);
  if (lead === undefined) return undefined;
  const list = more.map((sentence) => markup`<li>${sentence}</li>`);
  const rest = list.length > 0 ? markup`<ul class="verdict-more">${list}</ul>` : undefined;
  return markup`<p class="verdict-lead">${lead}</p>${rest}`;
}

function renderSection({ heading, body }: Section): Html | undefined {
  return body && markup`<section><h2>${heading}</h2>${body}</section>`;
}

/**
 * Renders a report as one HTML page that loads nothing: no script, no font, no network. Every text
 * of the data is escaped. Parts the data lacks are named in a note instead.
 *
 * @throws DataError when a picture is not a PNG file.
 */
export async function renderReport(data: ReportData): Promise<string> {
  const sections = [
    accuracySection(data),
    interventionSection(data),
    exampleSection(data),
    await curveSection(data),
    await normSection(data),
    await spectrumSection(data),
  ];
  const absent = sections.filter(({ body }) => body === undefined).map(({ part }) => part);
  const note =
    absent.length > 0
      ? markup`<p class="note">Not part of this run: ${absent.join(', ')}.</p>`
      : undefined;
  const { title, provenance } = data;
  const styleHash = createHash('sha256').update(STYLE).digest('base64');
  const policy = `default-src 'none'; img-src data:; style-src 'sha256-${styleHash}'; base-uri 'none'; form-action 'none'`;
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${trustedHtml(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title}</title>
<style>${trustedHtml(STYLE)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p class="byline">${provenance.recipe}, seed ${provenance.seed}, ${provenance.date}</p>
${verdict(data.verdict)}
</header>
<main>
${sections.map(renderSection)}
<section><h2>Where this comes from</h2>${provenanceBody(data)}${note}</section>
</main>
</body>
</html>
`;
  return page.source;
}
