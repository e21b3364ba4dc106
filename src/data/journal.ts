// Owns JSONL files that grow while a run goes on and survive its end at any moment; scoring, comparing
// and training write them.
import { mkdir, open, readFile, truncate } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import { ConfigError, DataError, RuntimeError } from '../errors.ts';

/** The first line of a journal: what made it. Values are compared as JSON, field by field. */
export type JournalHeader = Readonly<Record<string, unknown>> & { readonly format: string };

const NEWLINE = 10;

function parseLine(text: string, path: string, line: number): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new DataError(
      {
        what: `${path}:${line}: the line is not JSON`,
        got: text.slice(0, 80),
        expected: 'one JSON object a line',
        fix: 'remove the file and run the command again',
      },
      cause,
    );
  }
}

/** Header and lines of a journal; half a line at the end is left out. */
export interface JournalContents {
  readonly header: JournalHeader;
  readonly records: readonly unknown[];
  /** Bytes up to the end of the last complete line. */
  readonly sizeBytes: number;
}

/**
 * Reads a journal; undefined when there is no file, or not even a complete first line.
 * @throws DataError naming file and line for a line that is no JSON, or a first line of other kind.
 */
export async function readJournal(
  path: string,
  format: string,
): Promise<JournalContents | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw new DataError(
      { what: `${path} cannot be read`, got: (error as Error).message, fix: 'check the path' },
      error,
    );
  }
  const sizeBytes = bytes.lastIndexOf(NEWLINE) + 1;
  if (sizeBytes === 0 && bytes.length === 0) return undefined;
  const lines = bytes.toString('utf8', 0, Math.max(0, sizeBytes - 1)).split('\n');
  const [first, ...records] = lines.map((line, i) => parseLine(line, path, i + 1));
  const header = first as JournalHeader | null | undefined;
  if (typeof header !== 'object' || header?.format !== format) {
    throw new DataError({
      what: `${path}:1: this is not a file of the kind that is needed`,
      got: (lines[0] ?? '').slice(0, 80),
      expected: `a first line with "format":"${format}"`,
      fix: 'name another file',
    });
  }
  return { header, records, sizeBytes };
}

/** Names of fields whose values are not the same. */
export function differingFields(
  found: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): string[] {
  const names = [...new Set([...Object.keys(found), ...Object.keys(wanted)])];
  return names.filter((name) => JSON.stringify(found[name]) !== JSON.stringify(wanted[name]));
}

function show(fields: Readonly<Record<string, unknown>>, names: readonly string[]): string {
  return names.map((name) => `${name} ${JSON.stringify(fields[name])}`).join(', ');
}

/** The error for an output that belongs to another run, with the fields that differ. */
export function otherRun(
  path: string,
  found: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): ConfigError {
  const names = differingFields(found, wanted);
  return new ConfigError({
    what: `${path} belongs to another run`,
    got: show(found, names),
    expected: show(wanted, names),
    fix: 'name another output, or remove this one to start over',
  });
}

async function onDisk<T>(path: string, operation: () => Promise<T>): Promise<T> {
  try {
    return await operation();
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    const isFull = code === 'ENOSPC' || code === 'EDQUOT';
    throw new RuntimeError(
      {
        what: isFull ? `Disk full while writing ${path}` : `Cannot write ${path}`,
        got: (error as Error).message,
        fix: `${isFull ? 'free disk space' : 'make the folder writable'} and run the command again: what is written is kept`,
      },
      error,
    );
  }
}

/** Makes the folder of a file. @throws RuntimeError naming it. */
export async function makeFolderOf(path: string): Promise<void> {
  await onDisk(dirname(path), () => mkdir(dirname(path), { recursive: true }));
}

/** A journal that is being written. Dispose it; what was appended is safe at every moment. */
export class Journal implements AsyncDisposable {
  readonly path: string;
  /** Complete records of an earlier run, in order. */
  readonly records: readonly unknown[];
  readonly #handle: FileHandle;

  private constructor(path: string, records: readonly unknown[], handle: FileHandle) {
    this.path = path;
    this.records = records;
    this.#handle = handle;
  }

  /**
   * Opens a journal to go on with it, or starts one; half a line at its end is cut off.
   * @throws ConfigError when it belongs to another run: the fields of the header that differ.
   */
  static async open(path: string, header: JournalHeader): Promise<Journal> {
    const found = await readJournal(path, header.format);
    if (found && differingFields(found.header, header).length > 0) {
      throw otherRun(path, found.header, header);
    }
    await makeFolderOf(path);
    if (found) await onDisk(path, () => truncate(path, found.sizeBytes));
    else await writeFileAtomic(path, [`${JSON.stringify(header)}\n`]);
    const handle = await onDisk(path, () => open(path, 'a'));
    return new Journal(path, found?.records ?? [], handle);
  }

  /** Appends records, a line each, in one write. */
  async append(records: readonly unknown[]): Promise<void> {
    if (records.length === 0) return;
    const text = records.map((record) => `${JSON.stringify(record)}\n`).join('');
    await onDisk(this.path, () => this.#handle.appendFile(text));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}
