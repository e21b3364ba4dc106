// Owns the check that dataset folders are written resumably and read with suspicion.

import { appendFile, mkdir, mkdtemp, readdir, readFile, rename } from 'node:fs/promises';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadDataset, readPicture } from '../../../src/data/dataset.ts';
import { writeDataset, type WriteOptions } from '../../../src/data/dataset-writer.ts';
import { sampleExamples } from '../../../src/data/splits.ts';
import { ConfigError, DataError, RuntimeError } from '../../../src/errors.ts';

const plan = { counts: { train: 150, validation: 20, test: 20 }, seed: 4 } satisfies WriteOptions;

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gapvl-dataset-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function contents(of: string): Promise<Map<string, string>> {
  const names = await readdir(of, { recursive: true });
  const files = names.filter((name) => name.includes('.')).sort();
  const texts = await Promise.all(files.map((name) => readFile(join(of, name), 'latin1')));
  return new Map(files.map((name, index) => [name, texts[index] ?? '']));
}

/** Writes until the first batch is on disk. */
async function writeInterrupted(): Promise<void> {
  const controller = new AbortController();
  const progress = (): void => {
    controller.abort();
  };
  const writing = writeDataset(folder, { ...plan, progress, signal: controller.signal });
  await expect(writing).rejects.toThrow(/64 of 190 examples, which are kept/u);
}

/** A folder with one small picture and the given lines. */
async function writeOwn(...lines: readonly unknown[]): Promise<void> {
  const texts = lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line)));
  await writeFile(join(folder, 'a.png'), 'picture');
  await writeFile(join(folder, 'examples.jsonl'), texts.join('\n'));
}

const own = { id: 'a1', question: 'how many?', answer: '3', image: 'a.png' };

describe('writing a dataset', () => {
  it('gives a folder that reads back as what was generated', async () => {
    const seen: number[] = [];
    const progress = (done: number, total: number): void => {
      seen.push(done / total);
    };
    const result = await writeDataset(folder, { ...plan, progress });
    expect(result).toEqual({ numExamples: 190, numReused: 0 });
    expect(seen.at(-1)).toBe(1);
    const read = await loadDataset(folder, { split: 'test' });
    const generated = [...sampleExamples({ split: 'test', count: 20, seed: 4 })];
    expect(read.map((example) => example.question)).toEqual(generated.map((g) => g.question));
    for (const [index, example] of read.entries()) {
      for (const [path, kind] of [
        [example.image, 'picture'],
        [example.auxiliary ?? '', 'auxiliary'],
      ] as const) {
        const pixels = await sharp(await readPicture(folder, path))
          .raw()
          .toBuffer();
        expect(pixels.equals(Buffer.from(generated[index]?.[kind].data ?? []))).toBe(true);
      }
    }
    expect((await loadDataset(folder)).length).toBe(190);
  });

  it('goes on after an interruption, half a line included, to the same bytes', async () => {
    await writeInterrupted();
    await expect(loadDataset(folder)).rejects.toThrow(/unfinished/u);
    await appendFile(join(folder, 'examples.jsonl.partial'), '{"id":"train-0000');
    expect(await writeDataset(folder, plan)).toEqual({ numExamples: 190, numReused: 64 });
    const resumed = await contents(folder);
    const other = await mkdtemp(join(tmpdir(), 'gapvl-dataset-'));
    await writeDataset(other, plan);
    expect(resumed).toEqual(await contents(other));
    await rm(other, { recursive: true });
  });

  it('leaves a complete dataset as it is', async () => {
    await writeDataset(folder, plan);
    const before = await contents(folder);
    expect(await writeDataset(folder, plan)).toEqual({ numExamples: 190, numReused: 190 });
    expect(await contents(folder)).toEqual(before);
  });

  it('refuses a folder that holds something else', async () => {
    await writeInterrupted();
    const before = await contents(folder);
    await expect(writeDataset(folder, { ...plan, seed: 5 })).rejects.toThrow(DataError);
    expect(await contents(folder)).toEqual(before);
    await rm(join(folder, 'dataset.json'));
    await rename(join(folder, 'examples.jsonl.partial'), join(folder, 'examples.jsonl'));
    await expect(writeDataset(folder, plan)).rejects.toThrow(DataError);
  });

  it('names the path when the disk is full and keeps what is written', async () => {
    await mkdir(join(folder, 'images'));
    const full = join(folder, 'images', 'train-000070.png');
    await symlink('/dev/full', full);
    const failure = await writeDataset(folder, plan).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(RuntimeError);
    expect(String(failure)).toContain(`the disk is full: cannot write ${full}`);
    await rm(full);
    expect(await writeDataset(folder, plan)).toEqual({ numExamples: 190, numReused: 64 });
    expect(await loadDataset(folder)).toHaveLength(190);
  });

  it('needs at least one example', async () => {
    await expect(writeDataset(folder, { counts: {}, seed: 1 })).rejects.toThrow(ConfigError);
    await expect(writeDataset(folder, { counts: { test: 1.5 }, seed: 1 })).rejects.toThrow(
      ConfigError,
    );
  });
});

describe('reading a dataset', () => {
  it("takes one's own with blank lines, Windows line ends and a byte order mark", async () => {
    await writeOwn(`\ufeff${JSON.stringify(own)}\r`, '', JSON.stringify({ ...own, id: 'a2' }), '');
    expect(await loadDataset(folder)).toEqual([own, { ...own, id: 'a2' }]);
  });

  it('names file and line of what it refuses', async () => {
    const bad: readonly [unknown, RegExp][] = [
      ['{"id": ', /examples\.jsonl:2: the line is not JSON/u],
      [{ ...own, id: 'a2', image: 'b.png' }, /examples\.jsonl:2: the picture .* cannot be found/u],
      [own, /examples\.jsonl:2: the id "a1" is taken/u],
      [{ ...own, id: 'a2', answer: 3 }, /examples\.jsonl:2: field "answer"/u],
      [`{"id": "${'x'.repeat(1024 * 1024)}"}`, /examples\.jsonl:2: the line is too long/u],
    ];
    for (const [line, message] of bad) {
      await writeOwn(own, line);
      const failure = await loadDataset(folder).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(DataError);
      expect(String(failure)).toMatch(message);
    }
  });

  it('refuses bytes that are not UTF-8', async () => {
    await writeOwn(own);
    await appendFile(join(folder, 'examples.jsonl'), Buffer.of(10, 34, 0xff, 0xfe, 34));
    await expect(loadDataset(folder)).rejects.toThrow(/:2: the line is not JSON/u);
  });

  it('refuses an empty dataset and an empty split', async () => {
    await writeOwn('', '');
    await expect(loadDataset(folder)).rejects.toThrow(DataError);
    await writeOwn(own);
    await expect(loadDataset(folder, { split: 'test' })).rejects.toThrow(/test split/u);
    await expect(loadDataset(join(folder, 'nowhere'))).rejects.toThrow(DataError);
  });

  it('refuses links that leave the folder, and what is no file', async () => {
    await writeOwn({ ...own, image: 'link.png' });
    await symlink('/etc/hostname', join(folder, 'link.png'));
    await expect(loadDataset(folder)).rejects.toThrow(/lies outside of the dataset folder/u);
    await expect(readPicture(folder, 'link.png')).rejects.toThrow(DataError);
    await expect(readPicture(folder, '../../etc/hostname')).rejects.toThrow(DataError);
    await rm(join(folder, 'link.png'));
    await symlink('a.png', join(folder, 'link.png'));
    expect(await loadDataset(folder)).toHaveLength(1);
    await mkdir(join(folder, 'folder.png'));
    await writeOwn({ ...own, image: 'folder.png' });
    await expect(loadDataset(folder)).rejects.toThrow(/not a file/u);
  });
});
