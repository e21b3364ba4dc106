// Owns how log-probabilities of answers are asked for, as the model wrote them and as expected; the part on dependence calls it.
import { DataError } from '../errors.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { LabelQuestion } from './observe.ts';
import type { RowPlaces } from './places.ts';
import type { Sequence } from './sequence-feeds.ts';

/** Log-probabilities in nats, summed over the tokens of an answer. */
export interface AnswerLogProbs {
  /** Of the answer as the model wrote it. */
  readonly own: number;
  /** Of the expected answer in its place; null where the vocabulary cannot spell it. */
  readonly gold: number | null;
}

/** What is asked of one sequence, and how to read what comes back. */
export interface AnswerQuestions {
  readonly questions: readonly LabelQuestion[];
  readonly read: (logProbs: readonly (readonly number[])[]) => AnswerLogProbs;
}

/** Ids of an expected answer behind its tag; undefined where the vocabulary lacks a word. */
export function answerIds(bundle: ModelBundle, expected: string): number[] | undefined {
  try {
    return bundle.tokenizer.encodePieces([{ text: ` ${expected}`, trusted: false }]);
  } catch (error) {
    if (error instanceof DataError) return undefined;
    throw error;
  }
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

/** Labels of tokens that stand from `first` on: each is predicted one place before. */
function labelsFrom(first: number, ids: readonly number[]): LabelQuestion['labels'] {
  return ids.map((id, i) => ({ place: first + i - 1, id }));
}

/**
 * Questions for a row that wrote an answer. The expected answer is put in the place of the written
 * one, everything before it stays. One sequence serves both where the expected answer is a single
 * token, which depends on nothing behind it.
 * @param gold - ids of the expected answer, see `answerIds`.
 */
export function answerQuestions(
  sequence: Sequence,
  places: RowPlaces,
  gold: readonly number[] | undefined,
): AnswerQuestions {
  const first = places.answer[0] ?? sequence.ids.length;
  const own = sequence.ids.slice(first, first + places.answer.length);
  const behind = (answer: readonly number[]): Sequence => ({
    ...sequence,
    // The last token of an answer is predicted, never read.
    ids: [...sequence.ids.slice(0, first), ...answer.slice(0, -1)],
  });
  const isSame = gold?.join() === own.join();
  const ownQuestion = { sequence: behind(own), labels: labelsFrom(first, own) };
  if (!gold || gold.length === 0 || isSame) {
    return {
      questions: [ownQuestion],
      read: ([found = []]) => {
        const sum = total(found);
        return { own: sum, gold: isSame ? sum : null };
      },
    };
  }
  if (gold.length === 1) {
    const labels = [...ownQuestion.labels, ...labelsFrom(first, gold)];
    return {
      questions: [{ ...ownQuestion, labels }],
      read: ([found = []]) => ({
        own: total(found.slice(0, own.length)),
        gold: found[own.length] ?? null,
      }),
    };
  }
  return {
    questions: [ownQuestion, { sequence: behind(gold), labels: labelsFrom(first, gold) }],
    read: ([found = [], other = []]) => ({ own: total(found), gold: total(other) }),
  };
}
