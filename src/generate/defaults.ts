// Owns how a model is decoded unless told otherwise: its generation_config.json under what is given.
import { ConfigError } from '../errors.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { Sampling } from './sampling.ts';

/** What a caller may set; what is absent is up to the model. */
export interface DecodingChoices {
  /** 0: greedy. */
  readonly temperature?: number | undefined;
  /** 0: all tokens. */
  readonly topK?: number | undefined;
  /** 1: all tokens. */
  readonly topP?: number | undefined;
  /** 1: none. */
  readonly repetitionPenalty?: number | undefined;
  /** Replaces the model's own, an empty list too. */
  readonly stop?: readonly string[] | undefined;
  /** Tokens of the response, latents included. */
  readonly maxNewTokens?: number | undefined;
}

/** Everything decided. */
export interface DecodingPlan extends Required<Sampling> {
  readonly stop: readonly string[];
  readonly maxNewTokens: number;
}

/** ours: twice what the generated examples need. */
const TEXT_TOKENS = 64;
/** ours: published checkpoints, which have a generation_config.json, answer in paragraphs. */
const PUBLISHED_TEXT_TOKENS = 512;

/**
 * What is given, else what the model's generation_config.json says, else greedy over the whole
 * vocabulary. A span of K latents has its own room besides.
 * @throws ConfigError for a stop string that is empty.
 */
export function decodingPlan(
  { generation }: Pick<ModelBundle, 'generation'>,
  given: DecodingChoices,
  numLatents: number,
): DecodingPlan {
  if (given.stop?.includes('') === true) {
    throw new ConfigError({
      what: 'a stop string is empty',
      expected: 'at least one character: every text holds the empty one',
      fix: 'leave it out',
    });
  }
  const textTokens = generation ? PUBLISHED_TEXT_TOKENS : TEXT_TOKENS;
  const room = textTokens + (numLatents > 0 ? numLatents + 2 : 0);
  return {
    temperature: given.temperature ?? generation?.temperature ?? 0,
    topK: given.topK ?? generation?.topK ?? 0,
    topP: given.topP ?? generation?.topP ?? 1,
    repetitionPenalty: given.repetitionPenalty ?? generation?.repetitionPenalty ?? 1,
    stop: given.stop ?? generation?.stop ?? [],
    maxNewTokens: given.maxNewTokens ?? generation?.maxNewTokens ?? room,
  };
}
