// Owns the tests of downloads that fail: what is kept, what the next try asks for, and what is said.
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CheckpointError, RuntimeError } from '../../../src/errors.ts';
import { HASTE, holds, failure, halfFiles, listTree, makeHub } from '../../helpers/hub-fixture.ts';
import type { HubFixture } from '../../helpers/hub-fixture.ts';
import { sendContent, sha256, someBytes } from '../../helpers/hub-server.ts';
import type { SeenRequest } from '../../helpers/hub-server.ts';

const WEIGHTS = 'model.safetensors';
const SIZE = 2_000_000;
const HALF = 1_200_000;

function weightsOf({ server }: HubFixture): Buffer {
  return server.content.files.get(WEIGHTS) ?? Buffer.alloc(0);
}

function isWeights(seen: SeenRequest): boolean {
  return seen.host === 'storage' && seen.path.includes(WEIGHTS);
}

/** Sends a beginning of the weights and breaks the connection. */
function cut(response: ServerResponse, content: Buffer, bytes: number): void {
  response.writeHead(200, { 'content-length': content.length });
  response.write(content.subarray(0, bytes), () => {
    // The bytes leave first.
    setTimeout(() => response.socket?.destroy(), 50);
  });
}

/** Breaks the first request for the weights in the middle. */
function cutOnce(hub: HubFixture): void {
  let isCut = false;
  hub.server.intercept = (seen, response) => {
    if (isCut || !isWeights(seen)) return false;
    isCut = true;
    cut(response, weightsOf(hub), HALF);
    return true;
  };
}

function ranges(hub: HubFixture): (string | undefined)[] {
  return hub.server.requests.filter(isWeights).map(({ headers }) => headers.range);
}

describe('a download that breaks off', () => {
  it('goes on in the middle when the connection breaks', async () => {
    await using hub = await makeHub(SIZE);
    cutOnce(hub);
    const notes: string[] = [];
    const model = await hub.fetch({ onNote: (line) => void notes.push(line) });
    expect(ranges(hub)).toEqual([undefined, `bytes=${HALF}-`]);
    expect(await holds(model, WEIGHTS, weightsOf(hub))).toBe(true);
    expect(await halfFiles(hub.model)).toEqual([]);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain('asking again');
  });

  it('goes on in the middle in the next run', async () => {
    await using hub = await makeHub(SIZE);
    cutOnce(hub);
    const once = { ...HASTE, attempts: 1 };
    const error = await failure(hub.fetch({ patience: once }));
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain('what came is kept');
    expect(await halfFiles(hub.model)).toEqual([
      { name: `${sha256(weightsOf(hub))}.gapvl.incomplete`, size: HALF },
    ]);
    const progress: number[] = [];
    const model = await hub.fetch({
      patience: once,
      onProgress: (done) => void progress.push(done),
    });
    expect(ranges(hub).at(-1)).toBe(`bytes=${HALF}-`);
    expect(progress[0]).toBe(HALF);
    expect(await holds(model, WEIGHTS, weightsOf(hub))).toBe(true);
    expect(await halfFiles(hub.model)).toEqual([]);
  });

  it('goes on with what another machine, or huggingface_hub, left', async () => {
    for (const suffix of ['.gapvl-elsewhere-7-0.incomplete', '.incomplete']) {
      await using hub = await makeHub(SIZE);
      const blobs = join(hub.model, 'blobs');
      await mkdir(blobs, { recursive: true });
      const left = join(blobs, `${sha256(weightsOf(hub))}${suffix}`);
      await writeFile(left, weightsOf(hub).subarray(0, HALF));
      const model = await hub.fetch();
      expect(ranges(hub)).toEqual([`bytes=${HALF}-`]);
      expect(await holds(model, WEIGHTS, weightsOf(hub))).toBe(true);
      expect(await halfFiles(hub.model)).toEqual([]);
    }
  });

  it('begins again when what was left is wrong, or when the server cannot go on', async () => {
    await using hub = await makeHub(SIZE);
    const blobs = join(hub.model, 'blobs');
    await mkdir(blobs, { recursive: true });
    const left = join(blobs, `${sha256(weightsOf(hub))}.gapvl.incomplete`);
    await writeFile(left, someBytes(HALF, 99));
    expect(await holds(await hub.fetch(), WEIGHTS, weightsOf(hub))).toBe(true);
    expect(ranges(hub)).toEqual([`bytes=${HALF}-`, undefined]);

    await using deaf = await makeHub(SIZE);
    await mkdir(join(deaf.model, 'blobs'), { recursive: true });
    await writeFile(
      join(deaf.model, 'blobs', `${sha256(weightsOf(deaf))}.gapvl.incomplete`),
      weightsOf(deaf).subarray(0, HALF),
    );
    deaf.server.intercept = (seen, response) => {
      if (!isWeights(seen)) return false;
      const { range: _, ...headers } = seen.headers;
      sendContent({ ...seen, headers }, response, weightsOf(deaf));
      return true;
    };
    expect(await holds(await deaf.fetch(), WEIGHTS, weightsOf(deaf))).toBe(true);
    expect(ranges(deaf)).toEqual([`bytes=${HALF}-`]);
  });

  it('stops at once when it is aborted, and goes on afterwards', async () => {
    await using hub = await makeHub(SIZE);
    const abort = new AbortController();
    const reason = new RuntimeError({ what: 'interrupted' });
    hub.server.intercept = (seen, response) => {
      if (!isWeights(seen) || seen.headers.range !== undefined) return false;
      // The rest never comes.
      response.writeHead(200, { 'content-length': SIZE }).write(weightsOf(hub).subarray(0, HALF));
      return true;
    };
    const onProgress = (done: number, _: number, file: string): void => {
      if (file === WEIGHTS && done > HALF) abort.abort(reason);
    };
    expect(await failure(hub.fetch({ signal: abort.signal, onProgress }))).toBe(reason);
    const [half] = await halfFiles(hub.model);
    expect(half?.size).toBeGreaterThan(0);
    await hub.fetch();
    expect(ranges(hub).at(-1)).toBe(`bytes=${half?.size ?? 0}-`);
    // One that was over before it began asks nothing.
    hub.server.forget();
    expect(await failure(hub.fetch({ signal: abort.signal }))).toBe(reason);
    expect(hub.server.requests).toEqual([]);
  });

  it('is aborted in a wait, too', async () => {
    await using hub = await makeHub();
    const abort = new AbortController();
    const reason = new RuntimeError({ what: 'interrupted' });
    hub.server.intercept = (_, response) => {
      response.writeHead(429, { 'retry-after': '200' }).end();
      return true;
    };
    const onNote = (): void => abort.abort(reason);
    expect(await failure(hub.fetch({ signal: abort.signal, onNote }))).toBe(reason);
  });

  it('takes a silent connection for a broken one', async () => {
    await using hub = await makeHub(SIZE);
    hub.server.intercept = (seen, response) => {
      if (!isWeights(seen) || seen.headers.range !== undefined) return false;
      response.writeHead(200, { 'content-length': SIZE }).write(weightsOf(hub).subarray(0, HALF));
      return true;
    };
    const notes: string[] = [];
    const patience = { ...HASTE, stallMs: 700 };
    const model = await hub.fetch({ patience, onNote: (line) => void notes.push(line) });
    expect(notes.join()).toContain('silent for 0.7 s');
    expect(ranges(hub)).toEqual([undefined, `bytes=${HALF}-`]);
    expect(await holds(model, WEIGHTS, weightsOf(hub))).toBe(true);
  });

  it('leaves one whole model when two begin at once', async () => {
    await using hub = await makeHub(SIZE);
    const [first, second] = await Promise.all([hub.fetch(), hub.fetch()]);
    expect(second).toEqual(first);
    for (const file of first.files) {
      expect(await holds(first, file, hub.server.content.files.get(file))).toBe(true);
    }
    const rest = (await listTree(hub.home)).filter((path) => /incomplete|tmp/.test(path));
    expect(rest).toEqual([]);
  });
});

describe('content that is not what was announced', () => {
  it.each([
    [
      'weights with another hash',
      WEIGHTS,
      'SHA-256',
      (content: Buffer) => someBytes(content.length, 5),
    ],
    [
      'a small file with another hash',
      'tokenizer.json',
      'git blob',
      (c: Buffer) => someBytes(c.length, 5),
    ],
    ['weights that are longer', WEIGHTS, 'another size', (c: Buffer) => Buffer.concat([c, c])],
    ['weights that are shorter', WEIGHTS, 'another size', (c: Buffer) => c.subarray(0, 10)],
  ])('is refused: %s', async (_, file, says, change) => {
    await using hub = await makeHub();
    const right = hub.server.content.files.get(file) ?? Buffer.alloc(0);
    hub.server.intercept = (seen, response) => {
      const isIt = seen.path.includes(`/${file}`) && (file !== WEIGHTS || isWeights(seen));
      if (isIt) sendContent(seen, response, change(right));
      return isIt;
    };
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(CheckpointError);
    expect(error.message).toContain(file);
    expect(error.message).toContain(says);
    expect(await halfFiles(hub.model)).toEqual([]);
    expect((await failure(hub.fetch({ offline: true }))).message).toContain('not on this machine');
    // The server mends its ways.
    hub.server.intercept = () => false;
    expect(await holds(await hub.fetch(), file, right)).toBe(true);
  });

  it('never fills the disk: an answer without a length stops at the announced size', async () => {
    await using hub = await makeHub();
    let sent = 0;
    hub.server.intercept = (seen, response) => {
      if (!isWeights(seen)) return false;
      const more = (): void => {
        sent += 65_536;
        if (!response.destroyed && sent < 2e9)
          response.write(Buffer.alloc(65_536), () => setImmediate(more));
      };
      more();
      return true;
    };
    const error = await failure(hub.fetch());
    expect(error.message).toContain('more than 300000 bytes');
    expect(sent).toBeLessThan(1e8);
    expect(await halfFiles(hub.model)).toEqual([]);
  });
});

describe('a hub that does not give', () => {
  const answer = (
    hub: HubFixture,
    status: number,
    headers: Record<string, string>,
    host: SeenRequest['host'] = 'hub',
    times = Infinity,
  ): void => {
    let left = times;
    hub.server.intercept = (seen, response) => {
      if (seen.host !== host || left-- <= 0) return false;
      response.writeHead(status, headers).end();
      return true;
    };
  };
  const TOKEN = 'hf_TheSecretOfThisTest';

  it('says to set HF_TOKEN for a gated model, and never shows the token or sends it elsewhere', async () => {
    await using hub = await makeHub();
    const isMine = (seen: SeenRequest): boolean => seen.headers.authorization === `Bearer ${TOKEN}`;
    hub.server.intercept = (seen, response) => {
      if (seen.host === 'storage' || isMine(seen)) return false;
      const message = `Access to model org/small is restricted. ${seen.headers.authorization ?? ''}`;
      response.writeHead(401, { 'x-error-code': 'GatedRepo', 'x-error-message': message }).end();
      return true;
    };
    const without = await failure(hub.fetch());
    expect(without).toBeInstanceOf(CheckpointError);
    expect(without.message).toMatch(/HTTP 401 without a token.*restricted/);
    expect(without.message).toContain(`accept its terms at ${hub.server.endpoint}/org/small`);
    expect(without.message).toContain('set HF_TOKEN');
    const wrong = await failure(hub.fetch({ env: { ...hub.env, HF_TOKEN: 'hf_Another' } }));
    expect(wrong.message).toContain('with the token of HF_TOKEN');
    expect(wrong.message).toContain('Bearer [token]');
    expect(`${wrong.message} ${wrong.stack ?? ''}`).not.toContain('hf_Another');

    hub.server.forget();
    await writeFile(join(hub.home, 'token'), `${TOKEN}\n`);
    const notes: string[] = [];
    await hub.fetch({ onNote: (line) => void notes.push(line) });
    const authorized = hub.server.requests.filter(isMine);
    expect(authorized.map(({ host }) => host)).not.toContain('storage');
    expect(authorized.length).toBe(hub.server.paths('hub').length);
    expect(hub.server.paths('storage').length).toBeGreaterThan(0);
    for (const { host, headers } of hub.server.requests) {
      if (host === 'storage') expect(JSON.stringify(headers)).not.toContain(TOKEN);
    }
    for (const path of await listTree(hub.model)) {
      expect(await readFile(join(hub.model, path), 'latin1')).not.toContain(TOKEN);
    }
    expect(notes.join()).not.toContain(TOKEN);
  });

  it.each([
    [403, {}, ['not open to everybody', 'accept its terms']],
    [
      401,
      { 'x-error-code': 'RepoNotFound' },
      ['no model org/small for everybody', 'ORG/NAME|Qwen/'],
    ],
    [404, { 'x-error-code': 'RepoNotFound' }, ['has no model org/small', 'ORG/NAME']],
    [418, {}, ['HTTP 418', 'HF_ENDPOINT']],
  ])('says what HTTP %s means', async (status, headers, says) => {
    await using hub = await makeHub();
    answer(hub, status, headers);
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(CheckpointError);
    for (const words of says) expect(error.message).toMatch(new RegExp(words));
    // Nothing is gained by asking again.
    expect(hub.server.requests).toHaveLength(1);
  });

  it('says that a token is not accepted, by its place', async () => {
    await using hub = await makeHub();
    answer(hub, 401, { 'x-error-message': `Invalid credentials ${TOKEN}` });
    const error = await failure(hub.fetch({ env: { ...hub.env, HF_TOKEN: TOKEN } }));
    expect(error.message).toContain('renew the token in HF_TOKEN');
    expect(error.message).not.toContain(TOKEN);
  });

  it('names a revision that is missing, and a file', async () => {
    await using hub = await makeHub();
    const revision = await failure(hub.fetch({}, 'v9'));
    expect(revision).toBeInstanceOf(CheckpointError);
    expect(revision.message).toContain('org/small has no revision v9');
    hub.server.intercept = (seen, response) => {
      const isIt = seen.path.endsWith('/tokenizer.json');
      if (isIt) response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
      return isIt;
    };
    const file = await failure(hub.fetch());
    expect(file.message).toContain('lacks a file');
  });

  it.each([
    [429, { 'retry-after': '0' }],
    [429, { ratelimit: '"api";r=0;t=0' }],
    [
      429,
      { 'retry-after': 'Tue, 24 Nov 2026 08:00:00 GMT', date: 'Tue, 24 Nov 2026 08:00:00 GMT' },
    ],
    [500, {}],
    [503, {}],
  ])('is asked again after HTTP %s with %j', async (status, headers) => {
    await using hub = await makeHub();
    answer(hub, status, headers, 'hub', 2);
    await hub.fetch();
    const asked = '/api/models/org/small/revision/main';
    expect(
      hub.server
        .paths()
        .slice(0, 4)
        .filter((path) => path === asked),
    ).toHaveLength(3);
    await using slow = await makeHub();
    answer(slow, status, headers, 'storage', 2);
    await slow.fetch();
    expect(slow.server.paths('storage')).toHaveLength(3);
  });

  it('waits as long as the hub asks to', async () => {
    await using hub = await makeHub();
    answer(hub, 429, { 'retry-after': '1' }, 'hub', 1);
    const notes: string[] = [];
    const start = performance.now();
    await hub.fetch({ onNote: (line) => void notes.push(line) });
    expect(performance.now() - start).toBeGreaterThan(950);
    expect(notes).toEqual(['the hub answered HTTP 429; asking again in 1 s']);
  });

  it.each([
    [429, { 'retry-after': '0' }, HASTE.attempts, ['HTTP 429, 4 times in a row', 'HF_TOKEN']],
    [429, { 'retry-after': '4000' }, 1, ['asks to wait 4000 s']],
    [502, {}, HASTE.attempts, ['HTTP 502, 4 times in a row']],
  ])('is given up after HTTP %s with %j', async (status, headers, numRequests, says) => {
    await using hub = await makeHub();
    answer(hub, status, headers);
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(RuntimeError);
    for (const words of says) expect(error.message).toContain(words);
    expect(hub.server.requests).toHaveLength(numRequests);
  });

  it('is asked for a new link when the storage host refuses one', async () => {
    await using hub = await makeHub();
    answer(hub, 403, {}, 'storage', 1);
    await hub.fetch();
    expect(hub.server.of(WEIGHTS).map(({ host }) => host)).toEqual([
      'hub',
      'storage',
      'hub',
      'storage',
    ]);
    await using closed = await makeHub();
    answer(closed, 403, {}, 'storage');
    const error = await failure(closed.fetch());
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain(`${new URL(closed.server.storage).host} answered HTTP 403`);
    expect(error.message).not.toContain('signature');
  });

  it('cannot be reached at all', async () => {
    await using hub = await makeHub();
    await hub.server[Symbol.asyncDispose]();
    const error = await failure(hub.fetch());
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain('ECONNREFUSED');
    expect(error.message).toContain('check the network');
  });
});
