// Tests what stands at latent positions in training, against predictions of each row run by itself.
import { describe, expect, it } from 'vitest';
import { TRAIN_DEFAULTS } from '../../../src/config.ts';
import type { TrainRecipe } from '../../../src/config.ts';
import { formatResponse } from '../../../src/data/format.ts';
import { projectOntoPlane } from '../../../src/latent/pca.ts';
import type { PcaBasis } from '../../../src/latent/pca.ts';
import { responseIds } from '../../../src/model/bundle.ts';
import { decoderSpecs } from '../../../src/model/parameters.ts';
import { Weights } from '../../../src/model/weights.ts';
import { assembleRow } from '../../../src/processor/sequence.ts';
import { Rng } from '../../../src/rng.ts';
import { stepBatches } from '../../../src/train/gap-batch.ts';
import type { TrainingRow } from '../../../src/train/gap-batch.ts';
import type { EncodedGraph } from '../../../src/engine/encode.ts';
import { encodeObjective } from '../../../src/train/objective.ts';
import { Trainer } from '../../../src/train/trainer.ts';
import { MINI_LATENTS, SESSION, Trace, miniGapModel } from '../../helpers/mini-gap.ts';
import { miniExamples } from '../../helpers/mini-rows.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const MODEL = await miniGapModel();
const { bundle: BUNDLE, head: HEAD } = MODEL;
const BASIS = HEAD.basis as PcaBasis;
const WIDTH = BUNDLE.checkpoint.config.text.hiddenSize;

/** Six rows of which every second has a span. */
const ROWS: readonly TrainingRow[] = miniExamples(BUNDLE, 6, new Rng('rows')).map((item, i) => {
  const style =
    i % 2 === 0
      ? { latents: 'span' as const, numLatents: MINI_LATENTS }
      : { latents: 'none' as const };
  const response = responseIds(BUNDLE, formatResponse(item.example, style));
  return { item, row: assembleRow(item.promptIds, response, BUNDLE.sequence) };
});
const SPANS = ROWS.filter(({ row }) => row.spans.length > 0);

async function makeTrainer(): Promise<Trainer> {
  const backbone = decoderSpecs(BUNDLE.checkpoint.config.text);
  const specs = [...backbone, ...HEAD.weights.specs];
  const weights = new Weights(specs);
  for (const { name } of specs) {
    const source = BUNDLE.checkpoint.weights.byName.get(name) ?? HEAD.weights.get(name);
    weights.get(name).data.set(source.data);
  }
  const latents = { head: HEAD.spec, loss: 'mse' as const, padId: BUNDLE.sequence.latentPad };
  const predict = (): EncodedGraph =>
    encodeObjective(BUNDLE.checkpoint.config, {
      pictures: { kind: 'rows' },
      parameters: specs,
      trained: specs,
      latents,
      withGradients: false,
    });
  return Trainer.create(weights, {
    ...SESSION,
    objectives: new Map([['predict', predict]]),
    fixed: HEAD.fixed,
    groups: [backbone, HEAD.weights.specs],
    adamw: TRAIN_DEFAULTS.optimizer,
  });
}

/** What stands at the latent positions of all rows at a step, a row of K x D for each span. */
async function latentInputs(
  teacherInputs: TrainRecipe['teacherInputs'],
  step: number,
): Promise<{ inputs: Float32Array[]; spans: readonly TrainingRow[] }> {
  const recipe = { ...TRAIN_DEFAULTS, batchSize: ROWS.length, steps: 2, teacherInputs };
  await using trainer = await makeTrainer();
  const batch = stepBatches({
    bundle: BUNDLE,
    rows: ROWS,
    recipe,
    positions: { kind: 'sequential' },
    basis: BASIS,
    latentWeight: 1,
    trainer,
  });
  const { feeds } = await batch(step);
  const flat = feeds['latent_rows']?.data as Float32Array;
  const targets = feeds['latent_targets']?.data as Float32Array;
  const size = MINI_LATENTS * WIDTH;
  const cut = (all: Float32Array): Float32Array[] =>
    Array.from({ length: all.length / size }, (_, i) => all.slice(i * size, (i + 1) * size));
  // The rows of a step are shuffled; their targets say which is which.
  const spans = cut(targets).map((own) => {
    const found = SPANS.find(({ item }) => item.auxiliaryRows_KD?.every((x, i) => x === own[i]));
    if (!found) throw new Error('targets of no row');
    return found;
  });
  return { inputs: cut(flat), spans };
}

describe('the inputs at latent positions', () => {
  it('are the targets, or their projections', async () => {
    const plain = await latentInputs('plain', 0);
    expect(plain.spans).toHaveLength(SPANS.length);
    expect(plain.inputs).toEqual(plain.spans.map(({ item }) => item.auxiliaryRows_KD));
    const projected = await latentInputs('projected', 0);
    for (const [i, { item }] of projected.spans.entries()) {
      const expected = projectOntoPlane(BASIS, item.auxiliaryRows_KD ?? new Float32Array(0));
      expect(relativeError(projected.inputs[i] ?? [], expected)).toBeLessThan(1e-6);
    }
  });

  it('are targets at the first step of scheduled sampling', async () => {
    const { inputs, spans } = await latentInputs('scheduled', 0);
    expect(inputs).toEqual(spans.map(({ item }) => item.auxiliaryRows_KD));
  });

  it('are what the model predicts for each row alone once all are replaced', async () => {
    const { inputs, spans } = await latentInputs('scheduled', 1);
    expect(spans).toHaveLength(SPANS.length);
    await using trace = await Trace.create(MODEL);
    for (const [i, { row, item }] of spans.entries()) {
      const latents_LD = item.auxiliaryRows_KD ?? new Float32Array(0);
      const alone = await trace.run([
        { row, grids: [item.grid], pictureRows_MD: item.pictureRows_MD, latents_LD },
      ]);
      const start = row.inputIds.indexOf(BUNDLE.sequence.latentStart);
      const expected = Array.from({ length: MINI_LATENTS }, (_, k) => [
        ...alone.latent_D(0, start + k),
      ]).flat();
      expect(relativeError(inputs[i] ?? [], expected)).toBeLessThan(1e-5);
    }
  });
});
