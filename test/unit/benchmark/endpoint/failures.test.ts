// Owns the check that a bad server costs time and never a wrong answer: retries, waits, and ends of runs.
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { describe, expect, it } from 'vitest';
import { ChatEndpoint } from '../../../../src/benchmark/endpoint/chat-endpoint.ts';
import type { EndpointOptions } from '../../../../src/benchmark/endpoint/types.ts';
import { ConfigError, EXIT_CODES, RuntimeError } from '../../../../src/errors.ts';
import {
  answer,
  completion,
  drop,
  dropMidway,
  endless,
  failure,
  noHttp,
  quickTime,
  send,
  silence,
  slow,
  stall,
  startOpenAiServer,
  tooMany,
} from '../../../helpers/openai-server.ts';
import type { Behaviour } from '../../../helpers/openai-server.ts';

const ASK = { pictures: [], text: 'What is it?' };

function optionsFor(url: string, more: Partial<EndpointOptions> = {}): EndpointOptions {
  const { clock, sleep } = quickTime();
  return { url, model: 'asked-model', env: {}, clock, sleep, ...more };
}

const html = send('<html>Log in to the network</html>', 200, { 'content-type': 'text/html' });
const latin: Behaviour = (response) => {
  response.end(Buffer.from(completion('Gr\u00fcn'), 'latin1'));
};
const gzip = send('\u001f\u008b', 200, { 'content-encoding': 'gzip' });

describe('A call that comes to nothing', () => {
  const cases: readonly [string, Behaviour, { kind: string; status?: number }][] = [
    ['a connection that closes at once', drop, { kind: 'connection' }],
    ['a connection that closes midway', dropMidway, { kind: 'connection' }],
    ['silence', silence, { kind: 'timeout' }],
    ['half a body and then silence', stall, { kind: 'timeout' }],
    ['an answer that comes too late', slow(600, answer('A')), { kind: 'timeout' }],
    ['an error of the server', failure(500), { kind: 'http', status: 500 }],
    ['an error of a gateway', send('<html>502</html>', 502), { kind: 'http', status: 502 }],
    ['too many requests', tooMany(), { kind: 'http', status: 429 }],
    ['a conflict', failure(409), { kind: 'http', status: 409 }],
    ['garbage', send('{"choices": [{"mess'), { kind: 'protocol' }],
    ['a page of HTML', html, { kind: 'protocol' }],
    ['bytes that are not UTF-8', gzip, { kind: 'protocol' }],
    ['an answer that is not UTF-8', latin, { kind: 'protocol' }],
    ['no body', send('', 204), { kind: 'protocol' }],
    ['JSON of another form', send('[1, null]'), { kind: 'protocol' }],
    ['null', send('null'), { kind: 'protocol' }],
    ['no choices', answer('A', { choices: [] }), { kind: 'protocol' }],
    ['choices of another form', answer('A', { choices: { '0': 1 } }), { kind: 'protocol' }],
    [
      'an error with a good status',
      send('{"error":{"message":"overloaded"}}'),
      { kind: 'protocol' },
    ],
    ['an empty answer', answer(''), { kind: 'protocol' }],
    ['an answer that is no text', send(completion({ a: 1 })), { kind: 'protocol' }],
    ['an endless answer', endless(), { kind: 'protocol' }],
    ['an endless error', endless(500), { kind: 'http', status: 500 }],
    ['something that is not HTTP', noHttp, { kind: 'protocol' }],
  ];
  it.each(cases)(
    'because of %s is made again, and the item has its answer',
    async (_, bad, error) => {
      await using server = await startOpenAiServer();
      const timeoutS = error.kind === 'timeout' ? 0.4 : 30;
      const options = { timeoutS, maxReplyBytes: 1 << 16, retries: 2 };
      using endpoint = new ChatEndpoint(optionsFor(server.url, options));
      server.next(bad);
      expect(await endpoint.complete(ASK)).toMatchObject({ text: 'A', attempts: 2 });
    },
  );

  it.each(cases)('because of %s is an error of its kind in the end', async (_, bad, error) => {
    await using server = await startOpenAiServer({ behave: () => bad });
    const timeoutS = error.kind === 'timeout' ? 0.1 : 30;
    const options = { timeoutS, maxReplyBytes: 1 << 16, retries: 1 };
    using endpoint = new ChatEndpoint(optionsFor(server.url, options));
    const result = await endpoint.complete(ASK);
    expect(result).toMatchObject({ state: 'failed', error, attempts: 2 });
    expect(result).not.toHaveProperty('text');
    expect(server.calls).toHaveLength(2);
  });

  it.each([400, 402, 413, 415, 422, 451])(
    'because of HTTP %d is not made again',
    async (status) => {
      await using server = await startOpenAiServer({ behave: () => failure(status, 'too\nlong') });
      using endpoint = new ChatEndpoint(optionsFor(server.url));
      expect(await endpoint.complete(ASK)).toEqual({
        state: 'failed',
        error: { kind: 'http', status, what: `HTTP ${status}: too long` },
        attempts: 1,
      });
    },
  );

  it('is told in one short line, whatever the server writes', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url, { retries: 0 }));
    const texts = [
      `\u001b[31m${'x'.repeat(1 << 20)}`,
      '\u202egnp',
      '{"detail":"no such field"}',
      '',
    ];
    const told: string[] = [];
    for (const text of texts) {
      server.next(send(text, 422));
      const result = await endpoint.complete(ASK);
      if (result.state === 'failed') told.push(result.error.what);
    }
    expect(told[0]?.length).toBeLessThan(250);
    expect(told.slice(1)).toEqual(['HTTP 422: gnp', 'HTTP 422: no such field', 'HTTP 422']);
    expect(told.join('')).not.toMatch(/\p{Cc}/u);
  });
});

describe('Waits between calls', () => {
  it('double up to a minute, with a jitter that the seed settles', async () => {
    await using server = await startOpenAiServer({ behave: () => failure(500) });
    const waits = async (jitterSeed: number): Promise<readonly number[]> => {
      const time = quickTime();
      using endpoint = new ChatEndpoint(
        optionsFor(server.url, { ...time, retries: 8, jitterSeed }),
      );
      await endpoint.complete(ASK);
      return time.slept;
    };
    const [first, again, other] = [await waits(1), await waits(1), await waits(2)];
    expect(first).toHaveLength(8);
    first.forEach((ms, i) => {
      const longest = Math.min(1000 * 2 ** i, 60_000);
      expect(ms).toBeGreaterThanOrEqual(longest / 2);
      expect(ms).toBeLessThanOrEqual(longest);
    });
    expect(again).toEqual(first);
    expect(other).not.toEqual(first);
  });

  const NOON = 'Thu, 01 Jan 2026 12:00:00 GMT';
  it.each<[string, Record<string, string>, number]>([
    ['seconds', { 'retry-after': '7' }, 7000],
    ['a part of a second', { 'retry-after': '0.5' }, 500],
    [
      "a date by the server's own clock",
      { 'retry-after': 'Thu, 01 Jan 2026 12:01:30 GMT', date: NOON },
      90_000,
    ],
  ])('are as long as the server asks by %s', async (_, headers, ms) => {
    await using server = await startOpenAiServer();
    const time = quickTime();
    using endpoint = new ChatEndpoint(optionsFor(server.url, time));
    server.next(failure(503, 'busy', headers));
    expect(await endpoint.complete(ASK)).toMatchObject({ attempts: 2 });
    expect(time.slept).toHaveLength(1);
    expect(time.slept[0]).toBeGreaterThan(ms - 100);
    expect(time.slept[0]).toBeLessThanOrEqual(ms);
  });

  it('go by our calendar where the server tells no time', async () => {
    await using server = await startOpenAiServer();
    const time = quickTime('2026-01-01T12:00:00Z');
    using endpoint = new ChatEndpoint(optionsFor(server.url, time));
    server.next((response) => {
      response.sendDate = false;
      response.writeHead(429, { 'retry-after': 'Thu, 01 Jan 2026 12:00:20 GMT' });
      response.end();
    });
    expect(await endpoint.complete(ASK)).toMatchObject({ attempts: 2 });
    expect(Math.round((time.slept[0] ?? 0) / 1000)).toBe(20);
  });

  it.each(['0', '-5', 'soon', 'May 2030', '', 'Wed, 31 Dec 2025 00:00:00 GMT'])(
    'are our own where Retry-After is %j',
    async (after) => {
      await using server = await startOpenAiServer();
      const time = quickTime();
      using endpoint = new ChatEndpoint(optionsFor(server.url, time));
      server.next(tooMany(after, { date: 'Thu, 01 Jan 2026 00:00:00 GMT' }));
      expect(await endpoint.complete(ASK)).toMatchObject({ attempts: 2 });
      expect(time.slept[0]).toBeGreaterThan(400);
      expect(time.slept[0]).toBeLessThanOrEqual(1000);
    },
  );

  it.each(['86400', '9'.repeat(400)])(
    'that are too long end the run with exit code 4: Retry-After %s',
    async (after) => {
      await using server = await startOpenAiServer({ behave: () => tooMany(after) });
      using endpoint = new ChatEndpoint(optionsFor(server.url));
      const error = await endpoint.complete(ASK).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(RuntimeError);
      expect(error).toMatchObject({ exitCode: EXIT_CODES.unreachable });
      expect((error as RuntimeError).parts.got).toContain('asks to wait');
      expect(server.calls).toHaveLength(1);
    },
  );

  it('after a 429 hold for all calls, not for the one that met it', async () => {
    await using server = await startOpenAiServer();
    // Real time: the others must not begin within it.
    const { sleep: _, ...real } = optionsFor(server.url, { concurrency: 4 });
    const notes: string[] = [];
    using endpoint = new ChatEndpoint({ ...real, onNote: (line) => notes.push(line) });
    server.next(tooMany('0.3'));
    const refused = endpoint.complete(ASK);
    await expect.poll(() => notes, { interval: 1 }).toHaveLength(1);
    const others = [1, 2, 3].map(() => endpoint.complete(ASK));
    const results = await Promise.all([refused, ...others]);
    expect(results.map(({ attempts }) => attempts)).toEqual([2, 1, 1, 1]);
    const [first = 0, ...rest] = server.calls.map(({ atMs }) => atMs);
    expect(rest).toHaveLength(4);
    expect(Math.min(...rest) - first).toBeGreaterThan(250);
  });

  it('of a server that is merely busy cost no item its answer', async () => {
    // Lets every other call through, so that some item would meet more refusals than it has retries.
    let numCalls = 0;
    await using server = await startOpenAiServer({
      behave: () => ((numCalls += 1) % 4 === 0 ? answer('A') : tooMany('1')),
    });
    using endpoint = new ChatEndpoint(optionsFor(server.url, { retries: 3, concurrency: 12 }));
    const results = await Promise.all(Array.from({ length: 24 }, () => endpoint.complete(ASK)));
    expect(results.map(({ state }) => state)).toEqual(Array(24).fill('answered'));
    expect(Math.max(...results.map(({ attempts }) => attempts))).toBeGreaterThan(4);
  });

  it('are told in a line', async () => {
    await using server = await startOpenAiServer();
    const notes: string[] = [];
    using endpoint = new ChatEndpoint(
      optionsFor(server.url, { onNote: (line) => notes.push(line) }),
    );
    server.next(tooMany('7'), dropMidway);
    await endpoint.complete(ASK);
    expect(notes).toEqual([
      'HTTP 429: too many requests; asking again in 7 s',
      expect.stringMatching(/^the connection broke \(ECONNRESET\); asking again in [12] s$/),
    ]);
  });
});

describe('Calls at the same time', () => {
  it('are as many as allowed, and no more', async () => {
    await using server = await startOpenAiServer({ behave: () => slow(15, answer('A')) });
    using endpoint = new ChatEndpoint(optionsFor(server.url, { concurrency: 3 }));
    await Promise.all(Array.from({ length: 12 }, () => endpoint.complete(ASK)));
    expect(server.mostOpen()).toBe(3);
  });

  it('begin no faster than the limit of a minute, further attempts included', async () => {
    await using server = await startOpenAiServer();
    const time = quickTime(undefined, false);
    const options = { ...time, concurrency: 8, requestsPerMinute: 120, waitS: 0 };
    using endpoint = new ChatEndpoint(optionsFor(server.url, options));
    server.next(failure(500), dropMidway);
    for (let i = 0; i < 7; i++) await endpoint.complete(ASK);
    expect(server.calls).toHaveLength(9);
    expect(time.slept.filter((ms) => ms > 0)).toEqual(Array(8).fill(500));
  });
});

describe('A run ends at once', () => {
  it.each([301, 302, 303, 307, 308])('when it is sent elsewhere by HTTP %d', async (status) => {
    await using other = await startOpenAiServer();
    await using server = await startOpenAiServer({
      behave: () => failure(status, 'moved', { location: `${other.url}/chat/completions?a=1` }),
    });
    using endpoint = new ChatEndpoint(
      optionsFor(server.url, { env: { OPENAI_API_KEY: 'sk-0123456789abcdefgh' } }),
    );
    const error = await endpoint.complete(ASK).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).parts.got).toBe(`${other.url}/chat/completions`);
    expect(other.calls).toHaveLength(0);
    expect(server.calls).toHaveLength(1);
  });

  it.each([404, 405])('when there is no such model or address: HTTP %d', async (status) => {
    await using server = await startOpenAiServer({
      behave: () => failure(status, 'no such model'),
    });
    using endpoint = new ChatEndpoint(optionsFor(server.url));
    await expect(endpoint.complete(ASK)).rejects.toThrow(ConfigError);
    expect(server.calls).toHaveLength(1);
  });

  it('with exit code 4 when nothing listens, after the retries', async () => {
    const server = await startOpenAiServer();
    const { url } = server;
    await server.close();
    const time = quickTime();
    using endpoint = new ChatEndpoint(optionsFor(url, { ...time, retries: 2 }));
    const error = await endpoint.complete(ASK).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RuntimeError);
    expect(error).toMatchObject({ exitCode: 4 });
    expect((error as RuntimeError).message).toContain('ECONNREFUSED');
    expect(time.slept).toHaveLength(2);
  });

  it('with exit code 4 when it is HTTPS and the server does not speak it', async () => {
    await using server = await startOpenAiServer();
    const url = server.url.replace('http:', 'https:');
    using endpoint = new ChatEndpoint(optionsFor(url, { retries: 0 }));
    await expect(endpoint.complete(ASK)).rejects.toMatchObject({ exitCode: 4 });
  });

  it('but goes on when the server is back in time', async () => {
    const first = await startOpenAiServer();
    const port = Number(new URL(first.url).port);
    await first.close();
    const time = quickTime();
    let second: Awaited<ReturnType<typeof startOpenAiServer>> | undefined;
    const sleep = async (): Promise<void> => {
      second ??= await startOpenAiServer({ port });
    };
    using endpoint = new ChatEndpoint(optionsFor(first.url, { clock: time.clock, sleep }));
    expect(await endpoint.complete(ASK)).toMatchObject({ text: 'A', attempts: 2 });
    await second?.close();
  });
});

describe('Many calls at the same time', () => {
  it('share one signal without a warning', async () => {
    const warnings: string[] = [];
    const listen = ({ name }: Error): void => void warnings.push(name);
    process.on('warning', listen);
    await using server = await startOpenAiServer({ behave: () => slow(5, answer('A')) });
    using endpoint = new ChatEndpoint(optionsFor(server.url, { concurrency: 32 }));
    const { signal } = new AbortController();
    const request = { ...ASK, signal };
    await Promise.all(Array.from({ length: 64 }, () => endpoint.complete(request)));
    await new Promise((resolve) => setTimeout(resolve, 10));
    process.off('warning', listen);
    expect(warnings).toEqual([]);
  });
});

describe('An abort', () => {
  it('ends a call that is under way, and closes its connection', async () => {
    await using server = await startOpenAiServer({ behave: () => silence });
    using endpoint = new ChatEndpoint(optionsFor(server.url));
    const stop = new AbortController();
    const reason = new Error('enough');
    const result = endpoint.complete({ ...ASK, signal: stop.signal });
    await expect.poll(() => server.calls, { interval: 1 }).toHaveLength(1);
    stop.abort(reason);
    await expect(result).rejects.toBe(reason);
    await expect.poll(() => server.numOpen()).toBe(0);
  });

  it('ends waits of every kind, and leaves the endpoint usable', async () => {
    await using server = await startOpenAiServer();
    const { sleep: _, ...real } = optionsFor(server.url, { concurrency: 1 });
    const notes: string[] = [];
    using endpoint = new ChatEndpoint({
      ...real,
      ...{ waitS: 60, maxWaitS: 3600, onNote: (line) => notes.push(line) },
    });
    const stop = new AbortController();
    const reason = new Error('enough');
    server.next(failure(500), tooMany('1800'));
    // One waits by itself, one for the pause, one for its turn behind that.
    const calls = [1, 2, 3].map(() => endpoint.complete({ ...ASK, signal: stop.signal }));
    await expect.poll(() => notes, { interval: 1 }).toHaveLength(2);
    stop.abort(reason);
    const ends = await Promise.allSettled(calls);
    expect(ends).toEqual(Array(3).fill({ status: 'rejected', reason }));
    expect(server.calls).toHaveLength(2);
    const before = endpoint.complete({ ...ASK, signal: stop.signal });
    await expect(before).rejects.toBe(reason);
    using fresh = new ChatEndpoint(real);
    expect(await fresh.complete(ASK)).toMatchObject({ text: 'A' });
  });
});

describe('A kept connection', () => {
  it('that the server has closed meanwhile costs neither a wait nor an attempt', async () => {
    // Raw sockets: one reply for each connection, which looks kept alive and is reset at the next call.
    const body = completion('A');
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: ${body.length}`;
    let numConnections = 0;
    const raw = createServer((socket) => {
      numConnections += 1;
      socket.on('error', () => undefined);
      socket.once('data', () => {
        socket.write(`${head}\r\n\r\n${body}`);
        socket.once('data', () => socket.resetAndDestroy());
      });
    });
    await new Promise<void>((resolve) => raw.listen(0, '127.0.0.1', resolve));
    const { port } = raw.address() as AddressInfo;
    const time = quickTime();
    using endpoint = new ChatEndpoint(optionsFor(`http://127.0.0.1:${port}`, time));
    for (let i = 0; i < 3; i++) {
      expect(await endpoint.complete(ASK)).toMatchObject({ text: 'A', attempts: 1 });
    }
    expect(numConnections).toBe(3);
    expect(time.slept).toEqual([]);
    raw.close();
  });

  it('serves all calls of one worker', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url, { concurrency: 1 }));
    for (let i = 0; i < 5; i++) await endpoint.complete(ASK);
    expect(server.numConnections()).toBe(1);
  });
});
