// Owns what the commands that run a model share: its folder, session options, seeds and settings as recipe
// settings, how training shows itself.
import type { Device } from '../engine/device.ts';
import { requireDevice } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { resolveModel } from '../store/hub.ts';
import type { FetchOptions } from '../store/hub.ts';
import type { StepRecord } from '../train/loop.ts';
import type { CommandContext } from './command.ts';
import type { Progress } from './progress.ts';

/**
 * Session options for `--threads` and `--device`.
 *
 * @throws ConfigError when the device is not here, before anything is read or written.
 */
export async function sessionOptions(values: {
  readonly threads: number | undefined;
  readonly device: Device;
}): Promise<SessionOptions> {
  const { threads, device } = values;
  if (device !== 'cpu') await requireDevice(device);
  return {
    ...(threads === undefined ? {} : { threads }),
    ...(device === 'cpu' ? {} : { device }),
  };
}

/** How a command shows the download of a model; `finish` ends what it showed. */
export interface FetchDisplay {
  readonly options: FetchOptions;
  readonly finish: () => void;
}

/** Bytes as megabytes with one digit, the unit a download is shown in. */
function megabytes(bytes: number): number {
  return Math.round(bytes / 1e5) / 10;
}

/** Options of a download with progress and notes on stderr; nothing is shown when nothing comes. */
export function showFetch(ref: string, offline: boolean, context: CommandContext): FetchDisplay {
  let progress: Progress | undefined;
  const onProgress = (done: number, total: number, file: string): void => {
    progress ??= context.progress(`${ref} (MB)`);
    progress.update(megabytes(done), megabytes(total), file);
  };
  const { signal, note } = context;
  return {
    options: { offline, signal, onNote: note, onProgress },
    finish: () => progress?.finish(''),
  };
}

/** The folder of what `--model` names, downloaded from the hub where it is no folder. */
export async function modelFolder(
  ref: string,
  offline: boolean,
  context: CommandContext,
): Promise<string> {
  const display = showFetch(ref, offline, context);
  try {
    return await resolveModel(ref, display.options);
  } finally {
    display.finish();
  }
}

/** Options that were given, as settings of a recipe: `{ steps: 5, seed: undefined }` is `steps=5`. */
export function asSettings(
  given: Readonly<Record<string, number | string | undefined>>,
): readonly string[] {
  return Object.entries(given).flatMap(([path, value]) =>
    value === undefined ? [] : [`${path}=${value}`],
  );
}

// ours: the mean of twenty steps moves little enough to be read while it changes.
const SMOOTHED_STEPS = 20;

function smoothed(records: readonly StepRecord[], value: (record: StepRecord) => number): number {
  return records.reduce((sum, record) => sum + value(record), 0) / records.length;
}

/** Losses of the last steps in words, those that there are. */
export function lossNote(records: readonly StepRecord[]): string {
  const last = records.slice(-SMOOTHED_STEPS);
  const withText = last.filter(({ languageLoss }) => languageLoss !== undefined);
  const withLatents = last.filter(({ latentLoss }) => latentLoss !== undefined);
  const parts: string[] = [];
  if (withText.length > 0) {
    parts.push(`text loss ${smoothed(withText, (r) => r.languageLoss ?? 0).toFixed(4)}`);
  }
  if (withLatents.length > 0) {
    parts.push(`latent loss ${smoothed(withLatents, (r) => r.latentLoss ?? 0).toFixed(3)}`);
  }
  return parts.join(', ');
}

// ours: no step takes less; records of before a resume come faster and would spoil the rate.
const SHORTEST_STEP_MS = 3;

/** Shows a run's steps as progress until it ends; returns all records. */
export async function watchTraining(
  steps: AsyncIterable<StepRecord>,
  context: CommandContext,
  label: string,
): Promise<StepRecord[]> {
  const progress = context.progress(label);
  const records: StepRecord[] = [];
  let lastMs = context.clock.now();
  for await (const record of steps) {
    records.push(record);
    const nowMs = context.clock.now();
    const isNew = nowMs - lastMs >= SHORTEST_STEP_MS || record.step === record.totalSteps;
    lastMs = nowMs;
    if (isNew) progress.update(record.step, record.totalSteps, lossNote(records));
  }
  progress.finish();
  return records;
}
