// Owns the cached decoder: a compiled graph, its key-value cache, prefill and steps of a batch.
// Axes: B rows, T new tokens, S cache capacity, D hidden, V vocabulary, J key heads, E head size.
import { dimAt, mulDims } from '../engine/dims.ts';
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { cachedAttention } from '../engine/ops/cached-attention.ts';
import { gatherRows } from '../engine/ops/indexing.ts';
import { Session } from '../engine/session.ts';
import type { Device, SessionOptions } from '../engine/session.ts';
import { tensor, zeros } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { declareBasis, predictLatents } from '../latent/head.ts';
import { injectLatents } from '../latent/inject.ts';
import type { GapModel } from '../latent/model.ts';
import type { ModelConfig } from '../model/config.ts';
import { decoderLayers, finalNorm, languageHead, textRotary } from '../model/decoder.ts';
import type { Attend } from '../model/decoder.ts';
import { int64Tensor, placementFeeds } from '../model/feeds.ts';
import { prefillAttention } from '../model/prefill-attention.ts';
import { declareParameters, decoderSpecs } from '../model/parameters.ts';
import { declarePlacement, inputEmbeddings } from '../model/qwen.ts';

function encodeDecoder(model: GapModel, prefill: boolean, device: Device): Uint8Array {
  const { config, weights } = model.bundle.checkpoint;
  const graph = new Graph();
  const { text } = config;
  const width = text.hiddenSize;
  const parameters = declareParameters(graph, [...decoderSpecs(text), ...model.head.weights.specs]);
  const ids_BT = graph.input('input_ids', 'i64', ['B', 'T']);
  const positions_3BT = graph.input('position_ids', 'i64', [3, 'B', 'T']);
  const pictures = prefill
    ? declarePlacement(graph, 'pictures', graph.input('picture_rows', 'float', ['M', width]))
    : undefined;
  const embedded = inputEmbeddings(config, parameters, ids_BT, pictures);
  const inputs_BTD = injectLatents(
    embedded,
    graph.input('is_latent', 'bool', ['B', 'T']),
    graph.input('latents', 'float', ['B', 'T', width]),
  );
  const lastIndex_B = graph.input('last_index', 'i32', ['B']);
  const totalLength = graph.input('total_length', 'i32', [1]);
  const attend: Attend = (heads) => {
    const { query_BTHE, key_BTJE, value_BTJE, layer } = heads;
    const past = (kind: string): Value =>
      graph.input(`past_${kind}.${layer}`, 'float', ['B', text.numKvHeads, 'S', text.headSize]);
    const [pastKey_BJSE, pastValue_BJSE] = [past('key'), past('value')];
    const result =
      prefill && device !== 'cpu'
        ? prefillAttention(text, heads, pastKey_BJSE)
        : cachedAttention({
            query_BTHE,
            key_BTJE,
            value_BTJE,
            pastKey_BJSE,
            pastValue_BJSE,
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
    new Map<string, Tensor>([...weights.byName, ...model.head.weights.byName, ...model.head.fixed]),
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

/** Compiled prefill and step graphs of one model. Dispose it; batches share it one after the other. */
export class Decoder implements AsyncDisposable {
  readonly model: GapModel;
  private readonly prefillSession: Session;
  private readonly stepSession: Session;

  private constructor(model: GapModel, prefillSession: Session, stepSession: Session) {
    this.model = model;
    this.prefillSession = prefillSession;
    this.stepSession = stepSession;
  }

  /** Compiles prefill and step; the weights become constants of both. */
  static async create(model: GapModel, options: SessionOptions = {}): Promise<Decoder> {
    const { device = 'cpu' } = options;
    const prefill = await Session.create(encodeDecoder(model, true, device), options);
    const step = await Session.create(encodeDecoder(model, false, device), options);
    return new Decoder(model, prefill, step);
  }

  /**
   * Reads the prompts of a batch; `room` is the number of tokens that may follow. With `copies`
   * every prompt is read once and goes on as that many rows, side by side.
   */
  async start(rows: readonly PromptRow[], room: number, copies = 1): Promise<DecodingBatch> {
    const { config } = this.model.bundle.checkpoint;
    const width = config.text.hiddenSize;
    const [batch, length] = [rows.length, Math.max(...rows.map((r) => r.ids.length))];
    const cache = newCache(config, batch, length + room);
    const ids = new Int32Array(batch * length).fill(this.model.bundle.padId);
    const positions = new Int32Array(3 * batch * length);
    const places: number[] = [];
    const readAt = new Int32Array(batch);
    rows.forEach((row, b) => {
      const size = row.ids.length;
      ids.set(row.ids, b * length);
      for (let axis = 0; axis < 3; axis++) {
        positions.set(
          row.positions_3T.subarray(axis * size, (axis + 1) * size),
          (axis * batch + b) * length,
        );
      }
      places.push(...row.picturePlaces.map((p) => b * length + p));
      cache.lengths[b] = size;
      readAt[b] = b * length + size - 1;
    });
    const pictures = new Float32Array(places.length * width);
    let at = 0;
    for (const row of rows) {
      pictures.set(row.pictureRows_MD, at);
      at += row.pictureRows_MD.length;
    }
    const output = await this.run(this.prefillSession, cache, length, {
      input_ids: int64Tensor([batch, length], ids),
      position_ids: int64Tensor([3, batch, length], positions),
      is_latent: zeros('bool', [batch, length]),
      latents: zeros('f32', [batch, length, width]),
      read_at: int64Tensor([batch], readAt),
      picture_rows: tensor('f32', [places.length, width], pictures),
      ...placementFeeds('pictures', batch, length, Int32Array.from(places)),
    });
    if (copies === 1) return { output, step: (inputs) => this.step(cache, inputs) };
    const shared = repeatCache(cache, copies);
    return {
      output: {
        logits_BV: repeatRows(output.logits_BV, batch, copies),
        states_BD: repeatRows(output.states_BD, batch, copies),
        latents_BD: repeatRows(output.latents_BD, batch, copies),
      },
      step: (inputs) => this.step(shared, inputs),
    };
  }

  private async step(cache: Cache, inputs: readonly StepInput[]): Promise<DecoderOutput> {
    const { batch } = cache;
    const width = this.model.bundle.checkpoint.config.text.hiddenSize;
    const latents = new Float32Array(batch * width);
    const positions = new Int32Array(3 * batch);
    const isLatent = new Uint8Array(batch);
    inputs.forEach((input, b) => {
      if (input.active) cache.lengths[b] = (cache.lengths[b] ?? 0) + 1;
      input.position.forEach((p, axis) => {
        positions[axis * batch + b] = p;
      });
      if (!input.latent) return;
      isLatent[b] = 1;
      latents.set(input.latent, b * width);
    });
    return this.run(this.stepSession, cache, Math.max(...cache.lengths), {
      input_ids: int64Tensor(
        [batch, 1],
        inputs.map((i) => i.id),
      ),
      position_ids: int64Tensor([3, batch, 1], positions),
      is_latent: tensor('bool', [batch, 1], isLatent),
      latents: tensor('f32', [batch, 1, width], latents),
      read_at: int64Tensor(
        [batch],
        Array.from({ length: batch }, (_, b) => b),
      ),
    });
  }

  private async run(
    session: Session,
    cache: Cache,
    totalLength: number,
    feeds: Record<string, Tensor>,
  ): Promise<DecoderOutput> {
    for (const [name, memory] of cache.tensors) {
      session.bindInput(`past_${name}`, memory);
      session.bindOutput(`present_${name}`, memory);
    }
    const results = await session.run({
      ...feeds,
      last_index: tensor(
        'i32',
        [cache.batch],
        cache.lengths.map((n) => n - 1),
      ),
      total_length: tensor('i32', [1], Int32Array.of(totalLength)),
    });
    return {
      logits_BV: results['logits']?.data as Float32Array,
      states_BD: results['states']?.data as Float32Array,
      latents_BD: results['latents_next']?.data as Float32Array,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.prefillSession[Symbol.asyncDispose]();
    await this.stepSession[Symbol.asyncDispose]();
  }
}

/** A batch whose prompts were read: the first output, and how to go on. */
export interface DecodingBatch {
  readonly output: DecoderOutput;
  readonly step: (inputs: readonly StepInput[]) => Promise<DecoderOutput>;
}
