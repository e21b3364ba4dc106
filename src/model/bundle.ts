// Owns a model with everything text and pictures need: weights, tokenizer, chat template, patches.
import { LATENT_TOKENS } from '../data/format.ts';
import type { ResponsePiece } from '../data/format.ts';
import { renderPrompt } from '../processor/chat.ts';
import type { ChatTemplate, Message } from '../processor/chat.ts';
import type { GridThw } from '../processor/grid.ts';
import type { PatchConfig } from '../processor/patches.ts';
import type { LatentPositions, PositionConfig } from '../processor/positions.ts';
import type { SequenceIds } from '../processor/sequence.ts';
import type { TextTokenizer } from '../processor/tokenizer.ts';
import { expectLatentTokens } from '../processor/tokens.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { GenerationDefaults } from './generation-config.ts';
import type { WeightSource } from './weights.ts';

/** Pixel limits of the processor. Source: preprocessor_config.json of Qwen2.5-VL. */
export interface PixelLimits {
  readonly minPixels: number;
  readonly maxPixels: number;
}

/** A model ready to be prompted; with `Weights`, ready to be trained. */
export interface ModelBundle<W extends WeightSource = WeightSource> {
  readonly checkpoint: Checkpoint<W>;
  readonly tokenizer: TextTokenizer;
  readonly template: ChatTemplate;
  readonly patches: PatchConfig;
  readonly pixels: PixelLimits;
  readonly sequence: SequenceIds;
  /** `<|endoftext|>`. */
  readonly padId: number;
  /** What generation_config.json says; absent without one. */
  readonly generation?: GenerationDefaults;
}

/**
 * Prompt ids of a user's question about pictures, the assistant's turn opened.
 * @param system - the system prompt; default: what the chat template does without one.
 */
export function promptIds(
  bundle: ModelBundle,
  question: string,
  grids: readonly GridThw[],
  system?: string,
): number[] {
  const content: Message['content'] = [
    ...grids.map(() => ({ type: 'image' as const })),
    { type: 'text' as const, text: question },
  ];
  const instruction: Message[] = system === undefined ? [] : [{ role: 'system', content: system }];
  return renderPrompt({
    tokenizer: bundle.tokenizer,
    template: bundle.template,
    messages: [...instruction, { role: 'user', content }],
    grids,
    mergeSize: bundle.patches.mergeSize,
  }).ids;
}

/**
 * Ids of a response: markers are tokens, free text never is.
 * @throws CheckpointError for latents where the tokenizer lacks their tokens.
 */
export function responseIds(bundle: ModelBundle, pieces: readonly ResponsePiece[]): number[] {
  const latentTokens: readonly string[] = LATENT_TOKENS;
  if (pieces.some(({ kind, text }) => kind === 'marker' && latentTokens.includes(text)))
    expectLatentTokens(bundle.sequence, bundle.checkpoint.folder);
  const spaced = pieces.map((piece, i) => ({
    text: i === 0 ? piece.text : ` ${piece.text}`,
    trusted: piece.kind === 'marker',
  }));
  return bundle.tokenizer.encodePieces(spaced);
}

/** How positions are made for this model. */
export function positionConfig(bundle: ModelBundle, latents?: LatentPositions): PositionConfig {
  return {
    ids: {
      visionStart: bundle.checkpoint.config.tokens.visionStart,
      imagePad: bundle.sequence.imagePad,
      latentPad: bundle.sequence.latentPad,
    },
    mergeSize: bundle.patches.mergeSize,
    ...(latents ? { latents } : {}),
  };
}
