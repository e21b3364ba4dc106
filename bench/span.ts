// Decodes one latent span at the widths of a published model and holds it against the same span read
// layer by layer without a cache; `npx tsx bench/span.ts --model DIR`, last line JSON, fails when they differ.
// bench/random-checkpoint.ts --layers 2 --vision-depth 2 writes a model that fits in little memory.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { encodeGraph } from '../src/engine/encode.ts';
import { Graph } from '../src/engine/graph.ts';
import { openModelFolder } from '../src/engine/safetensors.ts';
import { Session } from '../src/engine/session.ts';
import { tensor } from '../src/engine/tensor.ts';
import { Decoder } from '../src/generate/decoder.ts';
import { randomBasis } from '../src/latent/basis-controls.ts';
import { declareBasis, headSpecs, initialiseHead, predictLatents } from '../src/latent/head.ts';
import type { HeadSpec } from '../src/latent/head.ts';
import { makeHead } from '../src/latent/model.ts';
import { positionConfig, promptIds } from '../src/model/bundle.ts';
import { finalNorm } from '../src/model/decoder.ts';
import { FrozenBackbone } from '../src/model/frozen-backbone.ts';
import { declareParameters } from '../src/model/parameters.ts';
import { Weights } from '../src/model/weights.ts';
import { mropePositions } from '../src/processor/positions.ts';
import { Rng } from '../src/rng.ts';
import { openModelBundle } from '../src/store/model-folder.ts';
import { FINAL_NORM } from '../src/train/head-objective.ts';

const LATENTS = 36;
const COMPONENTS = 256;
const ADAPTER = 256;
/** 10 x 10 merged tokens. */
const PATCHES_A_SIDE = 20;
/** f32 products added up in another order, over the whole span. */
const TOLERANCE = 1e-4;

const { values: flags } = parseArgs({ options: { model: { type: 'string' } } });
if (flags.model === undefined) throw new Error('usage: --model DIR');
const options = { threads: 2 };
const rng = new Rng('bench span');
const rows = (count: number): Float32Array =>
  Float32Array.from({ length: count }, () => rng.normal());
const seconds = (): number => performance.now() / 1000;
const peakMB = (): number => {
  const status = readFileSync('/proc/self/status', 'utf8');
  return Math.round(Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024);
};

const bundle = await openModelBundle(flags.model);
const { text } = bundle.checkpoint.config;
const width = text.hiddenSize;
const basis = randomBasis(
  {
    ...{ kind: 'pca', dim: width, k: COMPONENTS, mean_D: rows(width), count: 1 },
    basis_DK: new Float32Array(width * COMPONENTS),
    eigenvalues: new Float64Array(width).fill(1),
    ...{ totalVariance: width, explained: COMPONENTS / width },
  },
  rng,
);
const spec: HeadSpec = {
  ...{ kind: 'pca', hiddenSize: width, numComponents: COMPONENTS, adapterSize: ADAPTER },
};
const weights = new Weights(headSpecs(spec));
initialiseHead(spec, weights, rng, basis);
weights.get('latent_head.adapter.down_proj.weight').data.set(rows(COMPONENTS * ADAPTER));
const head = makeHead(spec, weights, basis);

const grid = [1, PATCHES_A_SIDE, PATCHES_A_SIDE] as const;
const words = bundle.tokenizer.decode([2, 3, 4, 5, 6, 7]);
const { latentStart, latentPad, imagePad } = bundle.sequence;
const prompt = [...promptIds(bundle, words, [grid]), latentStart];
const picturePlaces = prompt.flatMap((id, at) => (id === imagePad ? [at] : []));
const pictureRows_MD = rows(picturePlaces.length * width);
const all = Int32Array.from([...prompt, ...Array<number>(LATENTS).fill(latentPad)]);
const batch = {
  ...{ batch: 1, length: all.length, inputIds_BT: all },
  attentionMask_BT: new Int32Array(all.length).fill(1),
};
const { positions_3BT } = mropePositions(batch, [grid], positionConfig(bundle));
const position = (at: number): readonly [number, number, number] => [
  positions_3BT[at] ?? 0,
  positions_3BT[all.length + at] ?? 0,
  positions_3BT[2 * all.length + at] ?? 0,
];

const start = seconds();
const decoder = await Decoder.create({ bundle, head }, options);
const compiled = seconds();
const places = Array.from(prompt.keys(), position);
const begun = await decoder.start(
  [
    {
      ...{ ids: prompt, given_ND: pictureRows_MD, givenPlaces: picturePlaces },
      positions_3T: Int32Array.from([0, 1, 2].flatMap((axis) => places.map((p) => p[axis] ?? 0))),
    },
  ],
  LATENTS + 1,
);
const read = seconds();
const latents: Float32Array[] = [];
let output = begun.output;
for (let i = 0; i < LATENTS; i++) {
  latents.push(output.latents_BD.slice());
  const latent = output.latents_BD;
  const at = position(prompt.length + i);
  output = await begun.step([{ id: latentPad, position: at, latent, active: true }]);
}
const done = seconds();
await decoder[Symbol.asyncDispose]();
const decodedPeakMB = peakMB();

const latents_LD = Float32Array.from(latents.flatMap((latent) => [...latent]));
await using reader = await openModelFolder(flags.model);
const backbone = new FrozenBackbone(bundle, reader, options);
const [states_BTD] = await backbone.states([
  {
    ...{ inputIds_T: all, positions_3T: positions_3BT },
    given: [
      { places: picturePlaces, rows_ND: pictureRows_MD },
      { places: Array.from({ length: LATENTS }, (_, i) => prompt.length + i), rows_ND: latents_LD },
    ],
  },
]);
const from = (prompt.length - 1) * width;
const states_LD = (states_BTD?.data ?? new Float32Array(0)).subarray(from, from + LATENTS * width);
const graph = new Graph();
const norm = { name: FINAL_NORM, dims: [width] };
const parameters = declareParameters(graph, [...weights.specs, norm]);
declareBasis(graph, spec);
const raw_ND = graph.input('states', 'float', [LATENTS, width]);
graph.output(
  'latents',
  predictLatents(spec, parameters, { raw_ND, normed_ND: finalNorm(text, parameters, raw_ND) }),
);
await using session = await Session.create(encodeGraph(graph), options);
const fixed = [...weights.byName, ...head.fixed, [FINAL_NORM, await backbone.finalNorm()] as const];
const expected = await session.run({
  ...Object.fromEntries(fixed),
  states: tensor('f32', [LATENTS, width], states_LD),
});
const expected_LD = expected['latents']?.data as Float32Array;
const largest = expected_LD.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const error =
  expected_LD.reduce((most, x, i) => Math.max(most, Math.abs(x - (latents_LD[i] ?? NaN))), 0) /
  largest;
const result = {
  bench: 'span',
  model: {
    width,
    layers: text.numLayers,
    vocabulary: text.vocabSize,
    tied: text.tieWordEmbeddings,
  },
  ...{ latents: LATENTS, components: COMPONENTS, promptTokens: prompt.length },
  compileSeconds: compiled - start,
  promptSeconds: read - compiled,
  secondsALatent: (done - read) / LATENTS,
  decodedPeakMB,
  largestLatent: largest,
  largestDifference: error,
  machine: { cpu: cpus()[0]?.model, processors: availableParallelism(), load: loadavg()[0] },
};
console.log(JSON.stringify(result));
if (!(error < TOLERANCE)) throw new Error(`the spans differ by ${error}`);
