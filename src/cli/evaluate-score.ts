// Owns `gapvl evaluate score`: figures of predictions or of a run, without a model.
import { join } from 'node:path';
import type { Judge } from '../benchmark/endpoint/judge.ts';
import { DEFAULT_DRAWS } from '../benchmark/results/intervals.ts';
import { RESULT_FILE, readResult, writeResult } from '../benchmark/results/result.ts';
import type { EvaluationResult } from '../benchmark/results/result.ts';
import { scorePredictions } from '../benchmark/results/score-predictions.ts';
import { findRuns, scoreRun } from '../benchmark/results/score-run.ts';
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
import { JUDGE_OPTIONS, openJudge } from './evaluate-judge.ts';
import * as option from './options.ts';
import type { OptionValues } from './options.ts';

const OPTIONS = {
  benchmark: option.choice('--benchmark <name>', 'what the predictions are for', [
    ...BENCHMARK_NAMES,
    'own',
  ]),
  predictions: option.text(
    '--predictions <file>',
    'predictions as VLMEvalKit writes them: xlsx, TSV, JSON or JSONL with columns index and prediction',
  ),
  runs: option.texts(
    '--run <dir...>',
    'instead of --predictions: folders of `gapvl evaluate` runs, or of a sweep',
  ),
  data: option.text(
    '--data <file>',
    'table of the benchmark, or the folder it lies in: needed for runs, and where predictions lack columns',
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
  ...JUDGE_OPTIONS,
  out: option.text(
    '-o, --out <dir>',
    'folder for result.json, scores.jsonl and judge.jsonl (default: that of --run; else nothing is written)',
  ),
  label: option.text(
    '--label <text>',
    'name in tables (default: as scored before, else of the model, folder or file)',
  ),
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

async function subjectsOf({ runs, predictions, benchmark, data }: Values): Promise<Subject[]> {
  if ((runs.length === 0) === (predictions === undefined)) {
    throw new ConfigError({
      what: 'gapvl evaluate score takes predictions or runs',
      got: predictions === undefined ? 'neither' : 'both',
      expected: '--benchmark NAME --predictions FILE, or --run DIR --data FILE',
      fix: 'name one of them',
    });
  }
  if (predictions === undefined) {
    if (data === undefined) {
      throw new ConfigError({
        what: 'gapvl evaluate score --run needs the table of the run',
        got: 'no --data',
        fix: 'add --data with what `gapvl evaluate` was given',
      });
    }
    const folders = await Promise.all(runs.map(findRuns));
    return folders.flat().map((run) => ({ kind: 'run', run, data }));
  }
  if (benchmark === undefined) {
    throw new ConfigError({
      what: 'gapvl evaluate score --predictions needs the benchmark they are for',
      got: 'no --benchmark',
      fix: `add --benchmark with one of ${[...BENCHMARK_NAMES, 'own'].join(', ')}`,
    });
  }
  return [{ kind: 'predictions', benchmark, predictions, data }];
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

/** Scores one subject and keeps its result where that is asked for. */
async function scoreOne(
  subject: Subject,
  values: Values,
  context: CommandContext,
  out: string | undefined,
): Promise<EvaluationResult> {
  const benchmark = await nameOf(subject, values.benchmark);
  // A label that was once given outlives another scoring; a broken result is written anew.
  const before = out === undefined ? undefined : await readResult(out).catch(() => undefined);
  const label = values.label ?? (before?.isLabelGiven === true ? before.label : undefined);
  await using opened = await openJudge(values, benchmark, out, context);
  const { result, scores } = await score(subject, { ...values, label }, context, opened?.judge);
  if (out !== undefined) {
    await makeFolderOf(join(out, RESULT_FILE));
    await writeResult(out, result, scores);
  }
  return result;
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
    'gapvl evaluate score --run runs/sweep --data data --json',
    'gapvl evaluate score --benchmark MathVista_MINI --predictions answers.jsonl --data data/MathVista_MINI.tsv --judge https://api.openai.com/v1 --out runs/mathvista',
  ],
  run: async (values, context) => {
    const subjects = await subjectsOf(values);
    if (values.out !== undefined && subjects.length > 1) {
      throw new ConfigError({
        what: '--out of gapvl evaluate score holds one result',
        got: `${subjects.length} runs`,
        fix: 'leave --out out: each run keeps its own result',
      });
    }
    const results: EvaluationResult[] = [];
    const texts: string[] = [];
    for (const subject of subjects) {
      const out = values.out ?? (subject.kind === 'run' ? subject.run : undefined);
      const result = await scoreOne(subject, values, context, out);
      results.push(result);
      const place = out === undefined ? '' : `\n\nwrote ${out}`;
      texts.push(`${renderResult(result, values.all)}${place}`);
    }
    context.result(texts.join('\n\n'), results.length === 1 ? results[0] : results);
    const codes = results.map((result) => exitCodeOf(result, values.allowErrors));
    context.setExitCode(Math.max(...codes));
  },
});
