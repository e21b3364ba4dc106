// Owns the files of a run's folder by name, how its settings and items are read back, and that no other run goes
// on there; running, scoring and sweeping use it.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { otherRun, readJournal } from '../../data/journal.ts';
import { systemCode, writeFileAtomic } from '../../engine/atomic-file.ts';
import { isObject } from '../../engine/strict-json.ts';
import { DataError } from '../../errors.ts';
import type { ItemRecord } from '../prediction.ts';
import { RUN_FORMAT, comparedFields } from './settings.ts';
import type { RunSettings } from './settings.ts';

/** File with all settings of a run. */
export const RUN_FILE = 'run.json';
/** Journal of the items of a run. */
export const ITEMS_FILE = 'items.jsonl';
/** Marks ITEMS_FILE. */
export const ITEMS_FORMAT = 'gapvl.evaluation-items.1';

/** What tells an item from all others of a run. */
export function itemKey({ index, sample }: Pick<ItemRecord, 'index' | 'sample'>): string {
  return `${sample}/${index}`;
}

function isItem(value: unknown): value is ItemRecord {
  if (!isObject(value)) return false;
  const { index, sample, response, error, batch, finished } = value;
  return (
    typeof index === 'string' &&
    Number.isSafeInteger(sample) &&
    (typeof response === 'string' ? error === undefined : response === null && isObject(error)) &&
    typeof batch === 'number' &&
    typeof finished === 'boolean'
  );
}

/**
 * Checks what a journal of items holds.
 * @throws DataError naming the line that is no item.
 */
export function parseItems(records: readonly unknown[], path: string): ItemRecord[] {
  return records.map((record, i) => {
    if (isItem(record)) return record;
    throw new DataError({
      what: `${path}:${i + 2}: the line is no item of a run`,
      got: JSON.stringify(record).slice(0, 120),
      expected: 'index, sample, response or error, batch and finished',
      fix: 'remove the line and run the command again: the item is done anew',
    });
  });
}

/** The last record of every item, in the order of their first lines. */
export function latestItems(items: readonly ItemRecord[]): ReadonlyMap<string, ItemRecord> {
  return new Map(items.map((item) => [itemKey(item), item]));
}

/** The settings of a run; undefined when the folder holds none. @throws DataError when broken. */
export async function readRunSettings(folder: string): Promise<RunSettings | undefined> {
  const path = join(folder, RUN_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw error;
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  if (isObject(json) && json['format'] === RUN_FORMAT) return json as unknown as RunSettings;
  throw new DataError({
    what: `${path} is not the settings of a run of \`gapvl evaluate\``,
    got: text.slice(0, 80),
    expected: `a JSON object with "format": "${RUN_FORMAT}"`,
    fix: 'name another folder',
  });
}

/**
 * Writes the settings of a run into its folder, or finds that it goes on there.
 * @param hasItems - whether the folder already holds items that another run could spoil.
 * @throws ConfigError when the folder holds another run, with the fields that differ.
 */
export async function beginRun(
  folder: string,
  settings: RunSettings,
  hasItems: boolean,
): Promise<void> {
  const path = join(folder, RUN_FILE);
  const found = await readRunSettings(folder);
  if (found) {
    const [before, now] = [comparedFields(found), comparedFields(settings)];
    const isSame = JSON.stringify(sorted(before)) === JSON.stringify(sorted(now));
    if (!isSame && hasItems) throw otherRun(path, before, now);
    if (isSame) return;
  }
  await writeFileAtomic(path, [`${JSON.stringify(settings, null, 2)}\n`]);
}

function sorted(fields: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The last record of every item of a run's folder. @throws DataError when there is no journal. */
export async function readRunItems(folder: string): Promise<readonly ItemRecord[]> {
  const path = join(folder, ITEMS_FILE);
  const found = await readJournal(path, ITEMS_FORMAT);
  if (found) return [...latestItems(parseItems(found.records, path)).values()];
  throw new DataError({
    what: `${folder} holds no items of a run`,
    expected: `${RUN_FILE} and ${ITEMS_FILE}, as \`gapvl evaluate\` writes them`,
    fix: 'name another folder, or run the benchmark first',
  });
}
