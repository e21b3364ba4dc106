// Owns the tests of several processes that download one model: one that is killed, two at once.
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { startGapvl } from '../../helpers/gapvl-process.ts';
import { failure, halfFiles, holds, listTree, makeHub } from '../../helpers/hub-fixture.ts';

const WEIGHTS = 'model.safetensors';
const SIZE = 2_000_000;
const HALF = 1_200_000;
const SHOWN_EVERY_MS = 20;

describe('a process that downloads a model', () => {
  it('is gone on with after it was killed', async () => {
    await using hub = await makeHub(SIZE);
    const content = hub.server.content.files.get(WEIGHTS);
    hub.server.intercept = (seen, response) => {
      if (seen.host !== 'storage' || seen.headers.range !== undefined) return false;
      // The rest never comes.
      response.writeHead(200, { 'content-length': SIZE }).write(content?.subarray(0, HALF));
      return true;
    };
    const killed = startGapvl(['fetch', 'org/small'], hub.env);
    const isHalf = async (): Promise<boolean> =>
      (await halfFiles(hub.model)).some(({ size }) => size === HALF);
    while (!(await isHalf())) await sleep(SHOWN_EVERY_MS);
    killed.kill('SIGKILL');
    expect((await killed.ended).code).toBe(-1);
    expect((await failure(hub.fetch({ offline: true }))).message).toContain('not on this machine');
    const next = await startGapvl(['fetch', 'org/small', '--json'], hub.env).ended;
    expect(next).toMatchObject({ code: 0, err: '' });
    const requests = hub.server.requests.filter(({ host }) => host === 'storage');
    expect(requests.map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${HALF}-`]);
    const model = await hub.fetch({ offline: true });
    expect(JSON.parse(next.out)).toMatchObject({ folder: model.folder, bytes: model.sizeBytes });
    expect(await holds(model, WEIGHTS, content)).toBe(true);
    expect(await halfFiles(hub.model)).toEqual([]);
  });

  it('stops on SIGTERM with the command to go on with', async () => {
    await using hub = await makeHub(SIZE);
    hub.server.intercept = (seen, response) => {
      if (seen.host !== 'storage') return false;
      response.writeHead(200, { 'content-length': SIZE }).write(Buffer.alloc(HALF));
      return true;
    };
    const stopped = startGapvl(['fetch', 'org/small'], hub.env);
    while (hub.server.paths('storage').length === 0) await sleep(SHOWN_EVERY_MS);
    stopped.kill('SIGTERM');
    const { code, err } = await stopped.ended;
    expect(code).toBe(1);
    expect(err).toContain('to go on, run: gapvl fetch org/small');
  });

  it('does not spoil the download of another one', async () => {
    await using hub = await makeHub(SIZE);
    const waiting: (() => void)[] = [];
    const content = hub.server.content.files.get(WEIGHTS) ?? Buffer.alloc(0);
    // Both are in the middle of the weights before either gets the rest.
    hub.server.intercept = (seen, response) => {
      if (seen.host !== 'storage') return false;
      response.writeHead(200, { 'content-length': SIZE }).write(content.subarray(0, HALF));
      waiting.push(() => response.end(content.subarray(HALF)));
      if (waiting.length === 2) for (const send of waiting) send();
      return true;
    };
    const both = ['fetch', 'org/small', '--json'];
    const outcomes = await Promise.all([0, 1].map(() => startGapvl(both, hub.env).ended));
    for (const outcome of outcomes) expect(outcome).toMatchObject({ code: 0, err: '' });
    expect(outcomes[1]?.out).toBe(outcomes[0]?.out);
    const model = await hub.fetch({ offline: true });
    for (const file of model.files) {
      expect(await holds(model, file, hub.server.content.files.get(file))).toBe(true);
    }
    expect((await listTree(hub.home)).filter((path) => /incomplete|tmp/.test(path))).toEqual([]);
  });
});
