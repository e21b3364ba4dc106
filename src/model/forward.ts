// Owns a plain forward (and backward) pass over named inputs, as `gapvl forward` and parity run it.

import { ShapeError } from '../errors.ts';
import { encodeGraph } from '../engine/encode.ts';
import { gradients } from '../engine/gradient.ts';
import { Graph } from '../engine/graph.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { toFloat32 } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { GridThw } from '../processor/grid.ts';
import { mropePositions } from '../processor/positions.ts';
import type { ModelConfig } from './config.ts';
import { int64Tensor, pictureLayout, placementFeeds, placesOf, visionFeeds } from './feeds.ts';
import { declareParameters } from './parameters.ts';
import { fullGraph } from './qwen.ts';
import { Weights } from './weights.ts';

/** Named inputs as a processor makes them; names and shapes are Hugging Face's. */
export interface ForwardInputs {
  /** [B, T] */
  readonly input_ids: Tensor;
  /** [B, T]; default all ones. */
  readonly attention_mask?: Tensor;
  /** [P, C*T*p*p] */
  readonly pixel_values?: Tensor;
  /** [N, 3] */
  readonly image_grid_thw?: Tensor;
  /** [B, T], unshifted, -100 where nothing is predicted. */
  readonly labels?: Tensor;
}

/** A compiled forward pass over one batch, with gradients into flat memory if asked for. */
export interface ForwardPass extends AsyncDisposable {
  /** Runs with the weights as they are now. */
  readonly run: () => Promise<Record<string, Tensor>>;
  /** Gradients of the loss, refreshed by every run; absent unless asked for. */
  readonly gradients?: Weights;
  readonly positionIds_3BT: Tensor;
}

function integers(t: Tensor): Int32Array {
  return Int32Array.from(t.data as ArrayLike<number | bigint>, Number);
}

/** The grids of a batch's pictures. */
export function pictureGrids(inputs: ForwardInputs): GridThw[] {
  const flat = inputs.image_grid_thw ? integers(inputs.image_grid_thw) : [];
  return Array.from({ length: flat.length / 3 }, (_, i) => {
    const [t = 0, h = 0, w = 0] = flat.slice(3 * i, 3 * i + 3);
    return [t, h, w];
  });
}

/** Feeds of one batch: tokens, positions, pictures and their places. */
export function forwardFeeds(config: ModelConfig, inputs: ForwardInputs): Record<string, Tensor> {
  const [batch = 0, length = 0] = inputs.input_ids.dims;
  const ids = integers(inputs.input_ids);
  const mask = inputs.attention_mask
    ? integers(inputs.attention_mask)
    : new Int32Array(ids.length).fill(1);
  if (inputs.input_ids.dims.length !== 2 || mask.length !== ids.length) {
    throw new ShapeError({
      what: 'input_ids and attention_mask must be [B, T]',
      got: `[${inputs.input_ids.dims.join()}] and ${mask.length} mask values`,
    });
  }
  const grids = pictureGrids(inputs);
  const { positions_3BT } = mropePositions(
    { batch, length, inputIds_BT: ids, attentionMask_BT: mask },
    grids,
    {
      ids: { visionStart: config.tokens.visionStart, imagePad: config.tokens.image },
      mergeSize: config.vision.mergeSize,
    },
  );
  const feeds: Record<string, Tensor> = {
    input_ids: int64Tensor([batch, length], ids),
    attention_mask: int64Tensor([batch, length], mask),
    position_ids: int64Tensor([3, batch, length], positions_3BT),
  };
  if (inputs.labels) feeds['labels'] = int64Tensor([batch, length], integers(inputs.labels));
  if (inputs.pixel_values && grids.length > 0) {
    const { kind } = pictureLayout(config.vision, grids);
    Object.assign(
      feeds,
      visionFeeds(config.vision, toFloat32(inputs.pixel_values), grids, kind),
      placementFeeds('pictures', batch, length, placesOf(ids, config.tokens.image)),
    );
    const places = feeds['pictures_back']?.dims[0];
    const merged = feeds['merged_order']?.dims[0];
    if (places !== merged) {
      throw new ShapeError({
        what: 'picture tokens in input_ids do not match the pictures',
        got: `${places} tokens`,
        expected: `${merged}, from image_grid_thw`,
      });
    }
  }
  return feeds;
}

/** Compiles the forward pass for one batch of inputs over the given weights. */
export async function compileForward(
  config: ModelConfig,
  weights: Weights,
  inputs: ForwardInputs,
  options: SessionOptions & { readonly gradients?: boolean } = {},
): Promise<ForwardPass> {
  const feeds = forwardFeeds(config, inputs);
  const graph = new Graph();
  const pictures = feeds['pixel_values']
    ? pictureLayout(config.vision, pictureGrids(inputs))
    : undefined;
  const full = fullGraph(config, graph, declareParameters(graph, weights.specs), {
    labels: inputs.labels !== undefined,
    ...(pictures ? { pictures } : {}),
  });
  if (full.pictures_MD) graph.output('image_embeds', full.pictures_MD);
  full.hiddenStates.forEach((state, i) => {
    graph.output(`hidden_states.${i}`, state);
  });
  graph.output('logits', full.logits_BTV);
  if (full.loss) graph.output('loss', full.loss);
  let grads: Weights | undefined;
  if (options.gradients === true) {
    if (!full.loss)
      throw new ShapeError({ what: 'gradients need labels', fix: 'add `labels` to the inputs' });
    const used = weights.specs.filter((s) => graph.inputs.has(s.name));
    grads = new Weights(weights.specs);
    const targets = used.map((s) => graph.inputs.get(s.name) ?? graph.scalar(0));
    gradients(full.loss, targets).forEach((grad, i) => {
      graph.output(`gradient.${used[i]?.name ?? ''}`, grad);
    });
  }
  const session = await Session.create(encodeGraph(graph), options);
  for (const [name, value] of weights.byName) {
    if (graph.inputs.has(name)) session.bindInput(name, value);
    if (grads && graph.outputs.has(`gradient.${name}`))
      session.bindOutput(`gradient.${name}`, grads.get(name));
  }
  return {
    run: () => session.run(feeds),
    ...(grads ? { gradients: grads } : {}),
    positionIds_3BT: feeds['position_ids'] as Tensor,
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
