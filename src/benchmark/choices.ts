// Owns scoring of a multiple-choice row: matcher, then the judge's replies, then a seeded pick. HRBench4K,
// MMStar, WeMath with a judge, and one's own tables call it.
import { Rng } from '../rng.ts';
import { indexOf, predictionText, requireText, scored } from './figures.ts';
import { ChoiceMatcher, FAILED_CALL, NONE, optionsOf } from './matcher.ts';
import type { Option } from './matcher.ts';
import type { Cell, ItemScore, JudgeQuestion, Row, ScoreOptions } from './types.ts';

/** Calls of the judge about one row. Source: VLMEvalKit, `extract_answer_from_item`. */
const MAX_CALLS = 3;

/** How a benchmark words the question to the judge. */
export type ChoicePrompt = (
  question: string,
  options: readonly Option[],
  prediction: string,
) => string;

/**
 * Scores by the reference's rules; the result is a letter or `Z`. In exact mode what nothing is found in is
 * `Z`. With replies, three that failed or told nothing lead to a pick among the option letters and `Z`: the
 * same one for the same seed and row index.
 */
export function scoreChoice(
  row: Row,
  prediction: Cell,
  options: ScoreOptions,
  prompt: ChoicePrompt,
): ItemScore | JudgeQuestion {
  const choices = optionsOf(row);
  const matcher = new ChoiceMatcher(choices, options.era);
  const isRight = (letter: string): boolean => letter === row['answer'];
  const text = predictionText(prediction);
  const match = matcher.match(text);
  if (match !== undefined)
    return scored(match.letter, isRight(match.letter), match.rule, prediction);
  if (options.replies === undefined) return scored(NONE, isRight(NONE), 'none', prediction);

  for (const reply of options.replies.slice(0, MAX_CALLS)) {
    if (reply === null || reply.includes(FAILED_CALL)) continue;
    const said = matcher.match(reply);
    if (said !== undefined) return scored(said.letter, isRight(said.letter), 'judge', prediction);
  }
  const attempt = options.replies.length;
  if (attempt < MAX_CALLS) {
    const question = requireText(row, 'question');
    return { state: 'ask', prompt: prompt(question, choices, text), temperature: 0, attempt };
  }
  const letters = choices.map((choice) => choice.letter);
  // ours: where `Z` is an option the reference fails for want of letters; here it is one of them.
  if (!letters.includes(NONE)) letters.push(NONE);
  const picked = new Rng(`${options.seed ?? 0}/judge failed/${indexOf(row)}`).pick(letters);
  return scored(picked, isRight(picked), 'random', prediction);
}
