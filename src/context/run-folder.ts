// Owns the note in a training folder of what run it belongs to; pretraining and training of variants
// begin and end with it, so that no run overwrites another.
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { differingFields, makeFolderOf, otherRun } from '../data/journal.ts';
import { systemCode, writeFileAtomic } from '../engine/atomic-file.ts';
import { INDEX_FILE, SINGLE_FILE } from '../engine/safetensors.ts';
import { CheckpointError, ConfigError, DataError } from '../errors.ts';

/** File of a training run's state inside its folder, until the run is finished. */
export const STATE_FILE = 'state.safetensors';
/** File in an output folder that says what the run is made from and whether it is finished. */
export const RUN_FILE = 'run.json';

/** What a run is made from; JSON, compared field by field when a run goes on. */
export type RunDescription = Readonly<Record<string, unknown>>;

/** Where a folder stands before a run: nothing there, something to go on with, or all done. */
export type RunState = 'new' | 'unfinished' | 'finished';

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function readRun(path: string): Promise<Record<string, unknown> | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(systemCode(error) ?? '')) return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch (cause) {
    throw new DataError(
      { what: `${path} is no JSON`, fix: 'name another output folder, or remove this one' },
      cause,
    );
  }
}

async function writeRun(folder: string, content: RunDescription): Promise<void> {
  await writeFileAtomic(join(folder, RUN_FILE), [`${JSON.stringify(content, null, 2)}\n`]);
}

/**
 * Begins a run in a folder, or finds out that it goes on there.
 * @throws ConfigError when the folder holds another run, with the fields that differ, or a model
 * that no run of this kind wrote.
 */
export async function beginRun(folder: string, description: RunDescription): Promise<RunState> {
  const path = join(folder, RUN_FILE);
  const found = await readRun(path);
  const hasState = await exists(join(folder, STATE_FILE));
  const hasModel =
    (await exists(join(folder, SINGLE_FILE))) || (await exists(join(folder, INDEX_FILE)));
  if (found === undefined && !hasState && hasModel) {
    throw new ConfigError({
      what: `${folder} already holds a model`,
      expected: 'an empty folder, or one that this command began',
      fix: 'name another output folder; this one was not touched',
    });
  }
  const { finished = false, ...before } = found ?? description;
  // A run that neither saved nor finished left nothing that another could spoil.
  if (found !== undefined && (hasState || finished === true)) {
    if (differingFields(before, description).length > 0) throw otherRun(path, before, description);
    if (!hasState) return 'finished';
  }
  await makeFolderOf(path);
  await writeRun(folder, { ...description, finished: false });
  return hasState ? 'unfinished' : 'new';
}

/** Notes that the run is finished and its files are whole. */
export async function finishRun(folder: string, description: RunDescription): Promise<void> {
  await writeRun(folder, { ...description, finished: true });
}

/**
 * Makes sure that a model folder is not one that is still being trained, whose weights are those
 * of the beginning.
 * @throws CheckpointError naming the command that goes on.
 */
export async function expectFinished(folder: string): Promise<void> {
  const run = await readRun(join(folder, RUN_FILE));
  const isUnfinished = run?.['finished'] === false || (await exists(join(folder, STATE_FILE)));
  if (!isUnfinished) return;
  throw new CheckpointError({
    what: `the model in ${folder} is not trained to its end`,
    got: `a saved state (${STATE_FILE}), or a run that was begun only`,
    expected: 'a finished model',
    fix: 'run the command that trains it again: it goes on where it stopped',
  });
}
