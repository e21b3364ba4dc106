// Owns what the study says: rows with intervals from the per-item verdicts of all jobs.
import { TRAIN_DEFAULTS } from '../../src/config.ts';
import { clusteredMean, mean } from '../../src/evaluate/statistics.ts';
import type { MeanInterval } from '../../src/evaluate/statistics.ts';
import { VARIANTS, VARIANT_NAMES } from '../../src/latent/variants.ts';
import type { VariantName } from '../../src/latent/variants.ts';
import { Rng } from '../../src/rng.ts';
import type { Study, StudyContrast, StudyRow } from '../../src/report/study.ts';
import { STUDY, studyJobs } from './jobs.ts';
import type { ArmResult, JobResult } from './run.ts';

/** Where an item of a draw belongs. */
export interface ItemPlace {
  readonly task: string;
  readonly difficulty: string;
}

type Arms = readonly { readonly seed: number; readonly arm: ArmResult }[];

function verdicts(arm: ArmResult): number[] {
  return Array.from(arm.correct, Number);
}

function interval(scores: readonly (readonly number[])[], label: string): MeanInterval {
  return clusteredMean(scores, new Rng(`study ${label}`));
}

function isAt(place: ItemPlace | undefined, task: string, difficulty: string): boolean {
  return place !== undefined && place.task === task && place.difficulty === difficulty;
}

function byTask(arms: Arms, places: readonly ItemPlace[]): NonNullable<StudyRow['byTask']> {
  const share = (task: string, difficulty: string): number | null => {
    const hits = arms.flatMap(({ arm }) =>
      verdicts(arm).filter((_, i) => isAt(places[i], task, difficulty)),
    );
    return hits.length === 0 ? null : mean(hits);
  };
  const tasks = [...new Set(places.map((p) => p.task))];
  return Object.fromEntries(
    tasks.map((t) => [t, { easy: share(t, 'easy'), hard: share(t, 'hard') }]),
  );
}

function row(
  name: string,
  label: string,
  arms: Arms,
  options: { readonly latent: boolean; readonly places?: readonly ItemPlace[] },
): StudyRow {
  const scores = arms.map(({ arm }) => verdicts(arm));
  const total = scores.reduce((sum, s) => sum + s.length, 0);
  return {
    name,
    label,
    numSeeds: arms.length,
    n: total,
    accuracy: interval(scores, name),
    bySeed: scores.map(mean),
    ...(options.latent
      ? { triggerRate: arms.reduce((sum, { arm }) => sum + arm.numTriggered, 0) / total }
      : {}),
    ...(options.places ? { byTask: byTask(arms, options.places) } : {}),
  };
}

function armsOf(results: readonly JobResult[], split: string, arm: string): Arms {
  return results.flatMap(({ job, arms }) => {
    const found = arms[split]?.[arm];
    return found ? [{ seed: job.seed, arm: found }] : [];
  });
}

const INTERVENTION_LABELS: readonly (readonly [string, string])[] = [
  ['clean', 'Clean'],
  ['clean+ema', 'EMA norm calibration'],
  ['oracle', 'Oracle: auxiliary embeddings'],
  ['zero-latent', 'Zero-latent: span suppressed'],
  ['noise-unit', 'Noise, unit'],
  ['noise-spectrum', 'Noise, spectrum-matched'],
  ['noise-norm', 'Noise, norm-matched'],
  ['other', "Other example's latents"],
];

/** The expected findings, each to be shown or refuted: claim, first arm above second arm. */
const CLAIMS: readonly (readonly [string, VariantName, string, VariantName, string])[] = [
  ['latents help: clean above zero-latent', 'gap', 'clean', 'gap', 'zero-latent'],
  ['their content matters: clean above unit noise', 'gap', 'clean', 'gap', 'noise-unit'],
  ['clean above spectrum-matched noise', 'gap', 'clean', 'gap', 'noise-spectrum'],
  ['clean above norm-matched noise', 'gap', 'clean', 'gap', 'noise-norm'],
  ["clean above another example's latents", 'gap', 'clean', 'gap', 'other'],
  ['GAP above dense caption', 'gap', 'clean', 'dense-caption', 'clean'],
  ['GAP above the base', 'gap', 'clean', 'base', 'clean'],
  ['EMA above plain output-as-input (MSE)', 'output-mse', 'clean+ema', 'output-mse', 'clean'],
  [
    'EMA above plain output-as-input (cosine)',
    'output-cosine',
    'clean+ema',
    'output-cosine',
    'clean',
  ],
  ['GAP above LH', 'gap', 'clean', 'lh', 'clean'],
  ['GAP above LH+DA', 'gap', 'clean', 'lh-da', 'clean'],
  ['GAP above LH+PCA', 'gap', 'clean', 'lh-pca', 'clean'],
];

function contrast(
  main: readonly JobResult[],
  [claim, first, firstArm, second, secondArm]: (typeof CLAIMS)[number],
): StudyContrast[] {
  const pick = (variant: VariantName, arm: string): Arms =>
    armsOf(
      main.filter((r) => r.job.variant === variant),
      'test',
      arm,
    );
  const differences = paired(pick(first, firstArm), pick(second, secondArm));
  if (differences.length === 0) return [];
  return [
    {
      claim,
      first: `${VARIANTS[first].label}, ${firstArm}`,
      second: `${VARIANTS[second].label}, ${secondArm}`,
      split: 'test',
      numSeeds: differences.length,
      difference: interval(differences, claim),
    },
  ];
}

function variantRows(main: readonly JobResult[], places: readonly ItemPlace[]): StudyRow[] {
  return VARIANT_NAMES.flatMap((name) => {
    const variant = VARIANTS[name];
    const own = main.filter((r) => r.job.variant === (variant.weightsOf ?? name));
    const arms = armsOf(own, 'test', variant.calibrated ? 'clean+ema' : 'clean');
    return arms.length === 0
      ? []
      : [row(name, variant.label, arms, { latent: variant.assignment !== 'none', places })];
  });
}

/** What a sweep point changes, in words; a main job is what sweeps are held against. */
function sweepLabel({ job, basis }: JobResult): string {
  const { label } = VARIANTS[job.variant];
  const { teacherInputs, numLatents, latentPositions } = job.recipe;
  const [standard, k] = [TRAIN_DEFAULTS, `k = ${basis.k}`];
  if (job.kind === 'main') {
    const tau = VARIANTS[job.variant].assignment === 'capacity' ? `tau ${job.tau}, ` : '';
    return `${label}: ${tau}K = ${numLatents}, ${100 * job.explained} % (${k}), ${teacherInputs}`;
  }
  if (teacherInputs !== standard.teacherInputs) return `${label}, teacher inputs ${teacherInputs}`;
  if (numLatents !== standard.numLatents) return `${label}, K = ${numLatents}`;
  if (latentPositions !== standard.latentPositions) return `${label}, ${latentPositions} positions`;
  if (job.explained !== STUDY.explained)
    return `${label}, ${100 * job.explained} % of the variance (${k})`;
  if (job.tau !== STUDY.tau) return `${label}, tau ${job.tau}`;
  return label;
}

/** Share of training examples with latent supervision; assignment matters where a variant uses it. */
function latentShare({ job, latentShare: assigned }: JobResult): number {
  const { assignment } = VARIANTS[job.variant];
  return { none: 0, all: 1, capacity: assigned }[assignment];
}

/** Sweep points on validation, each group of points after the main job it is held against. */
function sweepRows(results: readonly JobResult[]): StudyRow[] {
  const groups = new Map<string, JobResult[]>();
  for (const result of results) {
    const name = result.job.id.replace(/^s\d+-/, '');
    groups.set(name, [...(groups.get(name) ?? []), result]);
  }
  const isPoint = (name: string): boolean => groups.get(name)?.[0]?.job.kind === 'sweep';
  return SWEPT.flatMap((reference) => {
    const points = [...groups.keys()].filter(
      (name) => isPoint(name) && name.startsWith(`${reference}-`),
    );
    if (points.length === 0 || !groups.has(reference)) return [];
    const standard = armsOf(groups.get(reference) ?? [], 'validation', 'clean');
    return [reference, ...points.sort()].map((name) => {
      const group = groups.get(name) ?? [];
      const clean = armsOf(group, 'validation', 'clean');
      const oracle = armsOf(group, 'validation', 'oracle').map(({ arm }) => mean(verdicts(arm)));
      const plain = {
        ...row(name, sweepLabel(group[0] as JobResult), clean, { latent: true }),
        latentShare: mean(group.map(latentShare)),
        ...(oracle.length > 0 ? { oracle: mean(oracle) } : {}),
      };
      return name === reference
        ? plain
        : { ...plain, difference: interval(paired(clean, standard), `sweep ${name}`) };
    });
  });
}

/** Main jobs that sweeps are held against. */
const SWEPT = ['gap', 'lh-pca'] as const;

/** By seed that both have, first minus second item by item. */
function paired(first: Arms, second: Arms): number[][] {
  return first.flatMap(({ seed, arm }) => {
    const other = second.find((a) => a.seed === seed);
    if (!other) return [];
    const [values, subtracted] = [verdicts(arm), verdicts(other.arm)];
    if (values.length !== subtracted.length)
      throw new RangeError(
        `arms of seed ${seed} are about ${values.length} and ${subtracted.length} items`,
      );
    return [values.map((value, i) => value - (subtracted[i] ?? 0))];
  });
}

/** Summarises all jobs that are there; `testPlaces` says what the test draw's items are. */
export function summarize(results: readonly JobResult[], testPlaces: readonly ItemPlace[]): Study {
  const main = results.filter((r) => r.job.kind === 'main');
  const gap = main.filter((r) => r.job.variant === 'gap');
  const clean = armsOf(gap, 'test', 'clean');
  const interventions = INTERVENTION_LABELS.flatMap(([name, label]) => {
    const arms = armsOf(gap, 'test', name);
    if (arms.length === 0) return [];
    const plain = row(name, label, arms, { latent: true });
    if (name === 'clean') return [plain];
    const differences = paired(arms, clean);
    return [{ ...plain, difference: interval(differences, `intervention ${name}`) }];
  });
  const withNorms = main.filter((r) => r.norms && r.job.seed === 0);
  return {
    format: 'gapvl.study.1',
    numJobs: results.filter((r) => r.job.variant !== 'base').length,
    numPlanned: studyJobs().length,
    variants: variantRows(main, testPlaces),
    interventions,
    contrasts: CLAIMS.flatMap((claim) => contrast(main, claim)),
    sweeps: sweepRows(results),
    norms: Object.fromEntries(
      withNorms.flatMap((r) => (r.norms ? [[r.job.variant, r.norms]] : [])),
    ),
  };
}
