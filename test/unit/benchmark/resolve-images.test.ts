// Owns the tests of finding the pictures of a row: base64, lists, shared pictures, files below a data root.
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeBase64 } from '../../../src/benchmark/table/base64.ts';
import { resolveImages } from '../../../src/benchmark/table/resolve-images.ts';
import type { ResolveOptions } from '../../../src/benchmark/table/resolve-images.ts';
import type { LoadOptions } from '../../../src/benchmark/table/table.ts';
import { loadTsv } from '../../../src/benchmark/table/tsv.ts';
import { DataError } from '../../../src/errors.ts';
import { decodePicture } from '../../../src/processor/picture.ts';

let folder: string;
let outside: string;
const pictures: Buffer[] = [];
beforeAll(async () => {
  // The real path: temporary folders are links on some systems.
  folder = await realpath(await mkdtemp(join(tmpdir(), 'gapvl-resolve-')));
  outside = await realpath(await mkdtemp(join(tmpdir(), 'gapvl-outside-')));
  for (let i = 0; i < 3; i++) {
    const background = { r: 90 * i, g: 40, b: 200 };
    const picture = sharp({ create: { width: 9 + i, height: 7, channels: 3, background } });
    pictures.push(await (i === 1 ? picture.jpeg() : picture.png()).toBuffer());
  }
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(outside, { recursive: true });
});

function base64(i: number): string {
  return pictures[i]?.toString('base64') ?? '';
}

let numFiles = 0;
async function table(content: string, options: LoadOptions = {}) {
  const path = join(folder, `${numFiles++}.tsv`);
  await writeFile(path, content);
  return loadTsv(path, options);
}

/** Pictures of the row of an index, as numbers of what they are. */
async function resolve(content: string, index: string, options?: ResolveOptions & LoadOptions) {
  const loaded = await table(content, options);
  const row = loaded.rows.find((one) => String(one['index']) === index) ?? {};
  const found = await resolveImages(loaded, row, options);
  return found.map((bytes) => pictures.findIndex((picture) => picture.equals(bytes)));
}

async function refusal(content: string, index: string, options?: ResolveOptions & LoadOptions) {
  const error: unknown = await resolve(content, index, options).catch((found: unknown) => found);
  if (error instanceof DataError) return error;
  throw new Error('the pictures were found, or it failed otherwise', { cause: error });
}

describe('the pictures of a row', () => {
  it('arrive as they were before base64, and decode to the same pixels', async () => {
    const loaded = await table(`index\timage\n1\t${base64(0)}\n2\t"${base64(1)}"\n`);
    for (const [i, row] of loaded.rows.entries()) {
      const [bytes = new Uint8Array(), ...more] = await resolveImages(loaded, row);
      expect(more).toEqual([]);
      const raster = await decodePicture(bytes, { name: 'it' });
      const plain = await sharp(pictures[i]).removeAlpha().raw().toBuffer();
      expect(Buffer.from(raster.data).equals(plain)).toBe(true);
      expect([raster.width, raster.height]).toEqual([9 + i, 7]);
    }
  });

  it('are several for a list literal of Python, whichever quotes it has', async () => {
    const lists = [
      `['${base64(2)}', '${base64(0)}', '${base64(1)}']`,
      `"[""${base64(1)}"", ""${base64(2)}""]"`,
      `['${base64(1)}']`,
    ];
    const content = `index\timage\n${lists.map((list, i) => `${i}\t${list}\n`).join('')}`;
    expect(await resolve(content, '0')).toEqual([2, 0, 1]);
    expect(await resolve(content, '1')).toEqual([1, 2]);
    expect(await resolve(content, '2')).toEqual([1]);
  });

  it('are those of another row where its index stands in place of base64', async () => {
    const content =
      `index\timage\n1\t5\n5\t${base64(0)}\n6\t5\n7\t6\n8\t['${base64(1)}', '${base64(2)}']\n` +
      '9\t8\n';
    expect(await resolve(content, '1')).toEqual([0]);
    expect(await resolve(content, '6')).toEqual([0]);
    expect(await resolve(content, '9')).toEqual([1, 2]);
    // As in the reference: row 6 has its picture already when row 7 is looked at.
    expect(await resolve(content, '7')).toEqual([0]);
  });

  it('are not found through a row that has none, is not there, or shares a picture, too', async () => {
    const content = `index\timage\n1\t2\n2\t3\n3\t${base64(0)}\n4\t44\n5\t5\n6\t7\n7\tNA\nx\t03\n`;
    const chain = await refusal(content, '1');
    expect(chain.message).toContain('row 1: the row 2 whose picture it shares has none');
    expect(chain.parts.got).toContain('shares a picture, too');
    expect((await refusal(content, '4')).parts.got).toBe('no such row');
    expect((await refusal(content, '5')).parts.got).toContain('shares a picture, too');
    // Row 7 is left out before anything else; kept, it has no picture.
    expect((await refusal(content, '6')).parts.got).toBe('no such row');
    const kept = await refusal(content, '6', { missingPictures: 'keep' });
    expect(kept.parts.got).toContain('has no picture');
    expect((await refusal(content, 'x')).parts.got).toBe('no such row');
  });

  it('take the picture of the last row of an index that occurs twice', async () => {
    const content = `index\timage\n1\t${base64(0)}\n1\t${base64(2)}\n`;
    expect(await resolve(content, '1', { duplicates: 'keep' })).toEqual([2]);
  });

  it('are an error that names the row where the cell is no base64, or no list', async () => {
    const content =
      `index\timage\n1\t${'A'.repeat(77)}\n2\t${'ü'.repeat(80)}\n3\t[${'1, '.repeat(40)}x]\n` +
      `4\t[${'[1], '.repeat(20)}]\n5\t${'='.repeat(70)}\n6\t['${'ł'.repeat(70)}']\n`;
    for (const index of ['1', '2', '5', '6']) {
      const { message } = await refusal(content, index);
      expect(message).toContain(`.tsv: row ${index}: the picture in image cannot be used`);
    }
    expect((await refusal(content, '3')).message).toContain('row 3: the list in image');
    expect((await refusal(content, '4')).message).toContain('row 4: image holds a list in a list');
  });

  it('decode from base64 as in Python: other characters are passed over, the end is whole', () => {
    const decode = (text: string): string | undefined =>
      decodeBase64(Buffer.from(text))?.toString('latin1');
    expect(decode('aGVs\nbG8 =')).toBe('hello');
    expect(decode('aGVsbG8=garbage')).toBe('hello');
    expect(decode('aGVs-_bG8=')).toBe('hello');
    expect(decode('aGVsbG8')).toBe(undefined);
    expect(decode('aGVsbA==bG8=')).toBe('hell');
    expect(decode('a')).toBe(undefined);
    expect(decode('===')).toBe('');
  });

  it('may have the prefix of a page\u2019s picture', async () => {
    expect(await resolve(`index\timage\n1\tdata:image/png;base64,${base64(0)}\n`, '1')).toEqual([
      0,
    ]);
  });

  it('of a row that was kept without one are a file by era, or an error', async () => {
    const content = `index\timage\n1\tNA\n2\t${base64(0)}\n`;
    const options = { missingPictures: 'keep' } as const;
    expect((await refusal(content, '1', options)).message).toContain('cannot be found');
    expect((await refusal(content, '1', { ...options, era: 'paper' })).message).toContain('empty');
    await mkdir(join(folder, 'images', 'own'), { recursive: true });
    await writeFile(join(folder, 'images', 'own', '1.png'), pictures[2] ?? '');
    expect(await resolve(content, '1', options)).toEqual([2]);
  });
});

describe('pictures that are files', () => {
  beforeAll(async () => {
    await mkdir(join(folder, 'images', 'POPE', 'deep'), { recursive: true });
    await writeFile(join(folder, 'images', 'POPE', 'a.png'), pictures[0] ?? '');
    await writeFile(join(folder, 'images', 'POPE', 'deep', 'b.jpg'), pictures[1] ?? '');
    await writeFile(join(folder, 'c.png'), pictures[2] ?? '');
    await writeFile(join(outside, 'secret.png'), pictures[0] ?? '');
    await writeFile(join(folder, 'empty.png'), '');
    await symlink(join(outside, 'secret.png'), join(folder, 'link.png'));
    await symlink(outside, join(folder, 'away'));
    await symlink(join(folder, 'c.png'), join(folder, 'inside.png'));
  });
  const pope = { name: 'POPE', md5: 'ignore' } as const;

  it('are found below images/NAME, below the root, and by absolute paths inside of it', async () => {
    const inside = join(folder, 'images', 'POPE', 'a.png');
    const content =
      `index\timage_path\n1\ta.png\n2\tdeep/b.jpg\n3\tc.png\n4\t${inside}\n` +
      `5\t['deep/b.jpg', 'c.png']\n6\tinside.png\n`;
    const found = async (index: string): Promise<number[]> => resolve(content, index, pope);
    expect(await found('1')).toEqual([0]);
    expect(await found('2')).toEqual([1]);
    expect(await found('3')).toEqual([2]);
    expect(await found('4')).toEqual([0]);
    expect(await found('5')).toEqual([1, 2]);
    expect(await found('6')).toEqual([2]);
    const other = await refusal(content, '4', { ...pope, root: outside });
    expect(other.message).toContain('outside of the data root');
  });

  it('are never read from outside of the data root, by whatever way', async () => {
    const ways = [
      join(outside, 'secret.png'),
      '../secret.png',
      `deep/../../../../${outside}/secret.png`,
      '..\\secret.png',
      'link.png',
      'away/secret.png',
      '/etc/passwd',
    ];
    const content = `index\timage_path\n${ways.map((way, i) => `${i}\t${way}\n`).join('')}`;
    for (const i of ways.keys()) {
      const { message } = await refusal(content, `${i}`, pope);
      expect(message).toContain(`row ${i}: its picture lies outside of the data root`);
    }
  });

  it('are an error that names row and path where there is none, or it is no file', async () => {
    const content = 'index\timage_path\n1\tnone.png\n2\tempty.png\n3\timages\n4\t\n5\t7\n';
    expect((await refusal(content, '1')).parts.got).toContain('none.png');
    expect((await refusal(content, '2')).parts.got).toBe('a file of 0 bytes');
    expect((await refusal(content, '3')).parts.got).toBe('something that is not a file');
    expect((await refusal(content, '4')).message).toContain('row 4: it has no picture');
    const numbers = 'index\timage_path\n1\t5\n';
    expect((await refusal(numbers, '1')).message).toContain('row 1: it has no picture');
    expect((await refusal('index\tquestion\n1\ta\n', '1')).message).toContain('no picture');
  });

  it('do not count where there is a column of base64', async () => {
    const content = `index\timage\timage_path\n1\t${base64(1)}\t../../etc/passwd\n`;
    expect(await resolve(content, '1')).toEqual([1]);
  });
});
