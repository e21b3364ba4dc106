// Owns `gapvl evaluate run`: answers a benchmark with a local model or an endpoint.
import { CALIBRATION_NAMES } from '../benchmark/run/local.ts';
import type { LocalOptions } from '../benchmark/run/local.ts';
import type { RemoteOptions } from '../benchmark/run/remote.ts';
import { MOST_ERRORS, runBenchmark } from '../benchmark/run/run.ts';
import type { BenchmarkRunOptions, RunEvent, RunResult } from '../benchmark/run/run.ts';
import { PRESETS } from '../benchmark/run/settings.ts';
import { BENCHMARK_NAMES } from '../benchmark/types.ts';
import type { ItemError, ItemRecord } from '../benchmark/prediction.ts';
import { ConfigError, EXIT_CODES } from '../errors.ts';
import { INTERVENTION_NAMES } from '../evaluate/interventions.ts';
import { defineCommand } from './command.ts';
import type { CommandContext } from './command.ts';
import * as option from './options.ts';
import type { OptionValues } from './options.ts';
import type { Progress } from './progress.ts';
import { modelFolder, sessionOptions } from './running.ts';

/** The benchmarks by name, and a table of one's own. */
export const DATASET_NAMES = [...BENCHMARK_NAMES, 'own'] as const;

/** Options about who answers and how, for commands that run benchmarks. */
export const ANSWER_OPTIONS = {
  offline: option.offlineOption(),
  endpoint: option.text(
    '--endpoint <url>',
    'OpenAI-compatible server that answers, such as http://localhost:8000/v1; --model is its name there',
  ),
  keyVariable: option.text(
    '--key-variable <name>',
    'variable of the environment with the key of the endpoint (default: OPENAI_API_KEY)',
  ),
  concurrency: option.positiveInteger('--concurrency <n>', 'calls of the endpoint under way'),
  requestsPerMinute: option.positiveInteger(
    '--requests-per-minute <n>',
    'most calls of the endpoint that begin in a minute (default: no limit)',
  ),
  timeout: option.decimal('--timeout <seconds>', 'longest that one call may take', { min: 0.001 }),
  retries: option.integer('--retries <n>', 'further calls after one that failed', { min: 0 }),
  prompt: option.withDefault(
    option.choice(
      '--prompt <builder>',
      "the dataset's prompts, as the published baselines saw them, or the model class's",
      ['dataset', 'model'],
    ),
    'dataset',
  ),
  system: option.text('--system <text>', 'system message (default: as the chat template does)'),
  preset: option.withDefault(
    option.choice(
      '--preset <name>',
      'what holds where nothing is given: baseline is 2048 tokens, temperature 0.01, top-p 0.001, ' +
        "top-k 1 and pictures of 1280 to 16384 x 28 x 28 pixels; model is what the model's files say",
      PRESETS,
    ),
    'baseline',
  ),
  minPixels: option.positiveInteger(
    '--min-pixels <n>',
    "least pixels of a picture (default: the preset's; a model with limits of its own keeps them)",
  ),
  maxPixels: option.positiveInteger('--max-pixels <n>', 'most pixels of a picture'),
  calibration: option.withDefault(
    option.choice('--calibration <name>', 'norm calibration of latents', CALIBRATION_NAMES),
    'model',
  ),
  maxNewTokens: option.positiveInteger(
    '--max-new-tokens <n>',
    'most tokens of a response, latents included',
  ),
  temperature: option.decimal('--temperature <x>', '0 is greedy', { min: 0, max: 10 }),
  topK: option.integer('--top-k <n>', 'draw from the n likeliest tokens; 0: from all', { min: 0 }),
  topP: option.decimal('--top-p <x>', 'draw from tokens that reach this probability together', {
    min: 0,
    max: 1,
  }),
  repetitionPenalty: option.decimal(
    '--repetition-penalty <x>',
    'above 1: tokens written before become less likely',
    { min: 0.01, max: 100 },
  ),
  batchSize: option.withDefault(
    option.positiveInteger('--batch-size <n>', 'rows decoded together; latency is kept only for 1'),
    1,
  ),
  anyTable: option.flag('--any-table', 'take a table whose MD5 is not the published one'),
  retryErrors: option.flag('--retry-errors', 'ask again what failed in an earlier run'),
  maxErrors: option.withDefault(
    option.positiveInteger('--max-errors <n>', 'failures one after the other that end the run'),
    MOST_ERRORS,
  ),
  limit: option.positiveInteger('--limit <n>', 'first rows of the table only'),
  samples: option.withDefault(
    option.positiveInteger('--samples <n>', 'answers a row, each with random choices of its own'),
    1,
  ),
  threads: option.threadsOption(),
  device: option.deviceOption(),
};

/** What ANSWER_OPTIONS reads. */
export type AnswerValues = OptionValues<typeof ANSWER_OPTIONS>;

/** ours: read in a second. */
const SMALL_TABLE_BYTES = 200e6;

function known<T extends Record<string, unknown>>(
  values: T,
): { [Name in keyof T]?: Exclude<T[Name], undefined> } {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [Name in keyof T]?: Exclude<T[Name], undefined> };
}

/** Options that mean nothing to whoever answers; silence about them would be a lie. */
function refuse(values: Readonly<Record<string, unknown>>, why: string): void {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  if (given.length === 0) return;
  throw new ConfigError({
    what: `${given.map(([name]) => name).join(', ')} cannot be used here`,
    got: given.map(([, value]) => JSON.stringify(value)).join(', '),
    expected: why,
    fix: 'leave it out',
  });
}

/** How a local model answers, as the options want it. */
export async function localAnswering(values: AnswerValues): Promise<Omit<LocalOptions, 'folder'>> {
  refuse(
    {
      '--concurrency': values.concurrency,
      '--requests-per-minute': values.requestsPerMinute,
      '--timeout': values.timeout,
      '--retries': values.retries,
      '--key-variable': values.keyVariable,
    },
    'only with --endpoint',
  );
  const { preset, calibration, batchSize, minPixels, maxPixels } = values;
  const { temperature, topK, topP, repetitionPenalty, maxNewTokens } = values;
  return {
    kind: 'model',
    ...(await sessionOptions(values)),
    ...{ preset, calibration, batchSize },
    ...known({ minPixels, maxPixels }),
    ...known({ temperature, topK, topP, repetitionPenalty, maxNewTokens }),
  };
}

/** An endpoint as the options want it. */
export function remoteOptions(
  url: string,
  model: string,
  values: AnswerValues,
  context: CommandContext,
): RemoteOptions {
  refuse(
    {
      '--min-pixels': values.minPixels,
      '--max-pixels': values.maxPixels,
      '--calibration': values.calibration === 'model' ? undefined : values.calibration,
      '--batch-size': values.batchSize === 1 ? undefined : values.batchSize,
      '--threads': values.threads,
      '--device': values.device === 'cpu' ? undefined : values.device,
    },
    'only with a local model: an endpoint decides about these itself',
  );
  const { preset, concurrency, requestsPerMinute, retries, keyVariable } = values;
  const { temperature, topK, topP, repetitionPenalty, maxNewTokens } = values;
  return {
    kind: 'endpoint',
    ...{ url, model, preset, clock: context.clock, env: process.env, onNote: context.note },
    ...known({ concurrency, requestsPerMinute, retries, keyVariable, timeoutS: values.timeout }),
    ...known({ temperature, topK, topP, repetitionPenalty, maxNewTokens }),
  };
}

/** Shows how far a table is read, from the moment it takes more than a glance. */
function readProgress(context: CommandContext): (done: number, total: number) => void {
  let progress: Progress | undefined;
  return (done, total) => {
    if (total < SMALL_TABLE_BYTES) return;
    progress ??= context.progress('reading the table (MB)');
    progress.update(Math.round(done / 1e6), Math.round(total / 1e6));
    if (done < total) return;
    progress.finish();
    progress = undefined;
  };
}

/** Options of a run that are the same whoever answers. */
export function sharedOptions(values: AnswerValues, context: CommandContext) {
  const { samples, maxErrors, anyTable, retryErrors, limit, system } = values;
  return {
    promptBuilder: values.prompt,
    ...{ samples, maxErrors, anyTable, retryErrors },
    ...known({ limit, system }),
    now: () => context.clock.now(),
    onRead: readProgress(context),
    signal: context.signal,
  } satisfies Partial<BenchmarkRunOptions>;
}

/** Shows a run as progress until it ends. */
export async function watchRun(
  run: AsyncGenerator<RunEvent, RunResult>,
  context: CommandContext,
  label: string,
): Promise<RunResult> {
  const progress = context.progress(label);
  for (;;) {
    const next = await run.next();
    if (next.done === true) {
      progress.finish();
      return next.value;
    }
    const { done, total, numErrors, record } = next.value;
    if (record?.error) context.note(errorLine(record));
    progress.update(done, total, numErrors === 0 ? '' : `${numErrors} errors`);
  }
}

function errorLine({ index, sample, error }: ItemRecord): string {
  const of = sample === 0 ? '' : `, sample ${sample}`;
  return `row ${index}${of}: ${error?.kind ?? ''} error: ${error?.what ?? ''}`;
}

/** ours: more would push the numbers off the screen; all stand in items.jsonl. */
const SHOWN_ERRORS = 10;

/** A finished run in words. */
export function describeRun(result: RunResult): string {
  const { numItems, numAnswered, errors, numCutOff, numUnknownWords, out, settings } = result;
  const lines = [`${settings.benchmark}: ${numAnswered} of ${numItems} items answered, in ${out}`];
  if (numCutOff > 0) lines.push(`${numCutOff} answers were cut off at the limit of tokens`);
  if (numUnknownWords > 0)
    lines.push(
      `${numUnknownWords} words of prompts are unknown to the model and were read as such`,
    );
  if (errors.length > 0) {
    lines.push(`${errors.length} items have no answer and are no wrong ones:`);
    lines.push(...errors.slice(0, SHOWN_ERRORS).map((record) => `  ${errorLine(record)}`));
    if (errors.length > SHOWN_ERRORS) lines.push(`  and ${errors.length - SHOWN_ERRORS} more`);
    lines.push('the same command with --retry-errors asks them again');
  }
  return lines.join('\n');
}

/** The code of a run with errors of these kinds: of its rows, of an endpoint, of anything else. */
export function exitCodeOf(kinds: readonly (ItemError['kind'] | undefined)[]): number {
  if (kinds.length === 0) return 0;
  if (kinds.includes('runtime')) return EXIT_CODES.other;
  return kinds.every((kind) => kind === 'picture' || kind === 'data')
    ? EXIT_CODES.data
    : EXIT_CODES.unreachable;
}

/** The command. */
export const command = defineCommand({
  description:
    "Answers every row of a benchmark's table with a local model or an OpenAI-compatible endpoint. Each " +
    'item is kept in items.jsonl as it is finished: the same command goes on where it ended, and refuses a ' +
    'folder of other settings. A row that cannot be answered is an error and no wrong answer; the code is ' +
    'then 3 (rows), 4 (the endpoint) or 1. `gapvl evaluate score` turns the folder into figures.',
  options: {
    benchmark: option.required(
      option.choice('--benchmark <name>', 'what the table is', DATASET_NAMES),
    ),
    data: option.required(
      option.text(
        '--data <file>',
        'table: TSV, JSONL, JSON, parquet or xlsx, or the folder that holds it',
      ),
    ),
    out: option.required(option.text('-o, --out <dir>', 'folder of the run')),
    model: option.required(
      option.text(
        '--model <model>',
        'a folder, or ORG/NAME[@REVISION] of the hub; with --endpoint the name it has there',
      ),
    ),
    latents: option.square('--latents <K>', 'latents in a span (default: as trained)'),
    intervention: option.withDefault(
      option.choice('--intervention <name>', 'what is done to the latents', INTERVENTION_NAMES),
      'clean',
    ),
    seed: option.seedOption(),
    ...ANSWER_OPTIONS,
  },
  examples: [
    'gapvl evaluate --benchmark MMStar --data data/MMStar.tsv --model runs/gap --out runs/mmstar',
    'gapvl evaluate --benchmark POPE --data data/POPE.tsv --endpoint http://localhost:8000/v1 --model qwen --concurrency 8 --out runs/pope',
    'gapvl evaluate --benchmark own --data mine.jsonl --model Qwen/Qwen2.5-VL-3B-Instruct --samples 3 --temperature 0.7 --top-k 0 --top-p 1 --out runs/mine',
  ],
  run: async (values, context) => {
    const { benchmark, data, out, model, endpoint, latents, intervention, seed } = values;
    if (endpoint !== undefined) {
      refuse(
        {
          '--latents': latents,
          '--intervention': intervention === 'clean' ? undefined : intervention,
        },
        'only with a local model',
      );
    }
    const answerer =
      endpoint === undefined
        ? {
            ...(await localAnswering(values)),
            ...{ folder: await modelFolder(model, values.offline, context), intervention },
            ...known({ numLatents: latents }),
          }
        : remoteOptions(endpoint, model, values, context);
    const options = { benchmark, data, out, seed, answerer, ...sharedOptions(values, context) };
    const result = await watchRun(runBenchmark(options), context, benchmark);
    context.result(describeRun(result), result);
    context.setExitCode(exitCodeOf(result.errors.map(({ error }) => error?.kind)));
  },
});
