// Owns the Markdown of the one table of speed and of the details below it; bench/table.ts calls it.
import { besides } from '../sides/rounds.ts';
import type { Machine, SideResults } from '../sides/rounds.ts';
import { tableLines } from './lines.ts';
import type { Goal, Kept, Line, PcaResults, VisionResults } from './lines.ts';

/** Load before a run above which its figures are called provisional. */
const MOST_LOAD = 1.5;
/** In the order in which they run. */
export const TABLE_BENCHES = [
  'step',
  'vision',
  'decode',
  'capacity',
  'pca',
  'preprocess',
  'tokenize',
  'start',
  'whole',
] as const satisfies readonly (keyof Kept)[];

function markdown(head: readonly string[], numWords: number, rows: readonly string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (i < numWords ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

function show(value: number, unit: Goal['unit']): string {
  if (unit === 'x') return value >= 10 ? `${value.toFixed(0)}x` : `${value.toFixed(2)}x`;
  return `${value.toFixed(0)} ${unit}`;
}

function showGoal({ kind, bound, unit }: Goal): string {
  const digits = unit === 'x' ? `${bound.toFixed(1)}x` : `${bound} ${unit}`;
  return `${kind === 'at least' ? '>=' : '<='} ${digits}`;
}

/** Whether all values of a line keep its goal; of a line without values nothing is known. */
export function verdict({
  goal,
  values = [],
}: Line): 'met' | 'missed' | 'in part' | 'not measured' {
  const isMet = (value: number): boolean =>
    goal.kind === 'at least' ? value >= goal.bound : value <= goal.bound;
  if (values.length === 0) return 'not measured';
  if (values.every(isMet)) return 'met';
  return values.some(isMet) ? 'in part' : 'missed';
}

function lineCells(line: Line): string[] {
  const { work, shapes, against, goal, ours = '', values = [] } = line;
  const [low, high] = [Math.min(...values), Math.max(...values)].map((v) => show(v, goal.unit));
  const text = low === high ? low : `${low ?? ''} to ${high ?? ''}`;
  const measured = values.length > 0 ? [ours, text ?? ''] : ['', ''];
  return [work, shapes, against, showGoal(goal), ...measured, verdict(line)];
}

function machineNote(kept: Kept): string {
  const all = TABLE_BENCHES.flatMap((bench) => {
    const machine: Partial<Machine> | undefined = kept[bench]?.machine;
    return machine ? [{ bench, ...machine }] : [];
  });
  const names = [...new Set(all.flatMap(({ cpu }) => (cpu === undefined ? [] : [cpu])))];
  const cores = all.find((one) => one.cores !== undefined)?.cores ?? 2;
  const busy = all.filter(({ startLoad = 0 }) => startLoad > MOST_LOAD);
  const warning = busy.map(({ bench, startLoad }) => `${bench} ${startLoad?.toFixed(1) ?? ''}`);
  return [
    `Measured on ${cores} cores of ${names.join(', ')}.`,
    ...(busy.length > 0
      ? [`Provisional, measured beside other work (load): ${warning.join(', ')}.`]
      : []),
  ].join(' ');
}

/** The one table: work, shapes, peer, goal, ours, ratio, met or missed. */
export function speedTable(kept: Kept): string {
  const lines = tableLines(kept);
  const count = (wanted: string): number => lines.filter((line) => verdict(line) === wanted).length;
  const head = ['work', 'shapes', 'against', 'goal', 'ours', 'ratio or value', 'goal is'];
  return [
    markdown(head, 4, lines.map(lineCells)),
    '',
    `${count('met')} of ${lines.length} goals are met, ${count('in part')} in part (in some of the shapes or thread counts), ${count('missed')} missed, ${count('not measured')} not measured.`,
    machineNote(kept),
  ].join('\n');
}

/** Every case of a side-by-side bench. */
export function sideTable(kept: SideResults | undefined, unit = 'ms'): string {
  if (!kept) return 'Not measured.';
  const pairs = besides(kept.results);
  const rows = kept.results.map((figure) => {
    const own = pairs.find(({ ours }) => ours === figure);
    const peak = figure.peakBytes === undefined ? '' : (figure.peakBytes / 1e6).toFixed(0);
    const ms = figure.ms >= 100 ? figure.ms.toFixed(0) : figure.ms.toPrecision(3);
    const numValues = String(figure.raw.flat().length);
    const ratio = own ? own.ratio.toFixed(2) : '';
    return [figure.case, figure.variant, String(figure.threads), ms, numValues, peak, ratio];
  });
  const head = ['case', 'side', 'threads', unit, 'values', 'peak MB', 'ours over the best other'];
  const limits = (kept.ceiling ?? []).map(
    ({ threads, gflops, readGBs }) =>
      `${threads} thread${threads === 1 ? '' : 's'}: ${gflops.toFixed(0)} GFLOPS, ${readGBs.toFixed(1)} GB/s`,
  );
  const ceiling = limits.length > 0 ? `\n\nCeiling in the same run: ${limits.join('; ')}.` : '';
  return `${markdown(head, 2, rows)}${ceiling}`;
}

/** Shares of the ceiling of the vision tower. */
export function visionShares(kept: VisionResults | undefined): string {
  const shown = (kept?.shares ?? []).map((one) => {
    const share = `${one.gflops.toFixed(0)} GFLOPS (${(100 * one.ofCeiling).toFixed(0)} %)`;
    return `${one.case} ${one.variant} ${one.threads}: ${share}`;
  });
  return shown.length > 0 ? `Share of the matmul ceiling: ${shown.join(', ')}.` : '';
}

/** Totals of the PCA and its memory against the number of embeddings. */
export function pcaTables(kept: PcaResults | undefined): string {
  if (!kept) return 'Not measured.';
  const totals = kept.totals.map(({ variant, ms, peakBytes }) => [
    ...[variant, (ms / 1000).toFixed(1), (peakBytes / 1e6).toFixed(0)],
  ]);
  const growth = kept.growth.map(({ rows, dim, peakBytes }) => [
    ...[rows.toLocaleString('en'), String(dim), (peakBytes / 1e6).toFixed(0)],
  ]);
  return [
    markdown(['side', `seconds for ${kept.rows.toLocaleString('en')} rows`, 'peak MB'], 1, totals),
    markdown(['rows', 'width', 'our peak MB'], 0, growth),
  ].join('\n\n');
}
