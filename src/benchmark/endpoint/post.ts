// Owns one POST over HTTP: time limit, size limit, no redirects; `chat-endpoint.ts` calls it.
//
// ours: node:http and not `fetch`, whose limit of 300 s until the headers come cannot be changed without a
// further package; a slow server may think longer about a large picture.
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { systemCode } from '../../engine/atomic-file.ts';
import type { ItemError } from '../prediction.ts';

/** What a server sent back. */
export interface HttpReply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** A call without a whole reply. */
export class TransportFailure extends Error {
  readonly kind: Extract<ItemError['kind'], 'timeout' | 'connection' | 'protocol'>;
  /** False when there was not even a connection, so that the fault is no item's. */
  readonly wasConnected: boolean;

  constructor(kind: TransportFailure['kind'], message: string, wasConnected: boolean) {
    super(message);
    this.kind = kind;
    this.wasConnected = wasConnected;
  }
}

/** ours: error pages are shown in one line, so their beginning is enough. */
const MAX_ERROR_BYTES = 1 << 16;

/** A call. */
export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly signal?: AbortSignal | undefined;
}

interface Connection {
  connected: boolean;
  /** Whether an earlier call was made over it. */
  reused: boolean;
}

/** Posts to one address, over connections that are kept. */
export class Poster implements Disposable {
  readonly #url: URL;
  readonly #agent: HttpAgent;

  constructor(url: URL, concurrency: number) {
    this.#url = url;
    const options = { keepAlive: true, maxSockets: concurrency, maxFreeSockets: concurrency };
    this.#agent = url.protocol === 'https:' ? new HttpsAgent(options) : new HttpAgent(options);
  }

  /**
   * The reply to a body; a reply with an error status is cut to what can be shown.
   * @throws TransportFailure, or the reason of the signal.
   */
  async post(options: PostOptions): Promise<HttpReply> {
    const { signal, timeoutMs } = options;
    signal?.throwIfAborted();
    const end = new AbortController();
    const timer = setTimeout(() => end.abort(), timeoutMs);
    const abort = (): void => end.abort();
    signal?.addEventListener('abort', abort, { once: true });
    const state: Connection = { connected: false, reused: false };
    try {
      const response = await this.#send(options, end.signal, state).catch((error: unknown) => {
        // A kept connection that the server closed meanwhile says nothing about the server.
        if (!state.reused || end.signal.aborted) throw error;
        return this.#send(options, end.signal, state);
      });
      return await readReply(response, options.maxBytes);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof TransportFailure) throw error;
      if (end.signal.aborted) {
        const what = state.connected ? 'no whole reply' : 'no connection';
        throw new TransportFailure('timeout', `${what} in ${timeoutMs / 1000} s`, state.connected);
      }
      const code = systemCode(error) ?? '';
      const isGarbage = code.startsWith('HPE_');
      const words = isGarbage ? 'the reply is not HTTP' : 'the connection broke';
      const what = state.connected ? words : 'no connection';
      const shown = code === '' ? '' : ` (${code})`;
      throw new TransportFailure(
        isGarbage ? 'protocol' : 'connection',
        `${what}${shown}`,
        state.connected,
      );
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  #send(
    { headers, body }: PostOptions,
    signal: AbortSignal,
    state: Connection,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const isTls = this.#url.protocol === 'https:';
      const request: ClientRequest = (isTls ? httpsRequest : httpRequest)(this.#url, {
        method: 'POST',
        agent: this.#agent,
        signal,
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          // What is packed could unpack to any size.
          'accept-encoding': 'identity',
          'user-agent': 'gapvl',
          'content-length': String(body.byteLength),
          ...headers,
        },
      });
      request.on('socket', (socket) => {
        state.reused = request.reusedSocket;
        state.connected = request.reusedSocket;
        if (!request.reusedSocket) {
          socket.once(isTls ? 'secureConnect' : 'connect', () => (state.connected = true));
        }
      });
      request.on('response', resolve);
      request.on('error', reject);
      request.end(body);
    });
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

async function readReply(response: IncomingMessage, maxBytes: number): Promise<HttpReply> {
  const status = response.statusCode ?? 0;
  const isError = status < 200 || status >= 300;
  const limit = isError ? MAX_ERROR_BYTES : maxBytes;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  // Leaving the loop early destroys the response and its connection.
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    sizeBytes += chunk.byteLength;
    if (sizeBytes <= limit) continue;
    if (isError) break;
    throw new TransportFailure('protocol', `a reply of more than ${maxBytes} bytes`, true);
  }
  return { status, headers: response.headers, body: Buffer.concat(chunks).subarray(0, limit) };
}
