// Tests holding two finished runs against each other, on journals written by hand.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareRuns } from '../../../src/audit/compare-runs.ts';
import { ITEMS_FORMAT } from '../../../src/audit/journals.ts';
import { DataError } from '../../../src/errors.ts';
import { PREDICTIONS_FORMAT } from '../../../src/evaluate/intervention-run.ts';
import { gapvl } from '../../helpers/command-line.ts';

describe('two finished runs', () => {
  let folder: string;
  const at = (name: string): string => join(folder, name);

  /** A run whose arms have the items with these numbers right, of items `from` to `to`. */
  const write = async (
    name: string,
    arms: Readonly<Record<string, readonly number[]>>,
    rest: { readonly from?: number; readonly to?: number; readonly seed?: number } = {},
    kind: 'items' | 'predictions' = 'items',
  ): Promise<void> => {
    const { from = 0, to = 10, seed = 1 } = rest;
    await mkdir(join(at(name), kind), { recursive: true });
    for (const [arm, right] of Object.entries(arms)) {
      const format = kind === 'items' ? ITEMS_FORMAT : PREDICTIONS_FORMAT;
      const lines: unknown[] = [{ format, of: `arm ${arm}`, seed, batchSize: 8 }];
      for (let i = from; i < to; i++) lines.push({ id: `q${i}`, correct: right.includes(i) });
      const file = kind === 'items' ? `arm-${arm}.jsonl` : `gap.${arm}.jsonl`;
      const text = lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      await writeFile(join(at(name), kind, file), text);
    }
  };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'gapvl-runs-'));
    await write('a', { clean: [0, 1, 2, 3, 4, 5, 6, 7], other: [0] });
    await write('b', { clean: [0, 1, 2, 3, 8], oracle: [0] }, { seed: 2 });
    await write('shifted', { clean: [5, 6] }, { from: 5, to: 15 });
    await write('apart', { clean: [20] }, { from: 20, to: 30 });
    await write('old', { clean: [0, 1] }, {}, 'predictions');
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('are paired by item, second minus first, with what differs between them', async () => {
    const found = await compareRuns(at('a'), at('b'), 1);
    expect(found.arms).toHaveLength(1);
    const [clean] = found.arms;
    // 4, 5, 6, 7 only the first has right, 8 only the second: p = 2 (1 + 5) / 2^5 = 0.375.
    expect(clean).toMatchObject({ arm: 'clean', n: 10, first: 0.8, second: 0.5, numUnpaired: 0 });
    expect(clean).toMatchObject({ onlyFirstRight: 4, onlySecondRight: 1 });
    expect(clean?.difference.mean).toBeCloseTo(-0.3, 12);
    expect(clean?.p).toBeCloseTo(0.375, 12);
    expect(found.onlyFirst).toEqual(['other']);
    expect(found.onlySecond).toEqual(['oracle']);
    expect(found.settings).toEqual([{ name: 'seed', first: 1, second: 2 }]);
  });

  it('leave out items of one run only, and say how many', async () => {
    const { arms } = await compareRuns(at('a'), at('shifted'), 1);
    expect(arms[0]).toMatchObject({ n: 5, numUnpaired: 10, first: 0.6, second: 0.4 });
  });

  it('may be an audit and a comparison', async () => {
    const { arms } = await compareRuns(at('a'), at('old'), 1);
    expect(arms[0]).toMatchObject({ arm: 'clean', n: 10, first: 0.8, second: 0.2 });
  });

  it('need an item in common, and have to be runs', async () => {
    await expect(compareRuns(at('a'), at('apart'), 1)).rejects.toThrow(/no item in common/);
    await expect(compareRuns(at('a'), folder, 1)).rejects.toThrow(DataError);
  });

  it('are a command with two folders, and nothing else beside them', async () => {
    const { code, out } = await gapvl(['compare', at('a'), at('b')]);
    expect(code).toBe(0);
    expect(out).toContain('setting seed differs: 1 and 2');
    expect(out).toMatch(/clean +10 +80\.0 +50\.0 +−30\.0/);
    for (const line of [
      ['compare', at('a')],
      ['compare', '--model', 'x=y'],
    ]) {
      const failed = await gapvl(line);
      expect(failed.code).toBe(2);
      expect(failed.err).toContain('gapvl compare');
    }
  });
});
