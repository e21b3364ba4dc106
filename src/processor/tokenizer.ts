// Owns text <-> token ids around `@huggingface/tokenizers`; called by chat.ts, data loaders, generate/ and serve/.
import * as library from '@huggingface/tokenizers';
import { CheckpointError, DataError } from '../errors.ts';

/** Cuts text into words, or spells words in another way. */
type LibraryStep = (text: string, options: { readonly section_index: number }) => string[];

/** The part of the library that is used; its own declarations do not resolve under NodeNext. */
interface LibraryTokenizer {
  readonly normalizer: ((text: string) => string) | null;
  readonly pre_tokenizer: (LibraryStep & { readonly tokenizers?: readonly LibraryStep[] }) | null;
  readonly model: (pieces: string[]) => string[];
  decode(
    ids: number[],
    options: {
      readonly skip_special_tokens: boolean;
      readonly clean_up_tokenization_spaces: false;
    },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

/** Text with a statement of where it comes from. */
export interface TextPiece {
  readonly text: string;
  /**
   * True for text of templates and response formats, in which special tokens are recognised; false
   * for text of users and datasets, in which their spelling stays plain text.
   */
  readonly trusted: boolean;
}

/** How words outside of the vocabulary are taken. */
export interface EncodeOptions {
  /**
   * Called with every word that the vocabulary cannot express, in place of an error; the
   * vocabulary's unknown token is read, as the reference does without a word. Without such a token
   * it is an error all the same.
   */
  readonly onUnknown?: (word: string) => void;
}

/** Text to ids and back; immutable. */
export interface TextTokenizer {
  /** One more than the largest id; the embedding table may be larger. */
  readonly numTokens: number;
  /**
   * Ids of trusted text; special tokens are recognised, none is added.
   * @throws DataError for a word that the vocabulary cannot express.
   */
  encode(text: string): number[];
  /**
   * Ids of pieces joined without a gap. Special tokens are recognised in trusted pieces only; the
   * text between two of them is encoded in one go, so that ordinary text gets the ids the
   * reference gives it, wherever the pieces meet.
   * @throws DataError for a word that the vocabulary cannot express and, where the vocabulary
   * would turn it into one, for untrusted text that spells a special token.
   */
  encodePieces(pieces: readonly TextPiece[], options?: EncodeOptions): number[];
  /** Text of ids; ids without a token (padding of the embedding table) are left out. */
  decode(ids: readonly number[], options?: { readonly skipSpecial?: boolean }): string;
  /** @throws CheckpointError naming the token when the vocabulary lacks it. */
  idOf(token: string): number;
  /** The id of a token; undefined when the vocabulary lacks it. */
  find(token: string): number | undefined;
  /** The token of an id in the vocabulary's own spelling; undefined for an id without a token. */
  tokenOf(id: number): string | undefined;
}

interface AddedToken {
  readonly id: number;
  readonly content: string;
}

interface TokenizerFile {
  readonly addedTokens: readonly AddedToken[];
  readonly unknownToken: string | undefined;
}

/**
 * A tokenizer from the parsed `tokenizer.json` and `tokenizer_config.json` of a checkpoint.
 * @throws CheckpointError when the files are broken or use what is not supported here (added
 * tokens that strip neighbouring space, match whole words only, or are normalised).
 */
export function createTokenizer(tokenizerJson: unknown, tokenizerConfig: unknown): TextTokenizer {
  const file = checkTokenizerFile(tokenizerJson);
  const engine = loadLibrary(tokenizerJson, tokenizerConfig);
  const addedIds = new Map(file.addedTokens.map((token) => [token.content, token.id]));
  const addedById = new Map(file.addedTokens.map((token) => [token.id, token.content]));
  const addedPattern = anyOf([...addedIds.keys()]);

  const unknownId =
    file.unknownToken === undefined ? undefined : engine.token_to_id(file.unknownToken);

  // What has no id is noted in `unknown`, once an occurrence, and stands in the ids as the unknown token.
  const idsOfWords = (words: string[], unknown: string[], isForgiving: boolean): number[] => {
    const ids: number[] = [];
    for (const token of engine.model(words)) {
      const id = token === file.unknownToken ? undefined : engine.token_to_id(token);
      const isSpecial = id !== undefined && addedById.has(id);
      if (isSpecial && !isForgiving) throw spelledSpecialError(token);
      if (id !== undefined && !isSpecial) {
        ids.push(id);
        continue;
      }
      unknown.push(token);
      if (unknownId !== undefined) ids.push(unknownId);
    }
    return ids;
  };
  const wordSteps = stepsByWord(tokenizerJson, engine);
  const known = new Map<string, readonly number[]>();
  const idsOfWord = (
    word: string,
    spell: LibraryStep,
    unknown: string[],
    isForgiving: boolean,
  ): readonly number[] => {
    const found = known.get(word);
    if (found) return found;
    const numUnknown = unknown.length;
    const ids = idsOfWords(spell(word, WHOLE_TEXT), unknown, isForgiving);
    if (unknown.length > numUnknown || word.length > KNOWN_WORD_LENGTH) return ids;
    if (known.size >= KNOWN_WORDS) known.clear();
    known.set(word, ids);
    return ids;
  };

  const encodePlain = (text: string, { onUnknown }: EncodeOptions): number[] => {
    const normalised = engine.normalizer === null ? text : engine.normalizer(text);
    if (normalised === '') return [];
    const isForgiving = onUnknown !== undefined && unknownId !== undefined;
    const unknown: string[] = [];
    const ids: number[] = [];
    if (wordSteps) {
      for (const word of wordSteps.cut(normalised, WHOLE_TEXT))
        for (const id of idsOfWord(word, wordSteps.spell, unknown, isForgiving)) ids.push(id);
    } else {
      const words = engine.pre_tokenizer?.(normalised, WHOLE_TEXT) ?? [normalised];
      for (const id of idsOfWords(words, unknown, isForgiving)) ids.push(id);
    }
    if (unknown.length > 0 && !isForgiving) throw unknownWordsError([...new Set(unknown)]);
    for (const token of unknown) onUnknown?.(token);
    return ids;
  };

  const encodePieces = (pieces: readonly TextPiece[], options: EncodeOptions = {}): number[] => {
    const ids: number[] = [];
    // One by one: spread arguments of a long text would overflow the stack.
    const append = (text: string): void => {
      for (const id of encodePlain(text, options)) ids.push(id);
    };
    let plain = '';
    for (const piece of pieces) {
      if (!piece.trusted || addedPattern === undefined) {
        plain += piece.text;
        continue;
      }
      let end = 0;
      for (const match of piece.text.matchAll(addedPattern)) {
        plain += piece.text.slice(end, match.index);
        append(plain);
        ids.push(addedIds.get(match[0]) ?? 0);
        plain = '';
        end = match.index + match[0].length;
      }
      plain += piece.text.slice(end);
    }
    append(plain);
    return ids;
  };

  return {
    numTokens: countTokens(tokenizerJson, file.addedTokens),
    encode: (text) => encodePieces([{ text, trusted: true }]),
    encodePieces,
    decode: (ids, options) => {
      const known = ids.filter((id) => engine.id_to_token(id) !== undefined);
      if (known.length === 0) return '';
      return engine.decode(known, {
        skip_special_tokens: options?.skipSpecial ?? false,
        clean_up_tokenization_spaces: false,
      });
    },
    idOf: (token) => {
      const id = engine.token_to_id(token);
      if (id !== undefined) return id;
      throw new CheckpointError({
        what: `The tokenizer has no token ${token}`,
        expected: `${token} in tokenizer.json (vocabulary or added_tokens)`,
        fix: 'add the token to the tokenizer and resize the embeddings, or use another checkpoint',
      });
    },
    find: (token) => engine.token_to_id(token),
    tokenOf: (id) => engine.id_to_token(id),
  };
}

/** Told to every step. */
const WHOLE_TEXT = { section_index: 0 } as const;
/** Words whose ids are remembered, and their greatest length: a few megabytes at most. ours. */
const KNOWN_WORDS = 1 << 15;
const KNOWN_WORD_LENGTH = 32;

/** Cutting text into words, and how each of them goes on by itself. */
interface WordSteps {
  readonly cut: LibraryStep;
  readonly spell: LibraryStep;
}

/**
 * The two steps of the vocabularies of Qwen2.5, where the ids of a word do not depend on its
 * neighbours, so that they can be remembered: spelling out bytes takes most of the time. Undefined
 * for every other kind, which goes the library's way.
 */
function stepsByWord(tokenizerJson: unknown, engine: LibraryTokenizer): WordSteps | undefined {
  const json = isRecord(tokenizerJson) ? tokenizerJson : {};
  const { pre_tokenizer: given, model } = json;
  if (!isRecord(given) || given['type'] !== 'Sequence') return undefined;
  if (!isRecord(model) || model['type'] !== 'BPE' || model['fuse_unk'] === true) return undefined;
  const described: unknown = given['pretokenizers'];
  const [first, second, ...others] = Array.isArray(described) ? (described as unknown[]) : [];
  const [cut, spell] = engine.pre_tokenizer?.tokenizers ?? [];
  const isSplit = isRecord(first) && first['type'] === 'Split';
  const isByteLevel =
    isRecord(second) &&
    second['type'] === 'ByteLevel' &&
    second['use_regex'] === false &&
    second['add_prefix_space'] === false;
  return isSplit && isByteLevel && others.length === 0 && cut && spell ? { cut, spell } : undefined;
}

function loadLibrary(tokenizerJson: unknown, tokenizerConfig: unknown): LibraryTokenizer {
  const constructor: unknown = library.Tokenizer;
  const Constructor = constructor as new (json: unknown, config: unknown) => LibraryTokenizer;
  try {
    return new Constructor(tokenizerJson, tokenizerConfig);
  } catch (cause) {
    throw new CheckpointError(
      {
        what: 'tokenizer.json or tokenizer_config.json cannot be used',
        got: cause instanceof Error ? cause.message : String(cause),
        expected: 'files as transformers writes them (save_pretrained)',
        fix: 'download the checkpoint again',
      },
      cause,
    );
  }
}

function checkTokenizerFile(tokenizerJson: unknown): TokenizerFile {
  if (!isRecord(tokenizerJson) || !isRecord(tokenizerJson['model'])) {
    throw brokenFileError('no "model" object');
  }
  const list = tokenizerJson['added_tokens'];
  if (!Array.isArray(list)) throw brokenFileError('no "added_tokens" list');
  const hasNormalizer = isRecord(tokenizerJson['normalizer']);
  const addedTokens = list.map((token: unknown): AddedToken => {
    if (!isRecord(token)) throw brokenFileError('an added token that is no object');
    const { id, content } = token;
    if (typeof id !== 'number' || typeof content !== 'string' || content === '') {
      throw brokenFileError(`an added token without id or content: ${JSON.stringify(token)}`);
    }
    const unsupported = ['single_word', 'lstrip', 'rstrip'].filter((flag) => token[flag] === true);
    if (hasNormalizer && token['normalized'] === true) unsupported.push('normalized');
    if (unsupported.length > 0) {
      throw brokenFileError(`added token ${content} with ${unsupported.join(', ')}`);
    }
    return { id, content };
  });
  const unknown = tokenizerJson['model']['unk_token'];
  return { addedTokens, unknownToken: typeof unknown === 'string' ? unknown : undefined };
}

function countTokens(tokenizerJson: unknown, addedTokens: readonly AddedToken[]): number {
  let largest = -1;
  for (const { id } of addedTokens) largest = Math.max(largest, id);
  const model = isRecord(tokenizerJson) ? tokenizerJson['model'] : undefined;
  const vocabulary = isRecord(model) ? model['vocab'] : undefined;
  if (isRecord(vocabulary)) {
    for (const id of Object.values(vocabulary)) {
      if (typeof id === 'number') largest = Math.max(largest, id);
    }
  }
  return largest + 1;
}

/** Leftmost longest match of any of the strings, as the reference's matcher takes it. */
function anyOf(contents: readonly string[]): RegExp | undefined {
  if (contents.length === 0) return undefined;
  const longestFirst = [...contents].sort((a, b) => b.length - a.length);
  const escaped = longestFirst.map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  return new RegExp(escaped.join('|'), 'g');
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function brokenFileError(got: string): CheckpointError {
  return new CheckpointError({
    what: 'tokenizer.json cannot be used',
    got,
    expected: 'a tokenizer of the Qwen2.5 family as transformers writes it',
    fix: 'download the checkpoint again, or convert its tokenizer with transformers',
  });
}

function spelledSpecialError(token: string): DataError {
  return new DataError({
    what: 'A text of a user or a dataset spells a special token',
    got: token,
    expected: 'plain words',
    fix: 'remove it from the question; pictures are given as picture parts, not as text',
  });
}

function unknownWordsError(words: readonly string[]): DataError {
  const shown = words.slice(0, 8).map((word) => JSON.stringify(word.slice(0, 40)));
  return new DataError({
    what: 'The text has words that this tokenizer does not know',
    got: shown.join(', ') + (words.length > shown.length ? `, and ${words.length - 8} more` : ''),
    expected: 'words of its vocabulary (the tiny model knows the words of its tasks only)',
    fix: 'rephrase as `gapvl data generate` phrases its questions, or use a larger model',
  });
}
