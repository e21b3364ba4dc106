// Owns `gapvl pretrain`: trains the tiny base from nothing into a model folder.
import { PRETRAIN_RECIPES, applySettings } from '../config.ts';
import { hashModel } from '../context/provenance.ts';
import { pretrain } from '../train/pretrain.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { asSettings, lossNote, sessionOptions, watchTraining } from './running.ts';

const RECIPE_NAMES = ['tiny'] as const;
// The bits of the weights depend on it, so it does not follow the machine.
const DEFAULT_THREADS = 2;

/** The command. */
export const command = defineCommand({
  description:
    'Trains the tiny Qwen2.5-VL base on generated pictures, captions and easy questions, and writes ' +
    'a model folder in Hugging Face layout. Ctrl-C saves; the same command goes on, bit for bit on ' +
    'the same number of threads.',
  options: {
    out: option.required(option.text('-o, --out <dir>', 'model folder to write')),
    recipe: option.withDefault(
      option.choice('--recipe <name>', 'recipe to start from', RECIPE_NAMES),
      'tiny',
    ),
    steps: option.positiveInteger('--steps <n>', 'optimizer steps'),
    batchSize: option.positiveInteger('--batch-size <n>', 'rows a step'),
    seed: option.integer('--seed <n>', 'seed of every random choice', { min: 0 }),
    set: option.texts(
      '--set <path=value>',
      'any other setting, such as optimizer.learningRate=1e-3',
    ),
    threads: option.withDefault(
      option.positiveInteger('--threads <n>', 'threads inside one operation'),
      DEFAULT_THREADS,
    ),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl pretrain --out runs/base',
    'gapvl pretrain --out runs/small --steps 300 --set optimizer.learningRate=2e-3',
  ],
  run: async ({ out, recipe: name, steps, batchSize, seed, set, threads, device }, context) => {
    const recipe = applySettings(PRETRAIN_RECIPES[name], [
      ...asSettings({ steps, batchSize, seed }),
      ...set,
    ]);
    const session = await sessionOptions({ threads, device });
    const records = await watchTraining(
      pretrain(recipe, { folder: out, ...session, signal: context.signal }),
      context,
      'pretraining',
    );
    const hash = await hashModel(out);
    const summary =
      records.length === 0
        ? `${out} holds this model already; nothing was trained`
        : `wrote the base to ${out}; ${lossNote(records)} over the last steps`;
    context.result(`${summary}\nmodel ${hash.slice(0, 16)}`, {
      out,
      recipe,
      threads,
      trained: records.length > 0,
      last: records.at(-1) ?? null,
      model: hash,
    });
  },
});
