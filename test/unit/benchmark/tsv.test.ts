// Owns the tests of reading a benchmark's TSV: what is kept, what is left out, what is refused.
import { createHash } from 'node:crypto';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FieldSplitter } from '../../../src/benchmark/table/fields.ts';
import type { LoadOptions } from '../../../src/benchmark/table/table.ts';
import { loadTsv } from '../../../src/benchmark/table/tsv.ts';
import { DataError } from '../../../src/errors.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-tsv-'));
});
afterAll(() => rm(folder, { recursive: true }));

let numFiles = 0;
async function file(content: string | Buffer): Promise<string> {
  const path = join(folder, `${numFiles++}.tsv`);
  await writeFile(path, content);
  return path;
}

async function load(content: string | Buffer, options?: LoadOptions) {
  return loadTsv(await file(content), options);
}

async function refusal(content: string | Buffer, options?: LoadOptions): Promise<DataError> {
  const error: unknown = await load(content, options).catch((found: unknown) => found);
  if (error instanceof DataError) return error;
  throw new Error('the table was read, or failed otherwise', { cause: error });
}

/** All fields of a text that is pushed in pieces, line by line. */
function fields(bytes: Buffer, cuts: readonly number[]): string[][] {
  const lines: string[][] = [];
  let line: string[] = [];
  let field = '';
  const splitter = new FieldSplitter({
    piece: (piece) => {
      field += piece.toString('latin1');
    },
    endField: (start, end) => {
      line.push(`${field} ${start}-${end}`);
      field = '';
    },
    endLine: () => {
      lines.push([...line, `line ${splitter.recordLine}`]);
      line = [];
    },
  });
  const places = [0, ...cuts.map((cut) => 3 + (cut % bytes.length)), bytes.length];
  places.sort((a, b) => a - b);
  for (const [i, place] of places.entries())
    splitter.push(bytes.subarray(places[i - 1] ?? 0, place));
  if (splitter.isInsideQuotes) return [...lines, ['inside quotes']];
  splitter.end();
  return lines;
}

const BASE64 = 'iVBORw0KGgo'.repeat(10);

describe('a table in TSV', () => {
  it('has rows by column name, typed by column, without its pictures', async () => {
    const table = await load(
      'index\timage\tquestion\tA\tscore\n' +
        `1\t${BASE64}\tWhat, "then"?\t7\t0.5\n2\t${BASE64}\t"two\nlines"\t\tNA\n`,
    );
    expect(table.columns).toEqual(['index', 'question', 'A', 'score']);
    expect(table.rows.map((row) => ({ ...row }))).toEqual([
      { index: 1n, question: 'What, "then"?', A: 7, score: 0.5 },
      { index: 2n, question: 'two\nlines', A: null, score: null },
    ]);
    expect(table).toMatchObject({ name: 'own', numDropped: 0 });
  });

  it('is split into the same fields wherever its bytes are cut', () => {
    const characters = fc.constantFrom('a', ' ', '\t', '\n', '\r', '"', 'é', '\ufeff');
    fc.assert(
      fc.property(
        fc.string({ unit: characters, minLength: 1, maxLength: 40 }),
        fc.array(fc.nat(), { maxLength: 6 }),
        (text, cuts) => {
          const bytes = Buffer.from(text);
          expect(fields(bytes, cuts)).toEqual(fields(bytes, []));
        },
      ),
      { numRuns: 3000, seed: 3 },
    );
  });

  it('finds the content of every picture again, quoted or not, across the chunks it is read in', async () => {
    const pictures = [700_001, 1_048_570, 66, 900_000].map(
      (size, i) => 'wxyz'[i]?.repeat(size) ?? '',
    );
    const list = `["${'m'.repeat(400_000)}", "${'n'.repeat(600_000)}"]`;
    const quoted = `"${list.replaceAll('"', '""')}"`;
    const cells = [...pictures, quoted];
    const table = await load(
      `image\tindex\n${cells.map((cell, i) => `${cell}\t${i}\r\n`).join('')}`,
    );
    for (const [i, content] of [...pictures, list].entries()) {
      const cell = table.pictures.of(`${i}`)?.cell;
      expect(cell?.kind === 'stored' && (await cell.read()).toString() === content).toBe(true);
    }
  });

  it('tells the MD5 of the file, and refuses another file than the published one', async () => {
    const content = `index\timage\tquestion\n1\t${BASE64}\tWhat?\n`;
    const md5 = createHash('md5').update(content).digest('hex');
    expect((await load(content)).md5).toBe(md5);
    const error = await refusal(content, { name: 'POPE' });
    expect(error.message).toContain('is not the published file of POPE');
    expect(error.parts).toMatchObject({
      got: `MD5 ${md5}`,
      expected: 'MD5 c12f5acb142f2ef1f85a26ba2fbe41d5',
      fix: expect.stringContaining('gapvl evaluate fetch POPE') as unknown,
    });
    const ignored = await load(content, { name: 'POPE', md5: 'ignore' });
    expect(ignored).toMatchObject({ name: 'POPE', md5 });
  });

  it('leaves out rows without a picture, after columns have their types', async () => {
    const content = `index\timage\tA\n1\t${BASE64}\t3\nx\tNA\t4\n7\t1\tNA\n`;
    const table = await load(content);
    expect(table.numDropped).toBe(1);
    // The gap made 3 a double; without the row x all indices are integers.
    expect(table.rows.map((row) => ({ ...row }))).toEqual([
      { index: 1n, A: 3 },
      { index: 7n, A: null },
    ]);
    const kept = await load(content, { missingPictures: 'keep' });
    expect(kept.rows.map(({ index }) => index)).toEqual(['1', 'x', '7']);
    expect((await refusal('index\timage\n1\t\n2\tnan\n')).message).toContain(
      'no row with a picture',
    );
  });

  it('turns indices into integers only if all of them are', async () => {
    const indices = async (...cells: string[]) =>
      (await load(`index\tA\n${cells.map((cell) => `${cell}\tx\n`).join('')}`)).rows.map(
        ({ index }) => index,
      );
    expect(await indices('3', '-1')).toEqual([3n, -1n]);
    expect(await indices('99999999999999999999', '0')).toEqual([99999999999999999999n, 0n]);
    expect(await indices('007', 'a')).toEqual(['007', 'a']);
    expect(await indices('1.0', '2')).toEqual(['1.0', '2.0']);
    expect(await indices('1', '')).toEqual(['1.0', 'nan']);
    expect(await indices('True', 'False')).toEqual(['True', 'False']);
  });

  it('counts rows where a table of one\u2019s own has no index', async () => {
    const table = await load('question\tanswer\na\tb\nc\td\n');
    expect(table.rows.map(({ index }) => index)).toEqual([0n, 1n]);
    const error = await refusal('question\na\n', { name: 'POPE', md5: 'ignore' });
    expect(error.message).toContain('lacks a column: index');
  });

  it('takes any name for a column', async () => {
    const table = await load('index\t__proto__\tconstructor\ttoString\n1\ta\tb\tc\n');
    const [row] = table.rows;
    expect(Object.entries(row ?? {})).toEqual([
      ['index', 1n],
      ['__proto__', 'a'],
      ['constructor', 'b'],
      ['toString', 'c'],
    ]);
    expect(Object.getPrototypeOf(row)).toBe(null);
  });

  it('refuses a file that ends inside of quotes as truncated, naming the line', async () => {
    const error = await refusal('index\tquestion\n1\ta\n2\t"and so\non');
    expect(error.message).toMatch(/truncated: it ends inside of a quoted field/);
    expect(error.message).toContain('begins in line 3');
  });

  it('refuses a line of too many fields, and names it as an editor counts', async () => {
    const error = await refusal('index\tquestion\n1\t"a\nb\nc"\n\n2\tx\ty\n3\tz\n');
    expect(error.message).toMatch(/\.tsv:6: /);
    expect(error.parts).toMatchObject({ got: 'more than 2 fields' });
    expect((await refusal('index\tquestion\n1\ta\tb\n')).message).toMatch(/\.tsv:2: /);
  });

  it('refuses text that is not UTF-8, naming line and column', async () => {
    const latin = Buffer.from('index\tquestion\n1\tschön\n', 'latin1');
    const error = await refusal(latin);
    expect(error.message).toMatch(/\.tsv:2: /);
    expect(error.parts.got).toContain('not UTF-8 in column 2 (question)');
    expect((await refusal('index\tquestion\n1\ta\0b\n')).parts.got).toContain('a zero byte');
  });

  it('refuses an index that occurs twice, unless told', async () => {
    const content = 'index\tquestion\n5\ta\n6\tb\n05\tc\n';
    const error = await refusal(content);
    expect(error.message).toContain('line 4: the index 5 is taken');
    expect(error.parts.got).toBe('the same index in line 2');
    const kept = await load(content, { duplicates: 'keep' });
    expect(kept.rows.map(({ index }) => index)).toEqual([5n, 6n, 5n]);
  });

  it('refuses a header without rows, an empty file, and one that lacks a column', async () => {
    expect((await refusal('index\tquestion\n')).message).toContain('has no rows');
    expect((await refusal('')).message).toContain('is empty');
    expect((await refusal('\n  \n')).message).toContain('is empty');
    const error = await refusal('index\tquestion\n1\ta\n', { columns: ['answer', 'category'] });
    expect(error.message).toContain('lacks columns: answer, category');
    expect(error.parts.got).toContain('index, question');
  });

  it('refuses two columns of pictures, and a path that is no file', async () => {
    expect((await refusal('image\timage\n1\t2\n')).parts.got).toBe('two columns image');
    await expect(loadTsv(folder)).rejects.toThrow(/cannot be read/);
    await expect(loadTsv(join(folder, 'nothing.tsv'))).rejects.toThrow(DataError);
  });

  it('notices that the file has changed when a picture is asked for', async () => {
    const path = await file(`index\timage\n1\t${BASE64}\n`);
    const table = await loadTsv(path);
    await appendFile(path, 'x');
    const cell = table.pictures.of('1')?.cell;
    await expect(cell?.kind === 'stored' ? cell.read() : undefined).rejects.toThrow(/has changed/);
  });

  it('stops when it is told to', async () => {
    const path = await file('index\tquestion\n1\ta\n');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(loadTsv(path, { signal })).rejects.toThrow('enough');
  });
});
