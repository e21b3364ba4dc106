// Owns what a report is made from; evaluation and the CLI fill it, `renderReport` and the tables read it.

/** Where a row was measured: in the run being reported, or in the study shipped with gapvl. */
export type Source = 'this run' | 'stored study';

/** An accuracy with its 95 % interval; all three are fractions from 0 to 1. */
export interface Estimate {
  /** Number of questions (of all seeds together). */
  readonly n: number;
  readonly accuracy: number;
  readonly low: number;
  readonly high: number;
}

/** Accuracy by difficulty, fractions from 0 to 1; null where nothing was asked. */
export interface TaskAccuracy {
  readonly easy: number | null;
  readonly hard: number | null;
}

/** One trained variant and how it scored. */
export interface AccuracyRow extends Estimate {
  /** Short name, also the key of `ReportExample.predictions`. */
  readonly variant: string;
  readonly label: string;
  readonly source: Source;
  /** Fraction of the rows that should emit latents and did; absent for variants without latents. */
  readonly triggerRate?: number;
  readonly byTask: Readonly<Record<string, TaskAccuracy>>;
}

/** One intervention on the latents of one checkpoint and how it scored. */
export interface InterventionRow extends Estimate {
  readonly intervention: string;
  readonly label: string;
  /** Paired difference to clean, in fractions; negative is worse. Absent for clean itself. */
  readonly differenceToClean?: {
    readonly mean: number;
    readonly low: number;
    readonly high: number;
  };
  readonly source: Source;
}

/** A stretch of a generated response: text, or a span of latents. */
export type ResponsePiece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'latents'; readonly count: number };

/** What one variant answered. */
export interface Prediction {
  readonly text: string;
  readonly correct: boolean;
}

/** One question shown in full; its texts may come from anywhere and are escaped. */
export interface ReportExample {
  readonly id: string;
  readonly task: string;
  readonly difficulty: string;
  readonly question: string;
  readonly answer: string;
  /** By variant, in the order to be shown. */
  readonly predictions: Readonly<Record<string, Prediction>>;
  /** Bytes of PNG files. */
  readonly queryPng: Uint8Array;
  readonly auxiliaryPng?: Uint8Array;
  /** Mosaic of the picture patches nearest to each generated latent. */
  readonly latentPng?: Uint8Array;
  /** Cosine of each generated latent to its target, in raster order of the K cells. */
  readonly latentHeat?: readonly number[];
  readonly response?: readonly ResponsePiece[];
}

/** Which loss a curve shows. */
export type LossName = 'lm loss' | 'latent loss' | 'total';

/** One loss of one run over its steps. */
export interface TrainingCurve {
  readonly run: string;
  readonly name: LossName;
  /** `[step, value]`, steps ascending. */
  readonly points: readonly (readonly [step: number, value: number])[];
}

/** Mean and standard deviation of an L2 norm over positions. */
export interface NormStatistic {
  readonly mean: number;
  readonly std: number;
}

/** The norms that decide whether a latent looks like an input, for one variant. */
export interface NormGroup {
  readonly variant: string;
  /** The decoder's last hidden state at latent positions, before the final norm. */
  readonly finalState: NormStatistic;
  /** Embeddings of the query picture. */
  readonly queryVision: NormStatistic;
  readonly textInput?: NormStatistic;
  /** What the variant feeds back as the next input. */
  readonly reconstruction?: NormStatistic;
}

/** The spectrum of the auxiliary-picture embeddings and the cut chosen on it. */
export interface PcaSpectrum {
  /** Explained variance of the first 1, 2, 3, ... components, fractions from 0 to 1. */
  readonly cumulativeExplained: readonly number[];
  /** Components kept. */
  readonly k: number;
  /** Explained variance asked for. */
  readonly target: number;
  /** 1 - explained variance at k (GAP Eq. 7). */
  readonly relMse: number;
}

/** Seconds one stage took. */
export interface StageTiming {
  readonly stage: string;
  readonly seconds: number;
  /** It ran beside other stages and adds nothing to the sum. */
  readonly isBeside?: boolean;
}

/** Where the numbers come from. */
export interface Provenance {
  readonly recipe: string;
  readonly seed: number | string;
  /** Date as text; the report reads no clock. */
  readonly date: string;
  /** By package or program. */
  readonly versions: Readonly<Record<string, string>>;
  /** By file or artefact. */
  readonly hashes: Readonly<Record<string, string>>;
  /** The command that makes this report again. */
  readonly command?: string;
}

/** Everything a report can show; parts that are absent are left out with a note. */
export interface ReportData {
  readonly title: string;
  readonly provenance: Provenance;
  /** What the run found, a sentence each, the most important first. */
  readonly verdict: readonly string[];
  readonly accuracyTable?: readonly AccuracyRow[];
  readonly interventionTable?: readonly InterventionRow[];
  readonly examples?: readonly ReportExample[];
  readonly trainingCurves?: readonly TrainingCurve[];
  readonly normBars?: readonly NormGroup[];
  readonly pcaSpectrum?: PcaSpectrum;
  readonly timings?: readonly StageTiming[];
}
