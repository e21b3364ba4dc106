// Owns `gapvl evaluate score`: figures of predictions or of a run, without a model.
import { join } from 'node:path';
import { ChatEndpoint } from '../benchmark/endpoint/chat-endpoint.ts';
import { Judge } from '../benchmark/endpoint/judge.ts';
import { findBenchmark } from '../benchmark/benchmarks.ts';
import { DEFAULT_DRAWS } from '../benchmark/results/intervals.ts';
import { writeResult } from '../benchmark/results/result.ts';
import type { EvaluationResult } from '../benchmark/results/result.ts';
import { scorePredictions } from '../benchmark/results/score-predictions.ts';
import { scoreRun } from '../benchmark/results/score-run.ts';
import type { Scored } from '../benchmark/results/score-run.ts';
import type { ScoreSettings } from '../benchmark/results/score-settings.ts';
import { readRunSettings } from '../benchmark/run/run-files.ts';
import { BENCHMARK_NAMES, ERAS } from '../benchmark/types.ts';
import type { DatasetName } from '../benchmark/types.ts';
import { versions } from '../context/provenance.ts';
import { makeFolderOf } from '../data/journal.ts';
import { ConfigError, EXIT_CODES } from '../errors.ts';
import { renderResult } from '../report/benchmark-result.ts';
import type { CommandContext } from './command.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import type { OptionValues } from './options.ts';

/** File with the judge's replies, in the folder of the result. */
const JUDGE_FILE = 'judge.jsonl';

const OPTIONS = {
  benchmark: option.choice('--benchmark <name>', 'what the predictions are for', [
    ...BENCHMARK_NAMES,
    'own',
  ]),
  predictions: option.text(
    '--predictions <file>',
    'predictions as VLMEvalKit writes them: xlsx, TSV, JSON or JSONL with columns index and prediction',
  ),
  run: option.text('--run <dir>', 'folder of `gapvl evaluate`, instead of --predictions'),
  data: option.text(
    '--data <file>',
    'table of the benchmark: needed for a run, and where the predictions lack columns',
  ),
  anyTable: option.flag('--any-table', 'take a table whose MD5 is not the published one'),
  era: option.withDefault(
    option.choice('--era <name>', 'rules of VLMEvalKit of 2026-08 or of the paper', ERAS),
    'head',
  ),
  unwrap: option.withDefault(
    option.choice(
      '--unwrap <name>',
      'what is scored: the text as it is, or without thinking and <answer>',
      ['raw', 'answer'],
    ),
    'raw',
  ),
  judge: option.text(
    '--judge <url>',
    'OpenAI-compatible server that is asked where no rule finds an answer (default: nobody)',
  ),
  judgeModel: option.text(
    '--judge-model <name>',
    'model of the judge (default: the one that VLMEvalKit asks)',
  ),
  judgeKeyVariable: option.text(
    '--judge-key-variable <name>',
    'variable of the environment with the key of the judge (default: OPENAI_API_KEY)',
  ),
  judgeConcurrency: option.positiveInteger(
    '--judge-concurrency <n>',
    'calls of the judge under way (default: 4)',
  ),
  judgeTimeout: option.decimal('--judge-timeout <seconds>', 'longest that one call may take', {
    min: 0.001,
  }),
  judgeRetries: option.integer('--judge-retries <n>', 'further calls after one that failed', {
    min: 0,
  }),
  retryErrors: option.flag('--retry-errors', 'ask the judge again what it refused before'),
  out: option.text(
    '-o, --out <dir>',
    'folder for result.json, scores.jsonl and judge.jsonl (default: that of --run; else nothing is written)',
  ),
  label: option.text('--label <text>', 'name in tables (default: of the model, folder or file)'),
  draws: option.withDefault(
    option.integer(
      '--draws <n>',
      'most draws for figures that are neither mean nor sum, such as F1 over repeats; 0: no intervals',
      { min: 0, max: 100_000 },
    ),
    DEFAULT_DRAWS,
  ),
  seed: option.seedOption(),
  all: option.flag('--all', "print every figure of VLMEvalKit's report"),
  allowErrors: option.flag(
    '--allow-errors',
    'end with code 0 although some items failed or are absent',
  ),
};

type Values = OptionValues<typeof OPTIONS>;

/** What is scored: a run, or predictions for a benchmark. */
type Subject =
  | { readonly kind: 'run'; readonly run: string; readonly data: string }
  | {
      readonly kind: 'predictions';
      readonly benchmark: DatasetName;
      readonly predictions: string;
      readonly data: string | undefined;
    };

function subjectOf({ run, predictions, benchmark, data }: Values): Subject {
  if ((run === undefined) === (predictions === undefined)) {
    throw new ConfigError({
      what: 'gapvl evaluate score takes predictions or a run',
      got: run === undefined ? 'neither' : 'both',
      expected: '--benchmark NAME --predictions FILE, or --run DIR --data FILE',
      fix: 'name one of them',
    });
  }
  if (run !== undefined) {
    if (data === undefined) {
      throw new ConfigError({
        what: 'gapvl evaluate score --run needs the table of the run',
        got: 'no --data',
        fix: 'add --data with the file that `gapvl evaluate` was given',
      });
    }
    return { kind: 'run', run, data };
  }
  if (benchmark === undefined || predictions === undefined) {
    throw new ConfigError({
      what: 'gapvl evaluate score --predictions needs the benchmark they are for',
      got: 'no --benchmark',
      fix: `add --benchmark with one of ${[...BENCHMARK_NAMES, 'own'].join(', ')}`,
    });
  }
  return { kind: 'predictions', benchmark, predictions, data };
}

async function nameOf(subject: Subject, asked: DatasetName | undefined): Promise<DatasetName> {
  if (subject.kind === 'predictions') return subject.benchmark;
  const settings = await readRunSettings(subject.run);
  const found = settings?.benchmark ?? asked ?? 'own';
  if (asked === undefined || asked === found) return found;
  throw new ConfigError({
    what: `${subject.run} is a run of another benchmark`,
    got: `--benchmark ${asked}`,
    expected: found,
    fix: 'leave --benchmark out',
  });
}

/** A judge with its server, or nothing; options of a judge without one are a mistake. */
async function openJudge(
  values: Values,
  benchmark: DatasetName,
  out: string | undefined,
  context: CommandContext,
): Promise<{ readonly judge: Judge; readonly endpoint: ChatEndpoint } | undefined> {
  const { judge: url, judgeModel, judgeKeyVariable, judgeConcurrency } = values;
  const { judgeTimeout, judgeRetries } = values;
  if (url === undefined) {
    const given = Object.entries({
      '--judge-model': judgeModel,
      '--judge-key-variable': judgeKeyVariable,
      '--judge-concurrency': judgeConcurrency,
      '--judge-timeout': judgeTimeout,
      '--judge-retries': judgeRetries,
      '--retry-errors': values.retryErrors ? true : undefined,
    }).flatMap(([name, value]) => (value === undefined ? [] : [name]));
    if (given.length === 0) return undefined;
    throw new ConfigError({
      what: `${given.join(', ')} of gapvl evaluate score without a judge`,
      expected: '--judge with the address of a server',
      fix: 'add --judge, or leave them out',
    });
  }
  const model = judgeModel ?? findBenchmark(benchmark).judgeModel;
  if (out === undefined || model === null) {
    throw new ConfigError({
      what: 'a judge cannot be asked like this',
      got: out === undefined ? 'no folder for its replies' : 'no --judge-model',
      expected: '--out, so that no reply is paid for twice, and a model',
      fix: out === undefined ? 'add --out' : 'add --judge-model',
    });
  }
  const cachePath = join(out, JUDGE_FILE);
  await makeFolderOf(cachePath);
  const endpoint = new ChatEndpoint({
    ...{ url, model, env: process.env, clock: context.clock, onNote: context.note },
    ...(judgeKeyVariable === undefined ? {} : { keyVariable: judgeKeyVariable }),
    ...(judgeConcurrency === undefined ? {} : { concurrency: judgeConcurrency }),
    ...(judgeTimeout === undefined ? {} : { timeoutS: judgeTimeout }),
    ...(judgeRetries === undefined ? {} : { retries: judgeRetries }),
  });
  const judge = await Judge.open({ endpoint, cachePath, retryFailed: values.retryErrors });
  return { judge, endpoint };
}

async function score(
  subject: Subject,
  values: Values,
  context: CommandContext,
  judge: Judge | undefined,
): Promise<Scored> {
  const { era, unwrap, seed, draws, label, judgeConcurrency } = values;
  const progress = context.progress('scoring');
  const settings: ScoreSettings = {
    ...{ era, unwrap, seed, draws },
    versions: { ...(await versions()), node: process.version },
    ...(judge ? { judge } : {}),
    ...(judgeConcurrency === undefined ? {} : { concurrency: judgeConcurrency }),
    ...(label === undefined ? {} : { label }),
    signal: context.signal,
    onProgress: (done, total) => {
      progress.update(done, total, '');
    },
  };
  const scored =
    subject.kind === 'run'
      ? await scoreRun({ ...settings, run: subject.run, data: subject.data })
      : await scorePredictions({
          ...settings,
          ...{ benchmark: subject.benchmark, predictions: subject.predictions },
          ...(subject.data === undefined ? {} : { data: subject.data }),
          anyTable: values.anyTable,
        });
  progress.finish();
  return scored;
}

/** Code of a result that lacks items, unless that is allowed. */
function exitCodeOf({ status }: EvaluationResult, isAllowed: boolean): number {
  return status === 'incomplete' && !isAllowed ? EXIT_CODES.data : 0;
}

/** The command. */
export const command = defineCommand({
  description:
    "Scores predictions as VLMEvalKit does, without a model: anybody's file of predictions, or the folder " +
    'of a run. Prints the headlines with 95 % intervals over questions and writes result.json and ' +
    'scores.jsonl. Without --judge nobody is asked (exact mode); where the protocol needs a judge that is ' +
    'called a lower bound. Items that failed are in no figure: the result is then incomplete and the code 3, ' +
    'or 4 when the judge does not answer.',
  options: OPTIONS,
  examples: [
    'gapvl evaluate score --benchmark HRBench4K --predictions Qwen2.5-VL-7B-Instruct_HRBench4K.xlsx',
    'gapvl evaluate score --run runs/mmstar --data data/MMStar.tsv --unwrap answer',
    'gapvl evaluate score --benchmark MathVista_MINI --predictions answers.jsonl --data data/MathVista_MINI.tsv --judge https://api.openai.com/v1 --out runs/mathvista',
  ],
  run: async (values, context) => {
    const subject = subjectOf(values);
    const out = values.out ?? (subject.kind === 'run' ? subject.run : undefined);
    const benchmark = await nameOf(subject, values.benchmark);
    const opened = await openJudge(values, benchmark, out, context);
    let scored: Scored;
    try {
      scored = await score(subject, values, context, opened?.judge);
    } finally {
      await opened?.judge[Symbol.asyncDispose]();
      opened?.endpoint[Symbol.dispose]();
    }
    const { result, scores } = scored;
    if (out !== undefined) {
      await makeFolderOf(join(out, JUDGE_FILE));
      await writeResult(out, result, scores);
    }
    const place = out === undefined ? '' : `\n\nwrote ${out}`;
    context.result(`${renderResult(result, values.all)}${place}`, result);
    context.setExitCode(exitCodeOf(result, values.allowErrors));
  },
});
