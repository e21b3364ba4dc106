// Owns downloading the file of a benchmark: goes on where a try stopped, and keeps only what has the published
// MD5; `gapvl evaluate fetch` calls it.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { mkdir, rename, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { systemCode } from '../../engine/atomic-file.ts';
import { CheckpointError, ConfigError, DataError, RuntimeError } from '../../errors.ts';
import { HubClient } from '../../store/hub-client.ts';
import type { Answer, ClientOptions } from '../../store/hub-client.ts';
import { Transient, UnreachableError } from '../../store/hub-failure.ts';
import { Partial } from '../../store/hub-partial.ts';
import { findBenchmark } from '../benchmarks.ts';
import { readThrough } from './file-bytes.ts';

/** ours: ten times the largest of the six files; an answer without an end is none. */
const MAX_BYTES = 64 * 2 ** 30;
const READ_BYTES = 1 << 20;

/** How a benchmark is downloaded. */
export interface FetchBenchmarkOptions extends ClientOptions {
  /** Where the file goes; `defaultDataFolder()` otherwise. */
  readonly folder?: string;
  /** A server that has the same paths as the published one. */
  readonly baseUrl?: string;
  /** The MD5 the file has to have, should the publisher have changed it. */
  readonly md5?: string;
  /** Replaces a file of the same name that is another one. */
  readonly force?: boolean;
  /** Bytes that are on the disk, and in all; 0 where the server does not say. */
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
}

/** A benchmark's file on this disk. */
export interface FetchedBenchmark {
  readonly name: string;
  /** Absolute path. */
  readonly path: string;
  readonly md5: string;
  readonly sizeBytes: number;
  /** False when it was there already. */
  readonly isNew: boolean;
}

/** The folder of benchmarks VLMEvalKit uses, too: `$LMUData`, or `~/LMUData`. */
export function defaultDataFolder(env: Readonly<Record<string, string | undefined>>): string {
  const named = env['LMUData'];
  return named === undefined || named === '' ? join(homedir(), 'LMUData') : resolve(named);
}

/** What is downloaded, and where from and to. */
interface Job {
  readonly name: string;
  readonly url: URL;
  readonly md5: string;
  readonly folder: string;
  readonly path: string;
}

function jobOf(name: string, options: FetchBenchmarkOptions): Job {
  const { url, md5: published, file } = findBenchmark(name);
  if (url === null || published === null) {
    throw new ConfigError({
      what: 'this table cannot be downloaded',
      got: name,
      expected: 'one of the published benchmarks',
    });
  }
  const md5 = (options.md5 ?? published).toLowerCase();
  if (!/^[\da-f]{32}$/.test(md5)) {
    throw new ConfigError({
      what: 'the MD5 cannot be used',
      got: md5.slice(0, 100),
      expected: '32 hexadecimal digits',
    });
  }
  const { origin, pathname } = new URL(url);
  const base = options.baseUrl ?? origin;
  const isBase = URL.canParse(base) && /^https?:$/.test(new URL(base).protocol);
  if (!isBase) {
    throw new ConfigError({
      what: 'the address of the server cannot be used',
      got: base.slice(0, 100),
      expected: 'an address that begins with http:// or https://',
    });
  }
  const at = `${new URL(base).href.replace(/\/+$/, '')}${pathname}`;
  const folder = resolve(options.folder ?? defaultDataFolder(process.env));
  return { name, url: new URL(at), md5, folder, path: join(folder, file) };
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(
    (found) => found.size,
    () => undefined,
  );
}

/** Writes the half file at its end, and knows the MD5 of what is in it. */
class Writer {
  done = 0;
  #hash: Hash = createHash('md5');
  readonly #partial: Partial;
  readonly #onBytes: (doneBytes: number) => void;

  constructor(partial: Partial, onBytes: (doneBytes: number) => void) {
    this.#partial = partial;
    this.#onBytes = onBytes;
  }

  /** Hashes what an earlier try left. */
  async catchUp(throwIfAborted: () => void): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    while (this.done < this.#partial.sizeBytes) {
      throwIfAborted();
      const { bytesRead } = await this.#partial.handle.read(buffer, 0, READ_BYTES, this.done);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.done += bytesRead;
    }
    this.#onBytes(this.done);
  }

  async write(chunk: Uint8Array): Promise<void> {
    let written = 0;
    while (written < chunk.byteLength) {
      const length = chunk.byteLength - written;
      const place = this.done + written;
      written += (await this.#partial.handle.write(chunk, written, length, place)).bytesWritten;
    }
    this.#hash.update(chunk);
    this.done += chunk.byteLength;
    this.#onBytes(this.done);
  }

  async restart(): Promise<void> {
    await this.#partial.handle.truncate(0);
    this.#hash = createHash('md5');
    this.done = 0;
    this.#onBytes(0);
  }

  hex(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** What came is of no use; a try that fails otherwise leaves something to go on with. */
class WrongContent extends DataError {}

/** Size of the whole file as an answer tells it; and whether it is the rest that was asked for. */
function rangeOf({ response }: Answer, from: number): { isRest: boolean; total: number } {
  const { headers, status } = response;
  if (status === 206) {
    const [, start, total] =
      /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
    if (Number(start) !== from) throw new Transient('the server sent another part');
    return { isRest: true, total: total === '*' ? 0 : Number(total) };
  }
  const length = headers.has('content-encoding') ? null : headers.get('content-length');
  return { isRest: from === 0, total: Number(length ?? 0) };
}

async function receive(
  client: HubClient,
  job: Job,
  writer: Writer,
  onTotal: (total: number) => void,
): Promise<void> {
  const from = writer.done;
  if (from > 0 && writer.hex() === job.md5) return;
  const answer = await client.open(job.url, from > 0 ? { range: `bytes=${from}-` } : {});
  let total = 0;
  try {
    const range = rangeOf(answer, from);
    total = range.total;
    if (total > MAX_BYTES) throw wrongFile(job, `${total} bytes`);
    onTotal(total);
    if (!range.isRest) await writer.restart();
    for await (const chunk of answer.chunks()) {
      const done = writer.done + chunk.byteLength;
      if (done > (total || MAX_BYTES))
        throw wrongFile(job, `more than ${total || MAX_BYTES} bytes`);
      await writer.write(chunk);
    }
  } finally {
    await answer.close().catch(() => undefined);
  }
  if (writer.done < total) {
    throw new Transient(`the file ended after ${writer.done} of ${total} bytes`);
  }
}

function wrongFile({ name, url, md5 }: Job, got: string): WrongContent {
  return new WrongContent({
    what: `${url.host} has another file than the published one of ${name}; it was not kept`,
    got,
    expected: `MD5 ${md5}`,
    fix: 'run the command again; if it stays, the publisher has changed the file, or something on the way does',
  });
}

/** Downloads until the MD5 is right; what an earlier try left may be wrong, once. */
async function receiveWhole(
  client: HubClient,
  job: Job,
  writer: Writer,
  onTotal: (total: number) => void,
): Promise<void> {
  const wasResumed = writer.done > 0;
  try {
    await client.retry(
      `the file of ${job.name}`,
      () => receive(client, job, writer, onTotal),
      () => writer.done,
    );
    if (writer.hex() === job.md5) return;
  } catch (error) {
    // A half file that is no beginning of the file asks for a part that is not there.
    const isNoPart = error instanceof CheckpointError && statusOf(error) === '416';
    if (!wasResumed || !isNoPart) throw error;
  }
  if (!wasResumed) throw wrongFile(job, `MD5 ${writer.hex()}`);
  await writer.restart();
  await receiveWhole(client, job, writer, onTotal);
}

function statusOf(error: CheckpointError): string | undefined {
  return /^HTTP (\d+)/.exec(error.parts.got ?? '')?.[1];
}

/** The error of a server or of the disk, about a benchmark rather than a model. */
function inOurWords(error: unknown, job: Job): unknown {
  const { name, url, folder } = job;
  if (error instanceof UnreachableError) {
    return new RuntimeError(
      {
        what: `${url.host} did not give the file of ${name}`,
        ...(error.parts.got === undefined ? {} : { got: error.parts.got }),
        expected: 'a connection that holds',
        fix: 'check the network, then run the command again: what came is kept',
      },
      error,
    );
  }
  if (error instanceof CheckpointError) {
    const isMissing = statusOf(error) === '404';
    return new DataError(
      {
        what: isMissing
          ? `${url.host} has no file ${url.pathname} any more`
          : `${url.host} does not give the file of ${name}`,
        got: (error.parts.got ?? error.parts.what).replace(' without a token', ''),
        expected: `the published file, MD5 ${job.md5}`,
        fix: `get the file elsewhere, and put it to ${job.path}`,
      },
      error,
    );
  }
  const code = systemCode(error);
  if (code === undefined || !('syscall' in (error as Error))) return error;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return new RuntimeError(
    {
      what: isFull ? `Disk full while downloading ${name}` : `Cannot write to ${folder}`,
      got: (error as Error).message,
      expected: isFull ? 'room for the whole file' : 'a folder that can be written',
      fix: isFull
        ? 'free disk space and run the command again, it goes on where it stopped; or name another folder'
        : 'name another folder with --out, or set LMUData',
    },
    error,
  );
}

/** Names a finished file; another process may have done so. */
async function giveName({ folder, md5, path }: Job): Promise<void> {
  try {
    await rename(join(folder, md5), path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT' || (await sizeOf(path)) === undefined) throw error;
  }
}

/** A process that was killed may have left a finished file that lacks its name only. */
async function nameFinished(job: Job): Promise<void> {
  const finished = join(job.folder, job.md5);
  if ((await sizeOf(finished)) === undefined || (await sizeOf(job.path)) !== undefined) return;
  const { md5 } = await readThrough(finished, () => undefined);
  if (md5 === job.md5) await giveName(job);
}

async function download(job: Job, options: FetchBenchmarkOptions): Promise<number> {
  const { folder, md5, name, url } = job;
  const settings = { endpoint: url.origin, cache: folder, offline: false, symlinks: false };
  const client = new HubClient({ settings, name, revision: '' }, options);
  const partial = await Partial.claim(folder, md5, MAX_BYTES);
  try {
    let total = 0;
    const writer = new Writer(partial, (done) => options.onProgress?.(done, total));
    await writer.catchUp(() => client.throwIfAborted());
    await receiveWhole(client, job, writer, (bytes) => {
      total = bytes;
    });
    const { done } = writer;
    await partial.commit(true);
    await giveName(job);
    return done;
  } catch (error) {
    await (error instanceof WrongContent ? partial.discard() : partial.park()).catch(
      () => undefined,
    );
    throw error;
  }
}

/**
 * Downloads the file of a benchmark, unless it is there; what came of it is kept when it fails.
 * @param name - as `BENCHMARKS` has it; case matters.
 * @throws ConfigError for an unknown name; DataError for a file that is another one, here or there, or is not
 * there; RuntimeError for a full disk or a connection that does not hold.
 */
export async function fetchBenchmark(
  name: string,
  options: FetchBenchmarkOptions = {},
): Promise<FetchedBenchmark> {
  const job = jobOf(name, options);
  const { path, md5, folder } = job;
  try {
    await mkdir(folder, { recursive: true });
    await nameFinished(job);
    const sizeBytes = await sizeOf(path);
    if (sizeBytes !== undefined && options.force !== true) {
      const found = await readThrough(path, () => undefined, options);
      if (found.md5 === md5) return { name, path, md5, sizeBytes, isNew: false };
      throw new DataError({
        what: `${path} is there, but is not the published file of ${name}`,
        got: `MD5 ${found.md5}`,
        expected: `MD5 ${md5}`,
        fix: 'move it away or name another folder; or replace it with --force',
      });
    }
    return { name, path, md5, sizeBytes: await download(job, options), isNew: true };
  } catch (error) {
    options.signal?.throwIfAborted();
    throw inOurWords(error, job);
  }
}
