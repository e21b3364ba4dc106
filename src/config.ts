// Owns typed run recipes: what a run is made of, JSON-printable, with defaults and named recipes, and
// the reading of `path=value` settings on top of one; training, the CLI and studies start from here.
import { ConfigError } from './errors.ts';

/** AdamW and schedule settings of a run. */
export interface OptimizerRecipe {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest global gradient norm. */
  readonly clipNorm: number;
  /** Warm-up steps as a share of all steps. */
  readonly warmupRatio: number;
}

/** How the tiny base is pretrained. */
export interface PretrainRecipe {
  readonly seed: number;
  readonly steps: number;
  readonly batchSize: number;
  /** Shares of easy questions with caption, hard pictures with caption, auxiliary pictures. */
  readonly mixture: { readonly easy: number; readonly hard: number; readonly auxiliary: number };
  readonly optimizer: OptimizerRecipe;
}

/**
 * Pretraining of the embedded base. ours, from the pilot (small-scale): dense captions make the
 * picture embeddings good, which is what latent targets live on.
 */
export const PRETRAIN_DEFAULTS: PretrainRecipe = {
  seed: 12345,
  steps: 2400,
  batchSize: 32,
  mixture: { easy: 0.5, hard: 0.2, auxiliary: 0.3 },
  optimizer: {
    learningRate: 1.5e-3,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-8,
    weightDecay: 0.01,
    clipNorm: 1,
    warmupRatio: 0.03,
  },
};

/** How a variant is trained on top of a base. */
export interface TrainRecipe {
  readonly seed: number;
  readonly steps: number;
  readonly batchSize: number;
  /** K, a perfect square. */
  readonly numLatents: number;
  /** lambda of GAP Eq. 3, after dividing the loss by `latentLossScale`. */
  readonly latentWeight: number;
  /**
   * What Eq. 2 is divided by: `none` as written, `width` (mean over coordinates), `variance` (total
   * variance of the auxiliary embeddings, so that 1 means knowing only their mean).
   */
  readonly latentLossScale: 'none' | 'width' | 'variance';
  readonly teacherInputs: 'plain' | 'projected' | 'scheduled';
  readonly latentPositions: 'sequential' | 'grid';
  /**
   * `picture-hidden`: positions after a span do not see the picture, in training and decoding, so
   * that only latents can tell them of it. ours, for models whose use of latents is known. Absent:
   * they see everything.
   */
  readonly afterSpan?: 'picture-hidden';
  /** Inner width of the head's SwiGLU adapter. */
  readonly adapterSize: number;
  /** Learning rate of the latent head; the backbone's is `optimizer.learningRate`. */
  readonly headLearningRate: number;
  readonly optimizer: OptimizerRecipe;
}

/**
 * GAP training at small scale. ours, from the pilot; the paper's (1e-5, batch 128, 2 epochs, plain
 * teacher inputs, Eq. 2 as written) are for 7B and one set away.
 */
export const TRAIN_DEFAULTS: TrainRecipe = {
  seed: 12345,
  steps: 1000,
  batchSize: 16,
  numLatents: 36,
  latentWeight: 4,
  latentLossScale: 'variance',
  teacherInputs: 'scheduled',
  latentPositions: 'sequential',
  adapterSize: 64,
  headLearningRate: 2e-3,
  optimizer: {
    learningRate: 1e-3,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-8,
    weightDecay: 0.01,
    clipNorm: 1,
    warmupRatio: 0.03,
  },
};

/** Recipes that `gapvl pretrain --recipe` knows. */
export const PRETRAIN_RECIPES: Readonly<Record<'tiny', PretrainRecipe>> = {
  tiny: PRETRAIN_DEFAULTS,
};

/**
 * Recipes that `gapvl train --recipe` knows. `paper`: GAP §5.1, Appendix F, for 49,309 examples
 * (2 epochs of batches of 128); betas, epsilon, clipping and the adapter's width are ours, since
 * the paper does not give them.
 */
export const TRAIN_RECIPES: Readonly<Record<'small-scale' | 'paper', TrainRecipe>> = {
  'small-scale': TRAIN_DEFAULTS,
  paper: {
    seed: 12345,
    steps: 771,
    batchSize: 128,
    numLatents: 36,
    latentWeight: 1,
    latentLossScale: 'none',
    teacherInputs: 'plain',
    latentPositions: 'sequential',
    adapterSize: 256,
    headLearningRate: 1e-5,
    optimizer: {
      learningRate: 1e-5,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0.01,
      clipNorm: 1,
      warmupRatio: 0.03,
    },
  },
};

/** What a value may be, beyond having the type of its default. */
interface Rule {
  readonly says: string;
  readonly allows: (value: number | string) => boolean;
}

function numberRule(says: string, allows: (value: number) => boolean): Rule {
  return { says, allows: (value) => typeof value === 'number' && allows(value) };
}

function wordRule(...words: readonly string[]): Rule {
  return { says: `one of ${words.join(', ')}`, allows: (value) => words.includes(String(value)) };
}

const MAX_SEED = 2 ** 32 - 1;
const SHARE = numberRule('a number from 0 to 1', (x) => x >= 0 && x <= 1);
const BETA = numberRule('a number from 0 to below 1', (x) => x >= 0 && x < 1);
const POSITIVE = numberRule('a number above 0', (x) => x > 0);
const NOT_NEGATIVE = numberRule('a number of at least 0', (x) => x >= 0);
const COUNT = numberRule('a whole number of at least 1', (x) => Number.isSafeInteger(x) && x >= 1);

/** Rules by path; a recipe may lack some of the paths. */
const RULES: Readonly<Record<string, Rule>> = {
  seed: numberRule(
    `a whole number from 0 to ${MAX_SEED}`,
    (x) => Number.isInteger(x) && x >= 0 && x <= MAX_SEED,
  ),
  steps: COUNT,
  batchSize: COUNT,
  'mixture.easy': SHARE,
  'mixture.hard': SHARE,
  'mixture.auxiliary': SHARE,
  numLatents: numberRule(
    'a square number such as 4, 16 or 36',
    (x) => x >= 1 && Number.isSafeInteger(x) && Number.isInteger(Math.sqrt(x)),
  ),
  latentWeight: NOT_NEGATIVE,
  latentLossScale: wordRule('none', 'width', 'variance'),
  teacherInputs: wordRule('plain', 'projected', 'scheduled'),
  latentPositions: wordRule('sequential', 'grid'),
  adapterSize: COUNT,
  headLearningRate: POSITIVE,
  'optimizer.learningRate': POSITIVE,
  'optimizer.beta1': BETA,
  'optimizer.beta2': BETA,
  'optimizer.epsilon': POSITIVE,
  'optimizer.weightDecay': NOT_NEGATIVE,
  'optimizer.clipNorm': POSITIVE,
  'optimizer.warmupRatio': SHARE,
};

/** Every value of a recipe by its path, such as `optimizer.learningRate`. */
function leaves(recipe: object, prefix = ''): Map<string, unknown> {
  const found = new Map<string, unknown>();
  for (const [name, value] of Object.entries(recipe) as [string, unknown][]) {
    const path = `${prefix}${name}`;
    if (typeof value !== 'object' || value === null) found.set(path, value);
    else for (const [inner, leaf] of leaves(value, `${path}.`)) found.set(inner, leaf);
  }
  return found;
}

/** A copy of a recipe with values replaced by path. */
function replaceLeaves(recipe: object, values: ReadonlyMap<string, unknown>, prefix = ''): object {
  const entries = Object.entries(recipe) as [string, unknown][];
  return Object.fromEntries(
    entries.map(([name, value]) => {
      const path = `${prefix}${name}`;
      if (typeof value === 'object' && value !== null)
        return [name, replaceLeaves(value, values, `${path}.`)];
      return [name, values.has(path) ? values.get(path) : value];
    }),
  );
}

/** Number of single-character edits between two words (Levenshtein). */
function editDistance(first: string, second: string): number {
  let row = Array.from({ length: second.length + 1 }, (_, i) => i);
  for (let i = 1; i <= first.length; i++) {
    const next = [i];
    for (let j = 1; j <= second.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (first[i - 1] === second[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** Paths a misspelt one may have meant: its last word, or the whole, is nearly the same. */
function nearPaths(path: string, known: readonly string[]): string[] {
  const last = (text: string): string => (text.split('.').at(-1) ?? text).toLowerCase();
  const near = (candidate: string): number =>
    Math.min(
      editDistance(last(path), last(candidate)),
      editDistance(path.toLowerCase(), candidate.toLowerCase()),
      // `optimizer` alone means one of its members.
      candidate.startsWith(`${path}.`) ? 1 : Infinity,
    );
  const allowed = Math.max(2, Math.floor(last(path).length / 3));
  return known.filter((candidate) => near(candidate) <= allowed);
}

const DECIMAL = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** One setting read against its default, or what is wrong with it. */
function readSetting(
  setting: string,
  known: ReadonlyMap<string, unknown>,
): { readonly path: string; readonly value: number | string } | { readonly fault: string } {
  const at = setting.indexOf('=');
  if (at < 1) return { fault: `"${setting}" is not of the form path=value` };
  const [path, text] = [setting.slice(0, at).trim(), setting.slice(at + 1).trim()];
  const standard = known.get(path);
  if (standard === undefined) {
    const near = nearPaths(path, [...known.keys()]);
    const meant = near.length > 0 ? near.join(', ') : [...known.keys()].join(', ');
    return {
      fault: `there is no setting ${path}; ${near.length > 0 ? 'near' : 'known'}: ${meant}`,
    };
  }
  const isNumber = typeof standard === 'number';
  const value = isNumber ? (DECIMAL.test(text) ? Number(text) : Number.NaN) : text;
  const rule = RULES[path];
  if (Number.isNaN(value) || rule?.allows(value) === false) {
    const expected = rule?.says ?? (isNumber ? 'a number' : 'a text');
    return { fault: `${path} is ${JSON.stringify(text)}, expected ${expected}` };
  }
  return { path, value };
}

/** How far the shares of a mixture may be from 1; ours: rounding of decimals. */
const SHARE_TOLERANCE = 1e-6;

/**
 * A recipe with settings such as `optimizer.learningRate=1e-3` applied, each checked against the
 * type and the range of its default.
 * @throws ConfigError that names every fault, with near names for an unknown path.
 */
export function applySettings<R extends object>(recipe: R, settings: readonly string[]): R {
  const known = leaves(recipe);
  const values = new Map<string, number | string>();
  const faults: string[] = [];
  for (const setting of settings) {
    const read = readSetting(setting, known);
    if ('fault' in read) faults.push(read.fault);
    else if (values.has(read.path)) faults.push(`${read.path} is set more than once`);
    else values.set(read.path, read.value);
  }
  const applied = replaceLeaves(recipe, values);
  const shares = [...leaves(applied)].filter(([path]) => path.startsWith('mixture.'));
  const total = shares.reduce((sum, [, share]) => sum + Number(share), 0);
  if (shares.length > 0 && !(Math.abs(total - 1) <= SHARE_TOLERANCE)) {
    faults.push(`the shares of mixture add up to ${total}, expected 1`);
  }
  if (faults.length === 0) return applied as R;
  throw new ConfigError({
    what:
      faults.length === 1
        ? 'A setting of the recipe cannot be used'
        : `${faults.length} settings of the recipe cannot be used`,
    got: faults.join('; '),
    expected: 'settings of the form path=value, each path once',
    fix: 'mend them all and run the command again; nothing was started',
  });
}
