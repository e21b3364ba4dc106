// A server on this machine that speaks `/v1/chat/completions`, well or badly as a test wants; tests of
// endpoints, of the judge and of runs over HTTP talk to it.
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { Sleep } from '../../src/benchmark/endpoint/types.ts';

/** A call as the server saw it. */
export interface SeenCall {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Readonly<Record<string, unknown>>;
  /** The text of the last message. */
  readonly text: string;
  /** The pictures of the last message, decoded, in order. */
  readonly pictures: readonly { readonly mimeType: string; readonly bytes: Buffer }[];
  /** Kinds of the parts of the last message; `text` alone for a plain string. */
  readonly kinds: readonly string[];
  readonly atMs: number;
}

/** What becomes of a call. */
export type Behaviour = (response: ServerResponse, call: SeenCall) => void | Promise<void>;

/** A running server. */
export interface OpenAiServer extends AsyncDisposable {
  /** With `/v1`. */
  readonly url: string;
  readonly calls: readonly SeenCall[];
  /** Most calls that were open at the same time. */
  readonly mostOpen: () => number;
  /** Calls that are open now. */
  readonly numOpen: () => number;
  /** Connections that were ever made. */
  readonly numConnections: () => number;
  /** Behaviours of the next calls, before those of the server. */
  readonly next: (...behaviours: readonly Behaviour[]) => void;
  /** Ends the server; connections to it are refused from then on. */
  readonly close: () => Promise<void>;
}

/** What a server is like. */
export interface OpenAiServerOptions {
  /** What becomes of calls; a text is the answer to all of them. */
  readonly behave?: string | ((call: SeenCall) => Behaviour);
  /** Calls without this key are refused, and the refusal holds whatever key they had. */
  readonly key?: string;
  readonly port?: number;
}

/** The model every answer says it is from. */
export const SERVED_MODEL = 'served-model-2024-07-18';

/** The body of a good reply. */
export function completion(text: unknown, changes: Readonly<Record<string, unknown>> = {}): string {
  return JSON.stringify({
    id: 'chatcmpl-1',
    object: 'chat.completion',
    model: SERVED_MODEL,
    choices: [{ index: 0, message: { role: 'assistant', content: text }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
    ...changes,
  });
}

/** Sends a body with a status. */
export function send(
  body: string,
  status = 200,
  headers: Readonly<Record<string, string>> = {},
): Behaviour {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers });
    response.end(body);
  };
}

/** A good answer. */
export function answer(text: string, changes: Readonly<Record<string, unknown>> = {}): Behaviour {
  return send(completion(text, changes));
}

/** An error in the form of the API. */
export function failure(
  status: number,
  message = 'this went wrong',
  headers: Readonly<Record<string, string>> = {},
): Behaviour {
  return send(JSON.stringify({ error: { message, type: 'test' } }), status, headers);
}

/** 429 with `Retry-After` as given: seconds, or a date. */
export function tooMany(retryAfter?: string, headers: Record<string, string> = {}): Behaviour {
  const after = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
  return failure(429, 'too many requests', { ...after, ...headers });
}

/** Does something else after a while. */
export function slow(ms: number, then: Behaviour): Behaviour {
  return async (response, call) => {
    await wait(ms);
    if (!response.destroyed) await then(response, call);
  };
}

/** Closes the connection without a word. */
export const drop: Behaviour = (response) => void response.destroy();

/** Closes the connection in the middle of a good body. */
export const dropMidway: Behaviour = (response) => {
  const body = completion('an answer that does not come to its end');
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': body.length });
  response.write(body.slice(0, 40), () => response.destroy());
};

/** Sends headers and half a body, and nothing more. */
export const stall: Behaviour = (response) => {
  response.writeHead(200, { 'content-type': 'application/json' });
  response.write('{"choices":');
};

/** Never answers. */
export const silence: Behaviour = () => undefined;

/** Good JSON that never ends, sent as fast as it is read. */
export function endless(status = 200): Behaviour {
  const chunk = 'A'.repeat(1 << 16);
  function* body(): Generator<string> {
    yield '{"choices":[{"message":{"content":"';
    for (;;) yield chunk;
  }
  return async (response) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    await pipeline(Readable.from(body()), response);
  };
}

/** Something that is not HTTP. */
export const noHttp: Behaviour = (response) =>
  void response.socket?.end('SSH-2.0-OpenSSH_9.6\r\n\r\n');

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString()) as Record<string, unknown>;
}

interface Part {
  readonly type: string;
  readonly text?: string;
  readonly image_url?: { readonly url: string };
}

function partsOf(body: Readonly<Record<string, unknown>>): readonly Part[] {
  const messages = body['messages'] as { readonly content: string | readonly Part[] }[];
  const content = messages.at(-1)?.content ?? '';
  return typeof content === 'string' ? [{ type: 'text', text: content }] : content;
}

async function seen(request: IncomingMessage): Promise<SeenCall> {
  const body = await readBody(request);
  const parts = partsOf(body);
  return {
    path: request.url ?? '',
    headers: request.headers,
    body,
    text: parts.map(({ text = '' }) => text).join(''),
    kinds: parts.map(({ type }) => type),
    pictures: parts.flatMap(({ image_url: picture }) => {
      const [, mimeType = '', base64 = ''] =
        /^data:([^;]+);base64,(.*)$/.exec(picture?.url ?? '') ?? [];
      return picture === undefined ? [] : [{ mimeType, bytes: Buffer.from(base64, 'base64') }];
    }),
    atMs: performance.now(),
  };
}

/** Starts a server on 127.0.0.1. */
export async function startOpenAiServer(options: OpenAiServerOptions = {}): Promise<OpenAiServer> {
  const { behave = 'A', key } = options;
  const calls: SeenCall[] = [];
  const queue: Behaviour[] = [];
  const sockets = new Set<Socket>();
  let numOpen = 0;
  let mostOpen = 0;
  let numConnections = 0;
  const choose = (call: SeenCall): Behaviour => {
    const given = call.headers.authorization ?? '';
    if (key !== undefined && given !== `Bearer ${key}`) {
      return failure(401, `Incorrect API key provided: ${given.replace(/^Bearer /, '')}`);
    }
    if (!/^\/([\w-]+\/)*chat\/completions(\?.*)?$/.test(call.path))
      return failure(404, 'not found');
    return queue.shift() ?? (typeof behave === 'string' ? answer(behave) : behave(call));
  };
  const server: Server = createServer((request, response) => {
    mostOpen = Math.max(mostOpen, (numOpen += 1));
    response.on('close', () => (numOpen -= 1));
    void seen(request)
      .then((call) => {
        calls.push(call);
        return choose(call)(response, call);
      })
      // A client that went away in the middle of its own body.
      .catch(() => response.destroy());
  });
  server.on('connection', (socket) => {
    numConnections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async (): Promise<void> => {
    if (!server.listening) return;
    server.close();
    for (const socket of sockets) socket.destroy();
    await once(server, 'close');
  };
  return {
    url: `http://127.0.0.1:${port}/v1`,
    calls,
    mostOpen: () => mostOpen,
    numOpen: () => numOpen,
    numConnections: () => numConnections,
    next: (...behaviours) => void queue.push(...behaviours),
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A clock whose waits pass at once; the rest of its time is real. */
export interface QuickTime {
  readonly clock: { readonly now: () => number; readonly date: () => string };
  readonly sleep: Sleep;
  /** Waits that were asked for, in milliseconds. */
  readonly slept: readonly number[];
}

/**
 * Time that skips all waits.
 * @param today - the calendar time.
 * @param isReal - false: nothing but waits takes time.
 */
export function quickTime(today = '2026-01-01T00:00:00Z', isReal = true): QuickTime {
  const slept: number[] = [];
  let skippedMs = 0;
  return {
    clock: { now: () => (isReal ? performance.now() : 0) + skippedMs, date: () => today },
    slept,
    sleep: (ms, signal) => {
      signal?.throwIfAborted();
      slept.push(ms);
      skippedMs += ms;
      return Promise.resolve();
    },
  };
}
