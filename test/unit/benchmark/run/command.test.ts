// Owns the tests of `gapvl evaluate run` and `sweep` from the command line: real processes, endpoints that
// behave badly, codes of failures.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BENCHMARKS } from '../../../../src/benchmark/benchmarks.ts';
import { loadTsv } from '../../../../src/benchmark/table/tsv.ts';
import type { RunResult } from '../../../../src/benchmark/run/run.ts';
import { readRunItems, readRunSettings } from '../../../../src/benchmark/run/run-files.ts';
import { readResult } from '../../../../src/benchmark/results/result.ts';
import type { Sweep } from '../../../../src/benchmark/run/sweep.ts';
import { BENCHMARK_NAMES } from '../../../../src/benchmark/types.ts';
import type { BenchmarkName } from '../../../../src/benchmark/types.ts';
import {
  pictureCell,
  smallTables,
  withCells,
  writeTable,
} from '../../../helpers/benchmark-tables.ts';
import { gapvl } from '../../../helpers/command-line.ts';
import { startGapvl } from '../../../helpers/gapvl-process.ts';
import {
  answer,
  drop,
  dropMidway,
  failure,
  noHttp,
  send,
  slow,
  startOpenAiServer,
  tooMany,
} from '../../../helpers/openai-server.ts';
import type { Behaviour, OpenAiServer } from '../../../helpers/openai-server.ts';
import { SHIPPED_BASE, SHIPPED_GAP } from '../../../helpers/small-way.ts';

let root: string;
let count = 0;
const tables = smallTables();
const paths = new Map<BenchmarkName, string>();
const fresh = (): string => join(root, 'runs', String(count++));
const parseRun = (out: string): RunResult => JSON.parse(out) as RunResult;
const parseSweep = (out: string): Sweep => JSON.parse(out) as Sweep;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gapvl-evaluate-'));
  for (const name of BENCHMARK_NAMES) {
    paths.set(name, await writeTable(join(root, 'data', name), tables[name]));
  }
});
afterAll(async () => {
  await rm(root, { recursive: true, force: true });
});

/** `gapvl evaluate` on a table, as words. */
function evaluate(benchmark: BenchmarkName, out: string, ...rest: readonly string[]): string[] {
  const data = paths.get(benchmark) ?? '';
  return [
    'evaluate',
    '--benchmark',
    benchmark,
    '--data',
    data,
    '--any-table',
    '--out',
    out,
    ...rest,
  ];
}

const TINY = ['--max-new-tokens', '12', '--threads', '1'];

describe('gapvl evaluate with a local model', () => {
  it('answers all six formats in one sweep of a real process, and skips them afterwards', async () => {
    const out = fresh();
    const folder = join(root, 'data', 'all');
    for (const name of BENCHMARK_NAMES) await writeTable(folder, tables[name]);
    const axes = BENCHMARK_NAMES.flatMap((name) => ['--benchmark', `${name}=${folder}`]);
    const line = ['evaluate', 'sweep', ...axes, '--model', `gap=${SHIPPED_GAP}`, '--any-table'];
    const argv = [...line, ...TINY, '--unwrap', 'answer', '--out', out, '--json'];
    const { code, out: printed, err } = await startGapvl(argv, {}).ended;
    expect(code, `${printed}${err}`).toBe(0);
    const { points } = parseSweep(printed);
    expect(points.map(({ name }) => name)).toEqual(
      BENCHMARK_NAMES.map((name) => `${name}.gap.K36.clean.s12345`),
    );
    for (const { name, benchmark, state, numAnswered, numErrors, score } of points) {
      const numRows = tables[benchmark as BenchmarkName].rows.length;
      expect([state, numAnswered, numErrors]).toEqual(['finished', numRows, 0]);
      expect(score).toMatchObject({
        status: 'complete',
        era: 'head',
        unwrap: 'answer',
        judge: 'exact',
      });
      const [headline] = (await readResult(join(out, name)))?.headlines ?? [];
      expect(headline?.percent).toBeTypeOf('number');
      expect(score?.headlines[0]).toEqual(headline);
      const items = await readRunItems(join(out, name));
      expect(items).toHaveLength(numRows);
      expect((await readRunSettings(join(out, name)))?.benchmark).toBe(benchmark);
      expect(items.every(({ latencyS = 0 }) => latencyS > 0)).toBe(true);
    }
    expect(parseSweep(await readFile(join(out, 'sweep.json'), 'utf8'))).toEqual({
      format: 'gapvl.sweep.1',
      points,
    });
    const again = await gapvl(argv);
    expect(again).toMatchObject({ code: 0, err: '' });
    expect(parseSweep(again.out)).toEqual({ format: 'gapvl.sweep.1', points });
  });

  it('names rows it cannot answer, and ends with 3', async () => {
    const broken = withCells(tables.WeMath, 2, { image: 'iVBORw0KGgo'.repeat(12) });
    const data = await writeTable(join(root, 'data', 'broken'), broken);
    const out = fresh();
    const argv = evaluate('WeMath', out, '--model', SHIPPED_GAP, '--batch-size', '4', ...TINY);
    argv[4] = data;
    const { code, out: printed, err } = await startGapvl(argv, {}).ended;
    expect(code, err).toBe(3);
    expect(err).toMatch(/row 72: picture error: .*row 72/);
    expect(printed).toContain('WeMath: 6 of 7 items answered');
    expect(printed).toContain('1 items have no answer and are no wrong ones');
    expect(printed).toContain('unknown to the model');
    expect(await readRunItems(out)).toHaveLength(7);
  });

  it("answers tables of one's own: JSONL, and a folder of `gapvl data generate`", async () => {
    const lines = [0, 1].map((i) => ({
      ...{ index: `q${i}`, question: 'where does rope c end', A: 'left', B: 'right', answer: 'A' },
      image: pictureCell(i),
    }));
    const jsonl = join(root, 'mine.jsonl');
    await writeFile(jsonl, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const folder = join(root, 'generated');
    const counts = ['--train', '0', '--validation', '0', '--test', '5'];
    expect((await gapvl(['data', 'generate', '--out', folder, ...counts])).code).toBe(0);
    for (const [data, numItems] of [
      [jsonl, 2],
      [folder, 5],
    ] as const) {
      const out = fresh();
      const argv = ['evaluate', '--benchmark', 'own', '--data', data, '--out', out];
      const { code, out: printed } = await gapvl([...argv, '--model', SHIPPED_GAP, ...TINY]);
      expect(code).toBe(0);
      expect(printed).toContain(`own: ${numItems} of ${numItems} items answered`);
      const settings = await readRunSettings(out);
      expect(settings?.data).toMatchObject({ numRows: numItems, isPublished: null });
      expect(settings?.data.md5).toMatch(/^[0-9a-f]{32}$/);
    }
  });

  it('saves at Ctrl-C and names the command that goes on', async () => {
    const out = fresh();
    const argv = evaluate('HRBench4K', out, '--model', SHIPPED_GAP, ...TINY);
    const stopped = await gapvl(argv, { interruptWhen: (err) => err.includes('2/8') });
    expect(stopped.code).toBe(1);
    expect(stopped.err).toContain('to go on, run: gapvl evaluate --benchmark HRBench4K');
    expect(stopped.err).toMatch(/HRBench4K .* left/);
    const kept = await readRunItems(out);
    expect(kept.length).toBeGreaterThanOrEqual(2);
    expect(kept.length).toBeLessThan(8);
    expect(await readdir(out)).toEqual(['items.jsonl', 'run.json']);
    const { code } = await gapvl(argv);
    expect(code).toBe(0);
    expect((await readRunItems(out)).slice(0, kept.length)).toEqual(kept);
  });

  it('refuses what it would otherwise ignore', async () => {
    const cases: [string[], string][] = [
      [['--endpoint', 'http://127.0.0.1:9/v1', '--latents', '4'], '--latents cannot be used here'],
      [['--endpoint', 'http://127.0.0.1:9/v1', '--max-pixels', '9'], '--max-pixels cannot be used'],
      [['--concurrency', '2', '--retries', '3'], '--concurrency, --retries cannot be used here'],
      [['--intervention', 'oracle'], 'auxiliary pictures'],
      [['--intervention', 'other'], 'gapvl compare'],
      [['--min-pixels', '9000', '--max-pixels', '400'], 'exclude every size'],
    ];
    for (const [words, why] of cases) {
      const out = fresh();
      const { code, err } = await gapvl(evaluate('POPE', out, '--model', SHIPPED_GAP, ...words));
      expect(code, err).toBe(2);
      expect(err).toContain(why);
      await expect(readdir(out)).rejects.toThrow('ENOENT');
    }
  });
});

describe('gapvl evaluate sweep', () => {
  const sweep = (out: string, ...rest: readonly string[]): string[] => [
    ...['evaluate', 'sweep', '--benchmark', `POPE=${paths.get('POPE') ?? ''}`, '--any-table'],
    ...['--model', `gap=${SHIPPED_GAP}`, '--model', `base=${SHIPPED_BASE}`, '--limit', '2'],
    ...[...TINY, '--out', out, ...rest],
  ];
  const names = ({ points }: Sweep): string[] => points.map(({ name }) => name.slice(5));

  it('goes over budgets, interventions and seeds, goes on when interrupted, and can be widened', async () => {
    const out = fresh();
    const argv = sweep(out, '--latents', '4,16', '--seeds', '1,2');
    const stopped = await gapvl(argv, { interruptWhen: (err) => err.includes('3 of 6') });
    expect(stopped.code).toBe(1);
    const { code, out: printed } = await gapvl(argv);
    expect(code).toBe(0);
    expect(printed).toMatch(
      /POPE +gap +16 +clean +2 +2\/2 +0 +\d+\.\d\d +Overall \d+\.\d\d, .* \(partial\)/,
    );
    const wide = [...argv.slice(0, -4), '--latents', '4', '--seeds', '1', '--json'];
    const more = await gapvl([...wide, '--interventions', 'clean,zero-latent,oracle']);
    const swept = parseSweep(more.out);
    expect(names(swept)).toEqual([
      ...['gap.K4.clean.s1', 'gap.K4.zero-latent.s1', 'gap.K4.oracle.s1'],
      ...['base.K0.clean.s1', 'base.K0.zero-latent.s1', 'base.K0.oracle.s1'],
    ]);
    expect(swept.points.map(({ state }) => state)).toEqual([
      ...['finished', 'finished', 'impossible'],
      ...['finished', 'impossible', 'impossible'],
    ]);
    const folders = (await readdir(out)).filter((name) => name !== 'sweep.json');
    expect(folders.map((name) => name.slice(5)).sort()).toEqual([
      ...['base.K0.clean.s1', 'base.K0.clean.s2', 'gap.K16.clean.s1', 'gap.K16.clean.s2'],
      ...['gap.K4.clean.s1', 'gap.K4.clean.s2', 'gap.K4.zero-latent.s1'],
    ]);
    const settings = await readRunSettings(join(out, 'POPE.gap.K4.zero-latent.s1'));
    expect(settings).toMatchObject({
      seed: 1,
      source: { numLatents: 4, intervention: 'zero-latent' },
    });
  });

  it('refuses axes that make no points', async () => {
    const cases: [string[], string][] = [
      [['--latents', '5'], 'square numbers'],
      [['--seeds', '1,1'], 'seeds 1 twice'],
      [['--model', 'gap=x'], 'models gap twice'],
      [['--model', '../up=x'], '"../up"'],
      [['--benchmark', 'MMBench=x'], 'no benchmark MMBench'],
      [['--endpoint', 'http://127.0.0.1:9/v1'], 'of local models'],
    ];
    for (const [words, why] of cases) {
      const { code, err } = await gapvl(sweep(fresh(), ...words));
      expect(code, err).toBe(2);
      expect(err).toContain(why);
    }
  });
});

describe('gapvl evaluate with an endpoint', () => {
  const remote = (server: OpenAiServer, ...rest: readonly string[]): string[] => [
    ...['--endpoint', server.url, '--model', 'served', ...rest],
  ];

  /** The first time a question comes it meets one of these, the second time its answer. */
  const troubles: readonly Behaviour[] = [
    slow(80, answer('late A')),
    tooMany('1'),
    drop,
    dropMidway,
    send('<html>gateway</html>'),
    send('{"choices": []}'),
    noHttp,
    failure(503),
  ];

  it('answers all six formats of a server that is slow, limits, drops and sends garbage', async () => {
    const seen = new Set<string>();
    await using server = await startOpenAiServer({
      behave: ({ text, pictures }) => {
        const key = `${text}/${pictures.map(({ bytes }) => bytes.toString('base64')).join()}`;
        const trouble = seen.has(key) ? undefined : troubles[seen.size % troubles.length];
        seen.add(key);
        return trouble ?? answer('<think>well</think> A\n');
      },
    });
    for (const name of BENCHMARK_NAMES) {
      const out = fresh();
      const argv = evaluate(name, out, ...remote(server, '--concurrency', '8', '--json'));
      const { code, out: printed } = await gapvl(argv);
      expect(code, printed).toBe(0);
      expect(parseRun(printed)).toMatchObject({ errors: [] });
      const items = await readRunItems(out);
      const indices = items.map(({ index }) => index);
      expect(indices.sort()).toEqual(tables[name].rows.map((row) => row[0] ?? '').sort());
      for (const { response, attempts = 0, finished, latencyS } of items) {
        expect(['late A', '<think>well</think> A\n']).toContain(response);
        expect([attempts > 0, finished, latencyS]).toEqual([true, true, undefined]);
      }
      const { rows } = await loadTsv(paths.get(name) ?? '', { name, md5: 'ignore' });
      const asked = new Set(server.calls.map(({ text }) => text));
      for (const row of rows) expect(asked).toContain(BENCHMARKS[name].promptText(row, 'dataset'));
    }
    expect(server.mostOpen()).toBeGreaterThan(1);
    const twoPictures = server.calls.filter(({ pictures }) => pictures.length === 2);
    expect(twoPictures.length).toBeGreaterThan(0);
    expect(twoPictures[0]?.kinds).toEqual(['image_url', 'image_url', 'text']);
  });

  it('sends what the published baselines were decoded with, and what is asked for besides', async () => {
    await using server = await startOpenAiServer();
    const first = fresh();
    await gapvl(evaluate('POPE', first, ...remote(server, '--limit', '1', '--seed', '5')));
    expect(server.calls[0]?.body).toMatchObject({
      ...{ model: 'served', temperature: 0.01, top_p: 0.001, max_tokens: 2048, seed: 5 },
    });
    expect(server.calls[0]?.body).not.toHaveProperty('top_k');
    const more = ['--samples', '2', '--preset', 'model', '--top-k', '3', '--system', 'Be brief.'];
    const second = fresh();
    await gapvl(
      evaluate('POPE', second, ...remote(server, '--limit', '1', '--seed', '5', ...more)),
    );
    const [, one, two] = server.calls.map(({ body }) => body);
    expect([one?.['seed'], two?.['seed']].sort()).toEqual([5, 6]);
    expect(one).toMatchObject({ top_k: 3 });
    expect(one).not.toHaveProperty('temperature');
    expect(one?.['messages']).toMatchObject([{ role: 'system', content: 'Be brief.' }, {}]);
    expect(await readRunSettings(second)).toMatchObject({
      source: { kind: 'endpoint', model: 'served', operation: { concurrency: 4, retries: 5 } },
      decoding: { temperature: null, topK: 3, maxNewTokens: null },
      system: 'Be brief.',
    });
  });

  it('keeps an error as an error, ends with 4, and asks again only with --retry-errors', async () => {
    let isWell = false;
    await using server = await startOpenAiServer({
      behave: ({ text }) =>
        text.includes('car') && !isWell ? failure(400, 'no cars') : answer('Yes'),
    });
    const out = fresh();
    const argv = evaluate('POPE', out, ...remote(server, '--retries', '0'));
    const first = await gapvl(argv);
    expect(first.code).toBe(4);
    expect(first.err).toContain('row 2: http error: HTTP 400: no cars');
    const error = (await readRunItems(out)).find(({ index }) => index === '2');
    expect(error).toMatchObject({ response: null, error: { kind: 'http', status: 400 } });
    isWell = true;
    const numCalls = server.calls.length;
    expect((await gapvl(argv)).code).toBe(4);
    expect(server.calls).toHaveLength(numCalls);
    expect((await gapvl([...argv, '--retry-errors'])).code).toBe(0);
    expect(server.calls).toHaveLength(numCalls + 1);
    // How an endpoint is treated may change in the middle.
    expect((await gapvl([...argv, '--concurrency', '2', '--timeout', '9'])).code).toBe(0);
  });

  it('ends with 4 where nobody answers, and goes on when somebody does', async () => {
    const server = await startOpenAiServer({ behave: 'No' });
    const { port } = new URL(server.url);
    await server.close();
    const out = fresh();
    const argv = evaluate('POPE', out, ...remote(server, '--retries', '0'));
    const { code, err } = await gapvl(argv);
    expect(code, err).toBe(4);
    expect(err).toContain('does not answer');
    await using _again = await startOpenAiServer({ behave: 'No', port: Number(port) });
    expect((await gapvl(argv)).code).toBe(0);
    expect((await readRunItems(out)).map(({ response }) => response)).toEqual(Array(4).fill('No'));
  });

  it('ends when every answer is a failure', async () => {
    await using server = await startOpenAiServer({ behave: () => failure(500) });
    const out = fresh();
    const rest = remote(server, '--retries', '0', '--max-errors', '3', '--concurrency', '1');
    const { code, err } = await gapvl(evaluate('HRBench4K', out, ...rest));
    expect(code, err).toBe(4);
    expect(err).toContain('3 items failed one after the other');
    expect(await readRunItems(out)).toHaveLength(3);
  });

  it('keeps latency one at a time only, and says what was cut off', async () => {
    const cut = { choices: [{ message: { content: 'A' }, finish_reason: 'length' }] };
    await using server = await startOpenAiServer({ behave: () => answer('A', cut) });
    const out = fresh();
    const { out: printed } = await gapvl(
      evaluate('POPE', out, ...remote(server, '--concurrency', '1')),
    );
    expect(printed).toContain('4 answers were cut off at the limit of tokens');
    const items = await readRunItems(out);
    expect(items.every(({ latencyS = 0, finished }) => latencyS > 0 && !finished)).toBe(true);
  });

  it('writes no key anywhere, not even one that the server sends back', async () => {
    const key = 'sk-very-secret-0123456789abcdef';
    await using server = await startOpenAiServer({ key, behave: `the key is ${key}` });
    const out = fresh();
    const argv = evaluate('POPE', out, ...remote(server));
    const { code, out: printed, err } = await startGapvl(argv, { OPENAI_API_KEY: key }).ended;
    expect(code, err).toBe(0);
    expect(printed + err).not.toContain(key);
    for (const file of await readdir(out)) {
      expect(await readFile(join(out, file), 'utf8')).not.toContain(key);
    }
    const wrong = await startGapvl(argv.with(-1, 'other'), { OPENAI_API_KEY: `${key}x` }).ended;
    expect(wrong.code).toBe(2);
    expect(wrong.out + wrong.err).not.toContain(key);
  });

  it('refuses a picture nobody can read without asking', async () => {
    await using server = await startOpenAiServer({ behave: 'Yes' });
    const folder = join(root, 'data', 'unreadable');
    const data = await writeTable(folder, tables.POPE);
    await writeFile(join(folder, 'images', 'POPE', 'two.png'), 'not a picture');
    const argv = evaluate('POPE', fresh(), ...remote(server, '--json'));
    argv[4] = data;
    const { code, out } = await gapvl(argv);
    expect(code).toBe(3);
    expect(parseRun(out).errors).toMatchObject([
      { index: '2', response: null, error: { kind: 'picture' } },
    ]);
    expect(server.calls).toHaveLength(3);
  });
});
