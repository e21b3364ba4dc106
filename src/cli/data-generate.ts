// Owns `gapvl data generate`: writes a dataset folder of generated visual questions.
import { writeDataset } from '../data/dataset-writer.ts';
import { DEFAULT_EASY_FRACTION } from '../data/splits.ts';
import { TASK_NAMES } from '../data/tasks/index.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';

/** The command. */
export const command = defineCommand({
  description:
    'Draws visual questions with their query picture, auxiliary picture, answer and texts, and ' +
    'writes them into a dataset folder. No split shares a picture with another. The same command ' +
    'goes on where it was interrupted and leaves a finished folder as it is.',
  options: {
    out: option.required(option.text('-o, --out <dir>', 'dataset folder to write')),
    train: option.withDefault(option.integer('--train <n>', 'training examples', { min: 0 }), 6000),
    validation: option.withDefault(
      option.integer('--validation <n>', 'validation examples', { min: 0 }),
      500,
    ),
    test: option.withDefault(option.integer('--test <n>', 'test examples', { min: 0 }), 1000),
    tasks: option.withDefault(
      option.choices('--tasks <names>', 'tasks that take turns', TASK_NAMES),
      TASK_NAMES,
    ),
    easyFraction: option.withDefault(
      option.decimal('--easy-fraction <x>', 'share of easy examples', { min: 0, max: 1 }),
      DEFAULT_EASY_FRACTION,
    ),
    seed: option.seedOption(),
  },
  examples: [
    'gapvl data generate --out runs/data',
    'gapvl data generate --out runs/ropes --tasks rope,rungs --train 2000 --validation 200 --test 400',
  ],
  run: async (values, context) => {
    const { out, train, validation, test, tasks, easyFraction, seed } = values;
    const progress = context.progress('examples');
    const { numExamples, numReused } = await writeDataset(out, {
      counts: { train, validation, test },
      seed,
      tasks,
      easyFraction,
      progress: (done, total) => progress.update(done, total),
      signal: context.signal,
    }).catch((error: unknown) => {
      // The reason of an abort names the command that goes on.
      context.signal.throwIfAborted();
      throw error;
    });
    progress.finish();
    const kept = numReused > 0 ? ` (${numReused} were there already)` : '';
    context.result(
      `wrote ${numExamples} examples to ${out}${kept}: ${train} train, ${validation} validation, ${test} test`,
      {
        out,
        numExamples,
        numReused,
        counts: { train, validation, test },
        tasks,
        easyFraction,
        seed,
      },
    );
  },
});
