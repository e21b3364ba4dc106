// Owns what bench/decode.ts makes of its measurements: medians over rounds, rates, shares of the ceiling.
import { SHAPES, bytesPerToken, layerElements } from './shapes.ts';
import type { Measured, Precision, ShapeName, Variant } from './shapes.ts';

/** One process. */
export interface Run extends Measured {
  readonly shape: ShapeName;
  readonly precision: Precision;
  readonly variant: Variant;
  readonly threads: number;
  /** Of the machine over the minute before. */
  readonly load: number;
}

/** What the machine can do. */
export interface CeilingRun {
  readonly threads: number;
  /** Reading half a gigabyte of f32, the faster of a sum and a product with a vector. */
  readonly readGBs: number;
  /** Product of f32 matrices of side 2048, in PyTorch and in ONNX Runtime. */
  readonly gflops: number;
  readonly ortGflops: number;
}

/** Whole responses by kind in milliseconds. */
export interface SpanRun {
  readonly shape: ShapeName;
  readonly threads: number;
  readonly promptTokens: number;
  readonly textTokens: number;
  readonly numLatents: number;
  readonly ms: Readonly<Record<string, readonly number[]>>;
}

/** Medians of one side, and everything they come from. */
export interface CaseResult {
  readonly shape: ShapeName;
  readonly precision: Precision;
  readonly variant: Variant;
  readonly threads: number;
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly firstMs: number;
  /** Prompt tokens over the time to the first token. */
  readonly prefillRate: number;
  /** New tokens a second after the first. */
  readonly decodeRate: number;
  readonly loadMs: number;
  readonly peakBytes: number;
  /** Of the products of the layers against the f32 product of the ceiling. */
  readonly prefillShare: number;
  /** Of the bytes of weights read against the bandwidth of the ceiling. */
  readonly decodeShare: number;
  /** Milliseconds a response, whole, by hand; and by generate(), where there is one. */
  readonly responseMs: number;
  readonly generateMs?: number;
  /** New tokens that agree with the first side's before the first that differs. */
  readonly equalIds: number;
  readonly about: Readonly<Record<string, unknown>>;
  readonly raw: readonly {
    readonly load: number;
    readonly loadMs: number;
    readonly peakBytes: number;
    readonly generateMs?: unknown;
    readonly responses: readonly {
      readonly firstMs: number;
      readonly stepMs: readonly number[];
    }[];
  }[];
}

/** The ceiling by thread count: fastest of all rounds and runtimes, with raw values. */
export interface Ceiling {
  readonly threads: number;
  readonly readGBs: number;
  readonly gflops: number;
  readonly raw: readonly Omit<CeilingRun, 'threads'>[];
}

/** Responses with a span against those without. */
export interface SpanResult extends Omit<SpanRun, 'ms'> {
  readonly medianMs: Readonly<Record<string, number>>;
  /** With the span over without: prompt included. */
  readonly ratio: number;
  readonly ms: SpanRun['ms'];
}

/** What is kept. */
export interface DecodeResults {
  readonly bench: 'decode';
  readonly machine: { readonly cpu: string; readonly cores: number; readonly startLoad: number };
  readonly ceiling: readonly Ceiling[];
  readonly results: readonly CaseResult[];
  readonly spans: readonly SpanResult[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = NaN, high = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (low + high) / 2;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function rounded(value: number): number {
  return Number(value.toFixed(2));
}

/** The fastest of all rounds by thread count: a ceiling is what the machine did once. */
export function ceilingResult(runs: readonly CeilingRun[]): Ceiling[] {
  return [...new Set(runs.map(({ threads }) => threads))].map((threads) => {
    const own = runs.filter((run) => run.threads === threads);
    const raw = own.map(({ readGBs, gflops, ortGflops }) => ({
      readGBs: rounded(readGBs),
      gflops: rounded(gflops),
      ortGflops: rounded(ortGflops),
    }));
    return {
      threads,
      readGBs: Math.max(...raw.map((r) => r.readGBs)),
      gflops: Math.max(...raw.flatMap((r) => [r.gflops, r.ortGflops])),
      raw,
    };
  });
}

function equalLength(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((id, i) => id !== b[i]);
  return at < 0 ? a.length : at;
}

/** Medians by shape, precision, threads and side. */
export function caseResults(runs: readonly Run[], ceilings: readonly Ceiling[]): CaseResult[] {
  const groups = new Map<string, Run[]>();
  for (const run of runs) {
    const key = [run.shape, run.precision, run.threads, run.variant].join(' ');
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map((group): CaseResult => {
    const [first] = group as [Run, ...Run[]];
    const { shape, precision, variant, threads } = first;
    const sizes = SHAPES[shape];
    const { promptTokens, newTokens } = sizes;
    const over = (figure: (response: Measured['responses'][number]) => number): number =>
      median(group.map((run) => median(run.responses.map(figure))));
    const firstMs = over((response) => response.firstMs);
    const prefillRate = (1000 * promptTokens) / firstMs;
    const decodeRate = (1000 * (newTokens - 1)) / over(({ stepMs }) => sum(stepMs));
    const ceiling = ceilings.find((one) => one.threads === threads);
    const beside = runs.find(
      (run) => run.shape === shape && run.precision === precision && run.variant === 'ours',
    );
    const generated = group.map((run) => run.about['generateMs']).filter((ms) => ms !== undefined);
    return {
      ...{ shape, precision, variant, threads, promptTokens, newTokens },
      ...{ firstMs, prefillRate, decodeRate },
      loadMs: median(group.map((run) => run.loadMs)),
      peakBytes: Math.max(...group.map((run) => run.peakBytes)),
      prefillShare: (prefillRate * 2 * layerElements(sizes)) / 1e9 / (ceiling?.gflops ?? NaN),
      decodeShare:
        (decodeRate * bytesPerToken(sizes, precision, variant)) / 1e9 / (ceiling?.readGBs ?? NaN),
      responseMs: over((response) => response.firstMs + sum(response.stepMs)),
      ...(generated.length > 0 ? { generateMs: median(generated.map(Number)) } : {}),
      equalIds: equalLength(first.responses[0]?.ids ?? [], beside?.responses[0]?.ids ?? []),
      about: first.about,
      raw: group.map(({ load, loadMs, peakBytes, responses, about }) => ({
        load: rounded(load),
        loadMs: rounded(loadMs),
        peakBytes,
        ...(about['generateMs'] === undefined ? {} : { generateMs: about['generateMs'] }),
        responses: responses.map((response) => ({
          firstMs: rounded(response.firstMs),
          stepMs: response.stepMs.map(rounded),
        })),
      })),
    };
  });
}

/** Medians of the responses with and without a span. */
export function spanResults(runs: readonly SpanRun[]): SpanResult[] {
  return runs.map(({ ms, ...run }) => {
    const raw = Object.entries(ms).map(([kind, values]) => [kind, values.map(rounded)] as const);
    const medians = raw.map(([kind, values]) => [kind, median(values)] as const);
    const medianMs = Object.fromEntries(medians);
    const ratio = (medianMs['span'] ?? NaN) / (medianMs['plain'] ?? NaN);
    return { ...run, medianMs, ratio, ms: Object.fromEntries(raw) };
  });
}
