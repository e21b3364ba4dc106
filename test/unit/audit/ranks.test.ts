// Holds ranks, spans' distances and overlaps of words against values worked out by hand.
import { describe, expect, it } from 'vitest';
import { joinRows, latentDistance, rowsOf } from '../../../src/audit/latent-distance.ts';
import { chanceScores, rankScores, standingOf, wordOverlap } from '../../../src/audit/ranks.ts';

describe('a standing', () => {
  it('counts who is better and who is equal', () => {
    expect(standingOf(5, [7, 5, 1])).toEqual({ candidates: 4, better: 1, ties: 1 });
    expect(standingOf(-Infinity, [-Infinity, -Infinity])).toEqual({
      ...{ candidates: 3, better: 0, ties: 2 },
    });
  });

  it('gives equals the mean over the orders they can stand in', () => {
    const scores = rankScores({ candidates: 4, better: 1, ties: 1 });
    expect(scores.rank).toBe(2.5);
    expect(scores.top1).toBe(0);
    expect(scores.reciprocal).toBeCloseTo((1 / 2 + 1 / 3) / 2, 12);
    expect(rankScores({ candidates: 9, better: 0, ties: 0 })).toEqual({
      ...{ rank: 1, top1: 1, reciprocal: 1 },
    });
  });

  it('is at chance when all candidates are equal', () => {
    const chance = chanceScores(4);
    expect(chance.rank).toBe(2.5);
    expect(chance.top1).toBe(0.25);
    expect(chance.reciprocal).toBeCloseTo((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, 12);
    expect(rankScores(standingOf(0, [0, 0, 0]))).toEqual(chance);
  });

  it('averages over all places to chance', () => {
    const places = [0, 1, 2, 3, 4].map((better) => rankScores({ candidates: 5, better, ties: 0 }));
    const chance = chanceScores(5);
    for (const key of ['rank', 'top1', 'reciprocal'] as const) {
      const mean = places.reduce((sum, scores) => sum + scores[key], 0) / 5;
      expect(mean).toBeCloseTo(chance[key], 12);
    }
  });
});

describe('the overlap of words', () => {
  it('counts words with multiplicity, without case and punctuation', () => {
    expect(wordOverlap('a a b', 'a b c')).toBe(0.5);
    expect(wordOverlap('The Rope, red!', 'red rope the')).toBe(1);
    expect(wordOverlap('one', 'two')).toBe(0);
    expect(wordOverlap('', '')).toBe(0);
  });
});

describe('the distance of two spans', () => {
  it('is a mean over positions of lengths and angles', () => {
    const first = [Float32Array.of(1, 0), Float32Array.of(0, 2)];
    const second = [Float32Array.of(1, 0), Float32Array.of(2, 0)];
    const distance = latentDistance(first, second);
    expect(distance?.l2).toBeCloseTo(Math.sqrt(8) / 2, 6);
    expect(distance?.cosine).toBeCloseTo(0.5, 6);
    expect(latentDistance(first, first)).toEqual({ l2: 0, cosine: 0 });
  });

  it('is none without latents, and over common positions of spans of two lengths', () => {
    const long = [Float32Array.of(3, 4), Float32Array.of(9, 9)];
    expect(latentDistance(long, [])).toBeNull();
    expect(latentDistance(long, [Float32Array.of(0, 0)])?.l2).toBe(5);
  });

  it('takes matrices apart and together again', () => {
    const matrix = Float32Array.of(1, 2, 3, 4, 5, 6);
    expect(rowsOf(matrix, 2).map((row) => [...row])).toEqual([
      [1, 2],
      [3, 4],
      [5, 6],
    ]);
    expect(joinRows(rowsOf(matrix, 3))).toEqual(matrix);
  });
});
