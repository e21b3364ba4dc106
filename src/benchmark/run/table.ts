// Owns the table of a run: opened, checked to be the benchmark's, its pictures at hand row by row; run.ts and
// sweeps open it.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename, join } from 'node:path';
import { BENCHMARKS } from '../benchmarks.ts';
import { isFolder } from '../table/file-bytes.ts';
import { loadTable } from '../table/load.ts';
import { resolveImages } from '../table/resolve-images.ts';
import type { DatasetName, Row } from '../types.ts';

/** A table whose rows can be asked. */
export interface RunTable {
  readonly name: DatasetName;
  /** Name of the file without its folder. */
  readonly file: string;
  readonly md5: string;
  /** Whether the MD5 is the published one; null where none is published. */
  readonly isPublished: boolean | null;
  readonly rows: readonly Row[];
  /** Rows without a picture, left out as the reference does. */
  readonly numDropped: number;
  /** Encoded pictures of a row, read when they are asked for. */
  readonly pictures: (row: Row) => Promise<readonly Uint8Array[]>;
}

/** Which table. */
export interface OpenTableOptions {
  readonly benchmark: DatasetName;
  /** File of the table, or the folder that holds it under the benchmark's own file name. */
  readonly data: string;
  /** Takes a table whose MD5 is not the published one. */
  readonly anyTable?: boolean;
  /** Bytes of the table read so far; a large one takes a while. */
  readonly onRead?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
}

async function md5Of(path: string): Promise<string> {
  const hash = createHash('md5');
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) hash.update(chunk);
  return hash.digest('hex');
}

/**
 * Opens a table to be answered.
 * @throws DataError for a file that is broken, has another MD5, or lacks a column of the benchmark.
 */
export async function openTable(options: OpenTableOptions): Promise<RunTable> {
  const benchmark = BENCHMARKS[options.benchmark];
  const { data } = options;
  const path = benchmark.file !== '' && (await isFolder(data)) ? join(data, benchmark.file) : data;
  const table = await loadTable(path, {
    name: benchmark.name,
    md5: options.anyTable === true ? 'ignore' : 'check',
    // Source: evaluation of VLMEvalKit; rows of one index share a prediction in this benchmark alone.
    duplicates: benchmark.name === 'MME-RealWorld-Lite' ? 'keep' : 'error',
    columns: [...benchmark.promptColumns, ...benchmark.scoringColumns],
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.onRead ? { onProgress: options.onRead } : {}),
  });
  const md5 = table.md5 ?? (await md5Of(table.path));
  return {
    ...{ name: benchmark.name, file: basename(table.path), md5 },
    isPublished: benchmark.md5 === null ? null : md5 === benchmark.md5,
    rows: table.rows,
    numDropped: table.numDropped,
    pictures: (row) => resolveImages(table, row),
  };
}
