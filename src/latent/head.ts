// Owns the latent head: from a decoder state to the vector that is read back as the next input.
// Axes: N latent positions, D hidden, K components (or bottleneck width), R adapter width.
import type { Graph, Value } from '../engine/graph.ts';
import { sum } from '../engine/ops/broadcast.ts';
import { add, div, mul, neg, shift, silu, sqrt, square, sub } from '../engine/ops/elementwise.ts';
import { linear } from '../engine/ops/linear.ts';
import type { ParameterSpec, Parameters } from '../model/parameters.ts';
import type { Weights } from '../model/weights.ts';
import type { Rng } from '../rng.ts';
import type { PcaBasis } from './pca.ts';

/**
 * What turns a state into a latent. `output`: the state itself, before the final norm
 * (output-as-input). `full`: LH, a d -> d head. `pca`: coefficients of a fixed basis (GAP Eq. 1).
 * `bottleneck`: as `pca` but the basis is learned, the matched-parameter control.
 */
export type HeadSpec =
  | { readonly kind: 'output' }
  | { readonly kind: 'full'; readonly hiddenSize: number; readonly adapterSize: number }
  | {
      readonly kind: 'pca' | 'bottleneck';
      readonly hiddenSize: number;
      readonly numComponents: number;
      readonly adapterSize: number;
    };

/** Trained parameters of a head; the PCA basis is not among them. */
export function headSpecs(head: HeadSpec): ParameterSpec[] {
  if (head.kind === 'output') return [];
  const width = head.kind === 'full' ? head.hiddenSize : head.numComponents;
  const specs = [
    { name: 'latent_head.projection.weight', dims: [width, head.hiddenSize] },
    { name: 'latent_head.projection.bias', dims: [width] },
    { name: 'latent_head.adapter.gate_proj.weight', dims: [head.adapterSize, width] },
    { name: 'latent_head.adapter.up_proj.weight', dims: [head.adapterSize, width] },
    { name: 'latent_head.adapter.down_proj.weight', dims: [width, head.adapterSize] },
  ];
  if (head.kind !== 'bottleneck') return specs;
  return [
    ...specs,
    { name: 'latent_head.expansion.weight', dims: [head.hiddenSize, width] },
    { name: 'latent_head.expansion.bias', dims: [head.hiddenSize] },
  ];
}

/** Fixed tensors of a PCA head: the basis [D, K] and the mean [D]. */
export const BASIS_INPUTS = {
  basis: 'latent_basis.components',
  mean: 'latent_basis.mean',
} as const;

/** Standard deviation of the adapter's random matrices; ours, as the decoder's. */
const ADAPTER_STD = 0.02;

/**
 * Starts a head: the projection is P^T (bias -P^T mu), or the identity without a basis; the
 * adapter is residual and its last matrix zero, so the head starts as the plain projection. Ours:
 * the paper says "initialised from P_k^T" only.
 */
export function initialiseHead(head: HeadSpec, weights: Weights, rng: Rng, basis?: PcaBasis): void {
  if (head.kind === 'output') return;
  const { hiddenSize } = head;
  const projection = weights.get('latent_head.projection.weight').data;
  const random = (name: string): void => {
    const { data } = weights.get(name);
    for (let i = 0; i < data.length; i++) data[i] = rng.normal() * ADAPTER_STD;
  };
  if (head.kind === 'full') {
    for (let i = 0; i < hiddenSize; i++) projection[i * hiddenSize + i] = 1;
  } else if (head.kind === 'pca' && basis) {
    const bias = weights.get('latent_head.projection.bias').data;
    for (let k = 0; k < head.numComponents; k++) {
      let offset = 0;
      for (let d = 0; d < hiddenSize; d++) {
        const entry = basis.basis_DK[d * head.numComponents + k] ?? 0;
        projection[k * hiddenSize + d] = entry;
        offset += entry * (basis.mean_D[d] ?? 0);
      }
      bias[k] = -offset;
    }
  } else {
    random('latent_head.projection.weight');
    if (head.kind === 'bottleneck') random('latent_head.expansion.weight');
  }
  random('latent_head.adapter.gate_proj.weight');
  random('latent_head.adapter.up_proj.weight');
}

/** The two forms of a state that heads read: before and after the decoder's final norm, [N, D]. */
export interface LatentState {
  readonly raw_ND: Value;
  readonly normed_ND: Value;
}

/** Predicted latents [N, D] from states [N, D]. Source: GAP §4.2, Eq. 1. */
export function predictLatents(head: HeadSpec, parameters: Parameters, state: LatentState): Value {
  if (head.kind === 'output') return state.raw_ND;
  const at = (name: string): Value => parameters(`latent_head.${name}`);
  const base = linear(state.normed_ND, at('projection.weight'), at('projection.bias'));
  const gate = silu(linear(base, at('adapter.gate_proj.weight')));
  const inner = mul(gate, linear(base, at('adapter.up_proj.weight')));
  const coefficients_NK = add(base, linear(inner, at('adapter.down_proj.weight')));
  if (head.kind === 'full') return coefficients_NK;
  if (head.kind === 'bottleneck')
    return linear(coefficients_NK, at('expansion.weight'), at('expansion.bias'));
  return linear(coefficients_NK, parameters(BASIS_INPUTS.basis), parameters(BASIS_INPUTS.mean));
}

/** Declares the fixed inputs of a PCA head in a graph. */
export function declareBasis(graph: Graph, head: HeadSpec): void {
  if (head.kind !== 'pca') return;
  graph.input(BASIS_INPUTS.basis, 'float', [head.hiddenSize, head.numComponents]);
  graph.input(BASIS_INPUTS.mean, 'float', [head.hiddenSize]);
}

/** How far predicted latents are from their targets. */
export type LatentLoss = 'mse' | 'cosine';

/** Keeps the cosine's norms away from zero; ours. */
const COSINE_EPSILON = 1e-8;

/**
 * Mean over latents of ||v^ - v||^2 (GAP Eq. 2), or of 1 - cos(v^, v). `count` is the number of
 * latents as a scalar.
 */
export function latentLoss(
  kind: LatentLoss,
  predicted_ND: Value,
  target_ND: Value,
  count: Value,
): Value {
  if (kind === 'mse') return div(sum(square(sub(predicted_ND, target_ND)), [0, 1]), count);
  const norm = (x: Value): Value => sqrt(shift(sum(square(x), [1]), COSINE_EPSILON));
  const dot_N = sum(mul(predicted_ND, target_ND), [1]);
  const cosine_N = div(dot_N, mul(norm(predicted_ND), norm(target_ND)));
  return shift(neg(div(sum(cosine_N, [0]), count)), 1);
}

/** Euclidean norms [N] of rows [N, D]. */
export function rowNorms(x_ND: Value): Value {
  return sqrt(sum(square(x_ND), [1]));
}
