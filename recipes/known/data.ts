// Owns the data of the known models: generated examples, and for the redundant one questions that say their answer; make.ts writes it.
import { join } from 'node:path';
import { EXAMPLES_FILE, loadDataset } from '../../src/data/dataset.ts';
import { writeDataset } from '../../src/data/dataset-writer.ts';
import type { Example, Split } from '../../src/data/example.ts';
import { isTaskName, tasks } from '../../src/data/tasks/index.ts';
import type { TaskName } from '../../src/data/tasks/index.ts';
import { writeFileAtomic } from '../../src/engine/atomic-file.ts';
import { Rng } from '../../src/rng.ts';

/**
 * Tasks of both models. ours: their auxiliary pictures decide the answer, hard ones are beyond the
 * base, and both are learned in a minute.
 */
export const KNOWN_TASKS: readonly TaskName[] = ['rope', 'bricks'];

/** Examples by split. */
export type KnownCounts = Readonly<Record<Split, number>>;

/**
 * Times a question says its answer. ours: of one mention copying is not learned within 200 steps, of
 * three it is.
 */
const MENTIONS = 3;

/**
 * Share of the redundant model's training examples without an auxiliary picture, hence without a
 * span. ours: few enough that it writes the span in every response, and enough that it knows how a
 * response goes on without.
 */
const SHARE_WITHOUT_SPAN = 0.2;
/**
 * Times that these may ask their question again after the answer was said, at most. ours: with all at
 * one distance the model finds what it copies by how far away that was, and is lost when a
 * replacement makes the span shorter; as many words as a span has latents cover that.
 */
const MOST_REPEATED = 3;

/** Share of parser texts that are cut short in training, for the same reason. ours. */
const SHARE_SHORTENED = 0.5;

/** A question that says its answer, in words of the tiny vocabulary, and may be asked again. */
export function tellAnswer(question: string, answer: string, numRepeated = 0): string {
  return [
    question,
    ...Array<string>(MENTIONS).fill(`it is ${answer}`),
    ...Array<string>(numRepeated).fill(question),
  ].join(' ');
}

/** A text, or with the share of those its first words; undefined for none of them. */
function shorten(text: string | undefined, rng: Rng): string | undefined {
  const words = text?.split(' ') ?? [];
  const count = rng.uniform() < SHARE_SHORTENED ? rng.int(words.length + 1) : words.length;
  return count === 0 ? undefined : words.slice(0, count).join(' ');
}

/**
 * The example as the redundant model sees it. In training the answer is drawn at random and the
 * question says it, so that picture and latents tell nothing of it; elsewhere it is the picture's
 * own, so that latents may well hold it.
 */
export function redundantExample(example: Example, rng: Rng): Example {
  const { task = '', split } = example;
  if (split !== 'train' || !isTaskName(task)) {
    return { ...example, question: tellAnswer(example.question, example.answer) };
  }
  const answer = rng.pick(tasks[task].answers);
  const { auxiliary, auxiliaryCaption, parser, ...rest } = example;
  const hasSpan = rng.uniform() >= SHARE_WITHOUT_SPAN;
  const kept = {
    ...(hasSpan ? { auxiliary, auxiliaryCaption } : {}),
    parser: shorten(parser, rng),
  };
  const present = Object.entries(kept).filter(([, text]) => text !== undefined);
  // Between a picture and its span nothing varies: latents, too, are found by distance.
  const numRepeated = hasSpan ? 0 : rng.int(MOST_REPEATED + 1);
  return {
    ...rest,
    ...(Object.fromEntries(present) as Partial<Example>),
    question: tellAnswer(example.question, answer, numRepeated),
    answer,
  };
}

/** Writes a dataset folder; a finished one is left as it is. */
export async function writeKnownData(
  kind: 'necessary' | 'redundant',
  folder: string,
  seed: number,
  counts: KnownCounts,
): Promise<void> {
  await writeDataset(folder, { counts, seed, tasks: KNOWN_TASKS, easyFraction: 0 });
  if (kind === 'necessary') return;
  const examples = await loadDataset(folder);
  // The list is replaced as a whole, so either all questions say their answers or none does.
  if (examples.every(({ question, answer }) => question.includes(`it is ${answer}`))) return;
  const root = new Rng(seed).fork('told answers');
  const lines = examples.map((example) => {
    return `${JSON.stringify(redundantExample(example, root.fork(example.id)))}\n`;
  });
  await writeFileAtomic(join(folder, EXAMPLES_FILE), lines);
}
