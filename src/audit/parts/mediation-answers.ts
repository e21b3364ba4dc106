// Owns what becomes of answers when latents or the sight of the picture are taken away; mediation-summary.ts calls it.
import { holm, pairedEffect } from '../../evaluate/effects.ts';
import type { PairedEffect } from '../../evaluate/effects.ts';
import { wilsonInterval } from '../../evaluate/statistics.ts';
import type { Rng } from '../../rng.ts';
import { armFile } from '../journals.ts';
import { measured } from '../measured.ts';
import type { ArmRecord, Journals } from '../part.ts';
import { isAnswer } from '../rates.ts';
import type { AuditTable, Cell, Measured } from '../types.ts';
import type { MediationRecord } from './mediation-records.ts';

/** Arms that replace latents, by the name of their journals; the part on replacement runs them. */
export const REPLACED_ARMS = ['mean', 'noise-spectrum', 'zero-vector'] as const;
/** Arms in which positions after the span do not see the picture. */
export const HIDDEN_ARMS = ['picture-hidden', 'picture-hidden-other'] as const;

const TITLES: Readonly<Record<string, string>> = {
  clean: 'own latents',
  mean: 'mean latent of each place',
  'noise-spectrum': 'noise, N(0, eigenvalues)',
  'zero-vector': 'zero vectors',
  'picture-hidden': 'own latents, picture hidden',
  'picture-hidden-other': "another example's latents, picture hidden",
};

/** An arm on the rows that wrote a span, against another. */
export interface AnswerArm {
  readonly name: string;
  readonly title: string;
  readonly accuracy: Measured;
  /** Share of answers that are not the clean one. */
  readonly changed: Measured;
  /** Against the arm named in the table; absent for clean. */
  readonly effect?: PairedEffect;
}

function share(numHits: number, total: number): Measured {
  return { value: numHits / total, ...wilsonInterval(numHits, total) };
}

const numRight = (records: readonly ArmRecord[]): number =>
  records.filter(({ correct }) => correct).length;

/** Accuracies on rows that wrote a span; arms that were not run are left out. */
export function answerArms(
  journals: Journals,
  names: readonly string[],
  rng: Rng,
): readonly AnswerArm[] {
  const all = journals.arm('clean');
  const clean = all.filter(({ triggered }) => triggered);
  if (clean.length === 0) return [];
  return ['clean', ...names].flatMap((name): AnswerArm[] => {
    const whole = journals.arm(name);
    if (whole.length !== all.length) return [];
    const own = whole.filter((_, i) => all[i]?.triggered === true);
    const numChanged = own.filter(({ answer }, i) => answer !== clean[i]?.answer).length;
    const line = {
      name,
      title: TITLES[name] ?? name,
      accuracy: share(numRight(own), own.length),
      changed: share(numChanged, own.length),
    };
    if (name === 'clean') return [line];
    const effect = pairedEffect({
      first: own.map(({ correct }) => Number(correct)),
      second: clean.map(({ correct }) => Number(correct)),
      clusters: clean.map(({ cluster }) => cluster),
      rng: rng.fork(name),
    });
    return [{ ...line, effect }];
  });
}

/** Arms with their p values corrected together. */
export function answerTable(
  id: string,
  title: string,
  note: string,
  arms: readonly AnswerArm[],
  extra: ReadonlyMap<string, Measured> = new Map(),
): AuditTable {
  const tested = arms.filter(({ effect }) => effect?.mcNemar !== undefined);
  const corrected = holm(tested.map(({ effect }) => effect?.mcNemar?.p ?? 1));
  return {
    id,
    title,
    columns: [
      { key: 'arm', title: 'what is read', format: 'text' },
      { key: 'n', title: 'n', format: 'count' },
      { key: 'accuracy', title: 'accuracy', format: 'percent' },
      { key: 'difference', title: 'against own latents', format: 'points' },
      { key: 'p', title: 'p, Holm', format: 'p' },
      { key: 'changed', title: 'answers that changed', format: 'percent' },
      ...(extra.size > 0
        ? [
            {
              key: 'donor',
              title: "answers that are the other example's",
              format: 'percent' as const,
            },
          ]
        : []),
    ],
    rows: arms.map(({ name, title: arm, accuracy, changed, effect }): Record<string, Cell> => {
      const at = tested.findIndex((own) => own.name === name);
      return {
        arm,
        n: effect?.n ?? arms.find((own) => own.effect)?.effect?.n ?? null,
        accuracy,
        difference: effect ? measured(effect.difference) : null,
        p: corrected[at] ?? null,
        changed: name === 'clean' ? null : changed,
        ...(extra.size > 0 ? { donor: extra.get(name) ?? null } : {}),
      };
    }),
    note,
    items: arms.map(({ name }) => armFile(name)),
  };
}

/** What own latents are worth when the picture is out of sight: own against another example's. */
export function hiddenEffect(journals: Journals, rng: Rng): PairedEffect | undefined {
  const clean = journals.arm('clean');
  const [own, other] = HIDDEN_ARMS.map((name) =>
    journals.arm(name).filter((_, i) => clean[i]?.triggered === true),
  );
  if (!own || !other || own.length === 0 || own.length !== other.length) return undefined;
  return pairedEffect({
    first: own.map(({ correct }) => Number(correct)),
    second: other.map(({ correct }) => Number(correct)),
    clusters: own.map(({ cluster }) => cluster),
    rng: rng.fork('hidden own against other'),
  });
}

/** Share of answers that are right for the example whose latents are read, where the two differ. */
export function donorShares(
  journals: Journals,
  records: readonly MediationRecord[],
): ReadonlyMap<string, Measured> {
  const donors = new Map(records.map(({ id, donor }) => [id, donor]));
  const shares = HIDDEN_ARMS.flatMap((name): [string, Measured][] => {
    const own = journals.arm(name).flatMap((record) => {
      const donor = donors.get(record.id);
      const differs = donor !== undefined && !isAnswer(donor.expected, record.expected);
      return record.triggered && donor && differs ? [{ record, donor }] : [];
    });
    if (own.length === 0) return [];
    const hits = own.filter(({ record, donor }) => isAnswer(record.answer, donor.expected)).length;
    return [[name, share(hits, own.length)]];
  });
  return new Map(shares);
}
