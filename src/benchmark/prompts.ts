// Owns the prompts of the six benchmarks, byte for byte as VLMEvalKit builds them: the dataset's builder and
// the one of its Qwen2-VL model class. The files of the single benchmarks call it.
import { DataError } from '../errors.ts';
import { isEmptyCell, nameRow, requireText } from './figures.ts';
import { hasChinese } from './judge-prompts.ts';
import { optionsOf } from './matcher.ts';
import { parseLiteral } from './python/literal.ts';
import type { Literal } from './python/literal.ts';
import { str } from './python/numbers.ts';
import { stripEnd } from './python/text.ts';
import type { PromptBuilder, Row } from './types.ts';

const SELECT_ENGLISH = 'Please select the correct answer from the options above.';
const SELECT_CHINESE = '请直接回答选项字母。';
const YES_NO = ' Please answer yes or no.';
const SHORT_ANSWER = '\nPlease try to answer the question with short words or phrases if possible.';
const REALWORLD_INSTRUCTION =
  'Select the best answer to the above multiple-choice question based on the image. ' +
  'Respond with only the letter (A, B, C, D, or E) of the correct option. \nThe best answer is:';

/** Options of an MME-RealWorld question: A to E. */
const NUM_REALWORLD_OPTIONS = 5;

function choiceHead(row: Row): { head: string; hasOptions: boolean } {
  const hint = row['hint'];
  const options = optionsOf(row);
  let head = isEmptyCell(hint) ? '' : `Hint: ${str(hint)}\n`;
  head += `Question: ${requireText(row, 'question')}\n`;
  if (options.length > 0) head += 'Options:\n';
  for (const option of options) head += `${option.letter}. ${option.text}\n`;
  return { head, hasOptions: options.length > 0 };
}

function modelChoicePrompt(row: Row): string {
  const { head, hasOptions } = choiceHead(row);
  if (!hasOptions) return stripEnd(head);
  return head + (hasChinese(head) ? SELECT_CHINESE : SELECT_ENGLISH);
}

/** HRBench4K and MMStar: hint, question, options, instruction. */
export function choiceQuestion(row: Row, builder: PromptBuilder): string {
  if (builder === 'model') return modelChoicePrompt(row);
  const { head, hasOptions } = choiceHead(row);
  return hasOptions ? `${head}${SELECT_ENGLISH} \n` : head;
}

/** WeMath: as `choiceQuestion`, but the dataset's builder gives no instruction. */
export function wemathQuestion(row: Row, builder: PromptBuilder): string {
  return builder === 'model' ? modelChoicePrompt(row) : choiceHead(row).head;
}

/** The variant WeMath_COT: the dataset's prompt, then the row's own requirement of format. */
export function wemathCotQuestion(row: Row): string {
  return `${choiceHead(row).head}\n${requireText(row, 'requirement')}`;
}

/** POPE: the question; the model's builder asks for yes or no. */
export function yesNoQuestion(row: Row, builder: PromptBuilder): string {
  return requireText(row, 'question') + (builder === 'model' ? YES_NO : '');
}

/** MathVista: the question, which brings its own hint; the model's builder asks for few words. */
export function mathvistaQuestion(row: Row, builder: PromptBuilder): string {
  return requireText(row, 'question') + (builder === 'model' ? SHORT_ANSWER : '');
}

/** MME-RealWorld-Lite: one prompt, whoever builds. */
export function realWorldQuestion(row: Row): string {
  const column = 'multi-choice options';
  const cell = requireText(row, column);
  const options: Literal | undefined = parseLiteral(cell);
  const isUsable =
    Array.isArray(options) &&
    options.length >= NUM_REALWORLD_OPTIONS &&
    options.every((option) => typeof option === 'string');
  if (!isUsable) {
    throw new DataError({
      what: `${nameRow(row)} has "${column}" that cannot be read`,
      got: cell.slice(0, 80),
      expected: "a Python list of five texts, e.g. ['(A) red', '(B) blue', ...]",
      fix: 'take the TSV of the release; predictions files hold these options in another form',
    });
  }
  const list = (options as readonly string[]).join('\n');
  return `${requireText(row, 'question')} The choices are listed below:\n${list}\n${REALWORLD_INSTRUCTION}`;
}
