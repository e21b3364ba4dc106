// Times head-only training on a checkpoint of true size, its weights on the disk; `npx tsx
// bench/head-only.ts --model DIR`, last line JSON. bench/random-checkpoint.ts writes such a checkpoint.
//
// Each row has a picture of 10 x 10 merged tokens and a span of 36 latents; the basis is a random plane
// of --components axes. Peak memory is the system's high-water mark of this process (VmHWM).
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { TRAIN_RECIPES } from '../src/config.ts';
import type { TrainRecipe } from '../src/config.ts';
import type { PreparedExample } from '../src/context/prepared.ts';
import type { Raster } from '../src/data/raster.ts';
import { openModelFolder } from '../src/engine/safetensors.ts';
import { randomBasis } from '../src/latent/basis-controls.ts';
import { promptIds } from '../src/model/bundle.ts';
import { FrozenBackbone } from '../src/model/frozen-backbone.ts';
import { rasterGrid } from '../src/processor/patches.ts';
import { Rng } from '../src/rng.ts';
import { openModelBundle } from '../src/store/model-folder.ts';
import { trainingRows } from '../src/train/gap.ts';
import { trainHead } from '../src/train/head-only.ts';

const LATENTS = 36;
const PICTURE_TOKENS_A_SIDE = 10;

const { values: flags } = parseArgs({
  options: {
    model: { type: 'string' },
    rows: { type: 'string', default: '2' },
    steps: { type: 'string', default: '20' },
    components: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
  },
});
if (flags.model === undefined) throw new Error('usage: --model DIR [--rows N] [--steps N]');
const numRows = Number(flags.rows);
const threads = Number(flags.threads);

/** Megabytes of memory that this process ever had at once. */
function peakMB(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024);
}

/** Wall-clock and processor seconds since a moment, and the peak so far. */
interface Lap {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakMB: number;
}

function now(): { readonly wall: number; readonly cpu: number } {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now() / 1000, cpu: (user + system) / 1e6 };
}

let since = now();
/** What was spent since the last call; processor time says more on a machine that is shared. */
function lap(): Lap {
  const before = since;
  since = now();
  return {
    seconds: Number((since.wall - before.wall).toFixed(3)),
    cpuSeconds: Number((since.cpu - before.cpu).toFixed(3)),
    peakMB: peakMB(),
  };
}

const bundle = await openModelBundle(flags.model);
await using reader = await openModelFolder(flags.model);
const backbone = new FrozenBackbone(bundle, reader, { threads });
const { text, vision } = bundle.checkpoint.config;
const rng = new Rng('bench head-only');
const noise = (tokens: number): Raster => {
  const side = tokens * vision.patchSize * vision.mergeSize;
  const data = Uint8Array.from({ length: side * side * 3 }, () => rng.int(256));
  return { width: side, height: side, data };
};
const queries = Array.from({ length: numRows }, () => noise(PICTURE_TOKENS_A_SIDE));
const auxiliaries = Array.from({ length: numRows }, () => noise(Math.sqrt(LATENTS)));
const start = lap();
console.log(`opened: ${JSON.stringify(start)}`);
const pictures_MD = await backbone.encode(queries);
const auxiliary_LD = await backbone.encode(auxiliaries);
const pictures = lap();
console.log(`${2 * numRows} pictures through the tower: ${JSON.stringify(pictures)}`);

const [pictureSize, auxiliarySize] = [pictures_MD.length, auxiliary_LD.length].map(
  (length) => length / numRows,
) as [number, number];
const words = bundle.tokenizer.decode([2, 3, 4, 5, 6, 7]);
const examples = queries.map((query, i): PreparedExample => {
  const grid = rasterGrid(query, bundle.patches);
  return {
    example: {
      ...{ id: `row-${i}`, question: words, answer: words, think: words, parser: words },
      ...{ image: 'query.png', auxiliary: 'auxiliary.png' },
    },
    grid,
    promptIds: promptIds(bundle, words, [grid]),
    pictureRows_MD: pictures_MD.slice(i * pictureSize, (i + 1) * pictureSize),
    auxiliaryRows_KD: auxiliary_LD.slice(i * auxiliarySize, (i + 1) * auxiliarySize),
  };
});
const basis = randomBasis(
  {
    kind: 'pca',
    dim: text.hiddenSize,
    k: Number(flags.components),
    mean_D: new Float32Array(text.hiddenSize),
    basis_DK: new Float32Array(text.hiddenSize * Number(flags.components)),
    eigenvalues: new Float64Array(text.hiddenSize).fill(1),
    totalVariance: text.hiddenSize,
    explained: Number(flags.components) / text.hiddenSize,
    count: 1,
  },
  rng,
);
const recipe: TrainRecipe = {
  ...TRAIN_RECIPES.paper,
  steps: Number(flags.steps),
  batchSize: numRows,
  headLearningRate: 1e-3,
};
lap();
let states: Lap | undefined;
const steps: Lap[] = [];
const losses: number[] = [];
const run = trainHead(
  'gap-random-basis',
  recipe,
  {
    ...{ bundle, backbone, basis, source: 'bench' },
    examples: examples.map(({ example }) => example),
    prepare: () => Promise.resolve(examples),
    latentIds: new Set(examples.map(({ example }) => example.id)),
  },
  { threads, progress: () => (states = lap()) },
);
for await (const { latentLoss = NaN } of run) {
  steps.push(lap());
  losses.push(latentLoss);
}
const later = steps.slice(1);
const median = (values: readonly number[]): number | undefined =>
  values.toSorted((x, y) => x - y)[Math.floor(values.length / 2)];
const result = {
  bench: 'head-only',
  model: {
    ...{ width: text.hiddenSize, layers: text.numLayers, vocabulary: text.vocabSize },
    ...{ visionDepth: vision.depth, weights: 'random bf16 on the disk' },
  },
  ...{ rows: numRows, latents: LATENTS, components: basis.k, adapterSize: recipe.adapterSize },
  rowTokens: trainingRows('lh-pca', recipe, { bundle, examples, basis })[0]?.row.inputIds.length,
  open: start,
  pictures,
  states,
  firstHeadStep: steps[0],
  laterSteps: {
    medianSeconds: median(later.map((step) => step.seconds)),
    medianCpuSeconds: median(later.map((step) => step.cpuSeconds)),
    seconds: later.map((step) => step.seconds),
  },
  peakMB: peakMB(),
  latentLoss: { first: losses[0], last: losses.at(-1) },
  machine: {
    ...{ cpu: cpus()[0]?.model, threads, processors: availableParallelism() },
    load: loadavg()[0],
  },
};
console.log(JSON.stringify(result));
