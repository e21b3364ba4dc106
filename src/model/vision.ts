// Owns the Qwen2.5-VL vision tower as functions over a graph: patches to merged picture tokens.
// Axes: P patches in window order, M merged tokens, C vision width, S segments, L segment length,
// H heads, E head size, F pixel values a patch, D decoder width.

import { dimAt, divideDim, mulDims, toDim } from '../engine/dims.ts';
import type { DimLike } from '../engine/dims.ts';
import type { Graph, Value } from '../engine/graph.ts';
import { reshape } from '../engine/ops/broadcast.ts';
import {
  add,
  cos,
  gelu,
  less,
  mul,
  scale,
  sin,
  toFloat,
  where,
} from '../engine/ops/elementwise.ts';
import { moveRows } from '../engine/ops/indexing.ts';
import { linear, matmul } from '../engine/ops/linear.ts';
import { rmsNorm, softmax } from '../engine/ops/nn.ts';
import { concat, dimAsInt, rotateHalf, slice, transpose } from '../engine/ops/shape.ts';
import type { VisionConfig } from './config.ts';
import { MASKED_SCORE, floatConstant, swiglu } from './decoder.ts';
import { project } from './parameters.ts';
import type { Parameters } from './parameters.ts';

/** RMSNorm epsilon of the vision tower. Source: Qwen2_5_VLVisionBlock (a literal there). */
const VISION_RMS_EPSILON = 1e-6;
/** Base of the 2-D rotary frequencies. Source: Qwen2_5_VisionRotaryEmbedding's default. */
const VISION_ROPE_THETA = 10000;

/** How rows are grouped into attention segments. */
export interface Segments {
  /** [P, X] to [S, L, X]. */
  readonly pack: (rows_PX: Value) => Value;
  /** [S, L, X] to [P, X]. */
  readonly unpack: (packed_SLX: Value) => Value;
  /** Bias over keys [S, 1, 1, L] that hides padding; absent when nothing is padded. */
  readonly bias_S11L?: Value;
}

/**
 * What is known of the pictures when a graph is built. `ragged` takes any pictures, with index
 * tables as inputs; the uniform case (all pictures of one size whose windows are all full) needs
 * no tables: patches a window and patches a picture.
 */
export type PictureLayout =
  | { readonly kind: 'ragged' }
  | { readonly kind: 'uniform'; readonly windowLength: number; readonly pictureLength: number };

/** Inputs of the vision tower in a graph; see `visionFeeds` for what goes in. */
export interface VisionInputs {
  readonly pixels_PF: Value;
  readonly positions_P2: Value;
  readonly window: Segments;
  readonly picture: Segments;
  /** Merged token m is row `mergedOrder[m]` of the merger's (window-ordered) result, and back. */
  readonly mergedOrder_M: Value;
  readonly mergedBack_M: Value;
}

function uniformSegments(length: number): Segments {
  return {
    pack: (rows) => {
      return reshape(rows, [divideDim(dimAt(rows.shape, 0), length), length, dimAt(rows.shape, 1)]);
    },
    unpack: (packed) => {
      const [s, l, x] = [dimAt(packed.shape, 0), dimAt(packed.shape, 1), dimAt(packed.shape, 2)];
      return reshape(packed, [mulDims(s, l), x]);
    },
  };
}

/** Segments of any lengths, by the tables `NAME_to` and `NAME_back`; see `segmentFeeds`. */
export function raggedSegments(graph: Graph, name: string, patches: DimLike): Segments {
  const [s, l] = [`${name}_segments`, `${name}_length`];
  const to_SL = graph.input(`${name}_to`, 'i64', [s, l]);
  const back_P = graph.input(`${name}_back`, 'i64', [patches]);
  const slots = mulDims(...to_SL.shape);
  const valid_SL = less(to_SL, dimAsInt(graph, dimAt(back_P.shape, 0)));
  const bias = where(valid_SL, graph.scalar(0), graph.scalar(MASKED_SCORE));
  return {
    pack: (rows) => moveRows(rows, to_SL, back_P),
    unpack: (packed) =>
      moveRows(reshape(packed, [slots, dimAt(packed.shape, 2)]), back_P, reshape(to_SL, [slots])),
    bias_S11L: reshape(bias, [dimAt(to_SL.shape, 0), 1, 1, dimAt(to_SL.shape, 1)]),
  };
}

/** Declares the vision tower's inputs in a graph. */
export function declareVisionInputs(
  graph: Graph,
  config: VisionConfig,
  layout: PictureLayout,
): VisionInputs {
  const { inChannels, temporalPatchSize, patchSize, mergeSize } = config;
  const patchLength = inChannels * temporalPatchSize * patchSize * patchSize;
  const unit = mergeSize * mergeSize;
  const perSymbol = layout.kind === 'uniform' ? layout.pictureLength : unit;
  const symbol = layout.kind === 'uniform' ? 'pictures' : 'merged';
  const patches = mulDims(perSymbol, toDim(symbol));
  const merged = mulDims(perSymbol / unit, toDim(symbol));
  return {
    pixels_PF: graph.input('pixel_values', 'float', [patches, patchLength]),
    positions_P2: graph.input('patch_positions', 'i64', [patches, 2]),
    window:
      layout.kind === 'uniform'
        ? uniformSegments(layout.windowLength)
        : raggedSegments(graph, 'window', patches),
    picture:
      layout.kind === 'uniform'
        ? uniformSegments(layout.pictureLength)
        : raggedSegments(graph, 'picture', patches),
    mergedOrder_M: graph.input('merged_order', 'i64', [merged]),
    mergedBack_M: graph.input('merged_back', 'i64', [merged]),
  };
}

interface VisionRotary {
  readonly cos_P1E: Value;
  readonly sin_P1E: Value;
}

/**
 * Rotary angles of patches by row and column. Head size 8: two frequencies f0, f1 give the
 * angles (h f0, h f1, w f0, w f1), repeated for the second half of the head.
 */
function visionRotary(config: VisionConfig, positions_P2: Value): VisionRotary {
  const graph = positions_P2.graph;
  const headSize = config.hiddenSize / config.numHeads;
  const axisSize = headSize / 2;
  const frequencies = Array.from(
    { length: axisSize / 2 },
    (_, i) => VISION_ROPE_THETA ** (-(2 * i) / axisSize),
  );
  const constant = floatConstant(graph, [1, frequencies.length], frequencies);
  const positions = toFloat(positions_P2);
  const row = mul(slice(positions, 1, 0, 1), constant);
  const column = mul(slice(positions, 1, 1, 2), constant);
  const angles_PE = concat([row, column, row, column], 1);
  const shape = [dimAt(positions_P2.shape, 0), 1, headSize];
  return { cos_P1E: reshape(cos(angles_PE), shape), sin_P1E: reshape(sin(angles_PE), shape) };
}

/** Query, key and value of patches, heads side by side; query and key turned, query not scaled. */
export interface VisionHeads {
  readonly query_PC: Value;
  readonly key_PC: Value;
  readonly value_PC: Value;
}

function norm(x: Value, parameters: Parameters, name: string): Value {
  return rmsNorm(x, parameters(`${name}.weight`), VISION_RMS_EPSILON);
}

const blockName = (block: number): string => `visual.blocks.${block}`;

/** The part of a block before its attention: x [P, C] to what attends. */
export function visionHeads(
  config: VisionConfig,
  parameters: Parameters,
  block: number,
  x_PC: Value,
  positions_P2: Value,
): VisionHeads {
  const at = blockName(block);
  const heads = config.numHeads;
  const headSize = config.hiddenSize / heads;
  const rotary = visionRotary(config, positions_P2);
  const qkv_PX = project(norm(x_PC, parameters, `${at}.norm1`), parameters, `${at}.attn.qkv`, true);
  const p = dimAt(qkv_PX.shape, 0);
  const part = (index: number): Value =>
    slice(qkv_PX, 1, index * config.hiddenSize, (index + 1) * config.hiddenSize);
  const turned = (index: number): Value => {
    const x_PHE = reshape(part(index), [p, heads, headSize]);
    const y_PHE = add(mul(x_PHE, rotary.cos_P1E), mul(rotateHalf(x_PHE), rotary.sin_P1E));
    return reshape(y_PHE, [p, config.hiddenSize]);
  };
  return { query_PC: turned(0), key_PC: turned(1), value_PC: part(2) };
}

/** Attention inside segments, all scores written out: [P, C]. */
export function attendWithin(
  config: VisionConfig,
  { query_PC, key_PC, value_PC }: VisionHeads,
  segments: Segments,
): Value {
  const heads = config.numHeads;
  const headSize = config.hiddenSize / heads;
  const packed = (rows: Value, order: readonly number[]): Value => {
    const x_SLC = segments.pack(rows);
    const [s, l] = [dimAt(x_SLC.shape, 0), dimAt(x_SLC.shape, 1)];
    return transpose(reshape(x_SLC, [s, l, heads, headSize]), order);
  };
  const query_SHLE = packed(scale(query_PC, 1 / Math.sqrt(headSize)), [0, 2, 1, 3]);
  const key_SHEL = packed(key_PC, [0, 2, 3, 1]);
  const value_SHLE = packed(value_PC, [0, 2, 1, 3]);
  const scores = matmul(query_SHLE, key_SHEL);
  const weights = softmax(segments.bias_S11L ? add(scores, segments.bias_S11L) : scores);
  const mixed_SLHE = transpose(matmul(weights, value_SHLE), [0, 2, 1, 3]);
  const [s, l] = [dimAt(mixed_SLHE.shape, 0), dimAt(mixed_SLHE.shape, 1)];
  return segments.unpack(reshape(mixed_SLHE, [s, l, config.hiddenSize]));
}

/** The part of a block after its attention: x [P, C] and what was attended to [P, C] to [P, C]. */
export function finishBlock(
  parameters: Parameters,
  block: number,
  x_PC: Value,
  mixed_PC: Value,
): Value {
  const at = blockName(block);
  const afterAttention = add(x_PC, project(mixed_PC, parameters, `${at}.attn.proj`, true));
  const normed = norm(afterAttention, parameters, `${at}.norm2`);
  return add(afterAttention, swiglu(normed, parameters, `${at}.mlp`, true));
}

/** One vision block: x [P, C] to [P, C]. Source: Qwen2_5_VLVisionBlock. */
export function visionBlock(
  config: VisionConfig,
  parameters: Parameters,
  block: number,
  x_PC: Value,
  inputs: VisionInputs,
): Value {
  const heads = visionHeads(config, parameters, block, x_PC, inputs.positions_P2);
  const segments = config.fullAttentionBlocks.includes(block) ? inputs.picture : inputs.window;
  const mixed_PC = attendWithin(config, heads, segments);
  return finishBlock(parameters, block, x_PC, mixed_PC);
}

/** Patches to vision states: the patch convolution is a product because patches do not overlap. */
export function embedPatches(
  config: VisionConfig,
  parameters: Parameters,
  pixels_PF: Value,
): Value {
  const kernel = parameters('visual.patch_embed.proj.weight');
  return linear(pixels_PF, reshape(kernel, [config.hiddenSize, dimAt(pixels_PF.shape, 1)]));
}

/** Vision states [P, C] to picture tokens [M, D], in the order they come. Source: Qwen2_5_VLPatchMerger. */
export function mergeUnits(
  config: VisionConfig,
  parameters: Parameters,
  x_PC: Value,
  merged: DimLike,
): Value {
  const width = config.hiddenSize * config.mergeSize * config.mergeSize;
  const normed = norm(x_PC, parameters, 'visual.merger.ln_q');
  const layer = (x: Value, index: number): Value =>
    project(x, parameters, `visual.merger.mlp.${index}`, true);
  return layer(gelu(layer(reshape(normed, [merged, width]), 0)), 2);
}

/** Vision states [P, C] in window order to picture tokens [M, D] in the order of the picture. */
export function mergePatches(
  config: VisionConfig,
  parameters: Parameters,
  x_PC: Value,
  inputs: VisionInputs,
): Value {
  const { mergedOrder_M, mergedBack_M } = inputs;
  const units = mergeUnits(config, parameters, x_PC, dimAt(mergedOrder_M.shape, 0));
  return moveRows(units, mergedOrder_M, mergedBack_M);
}

/** The whole vision tower: picture tokens [M, D]. */
export function visionTower(
  config: VisionConfig,
  parameters: Parameters,
  inputs: VisionInputs,
): Value {
  let x = embedPatches(config, parameters, inputs.pixels_PF);
  for (let block = 0; block < config.depth; block++)
    x = visionBlock(config, parameters, block, x, inputs);
  return mergePatches(config, parameters, x, inputs);
}
