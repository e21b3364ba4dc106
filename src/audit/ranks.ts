// Owns ranks among candidates with ties, and what chance would give; the parser part calls it.

/** Where the right one of some candidates stands when ordered by a score. */
export interface Standing {
  /** Candidates, the right one among them. */
  readonly candidates: number;
  /** Candidates that score higher than the right one. */
  readonly better: number;
  /** Others that score the same. */
  readonly ties: number;
}

/** Scores of a standing, and what they are on average when the order is random. */
export interface RankScores {
  /** 1 is first; equals share their mean rank. */
  readonly rank: number;
  /** 1 when first alone; equals share it. */
  readonly top1: number;
  /** 1 / rank, a mean over the orders that equals can stand in. */
  readonly reciprocal: number;
}

/**
 * Where a score stands among those of distractors.
 * Worked example: 5 against 7, 5, 1 is one of four, one is better, one equal.
 */
export function standingOf(own: number, distractors: readonly number[]): Standing {
  return {
    candidates: distractors.length + 1,
    better: distractors.filter((score) => score > own).length,
    ties: distractors.filter((score) => score === own).length,
  };
}

/**
 * Rank, top-1 and reciprocal rank; equals count as in a random order among themselves, so that a
 * score which tells nothing comes out at chance exactly.
 * Worked example: one better, one equal: ranks 2 or 3, so 2.5; top-1 0; (1/2 + 1/3) / 2 = 0.4167.
 */
export function rankScores({ better, ties }: Standing): RankScores {
  let reciprocal = 0;
  for (let rank = better + 1; rank <= better + ties + 1; rank++) reciprocal += 1 / rank;
  return {
    rank: better + 1 + ties / 2,
    top1: better === 0 ? 1 / (ties + 1) : 0,
    reciprocal: reciprocal / (ties + 1),
  };
}

/** What a random order gives: (n + 1) / 2, 1 / n, and the mean of 1, 1/2, ..., 1/n. */
export function chanceScores(candidates: number): RankScores {
  return rankScores({ candidates, better: 0, ties: candidates - 1 });
}

/**
 * How much two texts share as bags of words: words in both over words in either, with
 * multiplicity; 0 for two empty texts. Worked example: `a a b` and `a b c`: 2 of 4, 0.5.
 * Source: the Jaccard index of multisets.
 */
export function wordOverlap(first: string, second: string): number {
  const count = (text: string): Map<string, number> => {
    const words = new Map<string, number>();
    for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
      words.set(word, (words.get(word) ?? 0) + 1);
    }
    return words;
  };
  const [a, b] = [count(first), count(second)];
  let [shared, all] = [0, 0];
  for (const word of new Set([...a.keys(), ...b.keys()])) {
    const [x, y] = [a.get(word) ?? 0, b.get(word) ?? 0];
    shared += Math.min(x, y);
    all += Math.max(x, y);
  }
  return all === 0 ? 0 : shared / all;
}
