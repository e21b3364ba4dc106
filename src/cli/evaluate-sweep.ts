// Owns `gapvl evaluate sweep`: benchmarks over models, latent budgets, interventions and seeds.
import { join } from 'node:path';
import { runSweep } from '../benchmark/run/sweep.ts';
import type {
  PointScore,
  Sweep,
  SweepBenchmark,
  SweepEvent,
  SweepModel,
} from '../benchmark/run/sweep.ts';
import { ERAS } from '../benchmark/types.ts';
import { ConfigError } from '../errors.ts';
import { INTERVENTION_NAMES } from '../evaluate/interventions.ts';
import { renderTextTable } from '../report/text-table.ts';
import { defineCommand } from './command.ts';
import type { CommandContext } from './command.ts';
import {
  ANSWER_OPTIONS,
  DATASET_NAMES,
  exitCodeOf,
  localAnswering,
  sharedOptions,
} from './evaluate-run.ts';
import * as option from './options.ts';
import { modelFolder } from './running.ts';

/** `NAME=VALUE` texts. @throws ConfigError naming those that are none. */
function pairs(flag: string, texts: readonly string[], example: string): [string, string][] {
  const broken = texts.filter((text) => !/^[^=]+=.+$/s.test(text));
  if (texts.length === 0 || broken.length > 0) {
    throw new ConfigError({
      what: `${flag} of gapvl evaluate sweep cannot be used`,
      got: broken.length === 0 ? 'nothing' : broken.join(', '),
      expected: `${flag} NAME=VALUE, once each`,
      fix: `for example ${example}`,
    });
  }
  return texts.map((text) => {
    const at = text.indexOf('=');
    return [text.slice(0, at), text.slice(at + 1)];
  });
}

function benchmarksOf(texts: readonly string[]): SweepBenchmark[] {
  return pairs('--benchmark', texts, '--benchmark POPE=data/POPE.tsv').map(([name, data]) => {
    const found = DATASET_NAMES.find((candidate) => candidate === name);
    if (found !== undefined) return { name: found, data };
    throw new ConfigError({
      what: `there is no benchmark ${name}`,
      expected: `one of ${DATASET_NAMES.join(', ')}`,
      fix: 'name it as in --benchmark POPE=data/POPE.tsv',
    });
  });
}

async function watch(
  run: AsyncGenerator<SweepEvent, Sweep>,
  context: CommandContext,
): Promise<Sweep> {
  const progress = context.progress('sweeping');
  let current = { at: 0, total: 0 };
  let numBefore = 0;
  for (;;) {
    const next = await run.next();
    if (next.done === true) {
      progress.finish('');
      return next.value;
    }
    const { point, at, numPoints, run: event } = next.value;
    if (at !== current.at) numBefore += current.total;
    current = { at, total: event.total };
    const errors = event.numErrors === 0 ? '' : `, ${event.numErrors} errors`;
    // The points to come are taken to be as long as this one.
    progress.update(
      numBefore + event.done,
      numBefore + (numPoints - at) * event.total,
      `${at + 1} of ${numPoints}: ${point.name}${errors}`,
    );
  }
}

const COLUMNS = [
  { heading: 'benchmark', align: 'left' },
  { heading: 'model', align: 'left' },
  { heading: 'K', align: 'right' },
  { heading: 'intervention', align: 'left' },
  { heading: 'seed', align: 'right' },
  { heading: 'answered', align: 'right' },
  { heading: 'errors', align: 'right' },
  { heading: 's/item', align: 'right' },
  { heading: 'figures, %', align: 'left' },
] as const;

/** All headlines; a lower bound where a judge is missing, `part` where items are. */
function figures({ headlines, isLowerBound, status }: PointScore): string {
  const shown = headlines.map(
    ({ name, percent }) => `${name} ${percent === null ? '-' : percent.toFixed(2)}`,
  );
  const marks = [
    ...(isLowerBound ? ['lower bound'] : []),
    ...(status === 'complete' ? [] : [status]),
  ];
  return [shown.join(', '), ...marks.map((mark) => `(${mark})`)].join(' ');
}

function render({ points }: Sweep): string {
  const run = points.filter(({ state }) => state === 'finished');
  const rows = run.map((point) => [
    point.benchmark,
    point.model,
    String(point.numLatents),
    point.intervention,
    String(point.seed),
    `${point.numAnswered ?? 0}/${point.numItems ?? 0}`,
    String(point.numErrors ?? 0),
    point.score?.latency?.meanS.toFixed(2) ?? '',
    point.score ? figures(point.score) : '',
  ]);
  const notes = points
    .filter(({ state }) => state === 'impossible')
    .map(({ name, reason }) => `${name} is not possible: ${reason ?? ''}`);
  return renderTextTable({ columns: COLUMNS, rows, notes });
}

/** The command. */
export const command = defineCommand({
  description:
    'Runs benchmarks with models over latent budgets, interventions and seeds as one command: a folder of ' +
    'runs, BENCHMARK.MODEL.K.INTERVENTION.SEED each, and sweep.json. What is finished is skipped, an ' +
    'interrupted sweep goes on, and values may be added later. Points are scored without a judge; ' +
    '`gapvl evaluate table` reads the folder. PCA ranks are models trained with ' +
    'other ranks: name each. A model that writes no latents is run once for all budgets.',
  options: {
    benchmarks: option.texts('--benchmark <NAME=FILE>', 'a benchmark and its table; once each'),
    models: option.texts('--model <NAME=MODEL>', 'a name and a folder or ORG/NAME; once each'),
    latents: option.positiveIntegers(
      '--latents <K,...>',
      'latents in a span, square numbers (default: as trained)',
    ),
    interventions: option.withDefault(
      option.choices('--interventions <names>', 'what is done to the latents', INTERVENTION_NAMES),
      ['clean'],
    ),
    seeds: option.withDefault(
      option.positiveIntegers('--seeds <n,...>', 'seeds of random choices'),
      [12345],
    ),
    out: option.required(option.text('-o, --out <dir>', 'folder of the sweep')),
    era: option.withDefault(
      option.choice('--era <name>', 'scored by VLMEvalKit of 2026-08 or of the paper', ERAS),
      'head',
    ),
    unwrap: option.withDefault(
      option.choice(
        '--unwrap <name>',
        'score the text as it is, or without thinking and <answer>',
        ['raw', 'answer'],
      ),
      'raw',
    ),
    ...ANSWER_OPTIONS,
  },
  examples: [
    'gapvl evaluate sweep --benchmark MMStar=data/MMStar.tsv --model gap=runs/gap --latents 16,36,64,144 --seeds 1,2,3 --out runs/budgets',
    'gapvl evaluate sweep --benchmark POPE=data/POPE.tsv --model r265=runs/r265 --model r381=runs/r381 --interventions clean,zero-latent,noise-norm --out runs/ranks',
  ],
  run: async (values, context) => {
    const { latents, interventions, seeds, out, anyTable, era, unwrap } = values;
    if (values.endpoint !== undefined) {
      throw new ConfigError({
        what: 'a sweep is of local models',
        got: '--endpoint',
        expected: '--model NAME=MODEL',
        fix: 'run endpoints one by one with `gapvl evaluate run`',
      });
    }
    const odd = latents?.filter((k) => !Number.isInteger(Math.sqrt(k))) ?? [];
    if (odd.length > 0) {
      throw new ConfigError({
        what: '--latents of gapvl evaluate sweep cannot be used',
        got: odd.join(', '),
        expected: 'square numbers such as 4, 16 or 36',
      });
    }
    const benchmarks = benchmarksOf(values.benchmarks);
    const models: SweepModel[] = [];
    for (const [name, ref] of pairs('--model', values.models, '--model gap=runs/gap')) {
      models.push({ name, folder: await modelFolder(ref, values.offline, context) });
    }
    const sweep = await watch(
      runSweep({
        ...{ benchmarks, models, interventions, seeds, out, anyTable, era, unwrap },
        ...(latents === undefined ? {} : { latents }),
        answerer: await localAnswering(values),
        ...sharedOptions(values, context),
      }),
      context,
    );
    context.result(`${render(sweep)}\n\nwrote ${join(out, 'sweep.json')}`, sweep);
    context.setExitCode(exitCodeOf(sweep.points.flatMap(({ errorKinds = [] }) => errorKinds)));
  },
});
