// Owns JSON as Python writes it: `NaN` and `Infinity` allowed, integers exact and apart from `5.0`;
// `predictions.ts` and `jsonl.ts` call it.

/** A value of JSON; integers are bigint. Objects have no prototype, so that any key will do. */
export type JsonValue =
  | string
  | bigint
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** ours: tables nest three deep. */
const MAX_DEPTH = 32;
/** ours: integers of more digits take long to read. */
const MAX_DIGITS = 1000;

const BLANKS = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const WORDS: readonly (readonly [string, JsonValue])[] = [
  ['null', null],
  ['true', true],
  ['false', false],
  ['NaN', NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
];

/** Whether a JSON value is an object (no array, no null). */
export function isJsonObject(value: JsonValue): value is { readonly [key: string]: JsonValue } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): JsonValue {
    const value = this.#value(0);
    this.#skip();
    if (this.#at < this.#text.length) throw this.#unexpected();
    return value;
  }

  #unexpected(): Error {
    const found = this.#text.slice(this.#at, this.#at + 20);
    return new Error(
      found === ''
        ? 'the text ends early'
        : `${JSON.stringify(found)} at character ${this.#at + 1}`,
    );
  }

  #skip(): void {
    BLANKS.lastIndex = this.#at;
    BLANKS.exec(this.#text);
    this.#at = BLANKS.lastIndex;
  }

  /** Takes a character if it comes next. */
  #take(character: string): boolean {
    this.#skip();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw new Error(`more than ${MAX_DEPTH} levels`);
    if (this.#take('{')) return this.#object(depth);
    if (this.#take('[')) return this.#list(depth);
    const character = this.#text[this.#at];
    if (character === '"') return this.#string();
    for (const [word, value] of WORDS) {
      if (!this.#text.startsWith(word, this.#at)) continue;
      this.#at += word.length;
      return value;
    }
    return this.#number();
  }

  #string(): string {
    const start = this.#at;
    // No pattern: on a picture in base64 it would run out of stack.
    let end = this.#text[start] === '"' ? this.#text.indexOf('"', start + 1) : -1;
    while (end >= 0 && this.#isEscaped(end)) end = this.#text.indexOf('"', end + 1);
    if (end < 0) throw this.#unexpected();
    this.#at = end + 1;
    try {
      return JSON.parse(this.#text.slice(start, end + 1)) as string;
    } catch {
      this.#at = start;
      throw this.#unexpected();
    }
  }

  #isEscaped(at: number): boolean {
    let start = at;
    while (this.#text[start - 1] === '\\') start--;
    return (at - start) % 2 === 1;
  }

  #number(): bigint | number {
    NUMBER.lastIndex = this.#at;
    const [found, fraction, power] = NUMBER.exec(this.#text) ?? [];
    if (found === undefined || found.length > MAX_DIGITS) throw this.#unexpected();
    this.#at += found.length;
    return fraction === undefined && power === undefined ? BigInt(found) : Number(found);
  }

  #list(depth: number): readonly JsonValue[] {
    const list: JsonValue[] = [];
    if (this.#take(']')) return list;
    do list.push(this.#value(depth + 1));
    while (this.#take(','));
    if (!this.#take(']')) throw this.#unexpected();
    return list;
  }

  #object(depth: number): JsonValue {
    const object = Object.create(null) as Record<string, JsonValue>;
    if (this.#take('}')) return object;
    do {
      this.#skip();
      const key = this.#string();
      if (!this.#take(':')) throw this.#unexpected();
      object[key] = this.#value(depth + 1);
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#unexpected();
    return object;
  }
}

/**
 * Reads a JSON text; of a key that is there twice the later one counts.
 * @throws Error saying what is wrong where.
 */
export function parsePythonJson(text: string): JsonValue {
  return new Parser(text).whole();
}
