// Owns what bench/step.ts makes of its measurements: medians, ratios, shares of the ceiling, equal losses.
import type { Ceiling } from '../decode/results.ts';
import { SHAPES, parameterCount, stepFlops } from './shapes.ts';
import type { BatchShape, Measured, ShapeName, Variant } from './shapes.ts';

/** One process. */
export interface StepRun extends Measured {
  readonly shape: ShapeName;
  readonly batch: BatchShape;
  readonly variant: Variant;
  readonly threads: number;
  /** Of the machine over the minute before. */
  readonly load: number;
}

/** A variant that could not run, and what it said. */
export interface StepFailure {
  readonly shape: ShapeName;
  readonly batch: BatchShape;
  readonly variant: Variant;
  readonly threads: number;
  readonly message: string;
}

/** Medians of one side, and everything they come from. */
export interface StepResult {
  readonly shape: ShapeName;
  readonly batch: BatchShape;
  readonly threads: number;
  readonly variant: Variant;
  /** Milliseconds of a step: median and least over all rounds, and processor time. */
  readonly stepMs: number;
  readonly leastMs: number;
  readonly cpuMs: number;
  readonly tokensPerSecond: number;
  /** Of the work that a step cannot do without, against the ceiling. */
  readonly share: number;
  readonly peakBytes: number;
  readonly startMs: number;
  /** Largest relative difference of a loss from ours, before the first step and over all. */
  readonly firstLossError: number;
  readonly worstLossError: number;
  readonly about: Readonly<Record<string, unknown>>;
  readonly raw: readonly Omit<Measured, 'about'>[];
}

/** Ours against the others, same shape, batch and threads. */
export interface StepRatio {
  readonly shape: ShapeName;
  readonly batch: BatchShape;
  readonly threads: number;
  /** Times as fast as the faster of eager and compile, and which that is. */
  readonly ratio: number;
  readonly faster: Variant;
  /** The same by processor time, which other work on the machine disturbs less. */
  readonly cpuRatio: number;
  /** Times as fast as eager with logits at labelled positions only. */
  readonly labelledRatio: number;
  /** Our peak memory over the smaller of eager's and compile's. */
  readonly memoryRatio: number;
}

/** What is kept. */
export interface StepResults {
  readonly bench: 'step';
  readonly machine: { readonly cpu: string; readonly cores: number; readonly startLoad: number };
  readonly ceiling: readonly Ceiling[];
  readonly parameters: Readonly<Record<string, number>>;
  readonly ratios: readonly StepRatio[];
  readonly results: readonly StepResult[];
  /** Step time against tokens, measured alone: rows of one chunk, or one row of all tokens. */
  readonly growth: readonly StepResult[];
  readonly failures: readonly StepFailure[];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = NaN, high = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (low + high) / 2;
}

function rounded(value: number): number {
  return Number(value.toPrecision(7));
}

function keyOf({ shape, batch, threads }: Pick<StepRun, 'shape' | 'batch' | 'threads'>): string {
  return [shape, batch.rows, batch.length, threads].join(' ');
}

function lossErrors(run: StepRun, ours: StepRun | undefined): readonly number[] {
  return run.losses.map((loss, i) => Math.abs(loss / (ours?.losses[i] ?? NaN) - 1));
}

/** Medians by shape, batch, threads and side. */
export function stepResults(runs: readonly StepRun[], ceilings: readonly Ceiling[]): StepResult[] {
  const groups = new Map<string, StepRun[]>();
  for (const run of runs) {
    const key = `${keyOf(run)} ${run.variant}`;
    groups.set(key, [...(groups.get(key) ?? []), run]);
  }
  return [...groups.values()].map((group): StepResult => {
    const [first] = group as [StepRun, ...StepRun[]];
    const { shape, batch, threads, variant } = first;
    const stepMs = median(group.flatMap((run) => run.stepMs));
    const ceiling = ceilings.find((one) => one.threads === threads)?.gflops ?? NaN;
    const ours = runs.find((run) => keyOf(run) === keyOf(first) && run.variant === 'ours');
    const errors = lossErrors(first, ours);
    return {
      ...{ shape, batch, threads, variant, stepMs },
      leastMs: Math.min(...group.flatMap((run) => run.stepMs)),
      cpuMs: median(group.flatMap((run) => run.cpuMs)),
      tokensPerSecond: (1000 * batch.rows * batch.length) / stepMs,
      share: stepFlops(SHAPES[shape], batch) / stepMs / 1e6 / ceiling,
      peakBytes: Math.max(...group.map((run) => run.peakBytes)),
      startMs: median(group.map((run) => run.startMs)),
      firstLossError: errors[0] ?? NaN,
      worstLossError: Math.max(...errors),
      about: first.about,
      raw: group.map((run) => ({
        stepMs: run.stepMs.map(rounded),
        cpuMs: run.cpuMs.map(rounded),
        losses: run.losses,
        startMs: rounded(run.startMs),
        peakBytes: run.peakBytes,
        load: rounded(run.load),
      })),
    };
  });
}

/** Ours against the others. */
export function stepRatios(results: readonly StepResult[]): StepRatio[] {
  return results.flatMap((ours): StepRatio[] => {
    if (ours.variant !== 'ours') return [];
    const others = results.filter((r) => keyOf(r) === keyOf(ours) && r !== ours);
    const labelled = others.find(({ variant }) => variant === 'labelled');
    const whole = others.filter(({ variant }) => variant !== 'labelled');
    const [fastest] = whole.toSorted((a, b) => a.stepMs - b.stepMs);
    if (!fastest) return [];
    return [
      {
        ...{ shape: ours.shape, batch: ours.batch, threads: ours.threads },
        ratio: fastest.stepMs / ours.stepMs,
        faster: fastest.variant,
        cpuRatio: Math.min(...whole.map((r) => r.cpuMs)) / ours.cpuMs,
        labelledRatio: (labelled?.stepMs ?? NaN) / ours.stepMs,
        memoryRatio: ours.peakBytes / Math.min(...whole.map((r) => r.peakBytes)),
      },
    ];
  });
}

/** Parameters by shape. */
export function parameterCounts(names: readonly ShapeName[]): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, parameterCount(SHAPES[name])]));
}
