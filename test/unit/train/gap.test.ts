// Tests training of every variant on mini models: resume, rows, scales, heads, refusals.
// Axes: K latents of a span, D hidden.
import { readdir } from 'node:fs/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { TRAIN_DEFAULTS } from '../../../src/config.ts';
import type { TrainRecipe } from '../../../src/config.ts';
import type { PreparedExample } from '../../../src/context/prepared.ts';
import { ConfigError, DataError } from '../../../src/errors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import type { Weights } from '../../../src/model/weights.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { VARIANTS, VARIANT_NAMES, usesLatents } from '../../../src/latent/variants.ts';
import type { VariantName } from '../../../src/latent/variants.ts';
import { Rng } from '../../../src/rng.ts';
import { trainVariant, variantHead } from '../../../src/train/gap.ts';
import type { TrainInputs, TrainOptions } from '../../../src/train/gap.ts';
import { STATE_FILE } from '../../../src/train/loop.ts';
import type { StepRecord } from '../../../src/train/loop.ts';
import { MINI_LATENTS, SESSION, miniBasis } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, miniBundle } from '../../helpers/mini-model.ts';
import { miniExamples } from '../../helpers/mini-rows.ts';

const NUM_EXAMPLES = 10;
/** Three rows a step of ten examples: the second epoch begins inside the fourth step. */
const RECIPE: TrainRecipe = {
  ...TRAIN_DEFAULTS,
  steps: 5,
  batchSize: 3,
  numLatents: MINI_LATENTS,
  adapterSize: 4,
  headLearningRate: 1e-2,
  optimizer: { ...TRAIN_DEFAULTS.optimizer, learningRate: 1e-2 },
};
const TRAINED = VARIANT_NAMES.filter((n) => VARIANTS[n].trained && !VARIANTS[n].weightsOf);

const BUNDLE = miniBundle({ layers: 1 });
const EXAMPLES = miniExamples(BUNDLE, NUM_EXAMPLES, new Rng('examples'));
const LATENT_IDS = new Set(['example-1', 'example-4', 'example-5', 'example-8']);
const BASIS = await miniBasis(BUNDLE.checkpoint.config.text.hiddenSize);
const INPUTS: TrainInputs = {
  bundle: BUNDLE,
  examples: EXAMPLES,
  latentIds: LATENT_IDS,
  basis: BASIS,
};

interface Outcome {
  readonly records: StepRecord[];
  readonly model?: GapModel<Weights>;
  readonly error?: unknown;
}

async function train(
  name: VariantName,
  recipe: Partial<TrainRecipe> = {},
  inputs: Partial<TrainInputs> = {},
  options: TrainOptions & { readonly stopAt?: number } = {},
): Promise<Outcome> {
  const { stopAt, ...rest } = options;
  const stop = new AbortController();
  const own = stopAt === undefined ? rest : { ...rest, signal: stop.signal };
  const run = trainVariant(
    name,
    { ...RECIPE, ...recipe },
    { ...INPUTS, ...inputs },
    { ...SESSION, ...own },
  );
  const records: StepRecord[] = [];
  try {
    for (;;) {
      const next = await run.next();
      if (next.done === true) return { records, model: next.value };
      records.push(next.value);
      if (next.value.step === stopAt) stop.abort(new Error('stop'));
    }
  } catch (error) {
    return { records, error };
  }
}

/** Everything a run leaves, as plain numbers. */
function result({ records, model, error }: Outcome): unknown {
  if (!model) throw new Error('the run has no result', { cause: error });
  const { bundle, head, settings } = model;
  const weights = [...bundle.checkpoint.weights.flat];
  return { records, weights, head: [...head.weights.flat], basis: head.basis, settings };
}

describe('training of variants', () => {
  const before = countLiveSessions();
  afterEach(() => {
    expect(countLiveSessions()).toBe(before);
  });

  it.each(TRAINED)('goes on bit for bit after a stop: %s, scheduled sampling', async (name) => {
    const whole = await train(name);
    expect(whole.records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
    await inTemporaryFolder(async (folder) => {
      for (const stopAt of [2, 4]) {
        const stopped = await train(name, {}, {}, { folder, stopAt });
        expect(String(stopped.error)).toBe('Error: stop');
        expect(stopped.records).toEqual(whole.records.slice(0, stopAt));
      }
      expect(await readdir(folder)).toEqual([STATE_FILE]);
      expect(result(await train(name, {}, {}, { folder }))).toEqual(result(whole));
    });
  });

  it.each(['plain', 'projected'] as const)(
    'goes on bit for bit with %s teacher inputs',
    async (teacherInputs) => {
      const whole = await train('gap', { teacherInputs });
      await inTemporaryFolder(async (folder) => {
        await train('gap', { teacherInputs }, {}, { folder, stopAt: 3 });
        expect(result(await train('gap', { teacherInputs }, {}, { folder }))).toEqual(
          result(whole),
        );
      });
      expect(result(await train('gap', { teacherInputs }))).toEqual(result(whole));
    },
  );

  it('goes on bit for bit with the picture hidden after spans, which the model then says', async () => {
    const recipe = { afterSpan: 'picture-hidden' } as const;
    const whole = await train('lh-pca', recipe);
    expect(whole.model?.settings?.afterSpan).toBe('picture-hidden');
    await inTemporaryFolder(async (folder) => {
      await train('lh-pca', recipe, {}, { folder, stopAt: 3 });
      expect((await train('lh-pca', {}, {}, { folder })).error).toBeInstanceOf(ConfigError);
      expect(result(await train('lh-pca', recipe, {}, { folder }))).toEqual(result(whole));
    });
    const plain = await train('lh-pca');
    expect(Object.keys(plain.model?.settings ?? {})).not.toContain('afterSpan');
    expect(plain.records[0]?.languageLoss).not.toBe(whole.records[0]?.languageLoss);
  });

  it('differs by seed, by teacher inputs and by positions', async () => {
    const runs = [
      await train('lh-pca'),
      await train('lh-pca', { seed: 2 }),
      await train('lh-pca', { teacherInputs: 'plain' }),
      await train('lh-pca', { teacherInputs: 'projected' }),
      await train('lh-pca', { latentPositions: 'grid' }),
    ];
    const weights = runs.map(({ model }) => model?.bundle.checkpoint.weights.flat.join());
    expect(new Set(weights).size).toBe(5);
    expect(runs[4]?.model?.settings?.positions).toEqual({ kind: 'grid', numLatents: MINI_LATENTS });
  });

  it('begins scheduled sampling as plain teacher forcing', async () => {
    const [plain, scheduled] = [
      await train('lh-pca', { teacherInputs: 'plain' }),
      await train('lh-pca'),
    ];
    expect(scheduled.records[0]).toEqual(plain.records[0]);
    // At half time every teacher input is the model's own.
    expect(scheduled.records[3]?.loss).not.toBe(plain.records[3]?.loss);
  });

  it('trains the decoder and the head, and neither the vision tower nor the base it came from', async () => {
    const base = BUNDLE.checkpoint.weights.flat.slice();
    const { model } = await train('gap');
    expect(BUNDLE.checkpoint.weights.flat).toEqual(base);
    for (const [name, { data }] of model?.bundle.checkpoint.weights.byName ?? []) {
      const same = data.every((x, i) => x === BUNDLE.checkpoint.weights.get(name).data[i]);
      expect(same, name).toBe(name.startsWith('visual.'));
    }
    for (const [name, { data }] of model?.head.weights.byName ?? []) {
      expect(
        data.some((x) => x !== 0),
        name,
      ).toBe(true);
    }
  });

  it('gives each variant its head, its basis and its settings', async () => {
    const bases: Readonly<Partial<Record<VariantName, string>>> = {
      ...{ 'lh-pca': 'pca', gap: 'pca', 'gap-random-basis': 'random', 'gap-no-mean': 'no-mean' },
    };
    for (const name of TRAINED) {
      const { model } = await train(name, { steps: 1, teacherInputs: 'plain' });
      expect(model?.head.spec, name).toEqual(variantHead(name, RECIPE, BASIS));
      expect(model?.head.spec.kind).toBe(VARIANTS[name].head);
      expect(model?.head.basis?.kind, name).toBe(bases[name]);
      expect([...(model?.head.fixed.keys() ?? [])].length).toBe(bases[name] ? 2 : 0);
      expect(model?.settings).toMatchObject({
        variant: name,
        numLatents: MINI_LATENTS,
        teacherInputs: 'plain',
      });
    }
  });
});

describe('who gets latent supervision', () => {
  /** One example a step, one epoch: how many steps had latents. */
  const latentSteps = async (
    name: VariantName,
    inputs: Partial<TrainInputs> = {},
  ): Promise<number> => {
    const recipe = { batchSize: 1, steps: NUM_EXAMPLES, teacherInputs: 'plain' as const };
    const { records, error } = await train(name, recipe, inputs);
    expect(error).toBeUndefined();
    expect(records).toHaveLength(NUM_EXAMPLES);
    return records.filter((record) => record.latentLoss !== undefined).length;
  };

  it('is everybody for LH, the assigned for GAP, nobody for the dense caption', async () => {
    expect(await latentSteps('lh')).toBe(NUM_EXAMPLES);
    expect(await latentSteps('gap')).toBe(LATENT_IDS.size);
    expect(await latentSteps('dense-caption')).toBe(0);
  });

  it('is nobody without an auxiliary picture', async () => {
    const examples = EXAMPLES.map(({ auxiliaryRows_KD, ...rest }, i): PreparedExample =>
      i < 3 && auxiliaryRows_KD ? { ...rest, auxiliaryRows_KD } : rest,
    );
    expect(await latentSteps('lh', { examples })).toBe(3);
    expect(await latentSteps('gap', { examples })).toBe(1);
  });

  it('makes of a text-only example what the dense caption makes of it', async () => {
    // One example a step: up to the first latent one GAP and the dense caption are one run.
    const recipe = { batchSize: 1, steps: NUM_EXAMPLES, teacherInputs: 'plain' as const };
    const latentIds = new Set(
      EXAMPLES.map(({ example }) => example.id).filter((id) => !LATENT_IDS.has(id)),
    );
    const caption = await train('dense-caption', recipe);
    const gap = await train('gap', recipe, { latentIds });
    const first = gap.records.findIndex((record) => record.latentLoss !== undefined);
    expect(first).toBeGreaterThan(0);
    expect(gap.records.slice(0, first)).toEqual(caption.records.slice(0, first));
    expect(gap.records[first]?.languageLoss).not.toBe(caption.records[first]?.languageLoss);
  });

  it('needs scores, rows and at least one span', async () => {
    const { latentIds: _ids, ...unscored } = INPUTS;
    const refused = async (run: Promise<Outcome>): Promise<unknown> => (await run).error;
    const generator = trainVariant('gap', RECIPE, unscored, SESSION);
    await expect(generator.next()).rejects.toThrow(ConfigError);
    expect(await refused(train('lh', {}, { examples: [] }))).toBeInstanceOf(DataError);
    expect(await refused(train('gap', {}, { latentIds: new Set(['nobody']) }))).toBeInstanceOf(
      DataError,
    );
    expect(await refused(train('gap', { numLatents: 9 }))).toBeInstanceOf(DataError);
  });
});

describe('the weight of the latent loss', () => {
  it.each([
    ['none', 1],
    ['width', BASIS.dim],
    ['variance', BASIS.totalVariance],
  ] as const)('is lambda over the scale: %s', async (latentLossScale, scale) => {
    const { records } = await train('lh-pca', {
      steps: 2,
      latentWeight: 3,
      latentLossScale,
      teacherInputs: 'plain',
    });
    for (const { loss, languageLoss = NaN, latentLoss = NaN } of records) {
      expect((loss - languageLoss) / latentLoss / (3 / scale)).toBeCloseTo(1, 4);
    }
  });

  it('of cosines is lambda alone', async () => {
    const { records } = await train('output-cosine', {
      steps: 1,
      latentWeight: 3,
      latentLossScale: 'variance',
    });
    const { loss = NaN, languageLoss = NaN, latentLoss = NaN } = records[0] ?? {};
    expect((loss - languageLoss) / latentLoss).toBeCloseTo(3, 4);
  });

  it('at zero leaves the head alone but for weight decay', async () => {
    const [off, on] = [
      await train('lh', { latentWeight: 0, steps: 2 }),
      await train('lh', { steps: 2 }),
    ];
    const projection = (run: Outcome): number =>
      run.model?.head.weights.get('latent_head.projection.weight').data[1] ?? NaN;
    expect(projection(off)).toBe(0);
    expect(projection(on)).not.toBe(0);
  });
});

describe('what is not trained', () => {
  it.each(VARIANT_NAMES.filter((name) => !TRAINED.includes(name)))('refuses %s', async (name) => {
    const { error } = await train(name);
    expect(error).toBeInstanceOf(ConfigError);
    const { weightsOf } = VARIANTS[name];
    if (weightsOf) expect(String(error)).toContain(`train ${weightsOf}`);
  });

  it('refuses projected teacher inputs without a plane to project onto, latents given', async () => {
    for (const name of TRAINED) {
      const { error } = await train(name, { teacherInputs: 'projected', steps: 1 });
      const ignored = usesLatents(name) && VARIANTS[name].head !== 'pca';
      if (ignored) expect(error, name).toBeInstanceOf(ConfigError);
      else expect(error, name).toBeUndefined();
    }
  });

  it('refuses to hide anything after spans of a variant without any', async () => {
    const { error } = await train('dense-caption', { afterSpan: 'picture-hidden' });
    expect(String(error)).toContain('writes no span');
  });

  it('refuses a folder that holds another run', async () => {
    await inTemporaryFolder(async (folder) => {
      await train('gap', {}, {}, { folder, stopAt: 1 });
      expect((await train('gap', { seed: 9 }, {}, { folder })).error).toBeInstanceOf(ConfigError);
      expect((await train('lh', {}, {}, { folder })).error).toBeInstanceOf(ConfigError);
    });
  });
});
