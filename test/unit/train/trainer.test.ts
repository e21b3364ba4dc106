// Tests one training step: what it reports, what it refuses, what it leaves alone, what it frees.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RuntimeError } from '../../../src/errors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { headSpecs } from '../../../src/latent/head.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { decoderSpecs } from '../../../src/model/parameters.ts';
import { Weights } from '../../../src/model/weights.ts';
import { Rng } from '../../../src/rng.ts';
import { encodeObjective } from '../../../src/train/objective.ts';
import { Trainer } from '../../../src/train/trainer.ts';
import type { BatchFeeds, StepResult } from '../../../src/train/trainer.ts';
import { SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { miniFeeds } from '../../helpers/mini-rows.ts';

const ADAMW = { beta1: 0.9, beta2: 0.98, epsilon: 1e-8, weightDecay: 0.01, clipNorm: 1 };
const RATES = [1e-2, 2e-2];

async function makeTrainer(model: GapModel<Weights>): Promise<Trainer> {
  const { config, weights: base } = model.bundle.checkpoint;
  const [backbone, head] = [decoderSpecs(config.text), headSpecs(model.head.spec)];
  const parameters = [...backbone, ...head];
  const weights = new Weights(parameters);
  for (const { name } of parameters) {
    weights.get(name).data.set((base.byName.get(name) ?? model.head.weights.get(name)).data);
  }
  const shared = { pictures: { kind: 'rows' as const }, parameters, trained: parameters };
  const padId = model.bundle.sequence.latentPad;
  const latents = { head: model.head.spec, loss: 'mse' as const, padId };
  return Trainer.create(weights, {
    ...SESSION,
    objectives: new Map([
      ['text', () => encodeObjective(config, shared)],
      ['latent', () => encodeObjective(config, { ...shared, latents })],
    ]),
    fixed: model.head.fixed,
    groups: [backbone, head],
    adamw: ADAMW,
  });
}

function batches(model: GapModel): { text: BatchFeeds; latent: BatchFeeds } {
  const rng = new Rng('rows');
  const feeds = (numSpans: number) => miniFeeds(model.bundle, rng, { numSpans }).feeds;
  return {
    text: { objective: 'text', feeds: feeds(0) },
    latent: { objective: 'latent', feeds: feeds(1) },
  };
}

function snapshot(trainer: Trainer): Map<string, readonly number[]> {
  return new Map([...trainer.state()].map(([name, { data }]) => [name, Array.from(data, Number)]));
}

/** A deep copy of a trainer's state. */
function copyState(trainer: Trainer): Map<string, Tensor> {
  const copies = [...trainer.state()].map(([name, t]) => [name, { ...t, data: t.data.slice() }]);
  return new Map(copies as [string, Tensor][]);
}

describe('a trainer', () => {
  const before = countLiveSessions();
  let model: GapModel<Weights>;
  let trainer: Trainer;
  let text: BatchFeeds;
  let latent: BatchFeeds;
  let untrained: Map<string, Tensor>;
  let firstText: StepResult;

  beforeAll(async () => {
    model = await miniGapModel({ layers: 1 });
    ({ text, latent } = batches(model));
    trainer = await makeTrainer(model);
    untrained = copyState(trainer);
    // The first thing it ever does: text, without learning.
    firstText = await trainer.step(text, [0, 0]);
  });

  beforeEach(() => {
    trainer.restore(untrained, 'memory');
  });

  afterAll(async () => {
    await trainer[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(before);
  });

  it('brings the losses down on a batch it sees again and again', async () => {
    const first = await trainer.step(latent, RATES);
    for (let i = 0; i < 30; i++) await trainer.step(latent, RATES);
    const last = await trainer.step(latent, RATES);
    expect(last.languageLoss).toBeLessThan(0.5 * (first.languageLoss ?? NaN));
    expect(last.latentLoss).toBeLessThan(first.latentLoss ?? 0);
    expect(first.loss).toBeCloseTo((first.languageLoss ?? NaN) + (first.latentLoss ?? NaN), 4);
    expect(trainer.optimizer.steps).toBe(32);
  });

  it('reports no latent loss for text, and keeps no gradient of the batch before', async () => {
    await trainer.step(latent, [0, 0]);
    expect(await trainer.step(text, [0, 0])).toEqual(firstText);
    expect('latentLoss' in firstText).toBe(false);
  });

  it('stops at a loss that is no number and leaves weights, moments and steps untouched', async () => {
    const rows = latent.feeds['picture_rows'] as Tensor<'f32'>;
    const broken = tensor('f32', rows.dims, rows.data.slice());
    broken.data[3] = NaN;
    await trainer.step(latent, RATES);
    const kept = snapshot(trainer);
    const bad = { ...latent, feeds: { ...latent.feeds, picture_rows: broken } };
    await expect(trainer.step(bad, RATES)).rejects.toThrow(RuntimeError);
    await expect(trainer.step(bad, RATES)).rejects.toThrow(/diverged at step 2/);
    expect(snapshot(trainer)).toEqual(kept);
    // And it can go on as if nothing had been.
    const next = await trainer.step(latent, RATES);
    const after = snapshot(trainer);
    trainer.restore(untrained, 'memory');
    await trainer.step(latent, RATES);
    expect(await trainer.step(latent, RATES)).toEqual(next);
    expect(snapshot(trainer)).toEqual(after);
  });

  it('stops at gradients that overflow though the loss is finite', async () => {
    const huge = { ...latent.feeds, latent_weight: tensor('f32', [], Float32Array.of(1e30)) };
    const kept = snapshot(trainer);
    await expect(trainer.step({ ...latent, feeds: huge }, RATES)).rejects.toThrow(
      /loss [0-9.e+]+, gradient norm Infinity/,
    );
    expect(snapshot(trainer)).toEqual(kept);
  });

  it('evaluates without touching anything', async () => {
    const kept = snapshot(trainer);
    const found = await trainer.evaluate(latent);
    expect(Object.keys(found).sort()).toEqual([
      ...['language_loss', 'latent_loss', 'loss', 'predicted_latents', 'predicted_norms'],
    ]);
    expect(Object.keys(await trainer.evaluate(latent, ['loss']))).toEqual(['loss']);
    expect(snapshot(trainer)).toEqual(kept);
  });

  it('goes on from its state bit for bit, and refuses the state of another model', async () => {
    await trainer.step(latent, RATES);
    const state = copyState(trainer);
    await trainer.step(text, RATES);
    const after = snapshot(trainer);
    await using other = await makeTrainer(model);
    other.restore(state, 'memory');
    await other.step(text, RATES);
    expect(snapshot(other)).toEqual(after);
    await using larger = await makeTrainer(await miniGapModel({ layers: 2 }));
    const kept = snapshot(larger);
    expect(() => larger.restore(state, 'the file')).toThrow(/the file[^]*weights has a wrong size/);
    expect(snapshot(larger)).toEqual(kept);
    state.delete('second.1');
    expect(() => other.restore(state, 'the file')).toThrow(/second\.1/);
  });

  it('trains a model whose head has no parameters', async () => {
    const headless = await miniGapModel({ head: 'output', layers: 1 });
    const batch = batches(headless).latent;
    await using own = await makeTrainer(headless);
    const { loss } = await own.step(batch, RATES);
    expect((await own.step(batch, RATES)).loss).toBeLessThan(loss);
    expect(own.state().get('first.1')?.dims).toEqual([0]);
  });

  it('names an objective that it does not have', async () => {
    await expect(trainer.step({ objective: 'other', feeds: {} }, RATES)).rejects.toThrow(/other/);
  });
});
