// Owns the word-level tokenizer of the tiny model (files in Hugging Face layout); called by the pretraining recipe.
import { LATENT_TOKENS, TAGS } from '../data/format.ts';
import { ConfigError } from '../errors.ts';
import { CHAT_TOKENS } from './tokens.ts';

/** Special tokens in the order of their ids, which stand behind the words. */
export const TINY_SPECIAL_TOKENS: readonly string[] = [
  ...Object.values(CHAT_TOKENS),
  ...LATENT_TOKENS,
];

/** Plain words that the chat template and the response format need, whatever the tasks. */
export const TINY_FORMAT_WORDS: readonly string[] = [
  'system',
  'user',
  'assistant',
  ...Object.values(TAGS),
];

/** Stands for unknown words in Python; here they are an error. */
export const TINY_UNKNOWN_TOKEN = '<unk>';

/**
 * Chat template of the tiny model: Qwen2.5-VL's turns and picture tokens, without its default
 * system sentence, whose words the tiny vocabulary does not have.
 */
export const TINY_CHAT_TEMPLATE = `{%- for message in messages -%}
{{- '<|im_start|>' + message['role'] + '\\n' -}}
{%- if message['content'] is string -%}
{{- message['content'] -}}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] == 'image' -%}
{{- '<|vision_start|><|image_pad|><|vision_end|>' -}}
{%- else -%}
{{- part['text'] -}}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|im_start|>assistant\\n' -}}
{%- endif -%}
`;

/** The files of a tokenizer, JSON-printable. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizerJson: Readonly<Record<string, unknown>>;
  /** `tokenizer_config.json`. */
  readonly tokenizerConfig: Readonly<Record<string, unknown>>;
  /** `chat_template.jinja`. */
  readonly chatTemplate: string;
  /** Number of ids: `vocab_size` of the model. */
  readonly numTokens: number;
}

/**
 * A word-level tokenizer that splits on white space. Ids: `<unk>`, format words, the given words
 * in their order (repeats dropped), special tokens.
 * @throws ConfigError for a word that is empty, holds white space, or spells a special token.
 */
export function buildTinyTokenizer(words: readonly string[]): TokenizerFiles {
  const special = new Set(TINY_SPECIAL_TOKENS);
  for (const word of words) {
    if (/^\S+$/u.test(word) && !special.has(word)) continue;
    throw new ConfigError({
      what: 'The word list of the tiny tokenizer has an unusable entry',
      got: JSON.stringify(word),
      expected: 'non-empty words without white space that are no special tokens',
      fix: 'correct the word list of the tasks',
    });
  }
  const vocabulary = [...new Set([TINY_UNKNOWN_TOKEN, ...TINY_FORMAT_WORDS, ...words])];
  const addedTokens = TINY_SPECIAL_TOKENS.map((content, index) => ({
    id: vocabulary.length + index,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  return {
    tokenizerJson: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens,
      normalizer: null,
      pre_tokenizer: { type: 'WhitespaceSplit' },
      post_processor: null,
      decoder: null,
      model: {
        type: 'WordLevel',
        vocab: Object.fromEntries(vocabulary.map((word, id) => [word, id])),
        unk_token: TINY_UNKNOWN_TOKEN,
      },
    },
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      bos_token: null,
      eos_token: CHAT_TOKENS.turnEnd,
      pad_token: CHAT_TOKENS.pad,
      unk_token: TINY_UNKNOWN_TOKEN,
      clean_up_tokenization_spaces: false,
      model_max_length: 32768,
      added_tokens_decoder: Object.fromEntries(
        addedTokens.map(({ id, ...token }) => [String(id), token]),
      ),
      additional_special_tokens: TINY_SPECIAL_TOKENS.filter(
        (token) => token !== CHAT_TOKENS.turnEnd && token !== CHAT_TOKENS.pad,
      ),
    },
    chatTemplate: TINY_CHAT_TEMPLATE,
    numTokens: vocabulary.length + addedTokens.length,
  };
}
