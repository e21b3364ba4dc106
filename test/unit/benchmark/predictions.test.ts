// Owns the tests of reading predictions: formats, missing ones, Excel files that are odd or hostile.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPredictions } from '../../../src/benchmark/table/predictions.ts';
import { readSheet } from '../../../src/benchmark/table/xlsx.ts';
import type { Cell } from '../../../src/benchmark/types.ts';
import { DataError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';
import { excelParts, zipFile } from '../../helpers/zip-file.ts';
import type { ZipPart } from '../../helpers/zip-file.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-predictions-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function file(name: string, content: string | Buffer): Promise<string> {
  await writeFile(join(folder, name), content);
  return join(folder, name);
}

async function load(name: string, content: string | Buffer) {
  return loadPredictions(await file(name, content));
}

async function refusal(reading: Promise<unknown>): Promise<DataError> {
  const error: unknown = await reading.catch((found: unknown) => found);
  if (error instanceof DataError) return error;
  throw new Error('it was read, or failed otherwise', { cause: error });
}

/** Rows of an Excel file of texts. */
function textRows(rows: readonly (readonly string[])[]): string {
  const cell = (text: string): string =>
    `<c t="inlineStr"><is><t xml:space="preserve">${text}</t></is></c>`;
  return rows.map((row) => `<row>${row.map(cell).join('')}</row>`).join('');
}

async function sheet(rows: string, more?: readonly ZipPart[]) {
  return readSheet(await file('sheet.xlsx', zipFile(excelParts(rows, more))));
}

describe('predictions', () => {
  const EXPECTED: Cell[] = ['The answer is A', null, null, '<answer>B</answer>\n', null, ' nan '];

  it('are the same in every format, and missing where pandas reads a missing cell', async () => {
    const texts = ['The answer is A', '', 'NA', '<answer>B</answer>\n', 'nan', ' nan '];
    const records = texts.map((prediction, i) => ({ index: i + 1, prediction, answer: 'None' }));
    const quoted = texts.map((text, i) => `"${i + 1}"\t"${text}"\t"None"\n`).join('');
    const formats: Record<string, string | Buffer> = {
      'p.tsv': `"index"\t"prediction"\t"answer"\n${quoted}`,
      'p.json': JSON.stringify(records, null, 4),
      'p.jsonl': records.map((record) => JSON.stringify(record)).join('\n'),
      'p.xlsx': zipFile(
        excelParts(
          textRows([
            ['index', 'prediction', 'answer'],
            ...texts.map((text, i) => [`${i + 1}`, text.replaceAll('<', '&lt;'), 'None']),
          ]),
        ),
      ),
    };
    for (const [name, content] of Object.entries(formats)) {
      const table = await load(name, content);
      expect(table.columns, name).toEqual(['index', 'prediction', 'answer']);
      expect(
        table.rows.map(({ index }) => index),
        name,
      ).toEqual([1n, 2n, 3n, 4n, 5n, 6n]);
      expect(
        table.rows.map(({ prediction }) => prediction),
        name,
      ).toEqual(EXPECTED);
      expect(table.numCut, name).toBe(0);
    }
  });

  it('become numbers where all of them read as such, as in pandas', async () => {
    const table = await load('p.tsv', 'index\tprediction\n1\t0.60\n2\t7\n3\t\n');
    expect(table.rows.map(({ prediction }) => prediction)).toEqual([0.6, 7, null]);
    const json = '[{"index": 1, "prediction": 19}, {"index": 2, "prediction": null}]';
    expect((await load('p.json', json)).rows.map(({ prediction }) => prediction)).toEqual([
      19,
      null,
    ]);
    const whole = '[{"index": 1, "prediction": 19}, {"index": 2, "prediction": true}]';
    expect((await load('p.json', whole)).rows[0]?.['prediction']).toBe(19n);
    const nan = '[{"index": 1, "prediction": NaN, "split": NaN}]';
    expect({ ...(await load('p.json', nan)).rows[0] }).toEqual({
      index: 1n,
      prediction: null,
      split: null,
    });
  });

  it('keep rows whose picture is missing, since pictures do not count', async () => {
    const table = await load('p.tsv', 'index\timage\tprediction\n1\t\tA\n2\tNA\tB\n');
    expect(table.rows).toHaveLength(2);
    const lines = '{"index": 1, "prediction": "A", "image": ""}\n';
    expect((await load('p.jsonl', lines)).rows).toHaveLength(1);
  });

  it('are counted where they are as long as a cell of Excel can be', async () => {
    const rows = [
      ['index', 'prediction'],
      ['1', 'x'.repeat(32_767)],
      ['2', '\u{1f600}'.repeat(32_767)],
    ];
    const more = [...rows, ['3', 'x'.repeat(32_766)], ['4', '\u{1f600}'.repeat(20_000)]];
    expect((await load('p.xlsx', zipFile(excelParts(textRows(more))))).numCut).toBe(2);
  });

  it('are refused without index or prediction, with an index twice, and in other formats', async () => {
    const noPrediction = await refusal(load('p.tsv', 'index\tanswer\n1\tA\n'));
    expect(noPrediction.message).toContain('lacks a column: prediction');
    const neither = await refusal(load('p.jsonl', '{"answer": "A"}\n'));
    expect(neither.message).toContain('lacks columns: index, prediction');
    const twice = await refusal(load('p.tsv', 'index\tprediction\n1\tA\n1\tB\n'));
    expect(twice.message).toContain('line 3: the index 1 is taken');
    const kept = await loadPredictions(join(folder, 'p.tsv'), { duplicates: 'keep' });
    expect(kept.rows).toHaveLength(2);
    const rows = textRows([
      ['index', 'prediction'],
      ['1', 'A'],
      ['1', 'B'],
    ]);
    const sheetTwice = await refusal(load('p.xlsx', zipFile(excelParts(rows))));
    expect(sheetTwice.message).toContain('row 3: the index 1 is taken');
    expect((await refusal(load('p.pkl', ''))).parts).toMatchObject({ got: '.pkl' });
    expect((await refusal(loadPredictions(join(folder, 'none.xlsx')))).message).toContain(
      'none.xlsx',
    );
  });
});

describe('a sheet of an Excel file', () => {
  it('has shared and inline texts, numbers, booleans, errors and gaps where they belong', async () => {
    const rows =
      '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c></row>' +
      '<row r="3"><c r="B3"><v>7.0</v></c><c r="C3"><v>-2.5E-3</v></c><c r="E3" t="s"><v></v></c></row>' +
      '<row r="2"><c r="A2"><v>1</v></c></row>' +
      '<row r="4"><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c><c t="str"><f>1</f><v>a&#10;b</v></c></row>' +
      '<row r="5"><c r="A5"/></row><row r="6"><c r="A6" t="inlineStr"><is><r><t>a</t></r>' +
      '<r><t> b</t></r><rPh><t>no</t></rPh></is></c></row><row r="9"><c r="A9" t="s"><v>2</v></c></row>';
    const strings =
      '<sst><si><t>one &lt;&amp;&#x20AC;</t></si><si><r><rPr/><t xml:space="preserve"> two</t></r>' +
      '<r><t>\r\nlines_x000D_ _x005F_x</t></r><rPh sb="0"><t>hint</t></rPh></si><si><t/></si></sst>';
    const more = [{ name: 'xl/sharedStrings.xml', content: strings }];
    expect(await sheet(rows, more)).toEqual([
      ['one <&\u20ac', '', ' two\nlines_x000D_ _x'],
      ['', '', ''],
      ['', 7n, -0.0025],
      [true, null, 'a\nb'],
      ['', '', ''],
      ['a b', '', ''],
    ]);
  });

  it('is refused where it holds dates, which pandas would not read as text', async () => {
    const rows = '<row><c s="1"><v>45000</v></c></row>';
    const styles = (format: string, own = ''): ZipPart => ({
      name: 'xl/styles.xml',
      content: `<styleSheet>${own}<cellXfs><xf numFmtId="0"/><xf numFmtId="${format}"/></cellXfs></styleSheet>`,
    });
    expect(await sheet(rows, [styles('2')])).toEqual([[45000n]]);
    expect((await refusal(sheet(rows, [styles('14')]))).parts.got).toBe(
      'a date in row 1, column 1',
    );
    const own = '<numFmts><numFmt numFmtId="165" formatCode="[Red]yyyy&quot;x&quot;"/></numFmts>';
    expect((await refusal(sheet(rows, [styles('165', own)]))).parts.got).toContain('a date');
    const text = '<numFmts><numFmt numFmtId="165" formatCode="0.00&quot;days&quot;"/></numFmts>';
    expect(await sheet(rows, [styles('165', text)])).toEqual([[45000n]]);
  });

  it('is refused before it is unpacked to more than was announced or is allowed', async () => {
    const bomb = 'x'.repeat(3_000_000);
    const liar = excelParts('').map((part) =>
      part.name.endsWith('sheet1.xml') ? { ...part, content: bomb, sizeBytes: 1000 } : part,
    );
    const small = await refusal(readSheet(await file('bomb.xlsx', zipFile(liar))));
    expect(small.parts.got).toContain('does not unpack to what was announced');
    const open = liar.map((part) => ('sizeBytes' in part ? { ...part, sizeBytes: 1e9 } : part));
    const large = await refusal(readSheet(await file('bomb.xlsx', zipFile(open))));
    expect(large.message).toContain('too large when it is unpacked');
    const cells = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>';
    expect((await refusal(sheet(cells))).parts.got).toMatch(/1048576 rows of 16384 cells/);
    expect((await refusal(sheet('<row r="1048577"/>'))).parts.got).toContain('out of range');
    expect((await refusal(sheet('<row><c r="XFE1"/></row>'))).parts.got).toContain('out of place');
    expect((await refusal(sheet('<c r="A1"/>'))).parts.got).toContain('out of place');
  });

  it('is refused where it has what XML can be abused for, or is no XML', async () => {
    const entity = '<!DOCTYPE a [<!ENTITY b "c">]><row><c t="str"><v>&b;</v></c></row>';
    expect((await refusal(sheet(entity))).parts.got).toContain('a document type');
    const bad = [
      '<row',
      '<row><c t="str"><v>&b;</v></c></row>',
      '<row r=1>',
      '<!-- ',
      '< >',
      '<row>&#0;',
    ];
    for (const rows of bad)
      expect((await refusal(sheet(rows))).message).toContain('as an Excel file');
    expect((await refusal(sheet('<row><c t="s"><v>5</v></c></row>'))).parts.got).toContain(
      'number 5',
    );
    expect((await refusal(sheet('<row><c><v>x</v></c></row>'))).parts.got).toContain('a number x');
    expect((await refusal(sheet('<row><c t="q"><v>x</v></c></row>'))).parts.got).toContain(
      'type q',
    );
  });

  it('is read or refused, never worse, whatever bytes are changed or cut off', async () => {
    const rng = new Rng(11);
    const rows = textRows([
      ['index', 'prediction'],
      ['1', 'A'],
      ['2', 'B &amp; C'],
    ]);
    const whole = zipFile(excelParts(rows));
    let numRefused = 0;
    for (let i = 0; i < 400; i++) {
      const bytes = Buffer.from(whole);
      bytes[rng.int(bytes.length)] = rng.int(256);
      const cut = i % 10 === 0 ? bytes.subarray(0, rng.int(bytes.length)) : bytes;
      await readSheet(await file('broken.xlsx', cut)).catch((error: unknown) => {
        expect(error).toBeInstanceOf(DataError);
        numRefused += 1;
      });
    }
    expect(numRefused).toBeGreaterThan(200);
    for (const bytes of ['', 'PK', 'x'.repeat(100)]) {
      expect((await refusal(readSheet(await file('no.xlsx', bytes)))).message).toContain(
        'no XLSX file',
      );
    }
  });
});
