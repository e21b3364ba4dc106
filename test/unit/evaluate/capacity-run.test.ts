// Owns the tests of capacity scoring on the shipped base: results, resume, files that do not fit.
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { latentIds } from '../../../src/capacity/assignment.ts';
import { readCapacity } from '../../../src/capacity/scores-file.ts';
import { loadPictures, prepareExamples } from '../../../src/context/prepared.ts';
import type { PreparedExample } from '../../../src/context/prepared.ts';
import { loadDataset } from '../../../src/data/dataset.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { ConfigError, DataError } from '../../../src/errors.ts';
import { scoreCapacity } from '../../../src/evaluate/capacity-run.ts';
import type { CapacityOptions, CapacitySummary } from '../../../src/evaluate/capacity-run.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import type { PromptRow } from '../../../src/generate/decoder.ts';
import { generateBatch } from '../../../src/generate/generate.ts';
import { readGapModel } from '../../../src/store/latent-head.ts';
import { positionConfig } from '../../../src/model/bundle.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { mropePositions } from '../../../src/processor/positions.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION, SETUP_LIMIT_MS, makeSmallBase } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

// 256 rows a batch: 16 examples, so that 40 examples are two whole batches and half a one.
const SAMPLES = 16;

function largestDifference(first: Float32Array, second: Float32Array): number {
  expect(first.length).toBe(second.length);
  return first.reduce((most, value, i) => Math.max(most, Math.abs(value - (second[i] ?? NaN))), 0);
}

describe('scoreCapacity', () => {
  let way: SmallWay;
  let reference: CapacitySummary;
  let bytes: string;

  const options = (name: string, rest: Partial<CapacityOptions> = {}): CapacityOptions => ({
    ...SESSION,
    model: way.base,
    data: way.data,
    out: join(way.folder, name),
    numSamples: SAMPLES,
    tau: 0.5,
    seed: 3,
    ...rest,
  });
  const finish = async (given: CapacityOptions): Promise<CapacitySummary> => {
    const run = scoreCapacity(given);
    for (;;) {
      const next = await run.next();
      if (next.done === true) return next.value;
    }
  };
  const read = (name: string): Promise<string> => readFile(join(way.folder, name), 'utf8');

  beforeAll(async () => {
    way = await makeSmallBase();
    reference = await finish(options('whole.jsonl'));
    bytes = await read('whole.jsonl');
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await way[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(0);
  });

  it('writes a header and a line an example that say the same as what it returns', async () => {
    const lines = bytes.trimEnd().split('\n');
    expect(lines).toHaveLength(41);
    const { header, records } = await readCapacity(join(way.folder, 'whole.jsonl'));
    expect(header).toMatchObject({ split: 'train', samples: SAMPLES, tau: 0.5, seed: 3 });
    expect(header.model).toMatch(/^[0-9a-f]{64}$/);
    expect(records).toEqual(reference.records);
    const first = records[0];
    expect(Object.keys(first ?? {})).toEqual([
      ...['id', 'numSamples', 'numCorrect', 'accuracy', 'assignment'],
    ]);
  });

  it('finds that the base answers some questions and not others, and counts them by task', () => {
    const { all, byTask, records, accuracy } = reference;
    expect(all.latent + all.textOnly).toBe(40);
    expect(all.latent).toBe(latentIds(records, 0.5).size);
    expect(Math.min(all.latent, all.textOnly)).toBeGreaterThan(3);
    expect(new Set(records.map(({ numCorrect }) => numCorrect)).size).toBeGreaterThan(3);
    const total = Object.values(byTask)
      .flatMap((cells) => Object.values(cells))
      .reduce((sum, { latent, textOnly }) => sum + latent + textOnly, 0);
    expect(total).toBe(40);
    expect(Object.keys(byTask['bricks'] ?? {}).sort()).toEqual(['easy', 'hard']);
    expect(accuracy).toBeGreaterThan(0.05);
    expect(accuracy).toBeLessThan(0.95);
  });

  it('ends up with the same bytes after an interruption, losing no finished batch', async () => {
    const controller = new AbortController();
    const given = options('aborted.jsonl', { signal: controller.signal });
    const reason = new Error('stop');
    await expect(async () => {
      for await (const { done } of scoreCapacity(given)) if (done === 20) controller.abort(reason);
    }).rejects.toBe(reason);
    expect((await read('aborted.jsonl')).trimEnd().split('\n')).toHaveLength(1 + 32);
    await finish(options('aborted.jsonl'));
    expect(await read('aborted.jsonl')).toBe(bytes);
  });

  it('drops a torn last line, keeps the others, and ends up with the same bytes', async () => {
    const path = join(way.folder, 'torn.jsonl');
    await writeFile(path, bytes);
    const lines = bytes.split('\n');
    // In the middle of the second batch, ten bytes into the line of example 21.
    await truncate(path, lines.slice(0, 21).join('\n').length + 1 + 10);
    const seen: number[] = [];
    for await (const { done } of scoreCapacity(options('torn.jsonl'))) seen.push(done);
    expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
    expect(await read('torn.jsonl')).toBe(bytes);
  });

  it('assigns anew without sampling when only tau differs', async () => {
    await writeFile(join(way.folder, 'tau.jsonl'), bytes);
    const missing = options('tau.jsonl', { tau: 0 });
    const { records, all } = await finish(missing);
    expect(records.map(({ numCorrect }) => numCorrect)).toEqual(
      reference.records.map(({ numCorrect }) => numCorrect),
    );
    expect(all.latent).toBe(records.filter(({ numCorrect }) => numCorrect === 0).length);
    expect(all.latent).toBeLessThan(reference.all.latent);
    expect((await readCapacity(missing.out)).header.tau).toBe(0);
  });

  it('draws other samples from another seed', async () => {
    const { records } = await finish(options('seed.jsonl', { seed: 4 }));
    expect(records.map(({ numCorrect }) => numCorrect)).not.toEqual(
      reference.records.map(({ numCorrect }) => numCorrect),
    );
  });

  it('refuses a file of other settings, other data, or no scores, and leaves it as it is', async () => {
    const other = options('whole.jsonl', { temperature: 2 });
    await expect(finish(other)).rejects.toThrow(/temperature 1[^]*temperature 2/);
    await expect(finish(other)).rejects.toThrow(ConfigError);
    await expect(finish(options('whole.jsonl', { split: 'test' }))).rejects.toThrow(ConfigError);
    expect(await read('whole.jsonl')).toBe(bytes);
    await writeFile(join(way.folder, 'foreign.jsonl'), '{"id":"a"}\n');
    await expect(finish(options('foreign.jsonl'))).rejects.toThrow(DataError);
    expect(await read('foreign.jsonl')).toBe('{"id":"a"}\n');
  });

  it('names file and line of a broken score', async () => {
    const path = join(way.folder, 'broken.jsonl');
    const lines = bytes.split('\n');
    for (const [broken, at] of [
      ['{"id":"train-000002"', 4],
      [JSON.stringify({ ...reference.records[2], numCorrect: 99 }), 4],
      [JSON.stringify({ ...reference.records[2], assignment: 'none' }), 4],
      [JSON.stringify(reference.records[5]), 4],
    ] as const) {
      await writeFile(path, lines.with(at - 1, broken).join('\n'));
      await expect(finish(options('broken.jsonl'))).rejects.toThrow(`broken.jsonl:${at}`);
    }
    await writeFile(path, bytes);
    await appendFile(path, `${JSON.stringify(reference.records[0])}\n`);
    await expect(finish(options('broken.jsonl'))).rejects.toThrow('broken.jsonl:42');
  });

  it('reads a prompt once for samples side by side, and answers as if read for each', async () => {
    const model = await readGapModel(way.base);
    const examples = await loadDataset(way.data, { split: 'test' });
    await using encoder = new PictureEncoder(model.bundle, SESSION);
    const prepared = await prepareExamples(model.bundle, encoder, examples, {
      load: (example) => loadPictures(way.data, example, 'query'),
    });
    // Prompts of different lengths, since rows keep their own place in the cache.
    const byLength = new Map(prepared.map((item) => [item.promptIds.length, item]));
    const items = [...byLength.values()].slice(0, 3);
    expect(items).toHaveLength(3);
    await using decoder = await Decoder.create(model, SESSION);
    const answers = async (order: readonly number[], isShared: boolean): Promise<unknown> => {
      const requests = order.map((at, sample) => {
        const { promptIds, grid, pictureRows_MD } = items[at] as PreparedExample;
        return {
          promptIds: isShared ? promptIds : [...promptIds],
          ...{ grids: [grid], pictureRows_MD, rng: new Rng(sample) },
        };
      });
      const results = await generateBatch(decoder, requests, {
        ...{ numLatents: 0, maxNewTokens: 8, temperature: 1.5 },
        ...{ intervention: { kind: 'clean' }, calibration: { kind: 'none' } },
      });
      return results.map(({ ids, finished }) => ({ ids, finished }));
    };
    const prompt = ({ promptIds, grid, pictureRows_MD }: PreparedExample): PromptRow => {
      const [inputIds_BT, length] = [Int32Array.from(promptIds), promptIds.length];
      const attentionMask_BT = new Int32Array(length).fill(1);
      const row = { batch: 1, length, inputIds_BT, attentionMask_BT };
      const { imagePad } = model.bundle.sequence;
      return {
        ids: promptIds,
        positions_3T: mropePositions(row, [grid], positionConfig(model.bundle)).positions_3BT,
        given_ND: pictureRows_MD,
        givenPlaces: promptIds.flatMap((id, i) => (id === imagePad ? [i] : [])),
      };
    };
    const rows = items.slice(0, 2).map(prompt);
    const shared = await decoder.start(rows, 4, 2);
    const apart = await decoder.start(
      rows.flatMap((row) => [row, row]),
      4,
    );
    expect(largestDifference(shared.output.logits_BV, apart.output.logits_BV)).toBeLessThan(1e-4);
    const inputs = [3, 4, 5, 6].map((id) => ({
      ...{ id, position: [20, 20, 20] as const, active: true },
    }));
    const [next, wanted] = [await shared.step(inputs), await apart.step(inputs)];
    expect(largestDifference(next.logits_BV, wanted.logits_BV)).toBeLessThan(1e-4);
    for (const order of [
      [0, 0, 0, 1, 1, 1, 2, 2, 2],
      [0, 0, 1, 1, 0, 0],
      [0, 0, 1],
      [0, 1, 1],
      [2, 2],
      [1],
    ]) {
      expect(await answers(order, true)).toEqual(await answers(order, false));
    }
  });

  it('refuses settings that cannot give an accuracy', async () => {
    for (const rest of [{ tau: 1.5 }, { numSamples: 0 }, { temperature: 0 }]) {
      await expect(finish(options('never.jsonl', rest))).rejects.toThrow(ConfigError);
    }
  });
});
