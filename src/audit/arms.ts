// Owns the decoding of an audit's arms: every way to go on from the start of a span, batch by batch,
// forked there; audit.ts runs it, replacement.ts and other parts say which arms.
// Axes: K latents of a span, D hidden, V vocabulary.
import { createHash } from 'node:crypto';
import type { PreparedExample } from '../context/prepared.ts';
import { RuntimeError } from '../errors.ts';
import { scoreAnswer } from '../evaluate/answers.ts';
import type { StepDecoder } from '../generate/decoder.ts';
import type {
  GenerationRequest,
  GenerationResult,
  GenerationSettings,
} from '../generate/generate.ts';
import { advanceRun, forkRun, heldRows, openRun, runResults } from '../generate/run.ts';
import type { DecodingRun } from '../generate/run.ts';
import { norm } from '../latent/feedback.ts';
import { Rng } from '../rng.ts';
import type { ArmRecord, ArmSpec, AuditContext, CleanRow } from './part.ts';

/** The arm every audit has: nothing is changed. */
export const CLEAN_ARM: ArmSpec = {
  name: 'clean',
  title: 'Clean',
  intervention: { kind: 'clean' },
};

/** Latents of a row in one piece, [K, D]; undefined for a row without any. */
export function latentsOf({ result }: Pick<CleanRow, 'result'>): Float32Array | undefined {
  const [first] = result.latents;
  if (!first) return undefined;
  const joined = new Float32Array(result.latents.length * first.length);
  result.latents.forEach((latent, k) => {
    joined.set(latent, k * first.length);
  });
  return joined;
}

/**
 * Whose latents a row gets as "another example's": the next row, cyclic, that wrote at least as many
 * and is of the same task with another answer; else of the same task; else of any. Where nobody wrote
 * as many (a second span), of those who wrote most, whose latents are then read from the start again.
 * Undefined without latents, and when no other row wrote any.
 * Worked example: rows of task a answering x, x, y give row 0 to row 2.
 */
export function donorOf(rows: readonly CleanRow[], index: number): number | undefined {
  const own = rows[index];
  const count = own?.result.latents.length ?? 0;
  if (!own || count === 0) return undefined;
  let best: { readonly at: number; readonly filled: number; readonly rank: number } | undefined;
  for (let offset = 1; offset < rows.length; offset++) {
    const at = (index + offset) % rows.length;
    const other = rows[at];
    const filled = Math.min(count, other?.result.latents.length ?? 0);
    if (!other || filled === 0) continue;
    const isSameTask = other.prediction.task === own.prediction.task;
    const isOtherAnswer = other.prediction.expected !== own.prediction.expected;
    const rank = isSameTask ? (isOtherAnswer ? 2 : 1) : 0;
    if (filled === count && rank === 2) return at;
    const isBetter = !best || filled > best.filled || (filled === best.filled && rank > best.rank);
    if (isBetter) best = { at, filled, rank };
  }
  return best?.at;
}

/** The request of an example, with the random draws that belong to it in every arm. */
export function requestOf(item: PreparedExample, seed: number): GenerationRequest {
  return {
    promptIds: item.promptIds,
    grids: [item.grid],
    pictureRows_MD: item.pictureRows_MD,
    rng: new Rng(seed).fork(`${item.example.id}/0`),
  };
}

/**
 * Settings under which no span is written. The budget of text stays: what a span and its two markers
 * would have taken is not there to be written.
 */
export function withoutSpan(clean: GenerationSettings): GenerationSettings {
  const { numLatents, maxNewTokens } = clean;
  return {
    ...clean,
    intervention: { kind: 'zero-latent' },
    maxNewTokens: maxNewTokens - numLatents - 2,
  };
}

function settingsOf(arm: ArmSpec, clean: GenerationSettings): GenerationSettings {
  const numLatents = arm.numLatents ?? clean.numLatents;
  return {
    ...clean,
    intervention: arm.intervention,
    calibration: arm.calibration ?? clean.calibration,
    numLatents,
    // The budget of text stays; a shorter span leaves less to write.
    maxNewTokens:
      arm.intervention.kind === 'zero-latent'
        ? withoutSpan(clean).maxNewTokens
        : clean.maxNewTokens - clean.numLatents + numLatents,
    keepAfterSpan: true,
    ...(arm.afterSpan ? { afterSpan: arm.afterSpan } : {}),
  };
}

async function drain(
  run: DecodingRun,
  settings: GenerationSettings,
  until: 'span' | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const events = advanceRun(run, settings, {
    ...(until ? { until } : {}),
    ...(signal ? { signal } : {}),
  });
  while ((await events.next()).done !== true);
}

function hashOf(logits_V: Float32Array): string {
  const bytes = new Uint8Array(logits_V.buffer, logits_V.byteOffset, logits_V.byteLength);
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

function largestDifference(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] ?? NaN))), 0);
}

function meanNormOf(latents: readonly Float32Array[]): number | null {
  if (latents.length === 0) return null;
  return latents.reduce((sum, latent) => sum + norm(latent), 0) / latents.length;
}

function recordOf(
  context: AuditContext,
  row: CleanRow,
  result: GenerationResult,
  arm: ArmSpec,
  triggered: boolean,
  clean: GenerationResult | undefined,
): ArmRecord {
  const { example } = row.item;
  const response = context.model.bundle.tokenizer.decode(result.ids);
  const { answer, correct } = scoreAnswer(response, example.answer);
  const { afterSpan_V } = result;
  const cleanAfter_V = clean?.afterSpan_V;
  const from = ownFrom(arm);
  return {
    id: example.id,
    task: example.task ?? '',
    cluster: example.id,
    triggered,
    response,
    answer: answer ?? null,
    expected: example.answer,
    correct,
    finished: result.finished,
    logitsHash: afterSpan_V ? hashOf(afterSpan_V) : null,
    logitsDistance:
      afterSpan_V && cleanAfter_V ? largestDifference(afterSpan_V, cleanAfter_V) : null,
    latentNorm: meanNormOf(result.latents),
    targetError:
      from === undefined ? null : targetErrorOf(row.item.auxiliaryRows_KD, result.latents, from),
  };
}

/**
 * Squared distance of the latents from place `from` on to their targets, over the squared distance
 * of all targets of the row from their mean; null where there is nothing to compare.
 */
function targetErrorOf(
  targets_KD: Float32Array | undefined,
  latents: readonly Float32Array[],
  from: number,
): number | null {
  const width = latents[0]?.length ?? 0;
  if (!targets_KD || from >= latents.length || targets_KD.length !== latents.length * width)
    return null;
  const mean_D = new Float64Array(width);
  targets_KD.forEach((x, i) => (mean_D[i % width] = (mean_D[i % width] ?? 0) + x / latents.length));
  let [error, spread] = [0, 0];
  targets_KD.forEach((x, i) => {
    const k = Math.floor(i / width);
    spread += (x - (mean_D[i % width] ?? 0)) ** 2 / latents.length;
    if (k >= from) error += ((latents[k]?.[i % width] ?? 0) - x) ** 2 / (latents.length - from);
  });
  return spread === 0 ? null : error / spread;
}

/** How many latents an arm gives before the model's own begin; undefined: it writes none itself. */
function ownFrom({ intervention }: ArmSpec): number | undefined {
  if (intervention.kind === 'clean') return 0;
  return intervention.kind === 'forced' ? intervention.count : undefined;
}

/** One batch of rows, waiting at their spans. */
export class ArmBatch {
  readonly rows: readonly CleanRow[];
  private readonly context: AuditContext;
  private readonly first: number;
  private readonly waiting: DecodingRun;
  private readonly held: readonly boolean[];
  private clean: GenerationResult[] | undefined;

  private constructor(
    context: AuditContext,
    first: number,
    rows: readonly CleanRow[],
    waiting: DecodingRun,
  ) {
    this.context = context;
    this.first = first;
    this.rows = rows;
    this.waiting = waiting;
    this.held = heldRows(waiting);
  }

  /** Reads the prompts of rows `first` and on and writes up to their spans. */
  static async open(context: AuditContext, first: number): Promise<ArmBatch> {
    const rows = context.rows.slice(first, first + context.batchSize);
    const requests = rows.map(({ item }) => requestOf(item, context.seed));
    const waiting = await openRun(context.decoder, requests, context.generation, context.signal);
    await drain(waiting, context.generation, 'span', context.signal);
    return new ArmBatch(context, first, rows, waiting);
  }

  /** Decodes the batch under one arm. Rows without a span keep what they wrote. */
  async run(arm: ArmSpec): Promise<ArmRecord[]> {
    const { context } = this;
    this.clean ??= await this.decode(CLEAN_ARM, []);
    const given = this.rows.map((row, i) =>
      this.held[i] ? arm.given?.(row, this.first + i) : undefined,
    );
    if (arm.given) this.checkGiven(arm, given);
    const results = arm.name === CLEAN_ARM.name ? this.clean : await this.decode(arm, given);
    return this.rows.map((row, i) =>
      recordOf(
        context,
        row,
        results[i] as GenerationResult,
        arm,
        this.held[i] ?? false,
        this.clean?.[i],
      ),
    );
  }

  private checkGiven(arm: ArmSpec, given: readonly (Float32Array | undefined)[]): void {
    // A row that reached the limit of tokens at the start of its span reads nothing.
    const reads = (row: CleanRow, i: number): boolean =>
      this.held[i] === true && row.result.latents.length > 0;
    const missing = this.rows.findIndex((row, i) => reads(row, i) && !given[i]);
    if (missing < 0) return;
    throw new RuntimeError({
      what: `the arm ${arm.name} has no vectors for example ${this.rows[missing]?.item.example.id ?? ''}`,
      expected: 'vectors for every row that wrote a span',
      fix: 'leave the part out with --only, or give the example an auxiliary picture',
    });
  }

  private async decode(
    arm: ArmSpec,
    given: readonly (Float32Array | undefined)[],
  ): Promise<GenerationResult[]> {
    const { context, waiting } = this;
    const settings = settingsOf(arm, context.generation);
    if (arm.beginning) return await this.decodeFrom(arm.beginning, settings);
    const fork = forkRun(waiting, given);
    await drain(fork, settings, undefined, context.signal);
    return runResults(fork);
  }

  /** Rows that waited go on from a given beginning instead, read with the prompt. */
  private async decodeFrom(
    beginning: NonNullable<ArmSpec['beginning']>,
    settings: GenerationSettings,
  ): Promise<GenerationResult[]> {
    const { context } = this;
    const results = runResults(this.waiting);
    const places = this.rows.flatMap((_, i) => (this.held[i] ? [i] : []));
    if (places.length === 0) return results;
    const requests = places.map((i) => {
      const row = this.rows[i] as CleanRow;
      return { ...requestOf(row.item, context.seed), prefix: beginning(row, this.first + i) };
    });
    const run = await openRun(context.decoder, requests, settings, context.signal);
    await drain(run, settings, undefined, context.signal);
    runResults(run).forEach((result, n) => {
      results[places[n] ?? 0] = result;
    });
    return results;
  }
}

/** Decodes all examples as they are; every arm is held against this. */
export async function* cleanRows(
  context: Omit<AuditContext, 'rows' | 'decoder'> & { readonly decoder: StepDecoder },
  items: readonly PreparedExample[],
): AsyncGenerator<CleanRow[], void> {
  for (let first = 0; first < items.length; first += context.batchSize) {
    const chunk = items.slice(first, first + context.batchSize);
    const requests = chunk.map((item) => requestOf(item, context.seed));
    const run = await openRun(context.decoder, requests, context.generation, context.signal);
    await drain(run, context.generation, undefined, context.signal);
    const results = runResults(run);
    yield chunk.map((item, i): CleanRow => {
      const result = results[i] as GenerationResult;
      const { example } = item;
      const response = context.model.bundle.tokenizer.decode(result.ids);
      const { answer, correct } = scoreAnswer(response, example.answer);
      const { id, task = '', difficulty = '', question, answer: expected } = example;
      return {
        item,
        result,
        prediction: {
          ...{ id, task, difficulty, intervention: 'clean', sample: 0, question, expected },
          ...{ response, answer: answer ?? null, correct },
          numSpans: result.numSpans,
          finished: result.finished,
        },
      };
    });
  }
}
