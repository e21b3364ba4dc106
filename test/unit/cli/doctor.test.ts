// Owns the tests of `gapvl doctor`; vitest runs it.
import { readdirSync } from 'node:fs';
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
import { OPERATION_PROBES, tryOperations } from '../../../src/cli/operation-probes.ts';
import { gatherRows } from '../../../src/engine/ops/indexing.ts';

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
    expect(judgeDevice('cpu', { fault: '' })).toMatchObject([{ state: 'ok' }]);
    expect(judgeDevice('cpu', { fault: 'broken' })).toMatchObject([{ state: 'wrong' }]);
    expect(judgeDevice('cuda', { fault: 'no library', fix: 'fetch it' })).toMatchObject([
      { state: 'note', value: 'not here: no library', fix: 'to use it: fetch it' },
    ]);
  });

  it('lists the operations a device lacks apart from what may run beside it', () => {
    const operations = { tried: 3, refused: { erf: 'Erf' }, beside: { or: 'Or' } };
    expect(judgeDevice('webgpu', { fault: '', operations })).toMatchObject([
      { state: 'ok' },
      {
        name: 'operations on webgpu',
        state: 'note',
        value: '2 of 3; refused: erf (Erf); indexes and masks on the CPU: or (Or)',
      },
    ]);
    expect(judgeDevice('cpu', { fault: '', operations })[1]).toMatchObject({ state: 'wrong' });
  });

  it('tries every operation of the engine, and all of them work on the CPU', async () => {
    const folder = new URL('../../../src/engine/ops/', import.meta.url);
    const exported: string[] = [];
    for (const file of readdirSync(folder)) {
      const module = (await import(new URL(file, folder).href)) as Record<string, unknown>;
      exported.push(...Object.keys(module).filter((name) => typeof module[name] === 'function'));
    }
    // These reckon with shapes and emit nothing.
    const reckoning = ['reducedShape', 'numBlocks', 'zeroBytes'];
    const operations = exported.filter((name) => !reckoning.includes(name));
    expect(Object.keys(OPERATION_PROBES).sort()).toEqual(operations.sort());
    expect(await tryOperations('cpu')).toEqual({
      tried: operations.length,
      refused: {},
      beside: {},
    });
  });

  it('names an operation that fails as refused', async () => {
    const { refused } = await tryOperations('cpu', {
      'rows of an empty table': (p) => gatherRows(p.floats([0, 2]), p.index()),
      'rows of a table': (p) => gatherRows(p.floats([4, 2]), p.index()),
    });
    expect(Object.keys(refused)).toEqual(['rows of an empty table']);
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
