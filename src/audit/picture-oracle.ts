// Owns what the auxiliary picture is worth to a model that reads it as a second picture: accuracy with one and with
// two pictures, by example; the oracle part calls it, and it needs no latent head.
// Axes: M picture tokens, D hidden.
import { fitPicture } from '../context/prepared.ts';
import type { ExamplePictures, PreparedExample } from '../context/prepared.ts';
import type { Example } from '../data/example.ts';
import { scoreAnswer } from '../evaluate/answers.ts';
import { writesLatents } from '../evaluate/interventions.ts';
import type { StepDecoder } from '../generate/decoder.ts';
import { generateBatch } from '../generate/generate.ts';
import type { GenerationRequest, GenerationSettings } from '../generate/generate.ts';
import { promptIds } from '../model/bundle.ts';
import type { PictureEncoder } from '../model/picture-encoder.ts';
import { rasterGrid } from '../processor/patches.ts';
import { joinRows } from './latent-distance.ts';
import { requestOf, withoutSpan } from './arms.ts';
import type { PartRecord } from './part.ts';

/** An answer and its verdict. */
export interface OracleAnswer {
  readonly answer: string | null;
  readonly correct: boolean;
}

/** One example asked with its query picture alone, and with its auxiliary picture behind it. */
export interface OracleRecord extends PartRecord {
  readonly task: string;
  readonly question: string;
  readonly expected: string;
  readonly one: OracleAnswer;
  /** Null without an auxiliary picture. */
  readonly two: OracleAnswer | null;
}

/** What to ask and with what. */
export interface OracleOptions {
  readonly decoder: StepDecoder;
  readonly encoder: Pick<PictureEncoder, 'encode'>;
  readonly items: readonly PreparedExample[];
  readonly loadPictures: (example: Example) => Promise<ExamplePictures>;
  readonly generation: GenerationSettings;
  readonly seed: number;
  readonly batchSize: number;
  /** Examples to leave out from the start; default none. */
  readonly done?: number;
  readonly signal?: AbortSignal;
}

/** The request of an example with its auxiliary picture as the second one. */
async function withAuxiliary(
  { decoder, encoder, seed, loadPictures }: OracleOptions,
  items: readonly PreparedExample[],
): Promise<(GenerationRequest | undefined)[]> {
  const { bundle } = decoder.model;
  const loaded = await Promise.all(items.map(({ example }) => loadPictures(example)));
  const pictures = loaded.map(
    ({ auxiliary }, i) => auxiliary && fitPicture(bundle, auxiliary, items[i]?.example),
  );
  const rows = await encoder.encode(pictures.flatMap((picture) => (picture ? [picture] : [])));
  const width = bundle.checkpoint.config.text.hiddenSize;
  const side = bundle.patches.patchSize * bundle.patches.mergeSize;
  let at = 0;
  return items.map((item, i) => {
    const picture = pictures[i];
    if (!picture) return undefined;
    const size = ((picture.width * picture.height) / side ** 2) * width;
    const grids = [item.grid, rasterGrid(picture, bundle.patches)];
    const pictureRows_MD = joinRows([item.pictureRows_MD, rows.slice(at, at + size)]);
    at += size;
    return {
      ...requestOf(item, seed),
      promptIds: promptIds(bundle, item.example.question, grids),
      grids,
      pictureRows_MD,
    };
  });
}

/**
 * Asks every example twice, with its query picture and with both its pictures, and answers in
 * words alone: a model with a latent head is kept from writing latents, so that the same is
 * measured before and after training. A record an example, batch by batch.
 */
export async function* oracleInformativeness(
  options: OracleOptions,
): AsyncGenerator<OracleRecord[], void> {
  const { decoder, items, seed, batchSize, signal, done = 0 } = options;
  const { tokenizer } = decoder.model.bundle;
  const settings: GenerationSettings = writesLatents(decoder.model)
    ? withoutSpan(options.generation)
    : { ...options.generation, intervention: { kind: 'clean' } };
  const answerAll = async (
    requests: readonly (GenerationRequest | undefined)[],
    chunk: readonly PreparedExample[],
  ): Promise<(OracleAnswer | null)[]> => {
    const asked = requests.flatMap((request) => (request ? [request] : []));
    const results = asked.length === 0 ? [] : await generateBatch(decoder, asked, settings, signal);
    let at = 0;
    return requests.map((request, i) => {
      const result = request ? results[at++] : undefined;
      if (!result) return null;
      const expected = chunk[i]?.example.answer ?? '';
      const { answer, correct } = scoreAnswer(tokenizer.decode(result.ids), expected);
      return { answer: answer ?? null, correct };
    });
  };
  // From the start of a whole batch: the bits of a row may depend on its neighbours.
  for (let start = done - (done % batchSize); start < items.length; start += batchSize) {
    signal?.throwIfAborted();
    const chunk = items.slice(start, start + batchSize);
    const one = await answerAll(
      chunk.map((item) => requestOf(item, seed)),
      chunk,
    );
    const two = await answerAll(await withAuxiliary(options, chunk), chunk);
    const records = chunk.map(({ example }, i): OracleRecord => ({
      ...{ id: example.id, task: example.task ?? '' },
      ...{ question: example.question, expected: example.answer },
      one: one[i] ?? { answer: null, correct: false },
      two: two[i] ?? null,
    }));
    yield records.slice(Math.max(0, done - start));
  }
}
