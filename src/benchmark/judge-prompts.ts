// Owns what the judge is asked, byte for byte as VLMEvalKit asks it: the wording is part of the protocol, since
// a judge's verdicts depend on it. The files of the single benchmarks call it.
import type { JudgeQuestion } from './types.ts';
import type { Option } from './matcher.ts';

/** Any of the common Chinese characters, U+4E00 to U+9FFF. */
export function hasChinese(text: string): boolean {
  return /[\u4e00-\u9fff]/.test(text);
}

function optionBlock(options: readonly Option[]): string {
  return `There are several options: \n${options
    .map((option) => `${option.letter}. ${option.text}\n`)
    .join('')}`;
}

const MATCH_TASK =
  'You are an AI assistant who will help me to match an answer with several options of a single-choice ' +
  'question. You are provided with a question, several options, and an answer, and you need to find which ' +
  'option is most similar to the answer. If the meaning of all options are significantly different from the ' +
  'answer, output Z. ';

const TOY_QUESTION =
  'What is the main object in image?\nOptions: A. teddy bear B. rabbit C. cat D. dog\n';

/** Which option a free answer means; Chinese for a question with a Chinese character. */
export function choicePrompt(
  question: string,
  options: readonly Option[],
  prediction: string,
): string {
  const block = optionBlock(options);
  if (hasChinese(question)) return chineseChoicePrompt(question, block, prediction);
  return (
    MATCH_TASK +
    'Your should output a single uppercase character in A, B, C, D (if they are valid options), and Z. \n' +
    `Example 1: \nQuestion: ${TOY_QUESTION}Answer: a cute teddy bear\nYour output: A\n` +
    `Example 2: \nQuestion: ${TOY_QUESTION}Answer: Spider\nYour output: Z\n` +
    `Example 3: \nQuestion: ${question}?\nOptions: ${block}\nAnswer: ${prediction}\nYour output: `
  );
}

function chineseChoicePrompt(question: string, block: string, prediction: string): string {
  const toy = '问题: 图中最主要的物体是什么?\n选项: A. 泰迪熊 B. 兔子 C. 猫 D. 狗\n';
  return (
    '你是一个帮助我匹配答案与单选题中多个选项的 AI 助手。' +
    '你会被提供：一个问题，多个选项，一个答案。你的任务是找到与答案意义最相近的选项。' +
    '如果所有选项的意义都与答案显著不同，则输出 Z。' +
    '你应该输出一个单个的大写字母，例如 A, B, C, D（如果它们是有效选项），或 Z。' +
    `例 1:${toy}答案: 一只可爱的泰迪熊\n输出: A\n` +
    `例 2: \n${toy}答案: 蜘蛛\n输出: Z\n` +
    `例 3: \n问题: ${question}?\n选项: ${block}\n答案: ${prediction}\n输出: `
  );
}

const WEMATH_TEMPLATE =
  'Regarding the format, please answer following the template below, and be sure to include two <> symbols:\n' +
  '<Thought process>: <<your thought process>> <Answer>: <<your option>>';

/** As `choicePrompt`, the way WeMath asks. */
export function wemathPrompt(
  question: string,
  options: readonly Option[],
  prediction: string,
): string {
  const toy = `<start>\n${TOY_QUESTION}<end>\n`;
  const asked = question.replaceAll(WEMATH_TEMPLATE, '');
  return (
    MATCH_TASK +
    'Your should output a single uppercase character in A, B, C, D, E, F, G ' +
    '(if they are valid options), and Z. \n' +
    `Example 1: \nQuestion: ${toy}Answer: <start>\na cute teddy bear\n<end>\nYour output: A\n` +
    `Example 2: \nQuestion: ${toy}Answer: <start>\nSpider\n<end>\nYour output: Z\n` +
    `Example 3: \nQuestion: <start>\n${asked}\nOptions: ${optionBlock(options)}\n<end>\n` +
    `Answer: <start>\n${prediction}\n<end>\nYour output: `
  );
}

/** Whether a free answer means Yes or No. */
export function yesNoPrompt(question: string, prediction: string): string {
  const toy = "Question: Is the word in this image 'Hello'?\n";
  return (
    'You are an AI assistant who will help me to match an answer with two options of a question. ' +
    'The options are only Yes / No. You are provided with a question and an answer, and you need to find ' +
    'which option (Yes / No) is most similar to the answer. If the meaning of all options are significantly ' +
    'different from the answer, output Unknown. Your should output a single word among the following 3 ' +
    'choices: Yes, No, Unknown.\n' +
    `Example 1: \n${toy}Answer: The word in this image is 'Hello'.\nYour output: Yes\n` +
    `Example 2: \n${toy}Answer: The word in this image is not 'Hello'.\nYour output: No\n` +
    `Example 3: \nQuestion: ${question}?\nAnswer: ${prediction}\nYour output: `
  );
}

/** Solved examples of MathVista: hint, question (with choices), model response, extracted answer. */
const MATHVISTA_EXAMPLES = [
  [
    'Please answer the question requiring an integer answer and provide the final value,\n' +
      'e.g., 1, 2, 3, at the end.',
    'Which number is missing?',
    'The number missing in the sequence is 14.',
    '14',
  ],
  [
    'Please answer the question requiring a floating-point number with one decimal place and provide the ' +
      'final value,\ne.g., 1.2, 1.3, 1.4, at the end.',
    'What is the fraction of females facing the camera?',
    'The fraction of females facing the camera is 0.6,\n' +
      'which means that six out of ten females in the group are facing the camera.',
    '0.6',
  ],
  [
    'Please answer the question requiring a floating-point number with two decimal places and provide the ' +
      'final value,\ne.g., 1.23, 1.34, 1.45, at the end.',
    'How much money does Luca need to buy a sour apple candy and a butter-scotch candy? (Unit: $)',
    'Luca needs $1.45 to buy a sour apple candy and a butterscotch candy.',
    '1.45',
  ],
  [
    'Please answer the question requiring a Python list as an answer and provide the final list,\n' +
      'e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.',
    'Between which two years does the line graph saw its maximum peak?',
    'The line graph saw its maximum peak between 2007 and 2008.',
    '[2007, 2008]',
  ],
  [
    'Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.',
    'What fraction of the shape is blue?\n\nChoices: (A) 3/11 (B) 8/11 (C) 6/11 (D) 3/5',
    'The correct answer is (B) 8/11.',
    'B',
  ],
] as const;

const MATHVISTA_HEAD =
  '\nPlease read the following example.\n' +
  'Then extract the answer from the model response and type it at the end of the prompt.\n\n' +
  MATHVISTA_EXAMPLES.map(
    ([hint, question, response, extracted]) =>
      `\nHint: ${hint}\n\nQuestion: ${question}\n\nModel response: ${response}\n\n` +
      `Extracted answer: ${extracted}\n\n`,
  ).join('');

/** The value in a model's response; spelling and the missing line break are the reference's. */
export function mathvistaPrompt(question: string, prediction: string): string {
  return `${MATHVISTA_HEAD}${question}\nModel respone: ${prediction}Extracted answer:`;
}

/** Calls of the judge about one row where each is half a degree warmer (MathVista, POPE). */
export const WARMING_CALLS = 5;

/** The next of these calls: temperature 0 for the first, 2 for the last. */
export function warmerQuestion(prompt: string, numReplies: number): JudgeQuestion {
  return { state: 'ask', prompt, temperature: 0.5 * numReplies, attempt: numReplies };
}
