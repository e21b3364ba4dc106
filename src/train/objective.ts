// Owns the training graph: losses and gradients of one batch, for pretraining and every GAP variant.
// Axes: B rows, T tokens, D hidden, M picture tokens, N labelled positions, L latents.
import { dimAt, mulDims, toDim } from '../engine/dims.ts';
import type { DimLike } from '../engine/dims.ts';
import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { gradients } from '../engine/gradient.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import { expand, reshape } from '../engine/ops/broadcast.ts';
import { add, equal, mul } from '../engine/ops/elementwise.ts';
import { moveRows } from '../engine/ops/indexing.ts';
import { crossEntropy } from '../engine/ops/nn.ts';
import type { AfterSpan } from '../latent/after-span.ts';
import { declareBasis, latentLoss, predictLatents, rowNorms } from '../latent/head.ts';
import type { HeadSpec, LatentLoss } from '../latent/head.ts';
import { injectLatents } from '../latent/inject.ts';
import type { ModelConfig } from '../model/config.ts';
import { finalNorm, int64, languageHead } from '../model/decoder.ts';
import type { ParameterSpec, Parameters } from '../model/parameters.ts';
import { declareParameters } from '../model/parameters.ts';
import {
  declareHiddenKeys,
  declarePlacement,
  declareTokenInputs,
  decode,
  inputEmbeddings,
} from '../model/qwen.ts';
import { declareVisionInputs, visionTower } from '../model/vision.ts';
import type { PictureLayout } from '../model/vision.ts';

/** What a training graph computes. */
export interface ObjectiveOptions {
  /** `tower`: pixels go in and the tower is trained; `rows`: frozen picture embeddings go in. */
  readonly pictures:
    { readonly kind: 'tower'; readonly layout: PictureLayout } | { readonly kind: 'rows' };
  /** Latent spans; absent for batches without any. */
  readonly latents?: {
    readonly head: HeadSpec;
    readonly loss: LatentLoss;
    readonly padId: number;
    /** Absent: positions after a span see all before them. */
    readonly afterSpan?: AfterSpan;
  };
  /** Parameters that gradients are computed for. */
  readonly trained: readonly ParameterSpec[];
  /** All parameters the graph may read. */
  readonly parameters: readonly ParameterSpec[];
  /**
   * Blocks of queries that attention is computed in; the length of rows must be a multiple of it.
   * Default 1. More save work and memory, see `blockAttention`.
   */
  readonly attentionBlocks?: number;
  /** False: losses and predicted latents only, no gradients. Default true. */
  readonly withGradients?: boolean;
}

/** Tokens of a row from which on attention in blocks is faster, and how many then; ours, measured. */
const BLOCKS = { from: 512, count: 4 } as const;

/** `attentionBlocks` for rows of at most so many tokens, padded to a multiple of 4. */
export function attentionBlocksFor(longest: number): number {
  return longest >= BLOCKS.from ? BLOCKS.count : 1;
}

/** Rows [N, D] picked from states [B, T, D]; each position is picked at most once. */
function pickStates(graph: Graph, name: string, count: string, states_BTD: Value): Value {
  const [b, t, d] = states_BTD.shape;
  if (b === undefined || t === undefined || d === undefined)
    throw new RangeError('states are [B, T, D]');
  const to_N = graph.input(`${name}_to`, 'i64', [count]);
  const back = graph.input(`${name}_back`, 'i64', [mulDims(b, t)]);
  return moveRows(reshape(states_BTD, [mulDims(b, t), d]), to_N, back);
}

/** Encodes the training graph; its outputs are losses, diagnostics and `gradient.NAME`. */
export function encodeObjective(config: ModelConfig, options: ObjectiveOptions): EncodedGraph {
  const graph = new Graph();
  const parameters: Parameters = declareParameters(graph, options.parameters);
  const numBlocks = options.attentionBlocks ?? 1;
  const length = numBlocks === 1 ? 'T' : mulDims(numBlocks, toDim('C'));
  const tokens = declareTokenInputs(graph, length);
  const width = config.text.hiddenSize;
  const rows_MD =
    options.pictures.kind === 'tower'
      ? visionTower(
          config.vision,
          parameters,
          declareVisionInputs(graph, config.vision, options.pictures.layout),
        )
      : graph.input('picture_rows', 'float', ['M', width]);
  const text = inputEmbeddings(
    config,
    parameters,
    tokens.ids_BT,
    declarePlacement(graph, 'pictures', rows_MD, length),
  );
  const inputs_BTD = options.latents
    ? withLatents(graph, text, tokens.ids_BT, options.latents.padId, length)
    : text;
  const hiddenKeys = options.latents?.afterSpan ? declareHiddenKeys(graph, length) : undefined;
  const raw_BTD = decode(config, parameters, inputs_BTD, tokens, hiddenKeys, numBlocks).at(
    -1,
  ) as Value;

  const labelled_ND = finalNorm(config.text, parameters, pickStates(graph, 'labels', 'N', raw_BTD));
  const logits_NV = languageHead(config.text, parameters, labelled_ND);
  const labels_N = graph.input('label_ids', 'i64', ['N']);
  const ones_N = expand(graph.scalar(1), labels_N.shape);
  const languageLoss = crossEntropy(
    logits_NV,
    labels_N,
    ones_N,
    graph.input('label_count', 'float', []),
  );
  graph.output('language_loss', languageLoss);

  let loss = languageLoss;
  if (options.latents) {
    const { head, loss: kind } = options.latents;
    declareBasis(graph, head);
    const raw_LD = pickStates(graph, 'latent_states', 'L', raw_BTD);
    const predicted_LD = predictLatents(head, parameters, {
      raw_ND: raw_LD,
      normed_ND: finalNorm(config.text, parameters, raw_LD),
    });
    const target_LD = graph.input('latent_targets', 'float', ['L', width]);
    const distance = latentLoss(
      kind,
      predicted_LD,
      target_LD,
      graph.input('latent_count', 'float', []),
    );
    graph.output('latent_loss', distance);
    graph.output('predicted_latents', predicted_LD);
    graph.output('predicted_norms', rowNorms(predicted_LD));
    loss = add(languageLoss, mul(distance, graph.input('latent_weight', 'float', [])));
  }
  graph.output('loss', loss);
  if (options.withGradients !== false) {
    const used = options.trained.filter((spec) => graph.inputs.has(spec.name));
    const targets = used.map((spec) => parameters(spec.name));
    gradients(loss, targets).forEach((grad, i) => {
      graph.output(`gradient.${used[i]?.name ?? ''}`, grad);
    });
  }
  return encodeGraph(graph, new Map(), { bound: true });
}

function withLatents(
  graph: Graph,
  text_BTD: Value,
  ids_BT: Value,
  padId: number,
  length: DimLike,
): Value {
  const rows_LD = graph.input('latent_rows', 'float', ['L', dimAt(text_BTD.shape, -1)]);
  const placed = declarePlacement(graph, 'latents', rows_LD, length);
  const isLatent_BT = equal(ids_BT, int64(graph, padId));
  return injectLatents(
    text_BTD,
    isLatent_BT,
    moveRows(placed.rows_ND, placed.to_BT, placed.back_N),
  );
}

/** Flat places [N] as tables for `pickStates`; example: size 4, places [2, 0] gives back [1, 2, 0, 2] (2: nowhere). */
export function pickTables(
  places_N: Int32Array,
  size: number,
): { to: Int32Array; back: Int32Array } {
  const back = new Int32Array(size).fill(places_N.length);
  places_N.forEach((place, row) => {
    back[place] = row;
  });
  return { to: places_N, back };
}
