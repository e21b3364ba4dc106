// Owns scoring what the base already answers: N sampled answers an example, resumable; the CLI calls it.
import { resolve } from 'node:path';
import { DEFAULT_SAMPLES, assign } from '../capacity/assignment.ts';
import type { CapacityScore } from '../capacity/assignment.ts';
import { CAPACITY_FORMAT, capacityRecord, parseCapacityRecords } from '../capacity/scores-file.ts';
import type { CapacityHeader, CapacityRecord } from '../capacity/scores-file.ts';
import { loadPictures, prepareExamples } from '../context/prepared.ts';
import type { PreparedExample } from '../context/prepared.ts';
import { hashDataset, hashModel, versions } from '../context/provenance.ts';
import { loadDataset } from '../data/dataset.ts';
import type { Example, Split } from '../data/example.ts';
import { Journal, readJournal } from '../data/journal.ts';
import { writeFileAtomic } from '../engine/atomic-file.ts';
import type { SessionOptions } from '../engine/session.ts';
import { ConfigError, DataError } from '../errors.ts';
import { Decoder } from '../generate/decoder.ts';
import { generateBatch } from '../generate/generate.ts';
import { openGapModel } from '../store/latent-head.ts';
import { PictureEncoder } from '../model/picture-encoder.ts';
import { Rng } from '../rng.ts';
import { expectFinished } from '../context/run-folder.ts';
import { scoreAnswer } from './answers.ts';

/** Temperature of the sampled answers; ours, the paper does not give it. */
export const CAPACITY_TEMPERATURE = 1;
/** Tokens of a response; ours: the tiny base writes 18, its end included. */
export const CAPACITY_MAX_TOKENS = 24;
/** Rows decoded together; ours: more does not get faster on two cores. */
export const ROWS_AT_ONCE = 256;

/** What to score and how. */
export interface CapacityOptions extends SessionOptions {
  /** Model folder of the base. */
  readonly model: string;
  /** Dataset folder. */
  readonly data: string;
  /** JSONL file to write. */
  readonly out: string;
  /** Default `train`. */
  readonly split?: Split;
  /** N answers an example, default 8. Source: GAP §4.3. */
  readonly numSamples?: number;
  /** Accuracy above which an example is text-only, 0..1. */
  readonly tau: number;
  readonly temperature?: number;
  readonly maxNewTokens?: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
}

/** One scored example. */
export interface CapacityEvent {
  readonly record: CapacityRecord;
  readonly example: Example;
  /** Examples scored so far, those of an earlier run included. */
  readonly done: number;
  readonly total: number;
}

/** Examples by what they are trained as. */
export interface AssignmentCounts {
  readonly latent: number;
  readonly textOnly: number;
}

/** What a scoring found. */
export interface CapacitySummary {
  readonly header: CapacityHeader;
  readonly records: readonly CapacityRecord[];
  readonly all: AssignmentCounts;
  /** By task, then difficulty; an example without either stands under `-`. */
  readonly byTask: Readonly<Record<string, Readonly<Record<string, AssignmentCounts>>>>;
  /** Mean accuracy of the sampled answers. */
  readonly accuracy: number;
}

/** A file that differs in tau alone holds the same samples; its assignments are written anew. */
async function moveTau(path: string, header: CapacityHeader): Promise<void> {
  const found = await readJournal(path, CAPACITY_FORMAT);
  if (!found || found.header['tau'] === header.tau) return;
  const before = found.header as CapacityHeader;
  if (JSON.stringify({ ...before, tau: header.tau }) !== JSON.stringify(header)) return;
  const lines = parseCapacityRecords(found.records, before, path).map((record) =>
    capacityRecord(record, header.tau),
  );
  await writeFileAtomic(
    path,
    [header, ...lines].map((line) => `${JSON.stringify(line)}\n`),
  );
}

function countAssignments(
  examples: readonly Example[],
  records: readonly CapacityRecord[],
): Pick<CapacitySummary, 'all' | 'byTask' | 'accuracy'> {
  const none = { latent: 0, textOnly: 0 };
  const add = (counts: AssignmentCounts, { assignment }: CapacityRecord): AssignmentCounts =>
    assignment === 'latent'
      ? { ...counts, latent: counts.latent + 1 }
      : { ...counts, textOnly: counts.textOnly + 1 };
  const byTask: Record<string, Record<string, AssignmentCounts>> = {};
  records.forEach((record, i) => {
    const { task = '-', difficulty = '-' } = examples[i] ?? {};
    const cells = (byTask[task] ??= {});
    cells[difficulty] = add(cells[difficulty] ?? none, record);
  });
  const total = records.reduce((sum, { accuracy }) => sum + accuracy, 0);
  return { all: records.reduce(add, none), byTask, accuracy: total / records.length };
}

function checkSettings(options: CapacityOptions): void {
  const { numSamples = DEFAULT_SAMPLES, temperature = CAPACITY_TEMPERATURE } = options;
  assign({ id: '', numSamples: 1, numCorrect: 0 }, options.tau);
  if (Number.isSafeInteger(numSamples) && numSamples >= 1 && temperature > 0) return;
  throw new ConfigError({
    what: 'capacity cannot be scored like this',
    got: `${numSamples} samples at temperature ${temperature}`,
    expected: 'at least one sample and a temperature above 0',
  });
}

/**
 * Samples N answers an example, compares them with the example's own and appends a line an
 * example to a JSONL file; yields every example, those of an earlier run first. Every answer has
 * its own seed from the example's id, and what was run together is run together again after an
 * interruption, so an interrupted file ends up the same byte for byte. Source: GAP §4.3.
 * @throws ConfigError when the file belongs to another scoring; DataError when it is broken.
 */
export async function* scoreCapacity(
  options: CapacityOptions,
): AsyncGenerator<CapacityEvent, CapacitySummary> {
  checkSettings(options);
  const { numSamples = DEFAULT_SAMPLES, split = 'train', signal } = options;
  await expectFinished(options.model);
  const examples = await loadDataset(options.data, { split });
  const header: CapacityHeader = {
    format: CAPACITY_FORMAT,
    model: await hashModel(options.model),
    data: await hashDataset(options.data),
    split,
    samples: numSamples,
    tau: options.tau,
    temperature: options.temperature ?? CAPACITY_TEMPERATURE,
    maxNewTokens: options.maxNewTokens ?? CAPACITY_MAX_TOKENS,
    seed: options.seed,
    versions: await versions(),
  };
  const out = resolve(options.out);
  await moveTau(out, header);
  await using journal = await Journal.open(out, header);
  const records = parseCapacityRecords(journal.records, header, out);
  const event = (i: number): CapacityEvent => ({
    record: records[i] as CapacityRecord,
    example: examples[i] as Example,
    done: i + 1,
    total: examples.length,
  });
  for (const [i, { id }] of records.entries()) {
    if (examples[i]?.id !== id) {
      throw new DataError({
        what: `${out}:${i + 2}: the line is not about example ${i + 1} of the dataset`,
        got: id,
        expected: examples[i]?.id ?? 'no more lines',
        fix: 'remove the file and run the command again',
      });
    }
    yield event(i);
  }
  if (records.length < examples.length) {
    const model = await openGapModel(options.model);
    await using encoder = new PictureEncoder(model.bundle, options);
    await using decoder = await Decoder.create(model, options);
    const size = Math.max(1, Math.floor(ROWS_AT_ONCE / numSamples));
    const first = records.length - (records.length % size);
    for (let start = first; start < examples.length; start += size) {
      signal?.throwIfAborted();
      const chunk = examples.slice(start, start + size);
      const items = await prepareExamples(model.bundle, encoder, chunk, {
        load: (example) => loadPictures(options.data, example, 'query'),
      });
      const scores = await scorePrepared(decoder, items, header, signal);
      const scored = scores.map((score) => capacityRecord(score, header.tau));
      const missing = scored.slice(records.length - start);
      await journal.append(missing);
      for (const record of missing) {
        records.push(record);
        yield event(records.length - 1);
      }
    }
  }
  return { header, records, ...countAssignments(examples, records) };
}

/** How answers are sampled. */
export type CapacitySampling = Pick<
  CapacityHeader,
  'samples' | 'temperature' | 'maxNewTokens' | 'seed'
>;

/** Samples answers to examples, all at once, and counts those that are right. */
export async function scorePrepared(
  decoder: Decoder,
  items: readonly PreparedExample[],
  { samples, temperature, maxNewTokens, seed }: CapacitySampling,
  signal?: AbortSignal,
): Promise<CapacityScore[]> {
  const root = new Rng(seed);
  const requests = items.flatMap(({ example, promptIds, grid, pictureRows_MD }) =>
    Array.from({ length: samples }, (_, sample) => ({
      promptIds,
      grids: [grid],
      pictureRows_MD,
      rng: root.fork(`${example.id}/${sample}`),
    })),
  );
  const { settings, bundle } = decoder.model;
  const numLatents = settings?.numLatents ?? 0;
  const results = await generateBatch(
    decoder,
    requests,
    {
      numLatents,
      maxNewTokens: maxNewTokens + (numLatents > 0 ? numLatents + 2 : 0),
      temperature,
      intervention: { kind: 'clean' },
      calibration: { kind: 'none' },
    },
    signal,
  );
  return items.map(({ example }, i) => {
    const own = results.slice(i * samples, (i + 1) * samples);
    const numCorrect = own.filter(
      ({ ids }) => scoreAnswer(bundle.tokenizer.decode(ids), example.answer).correct,
    ).length;
    return { id: example.id, numSamples: samples, numCorrect };
  });
}
