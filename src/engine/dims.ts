// Owns symbolic dimensions: integers known at run time only, combined by + - * and compared exactly.

import { ShapeError } from '../errors.ts';

/** A polynomial with integer coefficients over named symbols, e.g. `2*B*T + 1`. Immutable. */
export class SymbolicDim {
  /** Monomial (sorted symbol names joined by `*`, empty for the constant term) to coefficient. */
  readonly terms: ReadonlyMap<string, number>;

  private constructor(terms: ReadonlyMap<string, number>) {
    this.terms = terms;
  }

  /** The symbol itself; names are letters, digits and underscores and start with no digit. */
  static named(name: string): SymbolicDim {
    if (!/^[A-Za-z_]\w*$/.test(name)) {
      throw new ShapeError({
        what: 'a symbol has a name that cannot be used',
        got: `'${name}'`,
        expected: 'letters, digits and underscores, no digit in front',
      });
    }
    return new SymbolicDim(new Map([[name, 1]]));
  }

  /** Normalises: drops zero terms and returns a plain number when no symbol is left. */
  static of(terms: ReadonlyMap<string, number>): Dim {
    const kept = new Map(
      [...terms].filter(([, c]) => c !== 0).sort(([a], [b]) => (a < b ? -1 : 1)),
    );
    if (kept.size === 0) return 0;
    if (kept.size === 1 && kept.has('')) return kept.get('') ?? 0;
    return new SymbolicDim(kept);
  }

  /** The polynomial as text, e.g. `2*B*T + 1`; `parseDim` reads it back. */
  toString(): string {
    return [...this.terms]
      .map(([m, c]) => (m === '' ? String(c) : c === 1 ? m : `${c}*${m}`))
      .join(' + ');
  }
}

/** One dimension of a shape: a number, or a polynomial over the graph's symbols. */
export type Dim = number | SymbolicDim;

/** A tensor's shape, outermost axis first. */
export type Shape = readonly Dim[];

/** How callers write a dimension: numbers, `'B'` for a symbol, or a computed Dim. */
export type DimLike = Dim | string;

/** Turns a symbol's name into a Dim and leaves the rest as it is. */
export function toDim(dim: DimLike): Dim {
  return typeof dim === 'string' ? SymbolicDim.named(dim) : dim;
}

/** Reads what `String(dim)` wrote; undefined when the text is something else. */
export function parseDim(text: string): Dim | undefined {
  if (/^-?\d+$/.test(text)) return Number(text);
  const terms = new Map<string, number>();
  for (const term of text.split(' + ')) {
    const match = /^(?:(-?\d+)(?:\*(?=[A-Za-z_])|$))?((?:[A-Za-z_]\w*)(?:\*[A-Za-z_]\w*)*)?$/.exec(
      term,
    );
    if (!match || term === '') return undefined;
    terms.set(match[2] ?? '', Number(match[1] ?? 1));
  }
  return SymbolicDim.of(terms);
}

/** The number a dimension stands for; undefined when it has a symbol of unknown size. */
export function evaluateDim(dim: Dim, sizes: ReadonlyMap<string, number>): number | undefined {
  if (typeof dim === 'number') return dim;
  let total = 0;
  for (const [monomial, coefficient] of dim.terms) {
    let product = coefficient;
    for (const symbol of monomial === '' ? [] : monomial.split('*')) {
      const size = sizes.get(symbol);
      if (size === undefined) return undefined;
      product *= size;
    }
    total += product;
  }
  return total;
}

function termsOf(dim: Dim): ReadonlyMap<string, number> {
  return typeof dim === 'number' ? new Map([['', dim]]) : dim.terms;
}

function multiplyMonomials(a: string, b: string): string {
  return [...a.split('*'), ...b.split('*')]
    .filter((s) => s !== '')
    .sort()
    .join('*');
}

/** Sum of two dimensions. */
export function addDims(a: Dim, b: Dim): Dim {
  const sum = new Map(termsOf(a));
  for (const [m, c] of termsOf(b)) sum.set(m, (sum.get(m) ?? 0) + c);
  return SymbolicDim.of(sum);
}

/** Difference of two dimensions. */
export function subDims(a: Dim, b: Dim): Dim {
  return addDims(a, mulDims(b, -1));
}

/** Product of any number of dimensions; 1 when there are none. */
export function mulDims(...dims: readonly Dim[]): Dim {
  let product: Dim = 1;
  for (const dim of dims) {
    const next = new Map<string, number>();
    for (const [m1, c1] of termsOf(product)) {
      for (const [m2, c2] of termsOf(dim)) {
        const m = multiplyMonomials(m1, m2);
        next.set(m, (next.get(m) ?? 0) + c1 * c2);
      }
    }
    product = SymbolicDim.of(next);
  }
  return product;
}

/** Quotient by a number that divides every coefficient; anything else is a ShapeError. */
export function divideDim(a: Dim, divisor: number): Dim {
  const terms = [...termsOf(a)].map(([m, c]) => [m, c / divisor] as const);
  if (terms.some(([, c]) => !Number.isInteger(c))) {
    throw new ShapeError({
      what: 'a dimension does not divide',
      got: `${String(a)} by ${divisor}`,
    });
  }
  return SymbolicDim.of(new Map(terms));
}

/** Whether two dimensions are the same polynomial. */
export function sameDim(a: Dim, b: Dim): boolean {
  if (typeof a === 'number' || typeof b === 'number') return a === b;
  if (a.terms.size !== b.terms.size) return false;
  for (const [m, c] of a.terms) if (b.terms.get(m) !== c) return false;
  return true;
}

/** Whether two shapes are the same, axis by axis. */
export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => sameDim(dim, b[i] as Dim));
}

/** Prints a shape as `[B, T, 128]`. */
export function showShape(shape: Shape): string {
  return `[${shape.map(String).join(', ')}]`;
}

/** The axis counted from the front; negative axes count from the back. */
export function normalizeAxis(axis: number, rank: number, what: string): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(normal) || normal < 0 || normal >= rank) {
    throw new ShapeError({
      what: `${what}: axis out of range`,
      got: String(axis),
      expected: `-${rank}..${rank - 1}`,
    });
  }
  return normal;
}

/** The dimension at an axis that is known to exist. */
export function dimAt(shape: Shape, axis: number): Dim {
  const dim = shape[axis < 0 ? axis + shape.length : axis];
  if (dim === undefined) {
    throw new ShapeError({ what: 'axis out of range', got: `axis ${axis} of ${showShape(shape)}` });
  }
  return dim;
}

/** A dimension that has to be a number when the graph is built (a width, a head count). */
export function staticDim(shape: Shape, axis: number, what: string): number {
  const dim = dimAt(shape, axis);
  if (typeof dim !== 'number') {
    throw new ShapeError({
      what: `${what}: axis ${axis} must be known when the graph is built`,
      got: showShape(shape),
      expected: 'a number on that axis',
    });
  }
  return dim;
}

/**
 * Shape of an element-wise operation with NumPy's broadcasting; a symbol broadcasts only
 * against itself and 1.
 */
export function broadcastShapes(a: Shape, b: Shape, what: string): Shape {
  const rank = Math.max(a.length, b.length);
  const out: Dim[] = [];
  for (let i = 0; i < rank; i++) {
    const da = i < rank - a.length ? 1 : (a[i - rank + a.length] as Dim);
    const db = i < rank - b.length ? 1 : (b[i - rank + b.length] as Dim);
    if (sameDim(da, db) || db === 1) out.push(da);
    else if (da === 1) out.push(db);
    else {
      throw new ShapeError({
        what: `${what}: shapes do not broadcast`,
        got: `${showShape(a)} and ${showShape(b)}`,
        expected: 'equal dimensions, or 1, on every axis counted from the back',
      });
    }
  }
  return out;
}
