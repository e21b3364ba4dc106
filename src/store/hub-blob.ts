// Owns the download of one file into the cache: goes on where a try stopped, never writes more than
// was announced, and keeps only what has the right hash; `hub.ts` calls it.
import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { CheckpointError } from '../errors.ts';
import type { ErrorParts } from '../errors.ts';
import { asDiskFailure } from './hub-cache.ts';
import type { Answer, HubClient } from './hub-client.ts';
import { Transient } from './hub-failure.ts';
import type { HubFile } from './hub-files.ts';
import { Partial } from './hub-partial.ts';

const READ_BYTES = 1 << 20;

/** Where a file comes from and goes to. */
export interface BlobJob {
  readonly file: HubFile;
  readonly commit: string;
  /** Folder of the blobs. */
  readonly blobs: string;
  /** Bytes of this file that are on the disk. */
  readonly onBytes: (doneBytes: number) => void;
}

function startHash({ kind, sizeBytes }: HubFile): Hash {
  // Source: git hash-object; huggingface_hub, `sha.git_hash`.
  return kind === 'git' ? createHash('sha1').update(`blob ${sizeBytes}\0`) : createHash('sha256');
}

/** Writes a file at its end and hashes what it writes. */
class Writer {
  done = 0;
  #hash: Hash;
  readonly #partial: Partial;
  readonly #job: BlobJob;
  readonly #client: HubClient;

  constructor(partial: Partial, job: BlobJob, client: HubClient) {
    this.#partial = partial;
    this.#job = job;
    this.#client = client;
    this.#hash = startHash(job.file);
  }

  /** Hashes what an earlier try left. */
  async catchUp(): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    while (this.done < this.#partial.sizeBytes) {
      this.#client.throwIfAborted();
      const { bytesRead } = await this.#partial.handle.read(buffer, 0, READ_BYTES, this.done);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.done += bytesRead;
    }
    this.#job.onBytes(this.done);
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
    this.#job.onBytes(this.done);
  }

  async restart(): Promise<void> {
    await this.#partial.handle.truncate(0);
    this.#hash = startHash(this.#job.file);
    this.done = 0;
    this.#job.onBytes(0);
  }

  hex(): string {
    return this.#hash.copy().digest('hex');
  }
}

/** What came is of no use; a try that fails otherwise leaves something to go on with. */
class WrongContent extends CheckpointError {}

function wrongSize({ name, sizeBytes }: HubFile, model: string, got: string): ErrorParts {
  return {
    what: `${name} of ${model} has another size than the hub's list of files says`,
    got,
    expected: `${sizeBytes} bytes`,
    fix: 'run the command again; if it stays, check HF_ENDPOINT and any proxy on the way',
  };
}

/** Makes sure that an answer is the rest of the file; false: it is the whole file again. */
function isRest({ response }: Answer, from: number, file: HubFile, model: string): boolean {
  const { headers, status } = response;
  const length = headers.get('content-length');
  const isPacked = headers.has('content-encoding');
  if (status === 206) {
    const [, start, total] =
      /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('content-range') ?? '') ?? [];
    if (total !== undefined && total !== '*' && Number(total) !== file.sizeBytes) {
      throw new CheckpointError(wrongSize(file, model, `${total} bytes`));
    }
    if (Number(start) !== from) throw new Transient('the hub sent another part than was asked for');
    return true;
  }
  if (length !== null && !isPacked && Number(length) !== file.sizeBytes) {
    throw new CheckpointError(wrongSize(file, model, `${length} bytes`));
  }
  return from === 0;
}

async function receive(client: HubClient, job: BlobJob, writer: Writer): Promise<void> {
  const { file, commit } = job;
  const { name } = client.asked;
  const from = writer.done;
  if (from === file.sizeBytes) return;
  const url = client.url(`${name}/resolve/${commit}/${encodeURIComponent(file.name)}`);
  const answer = await client.open(url, from > 0 ? { range: `bytes=${from}-` } : {});
  try {
    if (!isRest(answer, from, file, name)) await writer.restart();
    for await (const chunk of answer.chunks()) {
      if (writer.done + chunk.byteLength > file.sizeBytes) {
        throw new WrongContent(wrongSize(file, name, `more than ${file.sizeBytes} bytes`));
      }
      await writer.write(chunk);
    }
  } finally {
    await answer.close().catch(() => undefined);
  }
  if (writer.done < file.sizeBytes) {
    throw new Transient(`${file.name} ended after ${writer.done} of ${file.sizeBytes} bytes`);
  }
}

/** Downloads until the hash is right; what an earlier try left may be wrong, once. */
async function receiveWhole(
  client: HubClient,
  job: BlobJob,
  writer: Writer,
  isResumed: boolean,
): Promise<void> {
  const { file } = job;
  const what = `${file.name} of ${client.asked.name}`;
  await client.retry(
    what,
    () => receive(client, job, writer),
    () => writer.done,
  );
  const hash = writer.hex();
  if (hash === file.hash) return;
  if (isResumed) {
    await writer.restart();
    return receiveWhole(client, job, writer, false);
  }
  throw new WrongContent({
    what: `${what} is not what the hub's list of files says; it was not kept`,
    got: `${file.kind === 'git' ? 'git blob' : 'SHA-256'} ${hash}`,
    expected: file.hash,
    fix: 'run the command again; if it stays, check HF_ENDPOINT and any proxy on the way',
  });
}

/**
 * Downloads a file and makes it a blob. What came is kept when it fails, unless it is wrong.
 * @throws CheckpointError (wrong size or hash, no access), RuntimeError (disk full, no connection).
 */
export async function downloadBlob(client: HubClient, job: BlobJob): Promise<void> {
  const { file, blobs } = job;
  try {
    const partial = await Partial.claim(blobs, file.hash, file.sizeBytes);
    try {
      const writer = new Writer(partial, job, client);
      await writer.catchUp();
      await receiveWhole(client, job, writer, partial.sizeBytes > 0);
    } catch (error) {
      await (error instanceof WrongContent ? partial.discard() : partial.park());
      throw error;
    }
    await partial.commit(file.kind === 'sha256');
  } catch (error) {
    client.throwIfAborted();
    throw asDiskFailure(error, `${file.name} of ${client.asked.name}`);
  }
}
