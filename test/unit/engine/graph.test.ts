// Owns the checks of graphs: what they refuse, where symbols come from, how gradients are routed.

import { describe, expect, it } from 'vitest';
import { RuntimeError, ShapeError } from '../../../src/errors.ts';
import { mulDims, toDim } from '../../../src/engine/dims.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients, pullback } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import type { Value } from '../../../src/engine/graph.ts';
import { expand, reshape, sum, sumTo } from '../../../src/engine/ops/broadcast.ts';
import * as ops from '../../../src/engine/ops/elementwise.ts';
import { gatherRows, moveRows, scatterAddRows } from '../../../src/engine/ops/indexing.ts';
import { gemm, matmul } from '../../../src/engine/ops/linear.ts';
import { max, mean } from '../../../src/engine/ops/reduce.ts';
import * as shapes from '../../../src/engine/ops/shape.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { TOLERANCE, checkGradients, worstError } from '../../helpers/gradient-check.ts';
import { tinyTransformer } from '../../helpers/tiny-transformer.ts';

const f64 = (dims: readonly number[], ...values: number[]): Tensor =>
  tensor('f64', dims, Float64Array.from(values));

/** Runs a graph once over the outputs given by name. */
async function run(
  graph: Graph,
  outputs: Readonly<Record<string, Value>>,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Record<string, number[]>> {
  for (const [name, value] of Object.entries(outputs)) graph.output(name, value);
  await using session = await Session.create(encodeGraph(graph), { threads: 1 });
  const results = Object.entries(await session.run(feeds));
  return Object.fromEntries(results.map(([name, t]) => [name, Array.from(t.data, Number)]));
}

describe('the gradients of a whole layer', () => {
  it('agree with central differences in f64 for every weight', async () => {
    const sizes = { batch: 2, length: 3, words: 5, headWidth: 2, heads: 2, hidden: 3 };
    const { operand, error } = await checkGradients(tinyTransformer(sizes));
    expect(error, operand).toBeLessThan(TOLERANCE);
  });
});

describe('the measure of a gradient error', () => {
  it('is relative to the largest element, with a floor, and infinite for what is no number', () => {
    expect(worstError([1, 100], [1, 101])).toBeCloseTo(1 / 101, 12);
    expect(worstError([0, 0], [0, 1e-9])).toBeCloseTo(1e-6, 12);
    expect(worstError([Number.NaN], [1])).toBe(Infinity);
    expect(worstError([1], [Number.NaN])).toBe(Infinity);
    expect(worstError([1, 2], [1])).toBe(Infinity);
  });
});

describe('pullback', () => {
  it('adds up what several cotangents and several uses send to a target', async () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', ['N']);
    const y = ops.mul(x, x);
    const z = ops.add(y, x);
    const ones = expand(g.scalar(1), [toDim('N')]);
    const [dx, dy] = pullback(
      [
        { value: y, grad: ops.scale(ones, 10) },
        { value: z, grad: ones },
      ],
      [x, y],
    );
    const found = await run(g, { dx: dx ?? x, dy: dy ?? x }, { x: f64([2], 3, 4) });
    // d(11 x^2 + x)/dx = 22 x + 1
    expect(found).toEqual({ dx: [67, 89], dy: [11, 11] });
  });
  it('is the cotangent itself where the target is the value', async () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', []);
    const [dx] = gradients(x, [x]);
    expect(await run(g, { dx: dx ?? x, x2: ops.neg(x) }, { x: f64([], 5) })).toEqual({
      dx: [1],
      x2: [-5],
    });
  });
  it('stops at a target whose operation has no rule, and does not go through one', () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', []);
    const black = { name: 'blackBox', inputs: [x], dtype: x.dtype, shape: x.shape };
    const y = g.add({ ...black, emit: (e, names) => e.node('Neg', names) });
    expect(gradients(ops.square(y), [y])).toHaveLength(1);
    expect(() => gradients(ops.square(y), [x])).toThrow(/blackBox has no gradient rule/);
  });
  it('refuses a rule that returns another shape', () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', [2]);
    const wrong = { name: 'wrong', inputs: [x], dtype: x.dtype, shape: [] };
    const y = g.add({ ...wrong, emit: (e, names) => e.node('Neg', names), gradient: (c) => [c] });
    expect(() => gradients(y, [x])).toThrow(/gradient of input x has a wrong shape/);
  });
  it('refuses a loss that is no scalar and a target the loss does not depend on', () => {
    const g = new Graph('f64');
    const [x, y] = [g.input('x', 'float', [2]), g.input('y', 'float', [2])];
    expect(() => gradients(x, [x])).toThrow(ShapeError);
    expect(() => gradients(sum(x, [0]), [y])).toThrow(RuntimeError);
    expect(pullback([], [x])).toEqual([]);
  });
  it('splits the gradient of a maximum among ties', async () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', ['N', 4]);
    const [dx] = gradients(sum(max(x, -1), [0]), [x]);
    const found = await run(g, { dx: dx ?? x }, { x: f64([2, 4], 1, 7, 7, 0, 2, 2, 2, 2) });
    expect(found['dx']).toEqual([0, 0.5, 0.5, 0, 0.25, 0.25, 0.25, 0.25]);
  });
});

describe('symbols', () => {
  it('are read off a multiple when no input has them plain', async () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', [mulDims(3, toDim('N'))]);
    const rows = reshape(x, ['N', 3]);
    const found = await run(
      g,
      { y: mean(rows, [0]), n: shapes.dimAsFloat(g, toDim('N')) },
      { x: f64([6], 1, 2, 3, 5, 6, 7) },
    );
    expect(found).toEqual({ y: [3, 4, 5], n: [2] });
  });
  it('that no input defines are an error when the graph is encoded', () => {
    const g = new Graph('f64');
    const x = g.input('x', 'float', []);
    g.output('y', expand(x, [toDim('M')]));
    expect(() => encodeGraph(g)).toThrow(/symbol M/);
  });
});

describe('a graph', () => {
  it('refuses names used twice and values of another graph', () => {
    const [g, other] = [new Graph(), new Graph()];
    const [x, foreign] = [g.input('x', 'float', [2]), other.input('x', 'float', [2])];
    expect(() => g.input('x', 'float', [2])).toThrow(/x is declared twice/);
    g.output('y', ops.neg(x));
    expect(() => g.output('y', x)).toThrow(ShapeError);
    expect(() => g.output('x', x)).toThrow(ShapeError);
    expect(() => g.output('z', foreign)).toThrow(/another graph/);
    expect(() => ops.add(x, foreign)).toThrow(/another graph/);
    expect(() => g.constant(tensor('u8', [1], Uint8Array.of(1)))).toThrow(/u8/);
  });
  it('keeps constants apart that differ only in type or shape', async () => {
    const g = new Graph('f64');
    const ints = (dims: number[]): Value => g.constant(tensor('i64', dims, BigInt64Array.of(1n)));
    const outputs = { a: ints([]), b: ints([1]), c: ints([1, 1]), d: g.scalar(1) };
    for (const [name, value] of Object.entries(outputs)) g.output(name, value);
    await using session = await Session.create(encodeGraph(g), { threads: 1 });
    const results = await session.run({});
    const seen = Object.entries(results).map(
      ([name, t]) => `${name} ${t.dtype} [${t.dims.join()}]`,
    );
    expect(seen.sort()).toEqual(['a i64 []', 'b i64 [1]', 'c i64 [1,1]', 'd f64 []']);
  });
});

describe('operations refuse', () => {
  const g = new Graph();
  const B = toDim('B');
  const x_BT = g.input('x', 'float', ['B', 'T']);
  const x_23 = g.input('m', 'float', [2, 3]);
  const mask = g.input('mask', 'bool', [2, 3]);
  const index = g.input('index', 'i64', [2]);
  const faults: readonly (readonly [string, () => unknown])[] = [
    ['a reshape of another size', () => reshape(x_BT, [B, 3])],
    ['an expansion to fewer elements', () => expand(x_23, [1, 3])],
    ['a sum to a shape that does not broadcast', () => sumTo(x_23, [2])],
    ['a sum that names an axis twice', () => sum(x_23, [1, -1])],
    ['a mean over an axis that is not there', () => mean(x_23, [2])],
    ['a maximum over an axis that is not there', () => max(x_23, -3)],
    ['shapes that do not broadcast', () => ops.add(x_BT, x_23)],
    ['operands of two types', () => ops.mul(x_23, mask)],
    ['branches of two types', () => ops.where(mask, x_23, mask)],
    ['matrices whose inner sizes differ', () => matmul(x_23, x_23)],
    ['matrices whose inner symbols differ', () => matmul(x_BT, x_BT)],
    ['a vector as a matrix', () => gemm(x_23, sum(x_23, [0]))],
    [
      'a transposed operand that does not fit',
      () => gemm(x_23, x_23, { transposeA: true, transposeB: true }),
    ],
    [
      'a bias of another length',
      () => gemm(x_23, x_23, { transposeB: true, bias: sum(x_23, [0]) }),
    ],
    ['an order that is no permutation', () => shapes.transpose(x_23, [0, 0])],
    ['parts that differ off the axis', () => shapes.concat([x_23, x_BT], 0)],
    ['no parts', () => shapes.concat([], 0)],
    ['a slice past the end', () => shapes.slice(x_23, 1, 1, 4)],
    ['a slice before the start', () => shapes.slice(x_23, 1, -1, 2)],
    ['a slice that ends before it starts', () => shapes.slice(x_23, 1, 2, 1)],
    ['half of an odd axis', () => shapes.rotateHalf(x_23)],
    ['half of a symbolic axis', () => shapes.rotateHalf(x_BT)],
    ['rows by an index that is no integer', () => gatherRows(x_23, x_23)],
    ['rows of a vector', () => gatherRows(sum(x_23, [0]), index)],
    ['rows added by an index that is no integer', () => scatterAddRows(x_23, x_23, [4, 3])],
    ['rows moved by an index that is no integer', () => moveRows(x_23, x_23, index)],
    ['a transposition of a vector', () => shapes.transposeLast(index)],
  ];
  it.each(faults)('%s', (_name, call) => {
    expect(call).toThrow(ShapeError);
  });
});
