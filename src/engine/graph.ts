// Owns the graph under construction: values, their shapes, and what every operation must bring along.

import { ShapeError } from '../errors.ts';
import { SymbolicDim, showShape, toDim } from './dims.ts';
import type { Dim, DimLike, Shape } from './dims.ts';
import type { Emitter, GraphDType, SymbolSource } from './emitter.ts';
import type { Tensor } from './tensor.ts';

/** The floating-point type a graph computes in; f64 is for gradient checks. */
export type FloatDType = 'f32' | 'f64';

/** What one operation is: shape rule applied, ONNX emission, gradient rule, all in one place. */
export interface Operation {
  /** Name for error messages and node names. */
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly dtype: GraphDType;
  readonly shape: Shape;
  /** True when `emit` itself deals with operands of a storage type (`Emitter.storageTypes`). */
  readonly readsStorage?: boolean;
  /** Emits ONNX nodes for inputs of the given names and returns the name of the result. */
  readonly emit: (emitter: Emitter, inputs: readonly string[]) => string;
  /**
   * Gradient rule: from the gradient of the result to the gradient of every input (null: none
   * flows). Absent: the operation cuts gradients, and asking for one through it is an error.
   */
  readonly gradient?: (grad: Value, result: Value) => readonly (Value | null)[];
}

/** One tensor in a graph; immutable, made by the functions in `ops/`. */
export class Value {
  readonly graph: Graph;
  readonly id: number;
  readonly operation: Operation;

  constructor(graph: Graph, id: number, operation: Operation) {
    this.graph = graph;
    this.id = id;
    this.operation = operation;
  }

  /** Dimensions, outermost axis first. */
  get shape(): Shape {
    return this.operation.shape;
  }

  /** Element type. */
  get dtype(): GraphDType {
    return this.operation.dtype;
  }

  /** Number of axes. */
  get rank(): number {
    return this.operation.shape.length;
  }
}

/** A declared input of a graph. */
export interface GraphInput {
  readonly name: string;
  readonly value: Value;
}

/** A graph of operations with named inputs and outputs; encode it with `encodeGraph`. */
export class Graph {
  /** The floating-point type of everything that is not an index or a mask. */
  readonly float: FloatDType;
  readonly nodes: Value[] = [];
  readonly inputs = new Map<string, Value>();
  readonly outputs = new Map<string, Value>();
  /** Where a symbol's value can be read at run time. */
  readonly symbolSources = new Map<string, SymbolSource>();

  constructor(float: FloatDType = 'f32') {
    this.float = float;
  }

  /** Adds an operation; used by `ops/` only. */
  add(operation: Operation): Value {
    for (const input of operation.inputs) {
      if (input.graph !== this) {
        throw new ShapeError({ what: `${operation.name}: an input belongs to another graph` });
      }
    }
    const value = new Value(this, this.nodes.length, operation);
    this.nodes.push(value);
    return value;
  }

  /** Declares an input. Strings in the shape are symbols, defined by their first appearance. */
  input(name: string, dtype: GraphDType | 'float', shape: readonly DimLike[]): Value {
    const known = this.inputs.get(name);
    if (known) throw new ShapeError({ what: `input ${name} is declared twice` });
    const dims: Dim[] = shape.map(toDim);
    dims.forEach((dim, axis) => {
      if (!(dim instanceof SymbolicDim)) return;
      const [only, ...others] = [...dim.terms];
      if (!only || others.length > 0 || only[0].includes('*') || only[0] === '') return;
      const [symbol, factor] = only;
      if (!this.symbolSources.has(symbol))
        this.symbolSources.set(symbol, { input: name, axis, factor });
    });
    const value = this.add({
      name: `input ${name}`,
      inputs: [],
      dtype: dtype === 'float' ? this.float : dtype,
      shape: dims,
      emit: () => name,
      gradient: () => [],
    });
    this.inputs.set(name, value);
    return value;
  }

  /** A constant baked into the graph. */
  constant(tensor: Tensor): Value {
    const dtype = tensor.dtype;
    if (
      dtype !== 'f32' &&
      dtype !== 'f64' &&
      dtype !== 'i64' &&
      dtype !== 'bool' &&
      dtype !== 'f16'
    ) {
      throw new ShapeError({ what: `a graph constant cannot be ${dtype}` });
    }
    return this.add({
      name: 'constant',
      inputs: [],
      dtype,
      shape: tensor.dims,
      emit: (emitter) => emitter.initializer(tensor),
      gradient: () => [],
    });
  }

  /** A scalar of the graph's floating-point type. */
  scalar(value: number): Value {
    const data = this.float === 'f32' ? Float32Array.of(value) : Float64Array.of(value);
    return this.constant({ dtype: this.float, dims: [], data });
  }

  /** Names a value as an output. */
  output(name: string, value: Value): void {
    if (this.outputs.has(name) || this.inputs.has(name)) {
      throw new ShapeError({ what: `output ${name} is declared twice, or is an input's name` });
    }
    if (value.graph !== this) {
      throw new ShapeError({
        what: `output ${name} belongs to another graph`,
        got: showShape(value.shape),
      });
    }
    this.outputs.set(name, value);
  }
}
