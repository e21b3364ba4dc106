// Owns the list of what the study runs: every job is a pure description, in order of importance.
import { SMALL_SCALE_TAU } from '../../src/capacity/assignment.ts';
import { TRAIN_DEFAULTS } from '../../src/config.ts';
import type { TrainRecipe } from '../../src/config.ts';
import { SMALL_SCALE_EXPLAINED } from '../../src/latent/pca.ts';
import { VARIANTS } from '../../src/latent/variants.ts';
import type { VariantName } from '../../src/latent/variants.ts';

/** One training and its evaluation. */
export interface StudyJob {
  /** File name of its result; says everything that differs from the defaults. */
  readonly id: string;
  /** Index of the base checkpoint and seed of everything else. */
  readonly seed: number;
  readonly variant: VariantName;
  /** Share of the variance the basis keeps. */
  readonly explained: number;
  readonly tau: number;
  readonly recipe: TrainRecipe;
  /** `main` jobs are evaluated on the test draw too, once; sweeps on validation only. */
  readonly kind: 'main' | 'sweep';
}

/** Data and evaluation sizes of the study. */
export const STUDY = {
  numSeeds: 3,
  /** Bases that the sweeps are run on. */
  numSweptSeeds: 1,
  /** Seeds of the three bases; the first is the shipped one. */
  baseSeeds: [12345, 23456, 34567],
  numTrain: 6000,
  numValidation: 500,
  numTest: 1000,
  numSamples: 8,
  explained: SMALL_SCALE_EXPLAINED,
  tau: SMALL_SCALE_TAU,
} as const;

const MAIN_VARIANTS: readonly VariantName[] = [
  'gap',
  'dense-caption',
  'lh-pca',
  'lh',
  'lh-da',
  'output-mse',
  'output-cosine',
];

function job(
  seed: number,
  variant: VariantName,
  change: Partial<StudyJob> & { readonly name?: string } = {},
): StudyJob {
  const { name, ...rest } = change;
  return {
    id: `s${seed}-${variant}${name === undefined ? '' : `-${name}`}`,
    seed,
    variant,
    explained: STUDY.explained,
    tau: STUDY.tau,
    recipe: { ...TRAIN_DEFAULTS, seed: STUDY.baseSeeds[seed] ?? seed },
    kind: 'sweep',
    ...rest,
  };
}

function withRecipe(
  seed: number,
  variant: VariantName,
  name: string,
  change: Partial<TrainRecipe>,
): StudyJob {
  const plain = job(seed, variant, { name });
  return { ...plain, recipe: { ...plain.recipe, ...change } };
}

function sweeps(seed: number): StudyJob[] {
  const others = (['plain', 'projected', 'scheduled'] as const).filter(
    (mode) => mode !== TRAIN_DEFAULTS.teacherInputs,
  );
  return [
    ...others.map((mode) => withRecipe(seed, 'gap', `teacher-${mode}`, { teacherInputs: mode })),
    ...[4, 16].map((numLatents) => withRecipe(seed, 'gap', `budget-${numLatents}`, { numLatents })),
    ...[0, 0.25, 0.5].map((tau) => job(seed, 'gap', { name: `tau-${tau}`, tau })),
    ...[0.85, 0.9, 0.95].map((explained) =>
      job(seed, 'gap', { name: `pca-${explained}`, explained }),
    ),
    job(seed, 'gap-random-basis'),
    job(seed, 'gap-no-mean'),
    job(seed, 'gap-learned-basis'),
    ...others.map((mode) => withRecipe(seed, 'lh-pca', `teacher-${mode}`, { teacherInputs: mode })),
    withRecipe(seed, 'gap', 'positions-grid', { latentPositions: 'grid' }),
  ];
}

/** Every job of the study: the main table seed by seed, then the sweeps on the first bases. */
export function studyJobs(): StudyJob[] {
  const seeds = Array.from({ length: STUDY.numSeeds }, (_, seed) => seed);
  const main = (seed: number): StudyJob[] =>
    MAIN_VARIANTS.map((v) => job(seed, v, { kind: 'main' }));
  return [...seeds.flatMap(main), ...seeds.slice(0, STUDY.numSweptSeeds).flatMap(sweeps)];
}

/** What a job's result depends on, as text: two jobs with equal ones have equal results. */
export function essence({ tau, explained, ...job }: StudyJob): string {
  const { assignment } = VARIANTS[job.variant];
  return JSON.stringify({
    ...job,
    ...(assignment === 'capacity' ? { tau } : {}),
    ...(assignment === 'none' ? {} : { explained }),
  });
}
