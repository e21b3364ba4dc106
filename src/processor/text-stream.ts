// Owns token-by-token decoding into whole words; called by generate/, the CLI and the server.
import type { TextTokenizer } from './tokenizer.ts';

/** Turns ids into text as they come. */
export interface TextStream {
  /** Takes one id; returns the words that are complete now, often ''. */
  push(id: number): string;
  /** The rest of the text; the stream is empty again afterwards. */
  end(): string;
}

const REPLACEMENT_CHARACTER = '\uFFFD';

// Scripts written without spaces: a reader expects them character by character.
const SPACELESS = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;

/**
 * A stream that never splits a UTF-8 character or a word: a word is given out when the white space
 * behind it (or the end) is known, scripts without spaces at once. What it gives out, joined, is
 * `tokenizer.decode` of all ids.
 */
export function createTextStream(
  tokenizer: TextTokenizer,
  options: { readonly skipSpecial?: boolean } = {},
): TextStream {
  // `ids` holds what was taken over last (up to `read`) and what is still open: some tokenizers put
  // a space between two tokens, so an id is decoded behind its predecessor.
  let ids: number[] = [];
  let read = 0;
  let pending = '';

  const advance = (complete: boolean): void => {
    const before = tokenizer.decode(ids.slice(0, read), options);
    const now = tokenizer.decode(ids, options);
    if (now.length <= before.length) return;
    if (!complete && now.endsWith(REPLACEMENT_CHARACTER)) return;
    pending += now.slice(before.length);
    ids = ids.slice(read);
    read = ids.length;
  };

  return {
    push: (id) => {
      ids.push(id);
      advance(false);
      const length = wholeWords(pending);
      const ready = pending.slice(0, length);
      pending = pending.slice(length);
      return ready;
    },
    end: () => {
      advance(true);
      const rest = pending;
      ids = [];
      read = 0;
      pending = '';
      return rest;
    },
  };
}

function wholeWords(text: string): number {
  let length = 0;
  let at = 0;
  for (const character of text) {
    at += character.length;
    if (/\s/u.test(character) || SPACELESS.test(character)) length = at;
  }
  return length;
}
