// Owns one question about pictures, answered as a stream of text and latent spans; the CLI calls it.
// Axes: K latents of a span, D hidden.
import { parseResponse } from '../data/format.ts';
import { ConfigError } from '../errors.ts';
import { meanNorm, norm } from '../latent/feedback.ts';
import type { Calibration, Intervention } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { expectLatentTokens } from '../processor/tokens.ts';
import { createTextStream } from '../processor/text-stream.ts';
import { Decoder } from './decoder.ts';
import { decodingPlan } from './defaults.ts';
import type { DecodingChoices } from './defaults.ts';
import { generateEvents } from './generate.ts';
import { questionRequest } from './question.ts';
import type { Question } from './question.ts';

/** A question and how to answer it; what is not given is decoded as the model's files say. */
export interface AskOptions extends Question, DecodingChoices {
  /** K; default: what the model was trained with. */
  readonly numLatents?: number;
  readonly intervention?: Intervention;
  readonly calibration?: Calibration;
  /** Called after every token that is written, latents included. */
  readonly onToken?: () => void;
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
  /**
   * Everything that was written, special tokens included, latents as `<|latent_pad|>`, cut before
   * the stop string.
   */
  readonly response: string;
  /** What stands in the parts of the response. */
  readonly think: string | null;
  readonly parser: string | null;
  readonly answer: string | null;
  /** Ids of everything that was written, a stop string included. */
  readonly tokens: readonly number[];
  readonly spans: readonly SpanSummary[];
  /** Mean norm of the pictures' own embeddings: what latents are held against; 0 without any. */
  readonly queryNorm: number;
  /** False when the limit cut the response off. */
  readonly finished: boolean;
  /** The stop string that ended the response. */
  readonly stop: string | null;
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
 * Answers a question about pictures, yielding text as whole words and every latent span once it
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
  const { tokenizer, sequence, checkpoint } = model.bundle;
  if (numLatents > 0) expectLatentTokens(model.bundle.sequence, model.bundle.checkpoint.folder);
  const plan = decodingPlan(model.bundle, asked, numLatents);
  const request = await questionRequest(model, asked, numLatents);
  const queryNorm = meanNorm(request.pictureRows_MD, checkpoint.config.text.hiddenSize);
  const stream = createTextStream(tokenizer, { stop: plan.stop });
  const tokens: number[] = [];
  const spans: SpanSummary[] = [];
  let span: { norms: number[]; stateNorms: number[] } | undefined;
  let finished = false;
  asked.signal?.throwIfAborted();
  await using decoder = await Decoder.create(model, asked);
  const settings = {
    ...plan,
    numLatents,
    intervention: asked.intervention ?? { kind: 'clean' },
    calibration: asked.calibration ?? { kind: 'none' },
  };
  const events = generateEvents(decoder, [request], settings, asked.signal);
  for await (const event of events) {
    if (event.kind !== 'end') asked.onToken?.();
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
  const whole = tokenizer.decode(tokens);
  const response = whole.slice(0, whole.length - (stream.stop?.numDropped ?? 0));
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
    stop: stream.stop?.text ?? null,
  };
}
