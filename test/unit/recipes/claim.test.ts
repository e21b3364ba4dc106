// Tests that each job of the study is done by one process, also after another one died.
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { alone, claimed } from '../../../recipes/study/claim.ts';

let folder = '';
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'gapvl-claim-')), 'claims');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('a claim', () => {
  it('keeps others off while the work lasts, and ends with it', async () => {
    const seen = await claimed(folder, 'job', async () => [
      await claimed(folder, 'job', () => Promise.resolve('twice')),
      await claimed(folder, 'another job', () => Promise.resolve('done')),
    ]);
    expect(seen).toEqual(['busy', 'done']);
    expect(await claimed(folder, 'job', () => Promise.resolve('again'))).toBe('again');
  });

  it('ends with work that fails', async () => {
    const failing = claimed(folder, 'job', () => Promise.reject(new Error('no')));
    await expect(failing).rejects.toThrow('no');
    expect(await readdir(folder)).toEqual([]);
  });

  it('of a process that died is taken over', async () => {
    const dead = spawnSync(process.execPath, ['-e', '']).pid;
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'job'), String(dead));
    expect(await claimed(folder, 'job', () => Promise.resolve('done'))).toBe('done');
  });

  it('is waited for where all need the same', async () => {
    const order: string[] = [];
    let release: (() => void) | undefined;
    const first = claimed(folder, 'base', async () => {
      await new Promise<void>((resolve) => (release = resolve));
      order.push('first');
    });
    while (!release) await setTimeout(5);
    const told: string[] = [];
    const work = (): Promise<number> => Promise.resolve(order.push('second'));
    const second = alone(folder, 'base', work, (text) => told.push(text));
    while (told.length === 0) await setTimeout(5);
    release();
    await Promise.all([first, second]);
    expect(order).toEqual(['first', 'second']);
    expect(told.join('')).toContain('waiting for base');
  });
});
