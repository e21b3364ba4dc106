// Owns the stored study as the report and the README read it: types and the file that ships.
import { readFile } from 'node:fs/promises';
import { DataError } from '../errors.ts';
import type { MeanInterval } from '../evaluate/statistics.ts';
import type {
  AccuracyRow,
  InterventionRow,
  NormGroup,
  NormStatistic,
  TaskAccuracy,
} from './types.ts';

/** An accuracy over seeds with its interval (seeds, then items resampled). */
export interface StudyRow {
  /** Variant, intervention or sweep point, as jobs call it. */
  readonly name: string;
  readonly label: string;
  readonly numSeeds: number;
  /** Questions of all seeds together. */
  readonly n: number;
  /** Fractions from 0 to 1. */
  readonly accuracy: MeanInterval;
  readonly bySeed: readonly number[];
  /** Share of rows that wrote a span; absent for variants without latents. */
  readonly triggerRate?: number;
  readonly byTask?: Readonly<Record<string, TaskAccuracy>>;
  /** Paired difference: of an intervention to clean decoding, of a sweep point to its reference. */
  readonly difference?: MeanInterval;
  /** Accuracy with the auxiliary embeddings as latents, and examples with latent supervision, of sweep points. */
  readonly oracle?: number;
  readonly latentShare?: number;
}

/** A claim put to the test: the paired difference of two arms over the same items and seeds. */
export interface StudyContrast {
  readonly claim: string;
  readonly first: string;
  readonly second: string;
  readonly split: string;
  readonly numSeeds: number;
  readonly difference: MeanInterval;
}

/** Norms of one variant's latents on validation. */
export interface StudyNorms {
  readonly finalState: NormStatistic;
  readonly queryVision: NormStatistic;
  readonly reconstruction: NormStatistic;
}

/** The whole study. */
export interface Study {
  readonly format: 'gapvl.study.1';
  /** Jobs that were done when this was written, and jobs there are. */
  readonly numJobs: number;
  readonly numPlanned: number;
  /** On the test draw. */
  readonly variants: readonly StudyRow[];
  /** On GAP's checkpoints, test draw. */
  readonly interventions: readonly StudyRow[];
  readonly contrasts: readonly StudyContrast[];
  /** On the validation draw. */
  readonly sweeps: readonly StudyRow[];
  readonly norms: Readonly<Record<string, StudyNorms>>;
}

/** Where the study ships. */
export const STUDY_FILE = new URL('../../assets/study.json', import.meta.url);

/** Reads a study. @throws DataError when it is none. */
export async function readStudy(path: string | URL = STUDY_FILE): Promise<Study> {
  try {
    const study = JSON.parse(await readFile(path, 'utf8')) as Study;
    const format: string = study.format;
    if (format === 'gapvl.study.1') return study;
    throw new TypeError(`format ${format}`);
  } catch (cause) {
    throw new DataError(
      {
        what: `${String(path)} holds no study`,
        got: cause instanceof Error ? cause.message : String(cause),
        fix: 'make it with `npx tsx recipes/study.ts` and `npx tsx recipes/study-summary.ts`',
      },
      cause,
    );
  }
}

/** The study's variants as rows of the accuracy table. */
export function studyAccuracyRows(study: Study): AccuracyRow[] {
  return study.variants.map((row) => ({
    variant: row.name,
    label: row.label,
    n: row.n,
    accuracy: row.accuracy.mean,
    low: row.accuracy.low,
    high: row.accuracy.high,
    source: 'stored study',
    ...(row.triggerRate === undefined ? {} : { triggerRate: row.triggerRate }),
    byTask: row.byTask ?? {},
  }));
}

/** The study's interventions as rows of the intervention table. */
export function studyInterventionRows(study: Study): InterventionRow[] {
  return study.interventions.map((row) => ({
    intervention: row.name,
    label: row.label,
    n: row.n,
    accuracy: row.accuracy.mean,
    low: row.accuracy.low,
    high: row.accuracy.high,
    ...(row.difference ? { differenceToClean: row.difference } : {}),
    source: 'stored study',
  }));
}

/** The study's norms as groups of the chart, marked as stored. */
export function studyNorms(study: Study): NormGroup[] {
  return Object.entries(study.norms).map(([variant, norms]) => ({
    variant: `${variant} (stored study)`,
    ...norms,
  }));
}
