// Owns the checks of an endpoint's options and their defaults; `chat-endpoint.ts` calls it.
import { ConfigError } from '../../errors.ts';
import type { EndpointKey } from './secret.ts';
import type { EndpointOptions, EndpointSettings } from './types.ts';

/** ours: local servers answer four at a time, and remote ones do not refuse so few. */
export const DEFAULT_CONCURRENCY = 4;
/** Source: VLMEvalKit, `api/gpt.py`: timeout and retry. */
export const DEFAULT_TIMEOUT_S = 300;
/** Source: see DEFAULT_TIMEOUT_S. */
export const DEFAULT_RETRIES = 5;
/** ours: 1 + 2 + 4 + 8 + 16 s of waiting pass over a server's restart. */
export const DEFAULT_WAIT_S = 1;
/** ours: quotas of a minute end within it; who has to wait for those of a day wants to know. */
export const DEFAULT_MAX_WAIT_S = 300;
/** ours: 2048 tokens are 10 KB; a thousand times that is no answer. */
export const DEFAULT_MAX_REPLY_BYTES = 8 << 20;

const PATH = '/chat/completions';
/** Fields of the body that the client itself has to know. */
const OWN_FIELDS = ['model', 'messages', 'stream', 'n', 'max_tokens', 'max_completion_tokens'];

/** The address calls go to. @throws ConfigError; the text itself is not shown, it may hold a password. */
export function endpointUrl(text: string): URL {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  const isPlain = url !== undefined && url.username === '' && url.password === '';
  if (!isPlain || !/^https?:$/.test(url.protocol) || url.hash !== '') {
    throw new ConfigError({
      what: 'the address of the endpoint cannot be used',
      expected: 'an address such as http://127.0.0.1:8000/v1, without user name and fragment',
      fix: 'correct the address; keys go into a variable of the environment',
    });
  }
  const path = url.pathname.replace(/\/+$/, '');
  url.pathname = path.endsWith(PATH) ? path : `${path}${PATH}`;
  return url;
}

interface Range {
  readonly min: number;
  readonly max: number;
  readonly whole?: boolean;
}

const RANGES: Readonly<Partial<Record<keyof EndpointOptions, Range>>> = {
  concurrency: { min: 1, max: 256, whole: true },
  requestsPerMinute: { min: 0.01, max: 1e6 },
  // A timer of Node holds 2^31 - 1 ms.
  timeoutS: { min: 0.001, max: 86_400 },
  retries: { min: 0, max: 100, whole: true },
  waitS: { min: 0, max: 3600 },
  maxWaitS: { min: 0, max: 86_400 },
  maxReplyBytes: { min: 1, max: 1 << 28, whole: true },
  temperature: { min: 0, max: 100 },
  topP: { min: 0, max: 1 },
  maxTokens: { min: 1, max: 1 << 30, whole: true },
  seed: { min: -Number.MAX_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER, whole: true },
};

/** Checks every number of the options. @throws ConfigError naming the first that cannot be used. */
export function checkNumbers(options: Partial<EndpointOptions>): void {
  for (const [name, range] of Object.entries(RANGES)) {
    const value = options[name as keyof EndpointOptions];
    if (value === undefined) continue;
    const { min, max, whole = false } = range;
    const isRight =
      typeof value === 'number' &&
      value >= min &&
      value <= max &&
      (!whole || Number.isInteger(value));
    if (isRight) continue;
    throw new ConfigError({
      what: `${name} of the endpoint cannot be used`,
      got: typeof value === 'number' ? String(value) : typeof value,
      expected: `${whole ? 'a whole number' : 'a number'} from ${min} to ${max}`,
      fix: `correct ${name}`,
    });
  }
}

function checkExtra(options: EndpointOptions, key: EndpointKey): void {
  const { extra = {} } = options;
  const own = Object.keys(extra).filter((name) => OWN_FIELDS.includes(name));
  if (own.length > 0) {
    throw new ConfigError({
      what: 'the further fields of the body name some that have options of their own',
      got: own.join(', '),
      fix: 'take them out, or use their options',
    });
  }
  // Settings are written into run.json.
  const texts = [JSON.stringify(extra), options.system ?? '', options.model, options.url];
  if (texts.some((text) => key.isIn(text))) {
    throw new ConfigError({
      what: 'a setting of the endpoint holds the key',
      expected: `the key in ${key.variable} alone`,
      fix: 'take it out of the address, the model, the system text and the further fields',
    });
  }
}

/** The checked settings, without the key. @throws ConfigError for one that cannot be used. */
export function endpointSettings(
  options: EndpointOptions,
  url: URL,
  key: EndpointKey,
): EndpointSettings {
  checkNumbers(options);
  checkExtra(options, key);
  if (options.model.trim() === '') {
    throw new ConfigError({
      what: 'the endpoint has no model',
      expected: 'the name of a model as the server knows it',
      fix: 'name the model; GET /v1/models of the server lists them',
    });
  }
  const { temperature, topP, maxTokens, seed } = options;
  return {
    url: `${url.origin}${url.pathname}`,
    model: options.model,
    keyVariable: key.variable,
    ...(temperature === undefined ? {} : { temperature }),
    ...(topP === undefined ? {} : { topP }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
    ...(seed === undefined ? {} : { seed }),
    concurrency: options.concurrency ?? DEFAULT_CONCURRENCY,
    requestsPerMinute: options.requestsPerMinute ?? null,
    timeoutS: options.timeoutS ?? DEFAULT_TIMEOUT_S,
    retries: options.retries ?? DEFAULT_RETRIES,
    tokensField: options.tokensField ?? 'auto',
    system: options.system ?? null,
    extra: options.extra ?? {},
  };
}
