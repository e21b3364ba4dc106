// Owns the check that tensors of a run have the sizes the graph declared; sessions call it.

import { RuntimeError, ShapeError } from '../errors.ts';
import { SymbolicDim, evaluateDim, parseDim } from './dims.ts';
import type { Dim } from './dims.ts';
import { showDims } from './tensor.ts';

/** What ONNX Runtime tells of an input or output: sizes are numbers, or dimensions as text. */
export interface TensorMetadata {
  readonly name: string;
  readonly isTensor: boolean;
  readonly shape?: readonly (number | string)[];
}

/** Symbol sizes of one run. */
export type SymbolSizes = ReadonlyMap<string, number>;

/** Declared dimensions by tensor name. */
export type DeclaredSizes = ReadonlyMap<string, readonly (Dim | undefined)[]>;

/** Reads the declared dimensions back; undefined where the text is not a polynomial of ours. */
export function declaredSizes(metadata: readonly TensorMetadata[]): DeclaredSizes {
  return new Map(
    metadata.map(({ name, shape = [] }) => [
      name,
      shape.map((dim) => (typeof dim === 'number' ? dim : parseDim(dim))),
    ]),
  );
}

/** The symbol and its factor where a dimension is `c*S`, the forms a symbol can be read from. */
function soleSymbol(dim: Dim | undefined): readonly [string, number] | undefined {
  if (!(dim instanceof SymbolicDim)) return undefined;
  const [only, ...others] = dim.terms;
  return only && others.length === 0 && /^\w+$/.test(only[0]) ? only : undefined;
}

/**
 * Reads every symbol's size off the inputs of a run. ONNX Runtime checks numbers only, and would
 * broadcast a batch of one silently, so two sizes of one symbol are an error here.
 */
export function readSymbols(
  declared: DeclaredSizes,
  inputs: ReadonlyMap<string, readonly number[]>,
): SymbolSizes {
  const sizes = new Map<string, number>();
  for (const [name, dims] of inputs) {
    declared.get(name)?.forEach((dim, axis) => {
      const [symbol, factor] = soleSymbol(dim) ?? [];
      const size = dims[axis];
      if (symbol === undefined || factor === undefined || size === undefined) return;
      if (size % factor !== 0) {
        throw new ShapeError({
          what: `input ${name} has a size on axis ${axis} that is no multiple of ${factor}`,
          got: showDims(dims),
        });
      }
      if (!sizes.has(symbol)) sizes.set(symbol, size / factor);
    });
  }
  for (const [name, dims] of inputs) {
    const fault = faultyAxis(declared.get(name), dims, sizes);
    if (fault === undefined) continue;
    throw new ShapeError({
      what: `input ${name} does not fit the sizes of the other inputs on axis ${fault.axis}`,
      got: showDims(dims),
      expected: `${String(fault.dim)} = ${fault.size} there`,
    });
  }
  return sizes;
}

/** Checks the tensor that a run is going to write an output into. */
export function checkBound(
  declared: DeclaredSizes,
  name: string,
  dims: readonly number[],
  sizes: SymbolSizes,
): void {
  const fault = faultyAxis(declared.get(name), dims, sizes);
  if (fault === undefined) return;
  throw new ShapeError({
    what: `the tensor bound to output ${name} has a wrong size on axis ${fault.axis}`,
    got: showDims(dims),
    expected: `${String(fault.dim)} = ${fault.size} there`,
  });
}

/** Checks what a run returned: a wrong size means that an operation's shape rule is wrong. */
export function checkOutput(
  declared: DeclaredSizes,
  name: string,
  dims: readonly number[],
  sizes: SymbolSizes,
): void {
  const fault = faultyAxis(declared.get(name), dims, sizes);
  if (fault === undefined) return;
  throw new RuntimeError({
    what: `output ${name} came out with another size than its graph declares on axis ${fault.axis}`,
    got: showDims(dims),
    expected: `${String(fault.dim)} = ${fault.size} there`,
  });
}

interface Fault {
  readonly axis: number;
  readonly dim: Dim;
  readonly size: number;
}

function faultyAxis(
  declared: readonly (Dim | undefined)[] | undefined,
  dims: readonly number[],
  sizes: SymbolSizes,
): Fault | undefined {
  // Another rank is ONNX Runtime's to refuse.
  if (declared?.length !== dims.length) return undefined;
  for (const [axis, dim] of declared.entries()) {
    const size = dim === undefined ? undefined : evaluateDim(dim, sizes);
    if (dim !== undefined && size !== undefined && size !== dims[axis]) return { axis, dim, size };
  }
  return undefined;
}
