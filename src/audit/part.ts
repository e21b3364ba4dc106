// Owns what a part of an audit is given and what it has to give; run-audit.ts drives parts, each part file fills one.
// Axes: K latents of a span, D hidden.
import type { ExamplePictures, PreparedExample } from '../context/prepared.ts';
import type { Example } from '../data/example.ts';
import type { SessionOptions } from '../engine/session.ts';
import type { Prediction } from '../evaluate/evaluate.ts';
import type { Decoder } from '../generate/decoder.ts';
import type { GenerationResult, GenerationSettings, ResponsePrefix } from '../generate/generate.ts';
import type { Calibration, Intervention } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import type { PictureEncoder } from '../model/picture-encoder.ts';
import type { AuditPart, PartName } from './types.ts';

/** An example as the model answered it by itself; every part looks at these. */
export interface CleanRow {
  readonly item: PreparedExample;
  readonly prediction: Prediction;
  /** Its ids, its latents (the vectors that were read back), in order. */
  readonly result: GenerationResult;
}

/** All that parts share. Randomness is forked from `seed`; nothing reads a clock. */
export interface AuditContext {
  readonly model: GapModel;
  readonly decoder: Decoder;
  readonly encoder: Pick<PictureEncoder, 'encode'>;
  /** All examples, in order; rows without a span among them. */
  readonly rows: readonly CleanRow[];
  readonly loadPictures: (example: Example) => Promise<ExamplePictures>;
  readonly seed: number;
  /** Rows to be run together. */
  readonly batchSize: number;
  /** How the clean rows were decoded. */
  readonly generation: GenerationSettings;
  readonly session: SessionOptions;
  readonly signal?: AbortSignal;
}

/**
 * One way to go on from the start of the span, for every row that wrote one. Prompt, picture,
 * budget, boundary tokens and seed stay as they are; rows without a span keep their clean answer.
 */
export interface ArmSpec {
  /** Unique in the audit, safe as a file name; its journal is `items/arm-NAME.jsonl`. */
  readonly name: string;
  readonly title: string;
  readonly intervention: Intervention;
  readonly calibration?: Calibration;
  /** K of this arm; default the model's. */
  readonly numLatents?: number;
  /** Hides what from all positions after the span. */
  readonly afterSpan?: 'picture-hidden';
  /** Vectors for interventions that read given ones, [K, D]; every row with a span needs some. */
  readonly given?: (row: CleanRow, index: number) => Float32Array | undefined;
  /** What the response begins with in the place of the span and all before it. */
  readonly beginning?: (row: CleanRow, index: number) => ResponsePrefix;
}

/** One item of one arm, as its journal holds it. */
export interface ArmRecord {
  readonly id: string;
  readonly task: string;
  /** Rows of the same cluster are one question; usually the id. */
  readonly cluster: string;
  /** The row wrote a span and was decoded again; else it is the clean answer. */
  readonly triggered: boolean;
  readonly response: string;
  readonly answer: string | null;
  readonly expected: string;
  readonly correct: boolean;
  readonly finished: boolean;
  /** Hash of the logits at the first position after the span, and how far they are from clean: the largest difference. */
  readonly logitsHash: string | null;
  readonly logitsDistance: number | null;
  /** Mean L2 norm of the vectors that were read back. */
  readonly latentNorm: number | null;
  /** Of latents that were not given: squared distance to their targets over the targets' variance. */
  readonly targetError: number | null;
}

/** One line of a part's own journal: whatever its numbers are computed from, plain JSON. */
export type PartRecord = Readonly<Record<string, unknown>> & { readonly id: string };

/** The journals of an audit, by the name of the arm or of the part. */
export interface Journals {
  /** Empty for an arm that was not run. */
  readonly arm: (name: string) => readonly ArmRecord[];
  readonly part: (name: PartName) => readonly PartRecord[];
}

/** What a summary may know besides the journals; all of it stands in `audit.json` or their headers. */
export interface AuditFacts {
  readonly seed: number;
  readonly numLatents: number;
  readonly variant: string;
}

/** One measurement. `summarise` is pure: its numbers can be made again without the model. */
export interface PartDefinition {
  readonly name: PartName;
  /** Why it cannot be measured here; undefined when it can. */
  readonly obstacle: (context: AuditContext) => string | undefined;
  /** Decodings that it needs; the clean arm is always there, under the name `clean`. */
  readonly arms?: (context: AuditContext) => readonly ArmSpec[] | Promise<readonly ArmSpec[]>;
  /** Its own measurements, a record an item, in chunks that are safe to journal; goes on behind the first `done` records. */
  readonly collect?: (
    context: AuditContext,
    done: number,
  ) => AsyncGenerator<readonly PartRecord[], void>;
  /** The part from its journals. */
  readonly summarise: (journals: Journals, facts: AuditFacts) => Promise<AuditPart> | AuditPart;
}
