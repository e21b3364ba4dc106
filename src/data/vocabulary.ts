// Owns the closed word list of the generated tasks; the tiny tokenizer is built from it.

import { CAPTION_QUESTION } from './format.ts';
import { TASK_NAMES, tasks } from './tasks/index.ts';

/**
 * Every word of any question, response or caption of the generated tasks, sorted. Tags and special
 * tokens (format.ts) and the words of the chat template are not in it.
 */
export const VOCABULARY: readonly string[] = [
  ...new Set([...TASK_NAMES.flatMap((name) => tasks[name].words), ...CAPTION_QUESTION.split(' ')]),
].sort();
