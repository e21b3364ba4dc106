// Owns `gapvl evaluate compare`: two scored runs held against each other, paired by item.
import { compareResults } from '../benchmark/results/compare-results.ts';
import type {
  BenchmarkComparison,
  ResultComparison,
} from '../benchmark/results/compare-results.ts';
import { ConfigError } from '../errors.ts';
import { interval, percent, points, renderTextTable } from '../report/text-table.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';

const COLUMNS = [
  { heading: 'benchmark', align: 'left' },
  { heading: 'items', align: 'right' },
  { heading: 'questions', align: 'right' },
  { heading: 'first %', align: 'right' },
  { heading: 'second %', align: 'right' },
  { heading: 'second - first', align: 'right' },
  { heading: '95 % interval', align: 'right' },
  { heading: 'only first : only second', align: 'right' },
  { heading: 'p, Holm', align: 'right' },
  { heading: 'detectable', align: 'right' },
] as const;

function cellsOf({ benchmark, effect, p }: BenchmarkComparison): string[] {
  const { difference, mcNemar } = effect;
  return [
    benchmark,
    String(effect.n),
    String(effect.clusters),
    // The effect is second against first.
    percent(effect.second),
    percent(effect.first),
    points(difference.mean),
    interval(points(difference.low), points(difference.high)),
    mcNemar ? `${mcNemar.numSecondOnly} : ${mcNemar.numFirstOnly}` : '-',
    p === null ? '-' : p < 0.001 ? '< 0.001' : p.toFixed(3),
    percent(effect.minimumDetectable),
  ];
}

const HEADLINES = [
  { heading: 'benchmark', align: 'left' },
  { heading: 'headline', align: 'left' },
  { heading: 'first', align: 'right' },
  { heading: 'second', align: 'right' },
  { heading: 'second - first', align: 'right' },
] as const;

function shown(value: number | null): string {
  return value === null ? '-' : value.toFixed(2);
}

function headlineRows({ benchmark, headlines }: BenchmarkComparison): string[][] {
  return headlines.map(({ name, first, second }) => [
    benchmark,
    name,
    shown(first),
    shown(second),
    first === null || second === null ? '-' : (second - first).toFixed(2),
  ]);
}

/** ours: a model's hash fits, a whole system message does not. */
const SHOWN_CHARACTERS = 80;

function showValue(value: unknown): string {
  const text = value === undefined ? 'unknown' : JSON.stringify(value);
  return text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS - 1)}…` : text;
}

function notesOf(found: ResultComparison): string[] {
  return [
    ...found.benchmarks.flatMap(({ benchmark, objections }) =>
      objections.map((objection) => `NOT COMPARABLE, ${benchmark}: ${objection}`),
    ),
    ...found.benchmarks.flatMap(({ benchmark, onlyFirst, onlySecond }) =>
      onlyFirst + onlySecond > 0
        ? [`${benchmark}: ${onlyFirst} items of the first only, ${onlySecond} of the second only`]
        : [],
    ),
    ...found.benchmarks.flatMap(({ benchmark, settings }) =>
      settings.map(
        ({ name, first, second }) =>
          `${benchmark}, ${name}: ${showValue(first)} and ${showValue(second)}`,
      ),
    ),
    ...(found.onlyFirst.length > 0 ? [`only in the first: ${found.onlyFirst.join(', ')}`] : []),
    ...(found.onlySecond.length > 0 ? [`only in the second: ${found.onlySecond.join(', ')}`] : []),
  ];
}

function render(found: ResultComparison, [first = '', second = '']: readonly string[]): string {
  const { benchmarks } = found;
  const items = { columns: COLUMNS, rows: benchmarks.map(cellsOf), notes: [] };
  const headlines = { columns: HEADLINES, rows: benchmarks.flatMap(headlineRows), notes: [] };
  return [
    `first: ${first}`,
    `second: ${second}`,
    '',
    renderTextTable(items),
    '',
    renderTextTable({ ...headlines, notes: notesOf(found) }),
  ].join('\n');
}

/** The command. */
export const command = defineCommand({
  description:
    'Holds the second of two scored runs against the first, benchmark by benchmark: accuracy over items ' +
    'that both scored, its difference with a 95 % interval over questions, the exact McNemar test that ' +
    'exchanges whole questions, the headlines, and every setting that differs. Says NOT COMPARABLE where ' +
    'the difference is not one of the models alone: other era, judge, prompt, pixel limits, items.',
  arguments: [{ syntax: '<runs...>', description: 'two folders that hold scored runs' }],
  options: { seed: option.seedOption() },
  examples: ['gapvl evaluate compare runs/base-mmstar runs/gap-mmstar'],
  run: async ({ seed }, context, runs) => {
    const [first, second, ...more] = runs;
    if (first === undefined || second === undefined || more.length > 0) {
      throw new ConfigError({
        what: 'gapvl evaluate compare takes two runs',
        got: `${runs.length}`,
        expected: 'two folders',
        fix: 'for example `gapvl evaluate compare runs/base runs/gap`',
      });
    }
    const found = await compareResults(first, second, seed);
    context.result(render(found, runs), found);
  },
});
