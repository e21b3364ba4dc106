// Owns one intervention on one model over all examples: what it is run with, its journal, its resume;
// compare.ts calls it.
import { join } from 'node:path';
import type { PreparedExample } from '../context/prepared.ts';
import { Journal } from '../data/journal.ts';
import { DataError } from '../errors.ts';
import type { Decoder } from '../generate/decoder.ts';
import { DEFAULT_EMA_DECAY } from '../latent/feedback.ts';
import type { GapModel } from '../latent/model.ts';
import { EVALUATION_BATCH, evaluateExamples, otherLatents } from './evaluate.ts';
import type { EvaluateOptions, Prediction } from './evaluate.ts';
import { interventionOf } from './interventions.ts';
import type { InterventionName } from './interventions.ts';

/** Tokens of a response besides its latents; ours: twice what the generated examples need. */
export const RESPONSE_TOKENS = 64;
/** Marks files of predictions; the number changes with the layout. */
export const PREDICTIONS_FORMAT = 'gapvl.predictions.1';

/** How all interventions of a comparison are run. */
export interface RunSettings {
  /** Folder of the comparison. */
  readonly out: string;
  readonly seed: number;
  /** Default 0, greedy. */
  readonly temperature?: number;
  /** Tokens of a response besides its latents, default `RESPONSE_TOKENS`. */
  readonly maxTextTokens?: number;
  readonly emaDecay?: number;
  readonly signal?: AbortSignal;
}

/** One model opened, with the examples as its vision tower sees them. */
export interface Contender {
  readonly name: string;
  readonly hash: string;
  readonly decoder: Decoder;
  readonly items: readonly PreparedExample[];
}

function evaluateOptions(
  intervention: InterventionName,
  model: GapModel,
  options: RunSettings,
): EvaluateOptions {
  const numLatents = model.settings?.numLatents ?? 0;
  // A suppressed span leaves its tokens unwritten, and must not leave them to the text.
  const hasSpan = numLatents > 0 && intervention !== 'zero-latent';
  return {
    seed: options.seed,
    batchSize: EVALUATION_BATCH,
    numLatents,
    // A span has its two markers besides.
    maxNewTokens: (options.maxTextTokens ?? RESPONSE_TOKENS) + (hasSpan ? numLatents + 2 : 0),
    temperature: options.temperature ?? 0,
    ...interventionOf(intervention, options.emaDecay),
    ...(options.signal ? { signal: options.signal } : {}),
  };
}

function joinLatents(latents: readonly Float32Array[]): Float32Array {
  const width = latents[0]?.length ?? 0;
  const joined = new Float32Array(latents.length * width);
  latents.forEach((latent, i) => joined.set(latent, i * width));
  return joined;
}

/** The clean latents of every example that has some, by id; for the intervention `other`. */
async function cleanLatents(
  contender: Contender,
  options: RunSettings,
): Promise<Map<string, Float32Array>> {
  const latents = new Map<string, Float32Array>();
  const { decoder, items } = contender;
  const settings = evaluateOptions('clean', decoder.model, options);
  for await (const { prediction, result } of evaluateExamples(decoder, items, settings)) {
    if (result.latents.length > 0) latents.set(prediction.id, joinLatents(result.latents));
  }
  return latents;
}

/** Whose latents each example gets: the next one of its task that has some, else of any task. */
function exchange(
  items: readonly PreparedExample[],
  latents: ReadonlyMap<string, Float32Array>,
): ReadonlyMap<string, Float32Array> {
  const others = otherLatents(items, latents);
  const donors = [...latents].slice(0, 2);
  for (const { example } of items) {
    const donor = donors.find(([id]) => id !== example.id)?.[1];
    if (donor && !others.has(example.id)) others.set(example.id, donor);
  }
  return others;
}

function parsePredictions(
  records: readonly unknown[],
  items: readonly PreparedExample[],
  path: string,
): Prediction[] {
  return records.map((record, i) => {
    const found = record as Partial<Prediction> | null;
    const isWhole =
      found?.id === items[i]?.example.id &&
      typeof found?.correct === 'boolean' &&
      typeof found.numSpans === 'number';
    if (isWhole) return found as Prediction;
    throw new DataError({
      what: `${path}:${i + 2}: the line is no prediction for example ${i + 1} of the dataset`,
      got: JSON.stringify(record).slice(0, 120),
      expected: `a prediction for ${items[i]?.example.id ?? 'nothing, there are no more examples'}`,
      fix: 'remove the file and run the command again',
    });
  });
}

/**
 * Runs one intervention, from what its journal already holds; yields every prediction once it is
 * safe on disk. `source` says in the journal what the predictions come from.
 * @param known - keeps the clean latents between the interventions of a contender.
 * @throws DataError when the journal is broken, ConfigError when it belongs to another run.
 */
export async function* runIntervention(
  intervention: InterventionName,
  contender: Contender,
  options: RunSettings,
  source: Readonly<Record<string, unknown>>,
  known: { latents?: ReadonlyMap<string, Float32Array> },
): AsyncGenerator<Prediction, void> {
  const { decoder, items, name } = contender;
  const settings = evaluateOptions(intervention, decoder.model, options);
  const path = join(options.out, 'predictions', `${name}.${intervention}.jsonl`);
  const { maxNewTokens, numLatents, batchSize } = settings;
  const calibration =
    intervention === 'ema' ? { emaDecay: options.emaDecay ?? DEFAULT_EMA_DECAY } : {};
  await using journal = await Journal.open(path, {
    format: PREDICTIONS_FORMAT,
    ...source,
    model: contender.hash,
    intervention,
    maxNewTokens,
    numLatents,
    batchSize,
    ...calibration,
  });
  const before = parsePredictions(journal.records, items, path);
  yield* before;
  if (before.length === items.length) return;
  if (intervention === 'other') known.latents ??= await cleanLatents(contender, options);
  const given =
    intervention === 'other' && known.latents ? exchange(items, known.latents) : undefined;
  // Whole batches, as without an interruption: the bits of a row may depend on its neighbours.
  const first = before.length - (before.length % batchSize);
  const collected =
    intervention === 'clean' && first === 0 ? new Map<string, Float32Array>() : null;
  let batch: Prediction[] = [];
  let at = first;
  const evaluated = evaluateExamples(decoder, items.slice(first), {
    ...settings,
    ...(given ? { others: given } : {}),
  });
  for await (const { prediction, result } of evaluated) {
    if (result.latents.length > 0) collected?.set(prediction.id, joinLatents(result.latents));
    if (at >= before.length) batch.push({ ...prediction, intervention });
    at += 1;
    if (at % batchSize !== 0 && at !== items.length) continue;
    await journal.append(batch);
    yield* batch;
    batch = [];
  }
  if (collected) known.latents = collected;
}
