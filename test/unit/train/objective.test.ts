// Tests the training graph: its losses against the plain forward pass and by hand, its gradients.
// Axes: B rows, T tokens, L latents, D hidden.
import { describe, expect, it } from 'vitest';
import type { EncodedGraph } from '../../../src/engine/encode.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import type { AfterSpan } from '../../../src/latent/after-span.ts';
import { headSpecs } from '../../../src/latent/head.ts';
import type { LatentLoss } from '../../../src/latent/head.ts';
import type { Weights } from '../../../src/model/weights.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import type { HeadKind } from '../../../src/latent/variants.ts';
import { int64Tensor, pictureLayout, visionFeeds } from '../../../src/model/feeds.ts';
import { positionConfig } from '../../../src/model/bundle.ts';
import { compileForward } from '../../../src/model/forward.ts';
import { decoderSpecs, modelSpecs } from '../../../src/model/parameters.ts';
import type { ParameterSpec } from '../../../src/model/parameters.ts';
import { Rng } from '../../../src/rng.ts';
import { encodeObjective, pickTables } from '../../../src/train/objective.ts';
import type { ObjectiveOptions } from '../../../src/train/objective.ts';
import { hiddenKeyFeeds, textFeeds } from '../../../src/train/text-batch.ts';
import { SESSION, miniGapModel } from '../../helpers/mini-gap.ts';
import { miniFeeds } from '../../helpers/mini-rows.ts';
import { miniBundle, randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

type Tensors = Readonly<Record<string, Tensor>>;

function numbers(t: Tensor | undefined): number[] {
  return Array.from(t?.data ?? [], Number);
}

/** Runs an encoded objective over a model's own weights and the given feeds. */
async function run(
  model: GapModel<Weights>,
  encoded: EncodedGraph,
  feeds: Tensors,
): Promise<Tensors> {
  await using session = await Session.create(encoded, SESSION);
  const { bundle, head } = model;
  const known = [...bundle.checkpoint.weights.byName, ...head.weights.byName, ...head.fixed];
  for (const [name, value] of known) {
    if (session.inputNames.includes(name)) session.bindInput(name, value);
  }
  return await session.run(feeds);
}

describe('the language loss of the objective', () => {
  it.each([true, false])(
    'is the loss of the plain forward pass, gradients too (tied %s)',
    async (tied) => {
      const bundle = miniBundle({ tied });
      const { config, weights } = bundle.checkpoint;
      const rng = new Rng('rows');
      const { batch, grids, feeds } = miniFeeds(bundle, rng, { numSpans: 0 });
      const dims = [batch.batch, batch.length];
      const numPatches = grids.reduce((sum, [, h, w]) => sum + h * w, 0);
      const pixels = randomRows(rng, numPatches * 96);
      await using pass = await compileForward(
        config,
        weights,
        {
          input_ids: int64Tensor(dims, batch.inputIds_BT),
          attention_mask: int64Tensor(dims, batch.attentionMask_BT),
          labels: int64Tensor(dims, batch.labels_BT),
          pixel_values: tensor('f32', [numPatches, 96], pixels),
          image_grid_thw: int64Tensor([grids.length, 3], grids.flat()),
        },
        { ...SESSION, gradients: true },
      );
      const plain = await pass.run();
      const model = {
        bundle,
        head: { spec: { kind: 'output' }, weights, fixed: new Map() },
      } as const;
      const layout = pictureLayout(config.vision, grids);
      const { picture_rows: _rows, ...textOnly } = feeds;
      const inputs: Readonly<
        Record<string, readonly [ObjectiveOptions['pictures'], ParameterSpec[], Tensors]>
      > = {
        tower: [
          { kind: 'tower', layout },
          modelSpecs(config),
          { ...textOnly, ...visionFeeds(config.vision, pixels, grids, layout.kind) },
        ],
        rows: [
          { kind: 'rows' },
          decoderSpecs(config.text),
          { ...textOnly, picture_rows: plain['image_embeds'] as Tensor },
        ],
      };
      for (const [name, [pictures, parameters, given]] of Object.entries(inputs)) {
        const encoded = encodeObjective(config, { pictures, parameters, trained: parameters });
        const found = await run(model, encoded, given);
        const loss = numbers(found['language_loss']);
        expect(relativeError(loss, numbers(plain['loss'])), name).toBeLessThan(1e-6);
        expect(numbers(found['loss'])).toEqual(loss);
        for (const spec of parameters) {
          const key = `gradient.${spec.name}`;
          expect(
            relativeError(numbers(found[key]), numbers(plain[key])),
            `${name} ${key}`,
          ).toBeLessThan(1e-5);
        }
      }
    },
  );
});

describe('attention in blocks', () => {
  it.each([undefined, 'picture-hidden'] as const)(
    'has the losses and gradients of whole attention; hidden after the span: %s',
    async (afterSpan) => {
      const plain = await latentRun('pca', 'mse', 0.7, true, afterSpan);
      const whole = await run(plain.model, plain.encoded, plain.feeds);
      const length = plain.feeds['input_ids']?.dims[1] ?? 0;
      const divisors = Array.from({ length }, (_, i) => i + 1).filter((n) => length % n === 0);
      expect(divisors.length).toBeGreaterThan(2);
      for (const attentionBlocks of divisors.slice(1, 4)) {
        const { encoded } = await latentRun('pca', 'mse', 0.7, true, afterSpan, attentionBlocks);
        const found = await run(plain.model, encoded, plain.feeds);
        expect(Object.keys(found)).toEqual(Object.keys(whole));
        for (const [name, value] of Object.entries(whole)) {
          const error = relativeError(numbers(found[name]), numbers(value));
          expect(error, `${attentionBlocks} blocks, ${name}`).toBeLessThan(1e-5);
        }
      }
    },
  );

  it('refuses rows that it cannot cut', async () => {
    const { model, feeds } = await latentRun('pca', 'mse', 1, false);
    const length = feeds['input_ids']?.dims[1] ?? 0;
    const { encoded } = await latentRun('pca', 'mse', 1, false, undefined, length + 1);
    await expect(run(model, encoded, feeds)).rejects.toThrow(/no multiple of/);
  });
});

interface LatentRun {
  readonly model: GapModel<Weights>;
  readonly feeds: Record<string, Tensor>;
  readonly targets_LD: Float32Array;
  readonly encoded: EncodedGraph;
}

async function latentRun(
  head: HeadKind,
  loss: LatentLoss,
  latentWeight: number,
  withGradients: boolean,
  afterSpan?: AfterSpan,
  attentionBlocks = 1,
): Promise<LatentRun> {
  const model = await miniGapModel({ head });
  const { config } = model.bundle.checkpoint;
  const { batch, feeds, targets_LD } = miniFeeds(model.bundle, new Rng('rows'), {
    numSpans: 2,
    latentWeight,
  });
  if (afterSpan) Object.assign(feeds, hiddenKeyFeeds(batch, model.bundle.sequence));
  const parameters = [...decoderSpecs(config.text), ...headSpecs(model.head.spec)];
  const { latentPad: padId } = model.bundle.sequence;
  const latents = { head: model.head.spec, loss, padId, ...(afterSpan ? { afterSpan } : {}) };
  const pictures = { kind: 'rows' as const };
  const options = { pictures, parameters, trained: parameters, attentionBlocks };
  const encoded = encodeObjective(config, { ...options, latents, withGradients });
  return { model, feeds, targets_LD, encoded };
}

describe('the latent loss of the objective', () => {
  const CASES: readonly (readonly [HeadKind, LatentLoss])[] = [
    ['pca', 'mse'],
    ['full', 'mse'],
    ['bottleneck', 'mse'],
    ['output', 'mse'],
    ['output', 'cosine'],
  ];

  it.each(CASES)('is what its equation says of the predictions (%s, %s)', async (head, kind) => {
    const { model, feeds, targets_LD, encoded } = await latentRun(head, kind, 0.25, false);
    const found = await run(model, encoded, feeds);
    const predicted = numbers(found['predicted_latents']);
    const width = model.bundle.checkpoint.config.text.hiddenSize;
    const count = targets_LD.length / width;
    // Two spans in the first row, one in each of the others.
    expect(count).toBe(16);
    let total = 0;
    const norms: number[] = [];
    for (let n = 0; n < count; n++) {
      const v = predicted.slice(n * width, (n + 1) * width);
      const t = [...targets_LD.subarray(n * width, (n + 1) * width)];
      const dot = (a: number[], b: number[]): number =>
        a.reduce((sum, x, i) => sum + x * (b[i] ?? NaN), 0);
      const difference = v.map((x, i) => x - (t[i] ?? NaN));
      norms.push(Math.sqrt(dot(v, v)));
      total +=
        kind === 'mse'
          ? dot(difference, difference)
          : 1 - dot(v, t) / Math.sqrt(dot(v, v) * dot(t, t));
    }
    const latent = numbers(found['latent_loss']);
    expect(relativeError(latent, [total / count])).toBeLessThan(1e-5);
    expect(relativeError(numbers(found['predicted_norms']), norms)).toBeLessThan(1e-5);
    const language = Number(found['language_loss']?.data[0]);
    expect(
      relativeError(numbers(found['loss']), [language + 0.25 * (latent[0] ?? NaN)]),
    ).toBeLessThan(1e-6);
    expect(Object.keys(found).filter((name) => name.startsWith('gradient.'))).toEqual([]);
  });

  it.each<readonly [HeadKind, LatentLoss, AfterSpan | undefined]>([
    ...CASES.map(([head, kind]) => [head, kind, undefined] as const),
    ['pca', 'mse', 'picture-hidden'],
  ])(
    'has the gradient that the loss falls by along itself (%s, %s, after the span %s)',
    async (head, kind, afterSpan) => {
      const { model, feeds, encoded } = await latentRun(head, kind, 0.5, true, afterSpan);
      await using session = await Session.create(encoded, SESSION);
      const { bundle } = model;
      const all = new Map([...bundle.checkpoint.weights.byName, ...model.head.weights.byName]);
      for (const [name, value] of [...all, ...model.head.fixed]) {
        if (session.inputNames.includes(name)) session.bindInput(name, value);
      }
      const found = await session.run(feeds);
      const names = Object.keys(found).filter((name) => name.startsWith('gradient.'));
      const specs = [...decoderSpecs(bundle.checkpoint.config.text), ...headSpecs(model.head.spec)];
      expect(names.map((name) => name.slice('gradient.'.length)).sort()).toEqual(
        specs.map((s) => s.name).sort(),
      );
      for (const name of names) {
        const gradient = found[name]?.data as Float32Array;
        const weight = all.get(name.slice('gradient.'.length))?.data ?? new Float32Array(0);
        const size = Math.hypot(...gradient);
        expect(size, name).toBeGreaterThan(0);
        const own = weight.slice();
        const lossAt = async (steps: number): Promise<number> => {
          own.forEach((w, i) => (weight[i] = w + (steps * (gradient[i] ?? NaN)) / size));
          const { loss } = await session.run(feeds, ['loss']);
          weight.set(own);
          return Number(loss?.data[0]);
        };
        // Small against the weights; f32 losses leave about three digits of the slope.
        const step = 4e-3;
        const slope = ((await lossAt(step)) - (await lossAt(-step))) / (2 * step);
        expect(Math.abs(slope / size - 1), `${name}: ${slope} ${size}`).toBeLessThan(0.02);
      }
    },
  );
});

describe('a picture that is hidden after spans', () => {
  /** The language loss of what is written after the span, with the given pictures and latents. */
  const lossAfterSpan = async (
    layers: number,
    afterSpan: AfterSpan | undefined,
    change: { readonly picture?: boolean; readonly latents?: boolean } = {},
  ): Promise<number> => {
    const model = await miniGapModel({ layers });
    const { config } = model.bundle.checkpoint;
    const { sequence } = model.bundle;
    const { batch, grids, feeds } = miniFeeds(model.bundle, new Rng('rows'), { numSpans: 1 });
    const labels_BT = batch.labels_BT.map((label, at) => {
      const row = batch.inputIds_BT.subarray(at - (at % batch.length), at);
      return row.includes(sequence.latentEnd) ? label : -100;
    });
    const other = (name: string): Tensor => {
      const { dims, data } = feeds[name] as Tensor;
      return tensor('f32', dims, randomRows(new Rng('other'), data.length));
    };
    const parameters = [...decoderSpecs(config.text), ...headSpecs(model.head.spec)];
    const encoded = encodeObjective(config, {
      ...{ pictures: { kind: 'rows' }, parameters, trained: parameters, withGradients: false },
      latents: {
        ...{ head: model.head.spec, loss: 'mse', padId: sequence.latentPad },
        ...(afterSpan ? { afterSpan } : {}),
      },
    });
    const found = await run(model, encoded, {
      ...feeds,
      ...textFeeds({ ...batch, labels_BT }, grids, positionConfig(model.bundle)),
      ...(afterSpan ? hiddenKeyFeeds(batch, sequence) : {}),
      ...(change.picture === true ? { picture_rows: other('picture_rows') } : {}),
      ...(change.latents === true ? { latent_rows: other('latent_rows') } : {}),
    });
    return Number(found['language_loss']?.data[0]);
  };

  it('is seen through latents alone: in one layer, whose latents are as given, not at all', async () => {
    const hidden = await lossAfterSpan(1, 'picture-hidden');
    expect(await lossAfterSpan(1, 'picture-hidden', { picture: true })).toBe(hidden);
    expect(await lossAfterSpan(1, 'picture-hidden', { latents: true })).not.toBe(hidden);
    const seen = await lossAfterSpan(1, undefined);
    expect(seen).not.toBe(hidden);
    expect(await lossAfterSpan(1, undefined, { picture: true })).not.toBe(seen);
  });

  it('is carried by the positions of latents from the second layer on', async () => {
    const hidden = await lossAfterSpan(2, 'picture-hidden');
    expect(await lossAfterSpan(2, 'picture-hidden', { picture: true })).not.toBe(hidden);
  });
});

describe('pickTables', () => {
  it('gives the worked example: size 4, places 2 and 0', () => {
    const { to, back } = pickTables(Int32Array.of(2, 0), 4);
    expect([...to]).toEqual([2, 0]);
    expect([...back]).toEqual([1, 2, 0, 2]);
  });
});
