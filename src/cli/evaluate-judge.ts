// Owns the options that name a judge, and opening it; `gapvl evaluate score` uses them.
import { join } from 'node:path';
import { ChatEndpoint } from '../benchmark/endpoint/chat-endpoint.ts';
import { Judge } from '../benchmark/endpoint/judge.ts';
import { findBenchmark } from '../benchmark/benchmarks.ts';
import type { DatasetName } from '../benchmark/types.ts';
import { makeFolderOf } from '../data/journal.ts';
import { ConfigError } from '../errors.ts';
import type { CommandContext } from './command.ts';
import * as option from './options.ts';
import type { OptionValues } from './options.ts';

/** File with the judge's replies, in the folder of the result. */
const JUDGE_FILE = 'judge.jsonl';

/** Options about the judge. */
export const JUDGE_OPTIONS = {
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
};

/** What JUDGE_OPTIONS reads. */
export type JudgeValues = OptionValues<typeof JUDGE_OPTIONS>;

/** A judge and the server behind it; both end together. */
export interface OpenJudge extends AsyncDisposable {
  readonly judge: Judge;
}

/**
 * A judge with its server, or nothing.
 * @throws ConfigError for options of a judge without one, and for one that has no folder or no model.
 */
export async function openJudge(
  values: JudgeValues,
  benchmark: DatasetName,
  out: string | undefined,
  context: CommandContext,
): Promise<OpenJudge | undefined> {
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
  return {
    judge,
    [Symbol.asyncDispose]: async () => {
      await judge[Symbol.asyncDispose]();
      endpoint[Symbol.dispose]();
    },
  };
}
