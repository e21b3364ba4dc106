// Owns the sections of an audit's page around its parts: verdict, figures, canaries, time, provenance.
import type { Audit, Canary, CardFigure } from '../audit/types.ts';
import { cellTexts, NOTHING, totalSeconds, unitOf, VERDICT_TITLES } from './audit-format.ts';
import { markup } from './html.ts';
import type { Html } from './html.ts';
import { duration, unbroken } from './text-table.ts';

/** Drawn beside the verdict; each has a shape of its own. */
const VERDICT_SIGNS: Readonly<Record<Audit['verdict']['kind'], string>> = {
  used: 'M3 8.5L6.5 12L13 4.5',
  harmful: 'M4 4L12 12M12 4L4 12',
  refused: 'M8 2.5V9.5M8 12.5V13.5',
  'not-used': 'M3 8H13',
  open: 'M3.5 8h.01M8 8h.01M12.5 8h.01',
};

/** The answer, what it rests on, and what would change it. */
export function verdictBlock({ verdict }: Audit): Html {
  const { kind, sentence, because, wouldChange } = verdict;
  const list = because.map((reason) => markup`<li>${unbroken(reason)}</li>`);
  const reasons = list.length > 0 ? markup`<ul class="verdict-more">${list}</ul>` : undefined;
  const sign = markup`<svg aria-hidden="true" width="16" height="16" viewBox="0 0 16 16"><path d="${VERDICT_SIGNS[kind]}" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
  return markup`<p class="verdict-kind kind-${kind}">${sign}${VERDICT_TITLES[kind]}</p><p class="verdict-lead">${unbroken(sentence)}</p>${reasons}<p class="change"><strong>What would change it.</strong> ${unbroken(wouldChange)}</p>`;
}

function tile({ label, value: cell, format }: CardFigure): Html {
  const { value, interval } = cellTexts(cell, format);
  const isWords = typeof cell === 'string';
  const unit = isWords || value === NOTHING ? '' : unitOf(format);
  const shown = value === NOTHING ? 'not measured' : value;
  const kind = isWords || value === NOTHING ? 'words' : 'number';
  const ends =
    interval === undefined ? undefined : markup` <span class="interval">${interval}</span>`;
  return markup`<div><dt>${label}</dt><dd class="${kind}">${shown}<span class="unit">${unit}</span>${ends}</dd></div>`;
}

/** The figures of the card in a row. */
export function tiles({ card }: Audit): Html | undefined {
  if (card.length === 0) return undefined;
  return markup`<h2 class="unseen">Figures</h2><dl class="tiles">${card.map(tile)}</dl>`;
}

function canary({ name, passed, seen, expected }: Canary): Html {
  return markup`<li class="${passed ? 'passed' : 'failed'}"><h3>${name} <span class="outcome">${passed ? 'passed' : 'failed'}</span></h3><p>${unbroken(seen)}</p><p class="expected">Had to be seen: ${unbroken(expected)}</p></li>`;
}

/** The checks that come before any verdict. */
export function canaries(audit: Audit): Html {
  const list =
    audit.canaries.length > 0
      ? markup`<ul class="canaries">${audit.canaries.map(canary)}</ul>`
      : markup`<p class="note">None could be run.</p>`;
  return markup`<section><h2>Canaries</h2><p>Checks on the audit itself. When one fails, there is no verdict.</p>${list}</section>`;
}

/** Parts that could not be measured here. */
export function skippedSection({ skipped }: Audit): Html | undefined {
  if (skipped.length === 0) return undefined;
  const items = skipped.map(({ name, reason }) => markup`<dt>${name}</dt><dd>${reason}</dd>`);
  return markup`<section class="part" id="skipped"><h2>Not measured</h2><dl>${items}</dl></section>`;
}

/** Seconds by arm and part, and all of them. */
export function timingSection(audit: Audit): Html | undefined {
  if (audit.timings.length === 0) return undefined;
  const items = audit.timings.map(
    ({ what, seconds }) => markup`<div><dt>${what}</dt><dd>${duration(seconds)}</dd></div>`,
  );
  return markup`<section class="part"><h2>Time by arm</h2><dl class="times">${items}<div class="all"><dt>all</dt><dd>${duration(totalSeconds(audit))}</dd></div></dl></section>`;
}

/** What was audited, by what. */
export function provenanceSection({ model, data, seed, versions, format }: Audit): Html {
  const software = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return markup`<section class="part"><h2>Where this comes from</h2><dl><dt>model</dt><dd>${model.folder}</dd><dt>variant</dt><dd>${model.variant}, ${model.numLatents === 0 ? 'writes no latents' : `K = ${model.numLatents}`}</dd><dt>hash of the model</dt><dd><code>${model.hash}</code></dd><dt>data</dt><dd>${data.folder}, ${data.split} split, ${data.n} questions</dd><dt>hash of the data</dt><dd><code>${data.hash}</code></dd><dt>seed</dt><dd>${seed}</dd><dt>versions</dt><dd>${software.join(' · ')}</dd><dt>format</dt><dd>${format}</dd></dl><p class="sources">The same as data: <a href="audit.json">audit.json</a>, <a href="card.txt">card.txt</a></p></section>`;
}
