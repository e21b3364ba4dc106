// Holds head-only training by layer against the whole objective; resume, caching, refusals.
// Axes: L latents, D hidden.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { TRAIN_DEFAULTS } from '../../../src/config.ts';
import type { TrainRecipe } from '../../../src/config.ts';
import type { PreparedExample } from '../../../src/context/prepared.ts';
import type { Example } from '../../../src/data/example.ts';
import { openModelFolder } from '../../../src/engine/safetensors.ts';
import type { TensorReader } from '../../../src/engine/safetensors.ts';
import { Session, countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { ConfigError } from '../../../src/errors.ts';
import { headSpecs, initialiseHead } from '../../../src/latent/head.ts';
import { makeHead } from '../../../src/latent/model.ts';
import type { GapModel } from '../../../src/latent/model.ts';
import { VARIANTS, VARIANT_NAMES } from '../../../src/latent/variants.ts';
import type { VariantName } from '../../../src/latent/variants.ts';
import { positionConfig } from '../../../src/model/bundle.ts';
import { FrozenBackbone } from '../../../src/model/frozen-backbone.ts';
import { decoderSpecs } from '../../../src/model/parameters.ts';
import { PictureEncoder } from '../../../src/model/picture-encoder.ts';
import { Weights } from '../../../src/model/weights.ts';
import { batchRows } from '../../../src/processor/sequence.ts';
import { Rng } from '../../../src/rng.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { joinRows } from '../../../src/train/gap-batch.ts';
import { latentPositionsOf, trainingRows, variantHead } from '../../../src/train/gap.ts';
import { FINAL_NORM, encodeHeadObjective, headFeeds } from '../../../src/train/head-objective.ts';
import { trainHead } from '../../../src/train/head-only.ts';
import type { HeadInputs, HeadOptions } from '../../../src/train/head-only.ts';
import { latentStates } from '../../../src/train/head-states.ts';
import type { LatentRow, StatesSource } from '../../../src/train/head-states.ts';
import { STATE_FILE } from '../../../src/train/loop.ts';
import type { StepRecord } from '../../../src/train/loop.ts';
import { encodeObjective } from '../../../src/train/objective.ts';
import { latentFeeds, textFeeds } from '../../../src/train/text-batch.ts';
import { MINI_LATENTS, SESSION, miniBasis } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, miniBundle, randomRows } from '../../helpers/mini-model.ts';
import { miniExamples } from '../../helpers/mini-rows.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const NUM_EXAMPLES = 20;
const WIDTH = 16;
const RECIPE: TrainRecipe = {
  ...TRAIN_DEFAULTS,
  steps: 6,
  batchSize: 4,
  numLatents: MINI_LATENTS,
  teacherInputs: 'plain',
  adapterSize: 4,
  headLearningRate: 1e-2,
};
const BUNDLE = miniBundle({ layers: 2 });
const EXAMPLES = miniExamples(BUNDLE, NUM_EXAMPLES, new Rng('examples'));
const LATENT_IDS = new Set(EXAMPLES.map(({ example }) => example.id).filter((_, i) => i % 2 === 1));
const BASIS = await miniBasis(WIDTH);
const WITH_HEAD = VARIANT_NAMES.filter((name) => {
  const { trained, head, weightsOf } = VARIANTS[name];
  return trained && head !== 'output' && weightsOf === undefined;
});

/** Stands for encoding pictures, which the mini examples come with. */
function prepare(examples: readonly Example[]): Promise<PreparedExample[]> {
  return Promise.resolve(EXAMPLES.filter(({ example }) => examples.includes(example)));
}

/** Gives the bundle's weights on the disk, opened. */
async function withBackbone<T>(
  use: (backbone: FrozenBackbone, reads: string[], folder: string) => Promise<T>,
): Promise<T> {
  return inTemporaryFolder(async (folder) => {
    const { configJson, weights } = BUNDLE.checkpoint;
    await writeCheckpoint(join(folder, 'base'), configJson, weights);
    await using reader = await openModelFolder(join(folder, 'base'));
    const reads: string[] = [];
    const told: TensorReader = {
      infos: reader.infos,
      paths: reader.paths,
      metadata: reader.metadata,
      pieces: (name) => {
        reads.push(name);
        return reader.pieces(name);
      },
      read: (name) => reader.read(name),
      readRows: (name, first, count) => reader.readRows(name, first, count),
      place: (name) => reader.place(name),
      readInto: (name, target) => reader.readInto(name, target),
      readAll: () => reader.readAll(),
      close: () => reader.close(),
      [Symbol.asyncDispose]: () => reader.close(),
    };
    return await use(new FrozenBackbone(BUNDLE, told, SESSION), reads, folder);
  });
}

/** All rows that latentStates can give. */
async function readAll(source: StatesSource, examples: readonly Example[]): Promise<LatentRow[]> {
  const readers = await latentStates(source, examples);
  return Promise.all(readers.map((read) => read()));
}

interface Outcome {
  readonly records: StepRecord[];
  readonly model?: GapModel;
  readonly error?: unknown;
}

async function train(
  backbone: FrozenBackbone,
  name: VariantName,
  recipe: Partial<TrainRecipe> = {},
  options: HeadOptions & { readonly stopAt?: number; readonly source?: string } = {},
): Promise<Outcome> {
  const { stopAt, source = 'mini', ...rest } = options;
  const stop = new AbortController();
  const inputs: HeadInputs = {
    ...{ bundle: BUNDLE, backbone, latentIds: LATENT_IDS },
    examples: EXAMPLES.map(({ example }) => example),
    prepare,
    ...{ basis: BASIS, source },
  };
  const own = stopAt === undefined ? rest : { ...rest, signal: stop.signal };
  const run = trainHead(name, { ...RECIPE, ...recipe }, inputs, { ...SESSION, ...own });
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

function result({ records, model, error }: Outcome): unknown {
  if (!model) throw new Error('the run has no result', { cause: error });
  return { records, head: [...model.head.weights.flat], settings: model.settings };
}

/** Loss and gradients of the head, by name. */
async function runGraph(
  session: Session,
  tensors: Iterable<readonly [string, Tensor]>,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Record<string, Tensor>> {
  for (const [name, value] of tensors) {
    if (session.inputNames.includes(name)) session.bindInput(name, value);
  }
  return await session.run(feeds);
}

describe('head-only training', () => {
  const before = countLiveSessions();
  afterEach(() => {
    expect(countLiveSessions()).toBe(before);
  });

  it.each(WITH_HEAD)('has the loss and gradients of the whole objective: %s', async (name) => {
    await withBackbone(async (backbone) => {
      const recipe: TrainRecipe = { ...RECIPE, latentPositions: 'grid' };
      const { config, weights } = BUNDLE.checkpoint;
      const spec = variantHead(name, recipe, BASIS);
      const own = new Weights(headSpecs(spec));
      const rng = new Rng('head');
      initialiseHead(spec, own, rng, BASIS);
      own.flat.forEach((x, i) => (own.flat[i] = x + 0.2 * rng.normal()));
      const head = makeHead(spec, own, spec.kind === 'pca' ? BASIS : undefined);
      const positions = latentPositionsOf(recipe);
      const rows = trainingRows(name, recipe, {
        ...{ bundle: BUNDLE, examples: EXAMPLES, latentIds: LATENT_IDS, basis: BASIS },
      })
        .filter(({ row }) => row.spans.length > 0)
        .slice(0, 3);
      expect(new Set(rows.map(({ row }) => row.inputIds.length)).size).toBeGreaterThan(1);
      const size = MINI_LATENTS * WIDTH;
      // Inputs that differ from the targets, so that one cannot stand for the other.
      const inputs_LD = randomRows(rng, rows.length * size);
      const targets_LD = joinRows(rows.map(({ item }) => item.auxiliaryRows_KD ?? inputs_LD));
      const pictures_MD = joinRows(rows.map(({ item }) => item.pictureRows_MD));

      const batch = batchRows(
        rows.map(({ row }) => row),
        { padId: BUNDLE.padId, side: 'right', multiple: 8 },
      );
      const grids = rows.map(({ item }) => item.grid);
      await using whole = await Session.create(
        encodeObjective(config, {
          pictures: { kind: 'rows' },
          latents: { head: spec, loss: VARIANTS[name].loss, padId: BUNDLE.sequence.latentPad },
          trained: own.specs,
          parameters: [...decoderSpecs(config.text), ...own.specs],
        }),
        SESSION,
      );
      const expected = await runGraph(whole, [...weights.byName, ...own.byName, ...head.fixed], {
        ...textFeeds(batch, grids, positionConfig(BUNDLE, positions)),
        ...latentFeeds(batch, inputs_LD, targets_LD, 0.7),
        picture_rows: tensor('f32', [pictures_MD.length / WIDTH, WIDTH], pictures_MD),
      });

      const states = await readAll(
        {
          ...{ bundle: BUNDLE, backbone, positions, fingerprint: '' },
          rows: () => Promise.resolve(rows),
          inputs: (row) => {
            const at = rows.indexOf(row) * size;
            return inputs_LD.subarray(at, at + size);
          },
        },
        rows.map(({ item }) => item.example),
      );
      expect(joinRows(states.map((row) => row.targets_LD))).toEqual(targets_LD);
      await using alone = await Session.create(
        encodeHeadObjective(config.text, spec, VARIANTS[name].loss),
        SESSION,
      );
      const norm: readonly [string, Tensor] = [FINAL_NORM, await backbone.finalNorm()];
      const found = await runGraph(
        alone,
        [...own.byName, ...head.fixed, norm],
        headFeeds(joinRows(states.map((row) => row.states_LD)), targets_LD, WIDTH, 0.7),
      );

      const names = ['latent_loss', ...own.specs.map((s) => `gradient.${s.name}`)];
      expect(Object.keys(found).sort()).toEqual(['loss', ...names].sort());
      for (const output of names) {
        const [a, b] = [found[output]?.data, expected[output]?.data] as Float32Array[];
        expect(
          b?.some((x) => x !== 0),
          output,
        ).toBe(true);
        expect(relativeError(a ?? [], b ?? []), output).toBeLessThan(1e-5);
      }
    });
  });

  it.each(WITH_HEAD)('brings the latent loss down: %s', async (name) => {
    await withBackbone(async (backbone) => {
      const { records, model } = await train(backbone, name, { steps: 40, batchSize: 5 });
      const mean = (part: readonly StepRecord[]): number =>
        part.reduce((sum, { latentLoss = NaN }) => sum + latentLoss, 0) / part.length;
      expect(mean(records.slice(-5))).toBeLessThan(0.9 * mean(records.slice(0, 5)));
      expect(records.every((record) => !('languageLoss' in record))).toBe(true);
      expect(model?.bundle).toBe(BUNDLE);
      expect(model?.settings).toEqual({
        ...{ variant: name, numLatents: MINI_LATENTS, teacherInputs: 'plain' },
        ...{ positions: { kind: 'sequential' }, head: model?.head.spec },
      });
    });
  });

  it('goes on bit for bit after a stop, and reads the backbone once a chunk of rows', async () => {
    await withBackbone(async (backbone, reads, base) => {
      const layers = (): number => reads.filter((name) => /layers\.1\.mlp\.up/.test(name)).length;
      const whole = await train(backbone, 'lh-pca');
      expect(whole.records.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
      // Twenty rows in two chunks.
      expect(layers()).toBe(2);
      const folder = join(base, 'out');
      for (const stopAt of [2, 4]) {
        const stopped = await train(backbone, 'lh-pca', {}, { folder, stopAt });
        expect(String(stopped.error)).toBe('Error: stop');
        expect(stopped.records).toEqual(whole.records.slice(0, stopAt));
      }
      expect(layers()).toBe(4);
      expect((await readdir(folder)).sort()).toEqual([
        ...[STATE_FILE, 'states-00000.safetensors', 'states-00001.safetensors'],
      ]);
      expect(result(await train(backbone, 'lh-pca', {}, { folder }))).toEqual(result(whole));
      expect(layers()).toBe(4);
    });
  });

  it('goes on with the states of a run that was stopped between chunks', async () => {
    await withBackbone(async (backbone, reads, base) => {
      const folder = join(base, 'out');
      const stop = new AbortController();
      const stopped = await train(
        backbone,
        'lh',
        {},
        {
          folder,
          signal: stop.signal,
          progress: () => {
            stop.abort(new Error('stop'));
          },
        },
      );
      expect(String(stopped.error)).toBe('Error: stop');
      expect(await readdir(folder)).toEqual(['states-00000.safetensors']);
      reads.splice(0);
      const done: number[] = [];
      const rest = await train(backbone, 'lh', {}, { folder, progress: (n) => void done.push(n) });
      expect(done).toEqual([16, 20]);
      expect(reads.filter((name) => name.includes('layers.1.mlp.up'))).toHaveLength(1);
      expect(result(rest)).toEqual(result(await train(backbone, 'lh')));
    });
  });

  it('makes states anew for another model, and refuses the saved state of another run', async () => {
    await withBackbone(async (backbone, reads, base) => {
      const folder = join(base, 'out');
      await train(backbone, 'lh', {}, { folder, stopAt: 1 });
      reads.splice(0);
      const other = await train(backbone, 'lh', {}, { folder, source: 'another' });
      expect(other.error).toBeInstanceOf(ConfigError);
      expect(reads.length).toBeGreaterThan(0);
    });
  });

  it('gives a row the same states whatever rows it is computed with', async () => {
    await withBackbone(async (backbone) => {
      const source: StatesSource = {
        ...{ bundle: BUNDLE, backbone, positions: { kind: 'sequential' }, fingerprint: '' },
        rows: async (chunk) =>
          trainingRows('lh', RECIPE, {
            ...{ bundle: BUNDLE, examples: await prepare(chunk), basis: BASIS },
          }),
        inputs: ({ item }) => item.auxiliaryRows_KD ?? new Float32Array(0),
      };
      const examples = EXAMPLES.slice(0, 3).map(({ example }) => example);
      const together = await readAll(source, examples);
      const alone: LatentRow[][] = [];
      for (const example of examples) alone.push(await readAll(source, [example]));
      expect(alone.flat()).toEqual(together);
      expect(together.every((row) => row.states_LD.length === MINI_LATENTS * WIDTH)).toBe(true);
    });
  });

  it('refuses scheduled sampling, a plane that is not there, and variants without a head', async () => {
    await withBackbone(async (backbone, reads) => {
      const refused = async (name: VariantName, recipe: Partial<TrainRecipe>): Promise<string> => {
        const { error } = await train(backbone, name, recipe);
        expect(error).toBeInstanceOf(ConfigError);
        return String(error);
      };
      expect(await refused('gap', { teacherInputs: 'scheduled' })).toContain(
        'set teacherInputs=plain or projected',
      );
      expect(await refused('lh', { teacherInputs: 'projected' })).toContain('PCA head');
      for (const name of ['dense-caption', 'output-mse', 'base'] as const) {
        expect(await refused(name, {})).toContain('no head');
      }
      expect(reads).toEqual([]);
    });
  });

  it('trains on projected inputs, which are other inputs', async () => {
    await withBackbone(async (backbone) => {
      const [plain, projected] = [
        await train(backbone, 'gap'),
        await train(backbone, 'gap', { teacherInputs: 'projected' }),
      ];
      expect(projected.model?.settings?.teacherInputs).toBe('projected');
      expect(projected.records[0]?.latentLoss).not.toBe(plain.records[0]?.latentLoss);
    });
  });

  it('encodes pictures as the compiled tower does, whatever their sizes', async () => {
    await withBackbone(async (backbone) => {
      const rng = new Rng('pictures');
      const sizes = [...Array.from({ length: 17 }, () => [16, 16]), [8, 24], [24, 16]];
      const pictures = sizes.map(([width = 0, height = 0]) => {
        const data = Uint8Array.from({ length: width * height * 3 }, () => rng.int(256));
        return { width, height, data };
      });
      await using encoder = new PictureEncoder(BUNDLE, SESSION);
      const [whole, own] = [await encoder.encode(pictures), await backbone.encode(pictures)];
      expect(own).toHaveLength((17 * 4 + 3 + 6) * WIDTH);
      expect(relativeError(own, whole)).toBeLessThan(1e-6);
    });
  });
});
