// Owns splitting the bytes of a tab-separated file into fields as pandas' C parser does; `tsv.ts` feeds it.
// Source: pandas 3.1, `tokenizer.c` (tokenize_bytes, parser_handle_eof), with the defaults of read_csv.

const [TAB, LINE_FEED, CARRIAGE_RETURN, SPACE, QUOTE] = [0x09, 0x0a, 0x0d, 0x20, 0x22];

/** Spaces before a field, a piece at a time. */
const SPACES = Buffer.alloc(4096, SPACE);

/** What a splitter tells about what it finds; bytes are valid during the call only. */
export interface FieldSink {
  /** A piece of the content of the field, quotes taken away. */
  readonly piece: (bytes: Buffer) => void;
  /** The field ends; its raw text, quotes included, is at `start` to `end` of the file. */
  readonly endField: (start: number, end: number) => void;
  /** The line ends. */
  readonly endLine: () => void;
}

type State =
  | 'line' // at the start of a line
  | 'blank' // only spaces so far
  | 'field' // at the start of a field
  | 'plain' // in a field, outside of quotes
  | 'quoted' // inside of quotes
  | 'quote' // after a quote inside of quotes
  | 'return' // after a carriage return that ended a field
  | 'blank return'; // after a carriage return that ended a blank line

/**
 * Splits chunk after chunk. A quote opens a quoted part only as the first byte of a field; what follows
 * its closing quote belongs to the field. Lines of nothing but spaces are left out.
 */
export class FieldSplitter {
  /** Line of the text that is being read, from 1. */
  line = 1;
  /** Line where the record that is being read began, from 1. */
  recordLine = 1;
  readonly #sink: FieldSink;
  #state: State = 'line';
  /** Place of the chunk in the file. */
  #base = 0;
  #fieldStart = 0;
  #numSpaces = 0;
  #chunk: Buffer = Buffer.alloc(0);
  /** Next place in the chunk, from the last place that was looked at. */
  readonly #tabs = new Marks(TAB);
  readonly #lineFeeds = new Marks(LINE_FEED);
  readonly #returns = new Marks(CARRIAGE_RETURN);

  constructor(sink: FieldSink) {
    this.#sink = sink;
  }

  /** Whether the file would end inside of quotes. */
  get isInsideQuotes(): boolean {
    return this.#state === 'quoted';
  }

  /** Takes the next bytes of the file; the first ones are three at least, if there are as many. */
  push(chunk: Buffer): void {
    this.#chunk = chunk;
    for (const marks of [this.#tabs, this.#lineFeeds, this.#returns]) marks.reset(chunk);
    let at = this.#base === 0 && isByteOrderMark(chunk) ? 3 : 0;
    while (at < chunk.length) at = this.#step(at, chunk[at] ?? 0);
    this.#base += chunk.length;
    this.#chunk = Buffer.alloc(0);
  }

  /** Ends the file. */
  end(): void {
    if (['field', 'plain', 'quote'].includes(this.#state)) this.#endField(0);
    if (!['line', 'blank', 'blank return'].includes(this.#state)) this.#endLine();
  }

  /** Looks at the byte at a place and gives the place to go on from. */
  #step(at: number, byte: number): number {
    switch (this.#state) {
      case 'line':
        return this.#startLine(at, byte);
      case 'blank':
        return this.#inBlank(at, byte);
      case 'field':
        if (byte !== QUOTE) return this.#inPlain(at);
        this.#state = 'quoted';
        return at + 1;
      case 'plain':
        return this.#inPlain(at);
      case 'quoted':
        return this.#inQuoted(at);
      case 'quote':
        if (byte !== QUOTE) return this.#inPlain(at);
        this.#sink.piece(this.#chunk.subarray(at, at + 1));
        this.#state = 'quoted';
        return at + 1;
      case 'return':
        this.#endLine();
        if (byte === LINE_FEED) return at + 1;
        if (byte !== TAB) return at;
        this.recordLine = this.line;
        this.#fieldStart = this.#base + at;
        return this.#endPlain(at, byte);
      case 'blank return':
        this.line += 1;
        this.#state = 'line';
        // A tab is taken, too: so does pandas.
        return byte === LINE_FEED || byte === TAB ? at + 1 : at;
    }
  }

  #startLine(at: number, byte: number): number {
    this.recordLine = this.line;
    this.#fieldStart = this.#base + at;
    if (byte === LINE_FEED) this.line += 1;
    else if (byte === CARRIAGE_RETURN) this.#state = 'blank return';
    else if (byte === SPACE) {
      this.#state = 'blank';
      this.#numSpaces = 1;
    } else {
      this.#state = 'field';
      return at;
    }
    return at + 1;
  }

  #inBlank(at: number, byte: number): number {
    if (byte === LINE_FEED) {
      this.line += 1;
      this.#state = 'line';
    } else if (byte === CARRIAGE_RETURN) this.#state = 'blank return';
    else if (byte === SPACE) this.#numSpaces += 1;
    else {
      for (; this.#numSpaces > 0; this.#numSpaces -= SPACES.length) {
        this.#sink.piece(SPACES.subarray(0, this.#numSpaces));
      }
      this.#state = 'plain';
      return at;
    }
    return at + 1;
  }

  #inPlain(at: number): number {
    this.#state = 'plain';
    const tab = this.#tabs.from(at);
    const end = Math.min(tab, this.#lineFeeds.from(at), this.#returns.from(at));
    if (end > at) this.#sink.piece(this.#chunk.subarray(at, end));
    return end === this.#chunk.length ? end : this.#endPlain(end, this.#chunk[end] ?? 0);
  }

  #endPlain(at: number, byte: number): number {
    this.#endField(at);
    if (byte === LINE_FEED) this.#endLine();
    else if (byte === CARRIAGE_RETURN) this.#state = 'return';
    else {
      this.#state = 'field';
      this.#fieldStart = this.#base + at + 1;
    }
    return at + 1;
  }

  #inQuoted(at: number): number {
    const found = this.#chunk.indexOf(QUOTE, at);
    const end = found < 0 ? this.#chunk.length : found;
    if (end > at) this.#sink.piece(this.#chunk.subarray(at, end));
    for (let next = this.#lineFeeds.from(at); next < end; next = this.#lineFeeds.from(next + 1)) {
      this.line += 1;
    }
    if (found < 0) return end;
    this.#state = 'quote';
    return end + 1;
  }

  #endField(at: number): void {
    this.#sink.endField(this.#fieldStart, this.#base + at);
  }

  #endLine(): void {
    this.#sink.endLine();
    this.line += 1;
    this.#state = 'line';
  }
}

/** Finds a byte again and again in a chunk, each stretch of which is searched once. */
class Marks {
  readonly #byte: number;
  #chunk: Buffer = Buffer.alloc(0);
  #next = -1;

  constructor(byte: number) {
    this.#byte = byte;
  }

  reset(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#next = -1;
  }

  /** The next place at or after one that is not before the last one asked for; the length if there is none. */
  from(at: number): number {
    if (this.#next < at) {
      const found = this.#chunk.indexOf(this.#byte, at);
      this.#next = found < 0 ? this.#chunk.length : found;
    }
    return this.#next;
  }
}

function isByteOrderMark(chunk: Buffer): boolean {
  return chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf;
}

/** The content of a field from its raw text. */
export function unquoteField(raw: Buffer): Buffer {
  if (raw[0] !== QUOTE) return raw;
  const pieces: Buffer[] = [];
  const splitter = new FieldSplitter({
    piece: (bytes) => pieces.push(bytes),
    endField: () => undefined,
    endLine: () => undefined,
  });
  splitter.push(raw);
  return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
}
