// Owns training of every variant on prepared examples: rows, head, objective, run.
// Axes: K latents of a span, D hidden.
import type { TrainRecipe } from '../config.ts';
import type { PreparedExample } from '../context/prepared.ts';
import { formatResponse } from '../data/format.ts';
import { ConfigError, DataError } from '../errors.ts';
import type { SessionOptions } from '../engine/session.ts';
import { noMeanBasis, randomBasis } from '../latent/basis-controls.ts';
import { headSpecs, initialiseHead } from '../latent/head.ts';
import type { HeadSpec } from '../latent/head.ts';
import { makeHead } from '../latent/model.ts';
import type { GapModel, LatentSettings } from '../latent/model.ts';
import type { PcaBasis } from '../latent/pca.ts';
import { VARIANTS, usesLatents } from '../latent/variants.ts';
import type { VariantName } from '../latent/variants.ts';
import { responseIds } from '../model/bundle.ts';
import type { ModelBundle } from '../model/bundle.ts';
import { decoderSpecs } from '../model/parameters.ts';
import { Weights } from '../model/weights.ts';
import type { LatentPositions } from '../processor/positions.ts';
import { assembleRow } from '../processor/sequence.ts';
import { Rng } from '../rng.ts';
import { stepBatches } from './gap-batch.ts';
import type { TrainingRow } from './gap-batch.ts';
import { runTraining } from './loop.ts';
import type { StepRecord } from './loop.ts';
import { attentionBlocksFor, encodeObjective } from './objective.ts';
import { Trainer } from './trainer.ts';

/** Steps between saved states; ours: at the embedded size at most a minute is lost. */
const SAVE_EVERY = 250;

/** What a variant is trained from. */
export interface TrainInputs {
  readonly bundle: ModelBundle<Weights>;
  readonly examples: readonly PreparedExample[];
  /** Ids with latent supervision under capacity assignment; needed by variants that use it. */
  readonly latentIds?: ReadonlySet<string>;
  /** Fitted on the auxiliary embeddings of the training set; its variance scales the latent loss. */
  readonly basis: PcaBasis;
}

/** Options of a run besides its recipe. */
export interface TrainOptions extends SessionOptions {
  /** Where the state is saved; absent: nothing is. */
  readonly folder?: string;
  readonly signal?: AbortSignal;
}

/** The head a variant trains at a given width. */
export function variantHead(name: VariantName, recipe: TrainRecipe, basis: PcaBasis): HeadSpec {
  const { head } = VARIANTS[name];
  const hiddenSize = basis.dim;
  if (head === 'output') return { kind: 'output' };
  if (head === 'full') return { kind: 'full', hiddenSize, adapterSize: recipe.adapterSize };
  return { kind: head, hiddenSize, numComponents: basis.k, adapterSize: recipe.adapterSize };
}

/** The basis a variant writes in: the fitted one, or the control made from it. */
export function variantBasis(name: VariantName, basis: PcaBasis, seed: number): PcaBasis {
  const kind = VARIANTS[name].basis;
  // A file may hold the control already.
  if (kind === basis.kind) return basis;
  if (kind === 'random') return randomBasis(basis, new Rng(seed).fork('random basis'));
  return kind === 'no-mean' ? noMeanBasis(basis) : basis;
}

/** lambda of GAP Eq. 3 over the scale of the loss; cosines have none. */
export function latentWeightOf(name: VariantName, recipe: TrainRecipe, basis: PcaBasis): number {
  const scale = { none: 1, width: basis.dim, variance: basis.totalVariance }[
    recipe.latentLossScale
  ];
  return recipe.latentWeight / (VARIANTS[name].loss === 'cosine' ? 1 : scale);
}

/** Positions of latents as a recipe asks for them. */
export function latentPositionsOf(recipe: TrainRecipe): LatentPositions {
  return recipe.latentPositions === 'grid'
    ? { kind: 'grid', numLatents: recipe.numLatents }
    : { kind: 'sequential' };
}

/**
 * Tells the examples that get latent supervision, an auxiliary picture given.
 * @throws ConfigError when that needs scores and there are none.
 */
export function latentAssignment(
  name: VariantName,
  latentIds: ReadonlySet<string> | undefined,
): (id: string) => boolean {
  const { assignment } = VARIANTS[name];
  if (assignment === 'capacity' && !latentIds) {
    throw new ConfigError({
      what: `variant ${name} needs capacity scores`,
      fix: 'run `gapvl capacity score` first',
    });
  }
  return (id) => assignment === 'all' || (assignment === 'capacity' && latentIds?.has(id) === true);
}

/** The error of a training set without any latents for a variant that is about them. */
export function noLatents(name: VariantName, numExamples: number): DataError {
  return new DataError({
    what: `no example gets latent supervision for variant ${name}`,
    got: `${numExamples} examples, all text-only`,
    fix: 'raise tau, or use data with auxiliary pictures',
  });
}

/**
 * The rows of a variant's training set, with a span for those that get latent supervision.
 * @throws DataError when there is none at all, or none with latents though the variant has them.
 */
export function trainingRows(
  name: VariantName,
  recipe: TrainRecipe,
  inputs: Omit<TrainInputs, 'bundle'> & { readonly bundle: ModelBundle },
): TrainingRow[] {
  const { assignment } = VARIANTS[name];
  const isAssigned = latentAssignment(name, inputs.latentIds);
  const size = recipe.numLatents * inputs.bundle.checkpoint.config.text.hiddenSize;
  const rows = inputs.examples.map((item) => {
    const targets = item.auxiliaryRows_KD;
    const latent = targets !== undefined && isAssigned(item.example.id);
    if (latent && targets.length !== size) {
      throw new DataError({
        what: `example ${item.example.id} was prepared for another number of latents`,
        got: `${targets.length} numbers`,
        expected: `${size}, for K = ${recipe.numLatents}`,
        fix: 'prepare the examples with the K of the recipe',
      });
    }
    const style = latent
      ? { latents: 'span' as const, numLatents: recipe.numLatents }
      : { latents: 'none' as const };
    const response = responseIds(inputs.bundle, formatResponse(item.example, style));
    return { item, row: assembleRow(item.promptIds, response, inputs.bundle.sequence) };
  });
  if (rows.length === 0) {
    throw new DataError({
      what: 'the training set is empty',
      fix: 'generate data with `gapvl data generate`',
    });
  }
  if (assignment !== 'none' && rows.every(({ row }) => row.spans.length === 0)) {
    throw noLatents(name, rows.length);
  }
  return rows;
}

/** A variant's training run: yields every step, returns the trained model. */
export async function* trainVariant(
  name: VariantName,
  recipe: TrainRecipe,
  inputs: TrainInputs,
  options: TrainOptions = {},
): AsyncGenerator<StepRecord, GapModel<Weights>> {
  const { bundle } = inputs;
  const { config } = bundle.checkpoint;
  const variant = VARIANTS[name];
  if (!variant.trained || variant.weightsOf) {
    throw new ConfigError({
      what: `variant ${name} is not trained itself`,
      ...(variant.weightsOf ? { fix: `train ${variant.weightsOf}` } : {}),
    });
  }
  if (recipe.teacherInputs === 'projected' && usesLatents(name) && variant.head !== 'pca') {
    throw new ConfigError({
      what: `variant ${name} cannot be trained with projected teacher inputs`,
      got: `a head of kind ${variant.head}, which writes on no plane`,
      expected: 'teacherInputs plain or scheduled',
      fix: 'set teacherInputs=plain, or train a variant with a PCA head',
    });
  }
  if (recipe.afterSpan !== undefined && !usesLatents(name)) {
    throw new ConfigError({
      what: `variant ${name} writes no span that anything could be hidden after`,
      got: `afterSpan ${recipe.afterSpan}`,
      fix: 'leave afterSpan out, or train a variant with latents',
    });
  }
  const basis = variantBasis(name, inputs.basis, recipe.seed);
  const spec = variantHead(name, recipe, basis);
  const backbone = decoderSpecs(config.text);
  const head = headSpecs(spec);
  const weights = new Weights([...backbone, ...head]);
  for (const { name: own } of backbone)
    weights.get(own).data.set(bundle.checkpoint.weights.get(own).data);
  initialiseHead(spec, weights, new Rng(recipe.seed).fork('latent head'), basis);
  const rows = trainingRows(name, recipe, inputs);
  const positions = latentPositionsOf(recipe);
  const afterSpan = recipe.afterSpan === undefined ? {} : { afterSpan: recipe.afterSpan };
  const { latentPad: padId } = bundle.sequence;
  const latents = { head: spec, loss: variant.loss, padId, ...afterSpan };
  const parameters = [...backbone, ...head];
  const longest = rows.reduce((most, { row }) => Math.max(most, row.inputIds.length), 0);
  const attentionBlocks = attentionBlocksFor(longest);
  const pictures = { kind: 'rows' as const };
  const shared = { pictures, parameters, trained: parameters, attentionBlocks };
  const trainedHead = makeHead(spec, weights, variant.head === 'pca' ? basis : undefined);
  await using trainer = await Trainer.create(weights, {
    ...options,
    objectives: new Map([
      ['text', () => encodeObjective(config, shared)],
      ['latent', () => encodeObjective(config, { ...shared, latents })],
      ['predict', () => encodeObjective(config, { ...shared, latents, withGradients: false })],
    ]),
    fixed: trainedHead.fixed,
    groups: [backbone, head],
    adamw: recipe.optimizer,
  });
  const latentWeight = latentWeightOf(name, recipe, basis);

  yield* runTraining(
    trainer,
    {
      totalSteps: recipe.steps,
      warmupSteps: Math.ceil(recipe.steps * recipe.optimizer.warmupRatio),
      peaks: [recipe.optimizer.learningRate, recipe.headLearningRate],
      batch: stepBatches({ bundle, rows, recipe, positions, basis, latentWeight, trainer }),
      ...(options.folder === undefined ? {} : { folder: options.folder }),
      fingerprint: JSON.stringify({
        variant: name,
        recipe,
        examples: rows.length,
        head: spec,
        threads: options.threads ?? 'all',
        // Other devices add up in another order; absent for the CPU.
        ...(options.device === undefined || options.device === 'cpu'
          ? {}
          : { device: options.device }),
      }),
      saveEvery: SAVE_EVERY,
    },
    options.signal,
  );
  const settings: LatentSettings = {
    variant: name,
    numLatents: recipe.numLatents,
    teacherInputs: recipe.teacherInputs,
    positions,
    head: spec,
    ...afterSpan,
  };
  return trainedModel(bundle, weights, spec, basis, settings);
}

/** The bundle with the trained decoder in it, and the head beside. */
function trainedModel(
  bundle: ModelBundle<Weights>,
  trained: Weights,
  spec: HeadSpec,
  basis: PcaBasis,
  settings: LatentSettings,
): GapModel<Weights> {
  const weights = bundle.checkpoint.weights.clone();
  const own = new Weights(headSpecs(spec));
  for (const [name, { data }] of trained.byName) {
    const target = weights.byName.get(name) ?? own.byName.get(name);
    target?.data.set(data);
  }
  return {
    bundle: { ...bundle, checkpoint: { ...bundle.checkpoint, weights } },
    head: makeHead(spec, own, spec.kind === 'pca' ? basis : undefined),
    settings,
  };
}
