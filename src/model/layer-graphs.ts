// Owns the graphs of one layer at a time, forward and backward; by-layer.ts runs them.
// Axes: B rows, T tokens, D hidden, V vocabulary, P patches in window order, C vision width.
import { dimAt } from '../engine/dims.ts';
import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { gradients, pullback } from '../engine/gradient.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import type { ModelConfig } from './config.ts';
import { causalBias, decoderLayer, finalNorm, languageHead } from './decoder.ts';
import { plainAttention, textRotary } from './decoder.ts';
import { declareParameters } from './parameters.ts';
import type { ParameterSpec, Parameters } from './parameters.ts';
import { languageLoss } from './qwen.ts';
import { declareVisionInputs, embedPatches, mergePatches, visionBlock } from './vision.ts';
import type { PictureLayout, VisionInputs } from './vision.ts';

/** Names of a stage's state before and after it, and of their gradients. */
export const STATE = { before: 'before', after: 'after' } as const;
/** Gradient of the loss by a state; `after` is an input of a backward graph, `before` an output. */
export const GRADIENT = { before: 'gradient_before', after: 'gradient_after' } as const;

/** One stretch of the model between two borders; layers of one shape share a stage. */
export interface Stage {
  /** Parameters under the names of the layer that stands for all of its shape. */
  readonly specs: readonly ParameterSpec[];
  /** The state after the stage from the one before, [absent: the stage reads pixels only]. */
  readonly build: (graph: Graph, parameters: Parameters) => { before?: Value; after: Value };
}

/** Encodes a stage from state to state. */
export function encodeForward(stage: Stage): EncodedGraph {
  const graph = new Graph();
  graph.output(STATE.after, stage.build(graph, declareParameters(graph, stage.specs)).after);
  return encodeGraph(graph);
}

/**
 * Encodes a stage's backward pass, which computes the stage again: from the state before and the
 * gradient after it to the gradient before it and `gradient.NAME` of each parameter.
 */
export function encodeBackward(stage: Stage): EncodedGraph {
  const graph = new Graph();
  const parameters = declareParameters(graph, stage.specs);
  const { before, after } = stage.build(graph, parameters);
  const grad = graph.input(GRADIENT.after, 'float', after.shape);
  const own = stage.specs.map(({ name }) => parameters(name));
  const targets = before ? [...own, before] : own;
  pullback([{ value: after, grad }], targets).forEach((value, i) => {
    const name = stage.specs[i]?.name;
    graph.output(name === undefined ? GRADIENT.before : `gradient.${name}`, value);
  });
  return encodeGraph(graph);
}

/** A decoder layer; layer 0 stands for all. */
export function decoderStage(config: ModelConfig, specs: readonly ParameterSpec[]): Stage {
  const { text } = config;
  return {
    specs,
    build: (graph, parameters) => {
      const before = graph.input(STATE.before, 'float', ['B', 'T', text.hiddenSize]);
      const rotary = textRotary(text, graph.input('position_ids', 'i64', [3, 'B', 'T']));
      const bias = causalBias(graph.input('attention_mask', 'i64', ['B', 'T']));
      const attend = plainAttention(text, bias);
      return { before, after: decoderLayer(text, parameters, 0, before, rotary, attend) };
    },
  };
}

type VisionStep = (parameters: Parameters, inputs: VisionInputs, before_PC: Value) => Value;

function visionStage(
  config: ModelConfig,
  layout: PictureLayout,
  specs: readonly ParameterSpec[],
  step: VisionStep,
): Stage {
  return {
    specs,
    build: (graph, parameters) => {
      const inputs = declareVisionInputs(graph, config.vision, layout);
      const patches = dimAt(inputs.pixels_PF.shape, 0);
      const before = graph.input(STATE.before, 'float', [patches, config.vision.hiddenSize]);
      return { before, after: step(parameters, inputs, before) };
    },
  };
}

/** The patch embedding. */
export function patchStage(
  config: ModelConfig,
  layout: PictureLayout,
  specs: readonly ParameterSpec[],
): Stage {
  return {
    specs,
    build: (graph, parameters) => {
      const { pixels_PF } = declareVisionInputs(graph, config.vision, layout);
      return { after: embedPatches(config.vision, parameters, pixels_PF) };
    },
  };
}

/** A vision block; `block` stands for all that attend as it does (to windows, or to all). */
export function blockStage(
  config: ModelConfig,
  layout: PictureLayout,
  specs: readonly ParameterSpec[],
  block: number,
): Stage {
  return visionStage(config, layout, specs, (parameters, inputs, before_PC) =>
    visionBlock(config.vision, parameters, block, before_PC, inputs),
  );
}

/** The merger. */
export function mergeStage(
  config: ModelConfig,
  layout: PictureLayout,
  specs: readonly ParameterSpec[],
): Stage {
  return visionStage(config, layout, specs, (parameters, inputs, before_PC) =>
    mergePatches(config.vision, parameters, before_PC, inputs),
  );
}

/** What the graph of the decoder's top computes besides logits. */
export interface TopOptions {
  readonly labels: boolean;
  readonly gradients: boolean;
  /** The head's own weights; absent when it is the embedding table. */
  readonly specs: readonly ParameterSpec[];
  /** Every parameter the graph reads. */
  readonly parameters: readonly ParameterSpec[];
}

/** Encodes final norm, head and loss, with gradients of `specs` and of the state before. */
export function encodeTop(config: ModelConfig, options: TopOptions): EncodedGraph {
  const graph = new Graph();
  const parameters = declareParameters(graph, options.parameters);
  const before = graph.input(STATE.before, 'float', ['B', 'T', config.text.hiddenSize]);
  const normed_BTD = finalNorm(config.text, parameters, before);
  const logits_BTV = languageHead(config.text, parameters, normed_BTD);
  graph.output(STATE.after, normed_BTD);
  graph.output('logits', logits_BTV);
  if (!options.labels) return encodeGraph(graph);
  const loss = languageLoss(logits_BTV, graph.input('labels', 'i64', ['B', 'T']));
  graph.output('loss', loss);
  if (!options.gradients) return encodeGraph(graph);
  const own = options.specs.map(({ name }) => parameters(name));
  gradients(loss, [...own, before]).forEach((value, i) => {
    const name = options.specs[i]?.name;
    graph.output(name === undefined ? GRADIENT.before : `gradient.${name}`, value);
  });
  return encodeGraph(graph);
}

/** Encodes the gradient of a tied head by its table, from the normed state. */
export function encodeTiedHead(config: ModelConfig, table: ParameterSpec): EncodedGraph {
  const graph = new Graph();
  const parameters = declareParameters(graph, [table]);
  const normed_BTD = graph.input(STATE.before, 'float', ['B', 'T', config.text.hiddenSize]);
  const logits_BTV = languageHead(config.text, parameters, normed_BTD);
  const loss = languageLoss(logits_BTV, graph.input('labels', 'i64', ['B', 'T']));
  gradients(loss, [parameters(table.name)]).forEach((value) => {
    graph.output(`gradient.${table.name}`, value);
  });
  return encodeGraph(graph);
}
