// Owns how a tokenizer's files change when special tokens are added; store/latent-tokens.ts calls it.

type JsonObject = Readonly<Record<string, unknown>>;

/** A special token and the id it gets. */
export interface NewToken {
  readonly id: number;
  readonly content: string;
}

/** As transformers writes special tokens: matched as they stand, nothing around them changed. */
const FLAGS = {
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
} as const;

/** `tokenizer.json` with the tokens at the end of `added_tokens`. */
export function extendTokenizer(json: JsonObject, tokens: readonly NewToken[]): JsonObject {
  const old = Array.isArray(json['added_tokens']) ? (json['added_tokens'] as unknown[]) : [];
  return { ...json, added_tokens: [...old, ...tokens.map((token) => ({ ...token, ...FLAGS }))] };
}

/**
 * `tokenizer_config.json` with the tokens among the special ones, in the lists that the file has:
 * `added_tokens_decoder` and `additional_special_tokens` of published checkpoints, or
 * `extra_special_tokens` of newer ones.
 */
export function extendTokenizerConfig(json: JsonObject, tokens: readonly NewToken[]): JsonObject {
  const decoder = json['added_tokens_decoder'];
  const isNewer = Array.isArray(json['extra_special_tokens']);
  const list = isNewer ? 'extra_special_tokens' : 'additional_special_tokens';
  const names = Array.isArray(json[list]) ? (json[list] as unknown[]) : [];
  return {
    ...json,
    ...(typeof decoder === 'object' && decoder !== null
      ? {
          added_tokens_decoder: {
            ...decoder,
            ...Object.fromEntries(
              tokens.map(({ id, content }) => [String(id), { content, ...FLAGS }]),
            ),
          },
        }
      : {}),
    [list]: [...names, ...tokens.map(({ content }) => content)],
  };
}

/** `added_tokens.json`, which older programs wrote besides: ids by token. */
export function extendAddedTokens(json: JsonObject, tokens: readonly NewToken[]): JsonObject {
  return { ...json, ...Object.fromEntries(tokens.map(({ id, content }) => [content, id])) };
}

/** `special_tokens_map.json`, which older programs wrote besides. */
export function extendSpecialTokensMap(json: JsonObject, tokens: readonly NewToken[]): JsonObject {
  const list = json['additional_special_tokens'];
  const names = Array.isArray(list) ? (list as unknown[]) : [];
  const added = tokens.map(({ content }) => content);
  return { ...json, additional_special_tokens: [...names, ...added] };
}
