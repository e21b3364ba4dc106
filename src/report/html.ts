// Owns the one way text becomes HTML in a report: escaped, unless it is HTML already.

/** Markup that is safe to embed; only `markup` and `trustedHtml` make it. */
export class Html {
  readonly source: string;

  constructor(source: string) {
    this.source = source;
  }
}

/** What a template may hold; strings are escaped, `undefined` is nothing. */
export type HtmlPart = Html | string | number | undefined | readonly HtmlPart[];

// Invisible and direction-changing characters could make a hostile text read as another one.
const UNSEEN = /[\p{Cc}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/gu;
const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
  '`': '&#96;',
};

/** The text with white space as blanks and other unseen characters as replacement characters. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (character) => (/\s/.test(character) ? ' ' : '\ufffd'));
}

/** Text for element content and for quoted attributes. */
export function escapeHtml(text: string): string {
  return visible(text).replace(/[&<>"'`]/g, (character) => ENTITIES[character] ?? '');
}

function render(part: HtmlPart): string {
  if (part === undefined) return '';
  if (part instanceof Html) return part.source;
  if (typeof part === 'string') return escapeHtml(part);
  if (typeof part === 'number') return String(part);
  return part.map(render).join('');
}

/** A template of HTML whose parts are escaped: markup`<p>${text}</p>`. */
export function markup(strings: TemplateStringsArray, ...parts: readonly HtmlPart[]): Html {
  return new Html(
    strings.map((text, i) => text + (i < parts.length ? render(parts[i]) : '')).join(''),
  );
}

/** Markup from a source that escapes by itself, such as the chart library. */
export function trustedHtml(source: string): Html {
  return new Html(source);
}

/** A long text cut to `limit` characters, and saying so. */
export function shorten(text: string, limit: number): string {
  const characters = Array.from(text.slice(0, 2 * limit + 2));
  return characters.length <= limit ? text : `${characters.slice(0, limit).join('')}…`;
}
