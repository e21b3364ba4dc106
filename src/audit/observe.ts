// Owns looking at whole sequences with the states of every position at hand; parts of the audit call it.
// Axes: B rows, T tokens of a padded row, D hidden, L layers, N states, P pools, Q groups of queries, M labels.
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { RuntimeError } from '../errors.ts';
import type { GapModel } from '../latent/model.ts';
import { int64Tensor } from '../model/feeds.ts';
import { encodeObserver } from './observe-graph.ts';
import { padSequences, sequenceBatches } from './sequence-feeds.ts';
import type { PaddedSequences, Sequence } from './sequence-feeds.ts';

/** Places in a sequence; a group stands for the mean over its places. */
export type Places = readonly number[];

/** What of a sequence is to be seen. */
export interface StateQuestion {
  readonly sequence: Sequence;
  /** Places whose states are given out. */
  readonly states?: Places;
  /** Groups whose mean input and mean direction are given out. */
  readonly pools?: readonly Places[];
  /** Groups whose mean attention is given out. */
  readonly queries?: readonly Places[];
}

/** What was seen of one sequence of T tokens, under the places and groups that were asked for. */
export interface StateObservation {
  /** Tokens. */
  readonly length: number;
  /** L */
  readonly numLayers: number;
  /**
   * L2 norm of every position, [T]. Layer 0: inputs; 1 to L: outputs of the layers, the last one
   * before the final norm; L + 1: after it.
   */
  readonly norms: (layer: number) => Float32Array;
  /** Attention of a group of queries over all positions, [T]: mean over heads and over the group. Layers from 0. */
  readonly attention: (layer: number, query: number) => Float32Array;
  /** Mean input of a pool, [D]. */
  readonly meanInput: (pool: number) => Float32Array;
  /** Mean over a pool of states after the final norm, each scaled to length 1, [D]. */
  readonly meanDirection: (pool: number) => Float32Array;
  /** State before the final norm, [D]. */
  readonly raw: (state: number) => Float32Array;
  /** State after the final norm, [D]. */
  readonly normed: (state: number) => Float32Array;
  /** What the latent head makes of the state, [D]. */
  readonly nextLatent: (state: number) => Float32Array;
}

/** Tokens whose log-probabilities are asked for: the state at `place` predicts `id` for the next place. */
export interface LabelQuestion {
  readonly sequence: Sequence;
  readonly labels: readonly { readonly place: number; readonly id: number }[];
}

/** Rows of one group matrix [B, groups, T]: 1 / n at the n places of a group. */
function groupFeed(groups_B: readonly (readonly Places[])[], length: number): Tensor {
  // Graphs need one group at least; nobody reads it.
  const most = Math.max(1, ...groups_B.map((groups) => groups.length));
  const data = new Float32Array(groups_B.length * most * length);
  groups_B.forEach((groups, b) => {
    groups.forEach((places, g) => {
      for (const place of places) data[(b * most + g) * length + place] = 1 / places.length;
    });
  });
  return tensor('f32', [groups_B.length, most, length], data);
}

/** Flat places of several rows; one place at least, which nobody reads. */
function flatPlaces(places_B: readonly Places[], length: number): number[] {
  const flat = places_B.flatMap((places, b) => places.map((place) => b * length + place));
  return flat.length === 0 ? [0] : flat;
}

function f32(results: Readonly<Record<string, Tensor>>, name: string): Float32Array {
  const found = results[name];
  if (found?.data instanceof Float32Array) return found.data;
  throw new RuntimeError({ what: `the graph gave no ${name}` });
}

/** Rows of a flat array. */
function rowReader(data: Float32Array, width: number): (row: number) => Float32Array {
  return (row) => data.subarray(row * width, (row + 1) * width);
}

function readObservations(
  asked: readonly StateQuestion[],
  { batch, length }: PaddedSequences,
  results: Readonly<Record<string, Tensor>>,
  groups: { readonly pools: number; readonly queries: number },
  width: number,
): StateObservation[] {
  const norms = rowReader(f32(results, 'norms'), length);
  const attention = rowReader(f32(results, 'attention'), length);
  const reader = (name: string) => rowReader(f32(results, name), width);
  const [inputs, directions] = [reader('pooled_inputs'), reader('pooled_directions')];
  const [raw, normed, next] = [
    reader('raw_states'),
    reader('normed_states'),
    reader('latents_next'),
  ];
  const numLayers = f32(results, 'norms').length / (batch * length) - 2;
  let first = 0;
  return asked.map(({ sequence, states = [] }, b) => {
    const own = sequence.ids.length;
    const start = first;
    first += states.length;
    return {
      length: own,
      numLayers,
      norms: (layer) => norms(layer * batch + b).subarray(0, own),
      attention: (layer, query) =>
        attention((layer * batch + b) * groups.queries + query).subarray(0, own),
      meanInput: (pool) => inputs(b * groups.pools + pool),
      meanDirection: (pool) => directions(b * groups.pools + pool),
      raw: (state) => raw(start + state),
      normed: (state) => normed(start + state),
      nextLatent: (state) => next(start + state),
    };
  });
}

/** Looks at states. Dispose it: it holds the model's weights once more. */
export class StateObserver implements AsyncDisposable {
  readonly model: GapModel;
  readonly #session: Session;

  private constructor(model: GapModel, session: Session) {
    this.model = model;
    this.#session = session;
  }

  /** Compiles the graph; the weights become its constants. */
  static async create(model: GapModel, options: SessionOptions = {}): Promise<StateObserver> {
    return new StateObserver(model, await Session.create(encodeObserver(model, 'states'), options));
  }

  /**
   * Looks at sequences in order, batch by batch; what is given out of a batch is memory of that
   * batch, so read it before the next one.
   * @throws ShapeError when pictures or latents do not match their tokens.
   */
  async *observe(asked: readonly StateQuestion[]): AsyncGenerator<StateObservation, void> {
    const width = this.model.bundle.checkpoint.config.text.hiddenSize;
    for (const rows of sequenceBatches(this.model, asked)) {
      const padded = padSequences(
        this.model,
        rows.map(({ sequence }) => sequence),
      );
      const { length } = padded;
      const pools = groupFeed(
        rows.map((row) => row.pools ?? []),
        length,
      );
      const queries = groupFeed(
        rows.map((row) => row.queries ?? []),
        length,
      );
      const places = flatPlaces(
        rows.map(({ states }) => states ?? []),
        length,
      );
      const results = await this.#session.run({
        ...padded.feeds,
        pools,
        queries,
        state_at: int64Tensor([places.length], places),
      });
      const groups = { pools: pools.dims[1] ?? 1, queries: queries.dims[1] ?? 1 };
      yield* readObservations(rows, padded, results, groups, width);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session[Symbol.asyncDispose]();
  }
}

/** Gives log-probabilities of tokens. Dispose it: it holds the model's weights once more. */
export class LabelObserver implements AsyncDisposable {
  readonly model: GapModel;
  readonly #session: Session;

  private constructor(model: GapModel, session: Session) {
    this.model = model;
    this.#session = session;
  }

  /** Compiles the graph; the weights become its constants. */
  static async create(model: GapModel, options: SessionOptions = {}): Promise<LabelObserver> {
    return new LabelObserver(model, await Session.create(encodeObserver(model, 'labels'), options));
  }

  /**
   * Natural logarithms of the probabilities of the labels of every sequence, in their order.
   * @throws ShapeError when pictures or latents do not match their tokens.
   */
  async logProbs(asked: readonly LabelQuestion[], signal?: AbortSignal): Promise<number[][]> {
    const all: number[][] = [];
    for (const rows of sequenceBatches(this.model, asked)) {
      signal?.throwIfAborted();
      const padded = padSequences(
        this.model,
        rows.map(({ sequence }) => sequence),
      );
      const places = flatPlaces(
        rows.map(({ labels }) => labels.map(({ place }) => place)),
        padded.length,
      );
      const ids = rows.flatMap(({ labels }) => labels.map(({ id }) => id));
      const results = await this.#session.run({
        ...padded.feeds,
        label_at: int64Tensor([places.length], places),
        label_ids: int64Tensor([places.length], ids.length === 0 ? [0] : ids),
      });
      const found = f32(results, 'log_probs');
      let at = 0;
      for (const { labels } of rows) {
        all.push(Array.from(found.subarray(at, at + labels.length)));
        at += labels.length;
      }
    }
    return all;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session[Symbol.asyncDispose]();
  }
}
