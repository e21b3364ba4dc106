// Owns pretraining of the tiny base: what its rows are, its objective, its run; `gapvl pretrain` calls it.
import { mkdir } from 'node:fs/promises';
import type { PretrainRecipe } from '../config.ts';
import { versions } from '../context/provenance.ts';
import { RuntimeError } from '../errors.ts';
import { CAPTION_QUESTION, formatCaption, formatResponse } from '../data/format.ts';
import type { Raster } from '../data/raster.ts';
import { sampleExamples } from '../data/splits.ts';
import type { GeneratedExample } from '../data/splits.ts';
import { VOCABULARY } from '../data/vocabulary.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import type { SessionOptions } from '../engine/session.ts';
import { writeCheckpoint } from '../store/checkpoint.ts';
import type { JsonObject } from '../model/config.ts';
import { parseModelConfig } from '../model/config.ts';
import { pictureLayout, visionFeeds } from '../model/feeds.ts';
import { positionConfig, promptIds, responseIds } from '../model/bundle.ts';
import { readModelBundle, writeCompanions } from '../store/model-folder.ts';
import type { ModelBundle } from '../model/bundle.ts';
import { modelSpecs } from '../model/parameters.ts';
import { tinyConfigJson } from '../model/tiny.ts';
import { initialWeights } from '../model/weights.ts';
import { patchify, rasterGrid } from '../processor/patches.ts';
import { IGNORED_LABEL, batchRows } from '../processor/sequence.ts';
import type { Row } from '../processor/sequence.ts';
import { buildTinyTokenizer } from '../processor/tiny-tokenizer.ts';
import { Rng } from '../rng.ts';
import { forgetState, runTraining } from './loop.ts';
import type { StepRecord } from './loop.ts';
import { encodeObjective } from './objective.ts';
import { RecordFile } from './record-file.ts';
import { beginRun, finishRun } from '../context/run-folder.ts';
import { textFeeds } from './text-batch.ts';
import { Trainer } from './trainer.ts';
import type { BatchFeeds } from './trainer.ts';

/** Rows are padded to a multiple of this, so that few shapes occur; ours. */
const LENGTH_MULTIPLE = 8;
/** Steps between saved states; ours: at most half a minute is lost. */
const SAVE_EVERY = 100;

/** One exchange of a pretraining row. */
interface Turn {
  readonly prompt: readonly number[];
  readonly response: readonly number[];
}

/** A row of several exchanges about one picture; every response is labelled, its end included. */
export function conversationRow(bundle: ModelBundle, turns: readonly Turn[]): Row {
  const inputIds: number[] = [];
  const labels: number[] = [];
  for (const { prompt, response } of turns) {
    const answer = [...response, bundle.sequence.responseEnd];
    inputIds.push(...prompt, ...answer);
    labels.push(...prompt.map(() => IGNORED_LABEL), ...answer);
  }
  return {
    inputIds,
    labels,
    numPromptTokens: turns[0]?.prompt.length ?? 0,
    spans: [],
    picturePositions: inputIds.flatMap((id, i) => (id === bundle.sequence.imagePad ? [i] : [])),
  };
}

/** Kinds of rows: an easy question and a caption, a caption of a hard picture, the same as `easy` of an auxiliary one. */
export type PretrainKind = 'easy' | 'hard' | 'auxiliary';

function drawKind(recipe: PretrainRecipe, rng: Rng): PretrainKind {
  const draw = rng.uniform();
  if (draw < recipe.mixture.easy) return 'easy';
  return draw < recipe.mixture.easy + recipe.mixture.hard ? 'hard' : 'auxiliary';
}

/** A row and the picture that goes with it. */
export interface PretrainRow {
  readonly row: Row;
  readonly picture: Raster;
}

/** The row of an example: about its query picture, or of kind `auxiliary` about the other one. */
export function pretrainRow(
  bundle: ModelBundle,
  example: GeneratedExample,
  kind: PretrainKind,
): PretrainRow {
  const picture = kind === 'auxiliary' ? example.auxiliary : example.picture;
  const grids = [rasterGrid(picture, bundle.patches)];
  const caption = kind === 'auxiliary' ? example.auxiliaryCaption : example.caption;
  const describe = responseIds(bundle, formatCaption(caption));
  if (kind === 'hard') {
    return {
      picture,
      row: conversationRow(bundle, [
        { prompt: promptIds(bundle, CAPTION_QUESTION, grids), response: describe },
      ]),
    };
  }
  const [question, answer] =
    kind === 'auxiliary'
      ? [example.auxiliaryQuestion, example.auxiliaryAnswer]
      : [example.question, example.answer];
  const turns = [
    {
      prompt: promptIds(bundle, question, grids),
      // The whole text response: answering at the place where a variant answers is learned here, so
      // that what a variant trains as text only is something the base can already do.
      response: responseIds(
        bundle,
        formatResponse(
          { think: example.think, parser: example.parser, answer },
          { latents: 'none' },
        ),
      ),
    },
    { prompt: promptIds(bundle, CAPTION_QUESTION, []), response: describe },
  ];
  return { picture, row: conversationRow(bundle, turns) };
}

/** The examples of one step; a pure function of recipe and step. */
function stepRows(bundle: ModelBundle, recipe: PretrainRecipe, step: number): PretrainRow[] {
  const rng = new Rng(recipe.seed).fork(`pretrain step ${step}`);
  const from = step * recipe.batchSize;
  const streams = {
    easy: sampleExamples({
      split: 'train',
      count: Infinity,
      seed: recipe.seed,
      easyFraction: 1,
      from,
    }),
    hard: sampleExamples({
      split: 'train',
      count: Infinity,
      seed: recipe.seed + 1,
      easyFraction: 0,
      from,
    }),
    auxiliary: sampleExamples({ split: 'train', count: Infinity, seed: recipe.seed + 2, from }),
  };
  return Array.from({ length: recipe.batchSize }, () => {
    const kind = drawKind(recipe, rng);
    const next = streams[kind].next();
    if (next.done === true) throw new RuntimeError({ what: 'the training stream ended' });
    return pretrainRow(bundle, next.value, kind);
  });
}

function batchFeeds(bundle: ModelBundle, rows: readonly PretrainRow[]): BatchFeeds {
  const { config } = bundle.checkpoint;
  const patches = patchify(
    rows.map((r) => r.picture),
    bundle.patches,
  );
  const batch = batchRows(
    rows.map((r) => r.row),
    { padId: bundle.padId, side: 'right', multiple: LENGTH_MULTIPLE },
  );
  return {
    objective: 'pretrain',
    feeds: {
      ...textFeeds(batch, patches.grids, positionConfig(bundle)),
      ...visionFeeds(config.vision, patches.pixelValues_PF, patches.grids, 'uniform'),
    },
  };
}

/** Writes an untrained tiny model into a folder. */
export async function createTinyModel(folder: string, seed: number): Promise<void> {
  const tokenizer = buildTinyTokenizer(VOCABULARY);
  const id = (token: string): number => {
    const added = tokenizer.tokenizerJson['added_tokens'] as readonly {
      id: number;
      content: string;
    }[];
    return added.find((entry) => entry.content === token)?.id ?? 0;
  };
  const configJson: JsonObject = tinyConfigJson({
    vocabSize: tokenizer.numTokens,
    image: id('<|image_pad|>'),
    video: id('<|video_pad|>'),
    visionStart: id('<|vision_start|>'),
    visionEnd: id('<|vision_end|>'),
    endOfTurn: id('<|im_end|>'),
    pad: id('<|endoftext|>'),
  });
  const config = parseModelConfig(configJson, 'the tiny model');
  await mkdir(folder, { recursive: true });
  await writeCompanions(folder, {
    tokenizer,
    preprocessor: {
      image_processor_type: 'Qwen2VLImageProcessor',
      processor_class: 'Qwen2_5_VLProcessor',
      image_mean: [0.48145466, 0.4578275, 0.40821073],
      image_std: [0.26862954, 0.26130258, 0.27577711],
      patch_size: config.vision.patchSize,
      temporal_patch_size: config.vision.temporalPatchSize,
      merge_size: config.vision.mergeSize,
      min_pixels: 16 * 16,
      max_pixels: 96 * 96,
    },
  });
  const weights = initialWeights(modelSpecs(config), new Rng(seed).fork('initial weights'));
  await writeCheckpoint(folder, configJson, weights);
}

/** Options of a pretraining run besides its recipe. */
export interface PretrainOptions extends SessionOptions {
  readonly folder: string;
  readonly signal?: AbortSignal;
  /** Extra provenance strings stored beside the weights. */
  readonly provenance?: ReadonlyMap<string, string>;
}

/**
 * Pretrains the tiny base into a folder in Hugging Face layout, with `training.jsonl` and
 * `run.json`; yields every step. Aborting saves the state; the same call goes on from there, bit
 * for bit on the same number of threads. Of a folder that holds this run, finished, it leaves all
 * as it is and yields nothing.
 * @throws ConfigError when the folder holds another run or model; RuntimeError when it diverges.
 */
export async function* pretrain(
  recipe: PretrainRecipe,
  options: PretrainOptions,
): AsyncGenerator<StepRecord, void> {
  const description = {
    format: 'gapvl.run.1',
    kind: 'pretrain',
    recipe,
    versions: await versions(),
  };
  if ((await beginRun(options.folder, description)) === 'finished') return;
  await createTinyModel(options.folder, recipe.seed);
  const bundle = await readModelBundle(options.folder);
  const { config, weights, configJson } = bundle.checkpoint;
  const specs = modelSpecs(config);
  const sample = patchify(
    stepRows(bundle, recipe, 0).map((r) => r.picture),
    bundle.patches,
  );
  const layout = pictureLayout(config.vision, sample.grids);
  const objective = (): EncodedGraph =>
    encodeObjective(config, {
      pictures: { kind: 'tower', layout },
      trained: specs,
      parameters: specs,
    });
  await using trainer = await Trainer.create(weights, {
    ...options,
    objectives: new Map([['pretrain', objective]]),
    groups: [specs],
    adamw: recipe.optimizer,
  });
  const plan = {
    totalSteps: recipe.steps,
    warmupSteps: Math.ceil(recipe.steps * recipe.optimizer.warmupRatio),
    peaks: [recipe.optimizer.learningRate],
    batch: (step: number) => Promise.resolve(batchFeeds(bundle, stepRows(bundle, recipe, step))),
    folder: options.folder,
    fingerprint: JSON.stringify({
      recipe,
      threads: options.threads ?? 'all',
      // Other devices add up in another order; absent for the CPU.
      ...(options.device === undefined || options.device === 'cpu'
        ? {}
        : { device: options.device }),
    }),
    saveEvery: SAVE_EVERY,
  };
  {
    await using file = await RecordFile.create(options.folder);
    for await (const record of runTraining(trainer, plan, options.signal)) {
      await file.append(record);
      yield record;
    }
  }
  const metadata = new Map([
    ...(options.provenance ?? []),
    ['recipe', JSON.stringify(recipe)],
    ['run', JSON.stringify(description)],
  ]);
  await writeCheckpoint(options.folder, configJson, weights, metadata);
  await finishRun(options.folder, description);
  await forgetState(options.folder);
}
