// Owns our side of bench/decode.ts: one process, one checkpoint, one thread count; last line JSON.
import { openCheckpoint } from '../../src/store/checkpoint.ts';
import { bareBundle } from '../../src/generate/continuation.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import type { DecodingBatch, StepInput } from '../../src/generate/decoder.ts';
import { headSpecs, initialiseHead } from '../../src/latent/head.ts';
import { makeHead } from '../../src/latent/model.ts';
import type { LatentHead } from '../../src/latent/model.ts';
import type { PcaBasis } from '../../src/latent/pca.ts';
import { Weights } from '../../src/model/weights.ts';
import { Rng } from '../../src/rng.ts';
import { peakBytes } from './peak.ts';
import type { Measured, Response, Work } from './shapes.ts';

/** Components and adapter width of the latent head, as a trained model of this package has. */
const COMPONENTS = 64;
const ADAPTER = 64;

function latentHead(hiddenSize: number): LatentHead {
  const rng = new Rng('bench decode');
  const random = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => rng.normal() * hiddenSize ** -0.5);
  const basis: PcaBasis = {
    kind: 'random',
    dim: hiddenSize,
    k: COMPONENTS,
    mean_D: random(hiddenSize),
    basis_DK: random(hiddenSize * COMPONENTS),
    eigenvalues: new Float64Array(hiddenSize).fill(1),
    totalVariance: hiddenSize,
    explained: COMPONENTS / hiddenSize,
    count: 1,
  };
  const spec = {
    kind: 'pca',
    hiddenSize,
    numComponents: COMPONENTS,
    adapterSize: ADAPTER,
  } as const;
  const weights = new Weights(headSpecs(spec));
  initialiseHead(spec, weights, rng, basis);
  return makeHead(spec, weights, basis);
}

function largest(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) {
    if ((logits[i] as number) > (logits[best] as number)) best = i;
  }
  return best;
}

async function start(decoder: Decoder, work: Work, room: number): Promise<DecodingBatch> {
  const { promptIds } = work;
  const positions_3T = Int32Array.from({ length: 3 * promptIds.length }, (_, i) => {
    return i % promptIds.length;
  });
  const row = { ids: promptIds, positions_3T, given_ND: new Float32Array(0) };
  return decoder.start([{ ...row, givenPlaces: [] }], room);
}

function inputAt(at: number, id: number, latent?: Float32Array): StepInput {
  return { id, position: [at, at, at], active: true, ...(latent ? { latent } : {}) };
}

/** A response of text. */
async function respond(decoder: Decoder, work: Work, newTokens: number): Promise<Response> {
  let before = performance.now();
  const lap = (): number => {
    const now = performance.now();
    const ms = now - before;
    before = now;
    return ms;
  };
  const batch = await start(decoder, work, newTokens);
  let id = largest(batch.output.logits_BV);
  const firstMs = lap();
  const ids = [id];
  const stepMs: number[] = [];
  while (ids.length < newTokens) {
    const at = work.promptIds.length + ids.length - 1;
    const { logits_BV } = await batch.step([inputAt(at, id)]);
    id = largest(logits_BV);
    ids.push(id);
    stepMs.push(lap());
  }
  return { firstMs, stepMs, ids };
}

/**
 * Milliseconds of a whole response of `textTokens`, with a span of `numLatents` in its middle, its
 * two markers besides; undefined: without any.
 */
async function respondWithSpan(
  decoder: Decoder,
  work: Work,
  textTokens: number,
  numLatents?: number,
): Promise<number> {
  const before = performance.now();
  const markers = numLatents === undefined ? 0 : 2;
  const batch = await start(decoder, work, textTokens + markers + (numLatents ?? 0));
  let { output } = batch;
  let at = work.promptIds.length;
  const step = async (id: number, latent?: Float32Array): Promise<void> => {
    output = await batch.step([inputAt(at++, id, latent)]);
  };
  for (let written = 1; written < textTokens; written++) {
    await step(largest(output.logits_BV));
    if (numLatents === undefined || written !== textTokens / 2) continue;
    await step(largest(output.logits_BV));
    for (let k = 0; k < numLatents; k++) await step(0, output.latents_BD);
    await step(0);
  }
  largest(output.logits_BV);
  return performance.now() - before;
}

async function measure(folder: string, work: Work): Promise<Measured> {
  const before = performance.now();
  const checkpoint = await openCheckpoint(folder);
  const head = latentHead(checkpoint.config.text.hiddenSize);
  const model = { bundle: bareBundle(checkpoint), head };
  await using decoder = await Decoder.create(model, {
    threads: work.threads,
    ...(work.profile === undefined ? {} : { profile: work.profile }),
  });
  const loadMs = performance.now() - before;
  const warmIds = work.promptIds.slice(0, work.warmPrompt);
  await respond(decoder, { ...work, promptIds: warmIds }, work.warmTokens);
  const responses: Response[] = [];
  if (!work.span) {
    for (let i = 0; i < work.repeats; i++)
      responses.push(await respond(decoder, work, work.newTokens));
    return { loadMs, peakBytes: peakBytes(), responses, about: { threads: work.threads } };
  }
  const { textTokens, numLatents } = work.span;
  const kinds = { plain: undefined, markers: 0, span: numLatents } as const;
  const spans: Record<keyof typeof kinds, number[]> = { plain: [], markers: [], span: [] };
  for (let i = 0; i < work.repeats; i++) {
    const names = Object.keys(kinds) as (keyof typeof kinds)[];
    for (const kind of i % 2 === 0 ? names : names.reverse())
      spans[kind].push(await respondWithSpan(decoder, work, textTokens, kinds[kind]));
  }
  return { loadMs, peakBytes: peakBytes(), responses, spans, about: { threads: work.threads } };
}

const [folder = '', work = ''] = process.argv.slice(2);
console.log(JSON.stringify(await measure(folder, JSON.parse(work) as Work)));
