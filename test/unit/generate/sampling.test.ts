// Tests the choice of the next token: against a plain twin, the original's processors, and chance.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../src/errors.ts';
import { drawableScores, sampleToken } from '../../../src/generate/sampling.ts';
import type { Sampling } from '../../../src/generate/sampling.ts';
import { Rng } from '../../../src/rng.ts';

const LOGITS = Float32Array.of(1, 3, -2, 3, 0.5, 2);
/** Chi-square values that chance passes once in a thousand, by degrees of freedom. */
const CRITICAL = { 3: 16.27, 5: 20.52 } as const;

function count(temperature: number, banned: readonly number[], draws: number): number[] {
  const rng = new Rng(42);
  const counts = Array<number>(LOGITS.length).fill(0);
  for (let i = 0; i < draws; i++) {
    const id = sampleToken(LOGITS, { temperature }, rng, { banned });
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

  it('passes over banned ids, and over ids that no token has', () => {
    const rng = new Rng(1);
    const greedy = { temperature: 0 };
    expect(sampleToken(LOGITS, greedy, rng, { banned: [1] })).toBe(3);
    expect(sampleToken(LOGITS, greedy, rng, { banned: [1, undefined, -1, 99, 3] })).toBe(5);
  });

  it('penalises what was seen, once each, logits below zero by multiplying', () => {
    const choose = (logits: number[], seen: number[]): number =>
      sampleToken(Float32Array.from(logits), { temperature: 0, repetitionPenalty: 2 }, new Rng(1), {
        seen,
      });
    expect(choose([4, 3], [0])).toBe(1);
    expect(choose([4, 1.5], [0, 0, 0])).toBe(0);
    expect(choose([-1, -1.5], [0])).toBe(1);
    expect(choose([4, 3], [7, -1])).toBe(0);
  });

  it('leaves the logits as they are', () => {
    const logits = LOGITS.slice();
    const sampling = { temperature: 1, topK: 2, topP: 0.5, repetitionPenalty: 1.3 };
    sampleToken(logits, sampling, new Rng(1), { seen: [1], banned: [0] });
    expect(logits).toEqual(LOGITS);
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

  it('becomes greedy as the temperature falls, to that of published checkpoints', () => {
    const sharp = Float32Array.of(0, 5, 4.9);
    const rng = new Rng(3);
    for (const temperature of [1e-3, 1e-6]) {
      for (let i = 0; i < 200; i++) expect(sampleToken(sharp, { temperature }, rng)).toBe(1);
    }
  });

  it.each([0, 1])('refuses logits that are no numbers at temperature %d', (temperature) => {
    const broken = Float32Array.of(NaN, NaN, NaN);
    expect(() => sampleToken(broken, { temperature }, new Rng(1))).toThrow(RuntimeError);
    const banned = [0, 1, 2, 3, 4, 5];
    expect(() => sampleToken(LOGITS, { temperature }, new Rng(1), { banned })).toThrow(
      RuntimeError,
    );
  });

  it.each([0, 1])('refuses logits of which one is no number at temperature %d', (temperature) => {
    for (const strange of [NaN, Infinity]) {
      const broken = Float32Array.of(1, strange, 2);
      for (const sampling of [{}, { topK: 2 }, { topP: 0.5 }]) {
        expect(() => sampleToken(broken, { temperature, ...sampling }, new Rng(1))).toThrow(
          RuntimeError,
        );
      }
    }
  });
});

interface Draw {
  readonly logits: Float32Array;
  readonly sampling: Required<Sampling>;
  readonly banned: readonly number[];
  readonly seen: readonly number[];
}

/** The ids that may be drawn, in order of probability: sorts everything, one step after the other. */
function plainCandidates({ logits, sampling, banned, seen }: Draw): [id: number, score: number][] {
  const { temperature, topK, topP, repetitionPenalty } = sampling;
  const penalty = Math.fround(repetitionPenalty);
  const penalised = [...logits].map((x, id) => {
    if (!seen.includes(id)) return x;
    return Math.fround(x < 0 ? x * penalty : x / penalty);
  });
  let ranked = [...penalised.entries()]
    .filter(([id]) => !banned.includes(id))
    .sort(([a, x], [b, y]) => y - x || a - b);
  const kth = topK > 0 ? ranked[Math.min(topK, ranked.length) - 1] : ranked.at(-1);
  ranked = ranked.filter(([, score]) => score >= (kth?.[1] ?? 0));
  const weight = (score: number): number => Math.exp((score - (ranked[0]?.[1] ?? 0)) / temperature);
  const total = [...ranked]
    .sort(([a], [b]) => a - b)
    .reduce((sum, [, score]) => sum + weight(score), 0);
  let mass = 0;
  return ranked.filter(([, score], i) => {
    const isKept = i === 0 || topP >= 1 || mass < topP * total;
    mass += weight(score);
    return isKept;
  });
}

const VOCABULARY = 40;
const ids = fc.array(fc.nat(VOCABULARY - 1), { maxLength: 12 });
const draws: fc.Arbitrary<Draw> = fc.record({
  // Few levels make many ties.
  logits: fc
    .array(
      fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ min: -30, max: 30, noNaN: true })),
      {
        minLength: VOCABULARY,
        maxLength: VOCABULARY,
      },
    )
    .map((values) => Float32Array.from(values)),
  sampling: fc.record({
    temperature: fc.constantFrom(1e-6, 0.3, 1, 5),
    topK: fc.constantFrom(0, 1, 2, 5, 39, 40, 50),
    topP: fc.constantFrom(0, 1e-3, 0.3, 0.8, 0.99, 0.999999, 1),
    repetitionPenalty: fc.constantFrom(1, 1.05, 2, 0.7),
  }),
  banned: ids,
  seen: ids,
});

describe('top-k, top-p and repetition penalty', () => {
  it('leave exactly the candidates of the plain twin, with its scores', () => {
    const property = fc.property(draws, (draw) => {
      const { scores, best } = drawableScores(draw.logits, draw.sampling, draw);
      const wanted = plainCandidates(draw);
      const found = [...scores.entries()].filter(([, score]) => score !== -Infinity);
      expect(found).toEqual([...wanted].sort(([a], [b]) => a - b));
      expect(best).toBe(wanted[0]?.[0]);
    });
    fc.assert(property, { numRuns: 1000, seed: 11 });
  });

  it('draw from the candidates only, each at some time', () => {
    const sampling = { temperature: 1, topK: 4, topP: 0.9, repetitionPenalty: 1.2 };
    const draw = { logits: LOGITS, sampling, banned: [3], seen: [1] };
    const rng = new Rng(5);
    const drawn = new Set<number>();
    for (let i = 0; i < 500; i++) drawn.add(sampleToken(LOGITS, sampling, rng, draw));
    expect([...drawn].sort()).toEqual(
      plainCandidates(draw)
        .map(([id]) => id)
        .sort(),
    );
  });

  it('give the worked example: 0.5 0.1 0.3 0.1 at 0.7 leaves the first and the third', () => {
    const logits = Float32Array.of(0.5, 0.1, 0.3, 0.1).map(Math.log);
    const { scores } = drawableScores(logits, { temperature: 1, topP: 0.7 });
    expect([...scores].map((score) => score !== -Infinity)).toEqual([true, false, true, false]);
  });

  it('widen the nucleus when the first margin does not hold it', () => {
    // One likely token, and a thousand that make up half of the mass together, far below it.
    const logits = new Float32Array(100_001).fill(-Math.log(100_000));
    logits[77] = 0;
    const count = (topP: number): number =>
      drawableScores(logits, { temperature: 1, topP }).scores.filter((x) => x !== -Infinity).length;
    expect(count(0.49)).toBe(1);
    expect(Math.abs(count(0.75) - 50_001)).toBeLessThanOrEqual(1);
  });
});

interface Golden {
  readonly logits: readonly number[];
  readonly seen: readonly number[];
  readonly suppressed: readonly number[];
  readonly sampling: Required<Sampling>;
  /** Log-probabilities after all processors; null for what was cut. */
  readonly logProbabilities: readonly (number | null)[];
}

const GOLDENS = JSON.parse(
  readFileSync(new URL('./data/sampling.json', import.meta.url), 'utf8'),
) as readonly Golden[];

describe('the processors of the original', () => {
  it('cover cut and uncut vocabularies, penalties and suppressed tokens', () => {
    expect(GOLDENS.length).toBeGreaterThanOrEqual(40);
    const cut = GOLDENS.map((g) => g.logProbabilities.filter((x) => x === null).length);
    expect(cut.filter((n) => n === 0).length).toBeGreaterThan(2);
    expect(cut.filter((n) => n > 5).length).toBeGreaterThan(20);
  });

  it.each(GOLDENS.map((golden, i) => [i, golden] as const))(
    'keep the same tokens with the same probabilities: case %d',
    (_, { logits, seen, suppressed, sampling, logProbabilities }) => {
      const sets = { seen, banned: suppressed };
      const { scores } = drawableScores(Float32Array.from(logits), sampling, sets);
      const top = scores.reduce((most, x) => Math.max(most, x), -Infinity);
      const weights = [...scores].map((x) => Math.exp((x - top) / sampling.temperature));
      const total = weights.reduce((sum, x) => sum + x, 0);
      logProbabilities.forEach((wanted, id) => {
        expect(scores[id] === -Infinity, `token ${id}`).toBe(wanted === null);
        const found = ((scores[id] ?? 0) - top) / sampling.temperature - Math.log(total);
        // Scores over a temperature of 1e-6 have seven figures before the point.
        const size = Math.max(1, Math.abs(wanted ?? 0));
        if (wanted !== null) expect(Math.abs(found - wanted) / size).toBeLessThan(2e-5);
      });
    },
  );
});
