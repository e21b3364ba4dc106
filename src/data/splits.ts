// Owns which picture belongs to which split and the seeded stream of generated examples;
// dataset.ts, the recipes and the pretraining loop draw from it.

import { ConfigError } from '../errors.ts';
import { hashString, Rng } from '../rng.ts';
import type { Difficulty, Split } from './example.ts';
import { TASK_NAMES, tasks, type TaskName } from './tasks/index.ts';
import type { TaskSample } from './tasks/task.ts';

// ours: 80 % of all pictures are for training, 10 % for choices, 10 % for the final look.
const NUM_BUCKETS = 10;
const VALIDATION_BUCKET = 8;
const TEST_BUCKET = 9;

// A validation picture is one in ten; missing it this often means that none is left.
const MAX_ATTEMPTS = 4_000;

/**
 * Share of easy examples.
 * Source: ours, the pilot's mix: what the base solves stays text-only, the rest needs latents.
 */
export const DEFAULT_EASY_FRACTION = 0.3;

/** What a stream of examples consists of. */
export interface SampleOptions {
  readonly split: Split;
  /** Number of examples from the start of the stream; Infinity for an endless one. */
  readonly count: number;
  readonly seed: number;
  /** Tasks that take turns; all by default. */
  readonly tasks?: readonly TaskName[];
  /** Share of easy examples within each task, 0..1; DEFAULT_EASY_FRACTION by default. */
  readonly easyFraction?: number;
  /** Index of the first example given out, for a resumed run; 0 by default. */
  readonly from?: number;
}

/** A sample with its place in a stream. */
export interface GeneratedExample extends TaskSample {
  /** Split and index, e.g. `train-000041`. */
  readonly id: string;
  readonly task: TaskName;
  readonly split: Split;
  readonly difficulty: Difficulty;
  /** `tasks[task].sample(new Rng(seed), difficulty)` gives the sample again. */
  readonly seed: number;
}

/**
 * The split that a picture belongs to, from a stable hash of its content. Since the picture alone
 * decides, no two splits share a query picture, whatever is asked about it and whatever the seed.
 */
export function splitOf(pictureKey: string): Split {
  const bucket = new Rng(hashString(pictureKey)).int(NUM_BUCKETS);
  if (bucket === TEST_BUCKET) return 'test';
  return bucket === VALIDATION_BUCKET ? 'validation' : 'train';
}

function checkOptions(options: SampleOptions): void {
  const { count, easyFraction = 0, from = 0, tasks: names = TASK_NAMES } = options;
  const isCount = count === Infinity || (Number.isSafeInteger(count) && count >= 0);
  const isFrom = Number.isSafeInteger(from) && from >= 0;
  const isFraction = easyFraction >= 0 && easyFraction <= 1;
  if (isCount && isFrom && isFraction && names.length > 0) return;
  throw new ConfigError({
    what: 'the settings of the example generator cannot be used',
    got: `count ${count}, from ${from}, easyFraction ${easyFraction}, ${names.length} tasks`,
    expected: 'count and from 0 or more, easyFraction 0..1, at least one task',
  });
}

function exhausted(task: string, split: Split, index: number): ConfigError {
  return new ConfigError({
    what: `no new ${task} picture is left for the ${split} split`,
    got: `${index} examples drawn before`,
    expected: 'a validation or test draw in which no example occurs twice',
    fix: 'ask for fewer examples, or for a smaller share of easy ones',
  });
}

/**
 * Seeded examples of one split. Tasks take turns and each has its share of easy examples evenly
 * spread, so every stretch of the stream is balanced (shuffle it for training by epochs). A
 * training stream may repeat an example after thousands; validation and test never do.
 * @throws ConfigError for unusable options, and when a split has no new picture left.
 */
export function* sampleExamples(options: SampleOptions): Generator<GeneratedExample, void> {
  checkOptions(options);
  const { split, count, seed, from = 0, tasks: names = TASK_NAMES } = options;
  const { easyFraction = DEFAULT_EASY_FRACTION } = options;
  const seen = split === 'train' ? undefined : new Set<string>();
  // Validation and test go through the examples before `from` too, to know what was seen.
  for (let index = seen === undefined ? from : 0; index < count; index++) {
    const task = names[index % names.length] ?? 'rope';
    const turn = Math.floor(index / names.length);
    const isEasy = Math.floor((turn + 1) * easyFraction) > Math.floor(turn * easyFraction);
    const difficulty = isEasy ? 'easy' : 'hard';
    for (let attempt = 0; ; attempt++) {
      if (attempt === MAX_ATTEMPTS) throw exhausted(`${difficulty} ${task}`, split, index);
      const sampleSeed = hashString(`${seed}/${split}/${task}/${index}/${attempt}`);
      const draft = tasks[task].draft(new Rng(sampleSeed), difficulty);
      if (splitOf(draft.pictureKey) !== split || seen?.has(draft.key) === true) continue;
      seen?.add(draft.key);
      if (index < from) break;
      const id = `${split}-${index.toString().padStart(6, '0')}`;
      yield { ...draft.render(), id, task, split, difficulty, seed: sampleSeed };
      break;
    }
  }
}
