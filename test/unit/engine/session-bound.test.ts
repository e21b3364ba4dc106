// Tests runs that write bound outputs and hand out nothing: the same numbers, no copies, no silence.
import { describe, expect, it } from 'vitest';
import { RuntimeError, ShapeError } from '../../../src/errors.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { sum } from '../../../src/engine/ops/broadcast.ts';
import { scale, square } from '../../../src/engine/ops/elementwise.ts';
import { gatherRows } from '../../../src/engine/ops/indexing.ts';
import { Session } from '../../../src/engine/session.ts';
import { tensor, zeros } from '../../../src/engine/tensor.ts';

const SIZE = 1 << 20;

/** y = 2 x and the sum of its squares. */
function graphOf(): Graph {
  const graph = new Graph();
  const x = graph.input('x', 'float', ['N']);
  const y = scale(x, 2);
  graph.output('y', y);
  graph.output('total', sum(square(y), [0]));
  return graph;
}

const x = tensor('f32', [SIZE], new Float32Array(SIZE).fill(0.5));

describe('a bound run', () => {
  it.each([true, false])('writes what a run returns; graph encoded for it: %s', async (bound) => {
    await using session = await Session.create(encodeGraph(graphOf(), new Map(), { bound }));
    const plain = await session.run({ x });
    const [y, total] = [zeros('f32', [SIZE]), zeros('f32', [])];
    session.bindOutput('y', y);
    session.bindOutput('total', total);
    await session.runBound({ x }, ['y', 'total']);
    expect(y.data.every((value) => value === 1)).toBe(true);
    expect(total.data[0]).toBe(SIZE);
    expect(plain['total']?.data[0]).toBe(SIZE);
    expect(session.outputNames).toEqual(['y', 'total']);
  });

  it('allocates nothing for outputs', async () => {
    await using session = await Session.create(encodeGraph(graphOf(), new Map(), { bound: true }));
    session.bindOutput('y', zeros('f32', [SIZE]));
    session.bindOutput('total', zeros('f32', []));
    await session.runBound({ x }, ['y', 'total']);
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 8; i++) await session.runBound({ x }, ['y', 'total']);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * SIZE);
  });

  it('is an error for an output that is not bound', async () => {
    await using session = await Session.create(encodeGraph(graphOf(), new Map(), { bound: true }));
    await expect(session.runBound({ x }, ['y'])).rejects.toThrow(ShapeError);
  });

  it('tells a graph that fails, and leaves no old number behind', async () => {
    const graph = new Graph();
    const table = graph.input('table', 'float', [4, 2]);
    const rows = gatherRows(table, graph.input('at', 'i64', ['N']));
    graph.output('total', sum(rows, [0, 1]));
    await using session = await Session.create(encodeGraph(graph, new Map(), { bound: true }));
    const total = zeros('f32', []);
    session.bindOutput('total', total);
    const feeds = (at: bigint) => ({
      table: tensor('f32', [4, 2], new Float32Array(8).fill(1)),
      at: tensor('i64', [1], BigInt64Array.of(at)),
    });
    await session.runBound(feeds(3n), ['total']);
    expect(total.data[0]).toBe(2);
    await expect(session.runBound(feeds(9n), ['total'])).rejects.toThrow(RuntimeError);
    expect(total.data[0]).toBeNaN();
  });

  it('needs a graph with a scalar output', () => {
    const graph = new Graph();
    graph.output('y', scale(graph.input('x', 'float', ['N']), 2));
    expect(() => encodeGraph(graph, new Map(), { bound: true })).toThrow(ShapeError);
  });
});
