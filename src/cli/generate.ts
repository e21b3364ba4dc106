// Owns `gapvl generate`: answers a question about a picture, streaming text and latent spans.
import { readFile } from 'node:fs/promises';
import { hashModel } from '../context/provenance.ts';
import type { Raster } from '../data/raster.ts';
import { ConfigError, DataError } from '../errors.ts';
import { interventionOf, writesLatents } from '../evaluate/interventions.ts';
import { askModel } from '../generate/ask.ts';
import type { Answer, AnswerPiece, AskOptions, SpanSummary } from '../generate/ask.ts';
import { DEFAULT_EMA_DECAY } from '../latent/feedback.ts';
import { readGapModel } from '../store/latent-head.ts';
import type { GapModel } from '../latent/model.ts';
import { decodePicture } from '../processor/picture.ts';
import { expectFinished } from '../context/run-folder.ts';
import type { CommandContext } from './command.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { sessionOptions } from './running.ts';

// `other` needs a second example, so it stays with `gapvl compare`.
const INTERVENTIONS = [
  'clean',
  'zero-latent',
  'noise-unit',
  'noise-spectrum',
  'noise-norm',
  'oracle',
] as const;
const CALIBRATIONS = ['none', 'ema'] as const;

async function readRaster(path: string): Promise<Raster> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    throw new DataError(
      {
        what: `Picture ${path} cannot be read`,
        got: cause instanceof Error ? cause.message : String(cause),
        expected: 'a picture file',
        fix: 'check the path',
      },
      cause,
    );
  }
  return decodePicture(bytes, { name: path });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function spanText({ numLatents, norms, stateNorms }: SpanSummary, queryNorm: number): string {
  const numbers = [
    `${numLatents} latents`,
    `mean norm ${mean(norms).toFixed(1)}`,
    `states ${mean(stateNorms).toFixed(1)}`,
    `query ${queryNorm.toFixed(1)}`,
  ];
  return ` [${numbers.join(', ')}] `;
}

async function stream(
  answer: AsyncGenerator<AnswerPiece, Answer>,
  context: CommandContext,
): Promise<Answer> {
  for (;;) {
    const next = await answer.next();
    if (next.done === true) return next.value;
    const piece = next.value;
    context.write(piece.kind === 'text' ? piece.text : spanText(piece, piece.queryNorm));
  }
}

function checkUse(model: GapModel, folder: string, wanted: readonly string[]): void {
  if (wanted.length === 0 || writesLatents(model)) return;
  throw new ConfigError({
    what: `${folder} was not trained to write latents`,
    got: wanted.join(' '),
    expected: 'a model of `gapvl train` with a variant that writes latents',
    fix: 'leave these options out, or name another model',
  });
}

/** The command. */
export const command = defineCommand({
  description:
    'Answers a question about a picture. Text is printed as it is decoded; a latent span is shown ' +
    'by its number of vectors and their norms, beside that of the picture itself. With --json the ' +
    'whole record is printed at the end.',
  options: {
    model: option.required(option.text('--model <dir>', 'model folder')),
    image: option.required(option.text('--image <file>', 'picture the question is about')),
    intervention: option.withDefault(
      option.choice('--intervention <name>', 'what is done to the latents', INTERVENTIONS),
      'clean',
    ),
    auxiliary: option.text('--auxiliary <file>', 'picture whose embeddings oracle writes'),
    calibration: option.withDefault(
      option.choice('--calibration <name>', 'norm calibration of latents', CALIBRATIONS),
      'none',
    ),
    latents: option.square('--latents <K>', 'latents in a span (default: as trained)'),
    maxNewTokens: option.positiveInteger(
      '--max-new-tokens <n>',
      'most tokens of the response, latents included',
    ),
    temperature: option.withDefault(
      option.decimal('--temperature <x>', '0 is greedy', { min: 0, max: 10 }),
      0,
    ),
    seed: option.seedOption(),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  arguments: [{ syntax: '<question>', description: 'the question, in one argument' }],
  examples: [
    'gapvl generate --model runs/gap --image picture.png "where does rope c end"',
    'gapvl generate --model runs/gap --image picture.png --intervention zero-latent "where does rope c end"',
  ],
  run: async (values, context, [question = '']) => {
    const session = await sessionOptions(values);
    const { model: folder, image, intervention, auxiliary, calibration, latents } = values;
    const picture = await readRaster(image);
    const auxiliaryPicture = auxiliary === undefined ? undefined : await readRaster(auxiliary);
    await expectFinished(folder);
    const model = await readGapModel(folder);
    checkUse(model, folder, [
      ...(intervention === 'clean' ? [] : [`--intervention ${intervention}`]),
      ...(calibration === 'none' ? [] : [`--calibration ${calibration}`]),
      ...(latents === undefined ? [] : [`--latents ${latents}`]),
    ]);
    const options: AskOptions = {
      picture,
      question,
      ...(auxiliaryPicture ? { auxiliary: auxiliaryPicture } : {}),
      ...(latents === undefined ? {} : { numLatents: latents }),
      ...(values.maxNewTokens === undefined ? {} : { maxNewTokens: values.maxNewTokens }),
      temperature: values.temperature,
      intervention: interventionOf(intervention).intervention,
      calibration:
        calibration === 'ema' ? { kind: 'ema', decay: DEFAULT_EMA_DECAY } : { kind: 'none' },
      seed: values.seed,
      ...session,
      signal: context.signal,
    };
    const answer = await stream(askModel(model, options), context);
    const { seed, temperature } = values;
    context.result(answer.finished ? '' : '\n[cut off at the limit of tokens]', {
      ...{ model: folder, hash: await hashModel(folder), image, question },
      ...{ intervention, calibration, temperature, seed },
      variant: model.settings?.variant ?? 'base',
      ...answer,
    });
  },
});
