// Owns finding the pictures of a row: base64, lists of it, the row whose picture is shared, files below a data
// root; running a benchmark calls it. Decoding them is `decodePicture`'s business.
import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, sep } from 'node:path';
import { systemCode } from '../../engine/atomic-file.ts';
import { DataError } from '../../errors.ts';
import type { ErrorParts } from '../../errors.ts';
import { parseLiteral } from '../python/literal.ts';
import { str } from '../python/numbers.ts';
import type { Era, Row } from '../types.ts';
import { decodeBase64 } from './base64.ts';
import { IMAGE_COLUMN, IMAGE_PATH_COLUMN, indexText, shorten } from './table.ts';
import type { BenchmarkTable, PictureCell } from './table.ts';

/** ours: as pictures of a dataset; a row of 64 pictures is longer than any model's context. */
const MAX_PICTURE_BYTES = 256 * 1024 * 1024;
const MAX_PICTURES = 64;
const MAX_PATH_CHARS = 1000;

/** Where pictures are looked for, and by which rules. */
export interface ResolveOptions {
  /** `head` looks for the file `<index>.png` when a cell is empty and kept; `paper` takes it as an error. */
  readonly era?: Era;
  /**
   * The folder no picture may lie outside of; relative paths are looked for in its `images/<name>/`,
   * then in itself. The folder of the table by default.
   */
  readonly root?: string;
}

/** A row that is being resolved, for errors. */
interface Place {
  readonly table: BenchmarkTable;
  readonly index: string;
  readonly root: string;
}

function failure({ table, index }: Place, parts: ErrorParts, cause?: unknown): DataError {
  const what = `${table.path}: row ${shorten(index)}: ${parts.what}`;
  return new DataError({ ...parts, what }, cause);
}

/** A text as a list: a Python list literal's elements, or the text itself. Source: VLMEvalKit, `toliststr`. */
function listOf(text: string, place: Place, column: string): readonly string[] {
  if (!(text.length > 1 && text.startsWith('[') && text.endsWith(']'))) return [text];
  const parsed = parseLiteral(text);
  if (!Array.isArray(parsed) || parsed.length === 0 || parsed.length > MAX_PICTURES) {
    throw failure(place, {
      what: `the list in ${column} cannot be used`,
      got: Array.isArray(parsed) ? `a list of ${parsed.length}` : shorten(text.slice(0, 100)),
      expected: `a Python list of 1 to ${MAX_PICTURES} texts`,
      fix: 'correct the cell, or take the row out',
    });
  }
  return (parsed as readonly unknown[]).map((one) => {
    if (Array.isArray(one)) throw failure(place, { what: `${column} holds a list in a list` });
    return str(one as string | bigint | number | boolean | null);
  });
}

/** ours: the prefix of pictures in web pages; VLMEvalKit would take it as base64 and fail. */
const DATA_URI = /^data:image\/[\w.+-]{1,40};base64,/;

function fromBase64(text: Buffer, place: Place): Buffer {
  const prefix = DATA_URI.exec(text.toString('latin1', 0, 80))?.[0] ?? '';
  const bytes = decodeBase64(text.subarray(prefix.length));
  if (bytes !== undefined && bytes.length > 0 && bytes.length <= MAX_PICTURE_BYTES) return bytes;
  throw failure(place, {
    what: `the picture in ${IMAGE_COLUMN} cannot be used`,
    got:
      bytes === undefined || bytes.length === 0
        ? `${text.length} characters that are no base64: ${shorten(text.toString('latin1', 0, 60))}`
        : `${bytes.length} bytes`,
    expected: `base64 of a picture of at most ${MAX_PICTURE_BYTES} bytes`,
    fix: 'correct the cell, or take the row out',
  });
}

/** The path of a file that is there, links followed; undefined if there is none. */
async function existing(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw error;
  }
}

function outside(path: string, place: Place): DataError {
  return failure(place, {
    what: 'its picture lies outside of the data root',
    got: shorten(path),
    expected: `a path inside of ${place.root}`,
    fix: 'copy the picture into the data root, or name another root',
  });
}

async function readPath(path: string, place: Place): Promise<Buffer> {
  const { root, table } = place;
  const isBad = path === '' || path.length > MAX_PATH_CHARS || path.includes('\0');
  if (isBad || path.split(/[\\/]/).includes('..')) throw outside(path, place);
  const candidates = isAbsolute(path)
    ? [path]
    : [join(root, 'images', table.name, path), join(root, path)];
  let target: string | undefined;
  for (const candidate of candidates) target ??= await existing(candidate);
  if (target === undefined) {
    throw failure(place, {
      what: 'its picture cannot be found',
      got: `no file ${candidates.map(shorten).join(' or ')}`,
      expected: 'the picture as a file below the data root',
      fix: 'put the picture there, or name the folder that holds it as data root',
    });
  }
  if (!target.startsWith(root.endsWith(sep) ? root : root + sep)) throw outside(target, place);
  const found = await stat(target);
  if (found.isFile() && found.size > 0 && found.size <= MAX_PICTURE_BYTES) return readFile(target);
  throw failure(place, {
    what: `${shorten(target)} cannot be a picture`,
    got: found.isFile() ? `a file of ${found.size} bytes` : 'something that is not a file',
    expected: `a file of 1 to ${MAX_PICTURE_BYTES} bytes`,
  });
}

/** The row of the shared picture. Source: VLMEvalKit, which replaces references from the first row on. */
function followReference(cell: PictureCell, order: number, place: Place): PictureCell {
  let [at, last] = [cell, order];
  while (at.kind === 'text') {
    const { text } = at;
    const found = place.table.pictures.of(text);
    const isChain = found?.cell.kind === 'text';
    // What a row before the last one refers to is known already when the last one is looked at.
    if (found !== undefined && found.cell.kind !== 'missing' && !(isChain && found.order >= last)) {
      [at, last] = [found.cell, found.order];
      continue;
    }
    throw failure(place, {
      what: `the row ${shorten(text)} whose picture it shares has none`,
      got:
        found === undefined
          ? 'no such row'
          : `a row that ${isChain ? 'shares a picture, too' : 'has no picture'}`,
      expected: `base64 of a picture in ${IMAGE_COLUMN}, or the index of a row that has it`,
      fix: `correct the cell; paths of files belong into a column ${IMAGE_PATH_COLUMN}`,
    });
  }
  return at;
}

async function readCell(cell: PictureCell, place: Place): Promise<readonly Uint8Array[]> {
  switch (cell.kind) {
    case 'path':
      return [await readPath(cell.path, place)];
    case 'encoded':
      return [await cell.read()];
    case 'several': {
      const pictures: Uint8Array[] = [];
      for (const one of await cell.read()) pictures.push(...(await readCell(one, place)));
      return pictures;
    }
    case 'stored': {
      const text = await cell.read();
      if (text[0] !== 0x5b) return [fromBase64(text, place)];
      const list = listOf(text.toString('utf8'), place, IMAGE_COLUMN);
      return list.map((one) => fromBase64(Buffer.from(one), place));
    }
    default:
      return [];
  }
}

async function readPaths(row: Row, place: Place): Promise<readonly Uint8Array[]> {
  const cell = row[IMAGE_PATH_COLUMN];
  if (typeof cell !== 'string') {
    throw failure(place, {
      what: 'it has no picture',
      got: cell === undefined ? 'no such column' : str(cell),
      expected: `a column ${IMAGE_COLUMN}, or a path in ${IMAGE_PATH_COLUMN}`,
    });
  }
  const paths = listOf(cell, place, IMAGE_PATH_COLUMN);
  const pictures: Uint8Array[] = [];
  for (const path of paths) pictures.push(await readPath(path, place));
  return pictures;
}

/**
 * The encoded pictures of a row, in their order, as bytes of PNG, JPEG or whatever they are.
 * @param row - of this table; only its `index` and `image_path` count.
 * @throws DataError naming table and row: the run may go on with the next one.
 */
export async function resolveImages(
  table: BenchmarkTable,
  row: Row,
  options: ResolveOptions = {},
): Promise<readonly Uint8Array[]> {
  const index = indexText(row);
  const folder = options.root ?? dirname(table.path);
  const place = { table, index, root: (await existing(folder)) ?? folder };
  if (!table.pictures.hasColumn) return readPaths(row, place);
  const found = table.pictures.of(index);
  if (found === undefined) throw failure(place, { what: 'the table has no such row' });
  const isEmpty =
    found.cell.kind === 'missing' || (found.cell.kind === 'text' && found.cell.text === '');
  if (!isEmpty) return readCell(followReference(found.cell, found.order, place), place);
  if (options.era !== 'paper') return [await readPath(`${index}.png`, place)];
  throw failure(place, {
    what: `${IMAGE_COLUMN} is empty`,
    expected: 'a picture; the rules of the paper know no rows without one',
    fix: 'take the row out',
  });
}
