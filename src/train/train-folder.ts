// Owns training a variant from files to a model folder: checks, preparation, run, files, provenance;
// `gapvl train` calls it.
import { resolve } from 'node:path';
import type { TrainRecipe } from '../config.ts';
import { readCapacity } from '../capacity/scores-file.ts';
import { readBasisOf } from '../context/fit-basis.ts';
import { loadPictures, prepareExamples } from '../context/prepared.ts';
import type { PreparedExample } from '../context/prepared.ts';
import { hashDataset, hashModel, versions } from '../context/provenance.ts';
import { loadDataset } from '../data/dataset.ts';
import type { Example, Split } from '../data/example.ts';
import { checkNumLatents } from '../data/format.ts';
import type { SessionOptions } from '../engine/session.ts';
import { ConfigError, DataError } from '../errors.ts';
import { readGapModel, writeLatentHead } from '../store/latent-head.ts';
import type { GapModel } from '../latent/model.ts';
import type { PcaBasis } from '../latent/pca.ts';
import { VARIANTS, VARIANT_NAMES, usesLatents } from '../latent/variants.ts';
import type { VariantName } from '../latent/variants.ts';
import { readModelBundle, writeTrainedModel } from '../store/model-folder.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { Weights } from '../model/weights.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { expectLatentTokens } from '../processor/tokens.ts';
import { trainVariant } from './gap.ts';
import { forgetState } from './loop.ts';
import type { StepRecord } from './loop.ts';
import { RecordFile } from './record-file.ts';
import { beginRun, expectFinished, finishRun } from '../context/run-folder.ts';
import type { RunDescription } from '../context/run-folder.ts';

/** What to train from and where to. */
export interface TrainFolderOptions extends SessionOptions {
  readonly variant: VariantName;
  readonly recipe: TrainRecipe;
  /** Model folder of the base. */
  readonly model: string;
  /** Dataset folder. */
  readonly data: string;
  /** Default `train`. */
  readonly split?: Split;
  /** Basis file; needed by every variant that writes latents (its variance scales their loss). */
  readonly basis?: string;
  /** File of capacity scores; needed by variants that assign by capacity. */
  readonly capacity?: string;
  /** Folder of the trained model. */
  readonly out: string;
  /** Told how many examples are encoded. */
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** A finished training run. */
export interface TrainedRun {
  readonly folder: string;
  readonly model: GapModel<Weights>;
  /** Rows with latent supervision, of all rows. */
  readonly numLatentRows: number;
  readonly numRows: number;
  /** False when the folder already held this run, finished. */
  readonly wasTrained: boolean;
}

/** Faults that need no file to be found; all at once. `more`: what else is wrong. */
export function checkRequest(options: TrainFolderOptions, more: readonly string[] = []): void {
  const { variant: name, capacity, basis, model, out } = options;
  const variant = VARIANTS[name];
  const faults = [...more];
  if (!variant.trained || variant.weightsOf) {
    const instead = variant.weightsOf ? `; train ${variant.weightsOf} and decode it with EMA` : '';
    faults.push(`variant ${name} is not trained itself${instead}`);
  }
  if (usesLatents(name) && basis === undefined) {
    faults.push(`variant ${name} needs a basis: run \`gapvl pca fit\`, then give --basis`);
  }
  if (variant.assignment === 'capacity' && capacity === undefined) {
    faults.push(
      `variant ${name} needs capacity scores: run \`gapvl capacity score\`, then give --capacity`,
    );
  }
  const { head } = variant;
  if (options.recipe.teacherInputs === 'projected' && usesLatents(name) && head !== 'pca') {
    faults.push(`teacherInputs=projected needs a PCA head, ${name} has one of kind ${head}`);
  }
  if (options.recipe.afterSpan !== undefined && !usesLatents(name)) {
    faults.push(`afterSpan=${options.recipe.afterSpan} needs a span, ${name} writes none`);
  }
  if (resolve(model) === resolve(out)) faults.push('the output folder is that of the base model');
  if (faults.length > 0) {
    throw new ConfigError({
      what: 'this training cannot be started',
      got: faults.join('; '),
      expected: `one of ${VARIANT_NAMES.filter((n) => VARIANTS[n].trained && !VARIANTS[n].weightsOf).join(', ')}, with what it is trained from`,
      fix: 'mend that and run the command again; nothing was written',
    });
  }
  checkNumLatents(options.recipe.numLatents);
}

/** Stands in for the basis of a variant that writes no latents; nothing is read but its width. */
function emptyBasis(dim: number): PcaBasis {
  return {
    kind: 'pca',
    dim,
    k: 1,
    mean_D: new Float32Array(dim),
    basis_DK: new Float32Array(dim),
    eigenvalues: new Float64Array(dim),
    totalVariance: 1,
    explained: 0,
    count: 0,
  };
}

function checkBasisKind(name: VariantName, basis: PcaBasis, path: string): void {
  if (basis.kind === 'pca' || basis.kind === VARIANTS[name].basis) return;
  throw new ConfigError({
    what: `${path} is not the basis of variant ${name}`,
    got: `a control basis of kind ${basis.kind}`,
    expected: `kind ${VARIANTS[name].basis ?? 'pca'}`,
    fix: `train gap-${basis.kind === 'random' ? 'random-basis' : 'no-mean'} with it, or fit one of kind pca`,
  });
}

/** Ids with latent supervision, from a scores file that is about this model and these examples. */
async function readLatentIds(
  path: string,
  examples: readonly Example[],
  hashes: { readonly model: string; readonly data: string },
): Promise<ReadonlySet<string>> {
  const { header, records } = await readCapacity(path);
  for (const [name, wanted] of Object.entries(hashes)) {
    const found = header[name];
    if (found === wanted) continue;
    throw new DataError({
      what: `the capacity scores in ${path} are of another ${name === 'data' ? 'dataset' : 'model'}`,
      got: String(found),
      expected: wanted,
      fix: 'score this base on these examples: `gapvl capacity score`',
    });
  }
  const scored = new Set(records.map(({ id }) => id));
  const missing = examples.filter(({ id }) => !scored.has(id));
  if (missing.length > 0) {
    throw new DataError({
      what: `${path} lacks scores of ${missing.length} examples`,
      got: `${records.length} scores; the first that is missing is ${missing[0]?.id ?? ''}`,
      expected: `${examples.length} scores`,
      fix: 'run the same `gapvl capacity score` again: it goes on where it stopped',
    });
  }
  return new Set(records.filter((r) => r.assignment === 'latent').map(({ id }) => id));
}

/** The examples with their pictures encoded, the auxiliary ones where latents need them. */
export async function prepare(
  bundle: ModelBundle,
  encoder: Pick<PictureEncoder, 'encode'>,
  examples: readonly Example[],
  options: TrainFolderOptions,
): Promise<PreparedExample[]> {
  const withLatents = usesLatents(options.variant);
  return await prepareExamples(bundle, encoder, examples, {
    load: (example) => loadPictures(options.data, example, withLatents ? 'all' : 'query'),
    ...(withLatents ? { numLatents: options.recipe.numLatents } : {}),
    ...(options.progress ? { progress: options.progress } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}

/** What a training is made from, read and found to belong together; pictures are still files. */
export interface TrainingInputs {
  readonly examples: readonly Example[];
  readonly basis: PcaBasis;
  readonly latentIds?: ReadonlySet<string>;
  /** Rows with latent supervision. */
  readonly numLatentRows: number;
  readonly description: RunDescription;
}

/** Reads what a training is made from beside the weights. */
export async function readInputs(
  options: TrainFolderOptions,
  bundle: ModelBundle,
  more: RunDescription = {},
): Promise<TrainingInputs> {
  const { variant, recipe } = options;
  const hashes = { model: await hashModel(options.model), data: await hashDataset(options.data) };
  if (usesLatents(variant)) expectLatentTokens(bundle.sequence, options.model);
  const hiddenSize = bundle.checkpoint.config.text.hiddenSize;
  const examples = await loadDataset(options.data, { split: options.split ?? 'train' });
  const owner = { model: hashes.model, hiddenSize, numLatents: recipe.numLatents };
  const stored = options.basis === undefined ? undefined : await readBasisOf(options.basis, owner);
  if (stored && options.basis !== undefined) checkBasisKind(variant, stored.basis, options.basis);
  const latentIds =
    VARIANTS[variant].assignment === 'capacity' && options.capacity !== undefined
      ? await readLatentIds(options.capacity, examples, hashes)
      : undefined;
  const description: RunDescription = {
    format: 'gapvl.run.1',
    kind: 'train',
    variant,
    recipe,
    split: options.split ?? 'train',
    ...more,
    inputs: {
      ...hashes,
      ...(stored ? { basis: Object.fromEntries(stored.provenance) } : {}),
      ...(latentIds ? { latentIds: latentIds.size } : {}),
    },
    versions: await versions(),
  };
  const isLatent = (example: Example): boolean =>
    example.auxiliary !== undefined &&
    (VARIANTS[variant].assignment === 'all' || latentIds?.has(example.id) === true);
  return {
    examples,
    basis: stored?.basis ?? emptyBasis(hiddenSize),
    ...(latentIds ? { latentIds } : {}),
    numLatentRows: usesLatents(variant) ? examples.filter(isLatent).length : 0,
    description,
  };
}

/**
 * Trains a variant and writes a Hugging Face folder with the latent head, `training.jsonl` (a line
 * a step) and `run.json` (what it was made from); yields every step, those before a resume
 * included. Aborting saves the state; the same call goes on and gives the same bytes. A folder that
 * already holds this run, finished, is read and nothing is trained.
 * @throws ConfigError for a variant, recipe or folder that cannot be used; DataError and
 * CheckpointError for inputs that do not belong together; RuntimeError when training diverges.
 */
export async function* trainFolder(
  options: TrainFolderOptions,
): AsyncGenerator<StepRecord, TrainedRun> {
  checkRequest(options);
  const { variant, recipe, out } = options;
  await expectFinished(options.model);
  const bundle = await readModelBundle(options.model);
  const { examples, basis, latentIds, numLatentRows, description } = await readInputs(
    options,
    bundle,
  );
  const result = { folder: out, numLatentRows, numRows: examples.length };
  if ((await beginRun(out, description)) === 'finished') {
    return { ...result, model: await readGapModel(out), wasTrained: false };
  }
  const encode = async (): Promise<PreparedExample[]> => {
    await using encoder = new PictureEncoder(bundle, options);
    return await prepare(bundle, encoder, examples, options);
  };
  const inputs = {
    bundle,
    examples: await encode(),
    basis,
    ...(latentIds ? { latentIds } : {}),
  };
  let trained: GapModel<Weights> | undefined;
  const run = async function* (): AsyncGenerator<StepRecord, void> {
    trained = yield* trainVariant(variant, recipe, inputs, { ...options, folder: out });
  };
  {
    await using file = await RecordFile.create(out);
    for await (const record of run()) {
      await file.append(record);
      yield record;
    }
  }
  const model = trained as unknown as GapModel<Weights>;
  await writeResult(out, model, description);
  return { ...result, model, wasTrained: true };
}

async function writeResult(
  folder: string,
  model: GapModel<Weights>,
  description: RunDescription,
): Promise<void> {
  const provenance = new Map([['run', JSON.stringify(description)]]);
  const { weights } = model.bundle.checkpoint;
  await writeTrainedModel(model.bundle, folder, weights, provenance);
  if (model.settings) await writeLatentHead(folder, model.head, model.settings, provenance);
  await finishRun(folder, description);
  await forgetState(folder);
}
