// Owns comparing models: every model under every intervention it allows, journalled and resumable.
// Axes: K latents, D hidden.
import { join } from 'node:path';
import { loadPictures, prepareExamples } from '../context/prepared.ts';
import type { PreparedExample } from '../context/prepared.ts';
import { hashDataset, hashModel, versions } from '../context/provenance.ts';
import { loadDataset } from '../data/dataset.ts';
import type { Example, Split } from '../data/example.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import type { SessionOptions } from '../engine/session.ts';
import { ConfigError } from '../errors.ts';
import { Decoder } from '../generate/decoder.ts';
import { openGapModel } from '../store/latent-head.ts';
import type { GapModel } from '../latent/model.ts';
import { VARIANTS } from '../latent/variants.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { expectFinished } from '../context/run-folder.ts';
import { numWithoutPartner, scoreIntervention } from './comparison.ts';
import type { InterventionScore } from './comparison.ts';
import type { Prediction } from './evaluate.ts';
import { runIntervention } from './intervention-run.ts';
import type { RunSettings } from './intervention-run.ts';
import { obstacle, variantLabel, writesLatents } from './interventions.ts';
import type { InterventionName } from './interventions.ts';

/** A model to compare, by the name tables and files use. */
export interface NamedModel {
  readonly name: string;
  readonly folder: string;
}

/** What to compare and how. */
export interface CompareOptions extends SessionOptions, RunSettings {
  readonly models: readonly NamedModel[];
  /** Dataset folder. */
  readonly data: string;
  readonly split: Split;
  /** First examples of the split only. */
  readonly limit?: number;
  readonly interventions: readonly InterventionName[];
}

/** File of a comparison's numbers inside its folder. */
export const SUMMARY_FILE = 'summary.json';

/** One prediction of a comparison, an earlier run's included. */
export interface ComparisonEvent {
  readonly model: string;
  readonly intervention: InterventionName;
  readonly prediction: Prediction;
  /** Predictions so far, of all models and interventions together. */
  readonly done: number;
  readonly total: number;
}

/** What a model scored. */
export interface ModelComparison {
  readonly name: string;
  readonly folder: string;
  /** What the model is, such as `GAP`. */
  readonly variant: string;
  readonly hash: string;
  readonly writesLatents: boolean;
  readonly scores: readonly InterventionScore[];
  readonly skipped: readonly {
    readonly intervention: InterventionName;
    readonly reason: string;
  }[];
  /** What a reader has to know before believing the numbers. */
  readonly warnings: readonly string[];
}

/** All numbers of a comparison; SUMMARY_FILE holds it. */
export interface Comparison {
  readonly format: 'gapvl.comparison.1';
  readonly data: {
    readonly folder: string;
    readonly split: Split;
    readonly n: number;
    readonly hash: string;
  };
  readonly seed: number;
  readonly temperature: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly models: readonly ModelComparison[];
}

/** Trigger rates below these are called out; ours: all examples, or a tenth where capacity chose. */
const EXPECTED_TRIGGER_RATE = { none: 0, all: 0.9, capacity: 0.1 } as const;

const SAFE_NAME = /^[\w][\w.+-]*$/;

function checkModels({ models, interventions }: CompareOptions): void {
  const names = models.map(({ name }) => name);
  const faults = names.filter((name, i) => !SAFE_NAME.test(name) || names.indexOf(name) !== i);
  if (faults.length === 0 && models.length > 0 && interventions.length > 0) return;
  throw new ConfigError({
    what: 'these models cannot be compared',
    got: faults.length > 0 ? `the names ${faults.join(', ')}` : `${models.length} models`,
    expected: 'at least one, each by a name of its own of letters, digits, dots and dashes',
    fix: 'name them as in --model gap=runs/gap',
  });
}

function warningsFor(model: GapModel, scores: readonly InterventionScore[]): string[] {
  const clean = scores.find(({ intervention }) => intervention === 'clean');
  if (!clean) return [];
  const warnings: string[] = [];
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  const { variant } = model.settings ?? { variant: 'base' as const };
  if (clean.triggerRate < EXPECTED_TRIGGER_RATE[VARIANTS[variant].assignment]) {
    warnings.push(
      `should write latents and did so in ${percent(clean.triggerRate)} of its responses only`,
    );
  }
  if (clean.finishedRate < 1) {
    warnings.push(`${percent(1 - clean.finishedRate)} of its responses were cut off at the limit`);
  }
  return warnings;
}

/**
 * Runs every model on the same examples, clean and under each intervention it allows; yields the
 * predictions as they are safe in their JSONL file, those of an earlier run first. Aborting loses
 * no finished batch; the same call goes on and gives the same bytes. The numbers are returned and
 * written to SUMMARY_FILE.
 * @throws ConfigError for names that cannot be used or an output of another comparison.
 */
export async function* compareModels(
  options: CompareOptions,
): AsyncGenerator<ComparisonEvent, Comparison> {
  checkModels(options);
  const { signal, split, seed, data } = options;
  const interventions = options.interventions.includes('clean')
    ? options.interventions
    : (['clean', ...options.interventions] as const);
  for (const { folder } of options.models) await expectFinished(folder);
  const examples = (await loadDataset(data, { split })).slice(0, options.limit);
  const source = {
    data: await hashDataset(data),
    split,
    limit: options.limit ?? null,
    seed,
    temperature: options.temperature ?? 0,
    versions: await versions(),
  };
  // Shrinks by what turns out to be impossible.
  let total = options.models.length * interventions.length * examples.length;
  let done = 0;
  const models: ModelComparison[] = [];
  for (const { name, folder } of options.models) {
    signal?.throwIfAborted();
    const model = await openGapModel(folder);
    const items = await prepareFor(model, examples, options);
    await using decoder = await Decoder.create(model, options);
    const contender = { name, hash: await hashModel(folder), decoder, items };
    const predictions = new Map<InterventionName, Prediction[]>();
    const skipped: { intervention: InterventionName; reason: string }[] = [];
    const known: { latents?: ReadonlyMap<string, Float32Array> } = {};
    for (const intervention of orderOf(interventions)) {
      const reason =
        obstacle(intervention, model, items) ?? withoutSpans(intervention, predictions);
      if (reason !== undefined) {
        skipped.push({ intervention, reason });
        total -= items.length;
        continue;
      }
      const own: Prediction[] = [];
      predictions.set(intervention, own);
      const run = runIntervention(intervention, contender, options, source, known);
      for await (const prediction of run) {
        own.push(prediction);
        done += 1;
        yield { model: name, intervention, prediction, done, total };
      }
    }
    const clean = predictions.get('clean');
    const scores = [...predictions].map(([intervention, own]) => ({
      ...scoreIntervention(intervention, own, clean, seed),
      ...(intervention === 'other' ? { numFromOtherTasks: numWithoutPartner(clean ?? []) } : {}),
    }));
    models.push({
      name,
      folder,
      variant: variantLabel(model),
      hash: contender.hash,
      writesLatents: writesLatents(model),
      scores,
      skipped,
      warnings: warningsFor(model, scores),
    });
  }
  const comparison: Comparison = {
    format: 'gapvl.comparison.1',
    data: { folder: data, split, n: examples.length, hash: source.data },
    seed,
    temperature: source.temperature,
    versions: source.versions,
    models,
  };
  await writeFileAtomic(join(options.out, SUMMARY_FILE), [
    `${JSON.stringify(comparison, null, 2)}\n`,
  ]);
  return comparison;
}

/** Clean goes first: the others are held against it, and `other` takes its latents. */
function orderOf(interventions: readonly InterventionName[]): readonly InterventionName[] {
  return ['clean', ...interventions.filter((name) => name !== 'clean')];
}

/** Without at least two spans there is nothing to exchange, without one nothing to change. */
function withoutSpans(
  intervention: InterventionName,
  predictions: ReadonlyMap<InterventionName, readonly Prediction[]>,
): string | undefined {
  const spans = predictions.get('clean')?.filter(({ numSpans }) => numSpans > 0).length ?? 0;
  if (intervention === 'clean' || spans > (intervention === 'other' ? 1 : 0)) return undefined;
  return `the model wrote latents in ${spans} of its responses`;
}

async function prepareFor(
  model: GapModel,
  examples: readonly Example[],
  options: CompareOptions,
): Promise<PreparedExample[]> {
  const isWriter = writesLatents(model);
  await using encoder = new PictureEncoder(model.bundle, options);
  return await prepareExamples(model.bundle, encoder, examples, {
    load: (example) => loadPictures(options.data, example, isWriter ? 'all' : 'query'),
    ...(isWriter && model.settings ? { numLatents: model.settings.numLatents } : {}),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}
