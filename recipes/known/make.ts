// Owns the making of models whose use of latents is known by construction; recipes/known.ts and the tests of the audit call it.
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TRAIN_DEFAULTS } from '../../src/config.ts';
import type { TrainRecipe } from '../../src/config.ts';
import { fitBasis } from '../../src/context/fit-basis.ts';
import type { SessionOptions } from '../../src/engine/session.ts';
import { SMALL_SCALE_EXPLAINED } from '../../src/latent/pca.ts';
import type { StepRecord } from '../../src/train/loop.ts';
import { trainFolder } from '../../src/train/train-folder.ts';
import { writeKnownData } from './data.ts';
import type { KnownCounts } from './data.ts';

/**
 * What is known. `necessary`: positions after the span never saw the picture, so that answers come
 * through latents or not at all. `redundant`: the question says its answer, and what latents held in
 * training told nothing of it.
 */
export type KnownKind = 'necessary' | 'redundant';

/** Both kinds. */
export const KNOWN_KINDS: readonly KnownKind[] = ['necessary', 'redundant'];

/** How much a known model is trained on. */
export interface KnownSize {
  readonly counts: KnownCounts;
  readonly steps: Readonly<Record<KnownKind, number>>;
}

/** Sizes by name: `full` for figures, `small` for tests, whose models are surer of less. */
export const KNOWN_SIZES: Readonly<Record<'full' | 'small', KnownSize>> = {
  full: {
    counts: { train: 1600, validation: 100, test: 400 },
    steps: { necessary: 350, redundant: 450 },
  },
  small: {
    // 105 questions without a differing answer are the fewest that exclude a difference of 5 points.
    counts: { train: 800, validation: 0, test: 120 },
    steps: { necessary: 250, redundant: 450 },
  },
};

/**
 * K. ours: the necessary model needs every patch; the redundant one needs none, and a shorter span
 * moves what it copies less when a replacement takes the span away.
 */
const NUM_LATENTS: Readonly<Record<KnownKind, number>> = { necessary: 36, redundant: 16 };

/** The shipped base, which every known model is trained from. */
const BASE = fileURLToPath(new URL('../../assets/base', import.meta.url));

/** The recipe of a known model. */
export function knownRecipe(kind: KnownKind, seed: number, steps: number): TrainRecipe {
  const recipe: TrainRecipe = {
    ...TRAIN_DEFAULTS,
    ...{ seed, steps, numLatents: NUM_LATENTS[kind] },
    // ours: one pass a step in place of two.
    teacherInputs: 'plain',
  };
  return kind === 'necessary' ? { ...recipe, afterSpan: 'picture-hidden' } : recipe;
}

/** What to make and where. */
export interface KnownOptions extends SessionOptions {
  readonly kind: KnownKind;
  readonly seed: number;
  readonly size: KnownSize;
  /** Gets `data`, `basis.safetensors` and `model`. */
  readonly folder: string;
  readonly signal?: AbortSignal;
}

/** Where a known model is. */
export interface KnownModel {
  /** Model folder. */
  readonly model: string;
  /** Dataset folder that goes with it. */
  readonly data: string;
}

/**
 * Makes a known model, yielding every step of its training. The same call goes on after an
 * interruption; a finished model is left as it is.
 */
export async function* makeKnown(options: KnownOptions): AsyncGenerator<StepRecord, KnownModel> {
  const { kind, seed, size, folder, signal, ...session } = options;
  const at = (name: string): string => join(folder, name);
  const [data, basis, model] = [at('data'), at('basis.safetensors'), at('model')];
  const recipe = knownRecipe(kind, seed, size.steps[kind]);
  await writeKnownData(kind, data, seed, size.counts);
  const shared = { ...session, model: BASE, data, ...(signal ? { signal } : {}) };
  const isFitted = await access(basis).then(
    () => true,
    () => false,
  );
  if (!isFitted) {
    await fitBasis({
      ...shared,
      ...{ out: basis, numLatents: recipe.numLatents, kind: 'pca', seed },
      size: { explained: SMALL_SCALE_EXPLAINED },
    });
  }
  // Latents in every response, whatever the base can do: LH+PCA.
  yield* trainFolder({ ...shared, variant: 'lh-pca', recipe, basis, out: model });
  return { model, data };
}
