// A hub and an empty cache for one test, with the calls that tests of downloads share.
import { mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemCode } from '../../src/engine/atomic-file.ts';
import type { Patience } from '../../src/store/hub-client.ts';
import { fetchModel } from '../../src/store/hub.ts';
import type { FetchOptions, FetchedModel } from '../../src/store/hub.ts';
import { HubServer, smallModel } from './hub-server.ts';

/** Waits of milliseconds instead of seconds; tests run on busy machines, so silence may last. */
export const HASTE: Patience = { attempts: 4, waitMs: 2, stallMs: 20_000 };

/** A hub with its cache on this machine. */
export interface HubFixture extends AsyncDisposable {
  readonly server: HubServer;
  readonly home: string;
  /** The folder of the model in the cache. */
  readonly model: string;
  readonly env: Readonly<Record<string, string>>;
  readonly fetch: (options?: FetchOptions, revision?: string) => Promise<FetchedModel>;
}

/** What the person who runs the tests has set, unset. */
const NEUTRAL = {
  ...{ HF_TOKEN: '', HUGGING_FACE_HUB_TOKEN: '', HF_TOKEN_PATH: '', HF_HUB_CACHE: '' },
  ...{ HUGGINGFACE_HUB_CACHE: '', HF_HUB_OFFLINE: '', TRANSFORMERS_OFFLINE: '' },
  HF_HUB_DISABLE_SYMLINKS: '',
};

/** The environment of a hub whose cache lies in a folder. */
export function hubEnvironment(server: HubServer, home: string): Record<string, string> {
  return { ...NEUTRAL, HF_HOME: home, HF_ENDPOINT: server.endpoint };
}

/** Starts a hub that holds `org/small`, and makes an empty `HF_HOME`. */
export async function makeHub(weightBytes?: number, home?: string): Promise<HubFixture> {
  const server = await HubServer.start(await smallModel(weightBytes));
  const folder = home ?? (await mkdtemp(join(tmpdir(), 'gapvl-hub-')));
  const env = hubEnvironment(server, folder);
  return {
    server,
    home: folder,
    model: join(folder, 'hub', 'models--org--small'),
    env,
    fetch: (options = {}, revision = 'main') =>
      fetchModel({ name: 'org/small', revision }, { env, patience: HASTE, ...options }),
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]();
      if (home === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Everything below a folder, links as what they lead to. */
export async function listTree(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const kinds = await Promise.all(
    names.map(async (name) => ((await stat(join(folder, name))).isFile() ? [name] : [])),
  );
  return kinds.flat().sort();
}

/** Half files among the blobs, with their sizes; one that got its whole name meanwhile is none. */
export async function halfFiles(model: string): Promise<{ name: string; size: number }[]> {
  const names = await readdir(join(model, 'blobs')).catch(() => []);
  const half = names.filter((name) => name.endsWith('.incomplete')).sort();
  const found = await Promise.all(
    half.map(async (name) => {
      const size = await stat(join(model, 'blobs', name)).then(
        (file) => file.size,
        (error: unknown) => {
          if (systemCode(error) === 'ENOENT') return undefined;
          throw error;
        },
      );
      return size === undefined ? [] : [{ name, size }];
    }),
  );
  return found.flat();
}

/** Whether a snapshot's file holds this content; a comparison byte by byte in a test takes seconds. */
export async function holds(
  model: FetchedModel,
  file: string,
  content: Buffer | undefined,
): Promise<boolean> {
  return content !== undefined && content.equals(await readFile(join(model.folder, file)));
}

/** What a call throws, which it has to. */
export async function failure(call: Promise<unknown>): Promise<Error> {
  const thrown = await call.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (thrown instanceof Error) return thrown;
  throw new Error('the call should have failed');
}
