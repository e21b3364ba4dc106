// Owns the ids of the tokens that mean something to the model, and the ids of a response; called by train/ and generate/.
import {
  LATENT_END,
  LATENT_PAD,
  LATENT_START,
  LATENT_TOKENS,
  type ResponsePiece,
} from '../data/format.ts';
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

/**
 * Ids of latent spans.
 * @throws CheckpointError naming the token that the tokenizer lacks.
 */
export function latentTokenIds(tokenizer: TextTokenizer): LatentTokenIds {
  return {
    latentStart: tokenizer.idOf(LATENT_START),
    latentPad: tokenizer.idOf(LATENT_PAD),
    latentEnd: tokenizer.idOf(LATENT_END),
  };
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
