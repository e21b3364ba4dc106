// Owns reading a picture's file that a command line names; `generate` and `explain` call it.
import { readFile } from 'node:fs/promises';
import { DataError } from '../errors.ts';

/** The bytes of a picture's file. @throws DataError naming it when it cannot be read. */
export async function readPictureFile(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new DataError(
      {
        what: `Picture ${path} cannot be read`,
        got: cause instanceof Error ? cause.message : String(cause),
        expected: 'a picture file',
        fix: 'check the path',
      },
      cause,
    );
  }
}
