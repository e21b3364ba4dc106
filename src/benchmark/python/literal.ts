// Owns Python literals in cells (lists of options, skills, pictures); a parser, nothing is ever executed.

/** A literal: lists and tuples are arrays, integers bigint, floats number, `None` null. */
export type Literal = string | bigint | number | boolean | null | readonly Literal[];

/** Levels of brackets at most; CPython's own parser gives up at 200. */
const MAX_DEPTH = 200;

/** Blanks, line continuations and comments; line breaks only within brackets and around the whole. */
const INNER_BLANKS = /(?:[ \t\f\r\n]|\\\r?\n|#[^\r\n]*)*/y;
const OUTER_BLANKS = /(?:[ \t\f]|\\\r?\n)*/y;
const NAME = /[A-Za-z_][A-Za-z_0-9]*/y;
const STRING_START = /([rRuU]?)('''|"""|'|")/y;
const FLOAT =
  /(?:\d+(?:_\d+)*\.(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+(?:_\d+)*)?|\d+(?:_\d+)*[eE][+-]?\d+(?:_\d+)*/y;
const RADIX = /0(?:[xX](?:_?[0-9a-fA-F])+|[oO](?:_?[0-7])+|[bB](?:_?[01])+)/y;
const INTEGER = /[1-9]\d*(?:_\d+)*|0(?:_?0)*/y;
const NAMED: ReadonlyMap<string, Literal> = new Map<string, Literal>([
  ['True', true],
  ['False', false],
  ['None', null],
]);
const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  '\n': '',
  '\\': '\\',
  "'": "'",
  '"': '"',
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};
const CODE_ESCAPE = /x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})/y;

/** What the parser throws to itself; callers see undefined. */
class NotLiteral extends Error {}

class LiteralReader {
  private at = 0;
  private readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  read(): Literal {
    this.match(INNER_BLANKS);
    const value = this.value(0);
    this.skip(0);
    const list = this.peek() === ',' ? this.items('', [value], 0) : undefined;
    this.match(INNER_BLANKS);
    if (this.at < this.text.length) throw new NotLiteral();
    return list ?? value;
  }

  private peek(): string {
    return this.text.charAt(this.at);
  }

  private match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.at;
    const match = pattern.exec(this.text);
    if (match !== null) this.at += match[0].length;
    return match;
  }

  /** @param depth - levels of brackets around; 0 outside of all. */
  private skip(depth: number): void {
    this.match(depth === 0 ? OUTER_BLANKS : INNER_BLANKS);
  }

  private value(depth: number): Literal {
    if (depth > MAX_DEPTH) throw new NotLiteral();
    this.skip(depth);
    const next = this.peek();
    if (next === '[') return this.list(depth);
    if (next === '(') return this.parentheses(depth);
    if (next === '-' || next === '+') return this.signed(depth);
    const string = this.strings(depth);
    if (string !== undefined) return string;
    if ((next >= '0' && next <= '9') || next === '.') return this.number();
    const named = NAMED.get(this.match(NAME)?.[0] ?? '');
    if (named === undefined) throw new NotLiteral();
    return named;
  }

  private list(depth: number): readonly Literal[] {
    this.at++;
    this.skip(depth + 1);
    if (this.closes(']')) return [];
    return this.items(']', [this.value(depth + 1)], depth + 1);
  }

  /** What follows the first element up to `close`; '' is the end of a tuple without brackets. */
  private items(close: string, items: Literal[], depth: number): readonly Literal[] {
    for (;;) {
      this.skip(depth);
      if (this.closes(close)) return items;
      if (this.peek() !== ',') throw new NotLiteral();
      this.at++;
      this.skip(depth);
      if (this.closes(close)) return items;
      items.push(this.value(depth));
    }
  }

  private closes(close: string): boolean {
    const next = this.peek();
    if (close === '') return next === '' || '\r\n#'.includes(next);
    if (next !== close) return false;
    this.at++;
    return true;
  }

  private parentheses(depth: number): Literal {
    this.at++;
    this.skip(depth + 1);
    if (this.closes(')')) return [];
    const first = this.value(depth + 1);
    this.skip(depth + 1);
    return this.closes(')') ? first : this.items(')', [first], depth + 1);
  }

  private signed(depth: number): Literal {
    let negative = false;
    for (;;) {
      const sign = this.peek();
      if (sign !== '-' && sign !== '+') break;
      if (sign === '-') negative = !negative;
      this.at++;
      this.skip(depth);
    }
    const value = this.number();
    return negative ? -value : value;
  }

  private number(): bigint | number {
    const float = this.match(FLOAT);
    const radix = float ?? this.match(RADIX);
    const digits = radix ?? this.match(INTEGER);
    if (digits === null) throw new NotLiteral();
    // `1j`, `0x1g`, `07` and `1abc` are no literals.
    if (/[\w.]/.test(this.peek())) throw new NotLiteral();
    const plain = digits[0].replaceAll('_', '');
    return float === null ? BigInt(plain) : Number(plain);
  }

  /** One string, or several in a row, which Python joins. */
  private strings(depth: number): string | undefined {
    let joined: string | undefined;
    for (;;) {
      const start = this.match(STRING_START);
      if (start === null) return joined;
      const isRaw = start[1] === 'r' || start[1] === 'R';
      joined = (joined ?? '') + this.string(start[2] ?? '', isRaw);
      this.skip(depth);
    }
  }

  private string(quote: string, isRaw: boolean): string {
    const parts: string[] = [];
    let plain = this.at;
    for (;;) {
      const next = this.peek();
      if (next === '' || (quote.length === 1 && next === '\n')) throw new NotLiteral();
      if (next === '\\') {
        parts.push(this.text.slice(plain, this.at), this.escape(isRaw));
        plain = this.at;
      } else if (this.text.startsWith(quote, this.at)) {
        parts.push(this.text.slice(plain, this.at));
        this.at += quote.length;
        return parts.join('');
      } else this.at++;
    }
  }

  private escape(isRaw: boolean): string {
    this.at++;
    const next = this.peek();
    if (next === '') throw new NotLiteral();
    if (!isRaw) {
      const code = this.match(CODE_ESCAPE);
      if (code !== null) {
        const octal = code[4];
        const point = octal === undefined ? parseInt(code[0].slice(1), 16) : parseInt(octal, 8);
        if (point > 0x10ffff) throw new NotLiteral();
        return String.fromCodePoint(point);
      }
      // A cut `\x`, and names of characters (`\N{DEGREE SIGN}`), which would need the whole Unicode list.
      if ('xuUN'.includes(next)) throw new NotLiteral();
    }
    this.at++;
    return (isRaw ? undefined : SIMPLE_ESCAPES[next]) ?? `\\${next}`;
  }
}

/**
 * Value of a cell that holds a Python literal; undefined where it is none. Lists, tuples, strings (prefixes
 * `r` and `u`, three quotes, several in a row), numbers, `True`, `False` and `None`; expressions, sets,
 * dictionaries and bytes count as none.
 */
export function parseLiteral(text: string): Literal | undefined {
  try {
    return new LiteralReader(text).read();
  } catch (error) {
    if (error instanceof NotLiteral) return undefined;
    throw error;
  }
}
