// Owns the graph of head-only training: the latent loss from states that a frozen model gave, and its
// gradients by the head; head-only.ts calls it.
// Axes: L latents, D hidden.
import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { gradients } from '../engine/gradient.ts';
import { Graph } from '../engine/graph.ts';
import { mul } from '../engine/ops/elementwise.ts';
import type { Tensor } from '../engine/tensor.ts';
import { tensor } from '../engine/tensor.ts';
import { declareBasis, headSpecs, latentLoss, predictLatents } from '../latent/head.ts';
import type { HeadSpec, LatentLoss } from '../latent/head.ts';
import type { TextConfig } from '../model/config.ts';
import { finalNorm } from '../model/decoder.ts';
import { declareParameters } from '../model/parameters.ts';

/** The scale of the decoder's final norm, a fixed input of the graph. */
export const FINAL_NORM = 'model.norm.weight';

/** Encodes the latent part of the training graph (objective.ts); outputs have the same names. */
export function encodeHeadObjective(
  config: TextConfig,
  head: HeadSpec,
  kind: LatentLoss,
): EncodedGraph {
  const graph = new Graph();
  const width = config.hiddenSize;
  const trained = headSpecs(head);
  const parameters = declareParameters(graph, [...trained, { name: FINAL_NORM, dims: [width] }]);
  declareBasis(graph, head);
  const raw_ND = graph.input('latent_states', 'float', ['L', width]);
  const normed_ND = finalNorm(config, parameters, raw_ND);
  const distance = latentLoss(
    kind,
    predictLatents(head, parameters, { raw_ND, normed_ND }),
    graph.input('latent_targets', 'float', ['L', width]),
    graph.input('latent_count', 'float', []),
  );
  const loss = mul(distance, graph.input('latent_weight', 'float', []));
  graph.output('latent_loss', distance);
  graph.output('loss', loss);
  gradients(
    loss,
    trained.map(({ name }) => parameters(name)),
  ).forEach((value, i) => {
    graph.output(`gradient.${trained[i]?.name ?? ''}`, value);
  });
  return encodeGraph(graph, new Map(), { bound: true });
}

/** Feeds of the graph; states and targets are [L, D]. */
export function headFeeds(
  states_LD: Float32Array,
  targets_LD: Float32Array,
  width: number,
  weight: number,
): Record<string, Tensor> {
  const count = targets_LD.length / width;
  return {
    latent_states: tensor('f32', [count, width], states_LD),
    latent_targets: tensor('f32', [count, width], targets_LD),
    latent_count: tensor('f32', [], Float32Array.of(count)),
    latent_weight: tensor('f32', [], Float32Array.of(weight)),
  };
}
