// Owns training.jsonl: the records of a run, a line a step, for charts and for people who look on.
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { RuntimeError } from '../errors.ts';
import type { StepRecord } from './loop.ts';

/** File of a run's records inside its folder. */
export const RECORDS_FILE = 'training.jsonl';

/**
 * Writes records as they come. The file begins anew with a run that goes on, since such a run gives
 * out the records of before first. Dispose it.
 */
export class RecordFile implements AsyncDisposable {
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  /** @throws RuntimeError when the file cannot be made. */
  static async create(folder: string): Promise<RecordFile> {
    const path = join(folder, RECORDS_FILE);
    try {
      return new RecordFile(path, await open(path, 'w'));
    } catch (error) {
      throw writeError(path, error);
    }
  }

  /** @throws RuntimeError when the disk is full. */
  async append(record: StepRecord): Promise<void> {
    try {
      await this.#handle.appendFile(`${JSON.stringify(record)}\n`);
    } catch (error) {
      throw writeError(this.#path, error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handle.close();
  }
}

function writeError(path: string, error: unknown): RuntimeError {
  return new RuntimeError(
    {
      what: `Cannot write ${path}`,
      got: error instanceof Error ? error.message : String(error),
      fix: 'free disk space or mend the folder, then run the command again: it goes on from its last saved state',
    },
    error,
  );
}
