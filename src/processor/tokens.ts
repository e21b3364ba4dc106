// Owns the ids of the tokens that mean something to the model, and the ids of a response; called by train/ and generate/.
import { LATENT_TOKENS, type ResponsePiece } from '../data/format.ts';
import { CheckpointError } from '../errors.ts';
import type { TextPiece, TextTokenizer } from './tokenizer.ts';

/**
 * Tokens of turns and pictures, as Qwen2.5-VL spells them.
 * Source: Qwen2.5-VL tokenizer_config.json.
 */
export const CHAT_TOKENS = {
  pad: '<|endoftext|>',
  turnStart: '<|im_start|>',
  turnEnd: '<|im_end|>',
  visionStart: '<|vision_start|>',
  visionEnd: '<|vision_end|>',
  imagePad: '<|image_pad|>',
  videoPad: '<|video_pad|>',
} as const;

/** Ids of turns and pictures; every Qwen2.5-VL tokenizer has them. */
export interface ChatTokenIds {
  readonly pad: number;
  readonly turnStart: number;
  readonly turnEnd: number;
  readonly visionStart: number;
  readonly visionEnd: number;
  readonly imagePad: number;
}

/** Ids of latent spans; only checkpoints prepared for GAP have them. */
export interface LatentTokenIds {
  readonly latentStart: number;
  readonly latentPad: number;
  readonly latentEnd: number;
}

/**
 * Ids of turns and pictures.
 * @throws CheckpointError naming the token that the tokenizer lacks.
 */
export function chatTokenIds(tokenizer: TextTokenizer): ChatTokenIds {
  return {
    pad: tokenizer.idOf(CHAT_TOKENS.pad),
    turnStart: tokenizer.idOf(CHAT_TOKENS.turnStart),
    turnEnd: tokenizer.idOf(CHAT_TOKENS.turnEnd),
    visionStart: tokenizer.idOf(CHAT_TOKENS.visionStart),
    visionEnd: tokenizer.idOf(CHAT_TOKENS.visionEnd),
    imagePad: tokenizer.idOf(CHAT_TOKENS.imagePad),
  };
}

/** Stands for a token that the vocabulary lacks: no position holds it, nothing draws it. */
export const NO_TOKEN = -1;

/** Ids of latent spans; all NO_TOKEN when the tokenizer lacks one of them. */
export function latentTokenIds(tokenizer: TextTokenizer): LatentTokenIds {
  const [latentStart, latentPad, latentEnd] = LATENT_TOKENS.map((token) => tokenizer.find(token));
  if (latentStart === undefined || latentPad === undefined || latentEnd === undefined) {
    return { latentStart: NO_TOKEN, latentPad: NO_TOKEN, latentEnd: NO_TOKEN };
  }
  return { latentStart, latentPad, latentEnd };
}

/**
 * Makes sure that latents can be written.
 * @throws CheckpointError when the tokenizer lacks their tokens, as those of published models do.
 */
export function expectLatentTokens({ latentStart }: LatentTokenIds, model: string): void {
  if (latentStart !== NO_TOKEN) return;
  throw new CheckpointError({
    what: `${model} cannot write latents: its tokenizer lacks their tokens`,
    expected: LATENT_TOKENS.join(', '),
    fix: `run \`gapvl tokens add --model ${model} --out DIR\` and use DIR`,
  });
}

/**
 * Makes sure that every token has a row in the model's tables.
 * @throws CheckpointError when the tokenizer is larger than the model.
 */
export function expectRowsFor(tokenizer: TextTokenizer, vocabSize: number, model: string): void {
  if (tokenizer.numTokens <= vocabSize) return;
  throw new CheckpointError({
    what: `the tokenizer of ${model} has tokens that its model has no rows for`,
    got: `ids up to ${tokenizer.numTokens - 1}`,
    expected: `ids below vocab_size ${vocabSize}`,
    fix: 'get tokenizer and weights of the same checkpoint',
  });
}

/**
 * Ids of a formatted response, without the closing `<|im_end|>`: pieces are joined by single
 * spaces, but nothing stands between the tokens of a latent span or before it, since a subword
 * tokenizer would make tokens of those spaces.
 *
 * Worked example: `<think>` `i look` start pad end `</think>` is encoded as
 * `<think> i look<|latent_start|><|latent_pad|><|latent_end|> </think>`.
 *
 * @throws DataError when a free text has words the tokenizer cannot express.
 */
export function encodeResponse(
  tokenizer: TextTokenizer,
  pieces: readonly ResponsePiece[],
): number[] {
  const latentTokens: readonly string[] = LATENT_TOKENS;
  const texts: TextPiece[] = [];
  for (const [index, piece] of pieces.entries()) {
    if (index > 0 && !latentTokens.includes(piece.text)) texts.push({ text: ' ', trusted: true });
    texts.push({ text: piece.text, trusted: piece.kind === 'marker' });
  }
  return tokenizer.encodePieces(texts);
}
