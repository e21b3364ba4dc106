// Owns an audit from model and data to journals and result: clean rows, arms, parts, resume; the CLI calls it.
import { join } from 'node:path';
import { loadPictures, prepareExamples } from '../context/prepared.ts';
import type { PreparedExample } from '../context/prepared.ts';
import { hashDataset, hashModel, versions } from '../context/provenance.ts';
import { expectFinished } from '../context/run-folder.ts';
import { loadDataset } from '../data/dataset.ts';
import type { Split } from '../data/example.ts';
import type { Journal } from '../data/journal.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import type { SessionOptions } from '../engine/session.ts';
import { ConfigError } from '../errors.ts';
import { RESPONSE_TOKENS } from '../evaluate/intervention-run.ts';
import { EVALUATION_BATCH } from '../evaluate/evaluate.ts';
import { variantLabel, writesLatents } from '../evaluate/interventions.ts';
import { Decoder } from '../generate/decoder.ts';
import type { StepDecoder } from '../generate/decoder.ts';
import { DEFAULT_EMA_DECAY } from '../latent/feedback.ts';
import type { Calibration } from '../latent/feedback.ts';
import { VARIANTS } from '../latent/variants.ts';
import type { GapModel } from '../latent/model.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { openGapModel } from '../store/latent-head.ts';
import { ArmBatch, CLEAN_ARM, cleanRows } from './arms.ts';
import { openArm, openPart } from './journals.ts';
import type { AuditSource } from './journals.ts';
import type { ArmRecord, ArmSpec, AuditContext, CleanRow, PartDefinition } from './part.ts';
import { PARTS } from './parts/index.ts';
import { REPLACEMENT_PART, replacementArms } from './parts/replacement.ts';
import { AUDIT_RUN_FILE, readAuditRun, summariseAudit } from './summary.ts';
import { VERDICT_ARMS } from './verdict.ts';
import type { AuditRun } from './summary.ts';
import type { Audit, AuditTiming, PartName, SkippedPart } from './types.ts';

/** What to audit and how. */
export interface AuditOptions extends SessionOptions {
  /** Model folder. */
  readonly model: string;
  /** Dataset folder. */
  readonly data: string;
  readonly split: Split;
  /** First examples of the split only. */
  readonly limit?: number;
  /** Folder of journals and result. */
  readonly out: string;
  readonly seed: number;
  /** Default: all of them. */
  readonly only?: readonly PartName[];
  /** Model folder whose accuracy retention is held against; default: the suppressed span. */
  readonly base?: string;
  /** Default 0, greedy. */
  readonly temperature?: number;
  /** Tokens of a response besides its latents, default RESPONSE_TOKENS. */
  readonly maxTextTokens?: number;
  /** Rows decoded together; default: as many as CACHE_BYTES allows, at most EVALUATION_BATCH. */
  readonly batchSize?: number;
  /** Milliseconds since some moment, for the time by arm; without it no times are told. */
  readonly now?: () => number;
  /** Lets a test put another decoder in the place of the model's own. */
  readonly wrapDecoder?: (decoder: StepDecoder) => StepDecoder;
  readonly signal?: AbortSignal;
}

/** Keys and values of a batch may take this much; an arm needs a copy of them. ours. */
const CACHE_BYTES = 1 << 30;

/** How far an audit is. */
export interface AuditEvent {
  /** What is being done, such as the name of an arm. */
  readonly what: string;
  /** Of all decodings and measurements together. */
  readonly done: number;
  readonly total: number;
}

/** Seconds by name, added up over batches. */
class Stopwatch {
  private readonly now: () => number;
  private readonly seconds = new Map<string, number>();

  constructor(now: () => number) {
    this.now = now;
  }

  async time<T>(what: string, work: () => Promise<T>): Promise<T> {
    const start = this.now();
    try {
      return await work();
    } finally {
      const spent = (this.now() - start) / 1000;
      this.seconds.set(what, (this.seconds.get(what) ?? 0) + spent);
    }
  }

  get timings(): { what: string; seconds: number }[] {
    return [...this.seconds].map(([what, seconds]) => ({ what, seconds }));
  }
}

/**
 * Audits a model: decodes the examples as they are, then again under every arm, measures what the
 * parts measure, and says what the latents are for. Every item is journalled as it is finished;
 * the same call goes on after an interruption and gives the same numbers. The result is returned
 * and stands in the folder as `audit.json`.
 * @throws ConfigError for an output of another audit; DataError for a dataset without examples.
 */
export async function* runAudit(options: AuditOptions): AsyncGenerator<AuditEvent, Audit> {
  const watch = new Stopwatch(options.now ?? (() => 0));
  const { split, seed, data } = options;
  await expectFinished(options.model);
  const dataset = (await loadDataset(data, { split })).slice(0, options.limit);
  const model = await openGapModel(options.model);
  await using encoder = new PictureEncoder(model.bundle, options);
  const settings = model.settings && writesLatents(model) ? model.settings : undefined;
  const numLatents = settings?.numLatents ?? 0;
  const items = await watch.time('pictures', () =>
    prepareExamples(model.bundle, encoder, dataset, {
      load: (example) => loadPictures(data, example),
      ...(settings ? { numLatents } : {}),
      ...(options.signal ? { signal: options.signal } : {}),
    }),
  );
  await using own = await Decoder.create(model, options);
  const decoder = options.wrapDecoder?.(own) ?? own;
  const maxNewTokens =
    // A span has its two markers besides.
    (options.maxTextTokens ?? RESPONSE_TOKENS) + (numLatents > 0 ? numLatents + 2 : 0);
  const batchSize = options.batchSize ?? rowsThatFit(model, items, maxNewTokens);
  const source: AuditSource = {
    model: await hashModel(options.model),
    data: await hashDataset(data),
    ...{ split, n: items.length, seed, numLatents },
    temperature: options.temperature ?? 0,
    maxTextTokens: options.maxTextTokens ?? RESPONSE_TOKENS,
    batchSize,
    versions: await versions(),
  };
  const shared = {
    ...{ model, decoder, encoder, seed },
    loadPictures: (example: PreparedExample['example']) => loadPictures(data, example),
    batchSize,
    generation: {
      numLatents,
      maxNewTokens,
      temperature: options.temperature ?? 0,
      intervention: { kind: 'clean' },
      calibration: calibrationOf(model),
    } as const,
    session: options,
    ...(options.signal ? { signal: options.signal } : {}),
  };
  const rows: CleanRow[] = [];
  const chunks = cleanRows(shared, items);
  for (;;) {
    const next = await watch.time('clean', () => chunks.next());
    if (next.done === true) break;
    rows.push(...next.value);
    yield { what: 'clean', done: rows.length, total: items.length };
  }
  const context: AuditContext = { ...shared, rows };
  const { parts, skipped } = choose(context, options.only);
  const arms = await armsOf(context, parts);
  const steps = new Steps(items.length, arms.length, parts.filter((part) => part.collect).length);
  yield* runArms(context, arms, options.out, source, watch, steps);
  for (const part of parts) yield* collectPart(context, part, options.out, source, watch, steps);
  const names = arms.map(({ name }) => name);
  if (options.base !== undefined) {
    yield { what: 'base', ...steps.at };
    await watch.time('base', () => runBase(options.base ?? '', context, items, options, source));
    names.push('base');
  }
  const run: AuditRun = {
    format: 'gapvl.audit-run.1',
    model: {
      folder: options.model,
      variant: variantLabel(model),
      hash: String(source['model']),
      numLatents,
    },
    data: { folder: data, split, n: items.length, hash: String(source['data']) },
    seed,
    versions: await versions(),
    arms: names,
    parts: parts.map(({ name }) => name),
    skipped,
    timings: options.now ? await withEarlier(options.out, watch.timings) : [],
  };
  const text = `${JSON.stringify(run, null, 2)}\n`;
  await writeFileAtomic(join(options.out, AUDIT_RUN_FILE), [text]);
  return await summariseAudit(options.out);
}

/** Rows whose keys and values fit into CACHE_BYTES. */
function rowsThatFit(
  { bundle }: GapModel,
  items: readonly PreparedExample[],
  maxNewTokens: number,
): number {
  const { numLayers, numKvHeads, headSize } = bundle.checkpoint.config.text;
  const longest = Math.max(...items.map(({ promptIds }) => promptIds.length)) + maxNewTokens;
  const rowBytes = 4 * 2 * numLayers * numKvHeads * headSize * longest;
  return Math.max(1, Math.min(EVALUATION_BATCH, Math.floor(CACHE_BYTES / rowBytes)));
}

/** Output-as-input with norm calibration is a variant of its own; all others read latents as they are. */
function calibrationOf({ settings }: GapModel): Calibration {
  return VARIANTS[settings?.variant ?? 'base'].calibrated
    ? { kind: 'ema', decay: DEFAULT_EMA_DECAY }
    : { kind: 'none' };
}

/** Times of an audit that goes on or is repeated: what was not done again keeps its time. */
async function withEarlier(
  out: string,
  timings: readonly AuditTiming[],
): Promise<readonly AuditTiming[]> {
  const known = new Map(timings.map(({ what, seconds }) => [what, seconds]));
  const earlier = await readAuditRun(out).catch(() => ({ timings: [] }));
  for (const { what, seconds } of earlier.timings)
    known.set(what, Math.max(seconds, known.get(what) ?? 0));
  return [...known].map(([what, seconds]) => ({ what, seconds }));
}

/** Counts decodings and measurements, each example of each once. */
class Steps {
  private done = 0;
  private readonly total: number;

  constructor(numItems: number, numArms: number, numCollects: number) {
    this.total = numItems * (numArms + numCollects);
  }

  add(count: number): void {
    this.done += count;
  }

  get at(): { done: number; total: number } {
    return { done: Math.min(this.done, this.total), total: this.total };
  }
}

function choose(
  context: AuditContext,
  only: readonly PartName[] | undefined,
): { parts: PartDefinition[]; skipped: SkippedPart[] } {
  const parts: PartDefinition[] = [];
  const skipped: SkippedPart[] = [];
  for (const part of PARTS) {
    if (only && !only.includes(part.name)) {
      skipped.push({ name: part.name, reason: 'not asked for' });
      continue;
    }
    const reason = part.obstacle(context);
    if (reason === undefined) parts.push(part);
    else skipped.push({ name: part.name, reason });
  }
  return { parts, skipped };
}

/** The arms of all parts, each once, clean first; those that the verdict needs are always there. */
async function armsOf(context: AuditContext, parts: readonly PartDefinition[]): Promise<ArmSpec[]> {
  const arms = new Map<string, ArmSpec>([[CLEAN_ARM.name, CLEAN_ARM]]);
  if (REPLACEMENT_PART.obstacle(context) === undefined) {
    for (const arm of await replacementArms(context))
      if (VERDICT_ARMS.includes(arm.name)) arms.set(arm.name, arm);
  }
  for (const part of parts) {
    for (const arm of (await part.arms?.(context)) ?? []) {
      if (!/^[a-z0-9.-]+$/u.test(arm.name))
        throw new ConfigError({ what: `the name of arm ${arm.name} is no file name` });
      if (!arms.has(arm.name)) arms.set(arm.name, arm);
    }
  }
  return [...arms.values()];
}

async function* runArms(
  context: AuditContext,
  arms: readonly ArmSpec[],
  out: string,
  source: AuditSource,
  watch: Stopwatch,
  steps: Steps,
): AsyncGenerator<AuditEvent, void> {
  const ids = context.rows.map(({ item }) => item.example.id);
  const journals = new Map<string, Journal>();
  try {
    for (const { name } of arms) journals.set(name, await openArm(out, name, source, ids));
    yield* runBatches(context, arms, journals, watch, steps);
  } finally {
    for (const journal of journals.values()) await journal[Symbol.asyncDispose]();
  }
}

async function* runBatches(
  context: AuditContext,
  arms: readonly ArmSpec[],
  journals: ReadonlyMap<string, Journal>,
  watch: Stopwatch,
  steps: Steps,
): AsyncGenerator<AuditEvent, void> {
  const { rows, batchSize } = context;
  const known = (name: string): number => journals.get(name)?.records.length ?? 0;
  for (let first = 0; first < rows.length; first += batchSize) {
    const size = Math.min(batchSize, rows.length - first);
    const left = arms.filter(({ name }) => known(name) < first + size);
    steps.add((arms.length - left.length) * size);
    if (left.length === 0) continue;
    const batch = await watch.time('prefix', () => ArmBatch.open(context, first));
    for (const arm of left) {
      const records = await watch.time(arm.name, () => batch.run(arm));
      // Whole batches, as without an interruption; what is there already is not written twice.
      const fresh = records.slice(Math.max(0, known(arm.name) - first));
      await journals.get(arm.name)?.append(fresh);
      steps.add(size);
      yield { what: arm.name, ...steps.at };
    }
  }
}

async function* collectPart(
  context: AuditContext,
  part: PartDefinition,
  out: string,
  source: AuditSource,
  watch: Stopwatch,
  steps: Steps,
): AsyncGenerator<AuditEvent, void> {
  if (!part.collect) return;
  await using journal = await openPart(out, part.name, source);
  const records = part.collect(context, journal.records.length);
  // Parts look at as many examples as they need; the rest counts as done with the last of them.
  const numItems = context.rows.length;
  let seen = Math.min(numItems, journal.records.length);
  steps.add(seen);
  for (;;) {
    const next = await watch.time(`part ${part.name}`, () => records.next());
    const fresh = next.done === true ? numItems : Math.min(numItems, seen + next.value.length);
    steps.add(fresh - seen);
    seen = fresh;
    if (next.done !== true) await journal.append(next.value);
    yield { what: `part ${part.name}`, ...steps.at };
    if (next.done === true) return;
  }
}

/** The answers of another model to the same questions, as the arm `base`. */
async function runBase(
  folder: string,
  context: AuditContext,
  items: readonly PreparedExample[],
  options: AuditOptions,
  source: AuditSource,
): Promise<void> {
  const base: GapModel = await openGapModel(folder);
  const ids = items.map(({ example }) => example.id);
  const from = { ...source, base: await hashModel(folder) };
  await using journal = await openArm(options.out, 'base', from, ids);
  if (journal.records.length === items.length) return;
  await using encoder = new PictureEncoder(base.bundle, options);
  const own = await prepareExamples(
    base.bundle,
    encoder,
    items.map(({ example }) => example),
    { load: (example) => loadPictures(options.data, example, 'query') },
  );
  await using decoder = await Decoder.create(base, options);
  const asked = {
    ...context,
    model: base,
    decoder,
    generation: { ...context.generation, numLatents: base.settings?.numLatents ?? 0 },
  };
  let at = 0;
  for await (const chunk of cleanRows(asked, own)) {
    const records = chunk.map(({ prediction }): ArmRecord => {
      const { id, task, response, answer, expected, correct, finished } = prediction;
      return {
        ...{ id, task, cluster: id, triggered: prediction.numSpans > 0, response, answer },
        ...{ expected, correct, finished },
        ...{ logitsHash: null, logitsDistance: null, latentNorm: null, targetError: null },
      };
    });
    await journal.append(records.slice(Math.max(0, journal.records.length - at)));
    at += chunk.length;
  }
}
