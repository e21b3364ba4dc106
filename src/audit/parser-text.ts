// Owns responses cut behind their parser text and given with another one; the parser part decodes on from there.
import { TAGS } from '../data/format.ts';
import type { ResponsePrefix } from '../generate/generate.ts';
import { DataError } from '../errors.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { CleanRow } from './part.ts';

/** Where the parser text stands in a response, in tokens. */
export interface ParserPlace {
  /** First token behind `<parser>`. */
  readonly start: number;
  /** First token behind `</parser>`. */
  readonly end: number;
}

/** Fewest tokens whose text holds a tag, undefined when all of them do not; from `from` on. */
function tokensUpTo(
  bundle: ModelBundle,
  ids: readonly number[],
  tag: string,
  from: number,
): number | undefined {
  const holds = (count: number): boolean =>
    bundle.tokenizer.decode(ids.slice(from, count)).includes(tag);
  if (!holds(ids.length)) return undefined;
  let [low, high] = [from, ids.length];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle;
    else low = middle;
  }
  return high;
}

/** Where a response has its parser text; undefined without one that is closed. */
export function parserPlace(bundle: ModelBundle, ids: readonly number[]): ParserPlace | undefined {
  const start = tokensUpTo(bundle, ids, TAGS.parserOpen, 0);
  if (start === undefined) return undefined;
  const end = tokensUpTo(bundle, ids, TAGS.parserClose, start);
  return end === undefined ? undefined : { start, end };
}

/** Whether words can be given as plain text: the vocabulary has them, and they spell no special token. */
export function isPlain(bundle: ModelBundle, words: string): boolean {
  try {
    bundle.tokenizer.encodePieces([{ text: ` ${words}`, trusted: false }]);
    return true;
  } catch (error) {
    if (error instanceof DataError) return false;
    throw error;
  }
}

/**
 * The response of a row up to and with its parser text, latents included. With `words` they stand
 * in the place of the text. A row without a parser text gives its whole response.
 */
export function upToParser(bundle: ModelBundle, row: CleanRow, words?: string): ResponsePrefix {
  const { ids, latents } = row.result;
  const place = parserPlace(bundle, ids);
  if (!place) return { ids, latents };
  const head = ids.slice(0, words === undefined ? place.end : place.start);
  const numLatents = head.filter((id) => id === bundle.sequence.latentPad).length;
  const text =
    words === undefined
      ? []
      : bundle.tokenizer.encodePieces([
          { text: ` ${words}`, trusted: false },
          { text: ` ${TAGS.parserClose}`, trusted: true },
        ]);
  return { ids: [...head, ...text], latents: latents.slice(0, numLatents) };
}
