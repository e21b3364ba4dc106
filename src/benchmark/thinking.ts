// Owns taking thinking and answer tags off a response; scoring runs calls it where that is asked for.
import { TAGS } from '../data/format.ts';
import { strip } from './python/text.ts';

/** A response taken apart. */
export interface SplitResponse {
  /** What was thought; null for a text that closes no thinking. */
  readonly thinking: string | null;
  readonly answer: string;
}

/**
 * As VLMEvalKit splits: the answer is what follows the last `</think>`. The thinking is what stands between
 * the tags if there is one `</think>` with a `<think>` before it, otherwise everything up to and including the
 * last `</think>`.
 */
export function splitThinking(text: string): SplitResponse {
  const end = text.lastIndexOf(TAGS.thinkClose);
  if (end < 0) return { thinking: null, answer: text };
  const answer = strip(text.slice(end + TAGS.thinkClose.length));
  const before = text.slice(0, end);
  const [, inside] = before.split(TAGS.thinkOpen);
  if (inside === undefined || before.includes(TAGS.thinkClose))
    return { thinking: before + TAGS.thinkClose, answer };
  return { thinking: strip(inside), answer };
}

/**
 * ours: the inside of the one `<answer>` pair that encloses the whole text, blanks aside; other texts stay as
 * they are.
 */
export function unwrapAnswer(text: string): string {
  const bare = strip(text);
  const { answerOpen, answerClose } = TAGS;
  const isEnclosed =
    bare.startsWith(answerOpen) &&
    bare.endsWith(answerClose) &&
    bare.length >= answerOpen.length + answerClose.length;
  return isEnclosed ? strip(bare.slice(answerOpen.length, -answerClose.length)) : text;
}
