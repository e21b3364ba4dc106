// Owns running a model one layer at a time over weights on the disk; `gapvl forward --by-layer` calls it.
// Axes: B rows, T tokens, D hidden, V vocabulary, M merged picture tokens.
import { ShapeError } from '../errors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import { tensor, zeros } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { ModelConfig } from './config.ts';
import { pictureLayout } from './feeds.ts';
import { forwardFeeds, pictureGrids } from './forward.ts';
import type { ForwardInputs } from './forward.ts';
import * as graphs from './layer-graphs.ts';
import type { Stage } from './layer-graphs.ts';
import { LayerRun, f32 } from './layer-run.ts';
import type { Layer, LayerRunOptions } from './layer-run.ts';
import { LayerWeights } from './layer-weights.ts';
import { decoderLayerSpecs, decoderSpecs, modelSpecs } from './parameters.ts';
import { visionBlockSpecs, visionSpecs } from './parameters.ts';
import type { ParameterSpec } from './parameters.ts';
import type { PictureLayout } from './vision.ts';

/** How a model is run by layer. */
export interface ByLayerOptions extends LayerRunOptions {
  /** How messages call the checkpoint. */
  readonly place?: string;
}

/** The vision tower from pixels to picture tokens: patch embedding, blocks, merger. */
export function visionLayers(config: ModelConfig, layout: PictureLayout): Layer[] {
  const { vision } = config;
  const named = (part: string): ParameterSpec[] =>
    visionSpecs(vision).filter(({ name }) => name.startsWith(`visual.${part}.`));
  const alone = (stage: Stage): Layer => ({ stage, specs: stage.specs });
  const shapes = new Map<boolean, Stage>();
  const blocks = Array.from({ length: vision.depth }, (_, block): Layer => {
    const specs = visionBlockSpecs(vision, block);
    const isFull = vision.fullAttentionBlocks.includes(block);
    const stage = shapes.get(isFull) ?? graphs.blockStage(config, layout, specs, block);
    shapes.set(isFull, stage);
    return { stage, specs };
  });
  return [
    alone(graphs.patchStage(config, layout, named('patch_embed'))),
    ...blocks,
    alone(graphs.mergeStage(config, layout, named('merger'))),
  ];
}

/** The decoder's layers, in order; all are one stage. */
export function decoderLayers(config: ModelConfig): Layer[] {
  const stage = graphs.decoderStage(config, decoderLayerSpecs(config.text, 0));
  return Array.from({ length: config.text.numLayers }, (_, layer) => ({
    stage,
    specs: decoderLayerSpecs(config.text, layer),
  }));
}

/** The table of input embeddings. */
export const TABLE = 'model.embed_tokens.weight';

/** Input embeddings [B, T, D]: rows of the table, picture tokens at their places. */
async function embed(
  run: LayerRun,
  width: number,
  pictures_MD?: Tensor<'f32'>,
): Promise<Tensor<'f32'>> {
  const ids = integers(run.feeds['input_ids']);

  const embedded = zeros('f32', [...(run.feeds['input_ids']?.dims ?? []), width]);
  const places = pictures_MD ? integers(run.feeds['pictures_back']) : [];
  const taken = new Set(places);
  const text = [...ids.keys()].filter((at) => !taken.has(at));
  const rows = await run.weights.rows(
    TABLE,
    text.map((at) => ids[at] ?? 0),
  );
  for (const at of text) embedded.data.set(rows.get(ids[at] ?? 0) ?? [], at * width);
  places.forEach((at, row) => {
    embedded.data.set(pictures_MD?.data.subarray(row * width, (row + 1) * width) ?? [], at * width);
  });
  return embedded;
}

/** Splits the gradient of `embed`: adds the text's share to the table's, returns the pictures'. */
function splitEmbedGradient(
  run: LayerRun,
  gradient_BTD: Tensor<'f32'>,
  table_VD: Tensor<'f32'>,
  hasPictures: boolean,
): Tensor<'f32'> {
  const ids = integers(run.feeds['input_ids']);
  const width = table_VD.dims[1] ?? 0;
  const places = hasPictures ? integers(run.feeds['pictures_back']) : [];
  const taken = new Set(places);
  const [from, to] = [gradient_BTD.data, table_VD.data];
  ids.forEach((id, at) => {
    if (taken.has(at)) return;
    for (let d = 0; d < width; d++) {
      to[id * width + d] = (to[id * width + d] ?? 0) + (from[at * width + d] ?? 0);
    }
  });
  const pictures = new Float32Array(places.length * width);
  places.forEach((at, row) => {
    pictures.set(from.subarray(at * width, (at + 1) * width), row * width);
  });
  return tensor('f32', [places.length, width], pictures);
}

function integers(found: Tensor | undefined): number[] {
  return Array.from(found?.data ?? [], Number);
}

/**
 * Runs one batch with weights read layer by layer and dropped after use, and returns what
 * `gapvl forward` writes: position_ids, image_embeds, hidden_states.N, logits, and with labels the
 * loss. With `gradients` every layer is computed again on the way back, so that memory holds one
 * layer and the states between layers, whatever the depth of the model.
 * @throws CheckpointError when the checkpoint does not fit the config, before anything is read;
 * ShapeError when the inputs do not fit each other, or gradients are asked for without labels.
 */
export async function runByLayer(
  config: ModelConfig,
  reader: TensorReader,
  inputs: ForwardInputs,
  options: ByLayerOptions = {},
): Promise<Record<string, Tensor>> {
  const wantsGradients = options.gradients !== undefined;
  if (wantsGradients && !inputs.labels)
    throw new ShapeError({ what: 'gradients need labels', fix: 'add `labels` to the inputs' });
  const place = options.place ?? 'the checkpoint';
  const weights = new LayerWeights(reader, modelSpecs(config), place);
  await weights.expectSameHead();
  const run = new LayerRun(weights, forwardFeeds(config, inputs), options);
  const outputs: Record<string, Tensor> = { position_ids: run.feeds['position_ids'] as Tensor };

  const hasPictures = 'pixel_values' in run.feeds;
  const tower = hasPictures
    ? visionLayers(config, pictureLayout(config.vision, pictureGrids(inputs)))
    : [];
  const visionStates = await run.forward(tower);
  const pictures_MD = visionStates.pop();
  if (pictures_MD) outputs['image_embeds'] = pictures_MD;

  const layers = decoderLayers(config);
  const states = await run.forward(layers, await embed(run, config.text.hiddenSize, pictures_MD));
  const last_BTD = states.pop() as Tensor<'f32'>;
  states.forEach((state, i) => (outputs[`hidden_states.${i}`] = state));

  const table = decoderSpecs(config.text).filter(({ name }) => name === TABLE);
  const topSpecs = decoderSpecs(config.text).filter(
    ({ name }) => name === 'model.norm.weight' || name === 'lm_head.weight',
  );
  const topReads = config.text.tieWordEmbeddings ? [...topSpecs, ...table] : topSpecs;
  const top = await run.once(
    graphs.encodeTop(config, {
      labels: inputs.labels !== undefined,
      gradients: wantsGradients,
      specs: topSpecs,
      parameters: topReads,
    }),
    topReads,
    { [graphs.STATE.before]: last_BTD },
  );
  const normed_BTD = f32(top[graphs.STATE.after], graphs.STATE.after);
  outputs[`hidden_states.${layers.length}`] = normed_BTD;
  for (const name of ['logits', 'loss']) if (top[name]) outputs[name] = top[name];
  if (!wantsGradients) return outputs;

  await run.handOut(topSpecs, top);
  const atTop = f32(top[graphs.GRADIENT.before], graphs.GRADIENT.before);
  const atInputs = await run.backward(layers, states, atTop);
  const tied = config.text.tieWordEmbeddings
    ? await run.once(graphs.encodeTiedHead(config, table[0] as ParameterSpec), table, {
        [graphs.STATE.before]: normed_BTD,
      })
    : {};
  const tableGradient = tied[`gradient.${TABLE}`] ?? zeros('f32', table[0]?.dims ?? []);
  const table_VD = f32(tableGradient, `gradient.${TABLE}`);
  const atPictures = splitEmbedGradient(run, atInputs, table_VD, hasPictures);
  await run.handOut(table, { [`gradient.${TABLE}`]: table_VD });
  if (hasPictures) await run.backward(tower, [undefined, ...visionStates], atPictures);
  return outputs;
}
