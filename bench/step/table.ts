// Owns the Markdown tables of bench/step.ts's results.
import { SHAPES } from './shapes.ts';
import type { StepResult, StepResults } from './results.ts';

function table(head: readonly string[], numWords: number, rows: readonly string[][]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map((_, i) => (i < numWords ? '---' : '---:'))), ...rows.map(line)];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function figures(result: StepResult): string[] {
  const { batch, threads, stepMs, share, peakBytes } = result;
  const digits = stepMs < 100 ? 1 : 0;
  return [
    `${batch.rows} x ${batch.length}`,
    String(threads),
    stepMs.toFixed(digits),
    percent(share),
    (peakBytes / 1e6).toFixed(0),
  ];
}

/** A training step beside PyTorch's, and its growth with tokens. */
export function stepTable(kept: StepResults): string {
  const { machine, ceiling, parameters, ratios, results, growth, failures } = kept;
  const order = ['ours', 'eager', 'compile', 'labelled'];
  const sorted = results.toSorted(
    (a, b) =>
      Object.keys(SHAPES).indexOf(a.shape) - Object.keys(SHAPES).indexOf(b.shape) ||
      a.batch.rows * a.batch.length - b.batch.rows * b.batch.length ||
      a.batch.length - b.batch.length ||
      a.threads - b.threads ||
      order.indexOf(a.variant) - order.indexOf(b.variant),
  );
  const rows = sorted.map((result) => {
    const found = ratios.find(
      (r) =>
        r.shape === result.shape &&
        r.threads === result.threads &&
        r.batch.rows === result.batch.rows &&
        r.batch.length === result.batch.length,
    );
    const own = result.variant === 'ours' && found;
    const millions = ((parameters[result.shape] ?? NaN) / 1e6).toFixed(1);
    return [
      `${result.shape} (${millions} M)`,
      result.variant,
      ...figures(result),
      own ? found.ratio.toFixed(2) : '',
      own ? found.labelledRatio.toFixed(2) : '',
      own ? found.memoryRatio.toFixed(2) : '',
    ];
  });
  const limits = ceiling.map(({ threads, gflops }) => `${threads}: ${gflops.toFixed(0)}`);
  const worst = (pick: (result: StepResult) => number): string =>
    Math.max(...results.map(pick)).toExponential(1);
  const head = ['rows x tokens', 'threads', 'ms', 'of ceiling', 'peak MB'];
  return [
    ...table(['model', 'side', ...head, 'speed', 'to labelled', 'memory'], 2, rows),
    '',
    `Speed and memory: ours over the better of eager and compile. Ceiling (${machine.cpu}, load ${machine.startLoad.toFixed(1)} before), GFLOPS by threads: ${limits.join(', ')}.`,
    `Losses differ from ours by ${worst((r) => r.firstLossError)} before the first step and ${worst((r) => r.worstLossError)} over all, relatively.`,
    ...failures.map((f) => `${f.variant} failed on ${f.shape}, ${f.threads} threads: ${f.message}`),
    '',
    ...table(
      ['model', 'side', ...head],
      2,
      growth.map((result) => [result.shape, result.variant, ...figures(result)]),
    ),
    '',
  ].join('\n');
}
