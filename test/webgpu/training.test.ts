// Owns the check that training on WebGPU is training on the CPU: losses, gradients and several steps.
import { describe, expect, it } from 'vitest';
import { TRAIN_DEFAULTS } from '../../src/config.ts';
import { Session } from '../../src/engine/session.ts';
import type { Device } from '../../src/engine/session.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { decoderSpecs } from '../../src/model/parameters.ts';
import { Rng } from '../../src/rng.ts';
import { trainVariant } from '../../src/train/gap.ts';
import type { StepRecord } from '../../src/train/loop.ts';
import { encodeObjective } from '../../src/train/objective.ts';
import { MINI_LATENTS, SESSION, miniBasis, miniGapModel } from '../helpers/mini-gap.ts';
import { miniBundle } from '../helpers/mini-model.ts';
import { miniExamples, miniFeeds } from '../helpers/mini-rows.ts';
import { relativeError } from '../helpers/relative-error.ts';

const TOLERANCE = 1e-4;

describe('training on WebGPU', () => {
  it('has the loss of the CPU and the gradient of every parameter', async () => {
    const model = await miniGapModel({ layers: 1 });
    const { bundle, head } = model;
    const { config, weights } = bundle.checkpoint;
    const { feeds } = miniFeeds(bundle, new Rng('rows'), { numSpans: 1 });
    const parameters = [...decoderSpecs(config.text), ...head.weights.specs];
    const encoded = encodeObjective(config, {
      pictures: { kind: 'rows' },
      parameters,
      trained: parameters,
      latents: { head: head.spec, loss: 'mse', padId: bundle.sequence.latentPad },
    });
    const run = async (device: Device): Promise<Record<string, Tensor>> => {
      await using session = await Session.create(encoded, { ...SESSION, device });
      for (const [name, value] of [...weights.byName, ...head.weights.byName, ...head.fixed]) {
        if (session.inputNames.includes(name)) session.bindInput(name, value);
      }
      return await session.run(feeds);
    };
    const [found, expected] = [await run('webgpu'), await run('cpu')];
    expect(Object.keys(expected).filter((name) => name.startsWith('gradient.'))).toHaveLength(
      parameters.length,
    );
    for (const [name, { data }] of Object.entries(expected)) {
      const error = relativeError(found[name]?.data as Float32Array, data as Float32Array);
      expect(error, name).toBeLessThan(TOLERANCE);
    }
  });

  it('goes through the steps of the CPU, text and latents, optimizer included', async () => {
    const bundle = miniBundle({ layers: 1 });
    const basis = await miniBasis(bundle.checkpoint.config.text.hiddenSize);
    const inputs = {
      bundle,
      basis,
      examples: miniExamples(bundle, 10, new Rng('examples')),
      latentIds: new Set(['example-1', 'example-4', 'example-5', 'example-8']),
    };
    const recipe = {
      ...TRAIN_DEFAULTS,
      steps: 5,
      batchSize: 3,
      numLatents: MINI_LATENTS,
      adapterSize: 4,
      headLearningRate: 1e-2,
      optimizer: { ...TRAIN_DEFAULTS.optimizer, learningRate: 1e-2 },
    };
    const train = async (device: Device): Promise<StepRecord[]> => {
      const records: StepRecord[] = [];
      for await (const record of trainVariant('gap', recipe, inputs, { ...SESSION, device })) {
        records.push(record);
      }
      return records;
    };
    const [found, expected] = [await train('webgpu'), await train('cpu')];
    expect(expected.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    expect(expected.some(({ latentLoss }) => latentLoss !== undefined)).toBe(true);
    expect(found.map(({ latentLoss }) => latentLoss === undefined)).toEqual(
      expected.map(({ latentLoss }) => latentLoss === undefined),
    );
    const numbers = (records: readonly StepRecord[]): number[][] =>
      records.map((r) => [r.loss, r.languageLoss ?? 0, r.latentLoss ?? 0, r.gradientNorm]);
    const ours = numbers(found);
    numbers(expected).forEach((values, step) => {
      values.forEach((value, i) => {
        expect(relativeError([ours[step]?.[i] ?? NaN], [value]), `step ${step + 1}`).toBeLessThan(
          TOLERANCE,
        );
      });
    });
    expect(expected[4]?.loss).not.toBe(expected[0]?.loss);
  });
});
