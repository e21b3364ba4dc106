// Owns one question about one picture, answered as a stream of text and latent spans; the CLI calls it.
// Axes: K latents of a span, D hidden.
import { fitAuxiliary, prepareExamples } from '../context/prepared.ts';
import { parseResponse } from '../data/format.ts';
import type { Raster } from '../data/raster.ts';
import type { SessionOptions } from '../engine/session.ts';
import { ConfigError } from '../errors.ts';
import { meanNorm, norm } from '../latent/feedback.ts';
import type { Calibration, Intervention } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { projectOntoPlane } from '../latent/pca.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { expectLatentTokens } from '../processor/tokens.ts';
import { createTextStream } from '../processor/text-stream.ts';
import { Rng } from '../rng.ts';
import { Decoder } from './decoder.ts';
import { generateEvents } from './generate.ts';
import type { GenerationRequest } from './generate.ts';

/** A question and how to answer it. */
export interface AskOptions extends SessionOptions {
  readonly picture: Raster;
  readonly question: string;
  /** The picture whose embeddings the intervention `oracle` writes. */
  readonly auxiliary?: Raster;
  /** K; default: what the model was trained with. */
  readonly numLatents?: number;
  /** Tokens of the response, latents included; default 64 besides the latents. */
  readonly maxNewTokens?: number;
  /** Default 0, greedy. */
  readonly temperature?: number;
  readonly intervention?: Intervention;
  readonly calibration?: Calibration;
  readonly seed: number;
  readonly signal?: AbortSignal;
}

/** A latent span in numbers. */
export interface SpanSummary {
  readonly numLatents: number;
  /** Norm of every vector that was read back. */
  readonly norms: readonly number[];
  /** Norm of the state before the final norm that each came from. */
  readonly stateNorms: readonly number[];
}

/** A piece of the answer as it is written. */
export type AnswerPiece =
  | { readonly kind: 'text'; readonly text: string }
  | ({ readonly kind: 'latents'; readonly queryNorm: number } & SpanSummary);

/** The whole answer. */
export interface Answer {
  /** Everything that was written, special tokens included, latents as `<|latent_pad|>`. */
  readonly response: string;
  /** What stands in the parts of the response. */
  readonly think: string | null;
  readonly parser: string | null;
  readonly answer: string | null;
  readonly tokens: readonly number[];
  readonly spans: readonly SpanSummary[];
  /** Mean norm of the picture's own embeddings: what latents are held against. */
  readonly queryNorm: number;
  /** False when the limit cut the response off. */
  readonly finished: boolean;
}

/** ours: twice what the generated examples need. */
const TEXT_TOKENS = 64;

async function requestOf(model: GapModel, options: AskOptions): Promise<GenerationRequest> {
  const { picture, question, auxiliary, numLatents } = options;
  await using encoder = new PictureEncoder(model.bundle, options);
  const example = { id: 'question', question, answer: '', image: 'picture' };
  const [item] = await prepareExamples(model.bundle, encoder, [example], {
    load: () => Promise.resolve({ picture }),
  });
  if (!item) throw new RangeError('one example gives one prepared example');
  let replacement: Float32Array | undefined;
  if (options.intervention?.kind === 'oracle' && auxiliary && numLatents !== undefined) {
    const rows = await encoder.encode([fitAuxiliary(model.bundle, auxiliary, numLatents)]);
    const { basis, spec } = model.head;
    replacement = basis && spec.kind === 'pca' ? projectOntoPlane(basis, rows) : rows;
  }
  return {
    promptIds: item.promptIds,
    grids: [item.grid],
    pictureRows_MD: item.pictureRows_MD,
    rng: new Rng(options.seed).fork('question'),
    ...(replacement ? { replacement } : {}),
  };
}

function checkIntervention({ intervention, auxiliary }: AskOptions): void {
  const kind = intervention?.kind ?? 'clean';
  if (kind === 'other' || (kind === 'oracle') !== (auxiliary !== undefined)) {
    throw new ConfigError({
      what: `the intervention ${kind} cannot be done like this on a single question`,
      got: auxiliary ? 'an auxiliary picture' : 'no auxiliary picture',
      expected: 'an auxiliary picture with oracle, none with the others; never other',
      fix: 'give --auxiliary with --intervention oracle; use `gapvl compare` for other',
    });
  }
}

/**
 * Answers a question about a picture, yielding text as whole words and every latent span once it
 * is complete.
 * @throws ConfigError for an intervention that lacks its picture; DataError for a picture that is
 * too long and narrow.
 */
export async function* askModel(
  model: GapModel,
  asked: AskOptions,
): AsyncGenerator<AnswerPiece, Answer> {
  checkIntervention(asked);
  const numLatents = asked.numLatents ?? model.settings?.numLatents ?? 0;
  const options = { ...asked, numLatents };
  const { tokenizer, sequence, checkpoint } = model.bundle;
  if (numLatents > 0) expectLatentTokens(sequence, checkpoint.folder);
  const request = await requestOf(model, options);
  const queryNorm = meanNorm(request.pictureRows_MD, checkpoint.config.text.hiddenSize);
  const stream = createTextStream(tokenizer);
  const tokens: number[] = [];
  const spans: SpanSummary[] = [];
  let span: { norms: number[]; stateNorms: number[] } | undefined;
  let finished = false;
  await using decoder = await Decoder.create(model, options);
  const events = generateEvents(
    decoder,
    [request],
    {
      numLatents,
      maxNewTokens: options.maxNewTokens ?? TEXT_TOKENS + (numLatents > 0 ? numLatents + 2 : 0),
      temperature: options.temperature ?? 0,
      intervention: options.intervention ?? { kind: 'clean' },
      calibration: options.calibration ?? { kind: 'none' },
    },
    options.signal,
  );
  for await (const event of events) {
    if (event.kind === 'latent') {
      const rest = span ? '' : stream.end();
      if (rest !== '') yield { kind: 'text', text: rest };
      span ??= { norms: [], stateNorms: [] };
      span.norms.push(norm(event.latent));
      span.stateNorms.push(event.stateNorm);
      tokens.push(sequence.latentPad);
      continue;
    }
    if (span) {
      const whole = { numLatents: span.norms.length, ...span };
      spans.push(whole);
      span = undefined;
      yield { kind: 'latents', queryNorm, ...whole };
    }
    if (event.kind === 'end') {
      finished = event.finished;
      continue;
    }
    tokens.push(event.id);
    const text = stream.push(event.id);
    if (text !== '') yield { kind: 'text', text };
  }
  const rest = stream.end();
  if (rest !== '') yield { kind: 'text', text: rest };
  const response = tokenizer.decode(tokens);
  const parts = parseResponse(response);
  return {
    response,
    think: parts.think ?? null,
    parser: parts.parser ?? null,
    answer: parts.answer ?? null,
    tokens,
    spans,
    queryNorm,
    finished,
  };
}
