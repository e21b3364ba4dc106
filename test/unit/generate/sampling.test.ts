// Tests the choice of the next token: ties, bans, and the distribution at a temperature.
import { describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../src/errors.ts';
import { sampleToken } from '../../../src/generate/sampling.ts';
import { Rng } from '../../../src/rng.ts';

const LOGITS = Float32Array.of(1, 3, -2, 3, 0.5, 2);
/** Chi-square values that chance passes once in a thousand, by degrees of freedom. */
const CRITICAL = { 3: 16.27, 5: 20.52 } as const;

function count(temperature: number, banned: readonly number[], draws: number): number[] {
  const rng = new Rng(42);
  const counts = Array<number>(LOGITS.length).fill(0);
  for (let i = 0; i < draws; i++) {
    const id = sampleToken(LOGITS, { temperature }, rng, banned);
    counts[id] = (counts[id] ?? 0) + 1;
  }
  return counts;
}

/** Sum of (seen - expected)^2 / expected over the ids that may be drawn. */
function chiSquare(
  counts: readonly number[],
  temperature: number,
  banned: readonly number[],
): number {
  const weights = Array.from(LOGITS, (x, id) =>
    banned.includes(id) ? 0 : Math.exp(x / temperature),
  );
  const total = weights.reduce((sum, w) => sum + w, 0);
  const draws = counts.reduce((sum, c) => sum + c, 0);
  return weights.reduce((sum, w, id) => {
    const expected = (draws * w) / total;
    return w === 0 ? sum : sum + ((counts[id] ?? 0) - expected) ** 2 / expected;
  }, 0);
}

describe('greedy choice', () => {
  it('takes the largest logit, of equal ones the smaller id, and draws nothing', () => {
    const rng = new Rng(1);
    const before = rng.state();
    expect(sampleToken(LOGITS, { temperature: 0 }, rng)).toBe(1);
    expect(rng.state()).toEqual(before);
  });

  it('passes over banned ids', () => {
    const rng = new Rng(1);
    expect(sampleToken(LOGITS, { temperature: 0 }, rng, [1])).toBe(3);
    expect(sampleToken(LOGITS, { temperature: 0 }, rng, [1, 3])).toBe(5);
  });
});

describe('sampling', () => {
  it.each([0.5, 1, 2])('at temperature %d follows softmax(logits / temperature)', (temperature) => {
    const counts = count(temperature, [], 20_000);
    expect(chiSquare(counts, temperature, [])).toBeLessThan(CRITICAL[5]);
    // The test can tell: the same counts do not pass for a temperature 20 % off.
    expect(chiSquare(counts, temperature * 1.2, [])).toBeGreaterThan(CRITICAL[5]);
  });

  it('never draws banned ids and shares their chance among the others in proportion', () => {
    const counts = count(1, [1, 4], 20_000);
    expect([counts[1], counts[4]]).toEqual([0, 0]);
    expect(chiSquare(counts, 1, [1, 4])).toBeLessThan(CRITICAL[3]);
  });

  it('is the same for the same generator state, and for logits that differ by a constant', () => {
    const shifted = LOGITS.map((x) => x + 1000);
    for (let seed = 0; seed < 50; seed++) {
      const own = sampleToken(LOGITS, { temperature: 1 }, new Rng(seed));
      expect(sampleToken(LOGITS, { temperature: 1 }, new Rng(seed))).toBe(own);
      expect(sampleToken(shifted, { temperature: 1 }, new Rng(seed))).toBe(own);
    }
  });

  it('becomes greedy as the temperature falls', () => {
    const sharp = Float32Array.of(0, 5, 4.9);
    const rng = new Rng(3);
    for (let i = 0; i < 200; i++) expect(sampleToken(sharp, { temperature: 1e-3 }, rng)).toBe(1);
  });

  it.each([0, 1])('refuses logits that are no numbers at temperature %d', (temperature) => {
    const broken = Float32Array.of(NaN, NaN, NaN);
    expect(() => sampleToken(broken, { temperature }, new Rng(1))).toThrow(RuntimeError);
    expect(() => sampleToken(LOGITS, { temperature }, new Rng(1), [0, 1, 2, 3, 4, 5])).toThrow(
      RuntimeError,
    );
  });

  it('refuses to draw among logits of which one is no number', () => {
    const broken = Float32Array.of(1, NaN, 2);
    expect(() => sampleToken(broken, { temperature: 1 }, new Rng(1))).toThrow(RuntimeError);
  });
});
