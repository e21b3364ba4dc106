// Owns what counts as having become slower; bench/check.ts asks, once for every measurement.

/** Times as fast as a peer, by name of the case. */
export type Ratios = Readonly<Record<string, number>>;

/** What is left of a kept ratio below which a case has become slower: a loss of a third. */
export const LEAST_SHARE = 2 / 3;

/** One case held against what was kept. */
export interface Compared {
  readonly name: string;
  /** NaN where it was not measured. */
  readonly ratio: number;
  /** NaN where nothing is kept. */
  readonly kept: number;
  readonly passed: boolean;
}

/**
 * Every case of either side, the better of what was measured: a case that only one side has fails,
 * so that none vanishes unseen.
 */
export function compareRatios(kept: Ratios, measured: readonly Ratios[]): Compared[] {
  const names = new Set([kept, ...measured].flatMap((ratios) => Object.keys(ratios)));
  return [...names].map((name) => {
    const found = measured.flatMap((ratios) => (name in ratios ? [ratios[name] ?? NaN] : []));
    const ratio = found.length > 0 ? Math.max(...found) : NaN;
    const before = kept[name] ?? NaN;
    // NaN on either side passes nothing.
    return { name, ratio, kept: before, passed: ratio >= before * LEAST_SHARE };
  });
}

/** The smaller ratio of each case: what noise alone should not fall a third below. */
export function lowerRatios(all: readonly Ratios[]): Ratios {
  const names = new Set(all.flatMap((ratios) => Object.keys(ratios)));
  return Object.fromEntries(
    [...names].map((name) => [name, Math.min(...all.map((ratios) => ratios[name] ?? NaN))]),
  );
}
