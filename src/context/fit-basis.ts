// Owns fitting a PCA basis on the auxiliary pictures of a dataset, in constant memory and resumable.
// Axes: K latents of a span, D hidden.
import { rm } from 'node:fs/promises';
import { readDataset, readPicture } from '../data/dataset.ts';
import type { Example, Split } from '../data/example.ts';
import { checkNumLatents } from '../data/format.ts';
import { makeFolderOf, otherRun, differingFields } from '../data/journal.ts';
import { systemCode } from '../engine/atomic-file.ts';
import { readSafetensors, writeSafetensors } from '../engine/safetensors.ts';
import type { TensorFile } from '../engine/safetensors.ts';
import type { SessionOptions } from '../engine/session.ts';
import { CheckpointError, DataError } from '../errors.ts';
import { noMeanBasis, randomBasis } from '../latent/basis-controls.ts';
import { decodeBasis, encodeBasis, expectBasisWidth } from '../latent/basis-file.ts';
import type { StoredBasis } from '../latent/basis-file.ts';
import { openGram } from '../latent/gram.ts';
import { MomentAccumulator, type Moments } from '../latent/moments.ts';
import { fitPca } from '../latent/pca.ts';
import type { BasisKind, BasisSize, PcaBasis } from '../latent/pca.ts';
import { openModelBundle } from '../store/model-folder.ts';
import type { ModelBundle } from '../model/bundle.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { decodePicture } from '../processor/picture.ts';
import { Rng } from '../rng.ts';
import { fitAuxiliary } from './prepared.ts';
import { hashDataset, hashModel, versions } from './provenance.ts';
import { expectFinished } from './run-folder.ts';

/** Pictures encoded together; ours. */
const CHUNK = 64;
/** Pictures between two saves of the sums; ours: a few seconds of a large model. */
const SAVE_EVERY = 2048;

/** What to fit a basis on and how. */
export interface FitBasisOptions extends SessionOptions {
  /** Model folder whose vision tower makes the embeddings. */
  readonly model: string;
  /** Dataset folder. */
  readonly data: string;
  /** Default `train`. */
  readonly split?: Split;
  /** K: auxiliary pictures are fitted to a square of K patches. */
  readonly numLatents: number;
  readonly size: BasisSize;
  /** `random` and `no-mean` are controls made from the fitted basis. */
  readonly kind: BasisKind;
  /** Of a random basis; the others draw nothing. */
  readonly seed: number;
  /** File to write. */
  readonly out: string;
  /** Told the auxiliary pictures seen so far, then (with a total) the share of the fit. */
  readonly progress?: (stage: 'embed' | 'fit', done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

async function readIfThere(path: string): Promise<TensorFile | undefined> {
  try {
    return await readSafetensors(path);
  } catch (error) {
    const cause = error instanceof CheckpointError ? error.cause : undefined;
    if (systemCode(cause) === 'ENOENT') return undefined;
    throw error;
  }
}

async function encodeAuxiliaries(
  bundle: ModelBundle,
  encoder: PictureEncoder,
  examples: readonly Example[],
  options: FitBasisOptions,
): Promise<Float32Array> {
  const pictures = await Promise.all(
    examples.map(async ({ auxiliary = '' }) => {
      const bytes = await readPicture(options.data, auxiliary);
      const picture = await decodePicture(bytes, { name: auxiliary });
      return fitAuxiliary(bundle, picture, options.numLatents);
    }),
  );
  return encoder.encode(pictures);
}

/** Moments of all auxiliary embeddings, from a saved file of sums if there is one. */
async function accumulate(
  bundle: ModelBundle,
  options: FitBasisOptions,
  partial: { readonly path: string; readonly metadata: ReadonlyMap<string, string> },
): Promise<Moments> {
  const { numLatents, signal } = options;
  const width = bundle.checkpoint.config.text.hiddenSize;
  await using products = await openGram(width, options);
  await using encoder = new PictureEncoder(bundle, options);
  const saved = await readIfThere(partial.path);
  if (saved) {
    const [found, wanted] = [saved.metadata, partial.metadata].map((m) => Object.fromEntries(m));
    if (found && wanted && differingFields(found, wanted).length > 0) {
      throw otherRun(partial.path, found, wanted);
    }
  }
  const sums = saved
    ? MomentAccumulator.restore(saved.tensors, { gram: products.gram })
    : new MomentAccumulator(width, { gram: products.gram });
  let numToSkip = sums.count / numLatents;
  let sinceSave = 0;
  let chunk: Example[] = [];
  const save = (): Promise<void> => writeSafetensors(partial.path, sums.state(), partial.metadata);
  const flush = async (): Promise<void> => {
    if (signal?.aborted === true && sums.count > 0) await save();
    signal?.throwIfAborted();
    await sums.add(await encodeAuxiliaries(bundle, encoder, chunk, options));
    sinceSave += chunk.length;
    chunk = [];
    options.progress?.('embed', sums.count / numLatents, 0);
    if (sinceSave < SAVE_EVERY) return;
    await save();
    sinceSave = 0;
  };
  for await (const example of readDataset(options.data, { split: options.split ?? 'train' })) {
    if (example.auxiliary === undefined) continue;
    if (numToSkip > 0) {
      numToSkip -= 1;
      continue;
    }
    chunk.push(example);
    if (chunk.length === CHUNK) await flush();
  }
  if (chunk.length > 0) await flush();
  if (sums.count === 0) {
    throw new DataError({
      what: `${options.data} has no auxiliary pictures to fit a basis on`,
      expected: 'examples with the field "auxiliary"',
      fix: 'generate data with `gapvl data generate`, or add the pictures',
    });
  }
  // Here, while the session of the products is open: the last block is still to be added.
  return await sums.moments();
}

/**
 * Fits a basis on the auxiliary embeddings of a split and writes it with its provenance. Aborting
 * saves the sums beside the output; the same call goes on from there and gives the same bytes.
 * @throws ConfigError for an unusable size or K; DataError when the data cannot give a basis.
 */
export async function fitBasis(options: FitBasisOptions): Promise<PcaBasis> {
  checkNumLatents(options.numLatents);
  await expectFinished(options.model);
  const source = new Map([
    ['model', await hashModel(options.model)],
    ['data', await hashDataset(options.data)],
    ['split', options.split ?? 'train'],
    ['numLatents', String(options.numLatents)],
    ['versions', JSON.stringify(await versions())],
  ]);
  await makeFolderOf(options.out);
  const bundle = await openModelBundle(options.model);
  const partial = { path: `${options.out}.partial`, metadata: source };
  const moments = await accumulate(bundle, options, partial);
  const fitted = await fitPca(moments, options.size, {
    ...(options.signal ? { signal: options.signal } : {}),
    onProgress: (share) => options.progress?.('fit', share, 1),
  });
  const basis = makeKind(fitted, options);
  const provenance = new Map([
    ...source,
    ['size', JSON.stringify(options.size)],
    ['seed', String(options.seed)],
  ]);
  const { tensors, metadata } = encodeBasis(basis, provenance);
  await writeSafetensors(options.out, tensors, metadata);
  await rm(partial.path, { force: true });
  return basis;
}

function makeKind(fitted: PcaBasis, options: FitBasisOptions): PcaBasis {
  if (options.kind === 'pca') return fitted;
  if (options.kind === 'no-mean') return noMeanBasis(fitted);
  return randomBasis(fitted, new Rng(options.seed).fork('random basis'));
}

/** What a basis has to belong to. */
export interface BasisOwner {
  /** Hash of the model. */
  readonly model: string;
  readonly hiddenSize: number;
  /** K */
  readonly numLatents: number;
}

/**
 * Reads a basis file and makes sure that it was fitted with this model and budget.
 * @throws CheckpointError with both sides of what does not fit.
 */
export async function readBasisOf(path: string, owner: BasisOwner): Promise<StoredBasis> {
  const { tensors, metadata } = await readSafetensors(path);
  const stored = decodeBasis({ tensors, metadata }, path);
  expectBasisWidth(stored.basis, owner.hiddenSize, path);
  const expectSame = (name: string, what: string, wanted: string): void => {
    const found = stored.provenance.get(name);
    if (found === wanted) return;
    throw new CheckpointError({
      what: `${path} was fitted with another ${what}`,
      got: found ?? 'nothing noted',
      expected: wanted,
      fix: 'fit a basis for this run: `gapvl pca fit`',
    });
  };
  expectSame('model', 'model', owner.model);
  expectSame('numLatents', 'number of latents K', String(owner.numLatents));
  return stored;
}
