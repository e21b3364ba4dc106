// Writes the folder of a benchmark's run without a model, for tests of scoring.
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ItemRecord } from '../../src/benchmark/prediction.ts';
import { ITEMS_FORMAT } from '../../src/benchmark/run/run-files.ts';
import {
  BASELINE_DECODING,
  BASELINE_PIXELS,
  RUN_FORMAT,
} from '../../src/benchmark/run/settings.ts';
import type { RunSettings } from '../../src/benchmark/run/settings.ts';
import type { DatasetName } from '../../src/benchmark/types.ts';

/** A record of an answer; without one the item failed. */
export function itemRecord(
  index: string,
  response: string | null,
  rest: Partial<ItemRecord> = {},
): ItemRecord {
  const error = { kind: 'timeout', what: 'no answer within 1 s' } as const;
  return {
    ...{ index, sample: 0, response, batch: 1, finished: response !== null },
    ...(response === null ? { error } : {}),
    ...rest,
  };
}

/** Writes run.json and items.jsonl. @param table - file that the run answered. */
export async function writeEvaluationRun(
  folder: string,
  benchmark: DatasetName,
  table: string,
  records: readonly ItemRecord[],
  rest: Partial<RunSettings> = {},
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const text = await readFile(table, 'utf8');
  const settings: RunSettings = {
    ...{ format: RUN_FORMAT, benchmark },
    data: {
      ...{ file: 'table.tsv', md5: createHash('md5').update(text).digest('hex') },
      ...{ numRows: text.trimEnd().split('\n').length - 1, isPublished: false },
    },
    source: {
      ...{ kind: 'model', folder: '/models/gap', hash: 'h', variant: 'gap', numLatents: 4 },
      ...{ intervention: 'clean', calibration: { kind: 'none' }, pixels: BASELINE_PIXELS },
      ...{ threads: null, device: 'cpu', batchSize: 1 },
    },
    ...{ promptBuilder: 'dataset', system: null, decoding: BASELINE_DECODING, seed: 5 },
    ...{ samples: 1, limit: null, versions: { gapvl: '0' } },
    ...rest,
  };
  await writeFile(join(folder, 'run.json'), JSON.stringify(settings));
  const lines = [{ format: ITEMS_FORMAT }, ...records].map((line) => `${JSON.stringify(line)}\n`);
  await writeFile(join(folder, 'items.jsonl'), lines.join(''));
  return folder;
}
