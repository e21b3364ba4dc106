// Owns the tests of `gapvl doctor`; vitest runs it.
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../../src/cli/clock.ts';
import { renderFindings } from '../../../src/cli/doctor.ts';
import {
  checkDisk,
  checkNode,
  checkPictures,
  judgeDevice,
  measureMatmul,
} from '../../../src/cli/machine.ts';

describe('gapvl doctor', () => {
  it('refuses a Node older than 20.19 and takes every newer one', () => {
    expect(['18.20.0', '20.18.3', 'garbage'].map((v) => checkNode(v).state)).toEqual([
      'wrong',
      'wrong',
      'wrong',
    ]);
    expect(['20.19.0', '20.20.2', '24.0.0'].map((v) => checkNode(v).state)).toEqual([
      'ok',
      'ok',
      'ok',
    ]);
  });

  it('finds that pictures survive a round trip here and that this folder has a disk', async () => {
    expect(await checkPictures()).toMatchObject({ state: 'ok' });
    expect((await checkDisk('.')).value).toMatch(/GiB free in/);
  });

  it('measures a speed that a computer can have', async () => {
    const gflops = await measureMatmul(systemClock, new AbortController().signal);
    expect(gflops).toBeGreaterThan(0.1);
    expect(gflops).toBeLessThan(100_000);
  });

  it('needs the CPU and only notes other devices', () => {
    expect(judgeDevice('cpu', '')).toMatchObject({ state: 'ok' });
    expect(judgeDevice('cpu', 'broken')).toMatchObject({ state: 'wrong' });
    expect(judgeDevice('cuda', 'no library')).toMatchObject({ state: 'note' });
  });

  it('says what to mend and ends with a verdict', () => {
    const text = renderFindings([
      { name: 'memory', state: 'wrong', value: '1.0 GiB', fix: 'give it more' },
      { name: 'disk', state: 'ok', value: '9.0 GiB' },
    ]);
    expect(text).toContain('WRONG  memory: give it more');
    expect(text.endsWith('gapvl cannot run here: 1 of these are wrong.')).toBe(true);
    expect(renderFindings([{ name: 'disk', state: 'ok', value: '9 GiB' }])).toMatch(
      /gapvl can run here\.$/,
    );
  });
});
