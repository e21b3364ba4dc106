// Owns what few questions allow to say: intervals and tests that also hold where few answers, or none, differ;
// verdict.ts calls it.
import { itemsNeeded } from '../evaluate/effects.ts';
import type { PairedEffect } from '../evaluate/effects.ts';
import { wilsonInterval } from '../evaluate/statistics.ts';
import type { Interval } from '../evaluate/statistics.ts';

/** Differing answers, all one way, from which on the exact test says anything at 5 %: 2 / 2^6 = 0.031. */
export const LEAST_DIFFERING = 6;
const SIGNIFICANT = 0.05;

/**
 * Interval of a difference of accuracies that also holds where few or no answers differ, of which a
 * bootstrap knows no spread: the wider, at each end, of the bootstrap's and of the one made of the
 * Wilson intervals of both shares of differing answers. Worked example: of 2 questions none differs:
 * -0.658 to 0.658, the bootstrap says 0 to 0; of 400: -0.0095 to 0.0095.
 * Source: Zou and Donner 2008 (MOVER), with Wilson 1927 as Newcombe 1998 has it.
 */
export function cautiousInterval({ n, difference, mcNemar }: PairedEffect): Interval {
  if (!mcNemar) return difference;
  const { numFirstOnly, numSecondOnly } = mcNemar;
  const [a, b] = [wilsonInterval(numFirstOnly, n), wilsonInterval(numSecondOnly, n)];
  const [first, second] = [numFirstOnly / n, numSecondOnly / n];
  const below = Math.hypot(first - a.low, b.high - second);
  const above = Math.hypot(a.high - first, second - b.low);
  return {
    low: Math.max(-1, Math.min(difference.low, first - second - below)),
    high: Math.min(1, Math.max(difference.high, first - second + above)),
  };
}

/** Which arm is better beyond doubt: interval without 0, exact test below 5 %. */
export function betterArm(effect: PairedEffect): 'first' | 'second' | undefined {
  if (effect.mcNemar && effect.mcNemar.p >= SIGNIFICANT) return undefined;
  const { low, high } = cautiousInterval(effect);
  if (low > 0) return 'first';
  return high < 0 ? 'second' : undefined;
}

/**
 * Questions that would show the difference that was seen with power 0.8, and at least as many as
 * have `LEAST_DIFFERING` answers that differ.
 * @param least - taken where a smaller difference was seen.
 */
export function questionsFor({ difference, mcNemar, n }: PairedEffect, least: number): number {
  const seen = Math.min(1, Math.max(Math.abs(difference.mean), least));
  const split = mcNemar ? (mcNemar.numFirstOnly + mcNemar.numSecondOnly) / n : seen;
  const discordant = Math.min(1, Math.max(split, seen));
  return Math.max(
    itemsNeeded({ difference: seen, discordant }),
    Math.ceil(LEAST_DIFFERING / discordant),
  );
}
