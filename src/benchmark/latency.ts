// Owns latency figures: mean and percentiles of the seconds of single answers.

/** Figures of some latencies, in seconds; null where there is none. */
export interface LatencySummary {
  readonly n: number;
  readonly meanS: number | null;
  readonly p50S: number | null;
  readonly p90S: number | null;
}

/** Percentile by linear interpolation between order statistics, with numpy's own rounding. */
function percentile(sorted: readonly number[], share: number): number | null {
  const position = share * (sorted.length - 1);
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) return null;
  const part = position - Math.floor(position);
  const step = above - below;
  return part >= 0.5 ? above - step * (1 - part) : below + step * part;
}

/**
 * Mean, P50 and P90, e.g. 1, 2, 4, 8, 16 give 6.2, 4 and 12.8.
 * @param seconds - one number an answer; failed and batched ones left out.
 */
export function summarizeLatency(seconds: readonly number[]): LatencySummary {
  const sorted = seconds.toSorted((a, b) => a - b);
  const sum = sorted.reduce((total, value) => total + value, 0);
  return {
    n: sorted.length,
    meanS: sorted.length === 0 ? null : sum / sorted.length,
    p50S: percentile(sorted, 0.5),
    p90S: percentile(sorted, 0.9),
  };
}
