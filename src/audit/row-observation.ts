// Owns what one look at every clean row gives, reduced to what parts need and kept for all of them.
// Axes: T tokens of a row, K latents, M picture tokens, D hidden, L layers.
import type { GapModel } from '../latent/model.ts';
import { StateObserver } from './observe.ts';
import type { StateObservation, StateQuestion } from './observe.ts';
import type { AuditContext, CleanRow } from './part.ts';
import { cleanSequence, rowPlaces } from './places.ts';
import type { RowPlaces } from './places.ts';
import { planeDistances } from './spectrum.ts';
import { NO_SUMS, sumsOf } from './sums.ts';
import type { Sums } from './sums.ts';

/** Kinds of positions that norms are taken of. */
export const POSITION_KINDS = ['text', 'vision', 'latent'] as const;
/** A kind of position. */
export type PositionKind = (typeof POSITION_KINDS)[number];

/** Norms of the positions of one kind: of inputs, of the output of every layer, after the final norm; L + 2 each. */
export interface NormSums {
  /** Of ln(L2 norm). */
  readonly log: readonly Sums[];
  /** Of the L2 norm. */
  readonly length: readonly Sums[];
}

/** Norm and distance to the plane of the head of some vectors. */
export interface VectorSums {
  readonly log: Sums;
  readonly length: Sums;
  /** Absent for heads without a plane. */
  readonly plane?: Sums;
}

/** Where attention of a group of positions goes, by layer: shares of 1. */
export interface AttentionShares {
  readonly latents: readonly number[];
  readonly picture: readonly number[];
  readonly question: readonly number[];
  /** What latents would get if all positions that are seen got the same: mean over the group. */
  readonly even: number;
}

/** What latents attend to. */
export interface LatentAttention {
  /** Mean attention of the positions that predict the answer to each latent, over layers and heads, [K]. */
  readonly ofAnswer_K: Float32Array;
  /** Attention of latents on the picture as a whole, by layer, mean over latents. */
  readonly onPicture: readonly number[];
  /** Entropy over the picture's tokens, over ln M; by layer, mean over latents. NaN for M = 1. */
  readonly entropy: readonly number[];
  /** Attention over the picture's tokens that adds up to 1, mean over latents; by layer, [M]. */
  readonly map_LM: readonly Float32Array[];
}

/** States for the probe, [D] each; see probe-states.ts. */
export interface RowStates {
  readonly latent?: Float32Array;
  readonly preAnswer?: Float32Array;
  readonly preLatent?: Float32Array;
  readonly question: Float32Array;
}

/** Means of vectors scaled to length 1, [D] each; see the part on mediation. */
export interface RowDirections {
  readonly latentStates?: Float32Array;
  readonly pictureStates: Float32Array;
  readonly textStates: Float32Array;
  readonly numText: number;
}

/** What was seen of one row. */
export interface RowObservation {
  readonly row: CleanRow;
  readonly places: RowPlaces;
  readonly norms: Readonly<Record<PositionKind, NormSums>>;
  /** Vectors that were read at latents. */
  readonly injected: VectorSums;
  /** States that latents were made of, before and after the final norm. */
  readonly sources: { readonly raw: VectorSums; readonly normed: VectorSums };
  readonly states: RowStates;
  readonly directions: RowDirections;
  /** Of positions after the span, and of those that predict the answer; absent without a span. */
  readonly attention?: {
    readonly later: AttentionShares;
    readonly answer?: AttentionShares;
    readonly latents: LatentAttention;
  };
}

const POOLS = { question: 0, latents: 1, picture: 2, text: 3 } as const;
const STATES_BEFORE_SOURCES = 2;

/** Places that predict the tokens at other places. */
function before(places: readonly number[]): number[] {
  return places.map((place) => place - 1).filter((place) => place >= 0);
}

/** Groups of queries: every latent by itself, then later text, then what predicts the answer. */
function questionOf(row: CleanRow, places: RowPlaces): StateQuestion {
  const answer = before(places.answer.slice(0, 1));
  const opening = places.latentStart === undefined ? [] : before([places.latentStart]);
  const text = [...places.question, ...places.response].sort((a, b) => a - b);
  return {
    sequence: cleanSequence(row),
    // The two single states first, each in its place whether it is there or not.
    states: [answer[0] ?? 0, opening[0] ?? 0, ...before(places.latents), ...places.latents],
    pools: [places.question, places.latents, places.picture, text],
    queries:
      places.later.length === 0 || places.latents.length === 0
        ? []
        : [...places.latents.map((place) => [place]), places.later, before(places.answer)],
  };
}

function normSums(seen: StateObservation, places: readonly number[]): NormSums {
  const layers = Array.from({ length: seen.numLayers + 2 }, (_, layer) => {
    const norms_T = seen.norms(layer);
    return places.map((place) => norms_T[place] ?? NaN);
  });
  return {
    log: layers.map((norms) => sumsOf(norms.map(Math.log))),
    length: layers.map((norms) => sumsOf(norms)),
  };
}

function join(vectors: readonly Float32Array[], width: number): Float32Array {
  const joined_ND = new Float32Array(vectors.length * width);
  vectors.forEach((vector, n) => {
    joined_ND.set(vector, n * width);
  });
  return joined_ND;
}

function vectorSums(model: GapModel, vectors: readonly Float32Array[]): VectorSums {
  const { basis } = model.head;
  const lengths = vectors.map((vector) => Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0)));
  const sums = { log: sumsOf(lengths.map(Math.log)), length: sumsOf(lengths) };
  if (!basis) return sums;
  const joined_ND = join(vectors, basis.dim);
  return {
    ...sums,
    plane: vectors.length === 0 ? NO_SUMS : sumsOf(planeDistances(basis, joined_ND)),
  };
}

function share(weights_T: Float32Array, places: readonly number[]): number {
  return places.reduce((sum, place) => sum + (weights_T[place] ?? 0), 0);
}

function sharesOf(
  seen: StateObservation,
  query: number,
  group: readonly number[],
  places: RowPlaces,
): AttentionShares {
  const layers = Array.from({ length: seen.numLayers }, (_, layer) => seen.attention(layer, query));
  const seenBy = (place: number): number => places.latents.filter((own) => own <= place).length;
  return {
    latents: layers.map((weights_T) => share(weights_T, places.latents)),
    picture: layers.map((weights_T) => share(weights_T, places.picture)),
    question: layers.map((weights_T) => share(weights_T, places.question)),
    even: group.reduce((sum, place) => sum + seenBy(place) / (place + 1), 0) / group.length,
  };
}

/** -sum p ln p of weights that add up to 1. */
export function entropy(shares: Iterable<number>): number {
  let sum = 0;
  for (const p of shares) if (p > 0) sum -= p * Math.log(p);
  return sum;
}

function latentAttention(seen: StateObservation, places: RowPlaces): LatentAttention {
  const { latents, picture } = places;
  const numLatents = latents.length;
  const layers = Array.from({ length: seen.numLayers }, (_, layer) => layer);
  const ofAnswer_K = new Float32Array(numLatents);
  const [onPicture, entropies, map_LM]: [number[], number[], Float32Array[]] = [[], [], []];
  for (const layer of layers) {
    const answer_T = seen.attention(layer, numLatents + 1);
    latents.forEach((place, k) => {
      ofAnswer_K[k] = (ofAnswer_K[k] ?? 0) + (answer_T[place] ?? 0) / layers.length;
    });
    const map_M = new Float32Array(picture.length);
    let [mass, spread] = [0, 0];
    for (let k = 0; k < numLatents; k++) {
      const weights_T = seen.attention(layer, k);
      const total = share(weights_T, picture);
      const shares = picture.map((place) => (total === 0 ? 0 : (weights_T[place] ?? 0) / total));
      mass += total / numLatents;
      spread += entropy(shares) / Math.log(picture.length) / numLatents;
      shares.forEach((p, m) => {
        map_M[m] = (map_M[m] ?? 0) + p / numLatents;
      });
    }
    onPicture.push(mass);
    entropies.push(spread);
    map_LM.push(map_M);
  }
  return { ofAnswer_K, onPicture, entropy: entropies, map_LM };
}

/** Mean of vectors [D]. */
function meanVector(vectors: readonly Float32Array[]): Float32Array {
  const width = vectors[0]?.length ?? 0;
  const sums_D = new Float64Array(width);
  for (const vector of vectors) {
    for (let d = 0; d < width; d++) sums_D[d] = (sums_D[d] ?? 0) + (vector[d] ?? 0);
  }
  return Float32Array.from(sums_D, (sum) => sum / vectors.length);
}

function reduceRow(
  model: GapModel,
  row: CleanRow,
  places: RowPlaces,
  seen: StateObservation,
): RowObservation {
  const numLatents = places.latents.length;
  const states = (from: number, read: (state: number) => Float32Array): Float32Array[] =>
    Array.from({ length: numLatents }, (_, k) => read(STATES_BEFORE_SOURCES + from + k));
  const hasAttention = places.later.length > 0 && numLatents > 0;
  const text = places.question.length + places.response.length;
  return {
    row,
    places,
    norms: {
      text: normSums(seen, places.text),
      vision: normSums(seen, places.picture),
      latent: normSums(seen, places.latents),
    },
    injected: vectorSums(model, row.result.latents),
    sources: {
      raw: vectorSums(model, states(0, seen.raw)),
      normed: vectorSums(model, states(0, seen.normed)),
    },
    states: {
      ...(numLatents > 0 ? { latent: meanVector(states(numLatents, seen.normed)) } : {}),
      ...(places.answer.length > 0 ? { preAnswer: seen.normed(0).slice() } : {}),
      ...(places.latentStart === undefined ? {} : { preLatent: seen.normed(1).slice() }),
      question: seen.meanInput(POOLS.question).slice(),
    },
    directions: {
      ...(numLatents > 0 ? { latentStates: seen.meanDirection(POOLS.latents).slice() } : {}),
      pictureStates: seen.meanDirection(POOLS.picture).slice(),
      textStates: seen.meanDirection(POOLS.text).slice(),
      numText: text,
    },
    ...(hasAttention
      ? {
          attention: {
            later: sharesOf(seen, numLatents, places.later, places),
            ...(places.answer.length > 0
              ? { answer: sharesOf(seen, numLatents + 1, before(places.answer), places) }
              : {}),
            latents: latentAttention(seen, places),
          },
        }
      : {}),
  };
}

/** What was seen before, by the list of rows that it belongs to; several parts look at the same rows. */
const KNOWN = new WeakMap<readonly CleanRow[], Map<number, readonly RowObservation[]>>();

/** Rows of a batch, and how many of its records are journalled already. */
export interface ObservedChunk {
  /** Index of the first row. */
  readonly first: number;
  readonly seen: readonly RowObservation[];
  readonly numDone: number;
}

/**
 * Looks at clean rows in whole batches, each run once however many parts ask and in which order: the
 * bits of a row may depend on its neighbours. What is kept of a row has no axis of its tokens but
 * one map of the picture a layer: about 100 kB at the size of a 3B model. Dispose it.
 */
export class RowObserver implements AsyncDisposable {
  readonly #context: AuditContext;
  readonly #known: Map<number, readonly RowObservation[]>;
  #observer: StateObserver | undefined;

  /** @param context - parts that are to share what is seen give the same list of rows. */
  constructor(context: AuditContext) {
    this.#context = context;
    this.#known = KNOWN.get(context.rows) ?? new Map<number, readonly RowObservation[]>();
    KNOWN.set(context.rows, this.#known);
  }

  /** Batches of rows from the one on that holds row `done`. */
  async *chunks(done: number): AsyncGenerator<ObservedChunk, void> {
    const { rows, batchSize } = this.#context;
    for (let at = Math.floor(done / batchSize); at * batchSize < rows.length; at++) {
      const first = at * batchSize;
      yield { first, seen: await this.#chunk(at), numDone: Math.max(0, done - first) };
    }
  }

  /** What was seen of one row. */
  async row(index: number): Promise<RowObservation | undefined> {
    const { batchSize } = this.#context;
    const seen = await this.#chunk(Math.floor(index / batchSize));
    return seen[index % batchSize];
  }

  async #chunk(at: number): Promise<readonly RowObservation[]> {
    const known = this.#known.get(at);
    if (known) return known;
    const { rows, batchSize, model, session, signal } = this.#context;
    const asked = rows
      .slice(at * batchSize, (at + 1) * batchSize)
      .map((row) => ({ row, places: rowPlaces(model.bundle, row) }));
    this.#observer ??= await StateObserver.create(model, session);
    const questions = asked.map(({ row, places }) => questionOf(row, places));
    const seen: RowObservation[] = [];
    for await (const one of this.#observer.observe(questions)) {
      signal?.throwIfAborted();
      const own = asked[seen.length];
      if (own) seen.push(reduceRow(model, own.row, own.places, one));
    }
    this.#known.set(at, seen);
    return seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#observer?.[Symbol.asyncDispose]();
  }
}
