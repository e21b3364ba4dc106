// Owns the averages of the paper's tables over benchmarks, and mean and spread over seeds.
import { ConfigError } from '../errors.ts';
import type { BenchmarkName, Figures } from './types.ts';

/** The averages, in the order of the paper. */
export const AVERAGE_NAMES = ['Avg-P', 'Avg-R', 'Avg-2', 'Avg-3'] as const;

/** Name of an average. */
export type AverageName = (typeof AVERAGE_NAMES)[number];

/** A headline of a benchmark. */
export interface AverageMember {
  readonly benchmark: BenchmarkName;
  readonly headline: string;
}

const member = (benchmark: BenchmarkName, headline = 'Overall'): AverageMember => ({
  benchmark,
  headline,
});

/** What each average is the unweighted mean of. Source: GAP, Tables 2, 5, 6, 9 and 10. */
export const AVERAGE_MEMBERS: Readonly<Record<AverageName, readonly AverageMember[]>> = {
  'Avg-P': [member('HRBench4K'), member('MMStar'), member('MME-RealWorld-Lite')],
  'Avg-R': [member('MathVista_MINI'), member('WeMath', 'WeMath-S'), member('WeMath', 'WeMath-L')],
  'Avg-2': [member('HRBench4K'), member('MathVista_MINI')],
  'Avg-3': [member('HRBench4K'), member('MMStar'), member('MathVista_MINI')],
};

/**
 * The averages of one row of a table, in percent, of figures that are not rounded; null where a member is
 * missing or not defined.
 * @param figures - one of each benchmark at most.
 * @throws ConfigError if a benchmark is there twice.
 */
export function tableAverages(
  figures: readonly Pick<Figures, 'benchmark' | 'headlines'>[],
): Readonly<Record<AverageName, number | null>> {
  const names = figures.map((one) => one.benchmark);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) {
    throw new ConfigError({
      what: 'an average over benchmarks has one of them twice',
      got: twice,
      expected: 'one set of figures a benchmark',
      fix: 'average runs with other seeds first',
    });
  }
  const percentOf = ({ benchmark, headline }: AverageMember): number | null => {
    const found = figures.find((one) => one.benchmark === benchmark);
    return found?.headlines.find((one) => one.name === headline)?.percent ?? null;
  };
  const average = (name: AverageName): number | null => {
    const percents = AVERAGE_MEMBERS[name].map(percentOf);
    const known = percents.filter((percent) => percent !== null);
    if (known.length < percents.length) return null;
    return known.reduce((sum, percent) => sum + percent, 0) / known.length;
  };
  return {
    'Avg-P': average('Avg-P'),
    'Avg-R': average('Avg-R'),
    'Avg-2': average('Avg-2'),
    'Avg-3': average('Avg-3'),
  };
}

/** Mean and spread of one figure over seeds. */
export interface SeedSummary {
  readonly n: number;
  readonly mean: number | null;
  /** Sample standard deviation (n - 1); null for fewer than two. */
  readonly std: number | null;
}

/** ours: the paper does not say which estimator its spread is; this one divides by n - 1. */
export function summarizeSeeds(values: readonly number[]): SeedSummary {
  const n = values.length;
  if (n === 0) return { n, mean: null, std: null };
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  if (n === 1) return { n, mean, std: null };
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { n, mean, std: Math.sqrt(squares / (n - 1)) };
}
