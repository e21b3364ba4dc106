// Owns what it costs to corrupt, cut or swap latents, from the journals of arms; probe-summary.ts calls it.
import { holm, pairedEffect } from '../../evaluate/effects.ts';
import type { PairedEffect } from '../../evaluate/effects.ts';
import { wilsonInterval } from '../../evaluate/statistics.ts';
import type { Rng } from '../../rng.ts';
import { armFile } from '../journals.ts';
import { measured } from '../measured.ts';
import type { ArmRecord, Journals } from '../part.ts';
import type { AuditFigure, AuditTable, Measured } from '../types.ts';

/** Standard deviations of the noise on latents, in units of their root mean square. Source: issue 4, item 3. */
export const CORRUPTIONS = [0.1, 0.3, 1] as const;

/** Name of the arm of a corruption: corrupted-0.1, corrupted-0.3, corrupted-1.0. */
export function corruptedName(sigma: number): string {
  return `corrupted-${sigma.toFixed(1)}`;
}

/** The arm whose latents are another example's of the same task; the replacement tests run it. */
export const SWAP_ARM = 'other';

const USE_ARMS: readonly { readonly name: string; readonly title: string }[] = [
  ...CORRUPTIONS.map((sigma) => ({
    name: corruptedName(sigma),
    title: `noise of ${sigma} RMS`,
  })),
  { name: 'truncated', title: 'first half of the span' },
  { name: 'truncated-quarter', title: 'first quarter of the span' },
  { name: SWAP_ARM, title: "another example's latents" },
];

/** What one change of latents costs, over rows that wrote a span. */
export interface LatentUse {
  readonly name: string;
  readonly title: string;
  /** Clean against the arm: positive where the change costs accuracy. */
  readonly effect: PairedEffect;
  /** McNemar's p, corrected for the number of arms. */
  readonly p: number;
  /** Rows that give another answer than clean. */
  readonly changed: Measured;
}

/** Costs of all arms that were run. */
export function latentUses(journals: Journals, rng: Rng): LatentUse[] {
  const clean = journals.arm('clean').filter(({ triggered }) => triggered);
  const found = USE_ARMS.flatMap(({ name, title }) => {
    const byId = new Map(journals.arm(name).map((record) => [record.id, record]));
    const pairs = clean.flatMap((own) => {
      const other = byId.get(own.id);
      return other ? [{ own, other }] : [];
    });
    if (pairs.length === 0) return [];
    const numChanged = pairs.filter(({ own, other }) => own.answer !== other.answer).length;
    const changed = {
      value: numChanged / pairs.length,
      ...wilsonInterval(numChanged, pairs.length),
    };
    const right = (record: ArmRecord): number => Number(record.correct);
    const effect = pairedEffect({
      first: pairs.map(({ own }) => right(own)),
      second: pairs.map(({ other }) => right(other)),
      clusters: pairs.map(({ own }) => own.cluster),
      rng: rng.fork(name),
    });
    return [{ name, title, effect, changed }];
  });
  const ps = holm(found.map(({ effect }) => effect.mcNemar?.p ?? 1));
  return found.map((use, i) => ({ ...use, p: ps[i] ?? 1 }));
}

/** Whether a change costs accuracy beyond chance. */
export function costs({ effect, p }: LatentUse): boolean {
  return p < 0.05 && effect.difference.low > 0;
}

/** The costs as a table. */
export function useTable(uses: readonly LatentUse[]): AuditTable {
  return {
    id: 'probe-use',
    title: 'Use: what changing the latents costs',
    columns: [
      { key: 'arm', title: 'latents', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'accuracy', title: 'accuracy', format: 'percent' },
      { key: 'cost', title: 'cost against clean', format: 'points' },
      { key: 'p', title: 'p (Holm)', format: 'p' },
      { key: 'changed', title: 'other answer than clean', format: 'percent' },
      { key: 'detectable', title: 'detectable', format: 'points' },
    ],
    rows: uses.map(({ title, effect, p, changed }) => ({
      ...{ arm: title, n: effect.n, accuracy: effect.second },
      ...{ cost: measured(effect.difference), p, changed, detectable: effect.minimumDetectable },
    })),
    note:
      'Rows that wrote a span. p: exact McNemar test. Detectable: the smallest true difference ' +
      'that as many rows show with power 0.8.',
    items: ['clean', ...uses.map(({ name }) => name)].map(armFile),
  };
}

/** Accuracy under each change, clean above them. */
export function useFigure(uses: readonly LatentUse[]): AuditFigure {
  const percent = (x: number): number => 100 * x;
  const values = uses.map(({ title, effect: { difference } }) => ({
    latents: title,
    cost: percent(difference.mean),
    low: percent(difference.low),
    high: percent(difference.high),
  }));
  const y = { field: 'latents', type: 'nominal', title: null, sort: null } as const;
  return {
    id: 'probe-use',
    title: 'What changing the latents costs',
    alt: values.map(({ latents, cost }) => `${latents}: ${cost.toFixed(1)} points`).join('; '),
    spec: {
      width: 420,
      height: { step: 24 },
      data: { values },
      layer: [
        {
          data: { values: [{ zero: 0 }] },
          mark: { type: 'rule', strokeDash: [2, 2] },
          encoding: { x: { field: 'zero', type: 'quantitative' } },
        },
        {
          mark: { type: 'rule' },
          encoding: {
            x: { field: 'low', type: 'quantitative', title: 'points lost against clean' },
            x2: { field: 'high' },
            y,
          },
        },
        {
          mark: { type: 'point', filled: true, tooltip: true },
          encoding: { x: { field: 'cost', type: 'quantitative' }, y },
        },
      ],
    },
    items: ['clean', ...uses.map(({ name }) => name)].map(armFile),
  };
}
