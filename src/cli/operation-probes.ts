// Owns one small call of every engine operation; `gapvl doctor` tries them on each device.
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import type { Value } from '../engine/graph.ts';
import * as attention from '../engine/ops/attention.ts';
import * as broadcast from '../engine/ops/broadcast.ts';
import * as elementwise from '../engine/ops/elementwise.ts';
import * as indexing from '../engine/ops/indexing.ts';
import * as linear from '../engine/ops/linear.ts';
import * as nn from '../engine/ops/nn.ts';
import * as packed from '../engine/ops/packed.ts';
import * as reduce from '../engine/ops/reduce.ts';
import * as shape from '../engine/ops/shape.ts';
import { Session } from '../engine/session.ts';
import type { Device } from '../engine/session.ts';
import { zeros } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';

const SIDE = 4;

/** A graph under construction, its inputs made as they are asked for. */
class Probe {
  readonly graph = new Graph();

  private input(dtype: 'float' | 'i64' | 'u8' | 'bool', dims: readonly number[]): Value {
    return this.graph.input(`input ${this.graph.inputs.size}`, dtype, dims);
  }

  floats(dims: readonly number[] = [SIDE, SIDE]): Value {
    return this.input('float', dims);
  }

  mask(): Value {
    return this.input('bool', [SIDE, SIDE]);
  }

  index(): Value {
    return this.input('i64', [SIDE]);
  }

  /** A 4-bit matrix of one block a row. */
  matrix(codes: readonly number[]): packed.PackedMatrix {
    return {
      packing: { bits: 4, symmetric: true },
      codes: this.input('u8', codes),
      scales_NC: this.input('float', [SIDE, 1]),
    };
  }
}

type Build = (probe: Probe) => Value;

const unary =
  (operation: (x: Value) => Value): Build =>
  (p) =>
    operation(p.floats());
const binary =
  (operation: (a: Value, b: Value) => Value): Build =>
  (p) =>
    operation(p.floats(), p.floats());
const masks =
  (operation: (a: Value, b: Value) => Value): Build =>
  (p) =>
    operation(p.mask(), p.mask());

/** One call by the name of the operation. */
export const OPERATION_PROBES: Readonly<Record<string, Build>> = {
  add: binary(elementwise.add),
  sub: binary(elementwise.sub),
  mul: binary(elementwise.mul),
  div: binary(elementwise.div),
  neg: unary(elementwise.neg),
  exp: unary(elementwise.exp),
  log: unary(elementwise.log),
  sqrt: unary(elementwise.sqrt),
  reciprocal: unary(elementwise.reciprocal),
  sin: unary(elementwise.sin),
  cos: unary(elementwise.cos),
  sigmoid: unary(elementwise.sigmoid),
  silu: unary(elementwise.silu),
  siluGate: binary(elementwise.siluGate),
  scale: unary((x) => elementwise.scale(x, 2)),
  shift: unary((x) => elementwise.shift(x, 2)),
  square: unary(elementwise.square),
  erf: unary(elementwise.erf),
  gelu: unary(elementwise.gelu),
  equal: binary(elementwise.equal),
  lessOrEqual: binary(elementwise.lessOrEqual),
  less: binary(elementwise.less),
  and: masks(elementwise.and),
  or: masks(elementwise.or),
  not: (p) => elementwise.not(p.mask()),
  where: (p) => elementwise.where(p.mask(), p.floats(), p.floats()),
  cast: unary((x) => elementwise.cast(x, 'i32')),
  toFloat: (p) => elementwise.toFloat(p.mask()),
  stopGradient: unary((x) => elementwise.add(elementwise.stopGradient(x), x)),
  reshape: unary((x) => broadcast.reshape(x, [SIDE * SIDE])),
  expand: unary((x) => broadcast.expand(x, [2, SIDE, SIDE])),
  sum: unary((x) => broadcast.sum(x, [0])),
  sumTo: unary((x) => broadcast.sumTo(x, [SIDE])),
  transpose: unary((x) => shape.transpose(x, [1, 0])),
  transposeLast: unary(shape.transposeLast),
  concat: (p) => shape.concat([p.floats(), p.floats()], 0),
  slice: unary((x) => shape.slice(x, 0, 1, 3)),
  padZeros: unary((x) => shape.padZeros(x, 0, 1, 1)),
  rotateHalf: unary(shape.rotateHalf),
  dimAsFloat: unary((x) => elementwise.mul(x, shape.dimAsFloat(x.graph, SIDE))),
  dimAsInt: (p) => elementwise.add(p.index(), shape.dimAsInt(p.graph, SIDE)),
  iota: (p) => elementwise.add(p.index(), shape.iota(p.graph, SIDE)),
  gatherRows: (p) => indexing.gatherRows(p.floats(), p.index()),
  scatterAddRows: (p) => indexing.scatterAddRows(p.floats(), p.index(), [SIDE, SIDE]),
  moveRows: (p) => indexing.moveRows(p.floats(), p.index(), p.index()),
  pickLast: (p) => indexing.pickLast(p.floats(), p.index()),
  matmul: binary(linear.matmul),
  gemm: binary(linear.gemm),
  linear: binary(linear.linear),
  columnSums: unary(linear.columnSums),
  mean: unary((x) => reduce.mean(x, [0])),
  max: unary((x) => reduce.max(x, 0)),
  softmax: unary(nn.softmax),
  logSoftmax: unary(nn.logSoftmax),
  mixBySoftmax: binary((x, y) => nn.mixBySoftmax(x, nn.softmax(x), y)),
  rmsNorm: (p) => nn.rmsNorm(p.floats(), p.floats([SIDE]), 1e-6),
  crossEntropy: (p) => nn.crossEntropy(p.floats(), p.index(), p.floats([SIDE]), p.floats([])),
  linearPacked: (p) => packed.linearPacked(p.floats([1, 32]), p.matrix([SIDE, 1, 16])),
  fusedAttention: (p) => {
    const rows = (): Value => p.floats([1, SIDE, SIDE]);
    return attention.fusedAttention(rows(), rows(), rows(), 2);
  },
  gatherPacked: (p) => packed.gatherPacked(p.matrix([SIDE, 16]), p.index(), 32),
};

/** What came of trying every operation on a device: operation names, with ONNX operators or a reason. */
export interface OperationTries {
  readonly tried: number;
  /** The run failed, or arithmetic ran on the CPU: models with these are refused on the device. */
  readonly refused: Readonly<Record<string, string>>;
  /** Work on indexes and masks ran on the CPU, which is allowed. */
  readonly beside: Readonly<Record<string, string>>;
}

async function tryOne(
  device: Device,
  build: Build,
): Promise<{ refused?: string; beside?: string }> {
  const probe = new Probe();
  probe.graph.output('y', build(probe));
  const feeds: Record<string, Tensor> = {};
  for (const [name, { dtype, shape: dims }] of probe.graph.inputs) {
    feeds[name] = zeros(dtype, dims.map(Number));
  }
  try {
    await using session = await Session.create(
      encodeGraph(probe.graph),
      { device },
      { allowCpu: true },
    );
    await session.run(feeds);
    const { arithmetic = [], indexes = [] } = session.cpuOperators ?? {};
    return {
      ...(arithmetic.length > 0 ? { refused: arithmetic.join(', ') } : {}),
      ...(indexes.length > 0 ? { beside: indexes.join(', ') } : {}),
    };
  } catch (thrown) {
    const text = thrown instanceof Error ? thrown.message : String(thrown);
    return { refused: text.replace(/\s+/g, ' ').slice(0, 100) };
  }
}

/** Tries every operation on a device, each in a graph of its own, with fixed shapes. */
export async function tryOperations(
  device: Device,
  probes: Readonly<Record<string, Build>> = OPERATION_PROBES,
): Promise<OperationTries> {
  const refused: Record<string, string> = {};
  const beside: Record<string, string> = {};
  for (const [name, build] of Object.entries(probes)) {
    const found = await tryOne(device, build);
    if (found.refused !== undefined) refused[name] = found.refused;
    if (found.beside !== undefined) beside[name] = found.beside;
  }
  return { tried: Object.keys(probes).length, refused, beside };
}
