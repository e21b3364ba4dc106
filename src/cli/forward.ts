// Owns `gapvl forward`: runs named inputs through a model and writes everything it computed.
import { readCheckpoint } from '../model/checkpoint.ts';
import { compileForward } from '../model/forward.ts';
import type { ForwardInputs } from '../model/forward.ts';
import { DataError } from '../errors.ts';
import { readSafetensors, writeSafetensors } from '../engine/safetensors.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { trainOnBatch } from '../train/fixed-batch.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';

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

/** The command. */
export const command = defineCommand({
  description:
    'Runs the tensors of a safetensors file (input_ids, attention_mask, pixel_values, image_grid_thw, labels) through a model and writes position_ids, image_embeds, hidden_states.N, logits, loss and, if asked for, gradient.NAME of every parameter and the losses of AdamW steps on this one batch.',
  options: {
    model: option.required(option.text('--model <dir>', 'model folder in Hugging Face layout')),
    inputs: option.required(option.text('--inputs <file>', 'safetensors file with the inputs')),
    outputs: option.required(option.text('--outputs <file>', 'safetensors file to write')),
    gradients: option.flag('--gradients', 'also write the gradient of the loss by parameter'),
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
    threads: option.threadsOption(),
  },
  examples: [
    'gapvl forward --model DIR --inputs in.safetensors --outputs out.safetensors --gradients',
  ],
  run: async (values, context) => {
    const inputs = await readInputs(values.inputs);
    const checkpoint = await readCheckpoint(values.model);
    const wantsGradients = values.gradients || values.adamwSteps > 0;
    const session = values.threads === undefined ? {} : { threads: values.threads };
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
    await writeSafetensors(values.outputs, outputs);
    const loss = results['loss'] ? Number(results['loss'].data[0]) : null;
    context.result(
      `wrote ${outputs.size} tensors to ${values.outputs}${loss === null ? '' : `; loss ${loss.toFixed(6)}`}`,
      { outputs: values.outputs, tensors: outputs.size, loss },
    );
  },
});
