// Tests what an audit concludes, on journals written by hand.
import { describe, expect, it } from 'vitest';
import { donorOf } from '../../../src/audit/arms.ts';
import { betterArm, cautiousInterval, questionsFor } from '../../../src/audit/caution.ts';
import type { ArmRecord, CleanRow, Journals } from '../../../src/audit/part.ts';
import { forcedCounts } from '../../../src/audit/parts/exposure.ts';
import { REPLACEMENT_PART } from '../../../src/audit/parts/replacement.ts';
import {
  meanOfSpans,
  permutedRows,
  pooledNoise,
  repeatRow,
} from '../../../src/audit/replacements.ts';
import type { Measured } from '../../../src/audit/types.ts';
import { canaries, cardFigures, verdictOf } from '../../../src/audit/verdict.ts';
import { pairedEffect } from '../../../src/evaluate/effects.ts';
import type { PairedEffect } from '../../../src/evaluate/effects.ts';
import { Rng } from '../../../src/rng.ts';

const FACTS = { seed: 1, numLatents: 4, variant: 'GAP' };

function record(i: number, correct: boolean, rest: Partial<ArmRecord> = {}): ArmRecord {
  return {
    ...{ id: `q${i}`, task: 'rope', cluster: `q${i}`, triggered: true, response: 'r' },
    ...{ answer: 'a', expected: 'a', correct, finished: true, logitsHash: 'clean' },
    ...{ logitsDistance: 0, latentNorm: 1, targetError: null },
    ...rest,
  };
}

/** Journals of n questions of which each arm has the first so many right. */
function journals(n: number, right: Readonly<Record<string, number>>): Journals {
  const arms = new Map(
    Object.entries(right).map(([name, count]) => {
      const logitsHash = ['clean', 'identity'].includes(name) ? 'clean' : name;
      return [name, Array.from({ length: n }, (_, i) => record(i, i < count, { logitsHash }))];
    }),
  );
  return { arm: (name) => arms.get(name) ?? [], part: () => [] };
}

/** Everything but what the test sets: an instrument that works. */
function sound(n: number, right: Readonly<Record<string, number>>): Journals {
  const { clean = 0 } = right;
  return journals(n, { identity: clean, 'zero-vector': 0, 'noise-unit': 0, ...right });
}

const verdict = (found: Journals) => verdictOf(found, canaries(found), FACTS);

describe('the verdict', () => {
  it('is "used" when clean beats all three of another, markers only and no span', () => {
    const found = sound(200, { clean: 180, other: 60, 'markers-only': 70, 'zero-latent': 80 });
    const { kind, because, wouldChange } = verdict(found);
    expect(kind).toBe('used');
    expect(because[0]).toMatch(/60\.0 points .*McNemar p < 0\.001, n = 200/);
    expect(wouldChange).toContain('no span at all');
  });

  it('is not "used" when one of the three does as well', () => {
    for (const name of ['other', 'markers-only', 'zero-latent']) {
      const right = { clean: 180, other: 60, 'markers-only': 60, 'zero-latent': 60, [name]: 180 };
      expect(verdict(sound(200, right)).kind).not.toBe('used');
    }
  });

  it('is "not-used" when answers do not depend on whose latents are read', () => {
    const same = { clean: 180, other: 180, 'markers-only': 180, 'zero-latent': 180 };
    const found = verdict(sound(200, same));
    expect(found.kind).toBe('not-used');
    expect(found.wouldChange).toMatch(
      /excluded here; a smaller one would need about [\d,]+ questions/,
    );
    const slots = { clean: 180, other: 180, 'markers-only': 60, 'zero-latent': 60 };
    expect(verdict(sound(200, slots)).sentence).toContain('not by what is in it');
  });

  it('is "harmful" when answers are better without a span', () => {
    const right = { clean: 60, other: 30, 'markers-only': 60, 'zero-latent': 120 };
    expect(verdict(sound(200, right)).kind).toBe('harmful');
  });

  it('is "open" with few questions, and says how many would do', () => {
    const right = { clean: 7, other: 5, 'markers-only': 5, 'zero-latent': 5 };
    const { kind, wouldChange } = verdict(sound(10, right));
    expect(kind).toBe('open');
    expect(Number(/About ([\d,]+)/.exec(wouldChange)?.[1]?.replaceAll(',', ''))).toBeGreaterThan(
      10,
    );
  });

  it('is "open" with so few questions that an interval without width says nothing', () => {
    const same = { clean: 2, other: 2, 'markers-only': 2, 'zero-latent': 2 };
    expect(verdict(sound(2, same))).toMatchObject({
      kind: 'open',
      sentence: /2 questions are too few for an interval; 6 is the least/,
      wouldChange: /About 312 questions/,
    });
    const apart = { clean: 5, other: 0, 'markers-only': 0, 'zero-latent': 0 };
    expect(verdict(sound(5, apart)).kind).toBe('open');
    expect(
      verdict(sound(5, { clean: 0, other: 0, 'markers-only': 0, 'zero-latent': 5 })).kind,
    ).toBe('open');
    // 40 questions without a difference still allow one of 9 points.
    const forty = { clean: 40, other: 40, 'markers-only': 40, 'zero-latent': 40 };
    expect(verdict(sound(40, forty)).kind).toBe('open');
  });

  it('is "open" when nothing is right, as then nothing can be lost', () => {
    const none = { clean: 0, other: 0, 'markers-only': 0, 'zero-latent': 0 };
    expect(verdict(sound(400, none))).toMatchObject({ kind: 'open', sentence: /hardly any/ });
  });

  it('says that content matters when it does but writing latents does not help', () => {
    const right = { clean: 180, other: 60, 'markers-only': 180, 'zero-latent': 180 };
    expect(verdict(sound(200, right))).toMatchObject({
      kind: 'open',
      sentence: /what is in the latents changes answers/,
    });
  });

  it('says of responses that end with their span that the limit of tokens is the reason', () => {
    const base = sound(200, { clean: 0, other: 0, 'markers-only': 0, 'zero-latent': 0 });
    const cut: Journals = {
      ...base,
      arm: (name) => base.arm(name).map((r) => ({ ...r, logitsHash: null })),
    };
    expect(verdict(cut)).toMatchObject({ kind: 'refused', wouldChange: /limit of tokens/ });
  });

  it('is refused when latents replaced by themselves change a single response', () => {
    const right = { clean: 180, other: 60, 'markers-only': 60, 'zero-latent': 60 };
    const base = sound(200, right);
    const broken: Journals = {
      ...base,
      arm: (name) =>
        base
          .arm(name)
          .map((r, i) => (name === 'identity' && i === 7 ? { ...r, logitsHash: 'x' } : r)),
    };
    expect(verdict(broken)).toMatchObject({ kind: 'refused', sentence: /identity/ });
  });

  it('is refused when a destructive replacement leaves the logits behind a span alone', () => {
    const right = { clean: 180, other: 60, 'markers-only': 60, 'zero-latent': 60 };
    const base = sound(200, right);
    const broken: Journals = {
      ...base,
      arm: (name) =>
        base
          .arm(name)
          .map((r, i) => (name === 'noise-unit' && i === 0 ? { ...r, logitsHash: 'clean' } : r)),
    };
    expect(verdict(broken)).toMatchObject({ kind: 'refused', sentence: /destruction/ });
  });

  it('is refused when no response has a span', () => {
    const base = sound(200, { clean: 180, other: 60, 'markers-only': 60, 'zero-latent': 60 });
    const silent: Journals = {
      ...base,
      arm: (name) => base.arm(name).map((r) => ({ ...r, triggered: false })),
    };
    expect(verdict(silent).sentence).toContain('trigger');
    expect(verdict(silent).because).toHaveLength(1);
  });
});

describe('a cautious interval', () => {
  const effect = (numFirstOnly: number, numSecondOnly: number, n: number): PairedEffect => {
    const scores = (from: number, to: number): number[] =>
      Array.from({ length: n }, (_, i) => (i >= from && i < to ? 1 : 0));
    const first = scores(0, numFirstOnly);
    const second = scores(numFirstOnly, numFirstOnly + numSecondOnly);
    return pairedEffect({ first, second, rng: new Rng(1) });
  };

  it('is as the worked example says, and never inside of the bootstrap', () => {
    expect(effect(0, 0, 2).difference).toMatchObject({ low: 0, high: 0 });
    expect(cautiousInterval(effect(0, 0, 2)).high).toBeCloseTo(0.658, 3);
    expect(cautiousInterval(effect(0, 0, 400)).low).toBeCloseTo(-0.0095, 4);
    for (const [a, b] of [
      [0, 3],
      [40, 10],
      [1, 0],
      [100, 0],
    ] as const) {
      const found = effect(a, b, 100);
      const { low, high } = cautiousInterval(found);
      expect(low).toBeLessThanOrEqual(found.difference.low);
      expect(high).toBeGreaterThanOrEqual(found.difference.high);
    }
  });

  it('names no arm better before the exact test does', () => {
    expect(betterArm(effect(5, 0, 5))).toBeUndefined();
    expect(betterArm(effect(6, 0, 6))).toBe('first');
    expect(betterArm(effect(0, 6, 6))).toBe('second');
    expect(questionsFor(effect(2, 0, 2), 0.025)).toBe(6);
  });
});

describe('the replacement table', () => {
  it('gives accuracy, difference, retention and corrected p by hand', async () => {
    const found = sound(100, { clean: 80, other: 30, 'zero-latent': 40, 'markers-only': 40 });
    const part = await REPLACEMENT_PART.summarise(found, FACTS);
    const row = (arm: string) => part.tables[0]?.rows.find((r) => r['arm'] === arm);
    const other = row("Another example's latents");
    expect((other?.['accuracy'] as Measured).value).toBeCloseTo(0.3, 12);
    expect((other?.['difference'] as Measured).value).toBeCloseTo(-0.5, 12);
    // R = (0.3 - 0.4) / (0.8 - 0.4)
    expect(other?.['retention']).toBeCloseTo(-0.25, 12);
    // 50 to 0 discordant: p = 2 / 2^50; five arms are tested, and it is among the smaller ones.
    expect(other?.['p']).toBeLessThan((6 * 2) / 2 ** 40);
    expect(cardFigures(found, FACTS).map(({ label }) => label)).toHaveLength(5);
  });

  it('keeps nothing to retain where clean is not above the base', async () => {
    const found = sound(100, { clean: 40, other: 30, 'zero-latent': 40, 'markers-only': 40 });
    const part = await REPLACEMENT_PART.summarise(found, FACTS);
    for (const row of part.tables[0]?.rows ?? []) expect(row['retention']).toBeNull();
  });
});

describe('vectors that stand in for latents', () => {
  it('are means by place, repeats, and permutations that are never the identity', () => {
    expect([...meanOfSpans([Float32Array.of(1, 2), Float32Array.of(3, 4)])]).toEqual([2, 3]);
    expect([...repeatRow(Float32Array.of(1, 2), 3)]).toEqual([1, 2, 1, 2, 1, 2]);
    const rows = Float32Array.of(0, 0, 1, 1);
    for (let seed = 0; seed < 20; seed++)
      expect([...permutedRows(rows, 2, new Rng(seed))]).toEqual([1, 1, 0, 0]);
    expect([...permutedRows(Float32Array.of(5, 6), 2, new Rng(1))]).toEqual([5, 6]);
  });

  it('are noise with the mean and variance of the pool', () => {
    const rng = new Rng('pool');
    const pool = Array.from({ length: 50 }, () =>
      Float32Array.from({ length: 40 }, (_, i) =>
        i % 2 === 0 ? 3 + rng.normal() : -1 + 5 * rng.normal(),
      ),
    );
    const drawn = pooledNoise(pool, 2)(20_000, new Rng('noise'));
    const of = (d: number): number[] => [...drawn].filter((_, i) => i % 2 === d);
    const mean = (xs: number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;
    const std = (xs: number[]): number => {
      const centre = mean(xs);
      return Math.sqrt(mean(xs.map((x) => (x - centre) ** 2)));
    };
    expect(mean(of(0))).toBeCloseTo(3, 0);
    expect(std(of(0))).toBeCloseTo(1, 0);
    expect(mean(of(1))).toBeCloseTo(-1, 0);
    expect(Math.abs(std(of(1)) - 5)).toBeLessThan(0.4);
  });
});

describe('whose latents are exchanged', () => {
  const row = (task: string, expected: string, numLatents: number): CleanRow =>
    ({
      prediction: { task, expected },
      result: { latents: Array.from({ length: numLatents }, () => new Float32Array(1)) },
    }) as unknown as CleanRow;

  it('is the next of the same task with another answer, as the worked example says', () => {
    const rows = [row('a', 'x', 4), row('a', 'x', 4), row('a', 'y', 4), row('b', 'z', 4)];
    expect(donorOf(rows, 0)).toBe(2);
    expect(donorOf(rows, 2)).toBe(0);
    // The only one of its task takes the next one of any.
    expect(donorOf(rows, 3)).toBe(0);
  });

  it('is nobody without latents, or without another span', () => {
    const rows = [row('a', 'x', 4), row('a', 'z', 0)];
    expect(rows.map((_, i) => donorOf(rows, i))).toEqual([undefined, undefined]);
  });

  it('is somebody whole before anybody else, where spans were cut off or written twice', () => {
    const rows = [row('a', 'x', 8), row('a', 'y', 3), row('b', 'z', 4), row('a', 'w', 4)];
    // Two spans: read from the start again. A cut span: the first of a whole one.
    expect(rows.map((_, i) => donorOf(rows, i))).toEqual([3, 3, 3, 0]);
  });
});

describe('forced latents', () => {
  it('are a quarter, a half and three quarters of the span, each once', () => {
    expect(forcedCounts(36)).toEqual([9, 18, 27]);
    expect(forcedCounts(4)).toEqual([1, 2, 3]);
    expect(forcedCounts(1)).toEqual([]);
    expect(forcedCounts(2)).toEqual([1]);
  });
});
