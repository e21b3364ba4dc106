// Owns `gapvl compare`: runs models on the same questions, clean and with their latents changed.
import { compareRuns } from '../audit/compare-runs.ts';
import type { RunComparison } from '../audit/compare-runs.ts';
import { SPLITS } from '../data/example.ts';
import { ConfigError } from '../errors.ts';
import { compareModels } from '../evaluate/compare.ts';
import type {
  Comparison,
  ComparisonEvent,
  CompareOptions,
  ModelComparison,
  NamedModel,
} from '../evaluate/compare.ts';
import type { InterventionScore } from '../evaluate/comparison.ts';
import { INTERVENTION_NAMES } from '../evaluate/interventions.ts';
import {
  accuracyTextTable,
  interval,
  interventionTextTable,
  percent,
  points,
  renderTextTable,
  taskTextTable,
} from '../report/text-table.ts';
import type { AccuracyRow, InterventionRow, TaskAccuracy } from '../report/types.ts';
import type { CommandContext } from './command.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { modelFolder, sessionOptions } from './running.ts';

const DEFAULT_INTERVENTIONS = ['clean', 'zero-latent', 'noise-norm', 'other', 'oracle'] as const;

function parseModels(texts: readonly string[]): NamedModel[] {
  const broken = texts.filter((text) => !/^[^=]+=.+$/.test(text));
  if (texts.length > 0 && broken.length === 0) {
    return texts.map((text) => {
      const at = text.indexOf('=');
      return { name: text.slice(0, at), folder: text.slice(at + 1) };
    });
  }
  throw new ConfigError({
    what: '--model of gapvl compare cannot be used',
    got: texts.length === 0 ? 'nothing' : broken.join(', '),
    expected: 'NAME=DIR or NAME=ORG/NAME, once a model',
    fix: 'for example --model base=runs/base --model gap=runs/gap',
  });
}

function taskAccuracies({ byTask }: InterventionScore): Record<string, TaskAccuracy> {
  const cells = Object.entries(byTask).map(([task, { easy, hard }]) => [
    task,
    { easy: easy?.accuracy ?? null, hard: hard?.accuracy ?? null },
  ]);
  return Object.fromEntries(cells) as Record<string, TaskAccuracy>;
}

/** The clean row of a model for the tables of accuracy. */
export function accuracyRow(model: ModelComparison): AccuracyRow | undefined {
  const clean = model.scores.find(({ intervention }) => intervention === 'clean');
  if (!clean) return undefined;
  const { n, accuracy, low, high, triggerRate } = clean;
  return {
    variant: model.name,
    label: model.name === model.variant ? model.name : `${model.name} (${model.variant})`,
    source: 'this run',
    ...{ n, accuracy, low, high },
    ...(model.writesLatents ? { triggerRate } : {}),
    byTask: taskAccuracies(clean),
  };
}

function interventionRow(score: InterventionScore): InterventionRow {
  const { intervention, n, accuracy, low, high, differenceToClean } = score;
  return {
    ...{ intervention, label: intervention, n, accuracy, low, high },
    ...(differenceToClean ? { differenceToClean } : {}),
    source: 'this run',
  };
}

function renderModel(model: ModelComparison): string[] {
  const reasons = [...new Set(model.skipped.map(({ reason }) => reason))];
  const skipped = reasons.map((reason) => {
    const own = model.skipped.filter((skip) => skip.reason === reason);
    return `${model.name} without ${own.map((skip) => skip.intervention).join(', ')}: ${reason}`;
  });
  const foreign = model.scores.flatMap(({ numFromOtherTasks = 0 }) =>
    numFromOtherTasks > 0
      ? [`${model.name}: ${numFromOtherTasks} rows of other read latents of another task`]
      : [],
  );
  const warnings = model.warnings.map((warning) => `WARNING ${model.name}: ${warning}`);
  const table =
    model.scores.length > 1
      ? [
          `${model.name}:`,
          renderTextTable(interventionTextTable(model.scores.map(interventionRow))),
          '',
        ]
      : [];
  const notes = [...warnings, ...foreign, ...skipped];
  return [...table, ...notes, ...(notes.length > 0 ? [''] : [])];
}

function render({ models, data }: Comparison): string {
  const rows = models.flatMap((model) => accuracyRow(model) ?? []);
  return [
    `${data.n} questions of the ${data.split} split of ${data.folder}`,
    '',
    renderTextTable(accuracyTextTable(rows)),
    '',
    renderTextTable(taskTextTable(rows)),
    '',
    ...models.flatMap(renderModel),
  ]
    .join('\n')
    .trimEnd();
}

async function watch(
  run: AsyncGenerator<ComparisonEvent, Comparison>,
  context: CommandContext,
): Promise<Comparison> {
  const progress = context.progress('comparing');
  for (;;) {
    const next = await run.next();
    if (next.done === true) {
      progress.finish();
      return next.value;
    }
    const { done, total, model, intervention } = next.value;
    progress.update(done, total, `${model} ${intervention}`);
  }
}

const EDGES = [
  { heading: 'arm', align: 'left' },
  { heading: 'n', align: 'right' },
  { heading: 'first %', align: 'right' },
  { heading: 'second %', align: 'right' },
  { heading: 'second - first', align: 'right' },
  { heading: '95 % interval', align: 'right' },
  { heading: 'only first : only second', align: 'right' },
  { heading: 'p, Holm', align: 'right' },
] as const;

function renderRuns(found: RunComparison, runs: readonly string[]): string {
  const rows = found.arms.map((arm) => [
    arm.arm,
    String(arm.n),
    percent(arm.first),
    percent(arm.second),
    points(arm.difference.mean),
    interval(points(arm.difference.low), points(arm.difference.high)),
    `${arm.onlyFirstRight} : ${arm.onlySecondRight}`,
    arm.p < 0.001 ? '< 0.001' : arm.p.toFixed(3),
  ]);
  const unpaired = found.arms.filter(({ numUnpaired }) => numUnpaired > 0);
  const notes = [
    ...found.settings.map(
      ({ name, first, second }) =>
        `setting ${name} differs: ${JSON.stringify(first)} and ${JSON.stringify(second)}`,
    ),
    ...unpaired.map(({ arm, numUnpaired }) => `${arm}: ${numUnpaired} items of one run only`),
    ...(found.onlyFirst.length > 0 ? [`only in the first: ${found.onlyFirst.join(', ')}`] : []),
    ...(found.onlySecond.length > 0 ? [`only in the second: ${found.onlySecond.join(', ')}`] : []),
  ];
  const [first = '', second = ''] = runs;
  return `first: ${first}\nsecond: ${second}\n\n${renderTextTable({ columns: EDGES, rows, notes })}`;
}

/** Two finished runs, or undefined when models are to be run. */
function finishedRuns(args: readonly string[], models: readonly string[]): boolean {
  if (args.length === 0) return false;
  if (args.length === 2 && models.length === 0) return true;
  throw new ConfigError({
    what: 'gapvl compare takes two finished runs, or models to run',
    got: `${args.length} runs and ${models.length} models`,
    expected: 'two folders, or --model NAME=DIR --data DIR --out DIR',
    fix: 'for example `gapvl compare runs/audit-a runs/audit-b`',
  });
}

function asked(name: string, value: string | undefined): string {
  if (value !== undefined) return value;
  throw new ConfigError({
    what: `gapvl compare needs ${name} to run models`,
    fix: `add ${name}, or name two finished runs: \`gapvl compare runs/a runs/b\``,
  });
}

/** The command. */
export const command = defineCommand({
  description:
    'Runs models on the same questions, clean and with their latents suppressed, replaced by noise, ' +
    "by another example's or by the true ones (GAP Table 6), and prints accuracies with 95 % " +
    'intervals, how often latents were written, and what each intervention costs. Every prediction ' +
    'goes to a JSONL file as it is made; the same command goes on where it was interrupted. With two ' +
    'folders of finished audits or comparisons it runs nothing and holds the second against the ' +
    'first, paired by item, with the settings that differ.',
  arguments: [
    { syntax: '[runs...]', description: 'two finished runs: folders of an audit or a comparison' },
  ],
  options: {
    models: option.texts('--model <NAME=MODEL>', 'a name and a folder or ORG/NAME; once a model'),
    offline: option.offlineOption(),
    data: option.text('--data <dir>', 'dataset folder'),
    split: option.withDefault(option.choice('--split <name>', 'split to run', SPLITS), 'test'),
    interventions: option.withDefault(
      option.choices('--interventions <names>', 'what is done to latents', INTERVENTION_NAMES),
      DEFAULT_INTERVENTIONS,
    ),
    out: option.text('-o, --out <dir>', 'folder for predictions and summary.json'),
    limit: option.positiveInteger('--limit <n>', 'first questions of the split only'),
    temperature: option.withDefault(
      option.decimal('--temperature <x>', '0 is greedy', { min: 0, max: 10 }),
      0,
    ),
    seed: option.seedOption(),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl compare --model base=runs/base --model gap=runs/gap --data runs/data --split test --out runs/compare',
    'gapvl compare runs/audit-a runs/audit-b',
    'gapvl compare --model gap=runs/gap --data runs/data --split validation --limit 100 --interventions clean,other --out runs/look',
  ],
  run: async (values, context, args) => {
    const { split, interventions, limit, temperature, seed } = values;
    if (finishedRuns(args, values.models)) {
      const [first = '', second = ''] = args;
      const found = await compareRuns(first, second, seed);
      context.result(renderRuns(found, args), found);
      return;
    }
    const [data, out] = [asked('--data', values.data), asked('--out', values.out)];
    const models: NamedModel[] = [];
    for (const { name, folder } of parseModels(values.models)) {
      models.push({ name, folder: await modelFolder(folder, values.offline, context) });
    }
    const options: CompareOptions = {
      ...{ models, data, split, interventions, out, temperature, seed },
      ...(limit === undefined ? {} : { limit }),
      ...(await sessionOptions(values)),
      signal: context.signal,
    };
    const comparison = await watch(compareModels(options), context);
    context.result(`${render(comparison)}\n\nwrote ${out}`, comparison);
  },
});
