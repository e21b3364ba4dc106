// Owns the response format: special tokens, their order, and reading a response back.
// processor/ builds training rows of it, generate/ and evaluate/ read what a model wrote.

import { ConfigError } from '../errors.ts';

/** Opens a latent span; the state at it predicts latent 1. */
export const LATENT_START = '<|latent_start|>';
/** One latent position; K of them in a span. */
export const LATENT_PAD = '<|latent_pad|>';
/** Closes a latent span; the label of the state at latent K. */
export const LATENT_END = '<|latent_end|>';
/** The three tokens a Qwen2.5-VL vocabulary lacks. Source: GAP §4.1. */
export const LATENT_TOKENS = [LATENT_START, LATENT_PAD, LATENT_END] as const;

/** The tags of a response. Source: GAP §4.1. */
export const TAGS = {
  thinkOpen: '<think>',
  thinkClose: '</think>',
  parserOpen: '<parser>',
  parserClose: '</parser>',
  answerOpen: '<answer>',
  answerClose: '</answer>',
} as const;

/** Everything in a response that is not free text; free text may contain none of it. */
export const RESPONSE_MARKERS: readonly string[] = [...LATENT_TOKENS, ...Object.values(TAGS)];

/** The request for a dense caption, as base pretraining asks it. */
export const CAPTION_QUESTION = 'describe this picture';

/** The texts a response is made of; a TaskSample and an Example both have them. */
export interface ResponseTexts {
  readonly think?: string | undefined;
  readonly parser?: string | undefined;
  readonly answer: string;
}

/**
 * Which response to write. `span`: with K latents, a perfect square. `text`: the same without the
 * span, as for text-only examples and the dense-caption control; the parser text stays. GAP §4.3.
 */
export type ResponseStyle =
  { readonly latents: 'span'; readonly numLatents: number } | { readonly latents: 'none' };

/** A piece of a response: one marker (a token of its own), or free text that is never one. */
export interface ResponsePiece {
  readonly kind: 'marker' | 'text';
  readonly text: string;
}

const marker = (text: string): ResponsePiece => ({ kind: 'marker', text });

function textPieces(text: string | undefined): ResponsePiece[] {
  const trimmed = text?.trim() ?? '';
  return trimmed === '' ? [] : [{ kind: 'text', text: trimmed }];
}

/**
 * Checks a latent budget.
 * @throws ConfigError if it is not a perfect square of at least 1 (the auxiliary picture is laid
 * out as a square of merged patches).
 */
export function checkNumLatents(numLatents: number): void {
  const side = Math.round(Math.sqrt(numLatents));
  if (Number.isSafeInteger(numLatents) && numLatents > 0 && side * side === numLatents) return;
  const near = Math.max(1, Number.isFinite(side) ? side : 6);
  throw new ConfigError({
    what: 'the number of latents K must be a perfect square',
    got: `${numLatents}`,
    expected: '1, 4, 9, 16, 25, 36, 64, 144, ...',
    fix: `take ${near * near}`,
  });
}

/** The span alone: start, K pads, end. */
export function latentSpan(numLatents: number): ResponsePiece[] {
  checkNumLatents(numLatents);
  const pads = new Array<ResponsePiece>(numLatents).fill(marker(LATENT_PAD));
  return [marker(LATENT_START), ...pads, marker(LATENT_END)];
}

/**
 * The response to an example, in GAP's order. Worked example with K = 1:
 * `<think> i look <|latent_start|> <|latent_pad|> <|latent_end|> <parser> it is red </parser>
 * </think> <answer> 3 </answer>`. Without a parser text its tags are left out; the think tags stay.
 */
export function formatResponse(texts: ResponseTexts, style: ResponseStyle): ResponsePiece[] {
  const parser = textPieces(texts.parser);
  return [
    marker(TAGS.thinkOpen),
    ...textPieces(texts.think),
    ...(style.latents === 'span' ? latentSpan(style.numLatents) : []),
    ...(parser.length === 0 ? [] : [marker(TAGS.parserOpen), ...parser, marker(TAGS.parserClose)]),
    marker(TAGS.thinkClose),
    marker(TAGS.answerOpen),
    ...textPieces(texts.answer),
    marker(TAGS.answerClose),
  ];
}

/** A dense caption as response: the words alone, no tags. */
export function formatCaption(caption: string): ResponsePiece[] {
  return textPieces(caption);
}

/** The pieces as one text, single spaces between them. */
export function joinPieces(pieces: readonly ResponsePiece[]): string {
  return pieces.map((piece) => piece.text).join(' ');
}

/** A response taken apart; a part that is not there is undefined. */
export interface ParsedResponse {
  readonly think: string | undefined;
  readonly parser: string | undefined;
  readonly answer: string | undefined;
  /** Latent pads in the whole text. */
  readonly numLatents: number;
}

/** Text between two tags; up to the end of the text if the second is missing. */
function between(text: string, open: string, close: string): string | undefined {
  const start = text.indexOf(open);
  if (start < 0) return undefined;
  const end = text.indexOf(close, start + open.length);
  return text.slice(start + open.length, end < 0 ? undefined : end);
}

/** Free text without the markers in it, single spaces between words. */
function cleanText(text: string): string {
  let clean = text;
  for (const token of RESPONSE_MARKERS) clean = clean.replaceAll(token, ' ');
  return clean.trim().split(/\s+/u).join(' ');
}

/** Reads a response back. Never throws: a model may write anything. */
export function parseResponse(text: string): ParsedResponse {
  const parser = between(text, TAGS.parserOpen, TAGS.parserClose);
  const answer = between(text, TAGS.answerOpen, TAGS.answerClose);
  const beforeAnswer = text.split(TAGS.answerOpen, 1).join('');
  const thought = between(beforeAnswer, TAGS.thinkOpen, TAGS.thinkClose);
  const think = parser === undefined ? thought : thought?.replace(parser, () => '');
  return {
    think: think === undefined ? undefined : cleanText(think),
    parser: parser === undefined ? undefined : cleanText(parser),
    answer: answer === undefined ? undefined : cleanText(answer),
    numLatents: text.split(LATENT_PAD).length - 1,
  };
}
