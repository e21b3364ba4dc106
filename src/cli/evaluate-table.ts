// Owns `gapvl evaluate table`: the paper's tables with our rows beside the published ones.
import { contendersOf } from '../benchmark/results/contenders.ts';
import { fillTable } from '../benchmark/results/paper-tables.ts';
import { TABLE_NUMBERS } from '../benchmark/results/published.ts';
import { findResults } from '../benchmark/results/result.ts';
import type { StoredResult } from '../benchmark/results/result.ts';
import { TABLE_FORMATS, renderTables } from '../report/benchmark-tables.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';

/** The command. */
export const command = defineCommand({
  description:
    "Prints the GAP paper's Tables 2, 3, 6, 8, 9 and 10 with a row for every scored run beside the " +
    'published rows. Runs of one label, way of decoding and rules of scoring make one row; several seeds ' +
    'make mean and standard deviation. A benchmark that was not run is `-`, and so is every average it ' +
    'belongs to.',
  options: {
    runs: option.texts(
      '--runs <dir...>',
      'folders of scored runs, or folders that hold such; none: the published rows alone',
    ),
    tables: option.withDefault(
      option.choice('--table <number>', 'table to print', [...TABLE_NUMBERS, 'all']),
      'all',
    ),
    format: option.withDefault(
      option.choice('--format <name>', 'how tables are written', TABLE_FORMATS),
      'text',
    ),
    base: option.text(
      '--base <label>',
      'row that gains are against (default: the run of variant base)',
    ),
    denseCaption: option.text(
      '--dense-caption <label>',
      'row that latency is relative to (default: the run of variant dense-caption)',
    ),
  },
  examples: [
    'gapvl evaluate table --runs runs/gap runs/base',
    'gapvl evaluate table --runs runs --table 10 --format latex > table10.tex',
  ],
  run: async ({ runs, tables, format, base, denseCaption }, context) => {
    const stored: StoredResult[] = [];
    for (const folder of runs) stored.push(...(await findResults(folder)));
    const contenders = contendersOf(stored);
    const references = {
      ...(base === undefined ? {} : { base }),
      ...(denseCaption === undefined ? {} : { denseCaption }),
    };
    const numbers = tables === 'all' ? TABLE_NUMBERS : [tables];
    const filled = numbers.map((number) => fillTable(number, contenders, references));
    context.result(renderTables(filled, format), filled);
  },
});
