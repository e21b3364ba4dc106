// Owns one job of the study: train a variant, evaluate it under every intervention, say what came out.
import type { PreparedExample } from '../../src/context/prepared.ts';
import { latentIds } from '../../src/capacity/assignment.ts';
import type { SessionOptions } from '../../src/engine/session.ts';
import { EVALUATION_BATCH, evaluateExamples, otherLatents } from '../../src/evaluate/evaluate.ts';
import { mean, sampleStd } from '../../src/evaluate/statistics.ts';
import { Decoder } from '../../src/generate/decoder.ts';
import { DEFAULT_EMA_DECAY, interventionName, norm } from '../../src/latent/feedback.ts';
import type { Calibration, Intervention } from '../../src/latent/feedback.ts';
import { outputHead } from '../../src/latent/model.ts';
import type { GapModel } from '../../src/latent/model.ts';
import { fitPca } from '../../src/latent/pca.ts';
import type { PcaBasis } from '../../src/latent/pca.ts';
import { VARIANTS, usesLatents } from '../../src/latent/variants.ts';
import type { StepRecord } from '../../src/train/loop.ts';
import { trainVariant } from '../../src/train/gap.ts';
import type { StudyJob } from './jobs.ts';
import type { Setting } from './setting.ts';

/** Verdicts of one intervention on one split, one character an item in the order of the draw. */
export interface ArmResult {
  /** `1` correct, `0` not. */
  readonly correct: string;
  /** Rows that wrote a latent span. */
  readonly numTriggered: number;
  readonly seconds: number;
}

/** A mean with its standard deviation. */
export interface Spread {
  readonly mean: number;
  readonly std: number;
}

/** What a job leaves behind. */
export interface JobResult {
  readonly job: StudyJob;
  /** By split, then by intervention (`clean`, `zero-latent`, ..., `clean+ema`). */
  readonly arms: Readonly<Record<string, Readonly<Record<string, ArmResult>>>>;
  /** L2 norms on validation, clean decoding; absent without latents. */
  readonly norms?: {
    readonly finalState: Spread;
    readonly queryVision: Spread;
    readonly reconstruction: Spread;
  };
  /** Step, LM loss, latent loss over the total variance; means of 25 steps. */
  readonly curve: readonly (readonly [number, number, number | null])[];
  readonly basis: {
    readonly k: number;
    readonly explained: number;
    readonly totalVariance: number;
  };
  /** Share of training examples with latent supervision. */
  readonly latentShare: number;
  readonly trainSeconds: number;
}

const CURVE_STEPS = 25;
/** Tokens of a response besides the latents. */
const TEXT_TOKENS = 30;

type Arm = readonly [Intervention, Calibration];

const PLAIN: Calibration = { kind: 'none' };
const CLEAN: Arm = [{ kind: 'clean' }, PLAIN];
const ZERO_LATENT: Arm = [{ kind: 'zero-latent' }, PLAIN];
const OTHER: Arm = [{ kind: 'other' }, PLAIN];
const ORACLE: Arm = [{ kind: 'oracle' }, PLAIN];
const EMA: Arm = [{ kind: 'clean' }, { kind: 'ema', decay: DEFAULT_EMA_DECAY }];
const NOISE: readonly Arm[] = (['unit', 'spectrum', 'norm'] as const).map((law) => [
  { kind: 'noise', law },
  PLAIN,
]);

/** What a job is evaluated under: all interventions where the tables show them, fewer elsewhere. */
function armsOf({ variant, kind }: StudyJob, split: 'validation' | 'test'): readonly Arm[] {
  if (!usesLatents(variant)) return [CLEAN];
  if (kind === 'sweep') return [CLEAN, ZERO_LATENT, ORACLE];
  if (split === 'validation') return [CLEAN, ORACLE];
  if (variant === 'gap') return [CLEAN, ZERO_LATENT, ...NOISE, OTHER, ORACLE, EMA];
  return VARIANTS[variant].head === 'output' ? [CLEAN, ORACLE, EMA] : [CLEAN, ORACLE];
}

function spread(values: readonly number[]): Spread {
  return { mean: mean(values), std: sampleStd(values) ?? 0 };
}

function flatten(latents: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(latents.reduce((sum, v) => sum + v.length, 0));
  latents.reduce((at, v) => {
    all.set(v, at);
    return at + v.length;
  }, 0);
  return all;
}

async function runArms(
  model: GapModel,
  job: StudyJob,
  items: readonly PreparedExample[],
  chosen: readonly Arm[],
  options: SessionOptions,
): Promise<{ arms: Record<string, ArmResult>; norms?: JobResult['norms'] }> {
  const width = model.bundle.checkpoint.config.text.hiddenSize;
  const latent = usesLatents(job.variant);
  const arms: Record<string, ArmResult> = {};
  const clean = new Map<string, Float32Array>();
  const states: number[] = [];
  const written: number[] = [];
  await using decoder = await Decoder.create(model, options);
  for (const [intervention, calibration] of chosen) {
    const began = performance.now();
    const isClean = intervention.kind === 'clean' && calibration.kind === 'none';
    const others = otherLatents(items, clean);
    // An item whose task wrote no latents at all keeps its own, which changes nothing.
    for (const { example } of items)
      if (!others.has(example.id))
        others.set(example.id, clean.get(example.id) ?? new Float32Array(width));
    let correct = '';
    let numTriggered = 0;
    const run = evaluateExamples(decoder, items, {
      seed: job.seed,
      batchSize: EVALUATION_BATCH,
      numLatents: job.recipe.numLatents,
      maxNewTokens: (latent ? job.recipe.numLatents : 0) + TEXT_TOKENS,
      temperature: 0,
      intervention,
      calibration,
      others,
    });
    for await (const { prediction, result } of run) {
      correct += prediction.correct ? '1' : '0';
      if (prediction.numSpans > 0) numTriggered += 1;
      if (!isClean) continue;
      if (result.latents.length > 0) clean.set(prediction.id, flatten(result.latents));
      states.push(...result.stateNorms);
      written.push(...result.latents.map(norm));
    }
    const name = interventionName(intervention) + (calibration.kind === 'ema' ? '+ema' : '');
    arms[name] = { correct, numTriggered, seconds: (performance.now() - began) / 1000 };
  }
  if (written.length === 0) return { arms };
  const query = items.flatMap(({ pictureRows_MD }) =>
    Array.from({ length: pictureRows_MD.length / width }, (_, i) =>
      norm(pictureRows_MD.subarray(i * width, (i + 1) * width)),
    ),
  );
  return {
    arms,
    norms: {
      finalState: spread(states),
      queryVision: spread(query),
      reconstruction: spread(written),
    },
  };
}

function curveOf(records: readonly StepRecord[], basis: PcaBasis): JobResult['curve'] {
  const points: [number, number, number | null][] = [];
  for (let start = 0; start + CURVE_STEPS <= records.length; start += CURVE_STEPS) {
    const part = records.slice(start, start + CURVE_STEPS);
    const latent = part.flatMap((r) =>
      r.latentLoss === undefined ? [] : [r.latentLoss / basis.totalVariance],
    );
    points.push([
      start + CURVE_STEPS,
      mean(part.map((r) => r.languageLoss ?? NaN)),
      latent.length > 0 ? mean(latent) : null,
    ]);
  }
  return points;
}

/** The base as it is, evaluated greedily like every variant. */
export async function runBase(
  setting: Setting,
  job: StudyJob,
  options: SessionOptions,
): Promise<JobResult['arms']> {
  const model: GapModel = { bundle: setting.bundle, head: outputHead() };
  const base = { ...job, variant: 'base' as const };
  return {
    validation: (await runArms(model, base, setting.validation, [CLEAN], options)).arms,
    test: (await runArms(model, base, setting.test, [CLEAN], options)).arms,
  };
}

/** Trains and evaluates one job. */
export async function runJob(
  setting: Setting,
  job: StudyJob,
  options: SessionOptions,
): Promise<JobResult> {
  const began = performance.now();
  const basis = await fitPca(setting.moments, { explained: job.explained });
  const ids = latentIds(setting.capacity, job.tau);
  const run = trainVariant(
    job.variant,
    job.recipe,
    { bundle: setting.bundle, examples: setting.train, latentIds: ids, basis },
    options,
  );
  const records: StepRecord[] = [];
  let step = await run.next();
  while (step.done !== true) {
    records.push(step.value);
    if (step.value.step % 250 === 0)
      process.stderr.write(
        `${job.id}: step ${step.value.step}, loss ${step.value.loss.toFixed(4)}\n`,
      );
    step = await run.next();
  }
  const model = step.value;
  const trainSeconds = (performance.now() - began) / 1000;
  const evaluate = (split: 'validation' | 'test'): ReturnType<typeof runArms> =>
    runArms(model, job, setting[split], armsOf(job, split), options);
  const validation = await evaluate('validation');
  const arms = {
    validation: validation.arms,
    ...(job.kind === 'main' ? { test: (await evaluate('test')).arms } : {}),
  };
  return {
    job,
    arms,
    ...(validation.norms ? { norms: validation.norms } : {}),
    curve: curveOf(records, basis),
    basis: { k: basis.k, explained: basis.explained, totalVariance: basis.totalVariance },
    latentShare: ids.size / setting.train.length,
    trainSeconds,
  };
}
