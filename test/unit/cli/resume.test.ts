// Owns the tests that Ctrl-C saves, names the command that goes on, and that going on gives the same
// bytes as never having stopped.
import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { SETUP_LIMIT_MS, SHIPPED_BASE } from '../../helpers/small-way.ts';

describe('a command that is interrupted', () => {
  let folder: string;
  const words = (line: string): string[] => line.replaceAll('@', `${folder}/`).split(' ');
  const finish = async (line: string): Promise<string> => {
    const { code, err, out } = await gapvl(words(line));
    expect(code, err).toBe(0);
    return out;
  };
  /** Presses Ctrl-C once stderr says something; the command has to end with 1 and its own name. */
  const interrupt = async (line: string, when: string): Promise<void> => {
    const { code, err } = await gapvl(words(line), { interruptWhen: (e) => e.includes(when) });
    expect(err).toContain(when);
    expect(code, err).toBe(1);
    expect(err).toContain(`to go on, run: gapvl ${words(line).join(' ')}`);
  };
  const digest = async (...path: readonly string[]): Promise<string> =>
    createHash('sha256')
      .update(await readFile(join(folder, ...path)))
      .digest('hex');
  /** Hashes of all files of a folder, by name. */
  const bytes = async (name: string): Promise<Map<string, string>> => {
    const files = (await readdir(join(folder, name))).sort();
    const hashOf = async (file: string): Promise<string> =>
      file === 'images' ? '' : digest(name, file);
    const hashes = await Promise.all(files.map(hashOf));
    return new Map(files.map((file, i) => [file, hashes[i] ?? '']));
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-resume-'));
    await cp(SHIPPED_BASE, join(folder, 'base'), { recursive: true });
    await finish('data generate --out @data --train 80 --validation 0 --test 0 --quiet');
    await finish(
      'pca fit --model @base --data @data --latents 4 --out @basis.safetensors --threads 1 --quiet',
    );
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    expect(countLiveSessions()).toBe(0);
  });

  it('writes the same dataset after generating was interrupted', async () => {
    const line = 'data generate --train 80 --validation 0 --test 0 --out';
    await interrupt(`${line} @again`, 'examples  64/80');
    expect(await readdir(join(folder, 'again'))).toContain('examples.jsonl.partial');
    expect(await finish(`${line} @again`)).toContain('64 were there already');
    const [again, whole] = [await bytes('again'), await bytes('data')];
    expect(again).toEqual(whole);
    expect([...again.keys()]).toEqual(['dataset.json', 'examples.jsonl', 'images']);
    expect(await bytes('again/images')).toEqual(await bytes('data/images'));
  });

  it('writes the same base, records and note after pretraining was interrupted twice', async () => {
    const line = 'pretrain --steps 6 --batch-size 2 --threads 1 --out';
    await finish(`${line} @base-whole`);
    await interrupt(`${line} @base-parts`, 'pretraining  2/6');
    expect([...(await bytes('base-parts')).keys()]).toContain('state.safetensors');
    await interrupt(`${line} @base-parts`, 'pretraining  4/6');
    await finish(`${line} @base-parts`);
    const whole = await bytes('base-whole');
    expect(await bytes('base-parts')).toEqual(whole);
    expect([...whole.keys()].sort()).toEqual([
      ...['chat_template.jinja', 'config.json', 'model.safetensors', 'preprocessor_config.json'],
      ...['run.json', 'tokenizer.json', 'tokenizer_config.json', 'training.jsonl'],
    ]);
  });

  it('writes the same GAP model after training was interrupted', async () => {
    await finish(
      'capacity score --model @base --data @data --samples 2 --out @capacity.jsonl --threads 1 --quiet',
    );
    const line =
      'train --variant gap --model @base --data @data --basis @basis.safetensors --capacity @capacity.jsonl --latents 4 --steps 6 --batch-size 3 --teacher-inputs scheduled --threads 1 --out';
    await finish(`${line} @gap-whole`);
    await interrupt(`${line} @gap-parts`, 'training gap  3/6');
    await finish(`${line} @gap-parts`);
    const whole = await bytes('gap-whole');
    expect([...whole.keys()]).toContain('latent_head.safetensors');
    expect([...whole.keys()]).not.toContain('state.safetensors');
    expect(await bytes('gap-parts')).toEqual(whole);
    expect(await finish(`${line} @gap-parts`)).toContain('nothing was trained');
    expect(await bytes('gap-parts')).toEqual(whole);
  });

  it('writes the same basis after fitting was interrupted', async () => {
    const line = 'pca fit --model @base --data @data --latents 4 --threads 1 --out';
    await interrupt(`${line} @again.safetensors`, 'auxiliary pictures  64');
    expect(await readdir(folder)).toContain('again.safetensors.partial');
    await finish(`${line} @again.safetensors`);
    expect(await readdir(folder)).not.toContain('again.safetensors.partial');
    expect(await digest('again.safetensors')).toBe(await digest('basis.safetensors'));
  });

  it('keeps the saved state when training diverges, and says so', async () => {
    const line =
      'train --variant dense-caption --model @base --data @data --steps 5 --batch-size 2 --threads 1 --out @diverged';
    await interrupt(line, 'training dense-caption  2/5');
    const path = join(folder, 'diverged', 'state.safetensors');
    const { tensors, metadata } = await readSafetensors(path);
    const weights = tensors.get('weights');
    const spoilt = new Float32Array(weights?.data.length ?? 0).fill(Number.NaN);
    await writeSafetensors(
      path,
      new Map([...tensors, ['weights', tensor('f32', [spoilt.length], spoilt)]]),
      metadata,
    );
    const before = await digest('diverged', 'state.safetensors');
    const { code, err } = await gapvl(words(line));
    expect(code).toBe(1);
    expect(err).toContain('training diverged at step 3');
    expect(err).toContain('the last saved state is untouched');
    expect(await digest('diverged', 'state.safetensors')).toBe(before);
  });

  it('does not take a model that is not trained to its end', async () => {
    const line = 'pretrain --steps 4 --batch-size 2 --threads 1 --out @half';
    await interrupt(line, 'pretraining  1/4');
    for (const use of [
      'capacity score --model @half --data @data --out @never.jsonl',
      'train --variant dense-caption --model @half --data @data --out @never',
      'pca fit --model @half --data @data --out @never.safetensors',
      'compare --model half=@half --data @data --split train --out @never',
      `generate --model @half --image @data/images/train-000000.png question`,
    ]) {
      const { code, err } = await gapvl(words(use));
      expect(code, use).toBe(3);
      expect(err).toContain('is not trained to its end');
    }
    expect((await readdir(folder)).filter((name) => name.startsWith('never'))).toEqual([]);
  });

  it('refuses to go on with other settings, and to overwrite a model it did not write', async () => {
    const line = 'pretrain --steps 4 --batch-size 2 --threads 1 --out @other';
    await interrupt(line, 'pretraining  1/4');
    const before = await bytes('other');
    const changed = await gapvl(words(`${line} --seed 5`));
    expect(changed.code).toBe(2);
    expect(changed.err).toContain('belongs to another run');
    expect(await bytes('other')).toEqual(before);
    await cp(SHIPPED_BASE, join(folder, 'foreign'), { recursive: true });
    await rm(join(folder, 'foreign', 'run.json'));
    await writeFile(join(folder, 'foreign', 'notes.txt'), 'mine');
    const foreign = await bytes('foreign');
    for (const over of [
      'pretrain --steps 4 --out @foreign',
      'train --variant dense-caption --model @base --data @data --out @foreign',
    ]) {
      const { code, err } = await gapvl(words(over));
      expect(code).toBe(2);
      expect(err).toContain('already holds a model');
      expect(await bytes('foreign')).toEqual(foreign);
    }
  });
});
