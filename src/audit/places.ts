// Owns which place of a decoded sequence is what: question, picture, latents, later text, answer; the parts of the audit call it.
import { TAGS } from '../data/format.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { CleanRow } from './part.ts';
import { placesOfId } from './sequence-feeds.ts';
import type { Sequence } from './sequence-feeds.ts';

/** Places of a sequence by what stands there, each list ascending. */
export interface RowPlaces {
  /** `<|image_pad|>` tokens. */
  readonly picture: readonly number[];
  /** The question's own words: what stands between the last picture and the end of its turn. */
  readonly question: readonly number[];
  /** Every place that is neither picture nor latent. */
  readonly text: readonly number[];
  /** Text of the response. */
  readonly response: readonly number[];
  /** `<|latent_pad|>` tokens of all spans. */
  readonly latents: readonly number[];
  /** `<|latent_start|>` of the first span. */
  readonly latentStart: number | undefined;
  /** Text from the first `<|latent_end|>` on. */
  readonly later: readonly number[];
  /** Tokens of the text between `<answer>` and `</answer>`. */
  readonly answer: readonly number[];
}

/** A clean row as a sequence: its prompt and what it wrote, the end token left out. */
export function cleanSequence({ item, result }: CleanRow): Sequence {
  return {
    ids: [...item.promptIds, ...result.ids],
    grids: [item.grid],
    pictureRows_MD: item.pictureRows_MD,
    latents: result.latents,
  };
}

/**
 * Indices of the tokens of the first answer in a response. Tags may be several tokens, so places
 * are told by how much text there is after each token. Worked example, one token a word:
 * `</think> <answer> 3 </answer>` gives 2. A token that holds part of a tag is none of the answer.
 */
export function answerTokens(bundle: ModelBundle, response: readonly number[]): number[] {
  const { tokenizer } = bundle;
  const whole = tokenizer.decode(response);
  const opened = whole.indexOf(TAGS.answerOpen);
  if (opened < 0) return [];
  const start = opened + TAGS.answerOpen.length;
  const closed = whole.indexOf(TAGS.answerClose, start);
  const end = closed < 0 ? whole.length : closed;
  const found: number[] = [];
  // An answer stands near the end, so most tokens need not be looked at.
  let last = response.length;
  let after = whole.length;
  while (last > 0 && after > start) {
    const before = tokenizer.decode(response.slice(0, last - 1)).length;
    const isInside = before >= start && after <= end;
    if (isInside && whole.slice(before, after).trim() !== '') found.unshift(last - 1);
    last -= 1;
    after = before;
  }
  return found;
}

function questionPlaces(bundle: ModelBundle, promptIds: readonly number[]): number[] {
  const { imagePad, responseEnd } = bundle.sequence;
  const lastPicture = promptIds.lastIndexOf(imagePad);
  if (lastPicture < 0) return [...promptIds.keys()];
  // The token right behind a picture closes it.
  const first = lastPicture + 2;
  const end = promptIds.indexOf(responseEnd, first);
  const stop = end < 0 ? promptIds.length : end;
  return Array.from({ length: Math.max(0, stop - first) }, (_, i) => first + i);
}

/** What stands where in a clean row. */
export function rowPlaces(bundle: ModelBundle, { item, result }: CleanRow): RowPlaces {
  const { imagePad, latentStart, latentPad, latentEnd } = bundle.sequence;
  const numPrompt = item.promptIds.length;
  const ids = [...item.promptIds, ...result.ids];
  const text = ids.flatMap((id, place) => (id === imagePad || id === latentPad ? [] : [place]));
  const response = text.filter((place) => place >= numPrompt);
  const opened = ids.indexOf(latentStart, numPrompt);
  const closed = ids.indexOf(latentEnd, numPrompt);
  return {
    picture: placesOfId(ids, imagePad),
    question: questionPlaces(bundle, item.promptIds),
    text,
    response,
    latents: placesOfId(ids, latentPad),
    latentStart: opened < 0 ? undefined : opened,
    later: closed < 0 ? [] : text.filter((place) => place >= closed),
    answer: answerTokens(bundle, result.ids).map((token) => numPrompt + token),
  };
}
