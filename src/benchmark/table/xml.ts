// Owns walking through the XML of an Excel file: tags with attributes, texts, nothing that could grow (no
// document types, no entities but the five); `xlsx.ts` calls it.

/** Attributes of a tag by name without prefix. */
export type Attributes = ReadonlyMap<string, string>;

/** What is told about what is found, in order; names are without prefix. */
export interface XmlSink {
  readonly open: (name: string, attributes: Attributes) => void;
  readonly close: (name: string) => void;
  readonly text: (text: string) => void;
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ['lt', '<'],
  ['gt', '>'],
  ['amp', '&'],
  ['quot', '"'],
  ['apos', "'"],
]);
const LAST_CODE_POINT = 0x10ffff;

function unescapeEntity(whole: string, name: string): string {
  const known = ENTITIES.get(name);
  if (known !== undefined) return known;
  const code = name.startsWith('#x') ? parseInt(name.slice(2), 16) : Number(name.slice(1));
  if (!name.startsWith('#') || !(code > 0 && code <= LAST_CODE_POINT)) {
    throw new Error(`an unknown entity ${whole}`);
  }
  return String.fromCodePoint(code);
}

/** Line ends first: one that is written as an entity is kept. */
function unescapeText(text: string): string {
  const plain = text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text;
  if (!plain.includes('&')) return plain;
  return plain.replace(/&(#x[\da-fA-F]{1,6}|#\d{1,7}|\w{1,8});|&/g, (whole, name?: string) =>
    unescapeEntity(whole, name ?? ''),
  );
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1);
}

const NAME = /[^\s/>=<]+/y;
const ATTRIBUTE = /\s+([^\s/>=<]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)')/y;
const TAG_END = /\s*(\/?)>/y;

function match(pattern: RegExp, text: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text) ?? undefined;
}

/** Reads an opening tag; `at` is behind its `<`. */
function openTag(text: string, at: number, sink: XmlSink): number {
  const name = match(NAME, text, at)?.[0];
  if (name === undefined) throw new Error('a tag without a name');
  let end = at + name.length;
  const attributes = new Map<string, string>();
  for (let one = match(ATTRIBUTE, text, end); one; one = match(ATTRIBUTE, text, end)) {
    attributes.set(localName(one[1] ?? ''), unescapeText(one[2] ?? one[3] ?? ''));
    end += one[0].length;
  }
  const closing = match(TAG_END, text, end);
  if (closing === undefined) throw new Error(`a broken tag <${name.slice(0, 40)}`);
  sink.open(localName(name), attributes);
  if (closing[1] === '/') sink.close(localName(name));
  return end + closing[0].length;
}

/** Place behind a mark; the text has to have it. */
function behind(text: string, mark: string, at: number): number {
  const found = text.indexOf(mark, at);
  if (found < 0) throw new Error(`no ${mark}`);
  return found + mark.length;
}

/**
 * Walks through a document. Whether tags are closed in order is not checked.
 * @throws Error for what is no XML, or has a document type.
 */
export function walkXml(text: string, sink: XmlSink): void {
  let at = 0;
  for (;;) {
    const tag = text.indexOf('<', at);
    const end = tag < 0 ? text.length : tag;
    if (end > at) sink.text(unescapeText(text.slice(at, end)));
    if (tag < 0) return;
    if (text.startsWith('<?', tag)) at = behind(text, '?>', tag);
    else if (text.startsWith('<!--', tag)) at = behind(text, '-->', tag);
    else if (text.startsWith('<![CDATA[', tag)) {
      at = behind(text, ']]>', tag);
      sink.text(text.slice(tag + 9, at - 3).replace(/\r\n?/g, '\n'));
    } else if (text.startsWith('<!', tag)) throw new Error('a document type');
    else if (text.startsWith('</', tag)) {
      at = behind(text, '>', tag);
      sink.close(localName(text.slice(tag + 2, at - 1).trim()));
    } else at = openTag(text, tag + 1, sink);
  }
}
