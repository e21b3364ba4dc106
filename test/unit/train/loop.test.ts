// Tests the training loop: saving, resuming, aborting, refusing another run's state.
import { access, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import { readSafetensors } from '../../../src/engine/safetensors.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { decoderSpecs } from '../../../src/model/parameters.ts';
import { Weights } from '../../../src/model/weights.ts';
import { Rng } from '../../../src/rng.ts';
import { STATE_FILE, forgetState, runTraining } from '../../../src/train/loop.ts';
import type { StepRecord, TrainingPlan } from '../../../src/train/loop.ts';
import { encodeObjective } from '../../../src/train/objective.ts';
import { learningRateAt } from '../../../src/train/schedule.ts';
import { Trainer } from '../../../src/train/trainer.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, miniBundle } from '../../helpers/mini-model.ts';
import { miniFeeds } from '../../helpers/mini-rows.ts';

const ADAMW = { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 };
const STEPS = 7;

const BUNDLE = miniBundle({ layers: 1 });

async function makeTrainer(): Promise<Trainer> {
  const { config, weights: base } = BUNDLE.checkpoint;
  const specs = decoderSpecs(config.text);
  const weights = new Weights(specs);
  for (const { name } of specs) weights.get(name).data.set(base.get(name).data);
  const options = { pictures: { kind: 'rows' as const }, parameters: specs, trained: specs };
  return Trainer.create(weights, {
    ...SESSION,
    objectives: new Map([['text', () => encodeObjective(config, options)]]),
    groups: [specs],
    adamw: ADAMW,
  });
}

let trainer: Trainer;
/** The state of a new trainer: restoring it stands for a new process, without compiling again. */
let untrained: ReadonlyMap<string, Tensor>;

beforeAll(async () => {
  trainer = await makeTrainer();
  const copies = [...trainer.state()].map(([name, t]) => [name, { ...t, data: t.data.slice() }]);
  untrained = new Map(copies as [string, Tensor][]);
});

afterAll(async () => {
  await trainer[Symbol.asyncDispose]();
});

function makePlan(folder?: string): TrainingPlan {
  return {
    totalSteps: STEPS,
    warmupSteps: 2,
    peaks: [0.02],
    batch: (step) => {
      const { feeds } = miniFeeds(BUNDLE, new Rng(step), { numSpans: 0, rows: 2 });
      return Promise.resolve({ objective: 'text', feeds });
    },
    ...(folder === undefined ? {} : { folder }),
    fingerprint: 'this run',
    saveEvery: 2,
  };
}

interface Outcome {
  readonly records: StepRecord[];
  readonly state: readonly (readonly [string, readonly number[]])[];
  readonly error?: unknown;
}

/** Runs until the end, an error, or (like a process that dies) after a number of records. */
async function run(
  plan: TrainingPlan,
  options: { signal?: AbortSignal; dieAfter?: number; onRecord?: (step: number) => void } = {},
): Promise<Outcome> {
  trainer.restore(untrained, 'memory');
  const records: StepRecord[] = [];
  let error: unknown;
  try {
    for await (const record of runTraining(trainer, plan, options.signal)) {
      records.push(record);
      options.onRecord?.(record.step);
      if (records.length === options.dieAfter) break;
    }
  } catch (caught) {
    error = caught;
  }
  const state = [...trainer.state()].map(
    ([name, { data }]) => [name, Array.from(data, Number)] as const,
  );
  return { records, state, ...(error === undefined ? {} : { error }) };
}

const stateFile = (folder: string): string => join(folder, STATE_FILE);

describe('the training loop', () => {
  it('reports every step with its learning rate, and writes nothing without a folder', async () => {
    const plan = makePlan();
    const { records } = await run(plan);
    expect(records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    records.forEach(({ learningRate, totalSteps }, i) => {
      expect(totalSteps).toBe(STEPS);
      expect(learningRate).toBe(
        learningRateAt({ peak: 0.02, totalSteps: STEPS, warmupSteps: 2 }, i),
      );
    });
  });

  it('gives the same bits when run twice', async () => {
    expect(await run(makePlan())).toEqual(await run(makePlan()));
  });

  it.each([1, 2, 3, 6, 7])('goes on bit for bit after dying behind step %i', async (dieAfter) => {
    const whole = await run(makePlan());
    await inTemporaryFolder(async (folder) => {
      await run(makePlan(folder), { dieAfter });
      const numSteps = await readSafetensors(stateFile(folder)).then(
        ({ tensors }) => Number(tensors.get('steps')?.data[0]),
        () => 0,
      );
      // Every second step and the last are saved, and before they are given out.
      expect(numSteps).toBe(dieAfter === STEPS ? STEPS : 2 * Math.floor(dieAfter / 2));
      const seen: number[] = [];
      const resumed = await run(makePlan(folder), { onRecord: (step) => seen.push(step) });
      expect(resumed).toEqual(whole);
      expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7]);
    });
  });

  it('saves when told to stop, throws the reason, and goes on bit for bit', async () => {
    const whole = await run(makePlan());
    await inTemporaryFolder(async (folder) => {
      for (const stopAt of [3, 5]) {
        const stop = new AbortController();
        const reason = new Error('Ctrl-C');
        const onRecord = (step: number): void => {
          if (step === stopAt) stop.abort(reason);
        };
        const { error, records } = await run(makePlan(folder), { signal: stop.signal, onRecord });
        expect(error).toBe(reason);
        expect(records).toEqual(whole.records.slice(0, stopAt));
        const { tensors } = await readSafetensors(stateFile(folder));
        expect(Number(tensors.get('steps')?.data[0])).toBe(stopAt);
      }
      expect(await run(makePlan(folder))).toEqual(whole);
    });
  });

  it('saves a run that is stopped before its first step', async () => {
    const whole = await run(makePlan());
    await inTemporaryFolder(async (folder) => {
      const { error, records } = await run(makePlan(folder), {
        signal: AbortSignal.abort('early'),
      });
      expect([error, records]).toEqual(['early', []]);
      expect(await run(makePlan(folder))).toEqual(whole);
    });
  });

  it('refuses the state of another run and leaves it there', async () => {
    await inTemporaryFolder(async (folder) => {
      await run(makePlan(folder), { dieAfter: 2 });
      const { error } = await run({ ...makePlan(folder), fingerprint: 'another run' });
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).toMatch(/this run[^]*another run/);
      await access(stateFile(folder));
      await forgetState(folder);
      await forgetState(folder);
      expect(await readdir(folder)).toEqual([]);
    });
  });
});
