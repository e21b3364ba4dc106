// Owns what can be read from states at each site, and the gaps between sites, from the part's journal; probe-summary.ts
// calls it.
import { holm, pairedEffect } from '../../evaluate/effects.ts';
import type { PairedEffect } from '../../evaluate/effects.ts';
import type { Rng } from '../../rng.ts';
import { partFile } from '../journals.ts';
import { measured } from '../measured.ts';
import { probe } from '../probe.ts';
import type { ProbeResult } from '../probe.ts';
import { PROBE_SITES } from '../probe-states.ts';
import type { ProbeSite, ProbeStateRecord } from '../probe-states.ts';
import type { AuditFigure, AuditTable } from '../types.ts';

/** Sites in words. */
export const SITE_TITLES: Readonly<Record<ProbeSite, string>> = {
  latent: 'latents (mean)',
  'pre-answer': 'before the answer',
  'pre-latent': 'before the span',
  question: "question's words only",
};

/** Gaps that are tested: the first site minus the second. */
const GAPS: readonly (readonly [ProbeSite, ProbeSite])[] = [
  ['pre-answer', 'latent'],
  ['latent', 'pre-latent'],
  ['latent', 'question'],
  ['pre-answer', 'question'],
];

/** Probe of one site. */
export interface SiteProbe {
  readonly site: ProbeSite;
  readonly result: ProbeResult;
}

/** Difference between what two sites give away, item by item. */
export interface SiteGap {
  readonly first: ProbeSite;
  readonly second: ProbeSite;
  readonly effect: PairedEffect;
  /** McNemar's p, corrected for the number of gaps. */
  readonly p: number;
}

/** Probes of all sites over the rows that have every site, with the same folds. */
export async function probeSites(
  records: readonly ProbeStateRecord[],
  rng: Rng,
): Promise<SiteProbe[]> {
  const whole = records.filter(({ sites }) => PROBE_SITES.every((site) => sites[site]));
  const width = whole[0]?.sites.question?.length ?? 0;
  const found: SiteProbe[] = [];
  for (const site of whole.length === 0 ? [] : PROBE_SITES) {
    const features_NF = Float32Array.from(whole.flatMap(({ sites }) => sites[site] ?? []));
    const labels = whole.map(({ expected }) => expected);
    const groups = whole.map(({ task }) => task);
    const result = await probe({ features_NF, width, labels, groups }, { rng });
    if (result) found.push({ site, result });
  }
  return found;
}

/** Gaps between sites that were probed. */
export function siteGaps(sites: readonly SiteProbe[], rng: Rng): SiteGap[] {
  const scores = (site: ProbeSite): readonly number[] | undefined =>
    sites.find((one) => one.site === site)?.result.items.map(({ correct }) => correct);
  const gaps = GAPS.flatMap(([first, second]) => {
    const [a, b] = [scores(first), scores(second)];
    if (!a || !b) return [];
    const effect = pairedEffect({ first: a, second: b, rng: rng.fork(`${first} ${second}`) });
    return [{ first, second, effect }];
  });
  const ps = holm(gaps.map(({ effect }) => effect.mcNemar?.p ?? 1));
  return gaps.map((gap, i) => ({ ...gap, p: ps[i] ?? 1 }));
}

/** Median and range of the strengths that were chosen. */
function strengthsTold(strengths: readonly number[]): string {
  const [low, middle, high] = [0, strengths.length >> 1, strengths.length - 1].map((i) =>
    String(strengths[i] ?? NaN),
  );
  return low === high ? `${middle}` : `${middle} (${low} to ${high})`;
}

/** Accuracies of the probes as a table. */
export function siteTable(sites: readonly SiteProbe[]): AuditTable {
  return {
    id: 'probe-sites',
    title: 'Decodability: accuracy of a linear probe of the right answer',
    columns: [
      { key: 'site', title: 'state', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'classes', title: 'answers', format: 'count' },
      { key: 'accuracy', title: 'accuracy', format: 'percent' },
      { key: 'shuffled', title: 'labels shuffled', format: 'percent' },
      { key: 'majority', title: 'most frequent answer', format: 'percent' },
      { key: 'strength', title: 'penalty s, median and range', format: 'text' },
    ],
    rows: sites.map(({ site, result }) => ({
      ...{ site: SITE_TITLES[site], n: result.n, classes: result.numClasses },
      accuracy: measured(result.accuracy),
      shuffled: measured(result.shuffled),
      ...{ majority: result.majority, strength: strengthsTold(result.strengths) },
    })),
    note:
      'Cross-validated in five folds, a probe for each task. Labels shuffled: mean and 95 % band ' +
      'of five shuffles. Penalty: mean cross entropy + s / 2 |W|^2 on standardised features over ' +
      'sqrt(D), chosen by inner folds in each training part.',
    items: [partFile('probe')],
  };
}

/** Gaps as a table. */
export function gapTable(gaps: readonly SiteGap[]): AuditTable {
  return {
    id: 'probe-gaps',
    title: 'Gap G between states',
    columns: [
      { key: 'gap', title: 'gap', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'difference', title: 'G', format: 'points' },
      { key: 'p', title: 'p (Holm)', format: 'p' },
      { key: 'detectable', title: 'detectable', format: 'points' },
    ],
    rows: gaps.map(({ first, second, effect, p }) => ({
      gap: `${SITE_TITLES[first]} - ${SITE_TITLES[second]}`,
      ...{ n: effect.n, difference: measured(effect.difference), p },
      detectable: effect.minimumDetectable,
    })),
    note: 'Paired by item. p: exact McNemar test.',
    items: [partFile('probe')],
  };
}

/** Accuracies with their controls as a chart. */
export function siteFigure(sites: readonly SiteProbe[]): AuditFigure {
  const values = sites.flatMap(({ site, result: { accuracy, shuffled } }) =>
    [
      { what: 'probe', ...accuracy },
      { what: 'labels shuffled', ...shuffled },
    ].map(({ what, mean, low, high }) => ({
      ...{ state: SITE_TITLES[site], what },
      ...{ accuracy: 100 * mean, low: 100 * low, high: 100 * high },
    })),
  );
  const majority = 100 * (sites[0]?.result.majority ?? 0);
  const y = { field: 'state', type: 'nominal', title: null, sort: null } as const;
  const yOffset = { field: 'what', type: 'nominal', sort: null } as const;
  const color = { field: 'what', type: 'nominal', title: null, sort: null } as const;
  return {
    id: 'probe-sites',
    title: 'What a linear probe reads from each state',
    alt:
      values.map((v) => `${v.state}, ${v.what}: ${v.accuracy.toFixed(1)} %`).join('; ') +
      `; most frequent answer: ${majority.toFixed(1)} % (dashed line)`,
    spec: {
      width: 420,
      height: { step: 14 },
      data: { values },
      layer: [
        {
          data: { values: [{ majority }] },
          mark: { type: 'rule', strokeDash: [2, 2] },
          encoding: { x: { field: 'majority', type: 'quantitative' } },
        },
        {
          mark: { type: 'rule' },
          encoding: {
            x: { field: 'low', type: 'quantitative', title: 'accuracy, %' },
            x2: { field: 'high' },
            ...{ y, yOffset, color },
          },
        },
        {
          mark: { type: 'point', filled: true, tooltip: true },
          encoding: {
            x: { field: 'accuracy', type: 'quantitative' },
            ...{ y, yOffset, color },
            shape: color,
          },
        },
      ],
    },
    items: [partFile('probe')],
  };
}
