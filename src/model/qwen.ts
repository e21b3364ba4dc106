// Owns the whole Qwen2.5-VL as one graph: pictures and tokens to states, logits and loss.
// Axes: B rows, T tokens, D hidden, V vocabulary, M merged picture tokens.

import { dimAt, mulDims, subDims } from '../engine/dims.ts';
import type { DimLike } from '../engine/dims.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import { reshape, sum } from '../engine/ops/broadcast.ts';
import { equal, not, toFloat, where } from '../engine/ops/elementwise.ts';
import { moveRows } from '../engine/ops/indexing.ts';
import { crossEntropy } from '../engine/ops/nn.ts';
import { slice } from '../engine/ops/shape.ts';
import { IGNORED_LABEL } from '../processor/sequence.ts';
import { blockAttention } from './block-attention.ts';
import type { ModelConfig } from './config.ts';
import {
  causalBias,
  decoderLayers,
  embedTokens,
  finalNorm,
  int64,
  languageHead,
  plainAttention,
  textRotary,
} from './decoder.ts';
import type { HiddenKeys } from './decoder.ts';
import type { Parameters } from './parameters.ts';
import { declareVisionInputs, visionTower } from './vision.ts';
import type { PictureLayout } from './vision.ts';

/** Token inputs of a decoder graph. */
export interface TokenInputs {
  readonly ids_BT: Value;
  readonly mask_BT: Value;
  readonly positions_3BT: Value;
}

/**
 * Declares token ids, mask and positions.
 * @param length - T; every other input of a graph that has it needs the same one.
 */
export function declareTokenInputs(graph: Graph, length: DimLike = 'T'): TokenInputs {
  return {
    ids_BT: graph.input('input_ids', 'i64', ['B', length]),
    mask_BT: graph.input('attention_mask', 'i64', ['B', length]),
    positions_3BT: graph.input('position_ids', 'i64', [3, 'B', length]),
  };
}

/** Rows to be put at places of a batch; see `placementFeeds`. */
export interface PlacedRows {
  readonly rows_ND: Value;
  readonly to_BT: Value;
  readonly back_N: Value;
}

/** Declares the placement tables of rows that are computed in the graph or fed. */
export function declarePlacement(
  graph: Graph,
  name: string,
  rows_ND: Value,
  length: DimLike = 'T',
): PlacedRows {
  return {
    rows_ND,
    to_BT: graph.input(`${name}_to`, 'i64', ['B', length]),
    back_N: graph.input(`${name}_back`, 'i64', [dimAt(rows_ND.shape, 0)]),
  };
}

/** Replaces the inputs at the tokens with a given id by placed rows: x [B, T, D]. */
export function replaceAtTokens(
  x_BTD: Value,
  ids_BT: Value,
  id: number,
  placed: PlacedRows,
): Value {
  const [b, t] = [dimAt(ids_BT.shape, 0), dimAt(ids_BT.shape, 1)];
  const here = reshape(equal(ids_BT, int64(x_BTD.graph, id)), [b, t, 1]);
  return where(here, moveRows(placed.rows_ND, placed.to_BT, placed.back_N), x_BTD);
}

/** Input embeddings with pictures in place of their `<|image_pad|>` tokens. */
export function inputEmbeddings(
  config: ModelConfig,
  parameters: Parameters,
  ids_BT: Value,
  pictures?: PlacedRows,
): Value {
  const text = embedTokens(config.text, parameters, ids_BT);
  return pictures ? replaceAtTokens(text, ids_BT, config.tokens.image, pictures) : text;
}

/** Declares which keys are hidden from which queries. */
export function declareHiddenKeys(graph: Graph, length: DimLike = 'T'): HiddenKeys {
  return {
    hidden_BT: graph.input('hidden', 'bool', ['B', length]),
    denied_BT: graph.input('denied', 'bool', ['B', length]),
  };
}

/**
 * Every layer's state, the final one before the norm.
 * @param keys - hidden from some queries; by default every token sees all before it.
 * @param numBlocks - blocks of queries that attention is computed in; T must be a multiple.
 */
export function decode(
  config: ModelConfig,
  parameters: Parameters,
  x_BTD: Value,
  tokens: TokenInputs,
  keys?: HiddenKeys,
  numBlocks = 1,
): Value[] {
  const rotary = textRotary(config.text, tokens.positions_3BT);
  const bias = causalBias(tokens.mask_BT, keys);
  const attend =
    numBlocks === 1
      ? plainAttention(config.text, bias)
      : blockAttention(config.text, bias, numBlocks);
  return decoderLayers(config.text, parameters, x_BTD, rotary, attend);
}

/**
 * Mean cross-entropy of predicting each next label: logits [B, T, V] against labels [B, T], which
 * are unshifted and -100 where nothing is predicted. Source: transformers' ForCausalLMLoss.
 */
export function languageLoss(logits_BTV: Value, labels_BT: Value): Value {
  const graph = logits_BTV.graph;
  const [b, t] = [dimAt(labels_BT.shape, 0), dimAt(labels_BT.shape, 1)];
  const count = mulDims(b, subDims(t, 1));
  const logits_NV = reshape(slice(logits_BTV, 1, 0, subDims(t, 1)), [
    count,
    dimAt(logits_BTV.shape, 2),
  ]);
  const labels_N = reshape(slice(labels_BT, 1, 1, t), [count]);
  const ignored = equal(labels_N, int64(graph, IGNORED_LABEL));
  const weights_N = toFloat(not(ignored));
  return crossEntropy(
    logits_NV,
    where(ignored, int64(graph, 0), labels_N),
    weights_N,
    sum(weights_N, [0]),
  );
}

/** What a full forward graph is made for. */
export interface FullGraphOptions {
  /** Absent: the batch has no pictures. */
  readonly pictures?: PictureLayout;
  readonly labels: boolean;
}

/** The values of a full forward pass. */
export interface FullGraph {
  readonly graph: Graph;
  readonly pictures_MD?: Value;
  /** Embeddings, then every layer's output, the last one after the final norm (as Hugging Face). */
  readonly hiddenStates: readonly Value[];
  readonly logits_BTV: Value;
  readonly loss?: Value;
}

/** Builds the whole model in one graph; `declare` says where parameters come from. */
export function fullGraph(
  config: ModelConfig,
  graph: Graph,
  parameters: Parameters,
  options: FullGraphOptions,
): FullGraph {
  const tokens = declareTokenInputs(graph);
  const pictures_MD = options.pictures
    ? visionTower(
        config.vision,
        parameters,
        declareVisionInputs(graph, config.vision, options.pictures),
      )
    : undefined;
  const placed = pictures_MD ? declarePlacement(graph, 'pictures', pictures_MD) : undefined;
  const states = decode(
    config,
    parameters,
    inputEmbeddings(config, parameters, tokens.ids_BT, placed),
    tokens,
  );
  const last = finalNorm(config.text, parameters, states.at(-1) as Value);
  const logits_BTV = languageHead(config.text, parameters, last);
  return {
    graph,
    ...(pictures_MD ? { pictures_MD } : {}),
    hiddenStates: [...states.slice(0, -1), last],
    logits_BTV,
    ...(options.labels
      ? { loss: languageLoss(logits_BTV, graph.input('labels', 'i64', ['B', 'T'])) }
      : {}),
  };
}
