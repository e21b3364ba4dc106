// Owns the check that a judge is asked once for the same, that only its own failures count as attempts, and
// that a judge that is not there is never taken for none.
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ChatEndpoint } from '../../../../src/benchmark/endpoint/chat-endpoint.ts';
import { Judge, scoreWithJudge } from '../../../../src/benchmark/endpoint/judge.ts';
import type { EndpointOptions } from '../../../../src/benchmark/endpoint/types.ts';
import type { ItemScore, JudgeQuestion, JudgeReply } from '../../../../src/benchmark/types.ts';
import { DataError, RuntimeError } from '../../../../src/errors.ts';
import {
  SERVED_MODEL,
  answer,
  drop,
  failure,
  quickTime,
  send,
  slow,
  startOpenAiServer,
  tooMany,
} from '../../../helpers/openai-server.ts';
import type { Behaviour, SeenCall } from '../../../helpers/openai-server.ts';

const QUESTION: JudgeQuestion = { state: 'ask', prompt: 'Which?', temperature: 0, attempt: 0 };
const FAILED = 'Failed to obtain answer via API.';

interface Place extends AsyncDisposable {
  readonly path: string;
}

async function place(): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'gapvl-judge-'));
  return {
    path: join(folder, 'judge.jsonl'),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}

function endpointAt(url: string, more: Partial<EndpointOptions> = {}): ChatEndpoint {
  const { clock, sleep } = quickTime();
  return new ChatEndpoint({
    url,
    model: 'judge-model',
    env: {},
    retries: 2,
    clock,
    sleep,
    ...more,
  });
}

function scored(result: string | null, settled: ItemScore['settled']): ItemScore {
  return { state: 'scored', result, score: result === 'B' ? 1 : 0, settled, missing: false };
}

/** A ladder as the protocol has it: five attempts, each half a degree warmer, then nothing. */
function ladder(prompt: string): (replies: readonly JudgeReply[]) => ItemScore | JudgeQuestion {
  return (replies) => {
    const reply = replies.find((text) => text !== null && text !== 'Unknown');
    if (reply !== undefined) return scored(reply, 'judge');
    const attempt = replies.length;
    if (attempt === 5) return scored(null, 'none');
    return { state: 'ask', prompt, temperature: attempt / 2, maxTokens: 128, attempt };
  };
}

const isGreeting = ({ text }: SeenCall): boolean => text === 'hello';
const unlessGreeted =
  (behaviour: Behaviour) =>
  (call: SeenCall): Behaviour =>
    isGreeting(call) ? answer('Hello!') : behaviour;

async function failureOf(promise: Promise<unknown>): Promise<RuntimeError> {
  const error = await promise.catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(RuntimeError);
  return error as RuntimeError;
}

describe('A judge', () => {
  it('is asked by text alone, at the temperature and the length of the question', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: ' \u001f\u0085 B\u00a0\n' });
    using endpoint = endpointAt(server.url, { temperature: 0.9 });
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    expect(await judge.ask({ ...QUESTION, temperature: 1.5, maxTokens: 128 })).toBe('B');
    expect(await judge.ask(QUESTION)).toBe('B');
    const bodies = server.calls.map(({ body }) => body);
    expect(bodies).toEqual([
      {
        model: 'judge-model',
        messages: [{ role: 'user', content: 'Which?' }],
        ...{ temperature: 1.5, max_tokens: 128 },
      },
      {
        model: 'judge-model',
        messages: [{ role: 'user', content: 'Which?' }],
        ...{ temperature: 0, max_tokens: 2048 },
      },
    ]);
    expect(judge.identity).toEqual({ name: 'judge-model', versions: [SERVED_MODEL] });
  });

  it('climbs the ladder of the scorer, failed attempts included', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({
      behave: (call) => {
        if (isGreeting(call)) return answer('Hello!');
        const replies = [answer('Unknown'), answer(`${FAILED} `), failure(400), answer('B')];
        return replies[Number(call.body['temperature']) * 2] ?? answer('C');
      },
    });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    expect(await scoreWithJudge(ladder('one'), judge)).toEqual({
      score: scored('B', 'judge'),
      replies: ['Unknown', null, null, 'B'],
    });
    expect(judge.counts).toEqual({ asked: 4, kept: 0, failed: 2 });
  });

  it('is not asked when the scorer needs none, and not for ever', async () => {
    await using at = await place();
    await using server = await startOpenAiServer();
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    const settled = scored('B', 'letter');
    expect(await scoreWithJudge(() => settled, judge)).toEqual({ score: settled, replies: [] });
    expect(server.calls).toHaveLength(0);
    await expect(
      scoreWithJudge((replies) => ({ ...QUESTION, attempt: replies.length }), judge),
    ).rejects.toThrow('without end');
  });
});

describe('Replies of a judge', () => {
  it('are kept: the same result comes from the journal when the server is gone', async () => {
    await using at = await place();
    const server = await startOpenAiServer({
      behave: ({ text }) => (text === 'two' ? answer(FAILED) : answer('B')),
    });
    using endpoint = endpointAt(server.url);
    const run = async (): Promise<unknown> => {
      await using judge = await Judge.open({ endpoint, cachePath: at.path });
      const items = ['one', 'two', 'three'];
      const scores = await Promise.all(items.map((text) => scoreWithJudge(ladder(text), judge)));
      return { scores, identity: judge.identity, failed: judge.counts.failed };
    };
    const first = await run();
    expect(server.calls).toHaveLength(7);
    await server.close();
    expect(await run()).toEqual(first);
  });

  it('count for the same judge, version, prompt, temperature, length and attempt only', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: 'B' });
    using endpoint = endpointAt(server.url);
    using other = endpointAt(server.url, { model: 'other-judge' });
    using strict = endpointAt(server.url, { system: 'Be strict.' });
    // Neither the address nor how calls are made is a matter of content.
    await using moved = await startOpenAiServer({ behave: 'B' });
    using elsewhere = endpointAt(moved.url, { concurrency: 1, timeoutS: 5 });
    const ask = async (from: ChatEndpoint, change: Partial<JudgeQuestion> = {}): Promise<void> => {
      await using judge = await Judge.open({ endpoint: from, cachePath: at.path });
      await judge.ask({ ...QUESTION, ...change });
    };
    await ask(endpoint);
    await ask(endpoint);
    await ask(elsewhere);
    expect(server.calls.length + moved.calls.length).toBe(1);
    await ask(endpoint, { prompt: 'Which? ' });
    await ask(endpoint, { temperature: 0.5 });
    await ask(endpoint, { maxTokens: 128 });
    await ask(endpoint, { attempt: 1 });
    await ask(other);
    await ask(strict);
    expect(server.calls).toHaveLength(7);
  });

  it('name every version that was used, also when the server changes', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: 'B' });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    await judge.ask(QUESTION);
    server.next(answer('C', { model: 'a-later-version' }));
    expect(await judge.ask({ ...QUESTION, prompt: 'And?' })).toBe('C');
    expect(await judge.ask(QUESTION)).toBe('B');
    expect(judge.identity.versions).toEqual(['a-later-version', SERVED_MODEL]);
    // Another run that needs only one of them names only that.
    await using again = await Judge.open({ endpoint, cachePath: join(at.path, '../other.jsonl') });
    await again.ask(QUESTION);
    expect(again.identity.versions).toEqual([SERVED_MODEL]);
  });

  it('are asked for once when rows ask the same at the same time', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: () => slow(10, answer('B')) });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    const replies = await Promise.all(Array.from({ length: 6 }, () => judge.ask(QUESTION)));
    expect(replies).toEqual(Array(6).fill('B'));
    expect(server.calls).toHaveLength(1);
  });

  it('survive half a line at the end of the journal', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: 'B' });
    using endpoint = endpointAt(server.url);
    {
      await using judge = await Judge.open({ endpoint, cachePath: at.path });
      await judge.ask(QUESTION);
    }
    await appendFile(at.path, '{"key":"0123');
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    await judge.ask(QUESTION);
    expect(server.calls).toHaveLength(1);
    await judge.ask({ ...QUESTION, attempt: 1 });
    expect((await readFile(at.path, 'utf8')).trim().split('\n')).toHaveLength(3);
  });

  it.each([
    ['another kind of file', '{"format":"gapvl-other"}\n'],
    ['no JSON', '{"format":"gapvl-judge-replies"}\n{oops\n'],
    ['a list', '{"format":"gapvl-judge-replies"}\n[]\n'],
    ['a record without a key', '{"format":"gapvl-judge-replies"}\n{"judge":"j","reply":"B"}\n'],
    ['null', '{"format":"gapvl-judge-replies"}\nnull\n'],
  ])('are not taken from a journal with %s', async (_, text) => {
    await using at = await place();
    await writeFile(at.path, text);
    using endpoint = endpointAt('http://127.0.0.1:9');
    const opening = Judge.open({ endpoint, cachePath: at.path });
    await expect(opening).rejects.toThrow(DataError);
    await expect(opening).rejects.toThrow(at.path);
    expect(await readFile(at.path, 'utf8')).toBe(text);
  });
});

describe('A call to a judge that fails', () => {
  it.each<[string, Behaviour]>([
    ['the server refuses this prompt', failure(400, 'filtered')],
    ['the server breaks at this prompt', failure(500)],
    ['the connection breaks at this prompt', drop],
    ['the reply is empty', answer('')],
    ['the reply is blank', answer(' \n')],
    ['the reply is garbage', send('{')],
  ])('counts as an attempt when %s and others are answered', async (_, bad) => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: unlessGreeted(bad) });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    expect(await judge.ask(QUESTION)).toBeNull();
    expect(judge.counts).toEqual({ asked: 1, kept: 0, failed: 1 });
    const numCalls = server.calls.length;
    // It is kept as well, until somebody wants it tried again.
    expect(await judge.ask(QUESTION)).toBeNull();
    expect(server.calls).toHaveLength(numCalls);
  });

  it('leaves no trace when the server was away for a while', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: 'B' });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    server.next(failure(503), failure(503), failure(503));
    expect(await judge.ask(QUESTION)).toBe('B');
    expect(judge.counts.failed).toBe(0);
    expect(await readFile(at.path, 'utf8')).not.toContain('503');
  });

  it('is made again with retryFailed, and the reply then stands', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: 'B' });
    using endpoint = endpointAt(server.url);
    const question = { ...QUESTION, prompt: 'And?' };
    const ask = async (retryFailed: boolean): Promise<JudgeReply> => {
      await using judge = await Judge.open({ endpoint, cachePath: at.path, retryFailed });
      return await judge.ask(question);
    };
    // The second call is the greeting.
    server.next(failure(400), answer('Hello!'));
    expect(await ask(false)).toBeNull();
    expect(await ask(false)).toBeNull();
    expect(await ask(true)).toBe('B');
    expect(server.calls).toHaveLength(3);
    {
      // A reply without a version, as failures are.
      server.next(send('{"choices":[{"message":{"content":"C"}}]}'));
      await using judge = await Judge.open({ endpoint, cachePath: at.path });
      expect(await judge.ask(QUESTION)).toBe('C');
      expect(judge.identity.versions).toEqual([null]);
    }
    expect(await ask(false)).toBe('B');
    expect(server.calls).toHaveLength(4);
  });
});

describe('A judge that is not there', () => {
  const cases: readonly [string, Behaviour][] = [
    ['refuses the key', failure(401)],
    ['does not know the model', failure(404)],
    ['sends elsewhere', failure(302, 'moved', { location: 'http://127.0.0.1:9/' })],
    ['refuses everything', failure(400)],
    ['breaks down', failure(500)],
    ['drops connections', drop],
    ['answers garbage', send('<html>')],
    ['says nothing', answer('')],
    ['wants to be left alone for a day', tooMany('86400')],
    ['is always too busy', tooMany('1')],
  ];
  it.each(cases)('is an error with exit code 4 when it %s, and nothing is kept', async (_, bad) => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: () => bad });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    const error = await failureOf(scoreWithJudge(ladder('one'), judge));
    expect(error.exitCode).toBe(4);
    expect(error.parts.what).toBe('the judge judge-model does not answer');
    expect(error.parts.fix).toContain('run the command again');
    const lines = (await readFile(at.path, 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(1);
  });

  it('is an error with exit code 4 when nothing listens', async () => {
    await using at = await place();
    const server = await startOpenAiServer();
    await server.close();
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    const error = await failureOf(judge.ask(QUESTION));
    expect(error.exitCode).toBe(4);
    expect(error.message).toContain('ECONNREFUSED');
  });

  it('later on is an error too, and the next run asks only for the rest', async () => {
    await using at = await place();
    const first = await startOpenAiServer({ behave: 'B' });
    const port = Number(new URL(first.url).port);
    using endpoint = endpointAt(first.url);
    const run = async (onEach: () => Promise<void>): Promise<void> => {
      await using judge = await Judge.open({ endpoint, cachePath: at.path });
      for (const text of ['one', 'two', 'three']) {
        await scoreWithJudge(ladder(text), judge);
        await onEach();
      }
    };
    const error = await failureOf(run(() => first.close()));
    expect(error.exitCode).toBe(4);
    await using second = await startOpenAiServer({ behave: 'B', port });
    await run(() => Promise.resolve());
    expect(second.calls.map(({ text }) => text)).toEqual(['two', 'three']);
  });

  it('does not see the key in its errors and its journal', async () => {
    await using at = await place();
    const key = 'sk-test-0123456789abcdef';
    await using server = await startOpenAiServer({
      behave: ({ headers, text }) =>
        text === 'echo' ? answer(`B ${headers.authorization ?? ''}`) : failure(400, key),
    });
    using endpoint = endpointAt(server.url, { env: { OPENAI_API_KEY: key } });
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    expect(await judge.ask({ ...QUESTION, prompt: 'echo' })).toBe('B Bearer [key]');
    const error = await failureOf(judge.ask(QUESTION));
    const file = await readFile(at.path, 'utf8');
    expect(`${error.message}${error.stack ?? ''}${file}`).not.toContain(key);
  });

  it('is told apart from an abort', async () => {
    await using at = await place();
    await using server = await startOpenAiServer({ behave: 'B' });
    using endpoint = endpointAt(server.url);
    await using judge = await Judge.open({ endpoint, cachePath: at.path });
    const reason = new Error('enough');
    await expect(judge.ask(QUESTION, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(await judge.ask(QUESTION)).toBe('B');
  });
});
