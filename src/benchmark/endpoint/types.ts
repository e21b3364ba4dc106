// Owns what is asked of an endpoint and what comes back; ChatEndpoint, the judge and their callers speak it.
import type { ItemError } from '../prediction.ts';

/** An encoded picture of a prompt. */
export interface ChatPicture {
  readonly bytes: Uint8Array;
  /** `image/png`, `image/jpeg`, ... */
  readonly mimeType: string;
}

/** JSON, as request bodies hold it. */
export type Json =
  string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** How answers are sampled; what is absent is left to the server. */
export interface ChatSampling {
  readonly temperature?: number;
  readonly topP?: number;
  readonly maxTokens?: number;
  readonly seed?: number;
}

/** One prompt: all pictures in their order, then the text. Sampling given here wins over the endpoint's. */
export interface ChatRequest extends ChatSampling {
  readonly pictures: readonly ChatPicture[];
  readonly text: string;
  readonly signal?: AbortSignal;
}

/** Tokens of a call, as far as the server says. */
export interface ChatUsage {
  readonly promptTokens: number | null;
  readonly completionTokens: number | null;
}

/** What the model behind an endpoint wrote. */
export interface ChatAnswer {
  readonly state: 'answered';
  /** Never empty; as it came, nothing trimmed. */
  readonly text: string;
  /** `stop`, `length`, ... or null where the server says nothing. */
  readonly finishReason: string | null;
  /** Calls it took, the successful one included. */
  readonly attempts: number;
  /** Seconds of the successful call alone, from its start to the last byte of the reply. */
  readonly latencyS: number;
  /** Name of the model as the server reports it. */
  readonly model: string | null;
  readonly usage: ChatUsage | null;
}

/** A prompt that got no answer although it was asked as often as allowed; never a wrong answer. */
export interface ChatFailure {
  readonly state: 'failed';
  readonly error: ItemError;
  readonly attempts: number;
}

/** What a call comes to. */
export type ChatResult = ChatAnswer | ChatFailure;

/** Time as an argument; the command line's clock is one. */
export interface EndpointClock {
  /** Milliseconds since some fixed moment; never goes backwards. */
  readonly now: () => number;
  /** The calendar time in UTC, ISO 8601. */
  readonly date: () => string;
}

/** Waits; rejects when the signal aborts. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<void>;

/** Which field of the body limits the tokens; `auto` begins with `max_tokens` and believes a refusal. */
export type TokensField = 'auto' | 'max_tokens' | 'max_completion_tokens';

/** What an endpoint is made of. */
export interface EndpointOptions extends ChatSampling {
  /** `https://host/v1`, or the whole address up to `/chat/completions`. */
  readonly url: string;
  readonly model: string;
  /** Variables of the environment; the key comes from nowhere else. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Name of the variable that holds the key. */
  readonly keyVariable?: string;
  readonly clock: EndpointClock;
  readonly sleep?: Sleep;
  /** Most calls under way at a time. */
  readonly concurrency?: number;
  /** Most calls that begin in a minute, spread evenly; absent: no limit. */
  readonly requestsPerMinute?: number;
  /** Seconds one call may take, from connecting to the last byte. */
  readonly timeoutS?: number;
  /** Further calls after a failed one. */
  readonly retries?: number;
  /** The first wait between two calls; each further one is twice as long. */
  readonly waitS?: number;
  /** Longest wait a server may ask for; a longer one ends the run. */
  readonly maxWaitS?: number;
  /** Most bytes of a reply. */
  readonly maxReplyBytes?: number;
  readonly tokensField?: TokensField;
  readonly system?: string;
  /** Further fields of the body. */
  readonly extra?: Readonly<Record<string, Json>>;
  /** Seeds the jitter of waits. */
  readonly jitterSeed?: number;
  /** Is told in a line why something takes longer. */
  readonly onNote?: (line: string) => void;
}

/** Everything about an endpoint that belongs into run.json; the key is not in it. */
export interface EndpointSettings extends ChatSampling {
  /** Without its query. */
  readonly url: string;
  readonly model: string;
  readonly keyVariable: string;
  readonly concurrency: number;
  readonly requestsPerMinute: number | null;
  readonly timeoutS: number;
  readonly retries: number;
  readonly tokensField: TokensField;
  readonly system: string | null;
  readonly extra: Readonly<Record<string, Json>>;
}
