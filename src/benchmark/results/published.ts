// Owns the figures that the GAP paper prints in Tables 2, 3, 6, 8, 9 and 10, and what is known to be odd about
// them; the tables of `gapvl evaluate table` stand beside them.
import type { AverageName } from '../averages.ts';
import type { BenchmarkName } from '../types.ts';

/** Where every figure of this file was read. The text of the paper is CC BY 4.0. */
export const PUBLISHED_SOURCE =
  'Fill the GAP: A Granular Alignment Paradigm for Visual Reasoning in Multimodal Large Language ' +
  'Models, arXiv 2605.12374v4 (2026-05-25)';

/** Tables that can be printed. */
export const TABLE_NUMBERS = ['2', '3', '6', '8', '9', '10'] as const;

/** Number of a table in the paper. */
export type TableNumber = (typeof TABLE_NUMBERS)[number];

/** What a column of a table is made from. */
export type ColumnSource =
  | { readonly kind: 'headline'; readonly benchmark: BenchmarkName; readonly headline: string }
  | { readonly kind: 'average'; readonly average: AverageName }
  /** Average minus that of the base model. */
  | { readonly kind: 'gain'; readonly average: AverageName }
  /** Mean seconds an item; `Avg-2` is the mean of HRBench4K and MathVista. */
  | { readonly kind: 'latency'; readonly of: BenchmarkName | 'Avg-2' }
  /** Avg-2 latency over that of Dense Caption SFT. */
  | { readonly kind: 'relative' }
  /** Latents a span. */
  | { readonly kind: 'budget' };

/** A column of a table of the paper. */
export interface PaperColumn {
  readonly heading: string;
  readonly source: ColumnSource;
}

/** A published figure, with the standard deviation over seeds where one is printed. */
export type PublishedCell = number | { readonly value: number; readonly std: number } | null;

/** A row of a table of the paper; cells in the order of the columns. */
export interface PublishedRow {
  /** As printed. */
  readonly label: string;
  readonly cells: readonly PublishedCell[];
}

/** A table of the paper. */
export interface PublishedTable {
  readonly number: TableNumber;
  readonly title: string;
  /** Section it stands in. */
  readonly section: string;
  readonly columns: readonly PaperColumn[];
  readonly rows: readonly PublishedRow[];
}

function headline(heading: string, benchmark: BenchmarkName, name = 'Overall'): PaperColumn {
  return { heading, source: { kind: 'headline', benchmark, headline: name } };
}

function average(name: AverageName): PaperColumn {
  return { heading: name, source: { kind: 'average', average: name } };
}

function latency(heading: string, of: BenchmarkName | 'Avg-2'): PaperColumn {
  return { heading, source: { kind: 'latency', of } };
}

const BUDGET: PaperColumn = { heading: 'Latents', source: { kind: 'budget' } };
const HR4K = headline('HRBench4K', 'HRBench4K');
const MMSTAR = headline('MMStar', 'MMStar');
const MATHVISTA = headline('MathVista', 'MathVista_MINI');

function seeds(value: number, std: number): PublishedCell {
  return { value, std };
}

const TABLE_2: PublishedTable = {
  number: '2',
  title: 'Perception',
  section: '5.2',
  columns: [
    HR4K,
    headline('FSP', 'HRBench4K', 'FSP'),
    headline('FCP', 'HRBench4K', 'FCP'),
    MMSTAR,
    headline('MME-RW-Lite', 'MME-RealWorld-Lite'),
    headline('Reasoning', 'MME-RealWorld-Lite', 'Reasoning'),
    headline('Perception', 'MME-RealWorld-Lite', 'Perception'),
    average('Avg-P'),
  ],
  rows: [
    { label: 'Qwen2.5-VL', cells: [68.12, 84.5, 52.75, 60.46, 44.39, 37.6, 48.76, 57.66] },
    { label: 'Dense Cap', cells: [69.88, 85.5, 53.25, 60.5, 47.73, 42.4, 51.15, 59.4] },
    { label: 'Monet-7B', cells: [70.75, 90.5, 51, 60.8, 47.2, 42.9, 50, 59.58] },
    { label: 'LVR', cells: [70.75, 84.25, 57.25, 62.07, 49.45, 43.07, 53.55, 60.75] },
    { label: 'LH', cells: [70.63, 85, 56.25, 61.2, 45.25, 39.2, 49.82, 59.03] },
    { label: 'LH+DA', cells: [71.5, 85, 58.75, 61.8, 45.75, 39.06, 50, 59.68] },
    { label: 'LH+PCA', cells: [72.25, 87.75, 54.75, 62.1, 46.85, 39.8, 51.5, 60.4] },
    { label: 'GAP (LH+PCA+DA)', cells: [73.25, 86.5, 60, 63.4, 47.31, 43.07, 50.79, 61.32] },
  ],
};

const TABLE_3: PublishedTable = {
  number: '3',
  title: 'Reasoning',
  section: '5.2',
  columns: [
    MATHVISTA,
    headline('WeMath-S', 'WeMath', 'WeMath-S'),
    headline('WeMath-L', 'WeMath', 'WeMath-L'),
    average('Avg-R'),
  ],
  rows: [
    { label: 'Qwen2.5-VL', cells: [68.5, 36.29, 53.06, 52.62] },
    { label: 'Dense Cap', cells: [67.7, 28.6, 45.43, 47.24] },
    { label: 'Monet-7B', cells: [61.3, 32.67, 50, 47.99] },
    { label: 'LVR', cells: [67, 26.95, 49.05, 47.66] },
    { label: 'LH', cells: [68.6, 30, 48.86, 49.15] },
    { label: 'LH+DA', cells: [68.9, 31.26, 50, 50.05] },
    { label: 'LH+PCA', cells: [70.2, 35.24, 52, 52.48] },
    { label: 'GAP (LH+PCA+DA)', cells: [71, 36.33, 54.57, 53.97] },
  ],
};

const TABLE_6: PublishedTable = {
  number: '6',
  title: 'Interventions on latents',
  section: '5.4',
  columns: [
    BUDGET,
    HR4K,
    MATHVISTA,
    average('Avg-2'),
    { heading: 'Gain', source: { kind: 'gain', average: 'Avg-2' } },
  ],
  rows: [
    { label: 'Qwen2.5-VL', cells: [0, 68.12, 68.5, 68.31, 0] },
    { label: 'Dense Cap', cells: [0, 69.88, 67.7, 68.79, 0.48] },
    { label: 'GAP, zero-latent', cells: [0, 71.25, 69.4, 70.33, 2.02] },
    { label: 'GAP, noise', cells: [36, 70.38, 69, 69.69, 1.38] },
    { label: 'GAP, clean', cells: [36, 73.25, 71, 72.13, 3.82] },
  ],
};

const TABLE_8: PublishedTable = {
  number: '8',
  title: 'Hallucination (POPE, F1)',
  section: 'E',
  columns: [
    headline('Overall', 'POPE'),
    headline('Popular', 'POPE', 'Popular'),
    headline('Adversarial', 'POPE', 'Adversarial'),
    headline('Random', 'POPE', 'Random'),
  ],
  rows: [
    { label: 'Qwen2.5-VL', cells: [86.25, 86.34, 85.33, 87.03] },
    { label: 'LH+DA', cells: [86.02, 85.7, 84.36, 87.09] },
    { label: 'GAP (LH+PCA+DA)', cells: [86.3, 85.76, 84.49, 88.7] },
  ],
};

const TABLE_9: PublishedTable = {
  number: '9',
  title: 'Cost of inference, mean seconds an item',
  section: 'G',
  columns: [
    BUDGET,
    latency('HRBench4K (s)', 'HRBench4K'),
    latency('MathVista (s)', 'MathVista_MINI'),
    latency('Avg-2 (s)', 'Avg-2'),
    { heading: 'Rel.', source: { kind: 'relative' } },
    average('Avg-2'),
  ],
  rows: [
    { label: 'Dense Cap', cells: [0, 18.81, 28.74, 23.78, 1, 68.79] },
    { label: 'GAP (LH+PCA+DA)', cells: [4, 27.05, 44.08, 35.56, 1.5, 70.64] },
    { label: 'GAP (LH+PCA+DA)', cells: [16, 29.55, 46.5, 38.02, 1.6, 72.27] },
    { label: 'GAP (LH+PCA+DA)', cells: [36, 29.59, 47.13, 38.36, 1.61, 72.13] },
    { label: 'GAP (LH+PCA+DA)', cells: [64, 28.47, 49.14, 38.8, 1.63, 71.98] },
    { label: 'GAP (LH+PCA+DA)', cells: [144, 28.09, 46.96, 37.53, 1.58, 70.83] },
  ],
};

const TABLE_10: PublishedTable = {
  number: '10',
  title: 'Latent budget, mean and standard deviation of three seeds',
  section: 'H',
  columns: [BUDGET, HR4K, MMSTAR, MATHVISTA, average('Avg-3')],
  rows: [
    {
      label: 'GAP (LH+PCA+DA)',
      cells: [0, seeds(69.88, 0.211), seeds(60.5, 0.431), seeds(67.7, 0.183), 66.03],
    },
    {
      label: 'GAP (LH+PCA+DA)',
      cells: [16, seeds(72.63, 0.176), seeds(62.8, 0.387), seeds(71.9, 0.215), 69.11],
    },
    {
      label: 'GAP (LH+PCA+DA)',
      cells: [36, seeds(73.25, 0.22), seeds(63.4, 0.34), seeds(71, 0.12), 69.22],
    },
    {
      label: 'GAP (LH+PCA+DA)',
      cells: [64, seeds(73.75, 0.295), seeds(62.1, 0.289), seeds(70.2, 0.141), 68.68],
    },
    {
      label: 'GAP (LH+PCA+DA)',
      cells: [144, seeds(73.25, 0.134), seeds(62.1, 0.412), seeds(68.4, 0.167), 67.91],
    },
  ],
};

/** The tables of the paper by number. */
export const PUBLISHED_TABLES: Readonly<Record<TableNumber, PublishedTable>> = {
  '2': TABLE_2,
  '3': TABLE_3,
  '6': TABLE_6,
  '8': TABLE_8,
  '9': TABLE_9,
  '10': TABLE_10,
};
