// Owns token-by-token decoding into whole words, up to a stop string; called by generate/, the CLI and the server.
import type { TextTokenizer } from './tokenizer.ts';

/** Where a stream ended by itself. */
export interface StreamStop {
  /** The stop string that was found. */
  readonly text: string;
  /** Characters at the end of the decoded text that are not given out: the stop string and on. */
  readonly numDropped: number;
}

/** Turns ids into text as they come. */
export interface TextStream {
  /** Takes one id; returns the words that are complete now, often ''. Nothing after a stop. */
  push(id: number): string;
  /** The rest of the text; the stream is empty again afterwards, but a stop stays. */
  end(): string;
  /** Set once the text holds a stop string. */
  readonly stop: StreamStop | undefined;
}

/** How a stream is made. */
export interface TextStreamOptions {
  readonly skipSpecial?: boolean;
  /** Texts, none empty, that end the stream; nothing of one is given out, also not its beginning. */
  readonly stop?: readonly string[];
}

const REPLACEMENT_CHARACTER = '\uFFFD';

/** An unfinished UTF-8 character has three bytes at most, and a token has at least one. */
const MOST_OPEN_TOKENS = 3;

// Scripts written without spaces: a reader expects them character by character.
const WORD_END = /[\s\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;

/**
 * A stream that never splits a UTF-8 character or a word: a word is given out when the white space
 * behind it (or the end) is known, scripts without spaces at once. What it gives out, joined, is
 * `tokenizer.decode` of all ids, cut before the first stop string. The time for a token does not
 * grow with the text.
 */
export function createTextStream(
  tokenizer: TextTokenizer,
  options: TextStreamOptions = {},
): TextStream {
  const characters = createCharacters(tokenizer, options.skipSpecial ?? false);
  const guard = createStopGuard(options.stop ?? []);
  const words = createWords();
  let stop: StreamStop | undefined;

  /** Whole words of what is safe to show; everything before a stop, once there is one. */
  const take = (text: string, complete: boolean): string => {
    const { safe, found } = guard.take(text, complete);
    if (found) stop = { ...found, numDropped: found.numDropped + characters.numOpen() };
    return words.take(safe, complete || stop !== undefined);
  };

  return {
    push: (id) => (stop ? '' : take(characters.push(id), false)),
    end: () => (stop ? '' : take(characters.end(), true)),
    get stop() {
      return stop;
    },
  };
}

/** Ids to whole characters. */
function createCharacters(tokenizer: TextTokenizer, skipSpecial: boolean) {
  // The last ids, the first of them only as context: some tokenizers put a space between two
  // tokens. `numGiven` characters of their text were given out before.
  let ids: number[] = [];
  let numGiven = 0;
  const decode = (some: readonly number[]): string => tokenizer.decode(some, { skipSpecial });
  /** Length of what cannot change any more: bytes of an unfinished character are one U+FFFD. */
  const numWhole = (text: string): number =>
    text.endsWith(REPLACEMENT_CHARACTER) ? text.length - 1 : text.length;
  const isSkipped = (id: number): boolean =>
    tokenizer.tokenOf(id) === undefined ||
    (skipSpecial && decode([id]) === '' && tokenizer.decode([id]) !== '');

  return {
    push: (id: number): string => {
      if (isSkipped(id)) return '';
      ids.push(id);
      const text = decode(ids);
      const fresh = text.slice(numGiven, numWhole(text));
      numGiven = Math.max(numGiven, numWhole(text));
      // The last token alone may be the end of a character, which is U+FFFD then, but was given.
      const isWhole = numWhole(text) === text.length;
      const numKept = isWhole ? 1 : MOST_OPEN_TOKENS + 1;
      if (ids.length > numKept) {
        ids = ids.slice(-numKept);
        const context = decode(ids);
        numGiven = isWhole ? context.length : numWhole(context);
      }
      return fresh;
    },
    /** Characters of the decoded text that are not given out yet. */
    numOpen: (): number => decode(ids).length - numGiven,
    end: (): string => {
      const rest = decode(ids).slice(numGiven);
      ids = [];
      numGiven = 0;
      return rest;
    },
  };
}

/** Text to text that no stop string can reach. */
function createStopGuard(stops: readonly string[]) {
  let held = '';
  return {
    take: (fresh: string, complete: boolean): { safe: string; found?: StreamStop } => {
      const text = held + fresh;
      held = '';
      let first = text.length;
      let found: string | undefined;
      for (const stop of stops) {
        const at = text.indexOf(stop);
        if (at >= 0 && at < first) [first, found] = [at, stop];
      }
      if (found !== undefined) {
        const numDropped = text.length - first;
        return { safe: text.slice(0, first), found: { text: found, numDropped } };
      }
      if (complete) return { safe: text };
      const numHeld = Math.max(0, ...stops.map((stop) => numBegun(text, stop)));
      const end = text.length - numHeld;
      held = text.slice(end);
      return { safe: text.slice(0, end) };
    },
  };
}

/** How many characters at the end of the text begin a stop string that is not complete. */
function numBegun(text: string, stop: string): number {
  for (let length = Math.min(stop.length - 1, text.length); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

/** Text to whole words. */
function createWords() {
  let pending: string[] = [];
  return {
    take: (text: string, complete: boolean): string => {
      const end = complete ? text.length : wholeWords(text);
      if (end === 0 && !complete) {
        if (text !== '') pending.push(text);
        return '';
      }
      const ready = pending.join('') + text.slice(0, end);
      pending = end < text.length ? [text.slice(end)] : [];
      return ready;
    },
  };
}

function wholeWords(text: string): number {
  let length = 0;
  let at = 0;
  for (const character of text) {
    at += character.length;
    if (WORD_END.test(character)) length = at;
  }
  return length;
}
