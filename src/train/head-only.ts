// Owns training the latent head alone on states of a frozen model; head-folder.ts calls it.
// Axes: L latents, D hidden.
import type { TrainRecipe } from '../config.ts';
import type { PreparedExample } from '../context/prepared.ts';
import type { Example } from '../data/example.ts';
import { ConfigError } from '../errors.ts';
import { headSpecs, initialiseHead } from '../latent/head.ts';
import { makeHead } from '../latent/model.ts';
import type { GapModel, LatentSettings } from '../latent/model.ts';
import { projectOntoPlane } from '../latent/pca.ts';
import type { PcaBasis } from '../latent/pca.ts';
import { VARIANTS } from '../latent/variants.ts';
import type { VariantName } from '../latent/variants.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { FrozenBackbone } from '../model/frozen-backbone.ts';
import { Weights } from '../model/weights.ts';
import { Rng } from '../rng.ts';
import { epochSampler, joinRows } from './gap-batch.ts';
import type { TrainingRow } from './gap-batch.ts';
import { latentAssignment, latentPositionsOf, latentWeightOf, noLatents } from './gap.ts';
import { trainingRows, variantBasis, variantHead } from './gap.ts';
import type { TrainOptions } from './gap.ts';
import { FINAL_NORM, encodeHeadObjective, headFeeds } from './head-objective.ts';
import { latentStates } from './head-states.ts';
import type { LatentRowReader } from './head-states.ts';
import { runTraining } from './loop.ts';
import type { StepRecord } from './loop.ts';
import { Trainer } from './trainer.ts';

/** Steps between saved states; ours: a step is a fraction of a second, the states have files. */
const SAVE_EVERY = 250;

/** What a head is trained from. */
export interface HeadInputs {
  readonly bundle: ModelBundle;
  /** The same model, as it is read. */
  readonly backbone: FrozenBackbone;
  readonly examples: readonly Example[];
  /** Encodes the pictures of a few examples. */
  readonly prepare: (examples: readonly Example[]) => Promise<readonly PreparedExample[]>;
  /** Ids with latent supervision under capacity assignment; needed by variants that use it. */
  readonly latentIds?: ReadonlySet<string>;
  readonly basis: PcaBasis;
  /** Says what model, data and basis are, for states that are kept in files. */
  readonly source: string;
}

/** Options of a run besides its recipe. */
export interface HeadOptions extends TrainOptions {
  /** Told the examples whose states are known. */
  readonly progress?: (done: number, total: number) => void;
}

/** What keeps a head from being trained alone, in words; all at once. */
export function headOnlyFaults(name: VariantName, recipe: TrainRecipe): string[] {
  const { assignment, head } = VARIANTS[name];
  const faults: string[] = [];
  if (assignment === 'none' || head === 'output') {
    faults.push(`variant ${name} has no head with parameters of its own`);
  }
  if (recipe.teacherInputs === 'scheduled') {
    faults.push(
      'teacherInputs=scheduled changes the inputs of the backbone with every step; a head alone is trained on states that stay, so set teacherInputs=plain or projected',
    );
  }
  if (recipe.afterSpan !== undefined) {
    faults.push(
      `afterSpan=${recipe.afterSpan} takes something from positions that only the backbone could learn to do without`,
    );
  }
  return faults;
}

function checkHeadOnly(name: VariantName, recipe: TrainRecipe): void {
  const faults = headOnlyFaults(name, recipe);
  if (recipe.teacherInputs === 'projected' && VARIANTS[name].head !== 'pca') {
    faults.push(`teacherInputs=projected needs a PCA head, not one of kind ${VARIANTS[name].head}`);
  }
  if (faults.length === 0) return;
  throw new ConfigError({
    what: 'the head cannot be trained alone like this',
    got: faults.join('; '),
    expected: 'a variant with a head, and teacher inputs that do not depend on it',
    fix: 'set teacherInputs=plain, or train the whole model',
  });
}

/**
 * Trains the head of a variant and nothing else; yields every step, returns the model with its new
 * head. The model is read layer by layer, once for every few rows; its states at latent positions
 * never change and are kept, so a step costs the head alone. Rows without latents teach a head nothing and are
 * left out.
 * @throws ConfigError for a variant without a head, or scheduled teacher inputs.
 */
export async function* trainHead(
  name: VariantName,
  recipe: TrainRecipe,
  inputs: HeadInputs,
  options: HeadOptions = {},
): AsyncGenerator<StepRecord, GapModel> {
  checkHeadOnly(name, recipe);
  const { bundle, backbone } = inputs;
  const { text } = bundle.checkpoint.config;
  const basis = variantBasis(name, inputs.basis, recipe.seed);
  const spec = variantHead(name, recipe, basis);
  const specs = headSpecs(spec);
  const weights = new Weights(specs);
  initialiseHead(spec, weights, new Rng(recipe.seed).fork('latent head'), basis);
  const head = makeHead(spec, weights, spec.kind === 'pca' ? basis : undefined);
  const isAssigned = latentAssignment(name, inputs.latentIds);
  const examples = inputs.examples.filter(
    ({ id, auxiliary }) => auxiliary !== undefined && isAssigned(id),
  );
  if (examples.length === 0) throw noLatents(name, inputs.examples.length);
  const positions = latentPositionsOf(recipe);
  const targets = ({ item }: TrainingRow): Float32Array =>
    item.auxiliaryRows_KD ?? new Float32Array(0);
  const { seed, teacherInputs, numLatents } = recipe;
  const rows = await latentStates(
    {
      ...{ bundle, backbone, positions },
      rows: async (chunk) =>
        trainingRows(name, recipe, { ...inputs, examples: await inputs.prepare(chunk) }),
      inputs: (row) =>
        teacherInputs === 'plain' ? targets(row) : projectOntoPlane(basis, targets(row)),
      // A basis made at random depends on the seed; inputs that are plain on neither.
      fingerprint: JSON.stringify({
        ...{ source: inputs.source, teacherInputs, numLatents, positions },
        ...(teacherInputs === 'plain' ? {} : { kind: basis.kind, seed }),
      }),
      ...(options.folder === undefined ? {} : { folder: options.folder }),
      ...(options.progress ? { progress: options.progress } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    },
    examples,
  );
  await using trainer = await Trainer.create(weights, {
    ...options,
    objectives: new Map([['latent', () => encodeHeadObjective(text, spec, VARIANTS[name].loss)]]),
    fixed: new Map([...head.fixed, [FINAL_NORM, await backbone.finalNorm()]]),
    groups: [specs],
    adamw: recipe.optimizer,
  });
  const latentWeight = latentWeightOf(name, recipe, basis);
  const sampler = epochSampler(rows.length, recipe);

  yield* runTraining(
    trainer,
    {
      totalSteps: recipe.steps,
      warmupSteps: Math.ceil(recipe.steps * recipe.optimizer.warmupRatio),
      peaks: [recipe.headLearningRate],
      batch: async (step) => {
        const chosen = await Promise.all(sampler(step).map((i) => (rows[i] as LatentRowReader)()));
        const states_LD = joinRows(chosen.map((row) => row.states_LD));
        const targets_LD = joinRows(chosen.map((row) => row.targets_LD));
        const feeds = headFeeds(states_LD, targets_LD, text.hiddenSize, latentWeight);
        return { objective: 'latent', feeds };
      },
      ...(options.folder === undefined ? {} : { folder: options.folder }),
      fingerprint: JSON.stringify({
        ...{ headOnly: true, variant: name, recipe, source: inputs.source },
        ...{ examples: rows.length, head: spec, threads: options.threads ?? 'all' },
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
    numLatents,
    teacherInputs,
    positions,
    head: spec,
  };
  return { bundle, head, settings };
}
