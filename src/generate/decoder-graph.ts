// Owns the graph of cached decoding: tokens and given vectors in, logits, latents, new keys out.
// Axes: B rows, T new tokens, S cache capacity, D hidden, V vocabulary, J key heads, E head size.
import { dimAt, mulDims } from '../engine/dims.ts';
import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import { gatherRows } from '../engine/ops/indexing.ts';
import type { Constant } from '../engine/stored.ts';
import { declareBasis, predictLatents } from '../latent/head.ts';
import { injectLatents } from '../latent/inject.ts';
import type { GapModel } from '../latent/model.ts';
import { cacheBias, cachedAttention } from '../model/cached-attention.ts';
import {
  decoderLayers,
  embedTokens,
  finalNorm,
  languageHead,
  textRotary,
} from '../model/decoder.ts';
import type { Attend } from '../model/decoder.ts';
import { headSpec } from '../model/packed-weights.ts';
import { declareParameters, decoderSpecs } from '../model/parameters.ts';

/**
 * One graph for prompts and steps, so that weights are compiled once. Vectors that are not looked
 * up in the embedding table, pictures of a prompt and latents of a step, are given.
 */
export function encodeDecoder(model: GapModel): EncodedGraph {
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
  const [b, t] = [dimAt(ids_BT.shape, 0), dimAt(ids_BT.shape, 1)];
  const past = (kind: string, layer: number): Value =>
    graph.input(`past_${kind}.${layer}`, 'float', ['B', text.numKvHeads, 'S', text.headSize]);
  const first = { key: past('key', 0), value: past('value', 0) };
  const bias = cacheBias(graph, graph.input('past_seen', 'bool', ['B', 1, 1, 'S']), t);
  const attend: Attend = (heads) => {
    const { layer } = heads;
    const { key, value } =
      layer === 0 ? first : { key: past('key', layer), value: past('value', layer) };
    const result = cachedAttention(heads, key, value, bias);
    graph.output(`new_key.${layer}`, result.key_BJTE);
    graph.output(`new_value.${layer}`, result.value_BJTE);
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
