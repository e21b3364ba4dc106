// Owns the Markdown tables of bench/decode.ts's results; the README's come from here.
import type { CaseResult, DecodeResults } from './results.ts';

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, i) => (i < 2 ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function caseRow(result: CaseResult, all: readonly CaseResult[]): string[] {
  const { shape, precision, variant, threads, promptTokens, newTokens } = result;
  const ours = all.find(
    (other) =>
      other.variant === 'ours' &&
      other.shape === shape &&
      other.precision === precision &&
      other.threads === threads,
  );
  const against = (mine: number | undefined, theirs: number): string =>
    variant === 'ours' ? '' : ((mine ?? NaN) / theirs).toFixed(2);
  return [
    `${shape} ${precision}, ${promptTokens} + ${newTokens}`,
    variant,
    String(threads),
    result.prefillRate.toFixed(1),
    percent(result.prefillShare),
    result.decodeRate.toFixed(2),
    percent(result.decodeShare),
    result.firstMs.toFixed(0),
    (result.peakBytes / 1e9).toFixed(2),
    against(ours?.prefillRate, result.prefillRate),
    against(ours?.decodeRate, result.decodeRate),
  ];
}

/** Speed beside the others, the ceiling, and what a span of latents costs. */
export function decodeTable({ machine, ceiling, results, spans }: DecodeResults): string {
  const head = ['model, tokens', 'side', 'threads', 'prefill tok/s', 'of ceiling'];
  const sorted = results.toSorted(
    (a, b) =>
      results.findIndex((r) => r.shape === a.shape && r.precision === a.precision) -
        results.findIndex((r) => r.shape === b.shape && r.precision === b.precision) ||
      a.threads - b.threads ||
      Number(b.variant === 'ours') - Number(a.variant === 'ours'),
  );
  const rest = ['decode tok/s', 'of ceiling', 'first token ms', 'peak GB'];
  const ratios = ['ours / it, prefill', 'ours / it, decode'];
  const limits = ceiling.map(
    ({ threads, readGBs, gflops }) =>
      `${threads} thread${threads === 1 ? '' : 's'}: ${readGBs.toFixed(1)} GB/s, ${gflops.toFixed(0)} GFLOPS`,
  );
  const generated = results.flatMap(({ generateMs, responseMs, shape, threads }) =>
    generateMs === undefined
      ? []
      : [`${shape} ${threads}: ${(generateMs / responseMs).toFixed(2)}`],
  );
  const agreed = sorted
    .filter(({ variant }) => variant !== 'ours')
    .map((r) => `${r.shape} ${r.variant} ${r.threads}: ${r.equalIds} of ${r.newTokens}`);
  const spanRows = spans.map(({ shape, threads, promptTokens, medianMs, ratio, ...span }) => [
    `${shape} f32, ${promptTokens} + ${span.textTokens}`,
    `${span.numLatents} latents`,
    String(threads),
    ...['plain', 'markers', 'span'].map((kind) => (medianMs[kind] ?? NaN).toFixed(0)),
    ratio.toFixed(3),
  ]);
  return [
    ...table(
      [...head, ...rest, ...ratios],
      sorted.map((r) => caseRow(r, results)),
    ),
    '',
    `Ceiling (${machine.cpu}, load ${machine.startLoad.toFixed(1)} before): ${limits.join('; ')}; products of f32 matrices, so int8 kernels may pass it.`,
    `PyTorch's generate() over its loop by hand, milliseconds a response: ${generated.join(', ')}.`,
    `New tokens that agree with ours on the same weights: ${agreed.join(', ')}.`,
    '',
    ...table(
      ['model, tokens', 'span', 'threads', 'no span ms', 'markers alone ms', 'span ms', 'ratio'],
      spanRows,
    ),
    '',
  ].join('\n');
}
