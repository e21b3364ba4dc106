// Owns what one random call of an operation is, and the drawing of random calls; op tests call it.

import fc from 'fast-check';
import { Rng } from '../../src/rng.ts';
import { subDims, toDim } from '../../src/engine/dims.ts';
import type { Dim, DimLike } from '../../src/engine/dims.ts';
import type { Graph, Value } from '../../src/engine/graph.ts';
import { numElements } from '../../src/engine/tensor.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { toTensor } from './nd.ts';
import type { Nd } from './nd.ts';

/** One operand: its declared shape (symbols allowed) and the value it is run with. */
export interface Operand {
  readonly shape: readonly DimLike[];
  readonly value: Nd;
  /** `float` is the graph's own floating-point type. */
  readonly role: 'float' | 'i64' | 'bool';
}

/** One call of an operation with everything needed to run it and to know the right result. */
export interface OpCase {
  readonly operands: readonly Operand[];
  readonly build: (...values: Value[]) => Value;
  /** The same function in nested loops over numbers. */
  readonly twin: (...arrays: Nd[]) => Nd;
}

/** Draws one random call. */
export type OpCaseMaker = (draw: Draw) => OpCase;

/** One axis: its size when run, and how the graph declares it. */
export interface Axis {
  readonly size: number;
  readonly dim: DimLike;
}

/**
 * Values are multiples of this, and a power of two, so that adding steps of the same size is exact
 * in f32 and f64.
 */
export const GRAIN = 2 ** -10;

/** Random numbers on the grain in [low, high]. */
export function randomValues(rng: Rng, dims: readonly number[], low: number, high: number): Nd {
  const steps = Math.round((high - low) / GRAIN);
  const data = Array.from({ length: numElements(dims) }, () => low + GRAIN * rng.int(steps + 1));
  return { dims, data };
}

/** Random choices of one case: shapes and flags shrink, values follow a seed. */
export class Draw {
  private readonly gen: fc.GeneratorValue;
  private readonly rng: Rng;
  private symbols = 0;

  constructor(gen: fc.GeneratorValue) {
    this.gen = gen;
    this.rng = new Rng(gen(fc.integer, { min: 0, max: 2 ** 31 - 1 }));
  }

  int(min: number, max: number): number {
    return this.gen(fc.integer, { min, max });
  }

  flag(): boolean {
    return this.gen(fc.boolean);
  }

  /** An axis of min to max elements, half of the time behind a symbol of its own. */
  axis(min = 1, max = 3): Axis {
    const size = this.int(min, max);
    return { size, dim: this.flag() ? `S${this.symbols++}` : size };
  }

  axes(minRank: number, maxRank: number, maxSize = 3): Axis[] {
    const rank = this.int(minRank, maxRank);
    return Array.from({ length: rank }, () => this.axis(1, maxSize));
  }

  /** Axes that broadcast to the given ones: some leading ones dropped, some static ones. */
  broadcastable(axes: readonly Axis[]): Axis[] {
    const kept = axes.slice(this.int(0, axes.length));
    return kept.map((axis) => (this.int(0, 3) === 0 ? { size: 1, dim: 1 } : axis));
  }

  /** An axis of a rank, half of the time counted from the back. */
  axisIndex(rank: number): number {
    const index = this.int(0, rank - 1);
    return this.flag() ? index - rank : index;
  }

  /** A non-empty subset of a rank's axes, some counted from the back. */
  axisSubset(rank: number): number[] {
    const chosen = this.shuffled(rank).slice(0, this.int(1, rank));
    return chosen.map((index) => (this.flag() ? index - rank : index));
  }

  /** A place in 0..size of an axis, written as a number or counted from a symbolic end. */
  place(axis: Axis, min = 0): readonly [number, Dim] {
    const place = this.int(min, axis.size);
    const written = this.flag() ? subDims(toDim(axis.dim), axis.size - place) : place;
    return [place, written];
  }

  /** 0..length-1 in random order. */
  shuffled(length: number): number[] {
    return this.rng.shuffle(Array.from({ length }, (_, i) => i));
  }

  floats(axes: readonly Axis[], low = -1, high = 1): Operand {
    return floatOperand(axes, randomValues(this.rng, sizesOf(axes), low, high));
  }

  /** Numbers of random sign and magnitude in [low, high], for denominators. */
  nonzero(axes: readonly Axis[], low = 0.5, high = 2): Operand {
    const magnitudes = randomValues(this.rng, sizesOf(axes), low, high);
    const data = magnitudes.data.map((v) => (this.rng.int(2) === 0 ? v : -v));
    return floatOperand(axes, { ...magnitudes, data });
  }

  /** Numbers no two of which are closer than 16 steps of the grain, for maxima. */
  distinct(axes: readonly Axis[]): Operand {
    const dims = sizesOf(axes);
    const data = this.shuffled(numElements(dims)).map((v) => v / 8 + GRAIN * this.rng.int(100));
    return floatOperand(axes, { dims, data });
  }

  /** Integers in 0..bound-1, with repeats. */
  integers(axes: readonly Axis[], bound: number, role: 'i64' | 'float' = 'i64'): Operand {
    const dims = sizesOf(axes);
    const data = Array.from({ length: numElements(dims) }, () => this.rng.int(bound));
    return { shape: axes.map((a) => a.dim), value: { dims, data }, role };
  }

  mask(axes: readonly Axis[]): Operand {
    return { ...this.integers(axes, 2), role: 'bool' };
  }
}

/** The sizes of axes when run. */
export function sizesOf(axes: readonly Axis[]): number[] {
  return axes.map((axis) => axis.size);
}

/** A floating-point operand over axes. */
export function floatOperand(axes: readonly Axis[], value: Nd): Operand {
  return { shape: axes.map((axis) => axis.dim), value, role: 'float' };
}

/** An index operand over axes. */
export function indexOperand(axes: readonly Axis[], data: readonly number[]): Operand {
  return { shape: axes.map((a) => a.dim), value: { dims: sizesOf(axes), data }, role: 'i64' };
}

/** Name of an operand as a graph input. */
export function operandName(index: number): string {
  return `operand${index}`;
}

/** Declares a case's operands as inputs of a graph. */
export function declareOperands(graph: Graph, operands: readonly Operand[]): Value[] {
  return operands.map(({ role, shape }, i) => graph.input(operandName(i), role, shape));
}

/** Tensors of a case's operands for a graph of the given floating-point type. */
export function feedsOf(
  operands: readonly Operand[],
  float: 'f32' | 'f64',
): Record<string, Tensor> {
  return Object.fromEntries(
    operands.map(({ role, value }, i) => [
      operandName(i),
      toTensor(value, role === 'float' ? float : role),
    ]),
  );
}

/** What every symbol of a case stands for. */
export function symbolSizes(operands: readonly Operand[]): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { shape, value } of operands) {
    shape.forEach((dim, axis) => {
      if (typeof dim === 'string') sizes.set(dim, value.dims[axis] ?? NaN);
    });
  }
  return sizes;
}
