// Owns the tests of comparing models: predictions, interventions, resume, warnings.
import { cp, mkdir, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadPictures, prepareExamples } from '../../../src/context/prepared.ts';
import type { PreparedExample } from '../../../src/context/prepared.ts';
import { loadDataset } from '../../../src/data/dataset.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { CheckpointError, ConfigError, DataError } from '../../../src/errors.ts';
import { compareModels } from '../../../src/evaluate/compare.ts';
import type { Comparison, CompareOptions } from '../../../src/evaluate/compare.ts';
import { numWithoutPartner, scoreIntervention } from '../../../src/evaluate/comparison.ts';
import { evaluateExamples, otherLatents } from '../../../src/evaluate/evaluate.ts';
import type { EvaluatedExample, Prediction } from '../../../src/evaluate/evaluate.ts';
import { INTERVENTION_NAMES, interventionOf } from '../../../src/evaluate/interventions.ts';
import { Decoder } from '../../../src/generate/decoder.ts';
import { readGapModel } from '../../../src/store/latent-head.ts';
import { projectOntoPlane } from '../../../src/latent/pca.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { LATENTS, SESSION, SETUP_LIMIT_MS, makeSmallWay } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

const TEXT_TOKENS = 24;

function prediction(rest: Partial<Prediction>): Prediction {
  return {
    ...{ id: 'a', task: 'rope', difficulty: 'easy', intervention: 'clean', sample: 0 },
    ...{ question: 'q', expected: '1', response: '', answer: '1', correct: true },
    ...{ numSpans: 1, finished: true },
    ...rest,
  };
}

describe('compareModels', () => {
  let way: SmallWay;
  let comparison: Comparison;

  const options = (name: string, rest: Partial<CompareOptions> = {}): CompareOptions => ({
    ...SESSION,
    models: [
      { name: 'base', folder: way.base },
      { name: 'lh-pca', folder: way.model },
    ],
    data: way.data,
    split: 'test',
    interventions: INTERVENTION_NAMES,
    out: join(way.folder, name),
    seed: 3,
    maxTextTokens: TEXT_TOKENS,
    ...rest,
  });
  const finish = async (given: CompareOptions): Promise<Comparison> => {
    const run = compareModels(given);
    for (;;) {
      const next = await run.next();
      if (next.done === true) return next.value;
    }
  };
  const readAll = async (name: string): Promise<Map<string, string>> => {
    const folder = join(way.folder, name, 'predictions');
    const files = (await readdir(folder)).sort();
    const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')));
    return new Map(files.map((file, i) => [file, texts[i] ?? '']));
  };
  const predictions = async (name: string, file: string): Promise<Prediction[]> => {
    const text = (await readAll(name)).get(file) ?? '';
    const lines = text.trimEnd().split('\n').slice(1);
    return lines.map((line) => JSON.parse(line) as Prediction);
  };

  beforeAll(async () => {
    way = await makeSmallWay();
    comparison = await finish(options('whole'));
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await way[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(0);
  });

  it('keeps every prediction, from which each number can be computed again', async () => {
    const [base, trained] = comparison.models;
    expect(base?.scores.map(({ intervention }) => intervention)).toEqual(['clean']);
    expect(trained?.scores.map((score) => score.intervention)).toEqual(INTERVENTION_NAMES);
    for (const model of comparison.models) {
      for (const score of model.scores) {
        const own = await predictions('whole', `${model.name}.${score.intervention}.jsonl`);
        expect(own.map(({ id }) => id)).toEqual(
          (await loadDataset(way.data, { split: 'test' })).map(({ id }) => id),
        );
        expect(own.every((one) => one.intervention === score.intervention)).toBe(true);
        expect(score.numCorrect).toBe(own.filter(({ correct }) => correct).length);
        expect(score.triggerRate).toBe(own.filter((one) => one.numSpans > 0).length / own.length);
      }
    }
    const stored = await readFile(join(way.folder, 'whole', 'summary.json'), 'utf8');
    expect(JSON.parse(stored)).toEqual(comparison);
  });

  it('says which interventions a model does not allow, and why', () => {
    const [base, trained] = comparison.models;
    expect(base?.skipped.map(({ intervention }) => intervention)).toEqual(
      INTERVENTION_NAMES.filter((name) => name !== 'clean'),
    );
    expect(base?.skipped[0]?.reason).toContain('not trained to write latents');
    // It may go on too long, but nobody expects latents of it.
    expect(base?.warnings.filter((text) => text.includes('latents'))).toEqual([]);
    expect(trained?.skipped).toEqual([]);
  });

  it('suppresses the span with zero-latent and keeps it with all others', () => {
    const rates = Object.fromEntries(
      (comparison.models[1]?.scores ?? []).map((score) => [score.intervention, score.triggerRate]),
    );
    expect(rates['zero-latent']).toBe(0);
    expect(rates['clean']).toBeGreaterThan(0.3);
    for (const name of ['noise-unit', 'noise-spectrum', 'noise-norm', 'other', 'oracle', 'ema']) {
      // Everything before the first span is as in clean decoding, so the span is there too.
      expect(rates[name]).toBe(rates['clean']);
    }
  });

  it('calls out a model that should write latents and seldom does', () => {
    const trained = comparison.models[1];
    const clean = trained?.scores[0];
    expect(trained?.writesLatents).toBe(true);
    const isRare = (clean?.triggerRate ?? 1) < 0.9;
    expect(trained?.warnings.some((text) => text.includes('should write latents'))).toBe(isRare);
  });

  it('gives other the latents of another example of the task, and oracle the own targets', async () => {
    const model = await readGapModel(way.model);
    const examples = await loadDataset(way.data, { split: 'test' });
    let items: readonly PreparedExample[];
    {
      await using encoder = new PictureEncoder(model.bundle, SESSION);
      items = await prepareExamples(model.bundle, encoder, examples, {
        load: (example) => loadPictures(way.data, example),
        numLatents: LATENTS,
      });
    }
    await using decoder = await Decoder.create(model, SESSION);
    const run = async (
      name: 'clean' | 'other' | 'oracle',
      others: ReadonlyMap<string, Float32Array> = new Map(),
    ): Promise<EvaluatedExample[]> => {
      const evaluated: EvaluatedExample[] = [];
      const settings = {
        ...interventionOf(name),
        ...{ seed: 3, batchSize: 100, numLatents: LATENTS, temperature: 0, others },
        maxNewTokens: TEXT_TOKENS + LATENTS + 2,
      };
      for await (const one of evaluateExamples(decoder, items, settings)) evaluated.push(one);
      return evaluated;
    };
    const clean = await run('clean');
    const flat = ({ result }: EvaluatedExample): Float32Array =>
      Float32Array.from(result.latents.flatMap((latent) => [...latent]));
    const own = new Map(
      clean
        .filter((one) => one.result.latents.length > 0)
        .map((one) => [one.prediction.id, flat(one)]),
    );
    const others = otherLatents(items, own);
    for (const { example } of items) {
      if (!others.has(example.id)) others.set(example.id, new Float32Array(128 * LATENTS));
    }
    const exchanged = await run('other', others);
    let numChecked = 0;
    for (const [i, one] of exchanged.entries()) {
      const mine = own.get(one.prediction.id);
      if (!mine) continue;
      const donor = items.findIndex(
        ({ example }) => own.get(example.id) === others.get(one.prediction.id),
      );
      if (donor < 0) continue;
      numChecked += 1;
      expect(donor).not.toBe(i);
      expect(items[donor]?.example.task).toBe(items[i]?.example.task);
      const first = flat(one).slice(0, 128 * LATENTS);
      expect(first).toEqual(flat(clean[donor] as EvaluatedExample).slice(0, 128 * LATENTS));
      expect(first).not.toEqual(mine.slice(0, 128 * LATENTS));
    }
    expect(numChecked).toBeGreaterThan(4);
    const stored = await predictions('whole', 'lh-pca.other.jsonl');
    for (const [i, one] of exchanged.entries()) {
      if (own.has(one.prediction.id)) expect(stored[i]?.response).toBe(one.prediction.response);
    }
    const told = await run('oracle');
    const { basis } = model.head;
    if (!basis) throw new Error('the model has a PCA head');
    for (const [i, one] of told.entries()) {
      if (one.result.latents.length === 0) continue;
      const target = projectOntoPlane(basis, items[i]?.auxiliaryRows_KD ?? new Float32Array(0));
      expect(flat(one).slice(0, 128 * LATENTS)).toEqual(target);
    }
  });

  it('ends up with the same bytes after an interruption and after a torn line', async () => {
    const whole = await readAll('whole');
    const controller = new AbortController();
    const reason = new Error('stop');
    const given = options('aborted', { signal: controller.signal });
    await expect(async () => {
      for await (const { intervention } of compareModels(given)) {
        if (intervention === 'noise-unit') controller.abort(reason);
      }
    }).rejects.toBe(reason);
    const halfway = await readAll('aborted');
    expect(halfway.has('lh-pca.noise-unit.jsonl')).toBe(true);
    expect(halfway.has('lh-pca.other.jsonl')).toBe(false);
    await expect(readFile(join(way.folder, 'aborted', 'summary.json'))).rejects.toThrow('ENOENT');
    const torn = join(way.folder, 'aborted', 'predictions', 'lh-pca.clean.jsonl');
    await truncate(torn, 3000);
    expect(await finish(options('aborted'))).toEqual(comparison);
    expect(await readAll('aborted')).toEqual(whole);
    // With clean done already its latents are decoded once more.
    await rm(join(way.folder, 'aborted', 'predictions', 'lh-pca.other.jsonl'));
    await finish(options('aborted'));
    expect(await readAll('aborted')).toEqual(whole);
  });

  it('reads a finished comparison without decoding anything', async () => {
    await cp(join(way.folder, 'whole'), join(way.folder, 'again'), { recursive: true });
    await rm(join(way.folder, 'again', 'summary.json'));
    // A prediction that no model would make shows that the stored one counts.
    const path = join(way.folder, 'again', 'predictions', 'base.clean.jsonl');
    const lines = (await readFile(path, 'utf8')).split('\n');
    const first = { ...(JSON.parse(lines[1] ?? '') as Prediction), task: 'by hand' };
    await writeFile(path, lines.with(1, JSON.stringify(first)).join('\n'));
    const again = await finish(options('again'));
    expect(Object.keys(again.models[0]?.scores[0]?.byTask ?? {})).toContain('by hand');
    expect(again.models[1]).toEqual(comparison.models[1]);
  });

  it('refuses names, files and folders that do not fit', async () => {
    const twice = [
      { name: 'a', folder: way.base },
      { name: 'a', folder: way.model },
    ];
    for (const models of [[], twice, [{ name: '../a', folder: way.base }]]) {
      await expect(finish(options('never', { models }))).rejects.toThrow(ConfigError);
    }
    await expect(finish(options('whole', { seed: 4 }))).rejects.toThrow(/seed 3[^]*seed 4/);
    await expect(finish(options('never', { split: 'validation' }))).rejects.toThrow(DataError);
    const models = [{ name: 'half', folder: join(way.folder, 'half') }];
    await mkdir(join(way.folder, 'half'));
    await writeFile(join(way.folder, 'half', 'run.json'), '{"finished": false}');
    await expect(finish(options('never', { models }))).rejects.toThrow(CheckpointError);
    const path = join(way.folder, 'whole', 'predictions', 'base.clean.jsonl');
    const good = await readFile(path, 'utf8');
    await writeFile(path, good.replace('test-000001', 'test-000007'));
    await expect(finish(options('whole'))).rejects.toThrow('base.clean.jsonl:3');
    await writeFile(path, good);
  });
});

describe('scoreIntervention', () => {
  it('pairs an intervention with clean example by example', () => {
    const clean = [1, 1, 1, 1, 0, 0].map((right, i) =>
      prediction({ id: String(i), correct: right === 1, task: i < 3 ? 'rope' : 'chart' }),
    );
    const changed = clean.map((one, i) => ({ ...one, correct: i === 0, numSpans: i < 2 ? 1 : 0 }));
    const score = scoreIntervention('noise-unit', changed, clean, 1);
    expect(score).toMatchObject({ n: 6, numCorrect: 1, triggerRate: 2 / 6, finishedRate: 1 });
    expect(score.differenceToClean?.mean).toBeCloseTo(-0.5, 12);
    expect(score.differenceToClean?.high).toBeLessThan(0);
    expect(score.byTask['chart']?.['easy']).toMatchObject({ n: 3, numCorrect: 0 });
    expect(scoreIntervention('clean', clean, clean, 1).differenceToClean).toBeUndefined();
  });

  it('counts the spans that have no second one of their task', () => {
    const tasks = ['rope', 'rope', 'chart', 'zoom', 'zoom'];
    const clean = tasks.map((task, i) =>
      prediction({ id: String(i), task, numSpans: i === 4 ? 0 : 1 }),
    );
    expect(numWithoutPartner(clean)).toBe(2);
  });
});
