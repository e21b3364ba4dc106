// Owns the way from a graph to ONNX bytes, through the generated bindings of the official schema.

import { create, toBinary } from '@bufbuild/protobuf';
import { ShapeError } from '../errors.ts';
import { CONTRIB_DOMAIN, Emitter, ONNX_TYPES } from './emitter.ts';
import type { Graph, Value } from './graph.ts';
import {
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  ValueInfoProtoSchema,
} from './onnx-pb/onnx_pb.js';
import type { NodeProto, ValueInfoProto } from './onnx-pb/onnx_pb.js';
import { folderOf } from './stored.ts';
import type { Constant } from './stored.ts';
import { showDims } from './tensor.ts';

/** Operator set of ai.onnx; the newest whose every operator we use has f32 and f64 CPU kernels. */
const OPSET_VERSION = 20n;
/** ONNX IR version that goes with the operator set (ONNX release notes 1.15). */
const IR_VERSION = 9n;

function valueInfo(name: string, value: Value): ValueInfoProto {
  const dim = value.shape.map((d) => ({
    value:
      typeof d === 'number'
        ? { case: 'dimValue' as const, value: BigInt(d) }
        : { case: 'dimParam' as const, value: d.toString() },
  }));
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: { case: 'tensorType', value: { elemType: ONNX_TYPES[value.dtype], shape: { dim } } },
    },
  });
}

/** An encoded graph: ONNX bytes, and the folder of the files that they name, if any. */
export interface EncodedGraph {
  readonly bytes: Uint8Array;
  readonly folder?: string;
}

/** How a graph is encoded. */
export interface EncodeOptions {
  /** Prepares the graph for `Session.runBound`; it must have a scalar output. */
  readonly bound?: boolean;
}

/**
 * An output that is a sequence of one scalar. onnxruntime-node writes outputs where they are bound and
 * then copies every one of them for JavaScript, in order; it cannot convert a sequence and stops at the
 * first. So a graph whose first output is this one is run without the copies. `Session` knows the name.
 */
export const STOP_OUTPUT = 'stop_before_copies';

/** The node and the output of STOP_OUTPUT, over a scalar output of the graph. */
function stopOutput(outputs: ReadonlyMap<string, Value>): {
  node: NodeProto;
  info: ValueInfoProto;
} {
  const [name, value] = [...outputs].find(([, { rank }]) => rank === 0) ?? [];
  if (name === undefined || !value)
    throw new ShapeError({ what: 'a graph to run bound needs a scalar output' });
  const elemType = { case: 'tensorType' as const, value: { elemType: ONNX_TYPES[value.dtype] } };
  return {
    node: create(NodeProtoSchema, {
      opType: 'SequenceConstruct',
      name: STOP_OUTPUT,
      input: [name],
      output: [STOP_OUTPUT],
    }),
    info: create(ValueInfoProtoSchema, {
      name: STOP_OUTPUT,
      type: { value: { case: 'sequenceType', value: { elemType: { value: elemType } } } },
    }),
  };
}

/** Types a float constant may be stored in; the graph widens it to its own type. */
const STORAGE_TYPES: readonly string[] = ['bf16', 'f16'];

/** A weight that becomes a constant must be what the graph declared, or a narrower float of it. */
function requireFit(name: string, value: Value, weight: Constant): void {
  const isFloat = value.dtype === 'f32' || value.dtype === 'f64';
  if (weight.dtype !== value.dtype && !(isFloat && STORAGE_TYPES.includes(weight.dtype))) {
    throw new ShapeError({
      what: `weight ${name} has the wrong type`,
      got: weight.dtype,
      expected: value.dtype,
    });
  }
  const expected = value.shape.map((dim) => (typeof dim === 'number' ? dim : undefined));
  const fits =
    weight.dims.length === expected.length &&
    expected.every((size, axis) => size === undefined || size === weight.dims[axis]);
  if (fits) return;
  throw new ShapeError({
    what: `weight ${name} has the wrong dims`,
    got: showDims(weight.dims),
    expected: `[${value.shape.map(String).join(', ')}]`,
  });
}

/** Values an output depends on, in construction order (which is a topological order). */
function reachable(outputs: Iterable<Value>): Value[] {
  const seen = new Map<number, Value>();
  const stack = [...outputs];
  for (let value = stack.pop(); value; value = stack.pop()) {
    if (seen.has(value.id)) continue;
    seen.set(value.id, value);
    stack.push(...value.operation.inputs);
  }
  return [...seen.values()].sort((a, b) => a.id - b.id);
}

/**
 * Encodes a graph as an ONNX ModelProto. Inputs named in `weights` become initializers (packed
 * once, right for inference); all others stay inputs (right for what training updates). Weights
 * that are stored in files are named by their place, and narrow floats are widened where they are
 * read: matrices once when the graph is compiled, tables row by row.
 */
export function encodeGraph(
  graph: Graph,
  weights: ReadonlyMap<string, Constant> = new Map(),
  options: EncodeOptions = {},
): EncodedGraph {
  if (graph.outputs.size === 0) throw new ShapeError({ what: 'the graph has no outputs' });
  const emitter = new Emitter(graph.symbolSources);
  const names = new Map<number, string>();
  const inputs: ValueInfoProto[] = [];
  const used: Constant[] = [];
  for (const [name, value] of graph.inputs) {
    names.set(value.id, name);
    const weight = weights.get(name);
    if (weight) {
      requireFit(name, value, weight);
      emitter.constant(weight, name);
      used.push(weight);
      if (weight.dtype !== value.dtype) emitter.storageTypes.set(name, weight.dtype);
    } else inputs.push(valueInfo(name, value));
  }
  for (const value of reachable(graph.outputs.values())) {
    if (names.has(value.id)) continue;
    const operands = value.operation.inputs.map((v) => {
      const name = names.get(v.id) as string;
      return value.operation.readsStorage === true ? name : emitter.widened(name, v.dtype);
    });
    names.set(value.id, value.operation.emit(emitter, operands));
  }
  const renamed = new Map<string, string>();
  const outputs: ValueInfoProto[] = [];
  const produced = new Set(emitter.nodes.flatMap((n) => n.output));
  for (const [name, value] of graph.outputs) {
    const internal = names.get(value.id) as string;
    if (produced.has(internal) && !renamed.has(internal)) renamed.set(internal, name);
    else
      emitter.nodes.push(
        create(NodeProtoSchema, { opType: 'Identity', input: [internal], output: [name] }),
      );
    outputs.push(valueInfo(name, value));
  }
  for (const node of emitter.nodes) {
    node.input = node.input.map((n) => renamed.get(n) ?? n);
    node.output = node.output.map((n) => renamed.get(n) ?? n);
  }
  if (options.bound === true) {
    const { node, info } = stopOutput(graph.outputs);
    emitter.nodes.push(node);
    outputs.unshift(info);
  }
  const model = create(ModelProtoSchema, {
    irVersion: IR_VERSION,
    producerName: 'gapvl',
    opsetImport: [
      create(OperatorSetIdProtoSchema, { domain: '', version: OPSET_VERSION }),
      create(OperatorSetIdProtoSchema, { domain: CONTRIB_DOMAIN, version: 1n }),
    ],
    graph: create(GraphProtoSchema, {
      name: 'gapvl',
      node: emitter.nodes,
      initializer: emitter.initializers,
      input: inputs,
      output: outputs,
    }),
  });
  const folder = folderOf(used);
  const bytes = toBinary(ModelProtoSchema, model);
  return folder === undefined ? { bytes } : { bytes, folder };
}
