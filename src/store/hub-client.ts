// Owns requests to the hub: token, redirects, time limits, bounded retries; `hub-files.ts` and
// `hub-blob.ts` ask through it.
//
// ours: `@huggingface/hub` (2.17) is not used. Its downloads neither resume nor compare hashes nor
// try again, its temporary file is one for all processes, its list of files sends the token to
// whatever host a `Link` header names and bounds no answer, its `modelInfo` refuses tokens that do
// not begin with `hf_`, and its path of the cache ignores `~`.
import { setTimeout as sleep } from 'node:timers/promises';
import { RuntimeError } from '../errors.ts';
import { Transient, UnreachableError, cleanText, failureOf, malformed } from './hub-failure.ts';
import type { Asked } from './hub-failure.ts';

/** How patient a client is. */
export interface Patience {
  /** Failures in a row, without progress between them, after which it gives up. */
  readonly attempts: number;
  /** The first wait; each further one is twice as long. */
  readonly waitMs: number;
  /** Silence of a connection after which it counts as broken. */
  readonly stallMs: number;
}

/** ours: 1 + 2 + 4 + 8 s of waiting pass over a router's restart, and nobody waits longer blindly. */
export const PATIENCE: Patience = { attempts: 5, waitMs: 1000, stallMs: 60_000 };

/** ours: the hub counts requests in windows of five minutes; who has to wait longer wants to know. */
const MAX_WAIT_MS = 300_000;
const MAX_REDIRECTS = 8;
/** ours: a mebibyte between two failures shows that the connection works. */
const PROGRESS_BYTES = 1 << 20;

/** What a client needs besides the model it is about. */
export interface ClientOptions {
  readonly patience?: Patience;
  readonly signal?: AbortSignal;
  /** Is told in a line why something takes longer. */
  readonly onNote?: (line: string) => void;
}

/** An answer whose body is read in chunks; a chunk that does not come in time is an error. */
export interface Answer {
  readonly response: Response;
  readonly chunks: () => AsyncGenerator<Uint8Array, void>;
  /** Lets go of an answer that nobody reads to its end. */
  readonly close: () => Promise<void>;
}

/** The system's or the library's word for a broken connection, without addresses. */
function brokenness(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  if (!(cause instanceof Error)) return 'the connection broke';
  const code = 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : '';
  return `${cause.message.replace(/\bhttps?:\S+/g, '')}${code}`;
}

/** Asks the hub about one model. */
export class HubClient {
  readonly asked: Asked;
  readonly #patience: Patience;
  readonly #signal: AbortSignal | undefined;
  readonly #onNote: (line: string) => void;

  constructor(asked: Asked, options: ClientOptions = {}) {
    this.asked = asked;
    this.#patience = options.patience ?? PATIENCE;
    this.#signal = options.signal;
    this.#onNote = options.onNote ?? (() => undefined);
  }

  /** An address of the hub from encoded path pieces. */
  url(path: string): URL {
    return new URL(`${this.asked.settings.endpoint}/${path}`);
  }

  /** Throws the reason of an abort. */
  throwIfAborted(): void {
    this.#signal?.throwIfAborted();
  }

  /**
   * One request, redirects followed; the token goes to the hub's own address only.
   * @throws Transient, or the error that says why there is no answer.
   */
  async open(start: URL, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
    const { settings } = this.asked;
    const home = new URL(settings.endpoint).origin;
    const watch = new Watch(this.#patience.stallMs, this.#signal);
    let url = start;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const isHome = url.origin === home;
      const token = isHome ? settings.token : undefined;
      const response = await this.#once(url, watch, {
        'user-agent': 'gapvl',
        // Sizes and ranges are those of the file, so nothing may be packed on the way.
        'accept-encoding': 'identity',
        ...headers,
        ...(token ? { authorization: `Bearer ${token.value}` } : {}),
      });
      const location = response.headers.get('location');
      if (response.status >= 300 && response.status < 400 && location !== null) {
        await response.body?.cancel();
        url = this.#redirected(location, url);
        continue;
      }
      const close = async (): Promise<void> => {
        watch.stop();
        await response.body?.cancel();
      };
      if (response.ok) return { response, close, chunks: () => this.#chunks(response, url, watch) };
      await close();
      throw failureOf(response, this.asked, isHome ? undefined : url.host);
    }
    throw malformed(`The hub sends ${this.asked.name} round in circles`, `${url.host} at last`);
  }

  async #once(url: URL, watch: Watch, headers: Record<string, string>): Promise<Response> {
    watch.start();
    try {
      return await fetch(url, { headers, redirect: 'manual', signal: watch.signal });
    } catch (error) {
      throw this.#broken(error, url, watch);
    }
  }

  async *#chunks(response: Response, url: URL, watch: Watch): AsyncGenerator<Uint8Array, void> {
    const reader = (response.body as ReadableStream<Uint8Array> | null)?.getReader();
    try {
      for (;;) {
        watch.start();
        const next = await reader?.read().catch((error: unknown) => {
          throw this.#broken(error, url, watch);
        });
        // What is done with the chunk takes its own time.
        watch.stop();
        if (next === undefined || next.done) return;
        yield next.value;
      }
    } finally {
      watch.stop();
      await reader?.cancel().catch(() => undefined);
    }
  }

  #broken(error: unknown, url: URL, watch: Watch): Error {
    watch.stop();
    this.throwIfAborted();
    if (watch.signal.aborted) {
      return new Transient(`${url.host} was silent for ${this.#patience.stallMs / 1000} s`);
    }
    return new Transient(`${url.host}: ${cleanText(brokenness(error), this.asked.settings)}`);
  }

  #redirected(location: string, from: URL): URL {
    const to = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    const isSafe =
      to?.protocol === 'https:' || (to?.protocol === 'http:' && from.protocol === 'http:');
    if (to !== undefined && isSafe && to.username === '' && to.password === '') return to;
    const got = to === undefined ? 'no address' : `${to.protocol}//${to.host}`;
    throw malformed(`${from.host} sends ${this.asked.name} to a place that is not safe`, got);
  }

  /**
   * Calls `run` until it ends without a `Transient`, with waits between.
   * @param what - what is asked for, in words.
   * @param progress - bytes that came so far; failures after progress are forgiven.
   * @throws UnreachableError when patience ends.
   */
  async retry<T>(what: string, run: () => Promise<T>, progress = (): number => 0): Promise<T> {
    let failures = 0;
    let mark = progress();
    for (;;) {
      this.throwIfAborted();
      try {
        return await run();
      } catch (error) {
        this.throwIfAborted();
        if (!(error instanceof Transient)) throw error;
        if (progress() - mark >= PROGRESS_BYTES) failures = 0;
        mark = progress();
        failures += 1;
        const waitMs = error.waitMs ?? this.#patience.waitMs * 2 ** (failures - 1);
        if (failures >= this.#patience.attempts || waitMs > MAX_WAIT_MS) {
          throw this.#givenUp(what, error, failures);
        }
        this.#onNote(`${error.message}; asking again in ${Math.ceil(waitMs / 1000)} s`);
        await this.#pause(waitMs);
      }
    }
  }

  #givenUp(what: string, error: Transient, failures: number): RuntimeError {
    const { settings } = this.asked;
    const times = failures === 1 ? '' : `, ${failures} times in a row`;
    const wait = error.waitMs === undefined ? '' : `; it asks to wait ${error.waitMs / 1000} s`;
    const hint = settings.token ? '' : ' (with HF_TOKEN set, the hub lets you ask more often)';
    return new UnreachableError(
      {
        what: `${settings.endpoint} did not give ${what}`,
        got: `${error.message}${times}${wait}`,
        expected: 'a connection that holds; or, if a folder was meant, one that exists',
        fix: `check the network and HF_ENDPOINT, then run the command again: what came is kept${wait === '' ? '' : hint}`,
      },
      error,
    );
  }

  async #pause(ms: number): Promise<void> {
    try {
      await sleep(ms, undefined, this.#signal ? { signal: this.#signal } : {});
    } catch (error) {
      this.throwIfAborted();
      throw error;
    }
  }
}

/** Aborts a connection that is silent for too long, or that nobody wants any more. */
class Watch {
  readonly signal: AbortSignal;
  readonly #stallMs: number;
  readonly #stall = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(stallMs: number, outer: AbortSignal | undefined) {
    this.#stallMs = stallMs;
    this.signal = AbortSignal.any([this.#stall.signal, ...(outer ? [outer] : [])]);
  }

  start(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#stall.abort(), this.#stallMs).unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
