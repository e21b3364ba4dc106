// Owns the tests of downloading a benchmark: resuming, MD5, bad servers, bad disks, the command.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultDataFolder, fetchBenchmark } from '../../../src/benchmark/table/fetch.ts';
import type { FetchBenchmarkOptions } from '../../../src/benchmark/table/fetch.ts';
import { ConfigError, DataError, RuntimeError } from '../../../src/errors.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { someBytes } from '../../helpers/hub-server.ts';

/** Stands in for the file of POPE, which is not here. */
const CONTENT = someBytes(2_500_000);
const MD5 = createHash('md5').update(CONTENT).digest('hex');
const PATH = '/utils/VLMEval/POPE.tsv';
const PATIENCE = { attempts: 3, waitMs: 5, stallMs: 400 };

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Sends the content, or the rest that is asked for. */
function send(request: IncomingMessage, response: ServerResponse, content = CONTENT): void {
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const part = content.subarray(from);
  if (from > 0) {
    const range = `bytes ${from}-${content.length - 1}/${content.length}`;
    response.writeHead(206, { 'content-range': range });
  } else response.writeHead(200, { 'content-length': content.length });
  response.end(part);
}

let server: Server;
let baseUrl = '';
let handler: Handler = send;
const ranges: (string | undefined)[] = [];
const paths: (string | undefined)[] = [];
let folder = '';

beforeAll(async () => {
  server = createServer((request, response) => {
    ranges.push(request.headers.range);
    paths.push(request.url);
    handler(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-fetch-benchmark-'));
  handler = send;
  ranges.length = paths.length = 0;
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function fetchIt(options: FetchBenchmarkOptions = {}) {
  return fetchBenchmark('POPE', { folder, baseUrl, md5: MD5, patience: PATIENCE, ...options });
}

async function refusal(options?: FetchBenchmarkOptions): Promise<Error> {
  const error: unknown = await fetchIt(options).catch((found: unknown) => found);
  if (error instanceof Error) return error;
  throw new Error('it was downloaded');
}

/** Names and sizes of what is in the folder. */
async function left(): Promise<[string, number][]> {
  const names = await readdir(folder);
  return Promise.all(
    names.map(async (name): Promise<[string, number]> => [
      name,
      (await stat(join(folder, name))).size,
    ]),
  );
}

/** Answers with the first bytes and breaks the connection. */
function breakAfter(size: number): Handler {
  return (_, response) => {
    response.writeHead(200, { 'content-length': CONTENT.length });
    response.write(CONTENT.subarray(0, size), () => response.destroy());
  };
}

describe('the file of a benchmark', () => {
  it('is downloaded once, checked, and found the next time', async () => {
    const seen: [number, number][] = [];
    const fetched = await fetchIt({ onProgress: (done, total) => seen.push([done, total]) });
    const path = join(folder, 'POPE.tsv');
    const expected = { name: 'POPE', path, md5: MD5, sizeBytes: CONTENT.length };
    expect(fetched).toEqual({ ...expected, isNew: true });
    expect((await readFile(path)).equals(CONTENT)).toBe(true);
    expect(paths).toEqual([PATH]);
    expect(seen.at(-1)).toEqual([CONTENT.length, CONTENT.length]);
    expect(await fetchIt()).toEqual({ ...expected, isNew: false });
    expect(paths).toHaveLength(1);
    expect(await left()).toEqual([['POPE.tsv', CONTENT.length]]);
  });

  it('goes on where a connection broke, in the same run and in a later one', async () => {
    const part = 1_200_000;
    handler = (request, response) => {
      (ranges.length === 1 ? breakAfter(part) : send)(request, response);
    };
    await fetchIt();
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
    await rm(join(folder, 'POPE.tsv'));

    handler = breakAfter(part);
    const error = await refusal({ patience: { ...PATIENCE, attempts: 1 } });
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain('did not give the file of POPE');
    expect(error.message).toContain('what came is kept');
    const [[, size] = ['', 0]] = await left();
    expect(size).toBeGreaterThan(0);
    ranges.length = 0;
    handler = send;
    await fetchIt();
    expect(ranges).toEqual([`bytes=${size}-`]);
    expect((await readFile(join(folder, 'POPE.tsv'))).equals(CONTENT)).toBe(true);
  });

  it('is begun anew by a server that knows no ranges, or where what was left is wrong', async () => {
    handler = breakAfter(1_000_000);
    await refusal({ patience: { ...PATIENCE, attempts: 1 } });
    handler = (_, response) => {
      response.end(CONTENT);
    };
    expect((await fetchIt()).isNew).toBe(true);
    await rm(join(folder, 'POPE.tsv'));

    const half = join(folder, `${MD5}.gapvl.incomplete`);
    await writeFile(half, Buffer.alloc(500_000, 7));
    handler = send;
    expect((await fetchIt()).isNew).toBe(true);
    await rm(join(folder, 'POPE.tsv'));

    await writeFile(half, Buffer.alloc(CONTENT.length + 10, 7));
    handler = (request, response) => {
      if (request.headers.range === undefined) send(request, response);
      else response.writeHead(416, { 'content-range': `bytes */${CONTENT.length}` }).end();
    };
    expect((await fetchIt()).isNew).toBe(true);
    expect(await left()).toEqual([['POPE.tsv', CONTENT.length]]);
  });

  it('is not kept when it has another MD5', async () => {
    handler = (request, response) => {
      send(request, response, someBytes(300_000, 9));
    };
    const error = await refusal();
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('another file than the published one of POPE');
    expect(error.message).toContain(`expected: MD5 ${MD5}`);
    expect(await left()).toEqual([]);
  });

  it('does not replace another file of its name, unless told', async () => {
    await writeFile(join(folder, 'POPE.tsv'), 'mine');
    const error = await refusal();
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('is not the published file of POPE');
    expect(paths).toEqual([]);
    expect((await fetchIt({ force: true })).isNew).toBe(true);
    expect(await left()).toEqual([['POPE.tsv', CONTENT.length]]);
  });

  it('takes its name when a run was killed before it could give it', async () => {
    await writeFile(join(folder, MD5), CONTENT);
    expect((await fetchIt()).isNew).toBe(false);
    expect(paths).toEqual([]);
    expect(await left()).toEqual([['POPE.tsv', CONTENT.length]]);
  });

  it('is downloaded by two at once without harm', async () => {
    const both = await Promise.all([fetchIt(), fetchIt()]);
    expect(both.map(({ md5 }) => md5)).toEqual([MD5, MD5]);
    expect(await left()).toEqual([['POPE.tsv', CONTENT.length]]);
  });
});

describe('a server of benchmarks', () => {
  it('that has no such file is named, with where to put it', async () => {
    handler = (_, response) => {
      response.writeHead(404).end();
    };
    const error = await refusal();
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(`has no file ${PATH} any more`);
    expect(error.message).toContain('HTTP 404');
    expect(error.message).toContain(join(folder, 'POPE.tsv'));
    expect(error.message).not.toContain('token');
    expect(paths).toHaveLength(1);
    handler = (_, response) => {
      response.writeHead(403).end();
    };
    expect((await refusal()).message).toContain('HTTP 403');
  });

  it('that is busy is asked again, as often as patience lasts', async () => {
    handler = (request, response) => {
      if (paths.length < 3) response.writeHead(503, { 'retry-after': '0' }).end();
      else send(request, response);
    };
    expect((await fetchIt()).isNew).toBe(true);
    await rm(join(folder, 'POPE.tsv'));
    paths.length = 0;
    handler = (_, response) => {
      response.writeHead(500).end();
    };
    expect((await refusal()).message).toContain('HTTP 500, 3 times in a row');
    expect(paths).toHaveLength(3);
  });

  it('that falls silent, or is not there, is an error in the end', async () => {
    handler = (_, response) => {
      response.writeHead(200, { 'content-length': CONTENT.length });
      response.write(CONTENT.subarray(0, 1000));
    };
    const patience = { attempts: 2, waitMs: 1, stallMs: 100 };
    expect((await refusal({ patience })).message).toContain('was silent for 0.1 s');
    const nowhere = await refusal({ patience, baseUrl: 'http://127.0.0.1:9' });
    expect(nowhere).toBeInstanceOf(RuntimeError);
    expect(nowhere.message).toContain('127.0.0.1:9 did not give the file');
  });

  it('that sends more than it said, or without end, is not believed', async () => {
    handler = (request, response) => {
      const range = `bytes 0-9/${CONTENT.length * 2 ** 20}`;
      if (request.headers.range === undefined) breakAfter(1000)(request, response);
      else response.writeHead(206, { 'content-range': range }).end(CONTENT);
    };
    expect((await refusal()).message).toContain('another part');
    handler = (_, response) => {
      response.writeHead(200, { 'content-length': 2 ** 45 });
      response.write('x');
    };
    expect((await refusal()).message).toContain(`${2 ** 45} bytes`);
  });

  it('may send to another place, by http or https only', async () => {
    handler = (request, response) => {
      if (request.url === PATH) response.writeHead(302, { location: '/elsewhere?a=b' }).end();
      else send(request, response);
    };
    expect((await fetchIt()).isNew).toBe(true);
    expect(paths).toEqual([PATH, '/elsewhere?a=b']);
    await rm(join(folder, 'POPE.tsv'));
    for (const location of ['file:///etc/passwd', 'ftp://127.0.0.1/x', 'data:text/plain,x']) {
      handler = (_, response) => {
        response.writeHead(302, { location }).end();
      };
      expect(await refusal()).toBeInstanceOf(DataError);
    }
    expect(await left()).toEqual([]);
  });

  it('is left alone when the download is stopped, and what came is kept', async () => {
    const controller = new AbortController();
    handler = (_, response) => {
      response.writeHead(200, { 'content-length': CONTENT.length });
      response.write(CONTENT.subarray(0, 800_000));
    };
    const error = await refusal({
      signal: controller.signal,
      onProgress: (done) => {
        if (done > 0) controller.abort(new Error('enough'));
      },
    });
    expect(error.message).toBe('enough');
    expect((await left())[0]?.[1]).toBeGreaterThan(0);
  });
});

describe('a disk for benchmarks', () => {
  it('that is full is named, and the download goes on when there is room', async (context) => {
    try {
      const mount = ['-t', 'tmpfs', '-o', 'size=2m,mode=700', 'tmpfs', folder];
      execFileSync('mount', mount, { stdio: 'ignore' });
    } catch {
      context.skip('nothing can be mounted here');
    }
    try {
      const error = await refusal();
      expect(error).toBeInstanceOf(RuntimeError);
      expect(error.message).toContain('Disk full while downloading POPE');
      execFileSync('mount', ['-o', 'remount,size=8m', folder]);
      ranges.length = 0;
      expect((await fetchIt()).isNew).toBe(true);
      expect(ranges).toEqual([expect.stringMatching(/^bytes=[1-9]\d+-$/)]);
    } finally {
      execFileSync('umount', [folder]);
    }
  });

  it('that has a file in place of the folder is named', async () => {
    await writeFile(join(folder, 'file'), '');
    const error = await refusal({ folder: join(folder, 'file', 'deep') });
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error.message).toContain('Cannot write to');
  });

  it('is the one VLMEvalKit uses unless told', () => {
    expect(defaultDataFolder({})).toBe(join(homedir(), 'LMUData'));
    expect(defaultDataFolder({ LMUData: '' })).toBe(join(homedir(), 'LMUData'));
    expect(defaultDataFolder({ LMUData: '/data/lmu' })).toBe('/data/lmu');
  });
});

describe('gapvl evaluate fetch', () => {
  it('prints the path, or all there is to know as JSON', async () => {
    const words = ['evaluate', 'fetch', 'POPE', '--out', folder, '--server', baseUrl];
    const shown = await gapvl([...words, '--md5', MD5.toUpperCase()]);
    const path = join(folder, 'POPE.tsv');
    expect(shown).toMatchObject({ code: 0, out: `${path}\n` });
    expect(shown.err).toMatch(/POPE \(MB\) .*2\.5\/2\.5/);
    const again = await gapvl([...words, '--md5', MD5, '--json']);
    expect(JSON.parse(again.out)).toEqual({
      ...{ name: 'POPE', path, md5: MD5, bytes: CONTENT.length, isNew: false },
    });
  });

  it('ends with the code of the fault, and says what to do', async () => {
    const words = ['evaluate', 'fetch', 'POPE', '--out', folder, '--server', baseUrl];
    const wrong = await gapvl(words);
    expect(wrong.code).toBe(3);
    expect(wrong.err).toContain('c12f5acb142f2ef1f85a26ba2fbe41d5');
    const unknown = await gapvl(['evaluate', 'fetch', 'pope', '--out', folder]);
    expect(unknown).toMatchObject({ code: 2 });
    expect(unknown.err).toContain('HRBench4K');
    expect((await gapvl(['evaluate', 'fetch', 'own'])).code).toBe(2);
    expect((await gapvl([...words.slice(0, 5), '--server', 'ftp://x'])).code).toBe(2);
    expect((await gapvl([...words, '--md5', 'x'])).code).toBe(2);
    await expect(fetchIt({ md5: 'x' })).rejects.toThrow(ConfigError);
  });
});
