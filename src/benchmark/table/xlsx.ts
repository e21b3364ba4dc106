// Owns the cells of the first sheet of an Excel file as `openpyxl` gives them to pandas; `predictions.ts` and
// `load.ts` call it.
// Source: pandas 3.1, `io/excel/_openpyxl.py`; openpyxl 3.1, `worksheet/_reader.py`, `reader/strings.py`.
//
// ours: `read-excel-file` is not used. It unpacks before it knows sizes, turns `_x000D_` into a carriage
// return, which openpyxl does not, and hands out integers as doubles.
import { posix, resolve } from 'node:path';
import { DataError } from '../../errors.ts';
import { readSmallFile } from './file-bytes.ts';
import { walkXml } from './xml.ts';
import type { Attributes, XmlSink } from './xml.ts';
import { ZipArchive } from './zip.ts';

/** ours: 10,000 predictions of 32,767 characters are 330 MB when they are unpacked. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;
const MAX_UNPACKED_BYTES = 400 * 1024 * 1024;
// Source: Excel's own limits.
const MAX_ROWS = 1_048_576;
const MAX_COLUMNS = 16_384;
/** ours: a table of 100,000 rows and 100 columns. */
const MAX_CELLS = 10_000_000;

/** A cell of a sheet; an error of a formula is null, an empty cell the empty text. */
export type SheetCell = string | bigint | number | boolean | null;

const NO_ATTRIBUTES: Attributes = new Map();

/** The parts of a file, read with an error that names it. */
class Workbook {
  readonly path: string;
  readonly #archive: ZipArchive;

  constructor(path: string, bytes: Buffer) {
    this.path = path;
    this.#archive = new ZipArchive(bytes, path, MAX_UNPACKED_BYTES);
  }

  fail(got: string, expected = 'an Excel file as pandas writes it'): DataError {
    return new DataError({
      what: `${this.path} cannot be read as an Excel file`,
      ...{ got, expected },
      fix: 'write it again, or write the predictions as TSV',
    });
  }

  has(part: string): boolean {
    return this.#archive.has(part);
  }

  walk(part: string, sink: Partial<XmlSink>): void {
    const bytes = this.#archive.read(part);
    const ignore = (): void => undefined;
    try {
      const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
      walkXml(text, { open: ignore, close: ignore, text: ignore, ...sink });
    } catch (error) {
      if (error instanceof DataError) throw error;
      throw this.fail(`${part}: ${(error as Error).message}`);
    }
  }

  /** Parts that a part (or, without a name, the file) refers to: type and path by id. */
  relations(part: string): ReadonlyMap<string, { readonly type: string; readonly path: string }> {
    const folder = posix.dirname(part);
    const found = new Map<string, { type: string; path: string }>();
    this.walk(posix.join(folder, '_rels', `${posix.basename(part)}.rels`), {
      open: (name, attributes) => {
        const [id, target] = [attributes.get('Id'), attributes.get('Target')];
        if (name !== 'Relationship' || id === undefined || target === undefined) return;
        const path = target.startsWith('/') ? target.slice(1) : posix.join(folder, target);
        found.set(id, { type: (attributes.get('Type') ?? '').split('/').at(-1) ?? '', path });
      },
    });
    return found;
  }
}

function openWorkbook(path: string, bytes: Buffer) {
  const book = new Workbook(path, bytes);
  const root = [...book.relations('').values()].find(({ type }) => type === 'officeDocument');
  const main = root?.path ?? 'xl/workbook.xml';
  const relations = book.relations(main);
  const sheets: string[] = [];
  book.walk(main, {
    open: (name, attributes) => {
      const relation = name === 'sheet' ? relations.get(attributes.get('id') ?? '') : undefined;
      if (relation?.type === 'worksheet') sheets.push(relation.path);
    },
  });
  const pathOf = (type: string): string | undefined =>
    [...relations.values()].find((relation) => relation.type === type)?.path;
  return { book, sheet: sheets[0], strings: pathOf('sharedStrings'), styles: pathOf('styles') };
}

/** Texts of `<t>` below an element, those of phonetic hints left out. */
class TextCollector {
  #text = '';
  #isInText = false;
  #depthOfHint = 0;

  open(name: string): void {
    if (name === 'rPh') this.#depthOfHint += 1;
    this.#isInText = name === 't';
  }

  close(name: string): void {
    if (name === 'rPh') this.#depthOfHint -= 1;
    this.#isInText = false;
  }

  add(text: string): void {
    if (this.#isInText && this.#depthOfHint === 0) this.#text += text;
  }

  take(): string {
    const text = this.#text;
    this.#text = '';
    return text;
  }
}

function readStrings(book: Workbook, part: string | undefined): readonly string[] {
  const strings: string[] = [];
  if (part === undefined || !book.has(part)) return strings;
  const collector = new TextCollector();
  book.walk(part, {
    open: (name) => collector.open(name),
    text: (text) => collector.add(text),
    close: (name) => {
      collector.close(name);
      // openpyxl undoes one of the two escapes of the format, and not even that one rightly.
      if (name === 'si') strings.push(collector.take().replaceAll('x005F_', ''));
    },
  });
  return strings;
}

// Source: openpyxl, `styles/numbers.py`: ids of the formats of dates, and what is no date in a format.
const DATE_IDS = new Set([14, 15, 16, 17, 18, 19, 20, 21, 22, 45, 46, 47]);
const NOT_DATES = /\[(?!hh?\]|mm?\]|ss?\])[^\]]*\]|"[^"]*"/g;
const DATE_LETTERS = /(?<![_\\])[dmhysDMHYS]/;

/** Styles of cells that show numbers as dates. */
function readDateStyles(book: Workbook, part: string | undefined): ReadonlySet<number> {
  const dates = new Set<number>();
  if (part === undefined || !book.has(part)) return dates;
  const own = new Map<number, boolean>();
  let isInCells = false;
  let style = 0;
  book.walk(part, {
    open: (name, attributes) => {
      const id = Number(attributes.get('numFmtId') ?? 0);
      if (name === 'numFmt') {
        const code = (attributes.get('formatCode') ?? '').split(';')[0] ?? '';
        own.set(id, DATE_LETTERS.test(code.replace(NOT_DATES, '')));
      } else if (name === 'cellXfs') isInCells = true;
      else if (name === 'xf' && isInCells) {
        if (own.get(id) ?? DATE_IDS.has(id)) dates.add(style);
        style += 1;
      }
    },
    close: (name) => {
      if (name === 'cellXfs') isInCells = false;
    },
  });
  return dates;
}

/** A number as pandas hands it on: an integer if it is one. */
function numberOf(text: string, fail: (got: string) => DataError): bigint | number {
  const value = Number(text);
  if (!/^\s*[+-]?[\d.]/.test(text) || !Number.isFinite(value))
    throw fail(`a number ${text.slice(0, 40)}`);
  if (/^\s*[+-]?\d+\s*$/.test(text)) return BigInt(text.trim().replace('+', ''));
  return Number.isInteger(value) ? BigInt(value) : value;
}

/** Column of a place such as `AB12`, from 0. */
function columnOf(place: string): number {
  let column = 0;
  for (const letter of /^[A-Z]{1,3}/.exec(place)?.[0] ?? '') {
    column = column * 26 + letter.charCodeAt(0) - 64;
  }
  return column - 1;
}

/** Collects the cells of a sheet row by row. */
class SheetReader {
  readonly rows: SheetCell[][] = [];
  readonly #book: Workbook;
  readonly #strings: readonly string[];
  readonly #dates: ReadonlySet<number>;
  readonly #collector = new TextCollector();
  #rowNumber = 0;
  #row: SheetCell[] | undefined;
  #column = -1;
  #cell: Attributes = NO_ATTRIBUTES;
  #value: string | undefined;
  #isInValue = false;
  #isInline = false;
  #numCells = 0;

  constructor(book: Workbook, strings: readonly string[], dates: ReadonlySet<number>) {
    this.#book = book;
    this.#strings = strings;
    this.#dates = dates;
  }

  open(name: string, attributes: Attributes): void {
    if (name === 'row') this.#openRow(attributes);
    else if (name === 'c') this.#openCell(attributes);
    else if (name === 'v') {
      this.#isInValue = true;
      this.#value = '';
    } else if (name === 'is') this.#isInline = true;
    if (this.#isInline) this.#collector.open(name);
  }

  text(text: string): void {
    if (this.#isInValue) this.#value = (this.#value ?? '') + text;
    else if (this.#isInline) this.#collector.add(text);
  }

  close(name: string): void {
    if (this.#isInline) this.#collector.close(name);
    if (name === 'v') this.#isInValue = false;
    else if (name === 'is') {
      this.#isInline = false;
      this.#value = this.#collector.take();
    } else if (name === 'c') this.#closeCell();
    else if (name === 'row') this.#closeRow();
  }

  #fail(got: string): DataError {
    return this.#book.fail(`${got} in row ${this.#rowNumber}, column ${this.#column + 1}`);
  }

  #openRow(attributes: Attributes): void {
    const number = attributes.get('r');
    this.#rowNumber = number === undefined ? this.#rowNumber + 1 : Number(number);
    this.#column = -1;
    this.#row = [];
    const isRow = Number.isInteger(this.#rowNumber) && this.#rowNumber >= 1;
    if (!isRow || this.#rowNumber > MAX_ROWS) throw this.#fail('a row out of range');
  }

  #openCell(attributes: Attributes): void {
    const place = attributes.get('r');
    this.#column = place === undefined ? this.#column + 1 : columnOf(place);
    this.#cell = attributes;
    this.#value = undefined;
    const isColumn = this.#column >= 0 && this.#column < MAX_COLUMNS;
    if (!isColumn || this.#row === undefined) throw this.#fail('a cell out of place');
  }

  #closeCell(): void {
    const row = this.#row ?? [];
    this.#numCells += Math.max(1, this.#column + 1 - row.length);
    if (this.#numCells > MAX_CELLS) throw this.#fail(`more than ${MAX_CELLS} cells`);
    while (row.length < this.#column) row.push('');
    row[this.#column] = this.#cellValue();
  }

  #cellValue(): SheetCell {
    const type = this.#cell.get('t') ?? 'n';
    const value = this.#value ?? '';
    if (type === 'inlineStr' || type === 'str' || value === '') return value;
    const fail = (got: string): DataError => this.#fail(got);
    switch (type) {
      case 'n':
        if (!this.#dates.has(Number(this.#cell.get('s') ?? 0))) return numberOf(value, fail);
        throw fail('a date');
      case 's': {
        const text = this.#strings[Number(value)];
        if (text === undefined)
          throw fail(`a text of number ${value.slice(0, 40)}, which is not there,`);
        return text;
      }
      case 'b':
        return Number(value) !== 0;
      case 'e':
        return null;
      default:
        throw fail(`a cell of type ${type.slice(0, 40)}`);
    }
  }

  #closeRow(): void {
    const row = this.#row ?? [];
    this.#row = undefined;
    while (row.at(-1) === '') row.pop();
    // A row that is out of order is lost, as it is in openpyxl.
    if (this.#rowNumber <= this.rows.length) return;
    while (this.rows.length < this.#rowNumber - 1) this.rows.push([]);
    this.rows.push(row);
  }
}

/**
 * Rows of the first sheet, all as long as the longest one; empty ones at the end left out.
 * @throws DataError for what is no Excel file, is too large, damaged, or holds dates.
 */
export async function readSheet(path: string): Promise<readonly (readonly SheetCell[])[]> {
  const absolute = resolve(path);
  const bytes = await readSmallFile(absolute, MAX_FILE_BYTES);
  const { book, sheet, strings, styles } = openWorkbook(absolute, bytes);
  if (sheet === undefined) throw book.fail('no sheet in it');
  const reader = new SheetReader(book, readStrings(book, strings), readDateStyles(book, styles));
  book.walk(sheet, {
    open: (name, attributes) => reader.open(name, attributes),
    text: (text) => reader.text(text),
    close: (name) => reader.close(name),
  });
  const { rows } = reader;
  while (rows.at(-1)?.length === 0) rows.pop();
  const width = rows.reduce((most, row) => Math.max(most, row.length), 0);
  if (rows.length * width > MAX_CELLS) throw book.fail(`${rows.length} rows of ${width} cells`);
  for (const row of rows) while (row.length < width) row.push('');
  return rows;
}
