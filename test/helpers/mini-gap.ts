// Owns mini models with a latent head, and the plain graph of their states; decoding tests call it.
// Axes: B rows, T tokens, D hidden, V vocabulary, L latents of a batch, M picture tokens.
import { dimAt, mulDims } from '../../src/engine/dims.ts';
import { encodeGraph } from '../../src/engine/encode.ts';
import { Graph } from '../../src/engine/graph.ts';
import { reshape } from '../../src/engine/ops/broadcast.ts';
import { equal } from '../../src/engine/ops/elementwise.ts';
import { moveRows } from '../../src/engine/ops/indexing.ts';
import { Session } from '../../src/engine/session.ts';
import { tensor } from '../../src/engine/tensor.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import type { AfterSpan, SpanIds } from '../../src/latent/after-span.ts';
import { declareBasis, headSpecs, initialiseHead, predictLatents } from '../../src/latent/head.ts';
import type { HeadSpec } from '../../src/latent/head.ts';
import { injectLatents } from '../../src/latent/inject.ts';
import { makeHead } from '../../src/latent/model.ts';
import type { GapModel } from '../../src/latent/model.ts';
import { MomentAccumulator } from '../../src/latent/moments.ts';
import { fitPca } from '../../src/latent/pca.ts';
import type { PcaBasis } from '../../src/latent/pca.ts';
import type { HeadKind } from '../../src/latent/variants.ts';
import { positionConfig } from '../../src/model/bundle.ts';
import {
  MASKED_SCORE,
  decoderLayers,
  finalNorm,
  int64,
  languageHead,
  plainAttention,
  textRotary,
} from '../../src/model/decoder.ts';
import { int64Tensor, placementFeeds } from '../../src/model/feeds.ts';
import { declareParameters, decoderSpecs } from '../../src/model/parameters.ts';
import { declarePlacement, inputEmbeddings } from '../../src/model/qwen.ts';
import { Weights } from '../../src/model/weights.ts';
import type { GridThw } from '../../src/processor/grid.ts';
import { mropePositions } from '../../src/processor/positions.ts';
import type { LatentPositions } from '../../src/processor/positions.ts';
import { batchRows } from '../../src/processor/sequence.ts';
import type { Batch, Row } from '../../src/processor/sequence.ts';
import { Rng } from '../../src/rng.ts';
import { miniBundle, randomRows } from './mini-model.ts';
import type { MiniOptions } from './mini-model.ts';

/** Sessions of tests: one thread that sleeps when it waits. */
export const SESSION = { threads: 1, spinning: false };

/** K of the mini models: a square of 2 x 2. */
export const MINI_LATENTS = 4;

/** A basis of a third of the dimensions, fitted on random embeddings with a mean. */
export async function miniBasis(
  dim: number,
  numComponents = Math.ceil(dim / 3),
): Promise<PcaBasis> {
  const rng = new Rng('basis');
  const mixing = randomRows(rng, dim * dim, 1 / Math.sqrt(dim));
  const rows_ND = new Float32Array(50 * dim);
  for (let n = 0; n < 50; n++) {
    const source = randomRows(rng, dim).map((x, i) => x / (1 + i));
    for (let d = 0; d < dim; d++) {
      const mixed = source.reduce((sum, x, i) => sum + x * (mixing[i * dim + d] ?? 0), 0);
      rows_ND[n * dim + d] = mixed + 0.5 * Math.sin(d);
    }
  }
  const moments = new MomentAccumulator(dim);
  await moments.add(rows_ND);
  return fitPca(await moments.moments(), { numComponents });
}

/** The shape of a head at a width. */
export function miniHeadSpec(kind: HeadKind, hiddenSize: number, basis: PcaBasis): HeadSpec {
  if (kind === 'output') return { kind };
  if (kind === 'full') return { kind, hiddenSize, adapterSize: 5 };
  return { kind, hiddenSize, numComponents: basis.k, adapterSize: 5 };
}

/** A random model with a random head, adapter included. */
export async function miniGapModel(
  options: MiniOptions & {
    readonly head?: HeadKind;
    readonly positions?: LatentPositions;
    readonly afterSpan?: AfterSpan;
  } = {},
): Promise<GapModel<Weights>> {
  const bundle = miniBundle(options);
  const { hiddenSize } = bundle.checkpoint.config.text;
  const basis = await miniBasis(hiddenSize);
  const kind = options.head ?? 'pca';
  const spec = miniHeadSpec(kind, hiddenSize, basis);
  const weights = new Weights(headSpecs(spec));
  const rng = new Rng('head');
  initialiseHead(spec, weights, rng, basis);
  for (let i = 0; i < weights.flat.length; i++) {
    weights.flat[i] = (weights.flat[i] ?? 0) + 0.2 * rng.normal();
  }
  return {
    bundle,
    head: makeHead(spec, weights, kind === 'pca' ? basis : undefined),
    settings: {
      variant: 'gap',
      numLatents: MINI_LATENTS,
      teacherInputs: 'plain',
      positions: options.positions ?? { kind: 'sequential' },
      head: spec,
      ...(options.afterSpan ? { afterSpan: options.afterSpan } : {}),
    },
  };
}

/** A row to be run: its tokens, its pictures, and what stands at its latent positions. */
export interface TraceRow {
  readonly row: Row;
  readonly grids: readonly GridThw[];
  readonly pictureRows_MD: Float32Array;
  /** [L, D] of this row. */
  readonly latents_LD: Float32Array;
}

/** Everything a plain run knows of every position of a padded batch, flat [B * T, ...]. */
export interface TraceResult {
  readonly batch: Batch;
  readonly inputs_D: (row: number, position: number) => Float32Array;
  readonly state_D: (row: number, position: number) => Float32Array;
  readonly logits_V: (row: number, position: number) => Float32Array;
  readonly latent_D: (row: number, position: number) => Float32Array;
}

/**
 * The attention bias of padded rows [B, 1, 1, T, T], pair by pair from the rule in words, so that it
 * shares nothing with what it is compared to.
 */
function plainBias(batch: Batch, afterSpan: AfterSpan | undefined, ids: SpanIds): Tensor {
  const [b, t] = [batch.batch, batch.length];
  const bias = new Float32Array(b * t * t).fill(MASKED_SCORE);
  for (let row = 0; row < b; row++) {
    const tokens = [...batch.inputIds_BT.subarray(row * t, (row + 1) * t)];
    const picture = tokens.indexOf(ids.imagePad);
    const isAfter = (at: number): boolean =>
      tokens.slice(0, at + 1).includes(ids.latentEnd) && tokens[at] !== ids.latentPad;
    const knowsPicture = (at: number): boolean =>
      picture >= 0 && at >= picture && !isAfter(at) && tokens[at] !== ids.latentPad;
    for (let query = 0; query < t; query++) {
      for (let key = 0; key <= query; key++) {
        const hidden = afterSpan !== undefined && isAfter(query) && knowsPicture(key);
        const real = batch.attentionMask_BT[row * t + key] === 1;
        if (real && !hidden) bias[(row * t + query) * t + key] = 0;
      }
    }
  }
  return tensor('f32', [b, 1, 1, t, t], bias);
}

function join(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** The model without cache and without loss: every position's input, state, logits and prediction. */
export class Trace implements AsyncDisposable {
  private readonly model: GapModel<Weights>;
  private readonly session: Session;

  private constructor(model: GapModel<Weights>, session: Session) {
    this.model = model;
    this.session = session;
  }

  static async create(model: GapModel<Weights>): Promise<Trace> {
    const { config, weights } = model.bundle.checkpoint;
    const width = config.text.hiddenSize;
    const graph = new Graph();
    const specs = [...decoderSpecs(config.text), ...model.head.weights.specs];
    const parameters = declareParameters(graph, specs);
    const ids_BT = graph.input('input_ids', 'i64', ['B', 'T']);
    const positions_3BT = graph.input('position_ids', 'i64', [3, 'B', 'T']);
    const place = (name: string, count: string) =>
      declarePlacement(graph, name, graph.input(`${name}_rows`, 'float', [count, width]));
    const text = inputEmbeddings(config, parameters, ids_BT, place('pictures', 'M'));
    const latents = place('latents', 'L');
    const x_BTD = injectLatents(
      text,
      equal(ids_BT, int64(graph, model.bundle.sequence.latentPad)),
      moveRows(latents.rows_ND, latents.to_BT, latents.back_N),
    );
    const attend = plainAttention(config.text, graph.input('bias', 'float', ['B', 1, 1, 'T', 'T']));
    const rotary = textRotary(config.text, positions_3BT);
    const states = decoderLayers(config.text, parameters, x_BTD, rotary, attend);
    const raw_BTD = states.at(-1) ?? x_BTD;
    const count = mulDims(dimAt(raw_BTD.shape, 0), dimAt(raw_BTD.shape, 1));
    const raw_ND = reshape(raw_BTD, [count, width]);
    const normed_ND = finalNorm(config.text, parameters, raw_ND);
    declareBasis(graph, model.head.spec);
    graph.output('inputs', x_BTD);
    graph.output('states', raw_ND);
    graph.output('logits', languageHead(config.text, parameters, normed_ND));
    graph.output('predicted', predictLatents(model.head.spec, parameters, { raw_ND, normed_ND }));
    const fixed = [...weights.byName, ...model.head.weights.byName, ...model.head.fixed];
    return new Trace(model, await Session.create(encodeGraph(graph, new Map(fixed)), SESSION));
  }

  /** Runs rows as one padded batch. */
  async run(rows: readonly TraceRow[]): Promise<TraceResult> {
    const { bundle, settings } = this.model;
    const width = bundle.checkpoint.config.text.hiddenSize;
    const batch = batchRows(
      rows.map(({ row }) => row),
      { padId: bundle.padId, side: 'right' },
    );
    const [b, t] = [batch.batch, batch.length];
    const pictures = join(rows.map((row) => row.pictureRows_MD));
    const latents = join(rows.map((row) => row.latents_LD));
    const { positions_3BT } = mropePositions(
      batch,
      rows.flatMap(({ grids }) => grids),
      positionConfig(bundle, settings?.positions),
    );
    const results = await this.session.run({
      input_ids: int64Tensor([b, t], batch.inputIds_BT),
      bias: plainBias(batch, settings?.afterSpan, bundle.sequence),
      position_ids: int64Tensor([3, b, t], positions_3BT),
      pictures_rows: tensor('f32', [pictures.length / width, width], pictures),
      latents_rows: tensor('f32', [latents.length / width, width], latents),
      ...placementFeeds('pictures', b, t, batch.pictureTokens),
      ...placementFeeds('latents', b, t, batch.latentInputs_L),
    });
    const reader = (found: Tensor | undefined) => {
      const data = found?.data as Float32Array;
      const size = data.length / (b * t);
      return (row: number, position: number): Float32Array =>
        data.subarray((row * t + position) * size, (row * t + position + 1) * size);
    };
    return {
      batch,
      inputs_D: reader(results['inputs']),
      state_D: reader(results['states']),
      logits_V: reader(results['logits']),
      latent_D: reader(results['predicted']),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.session[Symbol.asyncDispose]();
  }
}
