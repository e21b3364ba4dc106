// Owns the table of what users get wrong: every command ends with the right exit code and one error
// that names the thing, and leaves nothing behind.
import { cp, mkdir, mkdtemp, readFile, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRaster } from '../../../src/data/raster.ts';
import { encodePng } from '../../../src/data/png.ts';
import { readSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { tensor, zeros } from '../../../src/engine/tensor.ts';
import { encodeBasis } from '../../../src/latent/basis-file.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { SETUP_LIMIT_MS, SHIPPED_BASE } from '../../helpers/small-way.ts';

const GREY = [128, 128, 128] as const;

describe('a command that cannot do what it is asked', () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);
  const words = (line: string): string[] => line.replaceAll('@', `${folder}/`).split(' ');
  const copyOf = async (from: string, name: string): Promise<string> => {
    await cp(at(from), at(name), { recursive: true });
    return at(name);
  };
  const editLine = async (file: string, line: number, text: string): Promise<void> => {
    const lines = (await readFile(file, 'utf8')).split('\n');
    await writeFile(file, lines.with(line - 1, text).join('\n'));
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-failures-'));
    const run = async (line: string): Promise<void> => {
      const { code, err } = await gapvl(words(line));
      if (code !== 0) throw new Error(err);
    };
    await cp(SHIPPED_BASE, at('base'), { recursive: true });
    await run('data generate --out @data --train 10 --validation 0 --test 2 --quiet');
    await run('pca fit --model @base --data @data --out @basis --latents 4 --threads 1 --quiet');
    await run(
      'capacity score --model @base --data @data --out @capacity --samples 1 --threads 1 --quiet',
    );
    await copyOf('base', 'truncated');
    await truncate(at('truncated/model.safetensors'), 100_000);
    await copyOf('base', 'misshapen');
    const { tensors, metadata } = await readSafetensors(at('base/model.safetensors'));
    await writeSafetensors(
      at('misshapen/model.safetensors'),
      new Map([...tensors, ['model.norm.weight', zeros('f32', [64])]]),
      metadata,
    );
    await copyOf('base', 'other-base');
    const norm = tensor('f32', [128], new Float32Array(128).fill(0.5));
    await writeSafetensors(
      at('other-base/model.safetensors'),
      new Map([...tensors, ['model.norm.weight', norm]]),
      metadata,
    );
    const dim = 64;
    const narrow = encodeBasis({
      ...{ kind: 'pca', dim, k: 1, totalVariance: 1, explained: 1, count: 9 },
      mean_D: new Float32Array(dim),
      basis_DK: new Float32Array(dim).fill(1 / 8),
      eigenvalues: new Float64Array(dim).fill(1),
    });
    await writeSafetensors(at('narrow'), narrow.tensors, narrow.metadata);
    await copyOf('capacity', 'half-capacity');
    const scores = await readFile(at('capacity'), 'utf8');
    await writeFile(at('half-capacity'), scores.split('\n').slice(0, 5).join('\n') + '\n');
    await editLine(await copyOf('capacity', 'broken-capacity'), 3, '{"id": 5}');
    await mkdir(at('empty'));
    await editLine(join(await copyOf('data', 'broken-line'), 'examples.jsonl'), 3, '{"id":');
    await rm(join(await copyOf('data', 'no-picture'), 'images', 'train-000004.png'));
    await writeFile(
      join(await copyOf('data', 'bad-picture'), 'images', 'train-000004.png'),
      'text',
    );
    await writeFile(
      join(await copyOf('data', 'bad-auxiliary'), 'images', 'train-000004-auxiliary.png'),
      'text',
    );
    await writeFile(at('long.png'), encodePng(createRaster(402, 2, GREY)));
    await writeFile(at('grey.png'), encodePng(createRaster(96, 96, GREY)));
    await writeFile(at('text.png'), 'this is no picture');
  }, SETUP_LIMIT_MS);
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
    expect(countLiveSessions()).toBe(0);
  });

  const TRAIN = 'train --threads 1 --steps 2 --out @never';
  const GAP = `${TRAIN} --variant gap --latents 4 --model @base --data @data`;
  const CAPTION = `${TRAIN} --variant dense-caption`;
  const SCORE = 'capacity score --threads 1 --out @never.jsonl';
  const FIT = 'pca fit --threads 1 --latents 4 --out @never.safetensors';
  const ASK = 'generate --threads 1 --model @base';
  const COMPARE = 'compare --threads 1 --out @never --data @data';

  const CASES: readonly (readonly [line: string, code: number, says: string])[] = [
    // What was typed.
    [`${TRAIN} --variant gapp --model @base --data @data`, 2, 'gap-random-basis'],
    [`${TRAIN} --variant gap --latents 35`, 2, '--model'],
    [`${GAP} --capacity @capacity`, 2, 'needs a basis'],
    [`${GAP} --basis @basis`, 2, 'needs capacity scores'],
    [GAP, 2, 'needs a basis: run `gapvl pca fit`, then give --basis; variant gap needs capacity'],
    [`${TRAIN} --variant output-mse-ema --model @base --data @data`, 2, 'train output-mse'],
    [`${CAPTION} --model @base --data @data --set numLatents=35`, 2, 'square number'],
    [`${CAPTION} --model @base --data @data --after-span picture-hidden`, 2, 'needs a span'],
    [
      `${TRAIN} --variant lh-pca --head-only --model @base --data @data --basis @basis --latents 4 --teacher-inputs plain --after-span picture-hidden`,
      2,
      'only the backbone could learn',
    ],
    [`${CAPTION} --model @base --data @data --set foo=1 --set steps=3`, 2, 'no setting foo'],
    ['train --variant dense-caption --model @base --data @data --out @base', 2, 'that of the base'],
    [
      `${TRAIN} --variant lh --model @base --data @data --basis @basis --latents 4 --teacher-inputs projected`,
      2,
      'needs a PCA head',
    ],
    [`${FIT} --model @base --data @data --explained 0.9 --components 3`, 2, 'given twice'],
    [`${FIT} --model @base --data @data --components 129`, 2, 'from 1 to 128'],
    [`${SCORE} --model @base --data @data --tau 2`, 2, '--tau'],
    ['data generate --out @never --train 0 --validation 0 --test 0', 2, 'at least one example'],
    ['data generate --out @never --tasks rope,ladder', 2, 'some of rope'],
    ['pretrain --out @never --set optimizer.beta1=2', 2, 'optimizer.beta1'],
    [COMPARE, 2, 'NAME=DIR'],
    ['fetch ./base', 2, 'ORG/NAME'],
    [`${COMPARE} --model @base`, 2, '@base'],
    [`${COMPARE} --model a/b=@base`, 2, 'a/b'],
    [`${COMPARE} --model a=@base --interventions clean,clan`, 2, 'zero-latent'],
    [`${ASK} --image @grey.png --intervention zero-latent q`, 2, 'not trained to write latents'],
    [`${ASK} --image @grey.png --latents 16 q`, 2, '--latents 16'],
    [`${ASK} --image @grey.png --intervention other q`, 2, 'one of clean'],
    [`${ASK} --image @grey.png`, 2, 'question'],
    // Models.
    [`${CAPTION} --model @nowhere --data @data`, 3, '@nowhere'],
    [`${CAPTION} --model @truncated --data @data`, 3, 'model.safetensors'],
    [`${CAPTION} --model @misshapen --data @data`, 3, 'model.norm.weight is [64], expected [128]'],
    [`${SCORE} --model @truncated --data @data`, 3, 'model.safetensors'],
    [`${COMPARE} --model a=@truncated`, 3, 'model.safetensors'],
    ['generate --model @nowhere --image @grey.png q', 3, '@nowhere'],
    // Bases and scores that belong to something else.
    [`${GAP} --capacity @capacity --basis @nowhere`, 3, '@nowhere'],
    [`${GAP} --capacity @capacity --basis @narrow`, 3, 'width 64'],
    [`${GAP} --capacity @capacity --basis @capacity`, 3, '@capacity'],
    [`${GAP.replace('--latents 4', '--latents 9')} --capacity @capacity --basis @basis`, 3, 'K'],
    [`${GAP.replace('@base', '@other-base')} --capacity @capacity --basis @basis`, 3, '@basis'],
    [`${GAP} --basis @basis --capacity @nowhere`, 3, 'no capacity scores at @nowhere'],
    [`${GAP} --basis @basis --capacity @half-capacity`, 3, 'lacks scores of 6 examples'],
    [`${GAP} --basis @basis --capacity @broken-capacity`, 3, '@broken-capacity:3'],
    [`${GAP} --basis @basis --capacity @basis`, 3, '@basis:1'],
    // Data.
    [`${CAPTION} --model @base --data @empty`, 3, 'holds no dataset'],
    [`${SCORE} --model @base --data @empty`, 3, 'holds no dataset'],
    [`${FIT} --model @base --data @empty`, 3, 'holds no dataset'],
    [`${SCORE} --model @base --data @data --split validation`, 3, 'validation split'],
    [`${CAPTION} --model @base --data @broken-line`, 3, 'examples.jsonl:3'],
    [`${SCORE} --model @base --data @no-picture`, 3, 'images/train-000004.png cannot be found'],
    [
      `${CAPTION} --model @base --data @bad-picture`,
      3,
      'images/train-000004.png cannot be decoded',
    ],
    [
      `${FIT} --model @base --data @bad-auxiliary`,
      3,
      'train-000004-auxiliary.png cannot be decoded',
    ],
    // Pictures.
    [`${ASK} --image @nowhere.png q`, 3, '@nowhere.png cannot be read'],
    [`${ASK} --image @text.png q`, 3, '@text.png cannot be decoded'],
    [`${ASK} --image @long.png q`, 3, '201.0 : 1'],
    // Places that cannot be written.
    ['data generate --out @grey.png/data --train 1 --validation 0 --test 0', 1, 'cannot write'],
    [`${FIT.replace('@never', '@grey.png/never')} --model @base --data @data`, 1, 'Cannot write'],
    [`${SCORE.replace('@never', '@grey.png/never')} --model @base --data @data`, 1, 'Cannot write'],
    [
      `${CAPTION.replace('@never', '@grey.png/never')} --model @base --data @data`,
      1,
      'Cannot write',
    ],
  ];

  it.each(CASES)('%s ends with %i', async (line, code, says) => {
    const { code: found, out, err } = await gapvl(words(line));
    expect(found, err).toBe(code);
    expect(err).toContain(says.replaceAll('@', `${folder}/`));
    expect(err).toMatch(/^(?:.*\n)*(?:Config|Data|Checkpoint|Shape|Runtime)Error: /);
    expect(err).not.toContain('unexpected');
    expect(out).toBe('');
  });

  it('leaves no model, scores, basis or dataset behind', async () => {
    const left = (await readdir(folder)).filter((name) => name.startsWith('never'));
    for (const name of left) {
      const files = name === 'never' ? await readdir(at(name)) : [];
      expect(files.filter((file) => /model|summary|examples/.test(file))).toEqual([]);
    }
    expect(left.filter((name) => name.endsWith('.safetensors'))).toEqual([]);
  });

  it('gives the same error as JSON', async () => {
    const { code, out, err } = await gapvl(words(`${SCORE} --model @base --data @empty --json`));
    expect({ code, err }).toEqual({ code: 3, err: '' });
    const { error } = JSON.parse(out) as { error: Record<string, string> };
    expect(error).toMatchObject({ name: 'DataError' });
    expect(Object.keys(error).sort()).toEqual(['expected', 'fix', 'got', 'name', 'what']);
  });

  it('does not let an attempt that failed stand in the way of the next', async () => {
    const first = `${CAPTION.replace('@never', '@retry')} --model @base --data @bad-picture`;
    expect((await gapvl(words(first))).code).toBe(3);
    const { code, err } = await gapvl(words(first.replace('@bad-picture', '@data')));
    expect(code, err).toBe(0);
  });

  it('is a command line that would end ONNX Runtime without a word', async () => {
    const { code, err } = await gapvl(['generate', '--model', SHIPPED_BASE, 'a '.repeat(9_000)]);
    expect(code).toBe(2);
    expect(err).toContain('the command line is too long');
    expect(err).toContain('stdin');
  });
});
