// Owns the list of a model's parameters: names as published checkpoints write them, and shapes.

import type { Graph, Value } from '../engine/graph.ts';
import type { ModelConfig, TextConfig, VisionConfig } from './config.ts';

/** Name and shape of one parameter. */
export interface ParameterSpec {
  readonly name: string;
  readonly dims: readonly number[];
}

/** How layer functions get at their weights. */
export type Parameters = (name: string) => Value;

function linearSpecs(name: string, out: number, inner: number, bias: boolean): ParameterSpec[] {
  const weight = { name: `${name}.weight`, dims: [out, inner] };
  return bias ? [weight, { name: `${name}.bias`, dims: [out] }] : [weight];
}

function mlpSpecs(name: string, hidden: number, inner: number, bias: boolean): ParameterSpec[] {
  return [
    ...linearSpecs(`${name}.gate_proj`, inner, hidden, bias),
    ...linearSpecs(`${name}.up_proj`, inner, hidden, bias),
    ...linearSpecs(`${name}.down_proj`, hidden, inner, bias),
  ];
}

/** Parameters of one vision block. */
export function visionBlockSpecs(config: VisionConfig, block: number): ParameterSpec[] {
  const at = `visual.blocks.${block}`;
  const width = config.hiddenSize;
  return [
    { name: `${at}.norm1.weight`, dims: [width] },
    { name: `${at}.norm2.weight`, dims: [width] },
    ...linearSpecs(`${at}.attn.qkv`, 3 * width, width, true),
    ...linearSpecs(`${at}.attn.proj`, width, width, true),
    ...mlpSpecs(`${at}.mlp`, width, config.intermediateSize, true),
  ];
}

/** Parameters of the vision tower, merger included. */
export function visionSpecs(config: VisionConfig): ParameterSpec[] {
  const { hiddenSize, inChannels, temporalPatchSize, patchSize, mergeSize } = config;
  const merged = hiddenSize * mergeSize * mergeSize;
  return [
    {
      name: 'visual.patch_embed.proj.weight',
      dims: [hiddenSize, inChannels, temporalPatchSize, patchSize, patchSize],
    },
    ...Array.from({ length: config.depth }, (_, i) => visionBlockSpecs(config, i)).flat(),
    { name: 'visual.merger.ln_q.weight', dims: [hiddenSize] },
    ...linearSpecs('visual.merger.mlp.0', merged, merged, true),
    ...linearSpecs('visual.merger.mlp.2', config.outHiddenSize, merged, true),
  ];
}

/** Parameters of one decoder layer. */
export function decoderLayerSpecs(config: TextConfig, layer: number): ParameterSpec[] {
  const at = `model.layers.${layer}`;
  const { hiddenSize, numHeads, numKvHeads, headSize } = config;
  return [
    { name: `${at}.input_layernorm.weight`, dims: [hiddenSize] },
    { name: `${at}.post_attention_layernorm.weight`, dims: [hiddenSize] },
    ...linearSpecs(`${at}.self_attn.q_proj`, numHeads * headSize, hiddenSize, true),
    ...linearSpecs(`${at}.self_attn.k_proj`, numKvHeads * headSize, hiddenSize, true),
    ...linearSpecs(`${at}.self_attn.v_proj`, numKvHeads * headSize, hiddenSize, true),
    ...linearSpecs(`${at}.self_attn.o_proj`, hiddenSize, numHeads * headSize, false),
    ...mlpSpecs(`${at}.mlp`, hiddenSize, config.intermediateSize, false),
  ];
}

/** Parameters of the decoder: embeddings, layers, final norm and, when untied, the head. */
export function decoderSpecs(config: TextConfig): ParameterSpec[] {
  const { vocabSize, hiddenSize } = config;
  const head = { name: 'lm_head.weight', dims: [vocabSize, hiddenSize] };
  return [
    { name: 'model.embed_tokens.weight', dims: [vocabSize, hiddenSize] },
    ...Array.from({ length: config.numLayers }, (_, i) => decoderLayerSpecs(config, i)).flat(),
    { name: 'model.norm.weight', dims: [hiddenSize] },
    ...(config.tieWordEmbeddings ? [] : [head]),
  ];
}

/** All parameters of a model. */
export function modelSpecs(config: ModelConfig): ParameterSpec[] {
  return [...visionSpecs(config.vision), ...decoderSpecs(config.text)];
}

/** Declares parameters as inputs of a graph on first use, and remembers which were used. */
export function declareParameters(graph: Graph, specs: readonly ParameterSpec[]): Parameters {
  const dims = new Map(specs.map((s) => [s.name, s.dims]));
  return (name) => {
    const known = graph.inputs.get(name);
    if (known) return known;
    const shape = dims.get(name);
    if (!shape) throw new RangeError(`no parameter is called ${name}`);
    return graph.input(name, 'float', shape);
  };
}
