// Owns models of the Hugging Face hub: downloads what a model needs into the cache that other
// programs share, and finds it there again; the commands call `resolveModel`.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { INDEX_FILE, readShardNames } from '../engine/safetensors.ts';
import { CheckpointError } from '../errors.ts';
import { parseModelConfig } from '../model/config.ts';
import { readCheckpointJson } from './checkpoint.ts';
import { downloadBlob } from './hub-blob.ts';
import { ModelCache, asDiskFailure } from './hub-cache.ts';
import { HubClient, PATIENCE } from './hub-client.ts';
import type { ClientOptions } from './hub-client.ts';
import { UnreachableError } from './hub-failure.ts';
import { CONFIG_FILE, chooseSmallFiles, chooseWeights, listFiles } from './hub-files.ts';
import { resolveCommit } from './hub-files.ts';
import type { HubFile, HubFiles } from './hub-files.ts';
import { formatHubId, parseHubId } from './hub-id.ts';
import type { HubId } from './hub-id.ts';
import { kept } from './hub-partial.ts';
import { readHubSettings } from './hub-settings.ts';
import type { Environment } from './hub-settings.ts';

/** Options of `fetchModel` and `resolveModel`. */
export interface FetchOptions extends ClientOptions {
  /** Ask nobody: the model is in the cache, or it is an error. So does `HF_HUB_OFFLINE=1`. */
  readonly offline?: boolean;
  /** Bytes of what has to be downloaded, and the file that comes now. */
  readonly onProgress?: (doneBytes: number, totalBytes: number, file: string) => void;
  /** Where `HF_HOME` and the like are looked up; the process's own environment unless given. */
  readonly env?: Environment;
}

/** A model of the hub on this disk. */
export interface FetchedModel {
  readonly id: string;
  readonly revision: string;
  readonly commit: string;
  readonly folder: string;
  /** Size of all files, downloaded now or before. */
  readonly sizeBytes: number;
  readonly files: readonly string[];
}

function sumSizes(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function describe(
  { name, revision }: HubId,
  cache: ModelCache,
  commit: string,
  files: readonly { readonly name: string; readonly sizeBytes: number }[],
): FetchedModel {
  return {
    ...{ id: name, revision, commit, folder: cache.snapshot(commit) },
    ...{ sizeBytes: sumSizes(files), files: files.map((file) => file.name).sort() },
  };
}

/** The model as it is in the cache; undefined unless it is whole. */
async function findWhole(id: HubId, cache: ModelCache): Promise<FetchedModel | undefined> {
  const commit = await cache.commitOf(id.revision);
  if (commit === undefined || (await cache.lacks(commit)).length > 0) return undefined;
  return describe(id, cache, commit, await cache.list(commit));
}

async function notHere(id: HubId, cache: ModelCache): Promise<CheckpointError> {
  const commit = await cache.commitOf(id.revision);
  const lacks = commit === undefined ? [] : await cache.lacks(commit);
  const typed = formatHubId(id);
  return new CheckpointError({
    what: `${typed} is not on this machine, and the hub may not be asked`,
    got: commit === undefined ? 'nothing of it' : `it without ${lacks.join(', ')}`,
    expected: 'a folder that exists, or a model that was downloaded before',
    fix: `run \`gapvl fetch ${typed}\` once, without --offline and HF_HUB_OFFLINE`,
  });
}

/** Downloads the files that are not here, checks and links them. */
class Fetch {
  readonly #client: HubClient;
  readonly #cache: ModelCache;
  readonly #commit: string;
  readonly #onProgress: NonNullable<FetchOptions['onProgress']>;
  #doneBytes = 0;
  #totalBytes = 0;

  constructor(client: HubClient, cache: ModelCache, commit: string, options: FetchOptions) {
    this.#client = client;
    this.#cache = cache;
    this.#commit = commit;
    this.#onProgress = options.onProgress ?? (() => undefined);
  }

  async #missing(files: readonly HubFile[]): Promise<HubFile[]> {
    const paths = await Promise.all(files.map((file) => this.#cache.pathOf(file, this.#commit)));
    return files.filter((_, i) => paths[i] === undefined);
  }

  /** Makes the files blobs, and all but `config.json` files of the snapshot. */
  async get(files: readonly HubFile[]): Promise<void> {
    const { blobs } = this.#cache;
    const missing = await this.#missing(files);
    this.#totalBytes += sumSizes(missing);
    if (missing.length > 0) {
      const left = missing.map(async ({ hash, sizeBytes }) =>
        Math.max(0, sizeBytes - (await kept(blobs, hash))),
      );
      const needed = (await Promise.all(left)).reduce((sum, bytes) => sum + bytes, 0);
      await this.#cache.makeRoom(needed, this.#client.asked.name);
    }
    for (const file of files) {
      this.#client.throwIfAborted();
      if (missing.includes(file)) await this.#getOne(file);
      if (file.name !== CONFIG_FILE) await this.link(file);
    }
  }

  async #getOne(file: HubFile): Promise<void> {
    const before = this.#doneBytes;
    const onBytes = (bytes: number): void => {
      this.#doneBytes = before + bytes;
      this.#onProgress(this.#doneBytes, this.#totalBytes, file.name);
    };
    // Another process may have brought it meanwhile.
    if ((await this.#missing([file])).length === 0) onBytes(file.sizeBytes);
    else {
      const { blobs } = this.#cache;
      await downloadBlob(this.#client, { file, commit: this.#commit, blobs, onBytes });
    }
  }

  async link(file: HubFile): Promise<void> {
    await this.#cache.link(file, this.#commit);
  }
}

async function fetchFiles(
  fetch: Fetch,
  cache: ModelCache,
  commit: string,
  files: HubFiles,
  id: HubId,
): Promise<readonly HubFile[]> {
  const small = chooseSmallFiles(files, id.name);
  await fetch.get(small);
  const config = small[0];
  const path = config && (await cache.pathOf(config, commit));
  // Said before gigabytes of a model come that cannot be run.
  parseModelConfig(path && (await readCheckpointJson(path)), `${CONFIG_FILE} of ${id.name}`);
  const index = join(cache.snapshot(commit), INDEX_FILE);
  const shards = files.has(INDEX_FILE) ? await readShardNames(index) : undefined;
  const weights = chooseWeights(files, id.name, shards);
  await fetch.get(weights);
  // Last, so that a folder with it has everything else too.
  if (config) await fetch.link(config);
  return [...small, ...weights];
}

/**
 * Makes sure that a model of the hub is on this disk, and current where its revision moves. When the
 * hub cannot be reached, what is in the cache is used, and `onNote` is told.
 * @throws CheckpointError (no such model, no access, wrong content), RuntimeError (no connection, disk
 * full), ConfigError (a variable of the environment), the signal's reason.
 */
export async function fetchModel(id: HubId, options: FetchOptions = {}): Promise<FetchedModel> {
  const settings = await readHubSettings(options.env ?? process.env);
  const cache = new ModelCache(settings, id.name);
  const here = await findWhole(id, cache);
  if (options.offline === true || settings.offline) {
    if (here) return here;
    throw await notHere(id, cache);
  }
  const asked = { settings, name: id.name, revision: id.revision };
  const { patience = PATIENCE } = options;
  // ours: with a model at hand nobody wants to wait for a hub that is away.
  const asking = here ? { ...options, patience: { ...patience, attempts: 1 } } : options;
  let [commit, files]: [string | undefined, HubFiles] = [undefined, new Map()];
  try {
    const client = new HubClient(asked, asking);
    commit = await resolveCommit(client);
    files = await listFiles(client, commit);
  } catch (error) {
    if (here && !(error instanceof UnreachableError)) {
      options.onNote?.(`${here.folder} is here from before; --offline uses it as it is`);
    }
    if (!here || !(error instanceof UnreachableError)) throw error;
    const { got = 'no answer' } = error.parts;
    options.onNote?.(`the hub cannot be reached (${got}); using ${here.folder}`);
    return here;
  }
  try {
    const fetch = new Fetch(new HubClient(asked, options), cache, commit, options);
    const chosen = await fetchFiles(fetch, cache, commit, files, id);
    await cache.writeRef(id.revision, commit);
    return describe(id, cache, commit, chosen);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw asDiskFailure(error, id.name);
  }
}

/**
 * The folder of a model: `ref` itself when there is such a file or folder or when it is no id of the
 * hub, else the one that `ORG/NAME[@REVISION]` is downloaded to.
 * @throws as fetchModel.
 */
export async function resolveModel(ref: string, options: FetchOptions = {}): Promise<string> {
  const id = parseHubId(ref);
  const exists = await stat(ref).then(
    () => true,
    () => false,
  );
  return exists || id === undefined ? ref : (await fetchModel(id, options)).folder;
}
