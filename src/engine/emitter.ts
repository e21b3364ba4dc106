// Owns the emission of ONNX nodes and constants; operations see an Emitter when a graph is encoded.

import { create } from '@bufbuild/protobuf';
import { ShapeError } from '../errors.ts';
import { SymbolicDim } from './dims.ts';
import type { Dim, Shape } from './dims.ts';
import { fileOf, isStored } from './stored.ts';
import type { Constant, StoredTensor } from './stored.ts';
import type { DType, Tensor } from './tensor.ts';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  NodeProtoSchema,
  StringStringEntryProtoSchema,
  TensorProto_DataLocation,
  TensorProto_DataType,
  TensorProtoSchema,
} from './onnx-pb/onnx_pb.js';
import type { AttributeProto, NodeProto, TensorProto } from './onnx-pb/onnx_pb.js';

/** Domain of ONNX Runtime's own operators (GroupQueryAttention, MatMulNBits). */
export const CONTRIB_DOMAIN = 'com.microsoft';

/** The types a value in a graph can have; bf16 is a storage type and never computed in. */
export type GraphDType = Extract<DType, 'f32' | 'f64' | 'f16' | 'i64' | 'i32' | 'u8' | 'bool'>;

/** Where a symbol's value can be read at run time: an input's axis, which is `factor` times it. */
export interface SymbolSource {
  readonly input: string;
  readonly axis: number;
  readonly factor: number;
}

/** Sources by symbol name. */
export type SymbolSources = ReadonlyMap<string, SymbolSource>;

/** ONNX element type codes. */
export const ONNX_TYPES: Record<DType, TensorProto_DataType> = {
  f32: TensorProto_DataType.FLOAT,
  f64: TensorProto_DataType.DOUBLE,
  f16: TensorProto_DataType.FLOAT16,
  bf16: TensorProto_DataType.BFLOAT16,
  i64: TensorProto_DataType.INT64,
  i32: TensorProto_DataType.INT32,
  u8: TensorProto_DataType.UINT8,
  bool: TensorProto_DataType.BOOL,
};

/** Attribute values of an ONNX node; integers and floats are told apart by the key's suffix-free type. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly text: string };

/** Options of one emitted node. */
export interface NodeOptions {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** True for ONNX Runtime's own operators. */
  readonly contrib?: boolean;
  /** Number of outputs, default 1. */
  readonly outputs?: number;
}

function attribute(name: string, value: Attribute): AttributeProto {
  const base = { name };
  if ('int' in value) {
    return create(AttributeProtoSchema, {
      ...base,
      type: AttributeProto_AttributeType.INT,
      i: BigInt(value.int),
    });
  }
  if ('ints' in value) {
    const ints = value.ints.map((v) => BigInt(v));
    return create(AttributeProtoSchema, { ...base, type: AttributeProto_AttributeType.INTS, ints });
  }
  if ('float' in value) {
    return create(AttributeProtoSchema, {
      ...base,
      type: AttributeProto_AttributeType.FLOAT,
      f: value.float,
    });
  }
  const s = new TextEncoder().encode(value.text);
  return create(AttributeProtoSchema, { ...base, type: AttributeProto_AttributeType.STRING, s });
}

function rawBytes(tensor: Tensor): Uint8Array {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

/** Where a stored constant lies, as ONNX writes it. */
function placeOf(stored: StoredTensor): Pick<TensorProto, 'dataLocation' | 'externalData'> {
  const entries = {
    location: fileOf(stored),
    offset: String(stored.begin),
    length: String(stored.end - stored.begin),
  };
  return {
    dataLocation: TensorProto_DataLocation.EXTERNAL,
    externalData: Object.entries(entries).map(([key, value]) =>
      create(StringStringEntryProtoSchema, { key, value }),
    ),
  };
}

/** Collects ONNX nodes while a graph is encoded; operations see it in their `emit`. */
export class Emitter {
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  private readonly symbols: SymbolSources;
  /** The type a constant is stored in, where the graph computes in another one. */
  readonly storageTypes: Map<string, DType> = new Map<string, DType>();
  private readonly cache = new Map<string, string>();
  private readonly results = new Map<string, readonly string[]>();
  private counter = 0;

  constructor(symbols: SymbolSources) {
    this.symbols = symbols;
  }

  private fresh(hint: string): string {
    return `${hint}_${this.counter++}`;
  }

  private cached(key: string, make: () => string): string {
    const known = this.cache.get(key);
    if (known !== undefined) return known;
    const name = make();
    this.cache.set(key, name);
    return name;
  }

  /** Emits one node with several outputs and returns their names. */
  nodeWithOutputs(opType: string, inputs: readonly string[], options: NodeOptions = {}): string[] {
    const output = Array.from({ length: options.outputs ?? 1 }, () => this.fresh(opType));
    this.nodes.push(
      create(NodeProtoSchema, {
        opType,
        name: output[0] ?? opType,
        input: [...inputs],
        output,
        domain: options.contrib === true ? CONTRIB_DOMAIN : '',
        attribute: Object.entries(options.attributes ?? {}).map(([k, v]) => attribute(k, v)),
      }),
    );
    if (output[0] !== undefined) this.results.set(output[0], output);
    return output;
  }

  /** Another output of the node whose first output has this name. */
  sibling(first: string, index: number): string {
    const found = this.results.get(first)?.[index];
    if (found === undefined) throw new RangeError(`${first} has no output ${index}`);
    return found;
  }

  /** Emits one node and returns the name of its result. */
  node(opType: string, inputs: readonly string[], options: NodeOptions = {}): string {
    return this.nodeWithOutputs(opType, inputs, options)[0] as string;
  }

  /** Stores a constant under a name, or the place where it lies. */
  constant(constant: Constant, name: string): void {
    this.initializers.push(
      create(TensorProtoSchema, {
        name,
        dims: constant.dims.map((d) => BigInt(d)),
        dataType: ONNX_TYPES[constant.dtype],
        ...(isStored(constant) ? placeOf(constant) : { rawData: rawBytes(constant) }),
      }),
    );
  }

  /** Stores a constant; equal small constants are stored once. */
  initializer(tensor: Tensor): string {
    const make = (): string => {
      const name = this.fresh('constant');
      this.constant(tensor, name);
      return name;
    };
    if (tensor.data.length > 16) return make();
    return this.cached(`${tensor.dtype}[${tensor.dims.join()}]=${tensor.data.join()}`, make);
  }

  /** The name of a value in the graph's type: of a constant in a storage type, its conversion. */
  widened(name: string, dtype: GraphDType): string {
    if (!this.storageTypes.has(name)) return name;
    return this.cached(`widened ${name}`, () => this.cast(name, dtype));
  }

  /** Emits a conversion. */
  cast(name: string, dtype: GraphDType): string {
    return this.node('Cast', [name], { attributes: { to: { int: ONNX_TYPES[dtype] } } });
  }

  /** A constant 1-D int64 tensor. */
  ints(values: readonly number[]): string {
    const data = BigInt64Array.from(values, (v) => BigInt(v));
    return this.initializer({ dtype: 'i64', dims: [values.length], data });
  }

  /** A float scalar constant of the given type. */
  floatScalar(dtype: 'f32' | 'f64', value: number): string {
    const data = dtype === 'f32' ? Float32Array.of(value) : Float64Array.of(value);
    return this.initializer({ dtype, dims: [], data });
  }

  /** One dimension as a 1-D int64 tensor with one element, computed at run time if it is symbolic. */
  dim(dim: Dim): string {
    if (!(dim instanceof SymbolicDim)) return this.ints([dim]);
    return this.cached(`dim ${dim.toString()}`, () => {
      let sum: string | undefined;
      for (const [monomial, coefficient] of dim.terms) {
        let product: string | undefined =
          coefficient === 1 && monomial !== '' ? undefined : this.ints([coefficient]);
        for (const symbol of monomial.split('*').filter((s) => s !== '')) {
          const factor = this.symbol(symbol);
          product = product === undefined ? factor : this.node('Mul', [product, factor]);
        }
        if (product === undefined) continue;
        sum = sum === undefined ? product : this.node('Add', [sum, product]);
      }
      return sum ?? this.ints([0]);
    });
  }

  private symbol(name: string): string {
    const source = this.symbols.get(name);
    if (!source) {
      throw new ShapeError({ what: `symbol ${name} is not a dimension of any graph input` });
    }
    return this.cached(`symbol ${name}`, () => {
      const size = this.node('Shape', [source.input], {
        attributes: { start: { int: source.axis }, end: { int: source.axis + 1 } },
      });
      return source.factor === 1 ? size : this.node('Div', [size, this.ints([source.factor])]);
    });
  }

  /** A whole shape as a 1-D int64 tensor. */
  shape(shape: Shape): string {
    if (shape.every((d) => typeof d === 'number')) return this.ints(shape);
    if (shape.length === 1) return this.dim(shape[0] as Dim);
    return this.cached(`shape ${shape.map(String).join()}`, () =>
      this.node(
        'Concat',
        shape.map((d) => this.dim(d)),
        { attributes: { axis: { int: 0 } } },
      ),
    );
  }
}
