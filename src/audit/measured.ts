// Owns how numbers with intervals get from statistics into tables and sentences; parts call it.
import type { MeanInterval } from '../evaluate/statistics.ts';
import type { Measured } from './types.ts';

/** A mean with its interval as a table's cell. */
export function measured({ mean, low, high }: MeanInterval): Measured {
  return { value: mean, low, high };
}

/** A number in a sentence, three significant digits without a power of ten where it can be. */
export function told(value: number): string {
  if (!Number.isFinite(value)) return 'no number';
  return String(Number(value.toPrecision(3)));
}

/** A share in a sentence. */
export function toldPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** A difference of shares with its interval in a sentence. */
export function toldPoints({ mean, low, high }: MeanInterval): string {
  const points = (x: number): string => `${x < 0 ? '-' : '+'}${Math.abs(100 * x).toFixed(1)}`;
  return `${points(mean)} points (${points(low)} to ${points(high)})`;
}
