// Owns `gapvl generate`: answers a question about pictures, streaming text and latent spans.
import { text } from 'node:stream/consumers';
import { hashModel } from '../context/provenance.ts';
import type { Raster } from '../data/raster.ts';
import { ConfigError } from '../errors.ts';
import { interventionOf, writesLatents } from '../evaluate/interventions.ts';
import { askModel } from '../generate/ask.ts';
import type { Answer, AnswerPiece, AskOptions, SpanSummary } from '../generate/ask.ts';
import { decodingPlan } from '../generate/defaults.ts';
import { DEFAULT_EMA_DECAY } from '../latent/feedback.ts';
import { openGapModel } from '../store/latent-head.ts';
import type { GapModel } from '../latent/model.ts';
import { decodePicture } from '../processor/picture.ts';
import { expectFinished } from '../context/run-folder.ts';
import type { Clock } from './clock.ts';
import type { CommandContext } from './command.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { readPictureFile } from './picture-file.ts';
import { modelFolder, sessionOptions } from './running.ts';

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
  return decodePicture(await readPictureFile(path), { name: path });
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

/** Notes when tokens come: how long the first took, and how fast the others followed. */
function watchTokens(clock: Clock): { readonly onToken: () => void; readonly text: () => string } {
  const startMs = clock.now();
  let [firstMs, lastMs, count] = [startMs, startMs, 0];
  return {
    onToken: () => {
      lastMs = clock.now();
      if (count === 0) firstMs = lastMs;
      count += 1;
    },
    text: () => {
      if (count === 0) return 'no token';
      const first = `first token after ${((firstMs - startMs) / 1000).toFixed(2)} s`;
      if (count === 1 || lastMs <= firstMs) return first;
      const rate = (1000 * (count - 1)) / (lastMs - firstMs);
      return `${first}, then ${rate.toFixed(1)} tokens/s (${count} tokens)`;
    },
  };
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
    'Answers a question about pictures. Text is printed as it is decoded; a latent span is shown ' +
    'by its number of vectors and their norms, beside that of the pictures themselves. What is not ' +
    'given is decoded as generation_config.json of the model says, and greedily without that file. ' +
    'With --json the whole record is printed at the end.',
  options: {
    ...option.modelOptions('model to ask'),
    images: option.texts(
      '--image <file>',
      'picture the question is about; give it again for more, in the order they are meant',
    ),
    system: option.text('--system <text>', "system prompt (default: the chat template's)"),
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
    temperature: option.decimal('--temperature <x>', '0 is greedy', { min: 0, max: 10 }),
    topK: option.integer('--top-k <n>', 'draw from the n likeliest tokens; 0: from all', {
      min: 0,
    }),
    topP: option.decimal(
      '--top-p <x>',
      'draw from the likeliest tokens that reach this probability together; 1: from all',
      { min: 0, max: 1 },
    ),
    repetitionPenalty: option.decimal(
      '--repetition-penalty <x>',
      'above 1: tokens of the prompt and the response become less likely',
      { min: 0.01, max: 100 },
    ),
    stop: option.texts('--stop <text>', 'end the response before this text; may be given again'),
    seed: option.seedOption(),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  arguments: [
    { syntax: '<question>', description: 'the question, in one argument; - reads it from stdin' },
  ],
  examples: [
    'gapvl generate --model runs/gap --image picture.png "where does rope c end"',
    'gapvl generate --model runs/gap --image picture.png --intervention zero-latent "where does rope c end"',
    'gapvl generate --model Qwen/Qwen2.5-VL-3B-Instruct --image picture.png "what is this"',
    'gapvl generate --model Qwen/Qwen2.5-VL-3B-Instruct - < long-question.txt',
    'gapvl generate --model Qwen/Qwen2.5-VL-3B-Instruct --image a.jpg --image b.jpg --system "Be brief." --stop "Question:" "what changed"',
  ],
  run: async (values, context, [asked = '']) => {
    const question = asked === '-' ? (await text(process.stdin)).trim() : asked;
    const session = await sessionOptions(values);
    const { images, system, intervention, auxiliary, calibration, latents } = values;
    const pictures = await Promise.all(images.map(readRaster));
    const auxiliaryPicture = auxiliary === undefined ? undefined : await readRaster(auxiliary);
    const folder = await modelFolder(values.model, values.offline, context);
    await expectFinished(folder);
    const model = await openGapModel(folder);
    checkUse(model, folder, [
      ...(intervention === 'clean' ? [] : [`--intervention ${intervention}`]),
      ...(calibration === 'none' ? [] : [`--calibration ${calibration}`]),
      ...(latents === undefined ? [] : [`--latents ${latents}`]),
    ]);
    const { temperature, topK, topP, repetitionPenalty, maxNewTokens, seed } = values;
    const choices = {
      ...{ temperature, topK, topP, repetitionPenalty, maxNewTokens },
      stop: values.stop.length > 0 ? values.stop : undefined,
    };
    const watch = watchTokens(context.clock);
    const options: AskOptions = {
      ...choices,
      ...{ pictures, question, seed, onToken: watch.onToken },
      ...(system === undefined ? {} : { system }),
      ...(auxiliaryPicture ? { auxiliary: auxiliaryPicture } : {}),
      ...(latents === undefined ? {} : { numLatents: latents }),
      intervention: interventionOf(intervention).intervention,
      calibration:
        calibration === 'ema' ? { kind: 'ema', decay: DEFAULT_EMA_DECAY } : { kind: 'none' },
      ...session,
      signal: context.signal,
    };
    const answer = await stream(askModel(model, options), context);
    const plan = decodingPlan(model.bundle, choices, latents ?? model.settings?.numLatents ?? 0);
    context.result(answer.finished ? '' : '\n[cut off at the limit of tokens]', {
      ...{ model: folder, hash: await hashModel(folder), images, system: system ?? null, question },
      ...{ intervention, calibration, seed, decoding: plan },
      variant: model.settings?.variant ?? 'base',
      ...answer,
    });
    context.note(watch.text());
  },
});
