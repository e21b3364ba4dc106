// Owns clean rows of mini models with responses written by hand; tests of the audit's parts call it.
// Axes: K latents of a span, D hidden.
import type { AuditContext, CleanRow } from '../../src/audit/part.ts';
import { prepareExamples } from '../../src/context/prepared.ts';
import type { ExamplePictures } from '../../src/context/prepared.ts';
import type { Example } from '../../src/data/example.ts';
import { createRaster } from '../../src/data/raster.ts';
import type { Raster } from '../../src/data/raster.ts';
import { scoreAnswer } from '../../src/evaluate/answers.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import type { GapModel } from '../../src/latent/model.ts';
import { PictureEncoder } from '../../src/model/picture-encoder.ts';
import { Rng } from '../../src/rng.ts';
import { MINI_LATENTS, SESSION } from './mini-gap.ts';
import { MINI_WORDS, randomRows } from './mini-model.ts';

/** How the response of a row is written: with what spans, and what answer. */
export interface MiniResponse {
  /** Latents of each span; default one whole span. */
  readonly spans?: readonly number[];
  /** The last span is cut off inside. */
  readonly cut?: boolean;
  /** Default: the expected answer; null: no answer at all. */
  readonly answer?: string | null;
}

function noise(width: number, height: number, rng: Rng): Raster {
  const picture = createRaster(width, height, [0, 0, 0]);
  for (let i = 0; i < picture.data.length; i++) picture.data[i] = rng.int(256);
  return picture;
}

/** Query and auxiliary picture; every other pair has one size and differs in its first 8 x 8 pixels only. */
function pictures(index: number, rng: Rng): ExamplePictures {
  if (index % 2 === 1) return { picture: noise(16, 24, rng), auxiliary: noise(16, 16, rng) };
  const picture = noise(24, 16, rng);
  const auxiliary = { ...picture, data: picture.data.slice() };
  for (let y = 0; y < 8; y++) {
    for (let x = 0; x < 8; x++) auxiliary.data[3 * (24 * y + x)] = (x * y) % 251;
  }
  auxiliary.data[0] = 255 - (picture.data[0] ?? 0);
  return { picture, auxiliary };
}

function responseOf(model: GapModel, answer: string, how: MiniResponse): number[] {
  const { latentStart, latentPad, latentEnd } = model.bundle.sequence;
  const text = (words: string): number[] =>
    model.bundle.tokenizer.encodePieces([{ text: words, trusted: true }]);
  const spans = how.spans ?? [MINI_LATENTS];
  const written = spans.flatMap((count, i) => {
    const pads = Array<number>(count).fill(latentPad);
    const isCut = how.cut === true && i === spans.length - 1;
    return [latentStart, ...pads, ...(isCut ? [] : [latentEnd])];
  });
  const given = how.answer === undefined ? answer : how.answer;
  if (how.cut === true) return [...text('<think> it is'), ...written];
  return [
    ...text('<think> it is'),
    ...written,
    ...text('<parser> red </parser> </think>'),
    ...(given === null ? [] : text(`<answer> ${given} </answer>`)),
  ];
}

/** A context with what has to be freed. */
export type MiniAudit = AuditContext & {
  readonly decoder: Decoder;
  readonly encoder: PictureEncoder;
};

/** A context over hand-written clean rows, tasks `odd` and `even`. Dispose its decoder and encoder. */
export async function miniAudit(
  model: GapModel,
  responses: readonly MiniResponse[],
): Promise<MiniAudit> {
  const rng = new Rng('mini audit');
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const examples = responses.map((_, i): Example => ({
    id: `example-${i}`,
    task: i % 2 === 0 ? 'even' : 'odd',
    question: `what is ${rng.pick(MINI_WORDS)}`,
    answer: rng.pick(MINI_WORDS),
    image: `${i}.png`,
    auxiliary: `${i}-auxiliary.png`,
  }));
  const shown = new Map(examples.map(({ id }, i) => [id, pictures(i, rng)]));
  const loadPictures = (example: Example): Promise<ExamplePictures> =>
    Promise.resolve(shown.get(example.id) as ExamplePictures);
  const encoder = new PictureEncoder(model.bundle, SESSION);
  const items = await prepareExamples(model.bundle, encoder, examples, {
    load: loadPictures,
    numLatents: MINI_LATENTS,
  });
  const rows = items.map((item, i): CleanRow => {
    const { example } = item;
    const ids = responseOf(model, example.answer, responses[i] ?? {});
    const numLatents = ids.filter((id) => id === model.bundle.sequence.latentPad).length;
    const response = model.bundle.tokenizer.decode(ids);
    const { answer, correct } = scoreAnswer(response, example.answer);
    return {
      item,
      result: {
        ids,
        latents: Array.from({ length: numLatents }, () => randomRows(rng, width)),
        stateNorms: [],
        numSpans: ids.filter((id) => id === model.bundle.sequence.latentEnd).length,
        finished: true,
      },
      prediction: {
        id: example.id,
        task: example.task ?? '',
        difficulty: '',
        intervention: 'clean',
        sample: 0,
        question: example.question,
        expected: example.answer,
        response,
        answer: answer ?? null,
        correct,
        numSpans: 0,
        finished: true,
      },
    };
  });
  return {
    model,
    decoder: await Decoder.create(model, SESSION),
    encoder,
    rows,
    loadPictures,
    seed: 7,
    batchSize: 3,
    generation: {
      numLatents: MINI_LATENTS,
      maxNewTokens: 40,
      temperature: 0,
      intervention: { kind: 'clean' },
      calibration: { kind: 'none' },
    },
    session: SESSION,
  };
}

/** Frees what a context holds. */
export async function closeAudit(context: MiniAudit): Promise<void> {
  await context.decoder[Symbol.asyncDispose]();
  await context.encoder[Symbol.asyncDispose]();
}
