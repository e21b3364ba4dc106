// Owns reading a dataset folder (examples.jsonl and pictures); the recipes, the CLI and training call it.

import { createReadStream } from 'node:fs';
import { access, constants, readFile, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { DataError } from '../errors.ts';
import { parseExample, type Example, type LinePlace, type Split } from './example.ts';

/** The file of a dataset folder that lists its examples, one JSON object a line. */
export const EXAMPLES_FILE = 'examples.jsonl';
/** What EXAMPLES_FILE is called until its last line is written. */
export const PARTIAL_FILE = `${EXAMPLES_FILE}.partial`;

// ours: a line of every field at its longest stays below 1 MB, a picture file below 256 MB.
const MAX_LINE_BYTES = 1024 * 1024;
const MAX_PICTURE_BYTES = 256 * 1024 * 1024;

const NEWLINE = 10;

function lineTooLong(place: LinePlace): DataError {
  return new DataError({
    what: `${place.file}:${place.line}: the line is too long`,
    got: `more than ${MAX_LINE_BYTES} bytes`,
    expected: 'one JSON object a line, pictures as paths',
  });
}

/** Lines as bytes, at most MAX_LINE_BYTES of which are ever held. */
async function* readLines(file: string): AsyncGenerator<Buffer, void> {
  let pieces: Buffer[] = [];
  let numBytes = 0;
  let line = 1;
  const add = (piece: Buffer): void => {
    numBytes += piece.length;
    if (numBytes > MAX_LINE_BYTES) throw lineTooLong({ file, line });
    pieces.push(piece);
  };
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end < 0) break;
      add(chunk.subarray(start, end));
      yield Buffer.concat(pieces);
      pieces = [];
      numBytes = 0;
      line += 1;
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (numBytes > 0) yield Buffer.concat(pieces);
}

function parseLine(bytes: Buffer, place: LinePlace): unknown {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return value;
  } catch (error) {
    throw new DataError(
      {
        what: `${place.file}:${place.line}: the line is not JSON`,
        got: error instanceof Error ? error.message.slice(0, 200) : 'an unreadable line',
        expected: 'one JSON object a line, in UTF-8',
      },
      error,
    );
  }
}

/** Real path of a picture, which is a file inside of the folder; `root` is the folder's real path. */
async function resolvePicture(root: string, path: string, at: string): Promise<string> {
  const joined = join(root, path);
  let target: string;
  try {
    target = await realpath(joined);
  } catch (error) {
    throw new DataError(
      {
        what: `${at}: the picture ${joined} cannot be found`,
        expected: `a file ${path} in the dataset folder`,
        fix: 'put the picture there or take the line out',
      },
      error,
    );
  }
  if (!target.startsWith(root.endsWith(sep) ? root : root + sep)) {
    throw new DataError({
      what: `${at}: the picture ${joined} lies outside of the dataset folder`,
      got: `a link to ${target}`,
      expected: `a file inside of ${root}`,
      fix: 'copy the picture into the folder',
    });
  }
  const found = await stat(target);
  if (!found.isFile() || found.size === 0 || found.size > MAX_PICTURE_BYTES) {
    throw new DataError({
      what: `${at}: ${joined} cannot be a picture`,
      got: found.isFile() ? `a file of ${found.size} bytes` : 'something that is not a file',
      expected: `a file of 1 to ${MAX_PICTURE_BYTES} bytes`,
    });
  }
  return target;
}

/** Is there a plain file that can be read. */
export async function isReadable(path: string): Promise<boolean> {
  try {
    await access(path, constants.R_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

async function findExamples(folder: string): Promise<string> {
  const file = join(folder, EXAMPLES_FILE);
  if (await isReadable(file)) return file;
  const isUnfinished = await isReadable(join(folder, PARTIAL_FILE));
  throw new DataError({
    what: `${folder} holds no dataset`,
    got: isUnfinished ? `an unfinished ${PARTIAL_FILE}` : `no readable ${EXAMPLES_FILE}`,
    expected: `${EXAMPLES_FILE} with one example a line`,
    fix: isUnfinished
      ? 'run the command that generates it again: it goes on where it stopped'
      : 'name a dataset folder, or generate one with `gapvl data generate`',
  });
}

/**
 * Bytes of one picture of an example, for the processor to decode.
 * @param path - the example's `image` or `auxiliary`.
 * @throws DataError if it is missing, not a file, too large or outside of the folder.
 */
export async function readPicture(folder: string, path: string): Promise<Buffer> {
  const file = await findExamples(folder);
  return readFile(await resolvePicture(await realpath(folder), path, file));
}

/** What to read of a dataset. */
export interface ReadOptions {
  /** Only examples of this split; all by default. */
  readonly split?: Split;
}

/**
 * Streams a dataset in file order. Every line is checked, also those of other splits, and every
 * picture of what is given out must be a file inside of the folder.
 * @throws DataError naming file and line; also if there is no example (of the split).
 */
export async function* readDataset(
  folder: string,
  options: ReadOptions = {},
): AsyncGenerator<Example, void> {
  const file = await findExamples(folder);
  const root = await realpath(folder);
  const lineOfId = new Map<string, number>();
  let line = 0;
  let numGiven = 0;
  for await (const bytes of readLines(file)) {
    line += 1;
    const place = { file, line };
    if (bytes.toString('latin1').trim() === '') continue;
    const example = parseExample(parseLine(bytes, place), place);
    const earlier = lineOfId.get(example.id);
    if (earlier !== undefined) {
      throw new DataError({
        what: `${file}:${line}: the id "${example.id}" is taken`,
        got: `the same id in line ${earlier}`,
        expected: 'an id that occurs once',
      });
    }
    lineOfId.set(example.id, line);
    if (options.split !== undefined && example.split !== options.split) continue;
    const { image, auxiliary } = example;
    const pictures = auxiliary === undefined ? [image] : [image, auxiliary];
    await Promise.all(pictures.map((path) => resolvePicture(root, path, `${file}:${line}`)));
    numGiven += 1;
    yield example;
  }
  if (numGiven > 0) return;
  const wanted = options.split === undefined ? 'example' : `example of the ${options.split} split`;
  throw new DataError({
    what: `${file} has no ${wanted}`,
    got: `${lineOfId.size} examples in all`,
    expected: 'at least one',
    ...(options.split === undefined ? {} : { fix: 'give lines the field "split"' }),
  });
}

/** The whole dataset, or a split of it, as a list; errors as readDataset. */
export async function loadDataset(folder: string, options: ReadOptions = {}): Promise<Example[]> {
  const examples: Example[] = [];
  for await (const example of readDataset(folder, options)) examples.push(example);
  return examples;
}
