// Owns the part on decodability against use made of journals alone: which of the four cells a model is in; probe.ts
// calls it.
import { minimumDetectable } from '../../evaluate/effects.ts';
import type { PairedEffect } from '../../evaluate/effects.ts';
import { Rng } from '../../rng.ts';
import { toldPercent, toldPoints } from '../measured.ts';
import type { AuditFacts, Journals } from '../part.ts';
import type { ProbeResult } from '../probe.ts';
import { PROBE_SITES } from '../probe-states.ts';
import type { ProbeSite, ProbeStateRecord } from '../probe-states.ts';
import type { AuditPart } from '../types.ts';
import { gapTable, probeSites, siteFigure, siteGaps, siteTable } from './probe-sites.ts';
import type { SiteGap, SiteProbe } from './probe-sites.ts';
import { SWAP_ARM, corruptedName, costs, latentUses, useFigure, useTable } from './probe-use.ts';
import type { LatentUse } from './probe-use.ts';

/** A `no` rules out differences of this size. ours: one answer in ten. */
const RELEVANT = 0.1;
/** Dropped labels named one by one at most; ours. */
const MAX_NAMED = 8;

/** An answer that may have to wait for more items. */
export type Finding = 'yes' | 'no' | 'open';

/**
 * Whether latents give the right answer away: more than the question's words do (interval and
 * corrected p), than shuffled labels and than the most frequent answer.
 */
export function isDecodable(sites: readonly SiteProbe[], gaps: readonly SiteGap[]): Finding {
  const result = resultOf(sites, 'latent');
  const gap = gapOf(gaps, 'latent', 'question');
  if (!result || !gap) return 'open';
  const { accuracy, majority, shuffled } = result;
  const isBeyondQuestion = gap.p < 0.05 && gap.effect.difference.low > 0;
  const isBeyondChance = accuracy.low > Math.max(majority, shuffled.high);
  if (isBeyondQuestion && isBeyondChance) return 'yes';
  return rulesOut(gap.effect) ? 'no' : 'open';
}

/**
 * Whether answers depend on the content of latents: another example's cost accuracy (where that
 * arm was not run: noise as large as the latents). Noise that costs where the swap does not shows
 * that the model reacts to vectors it does not know, not that it reads them.
 */
export function isUsed(uses: readonly LatentUse[]): Finding {
  const judge = judgeOf(uses);
  if (!judge) return 'open';
  if (costs(judge)) return 'yes';
  return rulesOut(judge.effect) ? 'no' : 'open';
}

/** A relevant difference lies outside of the interval, which says nothing where few items all agree. */
function rulesOut({ difference, n }: PairedEffect): boolean {
  return difference.high < RELEVANT && minimumDetectable(n, 0) < RELEVANT;
}

function judgeOf(uses: readonly LatentUse[]): LatentUse | undefined {
  const named = (name: string): LatentUse | undefined => uses.find((use) => use.name === name);
  return named(SWAP_ARM) ?? named(corruptedName(1));
}

function resultOf(sites: readonly SiteProbe[], site: ProbeSite): ProbeResult | undefined {
  return sites.find((one) => one.site === site)?.result;
}

function gapOf(gaps: readonly SiteGap[], first: ProbeSite, second: ProbeSite): SiteGap | undefined {
  return gaps.find((gap) => gap.first === first && gap.second === second);
}

const CELLS: Readonly<Record<string, string>> = {
  'yes yes': 'decodable and used: the latents give the answer away, and the model reads them',
  'yes no':
    'decodable but not used: the latents give the answer away, and the model answers without them',
  'no yes':
    'used but not decodable: answers depend on the latents, though a linear probe reads no more ' +
    'from them than from the question',
  'no no':
    'neither decodable nor used: a linear probe reads no more from the latents than from the ' +
    'question, and the model answers without them',
};

function cellSentence(decodable: Finding, used: Finding): string {
  const cell = CELLS[`${decodable} ${used}`];
  if (cell !== undefined) return `The model is in the cell ${cell}.`;
  const told = { yes: 'yes', no: 'no', open: 'too few items to tell' };
  return `The cell stays open: decodable, ${told[decodable]}; used, ${told[used]}.`;
}

function decodableSentences(sites: readonly SiteProbe[], gaps: readonly SiteGap[]): string[] {
  const [latent, question] = [resultOf(sites, 'latent'), resultOf(sites, 'question')];
  const beyond = gapOf(gaps, 'latent', 'question');
  if (!latent || !question || !beyond) return [];
  const sentences = [
    `A linear probe reads the right answer from the latents in ${toldPercent(latent.accuracy.mean)} ` +
      `of ${latent.n} items (question's words only ${toldPercent(question.accuracy.mean)}, labels ` +
      `shuffled ${toldPercent(latent.shuffled.mean)}, most frequent answer ` +
      `${toldPercent(latent.majority)}); beyond the question ${toldPoints(beyond.effect.difference)}.`,
  ];
  const gap = gapOf(gaps, 'pre-answer', 'latent');
  const added = gapOf(gaps, 'latent', 'pre-latent');
  if (gap) {
    sentences.push(
      `Gap G, before the answer minus latents: ${toldPoints(gap.effect.difference)}` +
        (added ? `; latents minus before the span: ${toldPoints(added.effect.difference)}.` : '.'),
    );
  }
  return sentences;
}

function useSentences(uses: readonly LatentUse[]): string[] {
  const judge = judgeOf(uses);
  if (!judge) return [];
  const { effect, title, changed, p } = judge;
  const sentences = [
    `Giving the model ${title} costs ${toldPoints(effect.difference)} over ${effect.n} items, ` +
      `p = ${p.toPrecision(2)} (Holm), and changes ${toldPercent(changed.value)} of the answers; ` +
      `${toldPercent(effect.minimumDetectable)} would be seen with power 0.8.`,
  ];
  const noisy = uses.filter((use) => use.name.startsWith('corrupted-') && costs(use));
  if (judge.name === SWAP_ARM && !costs(judge) && noisy.length > 0) {
    sentences.push(
      `Only ${noisy.map((use) => use.title).join(' and ')} costs accuracy: the model minds vectors ` +
        'it does not know, not whose they are.',
    );
  }
  return sentences;
}

function droppedNote(result: ProbeResult): string[] {
  const { dropped } = result;
  if (dropped.length === 0) return [];
  const total = dropped.reduce((sum, { count }) => sum + count, 0);
  const named = dropped
    .slice(0, MAX_NAMED)
    .map(({ group, label, count }) => `${group} ${label} (${count})`)
    .join(', ');
  const rest = dropped.length > MAX_NAMED ? ` and ${dropped.length - MAX_NAMED} more` : '';
  return [
    `Left out of the probes: ${total} items whose answer is rarer than there are folds, ` +
      `or the only one of its task: ${named}${rest}.`,
  ];
}

function notesOf(
  records: readonly ProbeStateRecord[],
  sites: readonly SiteProbe[],
  uses: readonly LatentUse[],
): string[] {
  const spans = records.filter(({ triggered }) => triggered);
  const whole = spans.filter((record) => PROBE_SITES.every((site) => record.sites[site]));
  const latent = resultOf(sites, 'latent');
  return [
    `${records.length - spans.length} rows without a span and ${spans.length - whole.length} ` +
      'without an answer are not probed.',
    ...(latent
      ? droppedNote(latent)
      : [
          'No probe could be fitted: it needs a task with two answers that five rows with a span ' +
            `share each; there are ${whole.length} rows.`,
        ]),
    ...(uses.some(({ name }) => name === SWAP_ARM)
      ? []
      : ["The swap with another example's latents was not run; noise stands in for it."]),
    'The probe reads what is there for a linear reader; what only a deeper reader finds, it misses.',
  ];
}

/** The part from its journals. */
export async function summariseProbe(journals: Journals, facts: AuditFacts): Promise<AuditPart> {
  const records = journals.part('probe') as readonly ProbeStateRecord[];
  const rng = new Rng(facts.seed).fork('probe');
  const spans = records.filter(({ triggered }) => triggered);
  const sites = await probeSites(spans, rng.fork('sites'));
  const gaps = siteGaps(sites, rng.fork('gaps'));
  const uses = latentUses(journals, rng.fork('use'));
  const [hasSites, hasUses] = [sites.length > 0, uses.length > 0];
  return {
    name: 'probe',
    title: 'Decodability against use',
    definition:
      'Decodability: cross-validated accuracy of a multinomial logistic probe of the right answer, ' +
      'fitted within a task, on the mean state over the latents, the state that predicts the first ' +
      "token of the answer, the state before the span, and the mean embedding of the question's " +
      'words (control); controls with shuffled labels and the most frequent answer. Gap G: ' +
      'difference of two sites, item by item. Use: accuracy lost when the latents are given noise ' +
      'of 0.1, 0.3 and 1.0 of their RMS, end after a quarter or half of the span, or are another ' +
      "example's of the same task. Decodable: latents beat question, shuffled labels and the most " +
      'frequent answer. Used: the swap costs accuracy (p corrected, interval above 0). A `no` is ' +
      'given where the interval rules out 10 points.',
    source:
      'Probes: Alain and Bengio 2017; control labels: Hewitt and Liang 2019; that what is decodable ' +
      'need not be used: Ravichander, Belinkov and Hovy 2021. The four cells are ours.',
    findings: [
      cellSentence(isDecodable(sites, gaps), isUsed(uses)),
      ...decodableSentences(sites, gaps),
      ...useSentences(uses),
    ],
    tables: [
      ...(hasSites ? [siteTable(sites), gapTable(gaps)] : []),
      ...(hasUses ? [useTable(uses)] : []),
    ],
    figures: [...(hasSites ? [siteFigure(sites)] : []), ...(hasUses ? [useFigure(uses)] : [])],
    notes: notesOf(records, sites, uses),
  };
}
