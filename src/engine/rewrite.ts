// Owns writing an encoded graph anew for a device that lacks an operator, in operators it has; sessions call it.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type { Device } from './device.ts';
import {
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
  TensorProto_DataType,
} from './onnx-pb/onnx_pb.js';
import type { GraphProto, NodeProto } from './onnx-pb/onnx_pb.js';

/** Operators without a kernel on a device that have an equal in others. Measured: `gapvl doctor`. */
const LACKING: Partial<Record<Device, readonly string[]>> = { webgpu: ['LogSoftmax'] };

/** x - max - log(sum(exp(x - max))), the definition in the ONNX standard. */
function logSoftmaxNodes(node: NodeProto, graph: GraphProto): NodeProto[] {
  const result = node.output[0] ?? '';
  const name = (part: string): string => `${result}/${part}`;
  const axis = node.attribute.find((attribute) => attribute.name === 'axis')?.i ?? -1n;
  graph.initializer.push(
    create(TensorProtoSchema, {
      name: name('axis'),
      dims: [1n],
      dataType: TensorProto_DataType.INT64,
      rawData: new Uint8Array(BigInt64Array.of(axis).buffer),
    }),
  );
  const make = (opType: string, input: readonly string[], output: string): NodeProto =>
    create(NodeProtoSchema, { opType, name: output, input: [...input], output: [output] });
  return [
    make('ReduceMax', [node.input[0] ?? '', name('axis')], name('max')),
    make('Sub', [node.input[0] ?? '', name('max')], name('shifted')),
    make('Exp', [name('shifted')], name('powers')),
    make('ReduceSum', [name('powers'), name('axis')], name('sum')),
    make('Log', [name('sum')], name('log')),
    make('Sub', [name('shifted'), name('log')], result),
  ];
}

/** The same graph in operators that the device has kernels for; the bytes as they are where none is lacking. */
export function rewriteFor(device: Device, model: Uint8Array): Uint8Array {
  const lacking = LACKING[device];
  if (!lacking) return model;
  const decoded = fromBinary(ModelProtoSchema, model);
  const { graph } = decoded;
  if (!graph?.node.some(({ opType }) => lacking.includes(opType))) return model;
  graph.node = graph.node.flatMap((node) =>
    lacking.includes(node.opType) ? logSoftmaxNodes(node, graph) : [node],
  );
  return toBinary(ModelProtoSchema, decoded);
}
