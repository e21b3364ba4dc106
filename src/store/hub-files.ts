// Owns what the hub knows about a model: its commit, its files with sizes and hashes; `hub.ts` asks.
import { INDEX_FILE, SINGLE_FILE } from '../engine/safetensors.ts';
import { CheckpointError } from '../errors.ts';
import type { HubClient } from './hub-client.ts';
import { malformed } from './hub-failure.ts';
import { isCommit } from './hub-id.ts';
import { HEAD_FILE } from './latent-head.ts';

/** A file of a model at a commit. */
export interface HubFile {
  /** A plain name: files in folders are not listed. */
  readonly name: string;
  readonly sizeBytes: number;
  /** Name of the blob in the cache and the hash of the content, in hexadecimal digits. */
  readonly hash: string;
  /** Weights are named by their SHA-256, small files as git does: `blob SIZE\0` before the content. */
  readonly kind: 'sha256' | 'git';
}

/** Files of a model by name. */
export type HubFiles = ReadonlyMap<string, HubFile>;

/** The file without which a folder is no model; it is put into the folder last. */
export const CONFIG_FILE = 'config.json';

/** Files besides the weights that a model is made of, in the order they are got. */
const SMALL_FILES = [
  CONFIG_FILE,
  'generation_config.json',
  'tokenizer.json',
  'tokenizer_config.json',
  'preprocessor_config.json',
  'chat_template.jinja',
  'chat_template.json',
  'run.json',
  INDEX_FILE,
] as const;

/** ours: a page of the list has 1000 files of about 300 bytes; Qwen2.5-VL-72B has 50 files. */
const MAX_PAGES = 100;
const MAX_ANSWER_BYTES = 1 << 24;

interface JsonAnswer {
  readonly json: unknown;
  readonly headers: Headers;
}

async function readJson(client: HubClient, url: URL, what: string): Promise<JsonAnswer> {
  return client.retry(what, async () => {
    const answer = await client.open(url, { accept: 'application/json' });
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of answer.chunks()) {
      sizeBytes += chunk.byteLength;
      if (sizeBytes > MAX_ANSWER_BYTES) {
        throw malformed(
          `The hub's answer for ${what} has no end`,
          `over ${MAX_ANSWER_BYTES} bytes`,
        );
      }
      chunks.push(chunk);
    }
    const text = Buffer.concat(chunks).toString('utf8');
    try {
      return { json: JSON.parse(text) as unknown, headers: answer.response.headers };
    } catch {
      throw malformed(`The hub's answer for ${what} is no JSON`, JSON.stringify(text.slice(0, 80)));
    }
  });
}

/** The commit that a revision stands for now. */
export async function resolveCommit(client: HubClient): Promise<string> {
  const { name, revision } = client.asked;
  if (isCommit(revision)) return revision;
  const url = client.url(`api/models/${name}/revision/${encodeURIComponent(revision)}`);
  const { json } = await readJson(client, url, `the revision of ${name}`);
  const commit = (json as { sha?: unknown } | null)?.sha;
  if (typeof commit === 'string' && isCommit(commit)) return commit;
  throw malformed(
    `The hub names no commit of ${name}@${revision}`,
    typeof commit === 'string' ? commit : typeof commit,
  );
}

interface Entry {
  readonly type?: unknown;
  readonly path?: unknown;
  readonly size?: unknown;
  readonly oid?: unknown;
  readonly lfs?: { readonly oid?: unknown; readonly size?: unknown } | null;
}

/** A file this package may want; undefined for folders, files in folders and names that are odd. */
function readEntry(entry: Entry | null, model: string): HubFile | undefined {
  const { type, path, lfs } = entry ?? {};
  // A name without separators cannot leave its folder, wherever it is written to.
  if (type !== 'file' || typeof path !== 'string' || !/^\w[\w.-]*$/.test(path)) return undefined;
  const kind = lfs ? 'sha256' : 'git';
  const hash = lfs ? lfs.oid : entry?.oid;
  const sizeBytes = lfs ? lfs.size : entry?.size;
  const digits = kind === 'sha256' ? /^[0-9a-f]{64}$/ : /^[0-9a-f]{40}$/;
  const isSized =
    typeof sizeBytes === 'number' && Number.isSafeInteger(sizeBytes) && sizeBytes >= 0;
  if (isSized && typeof hash === 'string' && digits.test(hash)) {
    return { name: path, sizeBytes, hash, kind };
  }
  throw malformed(
    `The hub does not say what ${path} of ${model} should be`,
    `size ${String(sizeBytes)}, hash ${String(hash)}`,
  );
}

/** Address of the next page, on the hub's own host whatever the header says. */
function nextPage(client: HubClient, headers: Headers, from: URL): URL | undefined {
  const target = /<([^>]+)>\s*;\s*rel="?next"?/.exec(headers.get('link') ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, from.href)) return undefined;
  const next = new URL(target, from);
  // A mirror may hand on the original's address; a stranger's must not get the token.
  return next.origin === from.origin ? next : client.url(`${next.pathname.slice(1)}${next.search}`);
}

/** Lists the files in the top folder of a model. */
export async function listFiles(client: HubClient, commit: string): Promise<HubFiles> {
  const { name } = client.asked;
  const files = new Map<string, HubFile>();
  let url: URL | undefined = client.url(`api/models/${name}/tree/${commit}?recursive=true`);
  for (let page = 0; url !== undefined; page++) {
    if (page === MAX_PAGES) {
      throw malformed(`The list of files of ${name} has no end`, `${MAX_PAGES} pages`);
    }
    const { json, headers } = await readJson(client, url, `the list of files of ${name}`);
    if (!Array.isArray(json)) throw malformed(`The files of ${name} are no list`, typeof json);
    for (const entry of json as (Entry | null)[]) {
      const file = readEntry(entry, name);
      if (file !== undefined && !files.has(file.name)) files.set(file.name, file);
    }
    url = nextPage(client, headers, url);
  }
  return files;
}

/** The small files of a model, the first of them `config.json`. @throws CheckpointError without it. */
export function chooseSmallFiles(files: HubFiles, name: string): readonly HubFile[] {
  if (files.has(CONFIG_FILE)) return SMALL_FILES.flatMap((file) => files.get(file) ?? []);
  throw new CheckpointError({
    what: `${name} has no ${CONFIG_FILE}`,
    got: [...files.keys()].slice(0, 10).join(', ') || 'no files',
    expected: 'a model in Hugging Face layout',
    fix: 'name the repository of the original weights, not one of another format',
  });
}

/**
 * The weights of a model and its latent head, if it has one.
 * @param shards - what the index names; absent without an index.
 */
export function chooseWeights(
  files: HubFiles,
  name: string,
  shards: readonly string[] = [SINGLE_FILE],
): readonly HubFile[] {
  const missing = shards.filter((shard) => !files.has(shard));
  if (missing.length === 0) return [...shards, HEAD_FILE].flatMap((file) => files.get(file) ?? []);
  throw new CheckpointError({
    what: `${name} lacks weights`,
    got: `no ${missing.slice(0, 5).join(', ')}`,
    expected: `${SINGLE_FILE}, or every file that ${INDEX_FILE} names`,
    fix: 'name a repository, or a revision, with weights as safetensors',
  });
}
