// Owns the contract of the benchmarks: cells and rows of their tables, prompts, scores, figures; all of
// benchmark/ and the commands of `gapvl evaluate` speak it. Rules: docs/EVALUATION.md.

/** The six benchmarks of the GAP paper, by the dataset ids of VLMEvalKit. */
export const BENCHMARK_NAMES = [
  'HRBench4K',
  'MMStar',
  'MME-RealWorld-Lite',
  'MathVista_MINI',
  'WeMath',
  'POPE',
] as const;

/** Name of a benchmark. */
export type BenchmarkName = (typeof BENCHMARK_NAMES)[number];

/** A benchmark, or a table of one's own: choices by the letter rule, the rest as `gapvl compare` scores. */
export type DatasetName = BenchmarkName | 'own';

/**
 * Which VLMEvalKit a score is of: `head` is commit e8e78f05 (2026-08-18), `paper` c44bc601 (2026-05-15),
 * the last one before the GAP paper. Default `head`; `paper` when comparing with published numbers.
 */
export type Era = 'head' | 'paper';

/** The eras, default first. */
export const ERAS = ['head', 'paper'] as const satisfies readonly Era[];

/**
 * A cell as pandas types it: text, int64 (bigint), float64 (number), bool, or missing (null). The kinds
 * differ where a cell is turned into text: 7n is `7`, 7 is `7.0`.
 */
export type Cell = string | bigint | number | boolean | null;

/** Cells of a row by column name; objects without a prototype, so that any name will do. */
export type Row = Readonly<Record<string, Cell>>;

/** A table in memory; pictures are never in it. */
export interface Table {
  /** Column names in the order of the file, `image` left out. */
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
}

/** Whose prompt is built: the dataset's (what the published baselines saw) or the model class's. */
export type PromptBuilder = 'dataset' | 'model';

/** How the answer is unwrapped before it is scored; a table says which. */
export type Unwrap = 'raw' | 'answer';

/** How a score came about, by benchmark: what settled it. */
export type Settled =
  | 'letter' // letter rule
  | 'text' // text rule
  | 'parsed' // the benchmark's own parser (MME-RealWorld, WeMath direct, POPE)
  | 'prefetch' // MathVista: without the judge
  | 'judge'
  | 'random' // seeded pick after the judge failed three times
  | 'none'; // nothing found: wrong, Unknown, or Z

/** What became of one prediction. */
export interface ItemScore {
  readonly state: 'scored';
  /** What was extracted: a letter, `Z`, `Yes`, `No`, `Unknown`, MathVista's extraction; null is none. */
  readonly result: string | null;
  readonly score: 0 | 1;
  readonly settled: Settled;
  /** The prediction was missing by pandas' rule (empty, `NA`, `nan`, ...); scored and counted apart. */
  readonly missing: boolean;
}

/** A prediction that cannot be settled without one more reply of the judge. */
export interface JudgeQuestion {
  readonly state: 'ask';
  readonly prompt: string;
  readonly temperature: number;
  /** Most tokens of the reply; absent: the judge's default. */
  readonly maxTokens?: number;
  /** 0 for the first call about this item. */
  readonly attempt: number;
}

/** A reply of the judge; null is a call that failed and counts as one of the allowed attempts. */
export type JudgeReply = string | null;

/** How a prediction is scored. */
export interface ScoreOptions {
  readonly era: Era;
  /**
   * Replies of the judge so far; absent: exact mode, nobody is asked. Scoring stays a pure function: while it
   * returns `ask`, call it again with one more reply.
   */
  readonly replies?: readonly JudgeReply[];
  /** Seeds the pick after a judge that failed; with the row's index it gives the same pick every time. */
  readonly seed?: number;
}

/** A row with its score; what figures are made of. */
export interface ScoredRow {
  readonly row: Row;
  readonly score: ItemScore;
}

/** One figure of a benchmark. */
export interface Figure {
  /** As VLMEvalKit names it, made of its parts with `/`: `Average/all`, `Overall`, `Perception/Avg`. */
  readonly name: string;
  /** In the unit the reference reports (fraction, percent, `36.29%`); null where it divides by zero. */
  readonly value: number | string | null;
}

/** A headline figure, in percent, by the paper's name of it. */
export interface Headline {
  /** `Overall`, `FSP`, `FCP`, `Reasoning`, `Perception`, `WeMath-S`, `WeMath-L`, `Adversarial`, ... */
  readonly name: string;
  /** 0 to 100, not rounded; null where it is not defined. */
  readonly percent: number | null;
}

/** Everything a benchmark reports about a table of scores. */
export interface Figures {
  readonly benchmark: DatasetName;
  readonly era: Era;
  readonly numRows: number;
  /** Rows whose prediction was missing. */
  readonly numMissing: number;
  /** Rows that were settled by a seeded pick. */
  readonly numRandom: number;
  /** True where the protocol needs a judge and none was asked. */
  readonly isLowerBound: boolean;
  /** Every figure of the reference's own report, in its order. */
  readonly figures: readonly Figure[];
  /** What the paper's tables print. */
  readonly headlines: readonly Headline[];
}

/** A benchmark: all functions are pure. */
export interface Benchmark {
  readonly name: DatasetName;
  /** As the paper's tables call it. */
  readonly paperName: string;
  /** File name under the data folder. */
  readonly file: string;
  /** Where `gapvl evaluate fetch` gets it; null for one's own. */
  readonly url: string | null;
  /** Lower-case hexadecimal MD5 of the file; null for one's own. */
  readonly md5: string | null;
  /** Rows of the whole file; where the document does not vouch for it, for information only. */
  readonly numRows: number | null;
  /** `none`: never asked. `helps`: exact mode loses little. `needed`: exact mode is a lower bound. */
  readonly judge: 'none' | 'helps' | 'needed';
  /** The reference's default judge model. */
  readonly judgeModel: string | null;
  /** Columns scoring cannot do without. */
  readonly scoringColumns: readonly string[];
  /** Columns the prompt cannot do without. */
  readonly promptColumns: readonly string[];
  /** The text part of the prompt; all pictures stand before it. */
  readonly promptText: (row: Row, builder: PromptBuilder) => string;
  /** The row as scoring wants it: names lower-cased where the reference does, and the like. */
  readonly prepareRow: (row: Row) => Row;
  /** @param row - as `prepareRow` returns it. */
  readonly scoreItem: (
    row: Row,
    prediction: Cell,
    options: ScoreOptions,
  ) => ItemScore | JudgeQuestion;
  /** @param rows - rows as `prepareRow` returns them, in the order of the table. */
  readonly aggregate: (rows: readonly ScoredRow[], era: Era) => Figures;
  /** The question a row belongs to: rows of one are not independent (HRBench rotations, WeMath groups). */
  readonly cluster: (row: Row) => string;
}
