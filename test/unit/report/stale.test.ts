// Holds a report to the files it is made from: models that moved or changed, summaries and lines that broke.
import { appendFile, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import { compareModels } from '../../../src/evaluate/compare.ts';
import { HEAD_FILE } from '../../../src/store/latent-head.ts';
import { readSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { collectReport } from '../../../src/report/collect.ts';
import type { ReportData } from '../../../src/report/types.ts';
import { SESSION, SETUP_LIMIT_MS, makeSmallWay } from '../../helpers/small-way.ts';
import type { SmallWay } from '../../helpers/small-way.ts';

let way: SmallWay;

beforeAll(async () => {
  way = await makeSmallWay();
  const run = compareModels({
    ...SESSION,
    models: [{ name: 'gap', folder: way.model }],
    data: way.data,
    split: 'test',
    limit: 2,
    interventions: ['clean'],
    out: join(way.folder, 'compare'),
    seed: 1,
  });
  while ((await run.next()).done !== true);
}, SETUP_LIMIT_MS);
afterAll(() => way[Symbol.asyncDispose]());

function collect(): Promise<ReportData> {
  return collectReport({
    ...SESSION,
    title: 'a report',
    comparison: join(way.folder, 'compare'),
    provenance: { recipe: 'a test', date: '2026-01-01' },
    numCards: 1,
    numViewed: 2,
  });
}

/** Runs something with a file changed, and puts the file back. */
async function withFile(path: string, text: string, then: () => Promise<void>): Promise<void> {
  const before = await readFile(path);
  await writeFile(path, text);
  await then();
  await writeFile(path, before);
}

describe('a report of a comparison', () => {
  it('is made while everything is where it was', async () => {
    expect((await collect()).accuracyTable).toHaveLength(1);
  });

  it('is refused when a model is gone, by its name and place', async () => {
    await rename(way.model, `${way.model}-away`);
    await expect(collect()).rejects.toThrow(`is not in ${way.model} any more`);
    await expect(collect()).rejects.toBeInstanceOf(DataError);
    await rename(`${way.model}-away`, way.model);
  });

  it('is refused when a model was trained anew since', async () => {
    const path = join(way.model, HEAD_FILE);
    const before = await readFile(path);
    const { tensors, metadata } = await readSafetensors(path);
    for (const [name, { data }] of tensors) {
      if (name.startsWith('latent_head.')) data[0] = 0.5;
    }
    await writeSafetensors(path, tensors, metadata);
    await expect(collect()).rejects.toThrow('a model with hash');
    await writeFile(path, before);
  });

  it('is refused when its summary is no comparison', async () => {
    const path = join(way.folder, 'compare', 'summary.json');
    await withFile(path, '{}', async () => {
      await expect(collect()).rejects.toThrow(`${path} cannot be read`);
    });
  });

  it('names file and line of a broken prediction', async () => {
    const path = join(way.folder, 'compare', 'predictions', 'gap.clean.jsonl');
    const before = await readFile(path, 'utf8');
    const lines = before.trimEnd().split('\n').length;
    await appendFile(path, 'xx\n');
    await expect(collect()).rejects.toThrow(`${path}:${lines + 1}: the line is not JSON`);
    await writeFile(path, before);
  });
});
