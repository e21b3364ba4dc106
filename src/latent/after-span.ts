// Owns what positions after a latent span may see; train/ masks its graph by it, generate/ its cache.
import type { SequenceIds } from '../processor/sequence.ts';

/**
 * What is hidden from positions after a latent span. `picture-hidden`: the picture, and whatever has
 * seen it and stands before the latents, so that an answer can only come through the latents.
 */
export type AfterSpan = 'picture-hidden';

/** All settings. */
export const AFTER_SPAN: readonly AfterSpan[] = ['picture-hidden'];

/** Tokens that tell the parts of a row. */
export type SpanIds = Pick<SequenceIds, 'imagePad' | 'latentStart' | 'latentPad' | 'latentEnd'>;

/** What is hidden in one row. Places count from the start of the row. */
export interface HiddenPlaces {
  /** First place that is hidden: the picture's first token. */
  readonly from: number;
  /** Place behind the last one that is hidden, which is `<|latent_start|>` of the first span. */
  readonly to: number;
  /** First place that they are hidden from: `<|latent_end|>` of the first span. */
  readonly since: number;
}

/**
 * What is hidden in a row of ids after its first span, and from where on; undefined while there is
 * nothing to hide: no picture before the span, or a span that has not ended.
 *
 * From `<|latent_end|>` on a position sees what stands before the picture, latents, and positions
 * after the span; neither the picture nor what lies between it and the latents (question, template,
 * thoughts, `<|latent_start|>`), since those have seen the picture and would carry it. Latents, also
 * those of later spans, see everything before them. Worked example, s = system, P = picture, q =
 * question, [ . ] = start, latent, end; x is seen by the row's position, - is hidden:
 *
 *     place  0 1 2 3 4 5 6 7 8 9
 *     input  s P P q [ . . ] y $
 *     . (6)  x x x x x x x
 *     ] (7)  x - - - - x x x
 *     $ (9)  x - - - - x x x x x
 *
 * Here from = 1, to = 5, since = 7. With no latents at all ([ ] alone) only s is left to see.
 *
 * A latent's position attends to the picture in every layer, so its keys and values carry more than
 * the vector that was read at it: replacing that vector does not by itself cut the picture off. That
 * is inherent to latents that are positions of a decoder.
 */
export function hiddenAfterSpan(ids: ArrayLike<number>, tokens: SpanIds): HiddenPlaces | undefined {
  const from = placeOf(ids, tokens.imagePad, 0);
  const start = placeOf(ids, tokens.latentStart, 0);
  const since = placeOf(ids, tokens.latentEnd, start);
  return from < start && since < ids.length ? { from, to: start + 1, since } : undefined;
}

/** First place of an id at or behind `from`; the length when there is none. */
function placeOf(ids: ArrayLike<number>, id: number, from: number): number {
  let place = from;
  while (place < ids.length && ids[place] !== id) place += 1;
  return place;
}

/** Whether the position of an id is one that the row's hidden places are hidden from. */
export function isDenied(
  hidden: HiddenPlaces,
  id: number,
  place: number,
  tokens: SpanIds,
): boolean {
  return place >= hidden.since && id !== tokens.latentPad;
}
