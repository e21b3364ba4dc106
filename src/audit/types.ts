// Owns the shape of an audit: parts with tables and figures, canaries, the verdict; every part fills it, report/ shows it.
import type { TopLevelSpec } from 'vega-lite';
import type { Interval } from '../evaluate/statistics.ts';

/** Every part of an audit by name, in the order of the page; `--only` takes these. */
export const PART_NAMES = [
  'replacement',
  'norms',
  'probe',
  'mediation',
  'counterfactual',
  'dependence',
  'exposure',
  'parser',
  'oracle',
  'pictures',
] as const;

/** Name of a part. */
export type PartName = (typeof PART_NAMES)[number];

/** A number with its 95 % interval. */
export interface Measured extends Interval {
  readonly value: number;
}

/** What a table holds in a cell; null where nothing could be measured. */
export type Cell = number | string | Measured | null;

/**
 * How a column is written. `percent`: a fraction from 0 to 1 as per cent; `points`: a difference of
 * fractions in percentage points, with its sign; `p`: a p value; `number`: three significant digits.
 */
export type CellFormat = 'text' | 'count' | 'percent' | 'points' | 'number' | 'p';

/** A column of a table. */
export interface Column {
  readonly key: string;
  readonly title: string;
  readonly format: CellFormat;
}

/** A table of numbers, and the journal its numbers come from. */
export interface AuditTable {
  /** Unique in the audit, safe as a file name: lower case letters, digits, dashes. */
  readonly id: string;
  readonly title: string;
  readonly columns: readonly Column[];
  /** By key of the column. */
  readonly rows: readonly Readonly<Record<string, Cell>>[];
  /** What a reader should know before reading the numbers. */
  readonly note?: string;
  /** Journal files inside the audit's folder that hold the items of the numbers. */
  readonly items: readonly string[];
}

/** A chart of numbers. */
export interface AuditFigure {
  /** Unique in the audit, safe as a file name. */
  readonly id: string;
  readonly title: string;
  /** What the figure shows in a sentence or two, for those who do not see it. */
  readonly alt: string;
  /** Vega-lite, its data inside; sizes, colours and fonts are the page's affair. */
  readonly spec: TopLevelSpec;
  readonly items: readonly string[];
}

/** A picture shown as it is. */
export interface AuditPicture {
  readonly title: string;
  readonly alt: string;
  /** Bytes of a PNG file, base64. */
  readonly png: string;
}

/** Pictures that belong together, such as one example's. */
export interface PictureRow {
  readonly title: string;
  readonly text: string;
  readonly pictures: readonly AuditPicture[];
}

/** One measurement of an audit. */
export interface AuditPart {
  readonly name: PartName;
  readonly title: string;
  /** What is measured, how, in one paragraph; the definition a reader can hold the number to. */
  readonly definition: string;
  /** Where the measurement comes from: a paper's section, or `ours` and the reason. */
  readonly source: string;
  /** What was found, a sentence each. */
  readonly findings: readonly string[];
  readonly tables: readonly AuditTable[];
  readonly figures: readonly AuditFigure[];
  readonly pictures?: readonly PictureRow[];
  /** What was left out of it, and why. */
  readonly notes: readonly string[];
}

/** A part that could not be measured here. */
export interface SkippedPart {
  readonly name: PartName;
  readonly reason: string;
}

/** A check that comes before any verdict. */
export interface Canary {
  readonly name: 'identity' | 'destruction' | 'trigger';
  readonly passed: boolean;
  /** What was seen, with its numbers. */
  readonly seen: string;
  /** What had to be seen. */
  readonly expected: string;
}

/**
 * What the audit says of the latents. `refused`: a canary failed. `used`: their content decides
 * answers (clean beats other-example, markers-only and zero-latent, intervals excluding 0).
 * `harmful`: clean is worse than zero-latent. `not-used`: intervals are narrow and hold 0.
 * `open`: too few items to tell.
 */
export type VerdictKind = 'refused' | 'used' | 'harmful' | 'not-used' | 'open';

/** The answer, and what it rests on. */
export interface Verdict {
  readonly kind: VerdictKind;
  /** One sentence. */
  readonly sentence: string;
  /** The comparisons it rests on, a sentence with numbers each. */
  readonly because: readonly string[];
  /** What would change it. */
  readonly wouldChange: string;
}

/** Seconds one arm or one part took. */
export interface AuditTiming {
  readonly what: string;
  readonly seconds: number;
}

/** A figure of the card: what it is and its value. */
export interface CardFigure {
  readonly label: string;
  readonly value: Cell;
  readonly format: CellFormat;
}

/** All of an audit; `audit.json` holds it. */
export interface Audit {
  readonly format: 'gapvl.audit.1';
  readonly model: {
    readonly folder: string;
    readonly variant: string;
    readonly hash: string;
    /** K; 0 for a model that writes none. */
    readonly numLatents: number;
  };
  readonly data: {
    readonly folder: string;
    readonly split: string;
    readonly n: number;
    readonly hash: string;
  };
  readonly seed: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly canaries: readonly Canary[];
  readonly verdict: Verdict;
  /** Five of them. */
  readonly card: readonly CardFigure[];
  readonly parts: readonly AuditPart[];
  readonly skipped: readonly SkippedPart[];
  readonly timings: readonly AuditTiming[];
}
