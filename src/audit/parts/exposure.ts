// Owns the exposure gap of an audit: the first m latents are the true ones, the rest the model's own; audit.ts lists it.
// Axes: K latents of a span, D hidden.
import { Rng } from '../../rng.ts';
import { pairedEffect } from '../../evaluate/effects.ts';
import { projectOntoPlane } from '../../latent/pca.ts';
import { toldPercent, toldPoints } from '../measured.ts';
import type { ArmRecord, ArmSpec, AuditContext, AuditFacts, CleanRow, Journals } from '../part.ts';
import type { PartDefinition } from '../part.ts';
import { hit, measuredShare } from '../rates.ts';
import { oracleArm } from '../shared-arms.ts';
import type { AuditPart, Measured } from '../types.ts';

/** Shares of a span that are forced; ours: enough to see a slope. */
const SHARES = [0.25, 0.5, 0.75] as const;

/** Numbers of forced latents between none and all, each once. Worked example: K = 36 gives 9, 18, 27. */
export function forcedCounts(numLatents: number): number[] {
  const counts = SHARES.map((share) => Math.round(share * numLatents));
  return [...new Set(counts)].filter((count) => count > 0 && count < numLatents);
}

function targets(context: AuditContext, row: CleanRow): Float32Array | undefined {
  const { basis, spec } = context.model.head;
  const { auxiliaryRows_KD } = row.item;
  return auxiliaryRows_KD && basis && spec.kind === 'pca'
    ? projectOntoPlane(basis, auxiliaryRows_KD)
    : auxiliaryRows_KD;
}

function exposureArms(context: AuditContext): ArmSpec[] {
  const oracle = oracleArm(context);
  return [
    ...forcedCounts(context.generation.numLatents).map((count): ArmSpec => ({
      name: `forced-${count}`,
      title: `First ${count} latents forced`,
      intervention: { kind: 'forced', count },
      given: (row) => targets(context, row),
    })),
    // All of them forced: the last step.
    ...(oracle ? [oracle] : []),
  ];
}

const accuracy = (records: readonly ArmRecord[], rng: Rng): Measured | null =>
  measuredShare(
    records.map(({ cluster, correct }) => hit(cluster, correct)),
    rng,
  );

/** What forcing all latents gives over forcing none, on rows that wrote a span. */
function gapFinding(journals: Journals, rng: Rng): string[] {
  const [clean, forced] = ['clean', 'oracle'].map((name) =>
    journals.arm(name).filter(({ triggered }) => triggered),
  );
  if (!clean || !forced || clean.length === 0 || forced.length !== clean.length) return [];
  const { first, second, difference, n } = pairedEffect({
    first: forced.map(({ correct }) => Number(correct)),
    second: clean.map(({ correct }) => Number(correct)),
    clusters: clean.map(({ cluster }) => cluster),
    rng,
  });
  return [
    `Free running answers ${toldPercent(second)} of ${n} rows with a span, all latents forced ${toldPercent(first)}: the gap is ${toldPoints(difference)}.`,
  ];
}

function meanError(records: readonly ArmRecord[]): number | null {
  const errors = records.flatMap(({ targetError }) => targetError ?? []);
  return errors.length === 0 ? null : errors.reduce((a, b) => a + b, 0) / errors.length;
}

function summarise(journals: Journals, facts: AuditFacts): AuditPart {
  const steps = [
    { m: 0, name: 'clean' },
    ...forcedCounts(facts.numLatents).map((m) => ({ m, name: `forced-${m}` })),
    { m: facts.numLatents, name: 'oracle' },
  ];
  const found = steps.flatMap(({ m, name }) => {
    const spans = journals.arm(name).filter(({ triggered }) => triggered);
    if (spans.length === 0) return [];
    const value = accuracy(spans, new Rng(facts.seed).fork(`exposure ${name}`));
    return value ? [{ m, name, n: spans.length, accuracy: value, error: meanError(spans) }] : [];
  });
  const items = found.map(({ name }) => `items/arm-${name}.jsonl`);
  return {
    name: 'exposure',
    title: 'Exposure gap',
    definition:
      'The first m latents of a span are the embeddings of the auxiliary picture (on the plane of ' +
      "the head where it has one), the rest are the model's own predictions after them. Error: mean " +
      'squared distance of its own latents to the embeddings of the auxiliary picture, over the mean ' +
      'squared distance of those from their mean within the picture; m = 0 is free running, m = K is the oracle. Rows with a span only.',
    source: 'scheduled sampling, Bengio et al. 2015, for the question; the sweep over m is ours',
    findings: gapFinding(journals, new Rng(facts.seed).fork('exposure gap')),
    tables: [
      {
        id: 'exposure',
        title: 'Accuracy and error against forced latents',
        columns: [
          { key: 'm', title: 'forced m', format: 'count' },
          { key: 'n', title: 'n', format: 'count' },
          { key: 'accuracy', title: 'accuracy %', format: 'percent' },
          { key: 'error', title: 'error of its own latents', format: 'number' },
        ],
        rows: found.map(({ m, n, accuracy: value, error }) => ({ m, n, accuracy: value, error })),
        items,
      },
    ],
    figures: [
      {
        id: 'exposure',
        title: 'Accuracy against the number of forced latents',
        alt: found
          .map(({ m, accuracy: { value } }) => `m = ${m}: ${(100 * value).toFixed(1)} %`)
          .join('; '),
        spec: {
          width: 420,
          height: 200,
          data: {
            values: found.map(({ m, accuracy: { value, low, high } }) => ({
              m,
              accuracy: 100 * value,
              low: 100 * low,
              high: 100 * high,
            })),
          },
          layer: [
            {
              mark: { type: 'errorband' },
              encoding: {
                x: { field: 'm', type: 'quantitative', title: 'forced latents' },
                y: { field: 'low', type: 'quantitative', title: 'accuracy, %' },
                y2: { field: 'high' },
              },
            },
            {
              mark: { type: 'line', point: true, tooltip: true },
              encoding: {
                x: { field: 'm', type: 'quantitative' },
                y: { field: 'accuracy', type: 'quantitative', scale: { zero: false } },
              },
            },
          ],
        },
        items,
      },
    ],
    notes: ['closeness to the target is no measure of quality, only of exposure'],
  };
}

/** The part. */
export const EXPOSURE_PART: PartDefinition = {
  name: 'exposure',
  obstacle: ({ rows }) => {
    const spans = rows.filter((row) => row.result.latents.length > 0);
    if (spans.length === 0) return 'the model wrote no latents';
    return spans.every((row) => row.item.auxiliaryRows_KD !== undefined)
      ? undefined
      : 'some examples have no auxiliary picture to force latents to';
  },
  arms: exposureArms,
  summarise,
};
