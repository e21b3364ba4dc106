// Owns the dataset record and its validation; dataset.ts reads and writes it, everything trains on it.

import { DataError } from '../errors.ts';
import { RESPONSE_MARKERS } from './format.ts';

/** The three draws; training, choices and the final look each use one. */
export const SPLITS = ['train', 'validation', 'test'] as const;
/** One of the three draws. */
export type Split = (typeof SPLITS)[number];

/** Levels of the tasks' difficulty dial. */
export const DIFFICULTIES = ['easy', 'hard'] as const;
/** A level of the tasks' difficulty dial. */
export type Difficulty = (typeof DIFFICULTIES)[number];

/**
 * One line of examples.jsonl. A dataset of one's own needs `id`, `question`, `answer` and `image`;
 * generated ones have every field.
 */
export interface Example {
  /** Unique in its dataset. */
  readonly id: string;
  readonly question: string;
  readonly answer: string;
  /** Path of the query picture, relative to the dataset folder, with forward slashes. */
  readonly image: string;
  /** Least pixels the query picture is resized to, in place of the model's `min_pixels`. */
  readonly minPixels?: number;
  /** Most pixels the query picture is resized to, in place of the model's `max_pixels`. */
  readonly maxPixels?: number;
  /** What scores are grouped by. */
  readonly task?: string;
  readonly split?: Split;
  readonly difficulty?: Difficulty;
  readonly think?: string;
  /** What the auxiliary picture shows. */
  readonly parser?: string;
  /** Dense caption of the query picture. */
  readonly caption?: string;
  /** Path of the auxiliary picture; without one the example can only be text-only. */
  readonly auxiliary?: string;
  /** Dense caption of the auxiliary picture. */
  readonly auxiliaryCaption?: string;
  /** Seed the generator drew this example with, an unsigned 32-bit integer. */
  readonly seed?: number;
}

/** Where a record stands, for error texts. */
export interface LinePlace {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
}

// ours: far above any real example, and small enough that a hostile file cannot fill the memory.
const MAX_CHARS = {
  id: 200,
  task: 200,
  path: 1_000,
  question: 20_000,
  answer: 4_000,
  think: 40_000,
  parser: 20_000,
  caption: 40_000,
} as const;

const REQUIRED_FIELDS = ['id', 'question', 'answer', 'image'] as const;
const KNOWN_FIELDS: readonly string[] = [
  ...REQUIRED_FIELDS,
  ...['task', 'split', 'difficulty', 'think', 'parser', 'caption'],
  ...['auxiliary', 'auxiliaryCaption', 'seed', 'minPixels', 'maxPixels'],
];

const CONTROL_CHARACTER = /[^\P{Cc}\t\n\r]/u;
const LONE_SURROGATE = /\p{Surrogate}/u;

/** A value of the file as it is shown in an error: JSON, cut to 80 characters. */
function show(value: unknown): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The faults of one record; the field checks below add to it and give undefined back. */
class FieldReader {
  private readonly record: Readonly<Record<string, unknown>>;
  private readonly place: LinePlace;

  constructor(record: Readonly<Record<string, unknown>>, place: LinePlace) {
    this.record = record;
    this.place = place;
  }

  fail(field: string, got: string, expected: string, fix?: string): never {
    throw new DataError({
      what: `${this.place.file}:${this.place.line}: field "${field}" cannot be used`,
      got,
      expected,
      ...(fix === undefined ? {} : { fix }),
    });
  }

  text(field: string, maxChars: number): string | undefined {
    const value = this.record[field];
    if (value === undefined) return undefined;
    if (typeof value !== 'string') this.fail(field, show(value), 'a text');
    if (value.length > maxChars) {
      this.fail(field, `${value.length} characters`, `at most ${maxChars} characters`);
    }
    if (value.trim() === '') this.fail(field, show(value), 'a text that is not blank');
    if (CONTROL_CHARACTER.test(value) || LONE_SURROGATE.test(value)) {
      this.fail(field, show(value), 'text without control characters and broken surrogate pairs');
    }
    return value;
  }

  /** Text that becomes part of a response, so that it must not spell one of its markers. */
  responseText(field: string, maxChars: number): string | undefined {
    const value = this.text(field, maxChars);
    const found = RESPONSE_MARKERS.find((token) => value?.includes(token));
    if (found !== undefined) {
      this.fail(
        field,
        `a text with ${found} in it`,
        'plain text: tags and special tokens are added when a response is written',
        `take ${found} out of the text`,
      );
    }
    return value;
  }

  choice<T extends string>(field: string, choices: readonly T[]): T | undefined {
    const value = this.record[field];
    if (value === undefined) return undefined;
    const found = choices.find((choice) => choice === value);
    return found ?? this.fail(field, show(value), `one of ${choices.join(', ')}`);
  }

  path(field: string): string | undefined {
    const value = this.text(field, MAX_CHARS.path);
    if (value === undefined) return undefined;
    const isOutside =
      value.startsWith('/') || value.split('/').some((part) => part === '..' || part === '');
    if (isOutside || value.includes('\\') || /^[A-Za-z][\w+.-]*:/u.test(value)) {
      this.fail(
        field,
        show(value),
        'a path inside of the dataset folder, relative to it, with forward slashes',
        'put the picture into the dataset folder, e.g. "images/0001.png"',
      );
    }
    return value;
  }

  seed(): number | undefined {
    const value = this.record['seed'];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || value !== value >>> 0) {
      this.fail('seed', show(value), 'a whole number from 0 to 4294967295');
    }
    return value;
  }

  pixels(field: string): number | undefined {
    const value = this.record[field];
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1) {
      this.fail(field, show(value), 'a whole number of pixels of at least 1');
    }
    return value;
  }

  required(field: string, value: string | undefined): string {
    if (value !== undefined) return value;
    return this.fail(field, 'nothing', `a text; every line needs ${REQUIRED_FIELDS.join(', ')}`);
  }
}

/** Only the fields that are there. */
function withoutUndefined<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> };
}

/**
 * Checks one record of unknown origin. Whether its pictures exist and lie inside of the folder is
 * checked by `resolvePicture`, since that takes a look at the disk.
 * @throws DataError naming file, line and field.
 */
export function parseExample(value: unknown, place: LinePlace): Example {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DataError({
      what: `${place.file}:${place.line}: a line must be one JSON object`,
      got: show(value),
      expected: `an object with ${REQUIRED_FIELDS.join(', ')}`,
    });
  }
  const reader = new FieldReader({ ...value }, place);
  for (const field of Object.keys(value)) {
    if (KNOWN_FIELDS.includes(field)) continue;
    reader.fail(field.slice(0, 80), 'a field of this name', `one of ${KNOWN_FIELDS.join(', ')}`);
  }
  return {
    id: reader.required('id', reader.text('id', MAX_CHARS.id)),
    question: reader.required('question', reader.text('question', MAX_CHARS.question)),
    answer: reader.required('answer', reader.responseText('answer', MAX_CHARS.answer)),
    image: reader.required('image', reader.path('image')),
    ...withoutUndefined({
      task: reader.text('task', MAX_CHARS.task),
      split: reader.choice('split', SPLITS),
      difficulty: reader.choice('difficulty', DIFFICULTIES),
      think: reader.responseText('think', MAX_CHARS.think),
      parser: reader.responseText('parser', MAX_CHARS.parser),
      caption: reader.responseText('caption', MAX_CHARS.caption),
      auxiliary: reader.path('auxiliary'),
      auxiliaryCaption: reader.responseText('auxiliaryCaption', MAX_CHARS.caption),
      seed: reader.seed(),
      minPixels: reader.pixels('minPixels'),
      maxPixels: reader.pixels('maxPixels'),
    }),
  };
}
