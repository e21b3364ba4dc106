// Owns `gapvl capacity score`: finds out which examples the base answers already, and assigns them.
import { DEFAULT_SAMPLES, PAPER_TAU, SMALL_SCALE_TAU } from '../capacity/assignment.ts';
import { SPLITS } from '../data/example.ts';
import {
  CAPACITY_MAX_TOKENS,
  CAPACITY_TEMPERATURE,
  scoreCapacity,
} from '../evaluate/capacity-run.ts';
import type { AssignmentCounts, CapacityEvent, CapacitySummary } from '../evaluate/capacity-run.ts';
import { percent, renderTextTable } from '../report/text-table.ts';
import type { CommandContext } from './command.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { modelFolder, sessionOptions } from './running.ts';

function renderSummary({ byTask, all, accuracy }: CapacitySummary): string {
  const row = (task: string, difficulty: string, counts: AssignmentCounts): string[] => {
    const total = counts.latent + counts.textOnly;
    const share = percent(counts.latent / total);
    return [task, difficulty, String(counts.latent), String(counts.textOnly), share];
  };
  const table = renderTextTable({
    columns: [
      { heading: 'task', align: 'left' },
      { heading: 'difficulty', align: 'left' },
      { heading: 'latent', align: 'right' },
      { heading: 'text-only', align: 'right' },
      { heading: 'latent %', align: 'right' },
    ],
    rows: [
      ...Object.entries(byTask).flatMap(([task, cells]) =>
        Object.entries(cells).map(([difficulty, counts]) => row(task, difficulty, counts)),
      ),
      row('all', '', all),
    ],
    notes: [],
  });
  return `${table}\n\nthe base answers ${percent(accuracy)} % of its samples right`;
}

async function watch(
  run: AsyncGenerator<CapacityEvent, CapacitySummary>,
  context: CommandContext,
): Promise<CapacitySummary> {
  const progress = context.progress('scoring');
  for (;;) {
    const next = await run.next();
    if (next.done === true) {
      progress.finish();
      return next.value;
    }
    progress.update(next.value.done, next.value.total);
  }
}

/** The command. */
export const command = defineCommand({
  description:
    'Samples answers of the base model to every question, compares them with the right ones, and ' +
    'writes a JSONL file that says which examples get latent supervision (accuracy of at most tau) ' +
    'and which train on text only (GAP §4.3). The same command goes on where it was interrupted; ' +
    'with another --tau it assigns anew without sampling.',
  options: {
    ...option.modelOptions('the base'),
    data: option.required(option.text('--data <dir>', 'dataset folder')),
    split: option.withDefault(option.choice('--split <name>', 'split to score', SPLITS), 'train'),
    out: option.required(option.text('-o, --out <file>', 'JSONL file to write')),
    samples: option.withDefault(
      option.positiveInteger('--samples <n>', 'answers sampled an example'),
      DEFAULT_SAMPLES,
    ),
    tau: option.withDefault(
      option.decimal(
        '--tau <x>',
        `accuracy above which an example is text-only (paper: ${PAPER_TAU})`,
        {
          min: 0,
          max: 1,
        },
      ),
      SMALL_SCALE_TAU,
    ),
    temperature: option.withDefault(
      option.decimal('--temperature <x>', 'temperature of the samples', { min: 0.01, max: 10 }),
      CAPACITY_TEMPERATURE,
    ),
    maxNewTokens: option.withDefault(
      option.positiveInteger('--max-new-tokens <n>', 'most tokens of an answer'),
      CAPACITY_MAX_TOKENS,
    ),
    seed: option.seedOption(),
    threads: option.threadsOption(),
    device: option.deviceOption(),
  },
  examples: [
    'gapvl capacity score --model runs/base --data runs/data --out runs/capacity.jsonl',
    'gapvl capacity score --model runs/base --data runs/data --out runs/capacity.jsonl --tau 0',
  ],
  run: async (values, context) => {
    const session = await sessionOptions(values);
    const { data, split, out, samples, tau, temperature, maxNewTokens, seed } = values;
    const model = await modelFolder(values.model, values.offline, context);
    const run = scoreCapacity({
      ...{ model, data, split, out, numSamples: samples, tau, temperature, maxNewTokens, seed },
      ...session,
      signal: context.signal,
    });
    const summary = await watch(run, context);
    const { header, all, byTask, accuracy } = summary;
    context.result(`${renderSummary(summary)}\nwrote ${summary.records.length} scores to ${out}`, {
      out,
      header,
      all,
      byTask,
      accuracy,
    });
  },
});
