// Owns what a report shows of latents: norms, example cards and mosaics, decoded anew from a model.
// Axes: D hidden, K latents of a span.
import { rowsOf } from '../audit/latent-distance.ts';
import { cosine, latentMosaic } from '../audit/mosaic.ts';
import type { PatchBank } from '../audit/mosaic.ts';
import { auxiliaryBank, BANK_PICTURES } from '../audit/patch-bank.ts';
import { fitAuxiliary, loadPictures, prepareExamples } from '../context/prepared.ts';
import type { PreparedExample } from '../context/prepared.ts';
import type { Example } from '../data/example.ts';
import { LATENT_PAD } from '../data/format.ts';
import { encodePng } from '../data/png.ts';
import type { SessionOptions } from '../engine/session.ts';
import { mean, sampleStd } from '../evaluate/statistics.ts';
import { Decoder } from '../generate/decoder.ts';
import { generateBatch } from '../generate/generate.ts';
import type { GenerationResult } from '../generate/generate.ts';
import { norm } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { textEmbeddings } from '../model/text-embeddings.ts';
import { Rng } from '../rng.ts';
import type {
  NormGroup,
  NormStatistic,
  Prediction,
  ReportExample,
  ResponsePiece,
} from './types.ts';

/** Tokens of a response besides its latents. */
const TEXT_TOKENS = 64;

/** What the model is looked at with. */
export interface LatentViewOptions extends SessionOptions {
  /** Dataset folder. */
  readonly data: string;
  /** Examples to decode; the first of each task become cards. */
  readonly examples: readonly Example[];
  /** Training examples whose auxiliary pictures fill the patch bank. */
  readonly bankExamples: readonly Example[];
  /** Most cards. */
  readonly numCards: number;
  /** Answers of all models to an example. */
  readonly predictions: (id: string) => Readonly<Record<string, Prediction>>;
  readonly signal?: AbortSignal;
}

/** Cards and norms of one model. */
export interface LatentView {
  readonly cards: readonly ReportExample[];
  readonly norms: NormGroup | undefined;
}

function statistic(values: readonly number[]): NormStatistic {
  return { mean: mean(values), std: sampleStd(values) ?? 0 };
}

async function patchBank(
  model: GapModel,
  encoder: PictureEncoder,
  options: LatentViewOptions,
): Promise<PatchBank> {
  const withAuxiliary = options.bankExamples
    .filter((e) => e.auxiliary !== undefined)
    .slice(0, BANK_PICTURES);
  const loaded = await Promise.all(
    withAuxiliary.map((example) => loadPictures(options.data, example)),
  );
  const pictures = loaded.flatMap(({ auxiliary }) => (auxiliary ? [auxiliary] : []));
  return auxiliaryBank(model.bundle, encoder, pictures, model.settings?.numLatents ?? 1);
}

/** A response as text and latent spans. */
function responsePieces(text: string): ResponsePiece[] {
  const pieces: ResponsePiece[] = [];
  for (const part of text.split(
    new RegExp(`((?:${LATENT_PAD.replaceAll('|', '\\|')}\\s*)+)`, 'u'),
  )) {
    const count = part.split(LATENT_PAD).length - 1;
    if (count > 0) pieces.push({ kind: 'latents', count });
    else if (part.trim() !== '') pieces.push({ kind: 'text', text: part.trim() });
  }
  return pieces;
}

function pickCards(
  items: readonly PreparedExample[],
  results: readonly GenerationResult[],
  most: number,
): number[] {
  const groups = new Map<string, number[]>();
  items.forEach(({ example }, i) => {
    const key = `${example.task ?? ''}/${example.difficulty ?? ''}`;
    groups.set(key, [...(groups.get(key) ?? []), i]);
  });
  // Hard examples first: there the latents have something to do.
  const ordered = [...groups].sort(
    ([a], [b]) => Number(b.endsWith('hard')) - Number(a.endsWith('hard')),
  );
  const chosen: number[] = [];
  for (let turn = 0; chosen.length < most && turn < items.length; turn++) {
    for (const [, group] of ordered) {
      const withSpan = group.filter((i) => (results[i]?.latents.length ?? 0) > 0);
      const index = withSpan[turn];
      if (index !== undefined && chosen.length < most) chosen.push(index);
    }
  }
  return chosen;
}

async function normsOf(
  model: GapModel,
  items: readonly PreparedExample[],
  results: readonly GenerationResult[],
  options: SessionOptions,
): Promise<NormGroup | undefined> {
  const { text } = model.bundle.checkpoint.config;
  const width = text.hiddenSize;
  const written = results.flatMap((r) => r.latents.map(norm));
  if (written.length === 0) return undefined;
  const ids = items.flatMap(({ promptIds }) => promptIds);
  const inputs = await textEmbeddings(model.bundle.checkpoint, ids, options);
  const textNorms = rowsOf(inputs, width).map(norm);
  return {
    variant: model.settings?.variant ?? 'base',
    finalState: statistic(results.flatMap((r) => r.stateNorms)),
    queryVision: statistic(
      items.flatMap(({ pictureRows_MD }) => rowsOf(pictureRows_MD, width).map(norm)),
    ),
    textInput: statistic(textNorms),
    reconstruction: statistic(written),
  };
}

/** Decodes examples with a model that writes latents and shows what it wrote. */
export async function viewLatents(
  model: GapModel,
  options: LatentViewOptions,
): Promise<LatentView> {
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const numLatents = model.settings?.numLatents ?? 1;
  await using encoder = new PictureEncoder(model.bundle, options);
  const items = await prepareExamples(model.bundle, encoder, options.examples, {
    numLatents,
    load: (example) => loadPictures(options.data, example),
  });
  await using decoder = await Decoder.create(model, options);
  const requests = items.map((item) => ({
    promptIds: item.promptIds,
    grids: [item.grid],
    pictureRows_MD: item.pictureRows_MD,
    rng: new Rng(item.example.id),
  }));
  const results = await generateBatch(
    decoder,
    requests,
    {
      numLatents,
      maxNewTokens: numLatents + TEXT_TOKENS,
      temperature: 0,
      intervention: { kind: 'clean' },
      calibration: { kind: 'none' },
    },
    options.signal,
  );
  const bank = await patchBank(model, encoder, options);
  const cards: ReportExample[] = [];
  for (const index of pickCards(items, results, options.numCards)) {
    const [item, result] = [items[index], results[index]];
    if (!item || !result) continue;
    const { example, auxiliaryRows_KD } = item;
    const pictures = await loadPictures(options.data, example);
    const targets = auxiliaryRows_KD ? rowsOf(auxiliaryRows_KD, width) : [];
    cards.push({
      id: example.id,
      task: example.task ?? '',
      difficulty: example.difficulty ?? '',
      question: example.question,
      answer: example.answer,
      predictions: options.predictions(example.id),
      queryPng: encodePng(pictures.picture),
      ...(pictures.auxiliary
        ? { auxiliaryPng: encodePng(fitAuxiliary(model.bundle, pictures.auxiliary, numLatents)) }
        : {}),
      latentPng: encodePng(latentMosaic(bank, result.latents.slice(0, numLatents))),
      latentHeat: targets.map((target, i) =>
        cosine(target, result.latents[i] ?? new Float32Array(width)),
      ),
      response: responsePieces(model.bundle.tokenizer.decode(result.ids)),
    });
  }
  return { cards, norms: await normsOf(model, items, results, options) };
}
