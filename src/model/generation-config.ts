// Owns how a checkpoint wants to be decoded: generation_config.json as published; store/ reads it.
import { CheckpointError } from '../errors.ts';
import { show } from '../engine/strict-json.ts';
import type { JsonObject } from './config.ts';

/** What generation_config.json asks for. */
export interface GenerationDefaults {
  /** 0 when the file does not ask for sampling. */
  readonly temperature: number;
  /** 0: all tokens. */
  readonly topK: number;
  /** 1: all tokens. */
  readonly topP: number;
  /** 1: none. */
  readonly repetitionPenalty: number;
  /** Ids that end a response; empty when the file names none. */
  readonly endIds: readonly number[];
  /** Texts that end a response. */
  readonly stop: readonly string[];
  readonly maxNewTokens?: number;
}

/**
 * What holds where the file is silent.
 * Source: transformers configuration_utils.py, `GenerationConfig._get_default_generation_params`.
 */
const SILENT = { temperature: 1, topK: 50, topP: 1, repetitionPenalty: 1 } as const;

/**
 * Settings that change which tokens come and are not implemented, with the values that change
 * nothing besides null.
 */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  max_length: [20],
  min_length: [0],
  min_new_tokens: [0],
  num_beams: [1],
  num_beam_groups: [1],
  diversity_penalty: [0],
  penalty_alpha: [0],
  dola_layers: [],
  guidance_scale: [1],
  min_p: [0],
  top_h: [],
  typical_p: [1],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  no_repeat_ngram_size: [0],
  bad_words_ids: [],
  sequence_bias: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  exponential_decay_length_penalty: [],
  constraints: [],
  force_words_ids: [],
  watermarking_config: [],
};

/**
 * Checks and reads the parsed generation_config.json.
 * @param place - how messages call the file.
 * @throws CheckpointError for a value of the wrong type or range, and for a setting that would
 * change the tokens and is not implemented.
 */
export function parseGenerationConfig(json: JsonObject, place: string): GenerationDefaults {
  const fault = (name: string, expected: string): CheckpointError =>
    new CheckpointError({
      what: `${name} of ${place} cannot be used`,
      got: show(json[name]),
      expected,
      fix: `correct or remove ${name} there, or get the checkpoint again`,
    });
  const value = (name: string): unknown => json[name] ?? undefined;
  const number = (
    name: string,
    fallback: number,
    isRight: (found: number) => boolean,
    expected: string,
  ): number => {
    const found = value(name);
    if (found === undefined) return fallback;
    if (typeof found === 'number' && isRight(found)) return found;
    throw fault(name, expected);
  };
  const isCount = (found: number): boolean => Number.isSafeInteger(found) && found >= 0;
  for (const [name, neutral] of Object.entries(UNSUPPORTED)) {
    const found = value(name);
    if (found === undefined || neutral.includes(found)) continue;
    throw fault(name, 'a setting that gapvl implements');
  }
  const doSample = value('do_sample') ?? false;
  if (typeof doSample !== 'boolean') throw fault('do_sample', 'true or false');
  const temperature = number(
    'temperature',
    SILENT.temperature,
    (found) => found >= 0 && found < Infinity,
    'a number of at least 0',
  );
  const ends = value('eos_token_id') ?? [];
  const endIds: unknown[] = Array.isArray(ends) ? ends : [ends];
  const areIds = (ids: unknown[]): ids is number[] =>
    ids.every((id) => typeof id === 'number' && isCount(id));
  if (!areIds(endIds)) throw fault('eos_token_id', 'a token id, or a list of them');
  const texts = value('stop_strings') ?? [];
  const stop: unknown[] = Array.isArray(texts) ? texts : [texts];
  const areTexts = (list: unknown[]): list is string[] =>
    list.every((text) => typeof text === 'string' && text !== '');
  if (!areTexts(stop)) throw fault('stop_strings', 'a text, or a list of them, none empty');
  const most = number('max_new_tokens', 0, (found) => isCount(found) && found > 0, 'at least 1');
  return {
    temperature: doSample ? temperature : 0,
    topK: number('top_k', SILENT.topK, isCount, 'a whole number of at least 0'),
    topP: number('top_p', SILENT.topP, (found) => found >= 0 && found <= 1, 'a number from 0 to 1'),
    repetitionPenalty: number(
      'repetition_penalty',
      SILENT.repetitionPenalty,
      (found) => found > 0 && found < Infinity,
      'a number above 0',
    ),
    endIds,
    stop,
    ...(most > 0 ? { maxNewTokens: most } : {}),
  };
}
