// Owns the checks of holding two scored runs against each other.
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compareResults } from '../../../../src/benchmark/results/compare-results.ts';
import { findResults, readScores } from '../../../../src/benchmark/results/result.ts';
import type { EvaluationResult } from '../../../../src/benchmark/results/result.ts';
import { DataError } from '../../../../src/errors.ts';
import { gapvl } from '../../../helpers/command-line.ts';
import { resultOf, runSource, writeRun } from '../../../helpers/scored-runs.ts';

let root = '';
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'gapvl-compare-'));
});
afterAll(async () => {
  await rm(root, { recursive: true });
});

let made = 0;
function folder(): string {
  return join(root, `run-${++made}`);
}

const SETTINGS = { 'source.pixels.maxPixels': 1000, promptBuilder: 'dataset' };

function result(rest: Partial<EvaluationResult> = {}): EvaluationResult {
  return resultOf('MMStar', { Overall: 50 }, { source: runSource(SETTINGS), ...rest });
}

describe('two scored runs', () => {
  it('are held against each other item by item, second minus first', async () => {
    const first = await writeRun(folder(), result(), [1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
    const second = await writeRun(folder(), result(), [1, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
    const found = await compareResults(first, second, 1);
    const [mmstar] = found.benchmarks;
    expect(found.isComparable).toBe(true);
    expect(mmstar?.effect).toMatchObject({ n: 10, first: 0.9, second: 0.2 });
    expect(mmstar?.effect.difference.mean).toBeCloseTo(0.7, 12);
    expect(mmstar?.effect.mcNemar).toMatchObject({ numFirstOnly: 8, numSecondOnly: 1 });
    // Source: the binomial distribution, 2 (1 + 9) / 2^9.
    expect(mmstar?.p).toBeCloseTo(20 / 512, 12);
    expect(mmstar?.settings).toEqual([]);
  });
  it('exchange whole questions where rows belong together', async () => {
    const cluster = (i: number) => ({ cluster: String(Math.floor(i / 4)) });
    const first = await writeRun(folder(), result(), [0, 0, 0, 0, 0, 0, 0, 0], cluster);
    const second = await writeRun(folder(), result(), [1, 1, 1, 1, 1, 1, 1, 1], cluster);
    const [found] = (await compareResults(first, second, 1)).benchmarks;
    expect(found?.effect.clusters).toBe(2);
    expect(found?.p).toBe(0.5);
  });
  it('say which settings differ, and what makes them not comparable', async () => {
    const first = await writeRun(folder(), result(), [1, 0, 1]);
    const second = await writeRun(
      folder(),
      result({
        era: 'paper',
        unwrap: 'answer',
        source: runSource({
          ...{ 'source.pixels.maxPixels': 2000, promptBuilder: 'model' },
          ...{ 'source.variant': 'gap', 'source.numLatents': 16 },
        }),
      }),
      [1, 1, 1, 0],
    );
    const { isComparable, benchmarks } = await compareResults(first, second, 1);
    expect(isComparable).toBe(false);
    expect(benchmarks[0]?.objections).toEqual([
      'they are scored by the rules of different eras',
      'answers are unwrapped in one and not in the other',
      'source.pixels.maxPixels differs',
      'promptBuilder differs',
      'they are not of the same items',
    ]);
    expect(benchmarks[0]?.settings).toContainEqual({
      ...{ name: 'source.numLatents', first: 36, second: 16 },
    });
    expect(benchmarks[0]).toMatchObject({ onlyFirst: 0, onlySecond: 1 });
  });
  it('may differ in who answers without being incomparable', async () => {
    const first = await writeRun(folder(), result(), [1, 0, 1]);
    const source = runSource({ ...SETTINGS, 'source.hash': 'x', 'source.numLatents': 4, seed: 9 });
    const second = await writeRun(folder(), result({ source }), [1, 1, 1]);
    const found = await compareResults(first, second, 1);
    expect(found.isComparable).toBe(true);
    expect(found.benchmarks[0]?.settings.map(({ name }) => name)).toEqual([
      ...['source.numLatents', 'seed', 'source.hash'],
    ]);
  });
  it('are no match for a judge against none, a lower bound, an incomplete run', async () => {
    const first = await writeRun(folder(), result({ isLowerBound: true }), [1, 0]);
    const judge = {
      ...{ mode: 'judge' as const, model: 'gpt', versions: ['v'] },
      ...{ items: 1, replies: 1, failed: 0 },
    };
    const second = await writeRun(folder(), result({ judge, status: 'incomplete' }), [1, 0]);
    const [found] = (await compareResults(first, second, 1)).benchmarks;
    expect(found?.objections).toEqual([
      'they have different judges',
      'one is a lower bound and the other is not',
      'the second is incomplete',
    ]);
  });
  it('are taken benchmark by benchmark from folders of runs', async () => {
    const [first, second] = [folder(), folder()];
    for (const [run, scores] of [
      [first, [0, 1, 0, 0]],
      [second, [1, 1, 1, 0]],
    ] as const) {
      await writeRun(join(run, 'mmstar'), result(), scores);
      await writeRun(join(run, 'deep', 'pope'), resultOf('POPE', { Overall: 1 }), scores);
    }
    await writeRun(join(second, 'own'), resultOf('own', { Overall: 1 }), [1]);
    const found = await compareResults(first, second, 1);
    expect(found.benchmarks.map(({ benchmark }) => benchmark)).toEqual(['MMStar', 'POPE']);
    expect(found.onlySecond).toEqual(['own']);
    expect(found.benchmarks[0]?.p).toBe(1);
    await writeRun(join(first, 'again'), result(), [1, 1, 1, 1]);
    await expect(compareResults(first, second, 1)).rejects.toThrow(/several runs of MMStar/);
  });
  it('print as a table with warnings, and as JSON', async () => {
    const first = await writeRun(folder(), result(), [1, 0, 0]);
    const second = await writeRun(folder(), result({ era: 'paper' }), [1, 1, 0]);
    const { code, out } = await gapvl(['evaluate', 'compare', first, second]);
    expect(code).toBe(0);
    expect(out).toContain('NOT COMPARABLE, MMStar: they are scored by the rules of different eras');
    expect(out).toMatch(/MMStar +3 +3 +33\.3 +66\.7 +\+33\.3/);
    const json = await gapvl(['evaluate', 'compare', first, second, '--json']);
    expect(JSON.parse(json.out)).toMatchObject({ isComparable: false });
    expect((await gapvl(['evaluate', 'compare', first])).code).toBe(2);
  });
});

describe('the folder of a scored run', () => {
  it('is refused when it holds no result, a broken one, or no scores', async () => {
    const empty = folder();
    await writeRun(empty, result(), [1]);
    await rm(join(empty, 'scores.jsonl'));
    await expect(readScores(empty)).rejects.toThrow(DataError);
    await writeFile(join(empty, 'result.json'), '{"format":"gapvl.evaluation-result.1"}');
    await expect(findResults(empty)).rejects.toThrow(/is not a result/);
    await rm(join(empty, 'result.json'));
    await expect(findResults(empty)).rejects.toThrow(/holds no scored run/);
    await expect(findResults(join(root, 'nowhere'))).rejects.toThrow(DataError);
  });
  it('is not left through links', async () => {
    const outside = await writeRun(join(root, 'outside'), result(), [1]);
    const inside = folder();
    await writeRun(join(inside, 'own'), result(), [1]);
    await symlink(outside, join(inside, 'link'));
    expect(await findResults(inside)).toHaveLength(1);
  });
  it('names the line of a broken score', async () => {
    const run = await writeRun(folder(), result(), [1]);
    await writeFile(
      join(run, 'scores.jsonl'),
      '{"format":"gapvl.evaluation-scores.1"}\n{"index":"1","sample":0,"score":2,"cluster":"1"}\n',
    );
    await expect(readScores(run)).rejects.toThrow(/scores\.jsonl:2/);
  });
});
