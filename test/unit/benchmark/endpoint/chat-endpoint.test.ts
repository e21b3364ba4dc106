// Owns the check that an endpoint is asked as its interface wants, and answers are taken as they come.
import { describe, expect, it } from 'vitest';
import { ChatEndpoint } from '../../../../src/benchmark/endpoint/chat-endpoint.ts';
import type {
  ChatAnswer,
  ChatResult,
  EndpointOptions,
} from '../../../../src/benchmark/endpoint/types.ts';
import { ConfigError } from '../../../../src/errors.ts';
import {
  SERVED_MODEL,
  answer,
  completion,
  failure,
  quickTime,
  send,
  slow,
  startOpenAiServer,
} from '../../../helpers/openai-server.ts';

const KEY = 'sk-test-0123456789abcdef';

function optionsFor(url: string, more: Partial<EndpointOptions> = {}): EndpointOptions {
  const { clock, sleep } = quickTime();
  return { url, model: 'asked-model', env: {}, clock, sleep, ...more };
}

function answered(result: ChatResult): ChatAnswer {
  if (result.state !== 'answered') throw new Error(`no answer: ${JSON.stringify(result)}`);
  return result;
}

const ASK = { pictures: [], text: 'What is it?' };

describe('An endpoint', () => {
  it('is sent the pictures in their order and then the text, byte for byte', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url));
    // A view into the middle of a larger buffer.
    const first = new Uint8Array([9, 9, 0x89, 0x50, 0xff, 0, 9]).subarray(2, 6);
    const pictures = [
      { bytes: first, mimeType: 'image/png' },
      { bytes: new Uint8Array([0xff, 0xd8]), mimeType: 'image/jpeg' },
    ];
    const text = 'Ein Bild 图\n \u2028"quoted" \n';
    await endpoint.complete({ pictures, text });
    const [call] = server.calls;
    expect(call?.kinds).toEqual(['image_url', 'image_url', 'text']);
    expect(call?.pictures.map(({ mimeType }) => mimeType)).toEqual(['image/png', 'image/jpeg']);
    expect(call?.pictures.map(({ bytes }) => [...bytes])).toEqual([
      [0x89, 0x50, 0xff, 0],
      [0xff, 0xd8],
    ]);
    expect(call?.text).toBe(text);
  });

  it('gets exactly the settings that are given, and those of one call win', async () => {
    await using server = await startOpenAiServer();
    using bare = new ChatEndpoint(optionsFor(server.url));
    await bare.complete(ASK);
    expect(server.calls[0]?.body).toEqual({
      model: 'asked-model',
      messages: [{ role: 'user', content: 'What is it?' }],
    });
    using full = new ChatEndpoint(
      optionsFor(server.url, {
        ...{ temperature: 0.01, topP: 0.001, maxTokens: 2048, seed: 3, system: 'Be brief.' },
        extra: { top_k: 1, repetition_penalty: 1, chat_template_kwargs: { thinking: false } },
      }),
    );
    await full.complete({ ...ASK, temperature: 1.5, maxTokens: 128, seed: 4 });
    expect(server.calls[1]?.body).toEqual({
      model: 'asked-model',
      messages: [
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'What is it?' },
      ],
      ...{ temperature: 1.5, top_p: 0.001, max_tokens: 128, seed: 4 },
      ...{ top_k: 1, repetition_penalty: 1, chat_template_kwargs: { thinking: false } },
    });
  });

  it('gives text, reason, model and tokens as the server reports them, nothing trimmed', async () => {
    await using server = await startOpenAiServer({ behave: '  <think>a</think> B \n' });
    using endpoint = new ChatEndpoint(optionsFor(server.url));
    const { latencyS, ...rest } = answered(await endpoint.complete(ASK));
    expect(rest).toEqual({
      state: 'answered',
      text: '  <think>a</think> B \n',
      finishReason: 'stop',
      attempts: 1,
      model: SERVED_MODEL,
      usage: { promptTokens: 7, completionTokens: 3 },
    });
    expect(latencyS).toBeGreaterThan(0);
  });

  it('takes replies without anything but the text, in parts, and refusals', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url));
    server.next(
      send('{"choices":[{"message":{"content":"A"}}]}'),
      answer('', {
        choices: [{ message: { content: [{ type: 'text', text: 'B' }, { text: '!' }] } }],
      }),
      answer('', { choices: [{ message: { content: null, refusal: 'I will not.' } }] }),
      send('{"choices":[{"message":{"content":"C"}}],"usage":{"prompt_tokens":-1},"model":7}', 201),
    );
    const texts = [];
    for (let i = 0; i < 4; i++) texts.push(answered(await endpoint.complete(ASK)));
    expect(texts.map(({ text }) => text)).toEqual(['A', 'B!', 'I will not.', 'C']);
    expect(texts[0]).toMatchObject({ finishReason: null, model: null, usage: null });
    expect(texts[3]).toMatchObject({
      model: null,
      usage: { promptTokens: null, completionTokens: null },
    });
  });

  it.each([
    ['/v1', '/v1/chat/completions'],
    ['/v1/', '/v1/chat/completions'],
    ['/v1/chat/completions', '/v1/chat/completions'],
    ['/v1beta/openai', '/v1beta/openai/chat/completions'],
    ['', '/chat/completions'],
    ['/v1?api-version=2', '/v1/chat/completions?api-version=2'],
  ])('at %j is asked at %s', async (given, asked) => {
    await using server = await startOpenAiServer();
    const url = server.url.replace('/v1', given);
    using endpoint = new ChatEndpoint(optionsFor(url));
    answered(await endpoint.complete(ASK));
    expect(server.calls[0]?.path).toBe(asked);
    expect(endpoint.settings.url).not.toContain('?');
  });

  it('is asked with max_completion_tokens once it refuses max_tokens, at no cost', async () => {
    const refusal = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.";
    await using server = await startOpenAiServer({
      behave: ({ body }) => ('max_tokens' in body ? failure(400, refusal) : answer('A')),
    });
    using endpoint = new ChatEndpoint(optionsFor(server.url, { maxTokens: 9, retries: 0 }));
    expect(answered(await endpoint.complete(ASK)).attempts).toBe(2);
    expect(answered(await endpoint.complete(ASK)).attempts).toBe(1);
    expect(server.calls.map(({ body }) => body['max_completion_tokens'])).toEqual([
      undefined,
      9,
      9,
    ]);
    using strict = new ChatEndpoint(
      optionsFor(server.url, { maxTokens: 9, tokensField: 'max_tokens' }),
    );
    expect(await strict.complete(ASK)).toMatchObject({
      state: 'failed',
      attempts: 1,
      error: { kind: 'http', status: 400 },
    });
    using told = new ChatEndpoint(
      optionsFor(server.url, { maxTokens: 9, tokensField: 'max_completion_tokens' }),
    );
    expect(answered(await told.complete(ASK)).attempts).toBe(1);
  });

  it('that refuses both fields for tokens is not asked for ever', async () => {
    await using server = await startOpenAiServer({
      behave: () => failure(400, 'max_completion_tokens is too large'),
    });
    using endpoint = new ChatEndpoint(optionsFor(server.url, { maxTokens: 1 << 30 }));
    expect(await endpoint.complete(ASK)).toMatchObject({ state: 'failed', attempts: 2 });
  });

  it('is timed by its successful call alone', async () => {
    await using server = await startOpenAiServer({ behave: () => slow(40, answer('A')) });
    const time = quickTime();
    using endpoint = new ChatEndpoint(optionsFor(server.url, { ...time, waitS: 60 }));
    server.next(slow(30, failure(500)), slow(30, failure(503)));
    const { latencyS, attempts } = answered(await endpoint.complete(ASK));
    expect(attempts).toBe(3);
    expect(time.slept.reduce((sum, ms) => sum + ms)).toBeGreaterThan(50_000);
    expect(latencyS).toBeGreaterThan(0.035);
    expect(latencyS).toBeLessThan(5);
  });

  it('reads a body that comes in pieces, in the middle of a character too', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url));
    const body = Buffer.from(completion('图图图'));
    server.next(async (response, call) => {
      response.writeHead(200, { 'content-type': 'application/json' });
      for (const byte of body) response.write(Buffer.of(byte));
      await slow(1, () => void response.end())(response, call);
    });
    expect(answered(await endpoint.complete(ASK)).text).toBe('图图图');
  });
});

describe('The key of an endpoint', () => {
  it('goes along from the variable that is named, OPENAI_API_KEY if none is', async () => {
    await using server = await startOpenAiServer({ key: KEY });
    const env = { OPENAI_API_KEY: ` ${KEY}\n`, OTHER: KEY };
    using first = new ChatEndpoint(optionsFor(server.url, { env }));
    using second = new ChatEndpoint(optionsFor(server.url, { env, keyVariable: 'OTHER' }));
    expect(answered(await first.complete(ASK)).text).toBe('A');
    expect(answered(await second.complete(ASK)).text).toBe('A');
    expect(JSON.stringify([first.settings, second.settings])).not.toContain(KEY);
  });

  it('is in no header where there is none', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url, { env: { OPENAI_API_KEY: '' } }));
    await endpoint.complete(ASK);
    expect(server.calls[0]?.headers).not.toHaveProperty('authorization');
  });

  it('that is refused ends the run, names the variable and is not shown', async () => {
    await using server = await startOpenAiServer({ key: 'another' });
    const notes: string[] = [];
    const env = { MY_KEY: KEY };
    const options = { env, keyVariable: 'MY_KEY', onNote: (line: string) => notes.push(line) };
    using endpoint = new ChatEndpoint(optionsFor(server.url, options));
    const error = await endpoint.complete(ASK).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(ConfigError);
    const { message, stack, parts } = error as ConfigError;
    expect(parts.what).toContain('MY_KEY');
    expect(parts.fix).toContain('set MY_KEY');
    expect(parts.got).toBe('HTTP 401: Incorrect API key provided: [key]');
    expect(`${message}${stack ?? ''}${JSON.stringify(parts)}${notes.join('')}`).not.toContain(KEY);
    expect(server.calls).toHaveLength(1);
    using without = new ChatEndpoint(optionsFor(server.url));
    await expect(without.complete(ASK)).rejects.toThrow(/without a key[^]*set OPENAI_API_KEY/);
  });

  it.each([200, 400, 500])('is taken out of an echo in HTTP %d', async (status) => {
    await using server = await startOpenAiServer({
      behave: ({ headers }) => failure(status, `${'x'.repeat(150)} ${headers.authorization ?? ''}`),
    });
    const notes: string[] = [];
    const options = {
      env: { OPENAI_API_KEY: KEY },
      retries: 1,
      onNote: (l: string) => notes.push(l),
    };
    using endpoint = new ChatEndpoint(optionsFor(server.url, options));
    const result = await endpoint.complete(ASK);
    const text = JSON.stringify([result, notes]);
    expect(text).toContain('[key]');
    // Not even its beginning, where the message is cut.
    expect(text).not.toContain(KEY.slice(0, 6));
  });

  it('is taken out of answers and names of models, unless it is a word like any other', async () => {
    await using server = await startOpenAiServer();
    using endpoint = new ChatEndpoint(optionsFor(server.url, { env: { OPENAI_API_KEY: KEY } }));
    server.next(answer(`it is ${KEY}`, { model: KEY }));
    expect(await endpoint.complete(ASK)).toMatchObject({ text: 'it is [key]', model: '[key]' });
    using local = new ChatEndpoint(optionsFor(server.url, { env: { OPENAI_API_KEY: 'EMPTY' } }));
    server.next(answer('The box is EMPTY'));
    expect(await local.complete(ASK)).toMatchObject({ text: 'The box is EMPTY' });
  });

  it('of the default variable does not go over plain HTTP to other machines', () => {
    const env = { OPENAI_API_KEY: KEY, MY_KEY: KEY };
    const isRefusedFor = (url: string, more: Partial<EndpointOptions> = {}): boolean => {
      using endpoint = new ChatEndpoint(optionsFor(url, { env, ...more }));
      return endpoint.sendsKey;
    };
    expect(isRefusedFor('http://10.0.0.7:8000/v1')).toBe(false);
    expect(isRefusedFor('http://localhost.example/v1')).toBe(false);
    expect(isRefusedFor('http://10.0.0.7:8000/v1', { keyVariable: 'MY_KEY' })).toBe(true);
    expect(isRefusedFor('http://[::1]:8000/v1')).toBe(true);
    expect(isRefusedFor('http://localhost:8000/v1')).toBe(true);
    expect(isRefusedFor('https://api.example/v1')).toBe(true);
  });
});

describe('Options of an endpoint', () => {
  const url = 'http://127.0.0.1:9/v1';
  it.each<[string, Partial<EndpointOptions>]>([
    ['address', { url: 'not an address' }],
    ['address', { url: 'file:///etc/passwd' }],
    ['address', { url: 'https://user:secret-word@host/v1' }],
    ['concurrency', { concurrency: 0 }],
    ['concurrency', { concurrency: 1.5 }],
    ['requestsPerMinute', { requestsPerMinute: 0 }],
    ['timeoutS', { timeoutS: Number.NaN }],
    ['timeoutS', { timeoutS: 1e9 }],
    ['retries', { retries: -1 }],
    ['temperature', { temperature: -1 }],
    ['topP', { topP: 2 }],
    ['maxTokens', { maxTokens: 0 }],
    ['no model', { model: ' ' }],
    ['messages', { extra: { messages: [] } }],
    ['stream', { extra: { stream: true } }],
    ['MY_KEY is not set', { keyVariable: 'MY_KEY' }],
    ['MY_KEY', { keyVariable: 'MY_KEY', env: { MY_KEY: 'two\nsecret-word' } }],
    ['name of the variable', { keyVariable: 'sk-secret-word' }],
    ['holds the key', { env: { OPENAI_API_KEY: 'secret-word' }, extra: { auth: 'secret-word' } }],
    ['holds the key', { env: { OPENAI_API_KEY: 'secret-word' }, url: `${url}?key=secret-word` }],
  ])('are refused by a message about %s', (words, wrong) => {
    const open = (): ChatEndpoint => new ChatEndpoint(optionsFor(url, wrong));
    expect(open).toThrow(ConfigError);
    expect(open).toThrow(words);
    expect(open).not.toThrow('secret-word');
  });

  it('are refused in a single call as well', async () => {
    using endpoint = new ChatEndpoint(optionsFor(url));
    await expect(endpoint.complete({ ...ASK, maxTokens: 0 })).rejects.toThrow(ConfigError);
    const pictures = [{ bytes: new Uint8Array(1), mimeType: 'image/png;base64,AAAA' }];
    await expect(endpoint.complete({ ...ASK, pictures })).rejects.toThrow(ConfigError);
  });
});
