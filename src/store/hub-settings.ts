// Owns what the environment says about the hub: address, cache, token, offline; `hub.ts` reads it once.
// Source of names and precedence: huggingface_hub, `constants.py` and `utils/_auth.py`.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../errors.ts';

/** Variables of the environment by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** An access token and where it comes from; only the latter may be shown. */
export interface HubToken {
  readonly value: string;
  readonly source: string;
}

/** What holds for every call of the hub. */
export interface HubSettings {
  /** Ends without a slash. */
  readonly endpoint: string;
  /** Folder with a `models--ORG--NAME` folder a model. */
  readonly cache: string;
  readonly token?: HubToken;
  readonly offline: boolean;
  /** False: snapshots hold files of their own. */
  readonly symlinks: boolean;
}

const DEFAULT_ENDPOINT = 'https://huggingface.co';

function isTrue(value: string | undefined): boolean {
  return ['1', 'ON', 'YES', 'TRUE'].includes((value ?? '').toUpperCase());
}

function readEndpoint(env: Environment): string {
  const text = (env['HF_ENDPOINT'] ?? '').trim() || DEFAULT_ENDPOINT;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url !== undefined && url.username === '' && url.password === '';
  if (isPlain && /^https?:$/.test(url.protocol) && url.search === '' && url.hash === '') {
    return url.href.replace(/\/+$/, '');
  }
  // The text itself is not shown: it may hold a password.
  throw new ConfigError({
    what: 'HF_ENDPOINT cannot be used',
    expected: `an address such as ${DEFAULT_ENDPOINT}, without user name, query or fragment`,
    fix: 'correct HF_ENDPOINT, or unset it',
  });
}

/** A leading `~` and `$NAME` replaced, as huggingface_hub does. */
function expand(path: string, env: Environment): string {
  const home = /^~(?=[\\/]|$)/.test(path) ? join(homedir(), path.slice(1)) : path;
  return home.replace(
    /\$(?:\{(\w+)\}|(\w+))/g,
    (whole, braced?: string, bare?: string) => env[braced ?? bare ?? ''] ?? whole,
  );
}

function firstOf(env: Environment, ...names: readonly string[]): string | undefined {
  return names.map((name) => env[name]).find((value) => value !== undefined && value !== '');
}

function clean(token: string | undefined): string {
  return (token ?? '').replace(/[\r\n]/g, '').trim();
}

async function readToken(env: Environment, home: string): Promise<HubToken | undefined> {
  const file = expand(firstOf(env, 'HF_TOKEN_PATH') ?? join(home, 'token'), env);
  const name = ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN'].find((key) => clean(env[key]) !== '');
  const value = clean(
    name === undefined ? await readFile(file, 'utf8').catch(() => '') : env[name],
  );
  if (value === '') return undefined;
  const source = name ?? file;
  if (/^[\x21-\x7e]+$/.test(value)) return { value, source };
  throw new ConfigError({
    what: `the access token in ${source} cannot be used`,
    got: 'characters that no token has',
    expected: 'one word that begins with hf_',
    fix: `copy the token again into ${source}, or unset it`,
  });
}

/**
 * Reads `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_HUB_OFFLINE` and their older names.
 * @throws ConfigError when one of them cannot be used.
 */
export async function readHubSettings(env: Environment): Promise<HubSettings> {
  const shared = firstOf(env, 'XDG_CACHE_HOME') ?? join(homedir(), '.cache');
  const home = expand(firstOf(env, 'HF_HOME') ?? join(shared, 'huggingface'), env);
  const cache = firstOf(env, 'HF_HUB_CACHE', 'HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub');
  const token = await readToken(env, home);
  return {
    endpoint: readEndpoint(env),
    cache: expand(cache, env),
    ...(token === undefined ? {} : { token }),
    offline: isTrue(firstOf(env, 'HF_HUB_OFFLINE', 'TRANSFORMERS_OFFLINE')),
    symlinks: !isTrue(env['HF_HUB_DISABLE_SYMLINKS']),
  };
}
