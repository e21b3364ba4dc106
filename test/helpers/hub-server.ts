// A small Hugging Face hub on this machine, with a storage host of another origin as the real one
// has; tests of downloads talk to it over HTTP.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { SHIPPED_BASE } from './small-way.ts';

/** A request as a server saw it. */
export interface SeenRequest {
  readonly host: 'hub' | 'storage';
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
}

/** Answers a request in its own way, or returns false to leave it to the hub. */
export type Interception = (seen: SeenRequest, response: ServerResponse) => boolean;

/** What a test's hub holds and how it behaves. */
export interface HubContent {
  readonly name: string;
  readonly commit: string;
  readonly files: Map<string, Buffer>;
  /** Entries put into the list of files as they are. */
  readonly extraEntries?: readonly unknown[];
}

/** What every revision of a test's hub stands for. */
export const COMMIT = '0123456789abcdef0123456789abcdef01234567';

/** The hash a small file is known by. */
export function gitHash(content: Buffer): string {
  return createHash('sha1').update(`blob ${content.byteLength}\0`).update(content).digest('hex');
}

/** The hash weights are known by. */
export function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Bytes without a pattern that a mistake could hide in; the same for the same size and seed. */
export function someBytes(size: number, seed = 1): Buffer {
  const content = Buffer.alloc(size);
  for (let i = 0, state = seed; i < size; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    content[i] = state >>> 24;
  }
  return content;
}

/** A model with the config of the shipped base and weights that are just bytes. */
export async function smallModel(weightBytes = 300_000): Promise<HubContent> {
  const config = await readFile(join(SHIPPED_BASE, 'config.json'));
  return {
    name: 'org/small',
    commit: COMMIT,
    files: new Map([
      ['.gitattributes', Buffer.from('*.safetensors filter=lfs\n')],
      ['README.md', Buffer.from('# small\n')],
      ['config.json', config],
      ['generation_config.json', Buffer.from('{}\n')],
      ['model.safetensors', someBytes(weightBytes)],
      ['original/other.safetensors', someBytes(10, 2)],
      ['pytorch_model.bin', someBytes(10, 3)],
      ['tokenizer.json', Buffer.from('{"model": {}}\n')],
      ['vocab.json', Buffer.from('{}\n')],
    ]),
  };
}

/** The base that ships with the package, as a model of the hub. */
export async function shippedModel(): Promise<HubContent> {
  const names = await readdir(SHIPPED_BASE);
  const contents = await Promise.all(names.map((name) => readFile(join(SHIPPED_BASE, name))));
  const files = new Map(names.map((name, i) => [name, contents[i] ?? Buffer.alloc(0)]));
  return { name: 'org/base', commit: COMMIT, files };
}

function isLarge(file: string): boolean {
  return file.endsWith('.safetensors');
}

/** Sends content, or the part that `Range` asks for. */
export function sendContent(request: SeenRequest, response: ServerResponse, content: Buffer): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = content.subarray(from);
  if (from > 0) {
    response.statusCode = 206;
    response.setHeader('content-range', `bytes ${from}-${content.length - 1}/${content.length}`);
  }
  response.setHeader('content-length', part.length);
  response.end(request.method === 'HEAD' ? undefined : part);
}

/** A hub with its storage host; both listen on ports of their own until disposed. */
export class HubServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  content: HubContent;
  /** Tried first, before the hub answers as a hub does. */
  intercept: Interception = () => false;
  readonly #hub: Server;
  readonly #storage: Server;
  readonly #pageSize = 3;

  private constructor(content: HubContent) {
    this.content = content;
    this.#hub = createServer((request, response) => this.#answer('hub', request, response));
    this.#storage = createServer((request, response) => this.#answer('storage', request, response));
  }

  static async start(content: HubContent): Promise<HubServer> {
    const server = new HubServer(content);
    for (const one of [server.#hub, server.#storage]) {
      one.listen(0, '127.0.0.1');
      await once(one, 'listening');
    }
    return server;
  }

  get endpoint(): string {
    return `http://127.0.0.1:${(this.#hub.address() as AddressInfo).port}`;
  }

  get storage(): string {
    return `http://127.0.0.1:${(this.#storage.address() as AddressInfo).port}`;
  }

  /** Paths asked of a host since the last `forget`. */
  paths(host?: SeenRequest['host']): string[] {
    return this.requests
      .filter((seen) => host === undefined || seen.host === host)
      .map((seen) => seen.path);
  }

  /** Requests for the content of a file. */
  of(file: string): SeenRequest[] {
    return this.requests.filter((seen) => seen.path.includes(`/${file}`));
  }

  forget(): void {
    this.requests.length = 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const one of [this.#hub, this.#storage]) {
      one.closeAllConnections();
      one.close();
      if (one.listening) await once(one, 'close');
    }
  }

  #answer(host: SeenRequest['host'], request: IncomingMessage, response: ServerResponse): void {
    const { method = 'GET', url: path = '/', headers } = request;
    const seen = { host, method, path, headers };
    this.requests.push(seen);
    if (this.intercept(seen, response)) return;
    const url = new URL(path, 'http://hub');
    const { name, commit, files } = this.content;
    const fail = (status: number, code: string): void => {
      response.writeHead(status, { 'x-error-code': code, 'x-error-message': code }).end();
    };
    if (host === 'storage') {
      const content = files.get(url.pathname.slice(1));
      if (content === undefined || url.searchParams.get('signature') !== 'good')
        fail(403, 'Denied');
      else sendContent(seen, response, content);
      return;
    }
    response.setHeader('x-repo-commit', commit);
    const revision = new RegExp(`^/api/models/${name}/revision/(.+)$`).exec(url.pathname)?.[1];
    const tree = new RegExp(`^/api/models/${name}/tree/(.+)$`).exec(url.pathname)?.[1];
    const [, at, file = ''] =
      new RegExp(`^/${name}/resolve/([^/]+)/(.+)$`).exec(url.pathname) ?? [];
    const known = [commit, 'main', 'v1', 'refs/pr/1'];
    const asked = decodeURIComponent(revision ?? tree ?? at ?? '');
    if (asked === '') fail(401, 'RepoNotFound');
    else if (!known.includes(asked)) fail(404, 'RevisionNotFound');
    else if (revision !== undefined) response.end(JSON.stringify({ id: name, sha: commit }));
    else if (tree !== undefined) this.#list(url, response);
    else this.#resolve(decodeURIComponent(file), seen, response, fail);
  }

  #list(url: URL, response: ServerResponse): void {
    const { files, extraEntries = [] } = this.content;
    const entries = [...files].map(([path, content]) => ({
      type: 'file',
      path,
      size: content.length,
      oid: isLarge(path) ? gitHash(Buffer.from(`pointer to ${path}`)) : gitHash(content),
      ...(isLarge(path)
        ? { lfs: { oid: sha256(content), size: content.length, pointerSize: 134 } }
        : {}),
    }));
    const all = [
      { type: 'directory', path: 'original', size: 0, oid: '' },
      ...extraEntries,
      ...entries,
    ];
    const from = Number(url.searchParams.get('cursor') ?? 0);
    const to = from + this.#pageSize;
    if (to < all.length) {
      url.searchParams.set('cursor', String(to));
      response.setHeader('link', `<${this.endpoint}${url.pathname}${url.search}>; rel="next"`);
    }
    response.end(JSON.stringify(all.slice(from, to)));
  }

  #resolve(
    file: string,
    seen: SeenRequest,
    response: ServerResponse,
    fail: (status: number, code: string) => void,
  ): void {
    const content = this.content.files.get(file);
    if (content === undefined) {
      fail(404, 'EntryNotFound');
      return;
    }
    const etag = `"${isLarge(file) ? sha256(content) : gitHash(content)}"`;
    if (!isLarge(file)) {
      response.setHeader('etag', etag);
      sendContent(seen, response, content);
      return;
    }
    response
      .writeHead(302, {
        location: `${this.storage}/${file}?signature=good`,
        'x-linked-etag': etag,
        'x-linked-size': content.length,
      })
      .end();
  }
}
