// Owns the choice of the next token from logits; pure given its generator.
// Axes: V vocabulary.
import { RuntimeError } from '../errors.ts';
import type { Rng } from '../rng.ts';

/**
 * How tokens are drawn. The scores pass through repetition penalty, bans, temperature, top-k and
 * top-p in this order. Source: transformers generation/utils.py, `_get_logits_processor`.
 */
export interface Sampling {
  /** 0 is greedy; top-k and top-p mean nothing then. */
  readonly temperature: number;
  /** Only the k largest scores are drawn, and what equals the smallest of them; 0: all. */
  readonly topK?: number;
  /** Only the most probable tokens are drawn that together reach this probability; 1: all. */
  readonly topP?: number;
  /** Of tokens in the prompt or the response: divides scores above 0, multiplies others; 1: none. */
  readonly repetitionPenalty?: number;
}

/** Tokens a row treats differently; ids beyond the vocabulary and `undefined` mean nothing. */
export interface TokenSets {
  /** Never drawn. */
  readonly banned?: Iterable<number | undefined>;
  /** Every id of the prompt, pads of pictures included, and of the response; each counts once. */
  readonly seen?: Iterable<number>;
}

/** Source: transformers logits_process.py, `RepetitionPenaltyLogitsProcessor`, in float32 as there. */
function penalise(scores: Float32Array, seen: Iterable<number>, penalty: number): void {
  const factor = Math.fround(penalty);
  for (const id of new Set(seen)) {
    const score = scores[id];
    if (score !== undefined) scores[id] = score < 0 ? score * factor : score / factor;
  }
}

/** The k-th largest score, equal ones counted apart: the root of a heap of the k largest. */
function kthLargest(scores: Float32Array, k: number): number {
  const heap = new Float32Array(k).fill(-Infinity);
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (score <= (heap[0] as number)) continue;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= k) break;
      if (child + 1 < k && (heap[child + 1] as number) < (heap[child] as number)) child += 1;
      if ((heap[child] as number) >= score) break;
      heap[at] = heap[child] as number;
      at = child;
    }
    heap[at] = score;
  }
  return heap[0] as number;
}

function keepTopK(scores: Float32Array, k: number): void {
  if (k >= scores.length) return;
  const least = kthLargest(scores, k);
  for (let id = 0; id < scores.length; id++) {
    if ((scores[id] as number) < least) scores[id] = -Infinity;
  }
}

/** The scores that are not below the limit. `filter` would take several times as long. */
function finiteFrom(scores: Float32Array, limit: number): Float32Array {
  const found = new Float32Array(scores.length);
  let count = 0;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (score >= limit && score !== -Infinity) found[count++] = score;
  }
  return found.subarray(0, count);
}

/** ours: tokens less probable than the first by e^-8 rarely make up a nucleus. */
const FIRST_MARGIN = 8;

/**
 * Keeps the smallest set of most probable tokens whose probability reaches `topP`, at least one; of
 * equal ones the smaller ids. Only scores near the largest are sorted, more of them while these do
 * not suffice.
 *
 * Worked example, topP 0.7: of 0.5 0.1 0.3 0.1 the first and third stay; 0.5 alone has not reached
 * 0.7, both have.
 */
function keepTopP(scores: Float32Array, top: number, temperature: number, topP: number): void {
  const weight = (score: number): number => Math.exp((score - top) / temperature);
  let total = 0;
  let numLeft = 0;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (score === -Infinity) continue;
    total += weight(score);
    numLeft += 1;
  }
  const wanted = topP * total;
  for (let margin = FIRST_MARGIN; ; margin *= 2) {
    const limit = top - margin * temperature;
    const near = finiteFrom(scores, limit).sort();
    let mass = 0;
    let first = near.length;
    while (first > 0 && (mass < wanted || first === near.length)) {
      first -= 1;
      mass += weight(near[first] as number);
    }
    if (mass < wanted && near.length < numLeft) continue;
    const least = near[first] as number;
    let equal = near.lastIndexOf(least) - first + 1;
    for (let id = 0; id < scores.length; id++) {
      const score = scores[id] as number;
      if (score > least || (score === least && equal-- > 0)) continue;
      scores[id] = -Infinity;
    }
    return;
  }
}

/**
 * The scores [V] a token is drawn from: penalised, and -Infinity for what is banned or cut by top-k
 * and top-p; the temperature is left to the draw.
 * @throws RuntimeError when there is none to draw: everything banned, or logits that are no numbers.
 */
export function drawableScores(
  logits: Float32Array,
  sampling: Sampling,
  { banned = [], seen = [] }: TokenSets = {},
): { readonly scores: Float32Array; readonly best: number } {
  const { temperature, topK = 0, topP = 1, repetitionPenalty = 1 } = sampling;
  const scores = logits.slice();
  if (repetitionPenalty !== 1) penalise(scores, seen, repetitionPenalty);
  for (const id of banned) if (id !== undefined) scores[id] = -Infinity;
  let best = -1;
  let top = -Infinity;
  let isWhole = true;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (score > top) {
      best = id;
      top = score;
    } else if (Number.isNaN(score)) isWhole = false;
  }
  if (best < 0 || !isWhole || top === Infinity) {
    throw new RuntimeError({
      what: 'no token can be drawn from these logits',
      got: `${logits.length} logits that are not all numbers, or all banned`,
      fix: 'check the weights: training may have diverged',
    });
  }
  if (temperature > 0) {
    if (topK > 0) keepTopK(scores, topK);
    if (topP < 1) keepTopP(scores, top, temperature, topP);
  }
  return { scores, best };
}

/**
 * Draws a token from logits [V], which stay as they are. Greedy ties go to the smaller id and draw
 * nothing from the generator.
 * @throws RuntimeError when there is none to draw: everything banned, or logits that are no numbers.
 */
export function sampleToken(
  logits: Float32Array,
  sampling: Sampling,
  rng: Rng,
  sets: TokenSets = {},
): number {
  const { scores, best } = drawableScores(logits, sampling, sets);
  const { temperature } = sampling;
  if (temperature <= 0) return best;
  const top = scores[best] as number;
  const weight = (score: number): number => Math.exp((score - top) / temperature);
  let total = 0;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (score !== -Infinity) total += weight(score);
  }
  let left = rng.uniform() * total;
  for (let id = 0; id < scores.length; id++) {
    const score = scores[id] as number;
    if (score === -Infinity) continue;
    left -= weight(score);
    if (left < 0) return id;
  }
  return best;
}
