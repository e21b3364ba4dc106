// Owns asking a model behind an OpenAI-compatible `/v1/chat/completions`: waits, retries, and which
// failures are an item's and which end a run; running a benchmark and the judge call it.
//
// ours: no client library of the API is used. Those read replies of any size into memory, follow
// redirects, and neither pause all calls after a 429 nor take a clock.
import { setMaxListeners } from 'node:events';
import { setTimeout as timer } from 'node:timers/promises';
import { ConfigError, EXIT_CODES, RuntimeError } from '../../errors.ts';
import { Rng } from '../../rng.ts';
import type { ItemError } from '../prediction.ts';
import { requestBody } from './body.ts';
import { Gate } from './gate.ts';
import { Poster, TransportFailure } from './post.ts';
import type { HttpReply } from './post.ts';
import { isTransientStatus, readAnswer, readFault, retryAfterMs } from './reply.ts';
import { EndpointKey } from './secret.ts';
import { DEFAULT_MAX_REPLY_BYTES, DEFAULT_MAX_WAIT_S, DEFAULT_WAIT_S } from './settings.ts';
import { checkNumbers, endpointSettings, endpointUrl } from './settings.ts';
import type {
  ChatAnswer,
  ChatRequest,
  ChatResult,
  EndpointOptions,
  EndpointSettings,
  Sleep,
  TokensField,
} from './types.ts';

/** ours: no wait of our own is longer than a minute. */
const MAX_BACKOFF_MS = 60_000;

/** Node's timers, as endpoints wait by. */
const systemSleep: Sleep = async (ms, signal) => {
  try {
    await timer(ms, undefined, signal ? { signal } : {});
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
};

/** A call that came to nothing, and what may be done about it. */
interface Miss {
  readonly error: ItemError;
  readonly isTransient: boolean;
  /** The server cannot be reached at all, which is no fault of the item. */
  readonly isUnreachable?: boolean;
  /** What the server asks everybody to wait. */
  readonly askedMs?: number | undefined;
  /** The server refuses `max_tokens` and names the other field. */
  readonly wantsOtherField?: boolean;
}

type Tried = Omit<ChatAnswer, 'state' | 'attempts'> | Miss;

/** A model behind an address. Dispose it to let go of its connections. */
export class ChatEndpoint implements Disposable {
  /** For run.json; the key is not in it. */
  readonly settings: EndpointSettings;
  readonly #options: EndpointOptions;
  readonly #key: EndpointKey;
  readonly #poster: Poster;
  readonly #gate: Gate;
  readonly #rng: Rng;
  readonly #sleep: Sleep;
  #tokensField: Exclude<TokensField, 'auto'>;
  /** Answers so far; those between two refusals show that the server works. */
  #numAnswers = 0;

  /** @throws ConfigError for an option that cannot be used, before anything is sent. */
  constructor(options: EndpointOptions) {
    const url = endpointUrl(options.url);
    this.#key = EndpointKey.read(options.env, options.keyVariable, url);
    this.settings = endpointSettings(options, url, this.#key);
    this.#options = options;
    const { concurrency, requestsPerMinute, tokensField } = this.settings;
    this.#tokensField = tokensField === 'auto' ? 'max_tokens' : tokensField;
    this.#sleep = options.sleep ?? systemSleep;
    this.#poster = new Poster(url, concurrency);
    this.#rng = new Rng(options.jitterSeed ?? 0);
    this.#gate = new Gate({
      concurrency,
      requestsPerMinute,
      now: options.clock.now,
      sleep: this.#sleep,
    });
  }

  /** Whether a key goes along with calls. */
  get sendsKey(): boolean {
    return this.#key.isSent;
  }

  /**
   * Asks once, with retries. A failure of this prompt is a result, not an exception.
   * @throws ConfigError when no prompt can succeed: key, address or model are refused.
   * @throws RuntimeError with exit code 4 when the server cannot be reached, or asks to wait too long.
   * @throws the reason of the signal.
   */
  async complete(request: ChatRequest): Promise<ChatResult> {
    checkNumbers(request);
    const { signal } = request;
    // One signal ends all calls, however many wait.
    if (signal) setMaxListeners(0, signal);
    let field = this.#tokensField;
    let body = requestBody(this.settings, request, field);
    let numFailures = 0;
    let numAnswersBefore = this.#numAnswers;
    for (let attempts = 1; ; attempts++) {
      const tried = await this.#gate.run(() => this.#try(body, signal), signal);
      if (!('error' in tried)) {
        this.#numAnswers += 1;
        return { state: 'answered', ...tried, attempts };
      }
      if (tried.wantsOtherField === true && field === 'max_tokens' && this.#mayChangeField()) {
        field = this.#tokensField = 'max_completion_tokens';
        body = requestBody(this.settings, request, field);
        continue;
      }
      // A server that is merely busy answers others meanwhile: an item is not lost for that.
      const isBusy = tried.error.status === 429 && this.#numAnswers > numAnswersBefore;
      numAnswersBefore = this.#numAnswers;
      numFailures = isBusy ? 1 : numFailures + 1;
      if (!tried.isTransient || numFailures > this.settings.retries) {
        if (tried.isUnreachable === true) throw this.#unreachable(tried.error.what, attempts);
        return { state: 'failed', error: tried.error, attempts };
      }
      await this.#wait(tried, numFailures, signal);
    }
  }

  [Symbol.dispose](): void {
    this.#poster[Symbol.dispose]();
  }

  #mayChangeField(): boolean {
    return this.settings.tokensField === 'auto';
  }

  async #try(body: Buffer, signal: AbortSignal | undefined): Promise<Tried> {
    const { clock, maxReplyBytes = DEFAULT_MAX_REPLY_BYTES } = this.#options;
    const startMs = clock.now();
    let reply: HttpReply;
    try {
      reply = await this.#poster.post({
        headers: this.#key.headers(),
        body,
        timeoutMs: this.settings.timeoutS * 1000,
        maxBytes: maxReplyBytes,
        signal,
      });
    } catch (error) {
      if (!(error instanceof TransportFailure)) throw error;
      const { kind, message: what, wasConnected } = error;
      return { error: { kind, what }, isTransient: true, isUnreachable: !wasConnected };
    }
    const latencyS = (clock.now() - startMs) / 1000;
    if (reply.status < 200 || reply.status >= 300) return this.#refused(reply);
    const answer = readAnswer(reply);
    if ('fault' in answer) {
      const error = { kind: 'protocol', what: this.#key.clean(answer.fault) } as const;
      return { error, isTransient: true };
    }
    const scrub = (text: string | null): string | null =>
      text === null ? null : this.#key.scrub(text);
    return {
      text: this.#key.scrub(answer.text),
      finishReason: scrub(answer.finishReason),
      model: scrub(answer.model),
      usage: answer.usage,
      latencyS,
    };
  }

  #refused(reply: HttpReply): Miss {
    const { status, headers } = reply;
    if (status >= 300 && status < 400) throw this.#redirected(headers.location);
    const told = this.#key.clean(readFault(reply));
    const what = `HTTP ${status}${told === '' ? '' : `: ${told}`}`;
    if (status === 401 || status === 403) throw this.#keyRefused(what);
    if (status === 404 || status === 405) throw this.#nothingThere(what);
    return {
      error: { kind: 'http', what, status },
      isTransient: isTransientStatus(status),
      askedMs: retryAfterMs(headers, this.#options.clock.date()),
      wantsOtherField: status === 400 && told.includes('max_completion_tokens'),
    };
  }

  async #wait(miss: Miss, numFailures: number, signal: AbortSignal | undefined): Promise<void> {
    const { maxWaitS = DEFAULT_MAX_WAIT_S, waitS = DEFAULT_WAIT_S, onNote } = this.#options;
    const { askedMs, error } = miss;
    if (askedMs !== undefined && askedMs > maxWaitS * 1000) {
      const asked = `${error.what}; it asks to wait ${Math.ceil(askedMs / 1000)} s`;
      throw this.#unreachable(asked, undefined);
    }
    const longestMs = Math.min(waitS * 1000 * 2 ** (numFailures - 1), MAX_BACKOFF_MS);
    const ownMs = longestMs * (0.5 + 0.5 * this.#rng.uniform());
    // A wait of nothing would be no wait.
    const waitMs = askedMs === undefined || askedMs === 0 ? ownMs : askedMs;
    const isForAll = error.status === 429 || askedMs !== undefined;
    onNote?.(`${error.what}; asking again in ${Math.ceil(waitMs / 1000)} s`);
    if (isForAll) this.#gate.pause(waitMs);
    else await this.#sleep(waitMs, signal);
  }

  #unreachable(got: string, attempts: number | undefined): RuntimeError {
    const times = attempts === undefined ? '' : ` (asked ${attempts} times)`;
    return new RuntimeError(
      {
        what: `${this.settings.url} does not answer`,
        got: `${got}${times}`,
        expected: 'a server that is there',
        fix: 'start it or check the address, then run the command again: what is finished is kept',
      },
      undefined,
      EXIT_CODES.unreachable,
    );
  }

  #keyRefused(got: string): ConfigError {
    const { variable, isSent } = this.#key;
    return new ConfigError({
      what: `${this.settings.url} refuses ${isSent ? `the key in ${variable}` : 'calls without a key'}`,
      got,
      expected: `a key that may use the model ${this.settings.model}`,
      fix: isSent
        ? `set ${variable} to a valid key, or name the variable that holds it`
        : `set ${variable} and name that variable as the one that holds the key`,
    });
  }

  #nothingThere(got: string): ConfigError {
    return new ConfigError({
      what: `${this.settings.url} has no such model or is no such address`,
      got,
      expected: `an address that ends with /v1, and a model of the server as ${this.settings.model}`,
      fix: 'check address and model; GET /v1/models of the server lists them',
    });
  }

  #redirected(location: string | undefined): ConfigError {
    const base = this.settings.url;
    const isUrl = location !== undefined && URL.canParse(location, base);
    const to = isUrl ? new URL(location, base) : undefined;
    return new ConfigError({
      what: `${base} sends elsewhere, where neither key nor pictures are sent`,
      got: to === undefined ? 'no address' : this.#key.clean(`${to.origin}${to.pathname}`),
      expected: 'an address that answers itself',
      fix: 'give that address, if you trust it',
    });
  }
}
