// Owns the training loop: resume, batch, step, record, save; pretraining and GAP training run it.
import { access, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { STATE_FILE } from '../context/run-folder.ts';
import { ConfigError } from '../errors.ts';
import { readSafetensors, writeSafetensors } from '../engine/safetensors.ts';
import { learningRateAt } from './schedule.ts';
import type { BatchFeeds, StepResult, Trainer } from './trainer.ts';

/** What a run does, as a pure function of the step, so that resuming needs no generator state. */
export interface TrainingPlan {
  readonly totalSteps: number;
  readonly warmupSteps: number;
  /** Peak learning rate a parameter group. */
  readonly peaks: readonly number[];
  readonly batch: (step: number) => Promise<BatchFeeds>;
  /** Folder of the saved state; absent: nothing is saved. */
  readonly folder?: string;
  /** Says what the run is; a state with another fingerprint is refused. */
  readonly fingerprint: string;
  /** Steps between saves. */
  readonly saveEvery: number;
}

/** One step as the loop reports it. */
export interface StepRecord extends StepResult {
  /** 1 for the first step. */
  readonly step: number;
  readonly totalSteps: number;
  readonly learningRate: number;
}

export { STATE_FILE };

async function save(
  trainer: Trainer,
  plan: TrainingPlan,
  records: readonly StepRecord[],
): Promise<void> {
  if (plan.folder === undefined) return;
  const metadata = new Map([
    ['fingerprint', plan.fingerprint],
    ['records', JSON.stringify(records)],
  ]);
  await writeSafetensors(join(plan.folder, STATE_FILE), trainer.state(), metadata);
}

async function resume(trainer: Trainer, plan: TrainingPlan): Promise<StepRecord[]> {
  if (plan.folder === undefined) return [];
  await mkdir(plan.folder, { recursive: true });
  const path = join(plan.folder, STATE_FILE);
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists) return [];
  const stored = await readSafetensors(path);
  if (stored.metadata.get('fingerprint') !== plan.fingerprint) {
    throw new ConfigError({
      what: `${path} holds the state of another run`,
      got: stored.metadata.get('fingerprint') ?? 'no fingerprint',
      expected: plan.fingerprint,
      fix: 'run it as it was started (threads too), choose another output folder, or remove that file',
    });
  }
  trainer.restore(stored.tensors, path);
  return JSON.parse(stored.metadata.get('records') ?? '[]') as StepRecord[];
}

/**
 * Trains to the last step, from a saved state if there is one; yields every step, those of before
 * the resume included. When `signal` aborts, the state is saved and the signal's reason thrown.
 */
export async function* runTraining(
  trainer: Trainer,
  plan: TrainingPlan,
  signal?: AbortSignal,
): AsyncGenerator<StepRecord, void> {
  const records = await resume(trainer, plan);
  yield* records;
  for (let step = trainer.optimizer.steps; step < plan.totalSteps; step++) {
    if (signal?.aborted === true) {
      await save(trainer, plan, records);
      signal.throwIfAborted();
    }
    const rates = plan.peaks.map((peak) => learningRateAt({ ...plan, peak }, step));
    const result = await trainer.step(await plan.batch(step), rates);
    const record = {
      ...result,
      step: step + 1,
      totalSteps: plan.totalSteps,
      learningRate: rates[0] ?? 0,
    };
    records.push(record);
    // The last step is saved too: writing the model may fail, and must not cost the training.
    if ((step + 1) % plan.saveEvery === 0 || step + 1 === plan.totalSteps)
      await save(trainer, plan, records);
    yield record;
  }
}

/** Removes the saved state of a finished run. */
export async function forgetState(folder: string): Promise<void> {
  await rm(join(folder, STATE_FILE), { force: true });
}
