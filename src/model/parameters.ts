// Owns the list of a model's parameters: names as published checkpoints write them, shapes, and how
// layer functions get at them, as plain matrices or packed ones.

import type { Graph, Value } from '../engine/graph.ts';
import { linear } from '../engine/ops/linear.ts';
import { BLOCK_SIZE, linearPacked, numBlocks, zeroBytes } from '../engine/ops/packed.ts';
import type { PackedMatrix, Packing } from '../engine/ops/packed.ts';
import type { ModelConfig, TextConfig, VisionConfig } from './config.ts';

/** Name and shape of one parameter. */
export interface ParameterSpec {
  readonly name: string;
  readonly dims: readonly number[];
  /** Only of the codes of a packed matrix; parameters are floats of any width else. */
  readonly dtype?: 'u8';
}

/** How layer functions get at their weights. */
export interface Parameters {
  /** A parameter as it is. */
  (name: string): Value;
  /** The packed form of a matrix, for those that have one. */
  readonly packed?: (name: string, use: PackedUse) => PackedMatrix | undefined;
}

/** What a packed matrix is for: its codes are declared in blocks for products, in rows for tables. */
export type PackedUse = 'product' | 'table';

/** Tensors of a packed matrix beside its name in a checkpoint. ours. */
export const PACKED_SUFFIXES = {
  codes: '.packed_codes',
  scales: '.packed_scales',
  zeros: '.packed_zeros',
} as const;

/** Name and shape of the tensors that a matrix [N, K] is packed into. */
export function packedSpecs(
  { name, dims: [rows = 0, columns = 0] }: ParameterSpec,
  { bits, symmetric }: Packing,
  use: PackedUse = 'product',
): readonly ParameterSpec[] {
  const blocks = numBlocks(columns);
  const blockBytes = (BLOCK_SIZE * bits) / 8;
  const codes = use === 'product' ? [rows, blocks, blockBytes] : [rows, blocks * blockBytes];
  const dtype = 'u8' as const;
  const zeros = {
    name: name + PACKED_SUFFIXES.zeros,
    dims: [rows, zeroBytes(columns, bits)],
    dtype,
  };
  return [
    { name: name + PACKED_SUFFIXES.codes, dims: codes, dtype },
    { name: name + PACKED_SUFFIXES.scales, dims: [rows, blocks] },
    ...(symmetric ? [] : [zeros]),
  ];
}

/** y = x W^T + b with the parameters `AT.weight`, plain or packed, and if there is one `AT.bias`. */
export function project(x: Value, parameters: Parameters, at: string, hasBias: boolean): Value {
  const bias = hasBias ? parameters(`${at}.bias`) : undefined;
  const packed = parameters.packed?.(`${at}.weight`, 'product');
  return packed ? linearPacked(x, packed, bias) : linear(x, parameters(`${at}.weight`), bias);
}

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

/**
 * Declares parameters as inputs of a graph on first use; those with a packing also in their packed
 * form.
 */
export function declareParameters(
  graph: Graph,
  specs: readonly ParameterSpec[],
  packings: ReadonlyMap<string, Packing> = new Map(),
): Parameters {
  const dims = new Map(specs.map((s) => [s.name, s.dims]));
  const input = (name: string, dtype: 'float' | 'u8', shape: readonly number[]): Value =>
    graph.inputs.get(name) ?? graph.input(name, dtype, shape);
  const shapeOf = (name: string): readonly number[] => {
    const shape = dims.get(name);
    if (!shape) throw new RangeError(`no parameter is called ${name}`);
    return shape;
  };
  const packed = (name: string, use: PackedUse): PackedMatrix | undefined => {
    const packing = packings.get(name);
    if (!packing) return undefined;
    const [codes, scales, zeros] = packedSpecs({ name, dims: shapeOf(name) }, packing, use);
    if (!codes || !scales) throw new RangeError('a packing has codes and scales');
    return {
      packing,
      codes: input(codes.name, 'u8', codes.dims),
      scales_NC: input(scales.name, 'float', scales.dims),
      ...(zeros ? { zeros: input(zeros.name, 'u8', zeros.dims) } : {}),
    };
  };
  const plain = (name: string): Value =>
    graph.inputs.get(name) ?? graph.input(name, 'float', shapeOf(name));
  return Object.assign(plain, { packed });
}
