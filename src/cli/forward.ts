// Owns `gapvl forward`: runs named inputs through a model and writes everything it computed.
import { join } from 'node:path';
import { ConfigError, DataError } from '../errors.ts';
import { openModelFolder, readSafetensors, writeSafetensors } from '../engine/safetensors.ts';
import type { SessionOptions } from '../engine/session.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { runByLayer } from '../model/by-layer.ts';
import { canonicalName } from '../model/checkpoint.ts';
import type { Checkpoint } from '../model/checkpoint.ts';
import { readCheckpoint, readCheckpointJson } from '../store/checkpoint.ts';
import { parseModelConfig } from '../model/config.ts';
import { continueRows } from '../generate/continuation.ts';
import { int64Tensor } from '../model/feeds.ts';
import { compileForward, pictureGrids } from '../model/forward.ts';
import type { ForwardInputs } from '../model/forward.ts';
import { trainOnBatch } from '../train/fixed-batch.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { modelFolder, sessionOptions } from './running.ts';

const INPUT_NAMES = [
  'input_ids',
  'attention_mask',
  'pixel_values',
  'image_grid_thw',
  'labels',
] as const;

async function readInputs(path: string): Promise<ForwardInputs> {
  const { tensors } = await readSafetensors(path);
  const unknown = [...tensors.keys()].filter(
    (name) => !INPUT_NAMES.some((known) => known === name),
  );
  if (unknown.length > 0 || !tensors.has('input_ids')) {
    throw new DataError({
      what: `${path} does not hold the inputs of a forward pass`,
      got: [...tensors.keys()].join(', '),
      expected: `input_ids and any of ${INPUT_NAMES.slice(1).join(', ')}`,
      fix: 'name the tensors as the Hugging Face processor does',
    });
  }
  return Object.fromEntries(tensors) as unknown as ForwardInputs;
}

interface WholeOptions {
  readonly session: SessionOptions;
  readonly gradients: boolean;
  readonly adamwSteps: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly generate: number;
  readonly repetitionPenalty: number;
  readonly signal: AbortSignal;
}

/** Ids that follow the rows of the inputs, [B, N]. */
async function generatedIds(
  checkpoint: Checkpoint,
  inputs: ForwardInputs,
  pictures: Tensor | undefined,
  { generate, repetitionPenalty, session, signal }: WholeOptions,
): Promise<Tensor> {
  const numbers = ({ data }: Tensor): number[] =>
    Array.from(data as ArrayLike<number | bigint>, Number);
  const [batch = 0, length = 0] = inputs.input_ids.dims;
  const inputIds_BT = numbers(inputs.input_ids);
  const mask = inputs.attention_mask;
  const rows = {
    ...{ batch, length, inputIds_BT },
    attentionMask_BT: mask ? numbers(mask) : inputIds_BT.map(() => 1),
    grids: pictureGrids(inputs),
    pictureRows_MD: pictures ? (pictures.data as Float32Array) : new Float32Array(0),
  };
  const options = { ...session, maxNewTokens: generate, repetitionPenalty, signal };
  const ids = await continueRows(checkpoint, rows, options);
  return int64Tensor([batch, generate], ids.flat());
}

/** Everything in one graph, all weights in memory. */
async function forwardWhole(
  folder: string,
  inputs: ForwardInputs,
  values: WholeOptions,
): Promise<Map<string, Tensor>> {
  const { session } = values;
  const checkpoint = await readCheckpoint(folder);
  const wantsGradients = values.gradients || values.adamwSteps > 0;
  await using pass = await compileForward(checkpoint.config, checkpoint.weights, inputs, {
    ...session,
    gradients: wantsGradients,
  });
  const results = await pass.run();
  const outputs = new Map<string, Tensor>([['position_ids', pass.positionIds_3BT]]);
  for (const [name, value] of Object.entries(results)) {
    if (!name.startsWith('gradient.')) outputs.set(name, value);
    else if (values.gradients) {
      const own = name.slice('gradient.'.length);
      // Gradients live in memory that the next run overwrites.
      const copy = tensor('f32', value.dims, (value.data as Float32Array).slice());
      outputs.set(`gradient.${checkpoint.fileNames.get(own) ?? own}`, copy);
    }
  }
  if (values.generate > 0) {
    const pictures = results['image_embeds'];
    outputs.set('generated_ids', await generatedIds(checkpoint, inputs, pictures, values));
  }
  if (values.adamwSteps > 0) {
    const losses = await trainOnBatch(checkpoint.weights, pass, {
      steps: values.adamwSteps,
      learningRate: values.learningRate,
      adamw: {
        beta1: values.beta1,
        beta2: values.beta2,
        epsilon: 1e-8,
        weightDecay: values.weightDecay,
        clipNorm: Infinity,
      },
      ...session,
    });
    outputs.set('adamw_losses', tensor('f32', [losses.length], Float32Array.from(losses)));
  }
  return outputs;
}

/** Everything but the losses of AdamW steps, with the weights of one layer in memory at a time. */
async function forwardByLayer(
  folder: string,
  inputs: ForwardInputs,
  options: SessionOptions & { readonly signal: AbortSignal; readonly gradients: boolean },
): Promise<Map<string, Tensor>> {
  const path = join(folder, 'config.json');
  const config = parseModelConfig(await readCheckpointJson(path), path);
  await using reader = await openModelFolder(folder);
  const fileNames = new Map([...reader.infos.keys()].map((name) => [canonicalName(name), name]));
  const { gradients, ...run } = options;
  const found = new Map<string, Tensor>();
  const keep = (name: string, gradient: Tensor): Promise<void> => {
    found.set(`gradient.${fileNames.get(name) ?? name}`, gradient);
    return Promise.resolve();
  };
  const settings = { ...run, place: folder, ...(gradients ? { gradients: keep } : {}) };
  const results = await runByLayer(config, reader, inputs, settings);
  return new Map([...Object.entries(results), ...found]);
}

/** The command. */
export const command = defineCommand({
  description:
    'Runs the tensors of a safetensors file (input_ids, attention_mask, pixel_values, image_grid_thw, labels) through a model and writes position_ids, image_embeds, hidden_states.N, logits, loss and, if asked for, gradient.NAME of every parameter, the losses of AdamW steps on this one batch and generated_ids, the greedy continuation of every row.',
  options: {
    ...option.modelOptions('model to run'),
    inputs: option.required(option.text('--inputs <file>', 'safetensors file with the inputs')),
    outputs: option.required(option.text('--outputs <file>', 'safetensors file to write')),
    gradients: option.flag('--gradients', 'also write the gradient of the loss by parameter'),
    byLayer: option.flag(
      '--by-layer',
      'read, run and drop one layer at a time, for models larger than the memory',
    ),
    adamwSteps: option.withDefault(
      option.integer('--adamw-steps <n>', 'train n AdamW steps on this batch, write adamw_losses', {
        min: 0,
        max: 10_000,
      }),
      0,
    ),
    learningRate: option.withDefault(
      option.decimal('--learning-rate <x>', 'AdamW learning rate', { min: 0 }),
      1e-3,
    ),
    weightDecay: option.withDefault(
      option.decimal('--weight-decay <x>', 'AdamW weight decay', { min: 0 }),
      0.01,
    ),
    beta1: option.withDefault(
      option.decimal('--beta1 <x>', 'AdamW beta1', { min: 0, max: 1 }),
      0.9,
    ),
    beta2: option.withDefault(
      option.decimal('--beta2 <x>', 'AdamW beta2', { min: 0, max: 1 }),
      0.999,
    ),
    generate: option.withDefault(
      option.integer('--generate <n>', 'decode n tokens after every row, write generated_ids', {
        min: 0,
        max: 100_000,
      }),
      0,
    ),
    repetitionPenalty: option.withDefault(
      option.decimal('--repetition-penalty <x>', 'of the tokens that --generate decodes', {
        min: 0.01,
        max: 100,
      }),
      1,
    ),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl forward --model DIR --inputs in.safetensors --outputs out.safetensors --gradients',
  ],
  run: async (values, context) => {
    if (values.byLayer && values.adamwSteps + values.generate > 0) {
      const name = values.adamwSteps > 0 ? '--adamw-steps' : '--generate';
      throw new ConfigError({
        what: `${name} cannot be used with --by-layer`,
        expected: 'one of the two: steps keep all weights in memory',
        fix: `leave out --by-layer, or ${name}`,
      });
    }
    const session = await sessionOptions(values);
    const inputs = await readInputs(values.inputs);
    const { signal } = context;
    const model = await modelFolder(values.model, values.offline, context);
    const outputs = values.byLayer
      ? await forwardByLayer(model, inputs, {
          ...session,
          signal,
          gradients: values.gradients,
        })
      : await forwardWhole(model, inputs, { ...values, session, signal });
    await writeSafetensors(values.outputs, outputs);
    const found = outputs.get('loss');
    const loss = found ? Number(found.data[0]) : null;
    context.result(
      `wrote ${outputs.size} tensors to ${values.outputs}${loss === null ? '' : `; loss ${loss.toFixed(6)}`}`,
      { outputs: values.outputs, tensors: outputs.size, loss },
    );
  },
});
