// Owns a scored run as text for the terminal; `gapvl evaluate score` prints it.
import { findBenchmark } from '../benchmark/benchmarks.ts';
import type { EvaluationResult, ItemCounts } from '../benchmark/results/result.ts';
import { visible } from './html.ts';
import { interval, percent, renderTextTable } from './text-table.ts';
import type { TextTable } from './text-table.ts';

function shown(value: number | null): string {
  return value === null ? '-' : value.toFixed(2);
}

function headlineTable({ headlines, repeats }: EvaluationResult): TextTable {
  const withStd = repeats.length > 1;
  const withIntervals = headlines.some(({ low }) => low !== null);
  return {
    columns: [
      { heading: 'headline', align: 'left' },
      { heading: 'percent', align: 'right' },
      ...(withStd ? [{ heading: 'std', align: 'right' as const }] : []),
      ...(withIntervals ? [{ heading: '95 % interval', align: 'right' as const }] : []),
    ],
    rows: headlines.map(({ name, percent: value, std, low, high }) => [
      name,
      shown(value),
      ...(withStd ? [std === null ? '-' : std.toFixed(3)] : []),
      ...(withIntervals ? [low === null ? '-' : interval(shown(low), shown(high))] : []),
    ]),
    notes: [],
  };
}

function figureTable({ repeats }: EvaluationResult): string {
  const names = repeats[0]?.figures.map(({ name }) => name) ?? [];
  return renderTextTable({
    columns: [
      { heading: 'figure', align: 'left' },
      ...repeats.map((_, i) => ({
        heading: repeats.length > 1 ? `repeat ${i}` : 'value',
        align: 'right' as const,
      })),
    ],
    rows: names.map((name) => [
      name,
      ...repeats.map(({ figures }) => {
        const value = figures.find((one) => one.name === name)?.value ?? null;
        return value === null ? '-' : String(value);
      }),
    ]),
    notes: [],
  });
}

function countLines(items: ItemCounts): string[] {
  const kinds = Object.entries(items.errorKinds).map(([kind, count]) => `${count} ${kind}`);
  const scored =
    items.table !== null && items.table !== items.expected
      ? `${items.scored} of ${items.expected} items scored; the whole benchmark has ${items.table}`
      : `${items.scored} of ${items.expected} items scored`;
  const counted: readonly (readonly [number, string])[] = [
    [items.errors, `items failed and are in no figure (${kinds.join(', ')})`],
    [items.absent, 'items are absent and are in no figure'],
    [items.failedCalls, 'predictions say that a call had failed; by the protocol they are wrong'],
    [items.extra, 'predictions are for rows that the table does not have; they are left out'],
    [items.duplicates, 'predictions are there more than once'],
    [items.missing, 'predictions are missing (empty, NA, nan, ...); they are wrong'],
    [items.fullCells, 'predictions are as long as an Excel cell can be, and most likely cut there'],
    [items.random, 'items were settled by a seeded pick after the judge had failed three times'],
    [items.cutOff ?? 0, 'responses were cut off at the limit of tokens'],
  ];
  return [scored, ...counted.flatMap(([count, what]) => (count > 0 ? [`${count} ${what}`] : []))];
}

function judgeLine(result: EvaluationResult): string {
  const { judge, benchmark, isLowerBound } = result;
  if (judge.mode === 'judge') {
    const versions = judge.versions.map((version) => version ?? 'unnamed').join(', ');
    const name = versions === '' ? judge.model : `${judge.model} (${versions})`;
    return `judge ${name}: ${judge.items} items, ${judge.replies} replies, ${judge.failed} failed`;
  }
  if (isLowerBound) return 'exact mode: A LOWER BOUND, the protocol needs a judge here';
  const { judge: need } = findBenchmark(benchmark);
  return need === 'none' ? 'the protocol asks no judge here' : 'exact mode: no judge was asked';
}

function factLines(result: EvaluationResult): string[] {
  const { latency, triggerRate, era, unwrap, versions, intervals, data } = result;
  const wrapping =
    unwrap === 'raw' ? 'raw texts' : 'texts without thinking and one enclosing <answer> pair';
  return [
    `rules of era ${era} (VLMEvalKit ${versions['reference'] ?? ''}), ${wrapping}`,
    judgeLine(result),
    ...(data?.isPublished === false
      ? [`the table ${data.file} is NOT THE PUBLISHED ONE (MD5 ${data.md5})`]
      : []),
    ...(latency
      ? [
          `latency: mean ${latency.meanS.toFixed(2)} s, P50 ${latency.p50S.toFixed(2)} s, P90 ` +
            `${latency.p90S.toFixed(2)} s over ${latency.n} items; ${latency.leftOut} left out`,
        ]
      : []),
    ...(triggerRate === null ? [] : [`latents were written in ${percent(triggerRate)} % of items`]),
    ...(intervals ? [`intervals are over questions, seed ${intervals.seed}`] : []),
  ];
}

/**
 * A result in words.
 * @param all - with every figure of the reference's report, in its units.
 */
export function renderResult(result: EvaluationResult, all: boolean): string {
  const { benchmark, label, status } = result;
  // Labels, kinds of errors and names of judges come from files and servers.
  const title = `${benchmark}: ${visible(label)}${status === 'complete' ? '' : `, ${status.toUpperCase()}`}`;
  const table = headlineTable(result);
  const notes = [...countLines(result.items), ...factLines(result)].map(visible);
  return [
    title,
    '',
    renderTextTable({ ...table, notes: [] }),
    '',
    ...(all ? [figureTable(result), ''] : []),
    ...notes,
  ].join('\n');
}
