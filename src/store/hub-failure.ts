// Owns what can go wrong with an answer of the hub, in words; `hub-client.ts` calls it.
import { CheckpointError, RuntimeError } from '../errors.ts';
import type { GapvlError } from '../errors.ts';
import type { HubSettings } from './hub-settings.ts';

/** Something that may be over in a moment: a broken connection, a busy server. */
export class Transient extends Error {
  /** What the server asked to wait, if it did. */
  readonly waitMs: number | undefined;

  constructor(message: string, waitMs?: number) {
    super(message);
    this.waitMs = waitMs;
  }
}

/** The hub did not answer, although it was asked several times. */
export class UnreachableError extends RuntimeError {}

/** A model of the hub and where it is asked for, for messages. */
export interface Asked {
  readonly settings: HubSettings;
  /** `ORG/NAME`. */
  readonly name: string;
  readonly revision: string;
}

const MODEL_EXPECTED =
  'a folder that exists, or a model of the hub such as Qwen/Qwen2.5-VL-3B-Instruct';

/** Text of a server, made fit to be shown: one short line, the token taken out. */
export function cleanText(text: string, { token }: HubSettings): string {
  const hidden = token === undefined ? text : text.replaceAll(token.value, '[token]');
  return hidden
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, 200);
}

function describe(response: Response, settings: HubSettings): string {
  const message = cleanText(response.headers.get('x-error-message') ?? '', settings);
  const token = settings.token ? `with the token of ${settings.token.source}` : 'without a token';
  return `HTTP ${response.status} ${token}${message === '' ? '' : `: ${message}`}`;
}

function refused(response: Response, { settings, name }: Asked): GapvlError {
  const { endpoint, token } = settings;
  const code = response.headers.get('x-error-code');
  const page = `${endpoint}/${name}`;
  const got = describe(response, settings);
  if (code === 'GatedRepo' || response.status === 403) {
    return new CheckpointError({
      what: `${name} is not open to everybody`,
      got,
      expected: 'the token of an account that may read it',
      fix: `accept its terms at ${page}, then set HF_TOKEN to a token of that account`,
    });
  }
  if (token === undefined) {
    return new CheckpointError({
      what: `The hub has no model ${name} for everybody to read`,
      got,
      expected: MODEL_EXPECTED,
      fix: 'check how the name is written; for a private or gated model set HF_TOKEN',
    });
  }
  return new CheckpointError({
    what: `The hub does not give ${name} to this token`,
    got,
    expected: 'a valid token of an account that may read the model',
    fix: `renew the token in ${token.source}, and check that ${page} opens for its account`,
  });
}

function missing(response: Response, { settings, name, revision }: Asked): GapvlError {
  const got = describe(response, settings);
  const code = response.headers.get('x-error-code');
  if (code === 'RevisionNotFound') {
    return new CheckpointError({
      what: `${name} has no revision ${revision}`,
      got,
      expected: 'a branch, tag or commit of the model after the @',
      fix: `see ${settings.endpoint}/${name}/tree/main for its revisions`,
    });
  }
  if (code === 'EntryNotFound') {
    return new CheckpointError({
      what: `${name} lacks a file that its list of files names`,
      got,
      fix: 'run the command again; if it stays, name another revision',
    });
  }
  return new CheckpointError({
    what: `The hub has no model ${name}`,
    got,
    expected: MODEL_EXPECTED,
    fix: 'check how the name is written: ORG/NAME, as in the address of its page',
  });
}

/** Milliseconds a busy server asks to wait, from `Retry-After` or the hub's own `RateLimit`. */
function waitOf({ headers }: Response): number | undefined {
  const after = headers.get('retry-after')?.trim();
  if (after !== undefined && /^\d+$/.test(after)) return Number(after) * 1000;
  // A date is compared with the server's own clock.
  const wait = Date.parse(after ?? '') - Date.parse(headers.get('date') ?? '');
  if (Number.isFinite(wait)) return Math.max(0, wait);
  const left = /;\s*t=(\d+)/.exec(headers.get('ratelimit') ?? '')?.[1];
  return left === undefined ? undefined : Number(left) * 1000;
}

/**
 * The error of an answer that is none.
 * @param host - who answered, when it was not the hub itself but a host it sent us to.
 */
export function failureOf(response: Response, asked: Asked, host?: string): Error {
  const { status } = response;
  if (status === 408 || status === 429 || status >= 500) {
    return new Transient(`${host ?? 'the hub'} answered HTTP ${status}`, waitOf(response));
  }
  // A link to a storage host is signed and ends after a while; the hub makes a new one.
  if (host !== undefined) return new Transient(`${host} answered HTTP ${status}`);
  if (status === 401 || status === 403) return refused(response, asked);
  if (status === 404) return missing(response, asked);
  return new CheckpointError({
    what: `The hub did not understand what was asked about ${asked.name}`,
    got: describe(response, asked.settings),
    fix: 'check HF_ENDPOINT, or download the model by other means and name its folder',
  });
}

/** The error of an answer that has another form than the hub's. */
export function malformed(what: string, got: string): CheckpointError {
  return new CheckpointError({
    what,
    got: got.slice(0, 200),
    expected: 'what the Hugging Face hub answers',
    fix: 'check HF_ENDPOINT; do not use this model unless you know where it comes from',
  });
}
