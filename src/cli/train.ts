// Owns `gapvl train`: trains a variant on top of a base into a model folder.
import { TRAIN_RECIPES, applySettings } from '../config.ts';
import { hashModel } from '../context/provenance.ts';
import { AFTER_SPAN } from '../latent/after-span.ts';
import { TEACHER_INPUTS, VARIANT_NAMES } from '../latent/variants.ts';
import { trainHeadFolder } from '../train/head-folder.ts';
import type { StepRecord } from '../train/loop.ts';
import { trainFolder } from '../train/train-folder.ts';
import type { TrainFolderOptions, TrainedRun } from '../train/train-folder.ts';
import { ConfigError } from '../errors.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { asSettings, lossNote, modelFolder, sessionOptions, watchTraining } from './running.ts';

const RECIPE_NAMES = ['small-scale', 'paper'] as const;
const POSITIONS = ['sequential', 'grid'] as const;

/** The command. */
export const command = defineCommand({
  description:
    'Trains one variant of the method (GAP, its ablations, its controls) on top of a base model and ' +
    'writes a Hugging Face folder with the latent head beside it, training.jsonl with a line a step ' +
    'and run.json. Ctrl-C saves; the same command goes on, bit for bit on the same number of threads. ' +
    'With --head-only the base stays as it is and its latent head alone is trained: for bases that do ' +
    'not fit in memory, since one layer is read at a time. The folder then has the weights of the base ' +
    'as files of its own, which use no space where the file system can share it, or with --link as ' +
    'symbolic links, which break when the base is moved or removed.',
  options: {
    ...option.modelOptions('the base'),
    data: option.required(option.text('--data <dir>', 'dataset folder')),
    variant: option.required(
      option.choice(
        '--variant <name>',
        'what to train',
        VARIANT_NAMES.filter((n) => n !== 'base'),
      ),
    ),
    out: option.required(option.text('-o, --out <dir>', 'model folder to write')),
    headOnly: option.flag(
      '--head-only',
      'train the latent head alone, on a base that is read layer by layer',
    ),
    link: option.flag('--link', 'with --head-only: link to the weights of the base, not copy them'),
    basis: option.text(
      '--basis <file>',
      'basis of `gapvl pca fit`; all variants with latents need it',
    ),
    capacity: option.text(
      '--capacity <file>',
      'scores of `gapvl capacity score`; variants that assign by capacity need it',
    ),
    recipe: option.withDefault(
      option.choice('--recipe <name>', 'recipe to start from', RECIPE_NAMES),
      'small-scale',
    ),
    steps: option.positiveInteger('--steps <n>', 'optimizer steps'),
    batchSize: option.positiveInteger('--batch-size <n>', 'rows a step'),
    latents: option.square('--latents <K>', 'latents in a span'),
    teacherInputs: option.choice(
      '--teacher-inputs <mode>',
      'what stands at latent positions in training',
      TEACHER_INPUTS,
    ),
    latentPositions: option.choice('--latent-positions <mode>', 'positions of latents', POSITIONS),
    afterSpan: option.choice(
      '--after-span <mode>',
      'what positions after a latent span do not see; by default they see all',
      AFTER_SPAN,
    ),
    seed: option.integer('--seed <n>', 'seed of every random choice', { min: 0 }),
    set: option.texts('--set <path=value>', 'any other setting, such as latentWeight=1'),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl train --variant gap --model runs/base --data runs/data --basis runs/basis.safetensors --capacity runs/capacity.jsonl --out runs/gap',
    'gapvl train --head-only --teacher-inputs plain --variant lh-pca --model runs/base --data runs/data --basis runs/basis.safetensors --out runs/head',
    'gapvl train --variant dense-caption --model runs/base --data runs/data --out runs/dense-caption',
  ],
  run: async (values, context) => {
    const { variant, data, out, basis, capacity, headOnly, link } = values;
    if (link && !headOnly) {
      throw new ConfigError({
        what: '--link is given without --head-only',
        expected: 'both, or neither: a trained model has weights of its own',
        fix: 'leave --link out, or add --head-only',
      });
    }
    const { steps, batchSize, latents, teacherInputs, latentPositions, seed } = values;
    const applied = applySettings(TRAIN_RECIPES[values.recipe], [
      ...asSettings({
        steps,
        batchSize,
        numLatents: latents,
        teacherInputs,
        latentPositions,
        seed,
      }),
      ...values.set,
    ]);
    const { afterSpan } = values;
    const recipe = { ...applied, ...(afterSpan === undefined ? {} : { afterSpan }) };
    const session = await sessionOptions(values);
    const model = await modelFolder(values.model, values.offline, context);
    const encoding = context.progress(headOnly ? 'states' : 'pictures');
    const options: TrainFolderOptions = {
      ...{ variant, recipe, model, data, out },
      ...(basis === undefined ? {} : { basis }),
      ...(capacity === undefined ? {} : { capacity }),
      ...session,
      progress: (done, total) => {
        encoding.update(done, total);
        if (done === total) encoding.finish();
      },
      signal: context.signal,
    };
    let run: Omit<TrainedRun, 'model'> | undefined;
    const training = async function* (): AsyncGenerator<StepRecord, void> {
      run = yield* headOnly
        ? trainHeadFolder({ ...options, weights: link ? 'link' : 'copy' })
        : trainFolder(options);
    };
    const what = headOnly ? `the head of ${variant}` : variant;
    const records = await watchTraining(training(), context, `training ${what}`);
    const hash = await hashModel(out);
    const { numLatentRows = 0, numRows = 0, wasTrained = true } = run ?? {};
    const summary = wasTrained
      ? `wrote ${what} to ${out}; ${lossNote(records)} over the last steps`
      : `${out} holds this model already; nothing was trained`;
    context.result(
      `${summary}\n${numLatentRows} of ${numRows} examples had latent supervision\nmodel ${hash.slice(0, 16)}`,
      {
        ...{ out, variant, headOnly, recipe, numLatentRows, numRows, trained: wasTrained },
        last: records.at(-1) ?? null,
        model: hash,
      },
    );
  },
});
