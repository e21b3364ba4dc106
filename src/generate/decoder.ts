// Owns the cached decoder: a compiled graph, prompts read into caches, and steps of a batch.
// Axes: B rows, T new tokens, D hidden, V vocabulary.
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { GapModel } from '../latent/model.ts';
import { int64Tensor } from '../model/feeds.ts';
import { KeyValueCache, repeatRows } from './cache.ts';
import { encodeDecoder } from './decoder-graph.ts';

/** What a step gives for every row. */
export interface DecoderOutput {
  /** [B, V] */
  readonly logits_BV: Float32Array;
  /** States before the final norm, [B, D]. */
  readonly states_BD: Float32Array;
  /** What the head makes of them, [B, D]. */
  readonly latents_BD: Float32Array;
}

/** One row of a prompt batch, unpadded. */
export interface PromptRow {
  readonly ids: readonly number[];
  /** [3, T] of this row, flattened: t of all tokens, then h, then w. */
  readonly positions_3T: Int32Array;
  /** Vectors [N, D] that stand in place of tokens: pictures, latents of a given beginning. */
  readonly given_ND: Float32Array;
  /** Where each of them stands. */
  readonly givenPlaces: readonly number[];
}

/** The input of one row in a step; a row without input keeps its cache. */
export interface StepInput {
  readonly id: number;
  readonly position: readonly [number, number, number];
  /** A vector [D] read instead of the token's embedding. */
  readonly latent?: Float32Array;
  /** False: the row is done, what is computed for it is ignored. */
  readonly active: boolean;
}

/** How a decoder runs. */
export interface DecoderOptions extends SessionOptions {
  /** Default `PREFILL_TOKENS`. */
  readonly prefillTokens?: number;
}

/**
 * Most tokens of a row that are read at once; a longer prompt is read in pieces, each row by itself,
 * so that memory is bounded. ours: products are near their full speed from 256 rows on.
 */
export const PREFILL_TOKENS = 512;
/** Bytes of attention scores of one layer at which pieces get shorter. ours. */
const SCORE_BYTES = 1 << 28;
const FEWEST_TOKENS = 16;

function joinArrays(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => {
    joined.set(part, at);
    return at + part.length;
  }, 0);
  return joined;
}

function joinOutputs(outputs: readonly DecoderOutput[]): DecoderOutput {
  return {
    logits_BV: joinArrays(outputs.map((o) => o.logits_BV)),
    states_BD: joinArrays(outputs.map((o) => o.states_BD)),
    latents_BD: joinArrays(outputs.map((o) => o.latents_BD)),
  };
}

/** A compiled graph of one model. Dispose it; batches share it one after the other. */
export class Decoder implements AsyncDisposable {
  readonly model: GapModel;
  private readonly session: Session;
  private readonly prefillTokens: number;

  private constructor(model: GapModel, session: Session, prefillTokens: number) {
    this.model = model;
    this.session = session;
    this.prefillTokens = prefillTokens;
  }

  /** Compiles the graph; the weights become its constants. */
  static async create(model: GapModel, options: DecoderOptions = {}): Promise<Decoder> {
    const session = await Session.create(encodeDecoder(model), options);
    return new Decoder(model, session, options.prefillTokens ?? PREFILL_TOKENS);
  }

  /**
   * Reads the prompts of a batch; `room` is the number of tokens that may follow. With `copies`
   * every prompt is read once and goes on as that many rows, side by side.
   */
  async start(
    rows: readonly PromptRow[],
    room: number,
    copies = 1,
    signal?: AbortSignal,
  ): Promise<DecodingBatch> {
    const { text } = this.model.bundle.checkpoint.config;
    const longest = Math.max(...rows.map((row) => row.ids.length));
    const most = longest + room;
    let cache = new KeyValueCache(text, rows.length);
    let output: DecoderOutput;
    if (longest <= this.pieceTokens(0, rows.length)) {
      output = await this.read(cache, rows, 0, longest, most);
    } else {
      const read = [];
      for (const row of rows) read.push(await this.readInPieces(row, most, signal));
      cache = KeyValueCache.join(read.map((r) => r.cache));
      output = joinOutputs(read.map((r) => r.output));
    }
    if (copies === 1) return this.batchOf(cache, output, most);
    const repeated = (rows_B: Float32Array): Float32Array =>
      repeatRows(rows_B, rows.length, copies);
    const outputs = {
      logits_BV: repeated(output.logits_BV),
      states_BD: repeated(output.states_BD),
      latents_BD: repeated(output.latents_BD),
    };
    return this.batchOf(cache.repeat(copies), outputs, most);
  }

  private batchOf(cache: KeyValueCache, output: DecoderOutput, most: number): DecodingBatch {
    return {
      output,
      step: (inputs) => this.step(cache, inputs, most),
      fork: () => this.batchOf(cache.repeat(1), output, most),
    };
  }

  /** Tokens to read at once behind `past` others, so that attention scores stay bounded. */
  private pieceTokens(past: number, batch: number): number {
    const { numHeads } = this.model.bundle.checkpoint.config.text;
    const scoreBytes = 4 * batch * numHeads * (past + this.prefillTokens);
    const bounded = Math.max(FEWEST_TOKENS, Math.floor(SCORE_BYTES / scoreBytes));
    return Math.min(this.prefillTokens, bounded);
  }

  private async readInPieces(
    row: PromptRow,
    most: number,
    signal?: AbortSignal,
  ): Promise<{ cache: KeyValueCache; output: DecoderOutput }> {
    const cache = new KeyValueCache(this.model.bundle.checkpoint.config.text, 1);
    for (let from = 0; ;) {
      signal?.throwIfAborted();
      const to = Math.min(row.ids.length, from + this.pieceTokens(from, 1));
      const output = await this.read(cache, [row], from, to, most);
      if (to === row.ids.length) return { cache, output };
      from = to;
    }
  }

  /** Reads tokens `from` to `to` of every row; shorter rows are padded on the right. */
  private async read(
    cache: KeyValueCache,
    rows: readonly PromptRow[],
    from: number,
    to: number,
    most: number,
  ): Promise<DecoderOutput> {
    const width = this.model.bundle.checkpoint.config.text.hiddenSize;
    const batch = rows.length;
    const counts = rows.map((row) => Math.min(to, row.ids.length) - from);
    const length = Math.max(...counts);
    const ids = new Int32Array(batch * length).fill(this.model.bundle.padId);
    const positions = new Int32Array(3 * batch * length);
    const isGiven = new Uint8Array(batch * length);
    const given = new Float32Array(batch * length * width);
    const readAt = new Int32Array(batch);
    rows.forEach((row, b) => {
      const count = counts[b] ?? 0;
      ids.set(row.ids.slice(from, from + count), b * length);
      for (let axis = 0; axis < 3; axis++) {
        const start = axis * row.ids.length + from;
        const own = row.positions_3T.subarray(start, start + count);
        positions.set(own, (axis * batch + b) * length);
      }
      row.givenPlaces.forEach((place, n) => {
        if (place < from || place >= from + count) return;
        const at = b * length + place - from;
        isGiven[at] = 1;
        given.set(row.given_ND.subarray(n * width, (n + 1) * width), at * width);
      });
      readAt[b] = b * length + count - 1;
    });
    const feeds = {
      input_ids: int64Tensor([batch, length], ids),
      position_ids: int64Tensor([3, batch, length], positions),
      is_given: tensor('bool', [batch, length], isGiven),
      given: tensor('f32', [batch, length, width], given),
      read_at: int64Tensor([batch], readAt),
    };
    return this.run(cache, feeds, counts, most);
  }

  private async step(
    cache: KeyValueCache,
    inputs: readonly StepInput[],
    most: number,
  ): Promise<DecoderOutput> {
    const { batch } = cache;
    const width = this.model.bundle.checkpoint.config.text.hiddenSize;
    const given = new Float32Array(batch * width);
    const positions = new Int32Array(3 * batch);
    const isGiven = new Uint8Array(batch);
    inputs.forEach((input, b) => {
      input.position.forEach((p, axis) => {
        positions[axis * batch + b] = p;
      });
      if (!input.latent) return;
      isGiven[b] = 1;
      given.set(input.latent, b * width);
    });
    const ids = inputs.map((input) => input.id);
    const feeds = {
      input_ids: int64Tensor([batch, 1], ids),
      position_ids: int64Tensor([3, batch, 1], positions),
      is_given: tensor('bool', [batch, 1], isGiven),
      given: tensor('f32', [batch, 1, width], given),
      read_at: int64Tensor([batch], Array.from(ids.keys())),
    };
    const counts = inputs.map(({ active }) => (active ? 1 : 0));
    return this.run(cache, feeds, counts, most);
  }

  private async run(
    cache: KeyValueCache,
    feeds: Readonly<Record<string, Tensor>>,
    counts: readonly number[],
    most: number,
  ): Promise<DecoderOutput> {
    const past_length = int64Tensor([cache.batch], cache.lengths);
    const results = await this.session.run({ ...feeds, ...cache.feeds, past_length });
    cache.append(results, counts, most);
    return {
      logits_BV: results['logits']?.data as Float32Array,
      states_BD: results['states']?.data as Float32Array,
      latents_BD: results['latents_next']?.data as Float32Array,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }
}

/** A batch whose prompts were read: the first output, and how to go on. */
export interface DecodingBatch {
  readonly output: DecoderOutput;
  readonly step: (inputs: readonly StepInput[]) => Promise<DecoderOutput>;
  /** The batch once more as it stands now, with a cache of its own. */
  readonly fork: () => DecodingBatch;
}
