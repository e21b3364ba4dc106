// Owns the test of the user's way: every command after the other on real files, as a user types them.
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readCapacity } from '../../../src/capacity/scores-file.ts';
import { hashModel } from '../../../src/context/provenance.ts';
import { readBasisOf } from '../../../src/context/fit-basis.ts';
import { fitAuxiliary } from '../../../src/context/prepared.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import type { Comparison } from '../../../src/evaluate/compare.ts';
import type { Prediction } from '../../../src/evaluate/evaluate.ts';
import type { Answer } from '../../../src/generate/ask.ts';
import { norm } from '../../../src/latent/feedback.ts';
import { readGapModel } from '../../../src/store/latent-head.ts';
import { projectOntoPlane } from '../../../src/latent/pca.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { decodePicture } from '../../../src/processor/picture.ts';
import type { StepRecord } from '../../../src/train/loop.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { SETUP_LIMIT_MS, SHIPPED_BASE } from '../../helpers/small-way.ts';

describe('the way from nothing to a comparison', () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const run = async (line: string, ...more: readonly string[]): Promise<string> => {
    const words = line.split(' ').map((word) => word.replace(/@(\w)/, `${folder}/$1`));
    const { code, out, err } = await gapvl([...words, ...more, '--threads', '1']);
    expect(code, err).toBe(0);
    return out;
  };
  const json = async <T>(line: string, ...more: readonly string[]): Promise<T> => {
    const out = await run(line, ...more, '--json');
    expect(out.trimEnd().split('\n')).toHaveLength(1);
    return JSON.parse(out) as T;
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-cli-'));
    const { code } = await gapvl(
      `data generate --out ${at('data')} --train 40 --validation 5 --test 10 --easy-fraction 0.4 --seed 9`.split(
        ' ',
      ),
    );
    expect(code).toBe(0);
    // A few steps of pretraining give no base that answers; the shipped one does.
    await cp(SHIPPED_BASE, at('base'), { recursive: true });
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    expect(countLiveSessions()).toBe(0);
  });

  it('pretrains a base that loads, and leaves it alone the second time', async () => {
    const line = 'pretrain --out @young --steps 3 --batch-size 2 --set optimizer.clipNorm=0.5';
    const first = await json<{ trained: boolean; model: string; recipe: { steps: number } }>(line);
    expect(first).toMatchObject({ trained: true, recipe: { steps: 3, batchSize: 2 } });
    expect((await readGapModel(at('young'))).settings).toBeUndefined();
    const records = (await readFile(at('young/training.jsonl'), 'utf8')).trimEnd().split('\n');
    expect(records.map((text) => (JSON.parse(text) as StepRecord).step)).toEqual([1, 2, 3]);
    const note = JSON.parse(await readFile(at('young/run.json'), 'utf8')) as object;
    expect(note).toMatchObject({ finished: true, recipe: { optimizer: { clipNorm: 0.5 } } });
    expect(await readdir(at('young'))).not.toContain('state.safetensors');
    expect(await json(line)).toMatchObject({ trained: false, model: first.model });
  });

  it('scores capacity', async () => {
    const line = 'capacity score --model @base --data @data --out @capacity.jsonl --samples 4';
    const out = await run(line);
    for (const part of ['text-only', 'bricks', 'easy', 'the base answers', 'wrote 40 scores']) {
      expect(out).toContain(part);
    }
    const { records, header } = await readCapacity(at('capacity.jsonl'));
    expect(records).toHaveLength(40);
    expect(header.model).toBe(await hashModel(at('base')));
  });

  it('fits a basis and its controls', async () => {
    const line = 'pca fit --model @base --data @data --latents 4';
    const out = await run(`${line} --out @basis.safetensors`);
    for (const part of ['cumulated %', 'RelMSE', 'components needed']) expect(out).toContain(part);
    const owner = { model: await hashModel(at('base')), hiddenSize: 128, numLatents: 4 };
    const { basis } = await readBasisOf(at('basis.safetensors'), owner);
    expect(basis.count).toBe(160);
    expect(basis.explained).toBeGreaterThanOrEqual(0.95);
    for (const kind of ['random', 'no-mean']) {
      const found = await json<{ k: number; kind: string }>(
        `${line} --out @${kind}.safetensors --components 3 --kind ${kind}`,
      );
      expect(found).toMatchObject({ k: 3, kind });
    }
  });

  it('trains GAP, the dense-caption control, and a model that writes latents everywhere', async () => {
    const shared = '--model @base --data @data --latents 4 --batch-size 6 --set adapterSize=8';
    const basis = '--basis @basis.safetensors';
    const gap = await json<{ numLatentRows: number; last: StepRecord; model: string }>(
      `train --variant gap ${shared} --steps 2 ${basis} --capacity @capacity.jsonl --out @gap --teacher-inputs projected --latent-positions grid`,
    );
    const { records } = await readCapacity(at('capacity.jsonl'));
    expect(gap.numLatentRows).toBe(records.filter((r) => r.assignment === 'latent').length);
    expect(gap.numLatentRows).toBeLessThan(40);
    expect(gap.last.step).toBe(2);
    const { settings, head } = await readGapModel(at('gap'));
    expect(settings).toMatchObject({ variant: 'gap', numLatents: 4, teacherInputs: 'projected' });
    expect(settings?.positions).toEqual({ kind: 'grid', numLatents: 4 });
    expect(head.basis?.k).toBe(head.spec.kind === 'pca' ? head.spec.numComponents : -1);
    expect(gap.model).toBe(await hashModel(at('gap')));
    const note = JSON.parse(await readFile(at('gap/run.json'), 'utf8')) as object;
    expect(note).toMatchObject({
      finished: true,
      variant: 'gap',
      recipe: { adapterSize: 8 },
      inputs: { model: await hashModel(at('base')), latentIds: gap.numLatentRows },
    });

    const out = await run(`train --variant dense-caption ${shared} --steps 2 --out @caption`);
    expect(out).toContain('0 of 40 examples had latent supervision');
    expect((await readGapModel(at('caption'))).settings?.variant).toBe('dense-caption');

    const writer = await json<{ last: StepRecord }>(
      `train --variant lh-pca ${shared} --steps 40 ${basis} --teacher-inputs plain --out @writer`,
    );
    expect(writer.last.languageLoss).toBeLessThan(4);
  });

  it('compares models and prints the tables', async () => {
    const line =
      'compare --model base=@base --model writer=@writer --model caption=@caption --data @data --split test --out @compare --limit 8 --interventions clean,noise-norm,other';
    const out = await run(line);
    expect(out).toContain('8 questions of the test split');
    expect(out).toMatch(/writer \(LH\+PCA\) .*\d\.\d +\[.*\] +8 +\d/);
    expect(out).toMatch(/noise-norm .*\d\.\d +\[/);
    expect(out).toContain('base without noise-norm, other: the model was not trained');
    expect(out).toContain('rope E/H');
    const comparison = await json<Comparison>(line);
    const stored = await readFile(at('compare/summary.json'), 'utf8');
    expect(JSON.parse(stored)).toEqual(comparison);
    expect(comparison.models.map(({ name }) => name)).toEqual(['base', 'writer', 'caption']);
  });

  it('answers a question as a stream that shows the span, and as a record', async () => {
    const lines = await readFile(at('compare/predictions/writer.clean.jsonl'), 'utf8');
    const predictions = lines
      .trimEnd()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as Prediction);
    const { id, question, response } = predictions.find(({ numSpans }) => numSpans > 0) ?? {};
    if (question === undefined) throw new Error('the model writes latents somewhere');
    const command = `generate --model @writer --image @data/images/${id}.png`;
    const record = await json<Answer & { variant: string; question: string }>(command, question);
    expect(record).toMatchObject({ variant: 'lh-pca', question, response });
    expect(record.spans[0]).toMatchObject({ numLatents: 4 });
    expect(record.spans[0]?.norms).toHaveLength(4);
    const text = await run(command, question);
    const summary = / *\[4 latents, mean norm [\d.]+, states [\d.]+, query [\d.]+\] */g;
    const wanted = record.response.replace(/ *(?:<\|latent_pad\|> *)+/g, '|');
    expect(text.replace(summary, '|').trim()).toBe(wanted.trim());
    const silent = await json<Answer>(`${command} --intervention zero-latent`, question);
    expect(silent.spans).toEqual([]);
    const told = await json<Answer>(
      `${command} --intervention oracle --auxiliary @data/images/${id}-auxiliary.png`,
      question,
    );
    expect(told.spans[0]?.stateNorms[0]).toBe(record.spans[0]?.stateNorms[0]);
    const { bundle, head } = await readGapModel(at('writer'));
    const bytes = await readFile(at(`data/images/${id}-auxiliary.png`));
    const auxiliary = fitAuxiliary(bundle, await decodePicture(bytes, { name: 'auxiliary' }), 4);
    await using encoder = new PictureEncoder(bundle, { threads: 1, spinning: false });
    if (!head.basis) throw new Error('the model has a PCA head');
    const targets = projectOntoPlane(head.basis, await encoder.encode([auxiliary]));
    expect(told.spans[0]?.norms[0]).toBeCloseTo(norm(targets.subarray(0, 128)), 4);
    expect(told.spans[0]?.norms[0]).not.toBe(record.spans[0]?.norms[0]);
    const calibrated = await json<Answer>(`${command} --calibration ema`, question);
    expect(calibrated.spans[0]?.norms[0]).toBeCloseTo(record.queryNorm, 3);
  });

  it('calls out a model that should write latents and does not', async () => {
    await run(
      'train --variant lh --model @base --data @data --latents 4 --steps 1 --basis @basis.safetensors --set optimizer.learningRate=1e-9 --out @silent',
    );
    const out = await run(
      'compare --model silent=@silent --data @data --split validation --out @silence --interventions clean,other,zero-latent',
    );
    expect(out).toContain('WARNING silent: should write latents and did so in 0.0 %');
    expect(out).toContain('silent without other, zero-latent: the model wrote latents in 0');
  });

  it('reads a dataset of ones own with as little as it needs', async () => {
    await cp(at('data/images'), at('own/pictures'), { recursive: true });
    const lines = ['a', 'b'].map((id, i) => ({
      ...{ id, question: 'where does rope a end', answer: '1', split: 'test' },
      image: `pictures/test-00000${i}.png`,
    }));
    await writeFile(at('own/examples.jsonl'), lines.map((l) => `${JSON.stringify(l)}\n`).join(''));
    const out = await run('compare --model writer=@writer --data @own --out @own-compare');
    expect(out).toContain('2 questions of the test split');
    expect(out).toContain('writer without oracle: 2 examples have no auxiliary picture');
  });
});
