// Owns running a frozen vision tower over pictures of any size in bounded memory; PictureEncoder calls it.
// Axes: P patches of all pictures in window order, M merged units, C vision width, D decoder width,
// F pixel values a patch.
import { RuntimeError } from '../errors.ts';
import { encodeGraph } from '../engine/encode.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Patches } from '../processor/patches.ts';
import { visionLayout, windowPatchOrder } from '../processor/vision-layout.ts';
import type { VisionLayout } from '../processor/vision-layout.ts';
import type { VisionConfig } from './config.ts';
import { int64Tensor, segmentFeeds } from './feeds.ts';
import { SPAN, spanAttentionGraph, spanGraph, visionSpans } from './vision-spans.ts';
import type { Span } from './vision-spans.ts';
import type { WeightSource } from './weights.ts';

/**
 * Patches that go through a span at once, rounded up to whole windows; ours: the temporaries of a
 * 7B model's tower stay below 200 MB, and products of more rows are no faster.
 */
const CHUNK_PATCHES = 2048;

/** How a chunked tower runs. */
export interface ChunkedTowerOptions extends SessionOptions {
  /** Patches at once, at least; default 2048. */
  readonly chunkPatches?: number;
  /** Ends an encoding between two chunks. */
  readonly signal?: AbortSignal;
  /** Told before each stretch of work, for progress and benchmarks. */
  readonly onStage?: (stage: TowerStage) => void;
}

/** What a chunked tower is about to do. */
export type TowerStage =
  | { readonly kind: 'compile' | 'span'; readonly span: Span }
  | { readonly kind: 'attention'; readonly block: number };

/** Whole windows that lie side by side: rows `start` to `end` of P. */
interface Chunk {
  readonly start: number;
  readonly end: number;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** What lies between spans, for all patches. */
interface Between {
  readonly state_PC: Float32Array;
  /** Queries, and once attended what they found. */
  readonly query_PC: Float32Array;
  readonly key_PC: Float32Array;
  readonly value_PC: Float32Array;
}

/**
 * Lengths joined until each group has `least`, but for the last. Example: 4 4 2 6 8 by 7 gives
 * (4 4) (2 6) (8).
 */
function groups(lengths: Int32Array, least: number): Int32Array[] {
  const found: Int32Array[] = [];
  let from = 0;
  let sum = 0;
  lengths.forEach((length, i) => {
    sum += length;
    if (sum < least && i < lengths.length - 1) return;
    found.push(lengths.subarray(from, i + 1));
    from = i + 1;
    sum = 0;
  });
  return found;
}

function chunksOf(layout: VisionLayout, order_P: Int32Array, patches: number): Chunk[] {
  let start = 0;
  return groups(layout.windowLengths_S, patches).map((windows) => {
    const end = windows.reduce((sum, length) => sum + length, start);
    const positions = new Int32Array(2 * (end - start));
    for (let row = start; row < end; row++) {
      const from = 2 * (order_P[row] ?? 0);
      positions.set(layout.positions_P2.subarray(from, from + 2), 2 * (row - start));
    }
    const feeds = {
      patch_positions: int64Tensor([end - start, 2], positions),
      ...segmentFeeds('window', windows),
    };
    const chunk = { start, end, feeds };
    start = end;
    return chunk;
  });
}

function floats(results: Readonly<Record<string, Tensor>>, name: string): Float32Array {
  const { data } = results[name] ?? {};
  if (data instanceof Float32Array) return data;
  throw new RuntimeError({ what: `a span of the vision tower gave no ${name}` });
}

/** A frozen tower, compiled once for pictures of every size; one copy of its weights. Dispose it. */
export class ChunkedTower implements AsyncDisposable {
  private readonly config: VisionConfig;
  private readonly weights: WeightSource;
  private readonly options: ChunkedTowerOptions;
  private readonly sessions = new Map<string, Session>();

  constructor(config: VisionConfig, weights: WeightSource, options: ChunkedTowerOptions = {}) {
    this.config = config;
    this.weights = weights;
    this.options = options;
  }

  /** Embeddings [M, D] of the pictures, one after the other. */
  async encode({ pixelValues_PF, grids, patchLength }: Patches): Promise<Float32Array> {
    const { config } = this;
    const layout = visionLayout(grids, config);
    const order_P = windowPatchOrder(layout, config.mergeSize);
    const chunks = chunksOf(layout, order_P, this.options.chunkPatches ?? CHUNK_PATCHES);
    const tokens_MD = new Float32Array(layout.numMerged * config.outHiddenSize);
    const numStates = visionSpans(config).length > 1 ? layout.numPatches * config.hiddenSize : 0;
    const between: Between = {
      state_PC: new Float32Array(numStates),
      query_PC: new Float32Array(numStates),
      key_PC: new Float32Array(numStates),
      value_PC: new Float32Array(numStates),
    };
    for (const span of visionSpans(config)) {
      const session = await this.spanSession(span);
      this.options.onStage?.({ kind: 'span', span });
      for (const chunk of chunks) {
        this.options.signal?.throwIfAborted();
        const given =
          span.from === undefined
            ? { [SPAN.pixels]: pixelRows(pixelValues_PF, patchLength, order_P, chunk) }
            : this.stateRows(between, chunk);
        const results = await session.run({ ...chunk.feeds, ...given });
        if (span.to === undefined) this.placeTokens(tokens_MD, layout, chunk, results);
        else this.keep(between, chunk, results);
      }
      if (span.to === undefined) continue;
      this.options.onStage?.({ kind: 'attention', block: span.to });
      await this.attend(between, layout.fullLengths_S);
    }
    return tokens_MD;
  }

  private async session(key: string, make: () => ReturnType<typeof encodeGraph>): Promise<Session> {
    const known = this.sessions.get(key);
    if (known) return known;
    const session = await Session.create(make(), { ...this.options, arena: false });
    this.sessions.set(key, session);
    return session;
  }

  private spanSession(span: Span): Promise<Session> {
    const { constants, packings } = this.weights;
    return this.session(JSON.stringify(span), () => {
      this.options.onStage?.({ kind: 'compile', span });
      return encodeGraph(spanGraph(this.config, span, packings), constants);
    });
  }

  private rows(from_PC: Float32Array, start: number, end: number): Tensor {
    const width = this.config.hiddenSize;
    return tensor('f32', [end - start, width], from_PC.subarray(start * width, end * width));
  }

  private stateRows(between: Between, { start, end }: Chunk): Record<string, Tensor> {
    return {
      [SPAN.state]: this.rows(between.state_PC, start, end),
      [SPAN.mixed]: this.rows(between.query_PC, start, end),
    };
  }

  private keep(between: Between, { start }: Chunk, results: Record<string, Tensor>): void {
    const at = start * this.config.hiddenSize;
    between.state_PC.set(floats(results, SPAN.after), at);
    between.query_PC.set(floats(results, SPAN.query), at);
    between.key_PC.set(floats(results, SPAN.key), at);
    between.value_PC.set(floats(results, SPAN.value), at);
  }

  /** Puts into each query's place what it finds in its picture. */
  private async attend(between: Between, lengths_S: Int32Array): Promise<void> {
    const session = await this.session('attention', () =>
      encodeGraph(spanAttentionGraph(this.config)),
    );
    const most = this.options.chunkPatches ?? CHUNK_PATCHES;
    let first = 0;
    for (const length of lengths_S) {
      const last = first + length;
      const key = this.rows(between.key_PC, first, last);
      const value = this.rows(between.value_PC, first, last);
      for (let start = first; start < last; start += most) {
        this.options.signal?.throwIfAborted();
        const query = this.rows(between.query_PC, start, Math.min(start + most, last));
        const results = await session.run({
          [SPAN.query]: query,
          [SPAN.key]: key,
          [SPAN.value]: value,
        });
        between.query_PC.set(floats(results, SPAN.mixed), start * this.config.hiddenSize);
      }
      first = last;
    }
  }

  private placeTokens(
    tokens_MD: Float32Array,
    { windowIndex_M }: VisionLayout,
    { start }: Chunk,
    results: Record<string, Tensor>,
  ): void {
    const width = this.config.outHiddenSize;
    const first = start / this.config.mergeSize ** 2;
    const rows = floats(results, SPAN.tokens);
    for (let at = 0; at < rows.length; at += width) {
      const unit = windowIndex_M[first + at / width] ?? 0;
      tokens_MD.set(rows.subarray(at, at + width), unit * width);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions.values()) await session[Symbol.asyncDispose]();
    this.sessions.clear();
  }
}

function pixelRows(
  pixels_PF: Float32Array,
  width: number,
  order_P: Int32Array,
  { start, end }: Chunk,
): Tensor {
  const rows = new Float32Array((end - start) * width);
  order_P.subarray(start, end).forEach((from, to) => {
    rows.set(pixels_PF.subarray(from * width, (from + 1) * width), to * width);
  });
  return tensor('f32', [end - start, width], rows);
}
