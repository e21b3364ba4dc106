// Owns the graph of one look at whole sequences: states, norms, attention, log-probabilities; observe.ts runs it.
// Axes: B rows, T tokens of a padded row, D hidden, L layers, J/G key heads and query heads each, N states,
// P pools, Q groups of queries, M labels, V vocabulary.
import { dimAt, mulDims } from '../engine/dims.ts';
import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import { reshape, sum } from '../engine/ops/broadcast.ts';
import { div, shift, sqrt, square } from '../engine/ops/elementwise.ts';
import { gatherRows, pickLast } from '../engine/ops/indexing.ts';
import { matmul } from '../engine/ops/linear.ts';
import { logSoftmax } from '../engine/ops/nn.ts';
import { mean } from '../engine/ops/reduce.ts';
import { concat } from '../engine/ops/shape.ts';
import type { Constant } from '../engine/stored.ts';
import { declareBasis, predictLatents } from '../latent/head.ts';
import { injectLatents } from '../latent/inject.ts';
import type { GapModel } from '../latent/model.ts';
import {
  causalBias,
  decoderLayers,
  embedTokens,
  finalNorm,
  languageHead,
  plainAttention,
  textRotary,
} from '../model/decoder.ts';
import { declareHiddenKeys } from '../model/qwen.ts';
import { headSpec } from '../model/packed-weights.ts';
import { declareParameters, decoderSpecs } from '../model/parameters.ts';

/**
 * What a graph gives out. `states`: norms, chosen states, pools and attention. `labels`: only
 * log-probabilities of chosen tokens, for those who ask for them again and again.
 */
export type ObserverKind = 'states' | 'labels';

/** Keeps the direction of a state of no length finite; far below any squared norm. */
const NO_LENGTH = 1e-24; // ours

function norms(x_BTD: Value): Value {
  return sqrt(sum(square(x_BTD), [2]));
}

/** Vectors of length 1 in the same direction. */
function directions(x_BTD: Value): Value {
  return div(x_BTD, sqrt(shift(sum(square(x_BTD), [2], { keepDims: true }), NO_LENGTH)));
}

/**
 * One graph for whole sequences, teacher-forced. Vectors that are not looked up in the embedding
 * table, pictures and latents, are given, as in decoding. Everything of size T x T stays inside:
 * attention comes out as its mean over heads and over the queries of a group, `attention`
 * [L, B, Q, T]; states only at chosen places.
 */
export function encodeObserver(model: GapModel, kind: ObserverKind): EncodedGraph {
  const { config, weights } = model.bundle.checkpoint;
  const { text } = config;
  const width = text.hiddenSize;
  const graph = new Graph();
  const parameters = declareParameters(
    graph,
    [...decoderSpecs(text), headSpec(text), ...model.head.weights.specs],
    weights.packings,
  );
  const ids_BT = graph.input('input_ids', 'i64', ['B', 'T']);
  const mask_BT = graph.input('attention_mask', 'i64', ['B', 'T']);
  const rotary = textRotary(text, graph.input('position_ids', 'i64', [3, 'B', 'T']));
  const inputs_BTD = injectLatents(
    embedTokens(text, parameters, ids_BT),
    graph.input('is_given', 'bool', ['B', 'T']),
    graph.input('given', 'float', ['B', 'T', width]),
  );
  const bias = causalBias(mask_BT, declareHiddenKeys(graph));
  const [b, t] = [dimAt(ids_BT.shape, 0), dimAt(ids_BT.shape, 1)];
  const rowsAt = (x_BTD: Value, places_N: Value): Value =>
    gatherRows(reshape(x_BTD, [mulDims(b, t), width]), places_N);
  if (kind === 'labels') {
    const attend = plainAttention(text, bias);
    const last_BTD = decoderLayers(text, parameters, inputs_BTD, rotary, attend).at(-1) as Value;
    const raw_MD = rowsAt(last_BTD, graph.input('label_at', 'i64', ['M']));
    const logits_MV = languageHead(text, parameters, finalNorm(text, parameters, raw_MD));
    graph.output(
      'log_probs',
      pickLast(logSoftmax(logits_MV), graph.input('label_ids', 'i64', ['M'])),
    );
  } else {
    const queries_BQT = graph.input('queries', 'float', ['B', 'Q', 'T']);
    const q = dimAt(queries_BQT.shape, 1);
    const seen: Value[] = [];
    const attend = plainAttention(text, bias, (weights_BJGTT) => {
      const mass_BQT = matmul(queries_BQT, mean(weights_BJGTT, [1, 2]));
      seen.push(reshape(mass_BQT, [1, b, q, t]));
    });
    const states = decoderLayers(text, parameters, inputs_BTD, rotary, attend);
    const last_BTD = states.at(-1) as Value;
    const normed_BTD = finalNorm(text, parameters, last_BTD);
    const lengths = [...states, normed_BTD].map((x) => reshape(norms(x), [1, b, t]));
    graph.output('norms', concat(lengths, 0));
    graph.output('attention', concat(seen, 0));
    const pools_BPT = graph.input('pools', 'float', ['B', 'P', 'T']);
    graph.output('pooled_inputs', matmul(pools_BPT, inputs_BTD));
    graph.output('pooled_directions', matmul(pools_BPT, directions(normed_BTD)));
    const places_N = graph.input('state_at', 'i64', ['N']);
    const raw_ND = rowsAt(last_BTD, places_N);
    const normed_ND = finalNorm(text, parameters, raw_ND);
    graph.output('raw_states', raw_ND);
    graph.output('normed_states', normed_ND);
    declareBasis(graph, model.head.spec);
    graph.output(
      'latents_next',
      predictLatents(model.head.spec, parameters, { raw_ND, normed_ND }),
    );
  }
  return encodeGraph(
    graph,
    new Map<string, Constant>([
      ...weights.constants,
      ...model.head.weights.byName,
      ...model.head.fixed,
    ]),
  );
}
