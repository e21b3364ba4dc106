// Owns scoring of generated answers against the examples' own; a pure function of text.
import { parseResponse } from '../data/format.ts';

/** Answer and verdict of one response. */
export interface ScoredAnswer {
  /** What the model answered; undefined when it wrote no answer. */
  readonly answer: string | undefined;
  readonly correct: boolean;
}

/** Exact match of the text between the answer tags, case and spacing aside. */
export function scoreAnswer(response: string, expected: string): ScoredAnswer {
  const { answer } = parseResponse(response);
  const normal = (text: string): string => text.trim().toLowerCase().replace(/\s+/gu, ' ');
  return { answer, correct: answer !== undefined && normal(answer) === normal(expected) };
}
