// Owns the cached decoder: a compiled graph, its key-value cache, prefill and steps of a batch.
// Axes: B rows, T new tokens, S cache capacity, D hidden, V vocabulary, J key heads, E head size.
import { dimAt, mulDims } from '../engine/dims.ts';
import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { cachedAttention } from '../engine/ops/cached-attention.ts';
import { gatherRows } from '../engine/ops/indexing.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import type { Constant } from '../engine/stored.ts';
import { tensor, zeros } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { declareBasis, predictLatents } from '../latent/head.ts';
import { injectLatents } from '../latent/inject.ts';
import type { GapModel } from '../latent/model.ts';
import type { ModelConfig } from '../model/config.ts';
import {
  decoderLayers,
  embedTokens,
  finalNorm,
  languageHead,
  textRotary,
} from '../model/decoder.ts';
import type { Attend } from '../model/decoder.ts';
import { int64Tensor } from '../model/feeds.ts';
import { headSpec } from '../model/packed-weights.ts';
import { declareParameters, decoderSpecs } from '../model/parameters.ts';

/**
 * One graph for prompts and steps, so that weights are compiled once. Vectors that are not looked
 * up in the embedding table, pictures of a prompt and latents of a step, are given.
 */
function encodeDecoder(model: GapModel): EncodedGraph {
  const { config, weights } = model.bundle.checkpoint;
  const graph = new Graph();
  const { text } = config;
  const width = text.hiddenSize;
  const parameters = declareParameters(
    graph,
    [...decoderSpecs(text), headSpec(text), ...model.head.weights.specs],
    weights.packings,
  );
  const ids_BT = graph.input('input_ids', 'i64', ['B', 'T']);
  const positions_3BT = graph.input('position_ids', 'i64', [3, 'B', 'T']);
  const inputs_BTD = injectLatents(
    embedTokens(text, parameters, ids_BT),
    graph.input('is_given', 'bool', ['B', 'T']),
    graph.input('given', 'float', ['B', 'T', width]),
  );
  const lastIndex_B = graph.input('last_index', 'i32', ['B']);
  const totalLength = graph.input('total_length', 'i32', [1]);
  const attend: Attend = ({ query_BTHE, key_BTJE, value_BTJE, layer }) => {
    const past = (kind: string): Value =>
      graph.input(`past_${kind}.${layer}`, 'float', ['B', text.numKvHeads, 'S', text.headSize]);
    const result = cachedAttention({
      query_BTHE,
      key_BTJE,
      value_BTJE,
      pastKey_BJSE: past('key'),
      pastValue_BJSE: past('value'),
      lastIndex_B,
      totalLength,
    });
    graph.output(`present_key.${layer}`, result.key_BJSE);
    graph.output(`present_value.${layer}`, result.value_BJSE);
    return result.mixed;
  };
  const states = decoderLayers(
    text,
    parameters,
    inputs_BTD,
    textRotary(text, positions_3BT),
    attend,
  );
  const last_BTD = states.at(-1) as Value;
  const [b, t] = [dimAt(ids_BT.shape, 0), dimAt(ids_BT.shape, 1)];
  const raw_BD = gatherRows(
    reshape(last_BTD, [mulDims(b, t), width]),
    graph.input('read_at', 'i64', ['B']),
  );
  const normed_BD = finalNorm(text, parameters, raw_BD);
  graph.output('logits', languageHead(text, parameters, normed_BD));
  graph.output('states', raw_BD);
  declareBasis(graph, model.head.spec);
  graph.output(
    'latents_next',
    predictLatents(model.head.spec, parameters, { raw_ND: raw_BD, normed_ND: normed_BD }),
  );
  return encodeGraph(
    graph,
    new Map<string, Constant>([
      ...weights.constants,
      ...model.head.weights.byName,
      ...model.head.fixed,
    ]),
  );
}

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
  /** Picture embeddings [M, D] in order of the picture tokens. */
  readonly pictureRows_MD: Float32Array;
  readonly picturePlaces: readonly number[];
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

/** Cache of a batch: [B, J, S, E] a layer, and how many tokens each row has. */
interface Cache {
  readonly batch: number;
  readonly capacity: number;
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly lengths: Int32Array;
}

function newCache(config: ModelConfig, batch: number, capacity: number): Cache {
  const { numLayers, numKvHeads, headSize } = config.text;
  const tensors = new Map<string, Tensor>();
  for (let layer = 0; layer < numLayers; layer++) {
    for (const kind of ['key', 'value']) {
      tensors.set(`${kind}.${layer}`, zeros('f32', [batch, numKvHeads, capacity, headSize]));
    }
  }
  return { batch, capacity, tensors, lengths: new Int32Array(batch) };
}

function joinArrays(parts: readonly Float32Array[]): Float32Array {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => {
    joined.set(part, at);
    return at + part.length;
  }, 0);
  return joined;
}

/** The rows [B, ...] of an array, each `copies` times in a row: [B * copies, ...]. */
function repeatRows(rows: Float32Array, numRows: number, copies: number): Float32Array {
  const size = rows.length / numRows;
  const repeated = new Float32Array(rows.length * copies);
  for (let i = 0; i < numRows * copies; i++) {
    const from = Math.floor(i / copies) * size;
    repeated.set(rows.subarray(from, from + size), i * size);
  }
  return repeated;
}

function repeatCache(cache: Cache, copies: number): Cache {
  const tensors = new Map<string, Tensor>();
  for (const [name, { dims, data }] of cache.tensors) {
    const repeated = repeatRows(data as Float32Array, cache.batch, copies);
    tensors.set(name, tensor('f32', [cache.batch * copies, ...dims.slice(1)], repeated));
  }
  const lengths = Int32Array.from({ length: cache.batch * copies }, (_, i) =>
    Number(cache.lengths[Math.floor(i / copies)]),
  );
  return { batch: cache.batch * copies, capacity: cache.capacity, tensors, lengths };
}

/** One row of a cache, sharing its memory. */
function cacheRow(cache: Cache, row: number): Cache {
  const tensors = new Map<string, Tensor>();
  for (const [name, { dims, data }] of cache.tensors) {
    const size = data.length / cache.batch;
    const own = (data as Float32Array).subarray(row * size, (row + 1) * size);
    tensors.set(name, tensor('f32', [1, ...dims.slice(1)], own));
  }
  return { ...cache, batch: 1, tensors, lengths: cache.lengths.subarray(row, row + 1) };
}

/**
 * Tokens of a prompt that are read at once; a longer prompt is read in pieces, each row by itself,
 * so that memory is bounded. ours: products are at their full speed from 256 rows on.
 */
export const PREFILL_TOKENS = 512;

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
    const { config } = this.model.bundle.checkpoint;
    const longest = Math.max(...rows.map((r) => r.ids.length));
    const cache = newCache(config, rows.length, longest + room);
    const output =
      longest <= this.prefillTokens
        ? await this.read(cache, rows, 0, longest)
        : await this.readInPieces(cache, rows, signal);
    if (copies === 1) return { output, step: (inputs) => this.step(cache, inputs) };
    const shared = repeatCache(cache, copies);
    return {
      output: {
        logits_BV: repeatRows(output.logits_BV, rows.length, copies),
        states_BD: repeatRows(output.states_BD, rows.length, copies),
        latents_BD: repeatRows(output.latents_BD, rows.length, copies),
      },
      step: (inputs) => this.step(shared, inputs),
    };
  }

  private async readInPieces(
    cache: Cache,
    rows: readonly PromptRow[],
    signal?: AbortSignal,
  ): Promise<DecoderOutput> {
    const outputs: DecoderOutput[] = [];
    for (const [b, row] of rows.entries()) {
      const own = cacheRow(cache, b);
      let output: DecoderOutput | undefined;
      for (let from = 0; from < row.ids.length; from += this.prefillTokens) {
        signal?.throwIfAborted();
        output = await this.read(own, [row], from, from + this.prefillTokens);
      }
      if (output) outputs.push(output);
    }
    const joined = (part: (output: DecoderOutput) => Float32Array): Float32Array =>
      joinArrays(outputs.map(part));
    return {
      logits_BV: joined((o) => o.logits_BV),
      states_BD: joined((o) => o.states_BD),
      latents_BD: joined((o) => o.latents_BD),
    };
  }

  /**
   * Reads tokens `from` to `to` of every row, shorter rows padded on the right. Several rows start
   * at 0; rows of different lengths cannot be gone on with in one call.
   */
  private async read(
    cache: Cache,
    rows: readonly PromptRow[],
    from: number,
    to: number,
  ): Promise<DecoderOutput> {
    const width = this.model.bundle.checkpoint.config.text.hiddenSize;
    const batch = rows.length;
    const sizes = rows.map((row) => Math.min(to, row.ids.length) - from);
    const length = Math.max(...sizes);
    const ids = new Int32Array(batch * length).fill(this.model.bundle.padId);
    const positions = new Int32Array(3 * batch * length);
    const isGiven = new Uint8Array(batch * length);
    const given = new Float32Array(batch * length * width);
    const readAt = new Int32Array(batch);
    rows.forEach((row, b) => {
      const size = sizes[b] ?? 0;
      ids.set(row.ids.slice(from, from + size), b * length);
      for (let axis = 0; axis < 3; axis++) {
        const start = axis * row.ids.length + from;
        positions.set(row.positions_3T.subarray(start, start + size), (axis * batch + b) * length);
      }
      row.picturePlaces.forEach((place, m) => {
        if (place < from || place >= from + size) return;
        const at = b * length + place - from;
        isGiven[at] = 1;
        given.set(row.pictureRows_MD.subarray(m * width, (m + 1) * width), at * width);
      });
      cache.lengths[b] = from + size;
      readAt[b] = b * length + size - 1;
    });
    return this.run(cache, {
      input_ids: int64Tensor([batch, length], ids),
      position_ids: int64Tensor([3, batch, length], positions),
      is_given: tensor('bool', [batch, length], isGiven),
      given: tensor('f32', [batch, length, width], given),
      read_at: int64Tensor([batch], readAt),
    });
  }

  private async step(cache: Cache, inputs: readonly StepInput[]): Promise<DecoderOutput> {
    const { batch } = cache;
    const width = this.model.bundle.checkpoint.config.text.hiddenSize;
    const given = new Float32Array(batch * width);
    const positions = new Int32Array(3 * batch);
    const isGiven = new Uint8Array(batch);
    inputs.forEach((input, b) => {
      if (input.active) cache.lengths[b] = (cache.lengths[b] ?? 0) + 1;
      input.position.forEach((p, axis) => {
        positions[axis * batch + b] = p;
      });
      if (!input.latent) return;
      isGiven[b] = 1;
      given.set(input.latent, b * width);
    });
    return this.run(cache, {
      input_ids: int64Tensor(
        [batch, 1],
        inputs.map((i) => i.id),
      ),
      position_ids: int64Tensor([3, batch, 1], positions),
      is_given: tensor('bool', [batch, 1], isGiven),
      given: tensor('f32', [batch, 1, width], given),
      read_at: int64Tensor(
        [batch],
        Array.from({ length: batch }, (_, b) => b),
      ),
    });
  }

  private async run(cache: Cache, feeds: Record<string, Tensor>): Promise<DecoderOutput> {
    for (const [name, memory] of cache.tensors) {
      this.session.bindInput(`past_${name}`, memory);
      this.session.bindOutput(`present_${name}`, memory);
    }
    const results = await this.session.run({
      ...feeds,
      last_index: tensor(
        'i32',
        [cache.batch],
        cache.lengths.map((n) => n - 1),
      ),
      total_length: tensor('i32', [1], Int32Array.of(Math.max(...cache.lengths))),
    });
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
}
