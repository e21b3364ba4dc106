// Owns the tests of running benchmarks with the shipped tiny models: all formats, resume, retries, errors.
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ItemRecord } from '../../../../src/benchmark/prediction.ts';
import { runBenchmark } from '../../../../src/benchmark/run/run.ts';
import type {
  BenchmarkRunOptions,
  RunEvent,
  RunResult,
} from '../../../../src/benchmark/run/run.ts';
import { readRunItems, readRunSettings } from '../../../../src/benchmark/run/run-files.ts';
import { BENCHMARK_NAMES } from '../../../../src/benchmark/types.ts';
import type { BenchmarkName } from '../../../../src/benchmark/types.ts';
import { encodePng } from '../../../../src/data/png.ts';
import { sampleExamples } from '../../../../src/data/splits.ts';
import { countLiveSessions } from '../../../../src/engine/session.ts';
import { ConfigError, DataError, RuntimeError } from '../../../../src/errors.ts';
import { askModel } from '../../../../src/generate/ask.ts';
import { openGapModel } from '../../../../src/store/latent-head.ts';
import {
  smallTables,
  withCells,
  withoutColumn,
  writeTable,
} from '../../../helpers/benchmark-tables.ts';
import { SHIPPED_BASE, SHIPPED_GAP } from '../../../helpers/small-way.ts';

describe('a run with a local model', () => {
  let root: string;
  let count = 0;
  const paths = new Map<BenchmarkName, string>();
  const tables = smallTables();
  const fresh = (): string => join(root, 'runs', String(count++));
  const optionsFor = (
    benchmark: BenchmarkName,
    changes: Partial<BenchmarkRunOptions> = {},
    model: Partial<BenchmarkRunOptions['answerer']> = {},
  ): BenchmarkRunOptions => ({
    ...{ benchmark, data: paths.get(benchmark) ?? '', out: fresh(), seed: 7, anyTable: true },
    answerer: {
      ...{ kind: 'model', folder: SHIPPED_GAP, maxNewTokens: 24, threads: 1 },
      ...model,
    } as BenchmarkRunOptions['answerer'],
    ...changes,
  });
  const finish = async (
    options: BenchmarkRunOptions,
  ): Promise<{ result: RunResult; events: RunEvent[]; items: readonly ItemRecord[] }> => {
    const events: RunEvent[] = [];
    const run = runBenchmark(options);
    for (;;) {
      const next = await run.next();
      if (next.done !== true) {
        events.push(next.value);
        continue;
      }
      return { result: next.value, events, items: await readRunItems(options.out) };
    }
  };
  /** A table of its own folder. */
  const write = async (table: Parameters<typeof writeTable>[1]): Promise<string> =>
    writeTable(join(root, 'data', String(count++)), table);

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'gapvl-run-'));
    for (const name of BENCHMARK_NAMES) {
      paths.set(name, await writeTable(join(root, 'data', name), tables[name]));
    }
  });
  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
    expect(countLiveSessions()).toBe(0);
  });

  it.each(BENCHMARK_NAMES)('answers every row of %s', async (name) => {
    let nowMs = 0;
    const options = optionsFor(name, { now: () => (nowMs += 250) });
    const { result, events, items } = await finish(options);
    const indices = tables[name].rows.map((row) => row[0] ?? '');
    expect(items.map(({ index }) => index)).toEqual(indices);
    expect(result).toMatchObject({
      numItems: indices.length,
      numAnswered: indices.length,
      errors: [],
    });
    expect(result.numUnknownWords).toBeGreaterThan(0);
    for (const item of items) {
      expect(item).toMatchObject({ sample: 0, batch: 1, latencyS: 0.25 });
      expect(item.response).not.toBe('');
    }
    expect(events[0]).toEqual({ done: 0, total: indices.length, numErrors: 0 });
    expect(events.at(-1)).toMatchObject({ done: indices.length, record: items.at(-1) });
    expect(await readdir(options.out)).toEqual(['items.jsonl', 'run.json']);
  });

  it('keeps all settings, numbers that were left to the model included', async () => {
    const data = join(root, 'data', 'POPE');
    const options = optionsFor('POPE', { data, limit: 1 }, { minPixels: 1024 });
    await finish(options);
    const settings = await readRunSettings(options.out);
    expect(settings).toMatchObject({
      benchmark: 'POPE',
      data: { file: 'POPE.tsv', numRows: 4, isPublished: false },
      source: {
        ...{ kind: 'model', variant: 'GAP', intervention: 'clean', calibration: { kind: 'none' } },
        // The model has limits of its own; only Qwen2.5-VL's give way to the baseline's.
        pixels: { minPixels: 1024, maxPixels: 9216 },
        ...{ threads: 1, device: 'cpu', batchSize: 1 },
      },
      ...{ promptBuilder: 'dataset', system: null, seed: 7, samples: 1, limit: 1 },
      decoding: { maxNewTokens: 24, temperature: 0.01, topP: 0.001, topK: 1, repetitionPenalty: 1 },
    });
    expect(Object.keys(settings?.versions ?? {})).toEqual(['gapvl', 'onnxruntime-node', 'node']);
  });

  it('gives the same records in batches of rows of different lengths, but no latency', async () => {
    const alone = await finish(optionsFor('MMStar', { now: () => 0 }));
    const together = await finish(optionsFor('MMStar', { now: () => 0 }, { batchSize: 4 }));
    const texts = (items: readonly ItemRecord[]): unknown =>
      items.map(({ index, response, numSpans }) => [index, response, numSpans]);
    expect(texts(together.items)).toEqual(texts(alone.items));
    expect(together.items.map(({ batch }) => batch)).toEqual([4, 4, 4, 4, 2, 2]);
    expect(together.items.every((item) => !('latencyS' in item))).toBe(true);
    expect(alone.items.every(({ latencyS }) => latencyS === 0)).toBe(true);
  });

  it('draws each sample anew and the same again from the same seed', async () => {
    const hot = { temperature: 5, topK: 0, topP: 1, maxNewTokens: 12 };
    const first = await finish(optionsFor('POPE', { samples: 2 }, hot));
    expect(first.items.map(({ index, sample }) => `${sample}/${index}`)).toEqual([
      '0/0',
      '0/1',
      '0/2',
      '0/3',
      '1/0',
      '1/1',
      '1/2',
      '1/3',
    ]);
    const of = (sample: number): (string | null)[] =>
      first.items.filter((item) => item.sample === sample).map(({ response }) => response);
    expect(of(1)).not.toEqual(of(0));
    const again = await finish(optionsFor('POPE', { samples: 2 }, { ...hot, batchSize: 3 }));
    expect(again.items.map(({ response }) => response)).toEqual(
      first.items.map(({ response }) => response),
    );
  });

  it('goes on where it was left, to the bytes of a run that was not', async () => {
    const whole = optionsFor('WeMath', {}, { batchSize: 3 });
    await finish(whole);
    const parts = { ...whole, out: fresh() };
    for await (const { done } of runBenchmark(parts)) if (done === 3) break;
    expect(await readRunItems(parts.out)).toHaveLength(3);
    // What a kill in the middle of a batch and a line leaves.
    const journal = join(parts.out, 'items.jsonl');
    const [header = '', first = '', second = '', third = ''] = (
      await readFile(journal, 'utf8')
    ).split('\n');
    await writeFile(journal, [header, first, second, third.slice(0, 20)].join('\n'));
    const { events } = await finish(parts);
    expect(events.map(({ done }) => done)).toEqual([2, 3, 4, 5, 6, 7]);
    expect(await readFile(journal)).toEqual(await readFile(join(whole.out, 'items.jsonl')));
    const again = await finish(parts);
    expect(again.events).toHaveLength(1);
    expect(again.result.numAnswered).toBe(7);
  });

  it('stops at an abort with the reason, and keeps what is finished', async () => {
    const stop = new AbortController();
    const options = optionsFor('WeMath', { signal: stop.signal });
    const reason = new RuntimeError({ what: 'enough' });
    const run = async (): Promise<void> => {
      for await (const { done } of runBenchmark(options)) if (done === 2) stop.abort(reason);
    };
    await expect(run()).rejects.toBe(reason);
    const items = await readRunItems(options.out);
    expect(items.length).toBeGreaterThanOrEqual(2);
    expect(items.every(({ error }) => error === undefined)).toBe(true);
  });

  it('refuses to go on with other settings, and names them', async () => {
    const options = optionsFor('POPE', { limit: 2 });
    await finish(options);
    const refused = finish({
      ...options,
      seed: 8,
      promptBuilder: 'model',
      answerer: { ...options.answerer, maxNewTokens: 25 },
    });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(
      /got: +promptBuilder "dataset", decoding.maxNewTokens 24, seed 7/,
    );
    const other = finish({ ...options, benchmark: 'MMStar', data: paths.get('MMStar') ?? '' });
    await expect(other).rejects.toThrow('benchmark "POPE"');
    const model = { ...options.answerer, folder: SHIPPED_BASE } as BenchmarkRunOptions['answerer'];
    await expect(finish({ ...options, answerer: model })).rejects.toThrow('source.hash');
  });

  it('takes a copy of the model and of the table for the same', async () => {
    const options = optionsFor('MMStar', { limit: 2 });
    await finish(options);
    const [folder, data] = [join(root, 'copy'), join(root, 'data', 'again.tsv')];
    await cp(SHIPPED_GAP, folder, { recursive: true });
    await cp(options.data, data);
    const answerer = { ...options.answerer, folder } as BenchmarkRunOptions['answerer'];
    const { events } = await finish({ ...options, data, answerer });
    expect(events).toEqual([{ done: 2, total: 2, numErrors: 0 }]);
  });

  it('may begin anew with other settings where nothing was answered yet', async () => {
    const options = optionsFor('POPE');
    await finish({ ...options, limit: 1 }).catch(() => undefined);
    await writeFile(
      join(options.out, 'items.jsonl'),
      `${(await readFile(join(options.out, 'items.jsonl'), 'utf8')).split('\n')[0] ?? ''}\n`,
    );
    const { result } = await finish({ ...options, limit: 2 });
    expect(result.settings.limit).toBe(2);
    expect(result.numAnswered).toBe(2);
  });

  it('counts a row with a broken picture as an error, names it and goes on', async () => {
    const data = await write(
      withCells(withCells(tables.MMStar, 1, { image: 'bm90IGEgcGljdHVyZQ=='.repeat(5) }), 3, {
        image: `['${'A'.repeat(80)}']`,
      }),
    );
    const options = optionsFor('MMStar', { data }, { batchSize: 4 });
    const { result, items } = await finish(options);
    expect(items).toHaveLength(6);
    expect(result.numAnswered).toBe(4);
    expect(result.errors.map(({ index, response }) => [index, response])).toEqual([
      ['1', null],
      ['3', null],
    ]);
    for (const { error, index } of result.errors) {
      expect(error).toMatchObject({ kind: 'picture' });
      expect(error?.what).toContain(`row ${index}`);
    }
    expect(items.filter(({ error }) => !error).map(({ batch }) => batch)).toEqual([2, 2, 2, 2]);
  });

  it('asks errors again with retryErrors, and keeps the later record', async () => {
    const folder = join(root, 'data', 'moved');
    const data = await writeTable(folder, tables.POPE);
    const picture = join(folder, 'images', 'POPE', 'two.png');
    const bytes = await readFile(picture);
    await rm(picture);
    const options = optionsFor('POPE', { data });
    const first = await finish(options);
    expect(first.result.errors.map(({ index }) => index)).toEqual(['2']);
    await writeFile(picture, bytes);
    const kept = await finish(options);
    expect(kept.result.errors.map(({ index }) => index)).toEqual(['2']);
    expect(kept.events).toHaveLength(1);
    const again = await finish({ ...options, retryErrors: true });
    expect(again.events.map(({ numErrors }) => numErrors)).toEqual([1, 0]);
    expect(again.result.errors).toEqual([]);
    expect(again.items.map(({ index }) => index)).toEqual(['0', '1', '2', '3']);
    const lines = (await readFile(join(options.out, 'items.jsonl'), 'utf8')).trim().split('\n');
    expect(lines).toHaveLength(1 + 4 + 1);
  });

  it('changes latents as told, and says what is not possible', async () => {
    // Questions that the model writes latents for.
    const samples = [...sampleExamples({ split: 'test', count: 6, seed: 3, easyFraction: 0 })];
    const columns = ['index', 'question', 'answer', 'category', 'image'];
    const rows = samples.map(({ question, answer, picture }, i) => [
      ...[String(i), question, answer, 'random'],
      encodePng(picture).toString('base64'),
    ]);
    const data = await write({ ...tables.POPE, columns, rows, files: new Map() });
    const texts = async (model: Partial<BenchmarkRunOptions['answerer']>): Promise<string[]> => {
      const options = optionsFor('POPE', { data }, { batchSize: 6, maxNewTokens: 80, ...model });
      const { items, result } = await finish(options);
      expect(result.settings.source).toMatchObject(model);
      for (const { numSpans = 0, response } of items) {
        const numLatents = 'numLatents' in model ? (model.numLatents ?? 36) : 36;
        expect(response?.split('<|latent_pad|>')).toHaveLength(numLatents * numSpans + 1);
      }
      return items.map(({ response }) => response ?? '');
    };
    const spans = (from: readonly string[]): number =>
      from.filter((text) => text.includes('<|latent_start|> <|latent_pad|>')).length;
    const clean = await texts({ intervention: 'clean' });
    expect(spans(clean)).toBeGreaterThan(2);
    const [first] = samples;
    const pictures = first ? [first.picture] : [];
    const asked = { pictures, question: first?.question ?? '', seed: 7, threads: 1 };
    const answer = askModel(await openGapModel(SHIPPED_GAP), { ...asked, maxNewTokens: 80 });
    let piece = await answer.next();
    while (piece.done !== true) piece = await answer.next();
    expect(clean[0]).toBe(piece.value.response);
    expect(spans(await texts({ numLatents: 4 }))).toBeGreaterThan(2);
    const noise = await texts({ intervention: 'noise-unit' });
    expect(spans(noise)).toBe(spans(clean));
    expect(noise).not.toEqual(clean);
    expect(spans(await texts({ intervention: 'zero-latent' }))).toBe(0);
    for (const [intervention, why] of [
      ['other', 'gapvl compare'],
      ['oracle', 'auxiliary pictures'],
    ] as const) {
      const refused = finish(optionsFor('POPE', {}, { intervention }));
      await expect(refused).rejects.toThrow(why);
    }
    const base = finish(
      optionsFor('POPE', {}, { folder: SHIPPED_BASE, intervention: 'noise-norm' }),
    );
    await expect(base).rejects.toThrow('not trained to write latents');
    const budget = finish(optionsFor('POPE', {}, { folder: SHIPPED_BASE, numLatents: 4 }));
    await expect(budget).rejects.toThrow(ConfigError);
  });

  it('lets one process at a time into a folder', async () => {
    const options = optionsFor('POPE');
    const first = runBenchmark(options);
    await first.next();
    await expect(finish(options)).rejects.toThrow('another process works in');
    await first.return(undefined as never);
    expect((await finish(options)).result.numAnswered).toBe(4);
  });

  it('refuses tables that are not the benchmark, before anything is answered', async () => {
    const cases: [Partial<BenchmarkRunOptions>, RegExp][] = [
      [{ anyTable: false }, /MD5/i],
      [{ data: await write(withoutColumn(tables.POPE, 'answer')) }, /lacks a column: answer/],
      [{ data: await write(withCells(tables.POPE, 2, { index: '1' })) }, /index 1 is taken/],
      [{ data: paths.get('MMStar') ?? '', benchmark: 'WeMath' }, /lacks columns/],
      [{ data: join(root, 'nothing.tsv') }, /nothing\.tsv/],
    ];
    for (const [changes, why] of cases) {
      const options = optionsFor('POPE', changes);
      const refused = finish(options);
      await expect(refused).rejects.toThrow(why);
      await expect(refused).rejects.toThrow(DataError);
      await expect(readdir(options.out)).rejects.toThrow('ENOENT');
    }
  });

  it('asks rows that share an index once, in the benchmark that allows them', async () => {
    const data = await write(withCells(tables['MME-RealWorld-Lite'], 2, { index: '0' }));
    const { result, items } = await finish(optionsFor('MME-RealWorld-Lite', { data }));
    expect(items.map(({ index }) => index)).toEqual(['0', '1', '3']);
    expect(result).toMatchObject({ numItems: 3, settings: { data: { numRows: 3 } } });
  });

  it('refuses a table that was cut off by its MD5, and cannot answer its last row without', async () => {
    const path = paths.get('MME-RealWorld-Lite') ?? '';
    const text = await readFile(path);
    const data = join(root, 'data', 'cut.tsv');
    await writeFile(data, text.subarray(0, text.length - 2000));
    const checked = finish(optionsFor('MME-RealWorld-Lite', { data, anyTable: false }));
    await expect(checked).rejects.toThrow(/MD5/i);
    const { result } = await finish(optionsFor('MME-RealWorld-Lite', { data }));
    expect(result.errors.map(({ index }) => index)).toEqual(['3']);
    expect(result.numAnswered).toBe(3);
  });

  it('refuses the folder of something else', async () => {
    const out = join(root, 'model-copy');
    await cp(SHIPPED_GAP, out, { recursive: true });
    await expect(finish(optionsFor('POPE', { out }))).rejects.toThrow('not the settings of a run');
  });
});
