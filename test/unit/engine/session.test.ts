// Owns the checks of sessions: memory in place, errors, reproducibility, handles, types.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { ConfigError, RuntimeError, ShapeError } from '../../../src/errors.ts';
import { mulDims, toDim } from '../../../src/engine/dims.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import type { Value } from '../../../src/engine/graph.ts';
import { reshape, sum } from '../../../src/engine/ops/broadcast.ts';
import * as ops from '../../../src/engine/ops/elementwise.ts';
import { linear, matmul } from '../../../src/engine/ops/linear.ts';
import { Session, countLiveSessions } from '../../../src/engine/session.ts';
import type { SessionOptions } from '../../../src/engine/session.ts';
import { cast, tensor, zeros } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { Rng } from '../../../src/rng.ts';
import { worstError } from '../../helpers/gradient-check.ts';
import { fromTensor } from '../../helpers/nd.ts';
import { declareOperands, feedsOf, operandName } from '../../helpers/op-case.ts';
import { tinyTransformer } from '../../helpers/tiny-transformer.ts';

const SEED = 20260101;

const vector = (...values: number[]): Tensor<'f32'> =>
  tensor('f32', [values.length], Float32Array.from(values));

const normals = (rng: Rng, length: number): Tensor<'f32'> =>
  tensor(
    'f32',
    [length],
    Float32Array.from({ length }, () => rng.normal()),
  );

/** A session over the outputs that `build` returns by name. */
async function compile(
  build: (graph: Graph) => Readonly<Record<string, Value>>,
  options: SessionOptions = { threads: 1 },
): Promise<Session> {
  const graph = new Graph();
  for (const [name, value] of Object.entries(build(graph))) graph.output(name, value);
  return Session.create(encodeGraph(graph), options);
}

/** y = 2x over [N]. */
const doubling = (g: Graph): { y: Value } => ({ y: ops.scale(g.input('x', 'float', ['N']), 2) });

const bytes = (t: Tensor | undefined): string =>
  t ? Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength).toString('hex') : 'nothing';

afterEach(() => {
  expect(countLiveSessions()).toBe(0);
});

describe('bound tensors', () => {
  it('receive an output in their own memory, and are what the run returns', async () => {
    await using session = await compile(doubling);
    const memory = new Float32Array(8).fill(-1);
    const bound = tensor('f32', [3], memory.subarray(4, 7));
    session.bindOutput('y', bound);
    const { y } = await session.run({ x: vector(1, 2, 3) });
    expect(y).toBe(bound);
    expect([...memory]).toEqual([-1, -1, -1, -1, 2, 4, 6, -1]);
    await session.run({ x: vector(4, 5, 6) });
    expect([...memory]).toEqual([-1, -1, -1, -1, 8, 10, 12, -1]);
  });
  it('are read as they are at the time of the run', async () => {
    await using session = await compile(doubling);
    const memory = new Float32Array(5).fill(9);
    session.bindInput('x', tensor('f32', [2], memory.subarray(1, 3)));
    memory.set([1, 2], 1);
    expect([...((await session.run({}))['y']?.data ?? [])]).toEqual([2, 4]);
    memory.set([3, 4], 1);
    expect([...((await session.run({}))['y']?.data ?? [])]).toEqual([6, 8]);
  });
  it('give way to what is fed for one run only', async () => {
    await using session = await compile(doubling);
    session.bindInput('x', vector(1));
    expect([...((await session.run({ x: vector(5, 6) }))['y']?.data ?? [])]).toEqual([10, 12]);
    expect([...((await session.run({}))['y']?.data ?? [])]).toEqual([2]);
  });
  it('are replaced by binding anew', async () => {
    await using session = await compile(doubling);
    const [first, second] = [zeros('f32', [1]), zeros('f32', [1])];
    session.bindOutput('y', first);
    session.bindOutput('y', second);
    await session.run({ x: vector(1) });
    expect([first.data[0], second.data[0]]).toEqual([0, 2]);
  });
  it('must have the size and type of the output', async () => {
    await using session = await compile(doubling);
    session.bindOutput('y', zeros('f32', [4]));
    await expect(session.run({ x: vector(1, 2) })).rejects.toThrow(/bound to output y.*axis 0/);
    session.bindOutput('y', zeros('f64', [2]));
    await expect(session.run({ x: vector(1, 2) })).rejects.toThrow(RuntimeError);
  });
  it('leave results of earlier runs alone when nothing is bound', async () => {
    await using session = await compile(doubling);
    const first = await session.run({ x: vector(1) });
    await session.run({ x: vector(7) });
    expect(first['y']?.data[0]).toBe(2);
  });
});

/** Two moments and weights, each next value from its old one, as AdamW has it. */
function adamLike(g: Graph): Record<string, Value> {
  const [weights, first, second, gradient] = ['weights', 'first', 'second', 'gradient'].map((n) =>
    g.input(n, 'float', ['N']),
  ) as [Value, Value, Value, Value];
  const rate = g.input('rate', 'float', []);
  const nextFirst = ops.add(ops.scale(first, 0.9), ops.scale(gradient, 0.1));
  const nextSecond = ops.add(ops.scale(second, 0.99), ops.scale(ops.square(gradient), 0.01));
  const step = ops.div(nextFirst, ops.shift(ops.sqrt(nextSecond), 1e-8));
  const decayed = ops.sub(weights, ops.mul(weights, ops.scale(rate, 0.1)));
  return {
    weights_next: ops.sub(decayed, ops.mul(step, rate)),
    first_next: nextFirst,
    second_next: nextSecond,
  };
}

describe('an element-wise update of its own inputs', () => {
  it.each([1, 2])('has the bits of an update into new memory, with %i threads', async (threads) => {
    await using session = await compile(adamLike, { threads });
    const state = ['weights', 'first', 'second'];
    const property = fc.asyncProperty(
      fc.integer({ min: 1, max: 40_000 }),
      fc.nat(),
      async (length, seed) => {
        const rng = new Rng(seed);
        const start = state.map((name) => {
          const values = normals(rng, length);
          if (name === 'second') values.data.forEach((v, i) => (values.data[i] = Math.abs(v)));
          return [name, values] as const;
        });
        const inPlace = new Map(
          start.map(([name, t]) => [name, tensor('f32', [length], t.data.slice())]),
        );
        let apart: Record<string, Tensor> = Object.fromEntries(start);
        for (let step = 0; step < 3; step++) {
          const others = {
            gradient: normals(rng, length),
            rate: tensor('f32', [], Float32Array.of(0.01)),
          };
          // Out of place: every output gets memory of its own.
          const outputs = state.map((name) => [name, zeros('f32', [length])] as const);
          for (const [name, t] of outputs) session.bindOutput(`${name}_next`, t);
          await session.run({ ...apart, ...others });
          apart = Object.fromEntries(outputs);
          for (const [name, t] of inPlace) session.bindOutput(`${name}_next`, t);
          await session.run({ ...Object.fromEntries(inPlace), ...others });
        }
        for (const name of state) expect(bytes(inPlace.get(name)), name).toBe(bytes(apart[name]));
      },
    );
    await fc.assert(property, { numRuns: 15, seed: SEED });
  });
});

describe('errors of a session', () => {
  it('name the input that is missing and what there was', async () => {
    await using session = await compile((g) => ({
      y: ops.add(g.input('left', 'float', ['N']), g.input('right', 'float', ['N'])),
    }));
    await expect(session.run({ left: vector(1) })).rejects.toThrow(/right.*\n.*left/);
    await expect(session.run({})).rejects.toThrow(ShapeError);
  });
  it('name what is fed, bound or wanted though the graph has no such name', async () => {
    await using session = await compile(doubling);
    const x = vector(1);
    await expect(session.run({ x, typo: x })).rejects.toThrow(/no input typo/);
    await expect(session.run({ x }, ['typo'])).rejects.toThrow(/no output typo/);
    expect(() => session.bindInput('typo', x)).toThrow(/no input typo/);
    expect(() => session.bindOutput('typo', x)).toThrow(/no output typo/);
  });
  it('name the input whose symbol has another size elsewhere, where broadcasting would hide it', async () => {
    await using session = await compile((g) => ({
      y: ops.add(g.input('left', 'float', ['N', 3]), g.input('right', 'float', ['N', 3])),
    }));
    const [two, one] = [zeros('f32', [2, 3]), zeros('f32', [1, 3])];
    await expect(session.run({ left: two, right: one })).rejects.toThrow(/right.*axis 0/);
    expect((await session.run({ left: two, right: two }))['y']?.dims).toEqual([2, 3]);
  });
  it('name the input of a computed size that does not follow from the others', async () => {
    await using session = await compile((g) => {
      const x = g.input('x', 'float', ['B', 'T']);
      const [B, T] = [toDim('B'), toDim('T')];
      const flat = g.input('flat', 'float', [mulDims(2, B, T)]);
      return { y: ops.add(sum(x, [0, 1]), sum(flat, [0])) };
    });
    const x = zeros('f32', [2, 3]);
    await expect(session.run({ x, flat: zeros('f32', [6]) })).rejects.toThrow(/2\*B\*T = 12/);
    expect((await session.run({ x, flat: zeros('f32', [12]) }))['y']?.data[0]).toBe(0);
  });
  it('say what ONNX Runtime said about wrong ranks, sizes and types', async () => {
    await using session = await compile((g) => ({ y: ops.neg(g.input('x', 'float', ['N', 3])) }));
    await expect(session.run({ x: vector(1, 2, 3) })).rejects.toThrow(/rank for input: x/);
    await expect(session.run({ x: zeros('f32', [1, 4]) })).rejects.toThrow(/input x/);
    await expect(session.run({ x: zeros('f64', [1, 3]) })).rejects.toThrow(/double/);
    await expect(session.run({ x: zeros('bf16', [1, 3]) })).rejects.toThrow(/x is bf16/);
  });
  it('come when an operation declares a size it does not have', async () => {
    await using session = await compile((g) => {
      const x = g.input('x', 'float', ['N']);
      const wrong = { name: 'wrong', inputs: [x], dtype: x.dtype, shape: [mulDims(2, toDim('N'))] };
      return { y: g.add({ ...wrong, emit: (e, names) => e.node('Neg', names) }) };
    });
    await expect(session.run({ x: vector(1, 2) })).rejects.toThrow(/output y.*axis 0/);
  });
  it('come instead of a crash after the session is disposed', async () => {
    const session = await compile(doubling);
    await session[Symbol.asyncDispose]();
    await session[Symbol.asyncDispose]();
    expect(countLiveSessions()).toBe(0);
    await expect(session.run({ x: vector(1) })).rejects.toThrow(RuntimeError);
  });
  it('tell a graph without outputs and a graph that cannot run', async () => {
    expect(() => encodeGraph(new Graph())).toThrow(ShapeError);
    await expect(
      compile((g) => {
        const x = g.input('x', 'float', [2]);
        const unknown = { name: 'x', inputs: [x], dtype: x.dtype, shape: x.shape };
        return { y: g.add({ ...unknown, emit: (e, names) => e.node('NoSuchOperator', names) }) };
      }),
    ).rejects.toThrow(RuntimeError);
  });
  it('tell a device that is not there', async () => {
    const device = process.platform === 'win32' ? 'coreml' : 'dml';
    await expect(compile(doubling, { device })).rejects.toThrow(ConfigError);
  });
});

describe('the outputs of a run', () => {
  const both = (g: Graph): Record<string, Value> => {
    const x = g.input('x', 'float', ['N']);
    return { y: ops.scale(x, 2), z: ops.neg(x) };
  };
  it('are those wanted, and all when nothing is said', async () => {
    await using session = await compile(both);
    const x = vector(1);
    expect(Object.keys(await session.run({ x })).sort()).toEqual(['y', 'z']);
    expect(Object.keys(await session.run({ x }, ['z']))).toEqual(['z']);
    expect(await session.run({ x }, [])).toEqual({});
  });
  it('may be an input, a constant, or one value under two names', async () => {
    await using session = await compile((g) => {
      const x = g.input('x', 'float', ['N']);
      const y = ops.neg(x);
      return { same: x, constant: g.scalar(3), y, again: y };
    });
    const results = await session.run({ x: vector(1, 2) });
    const numbers = Object.entries(results).map(([name, t]) => [name, Array.from(t.data, Number)]);
    expect(Object.fromEntries(numbers)).toEqual({
      same: [1, 2],
      constant: [3],
      y: [-1, -2],
      again: [-1, -2],
    });
  });
  it('are of every type there is, half floats as raw bits', async () => {
    await using session = await compile((g) => {
      const x = g.input('x', 'f16', ['N']);
      const wide = ops.cast(x, 'f32');
      const doubled = ops.scale(wide, 2);
      return {
        f16: ops.cast(doubled, 'f16'),
        f32: doubled,
        f64: ops.cast(doubled, 'f64'),
        i64: ops.cast(doubled, 'i64'),
        bool: ops.cast(doubled, 'bool'),
      };
    });
    const x = cast(vector(1.5, 0, -0.25), 'f16');
    const half = zeros('f16', [3]);
    session.bindOutput('f16', half);
    const results = await session.run({ x });
    expect(Object.values(results).map((t) => t.dtype)).toEqual(Object.keys(results));
    expect(Array.from(cast(half, 'f32').data)).toEqual([3, 0, -0.5]);
    expect(Array.from(results['f64']?.data ?? [], Number)).toEqual([3, 0, -0.5]);
    expect(Array.from(results['i64']?.data ?? [], Number)).toEqual([3, 0, 0]);
    expect(Array.from(results['bool']?.data ?? [], Number)).toEqual([1, 0, 1]);
  });
});

describe('reshapes with several unknown dimensions', () => {
  it('hold for every size of one session, also for none', async () => {
    await using session = await compile((g) => {
      const x = g.input('x', 'float', ['B', 'T', 4]);
      const [B, T] = [toDim('B'), toDim('T')];
      const heads = reshape(ops.scale(x, 1), [B, T, 2, 2]);
      const flat = reshape(ops.scale(heads, 1), [mulDims(B, T), 4]);
      const split = reshape(ops.scale(flat, 1), [B, 2, T, 2]);
      const merged = reshape(ops.scale(split, 1), [mulDims(B, 2), mulDims(T, 2)]);
      return { y: reshape(ops.scale(merged, 1), [T, B, 4]) };
    });
    for (const [b, t] of [
      [2, 3],
      [1, 1],
      [5, 2],
      [0, 3],
      [2, 0],
      [0, 0],
    ] as const) {
      const data = Float32Array.from({ length: b * t * 4 }, (_, i) => i);
      const { y } = await session.run({ x: tensor('f32', [b, t, 4], data) });
      expect(y?.dims).toEqual([t, b, 4]);
      expect(y?.data).toEqual(data);
    }
  });
});

/** Loss and all gradients of a model whose batch repeats words, as one graph. */
function trainingGraph(): { readonly graph: Graph; readonly feeds: Record<string, Tensor> } {
  const sizes = { batch: 3, length: 40, words: 31, headWidth: 16, heads: 4, hidden: 96 };
  const model = tinyTransformer(sizes);
  const graph = new Graph();
  const inputs = declareOperands(graph, model.operands);
  const loss = model.build(...inputs);
  graph.output('loss', loss);
  const parameters = inputs.filter((input) => input.dtype === 'f32');
  gradients(loss, parameters).forEach((grad, i) => graph.output(`gradient${i}`, grad));
  return { graph, feeds: feedsOf(model.operands, 'f32') };
}

describe('a training graph', () => {
  it.each([1, 2])('has the same bits in two fresh sessions with %i threads', async (threads) => {
    const { graph, feeds } = trainingGraph();
    const model = encodeGraph(graph);
    const prints: string[] = [];
    for (let i = 0; i < 2; i++) {
      await using session = await Session.create(model, { threads });
      for (let run = 0; run < 3; run++) {
        const results = await session.run(feeds);
        prints.push(JSON.stringify(Object.entries(results).map(([n, t]) => [n, bytes(t)])));
      }
    }
    expect(new Set(prints).size).toBe(1);
    expect(prints[0]).toContain('gradient9');
  });
  it('has the same numbers with its weights as constants', async () => {
    const { graph, feeds } = trainingGraph();
    await using fed = await Session.create(encodeGraph(graph), { threads: 1 });
    const isWeight = ([, t]: readonly [string, Tensor]): boolean => t.dtype === 'f32';
    const weights = new Map(Object.entries(feeds).filter(isWeight));
    const rest = Object.fromEntries(Object.entries(feeds).filter((entry) => !isWeight(entry)));
    await using baked = await Session.create(encodeGraph(graph, weights), { threads: 1 });
    expect([...baked.inputNames].sort()).toEqual(Object.keys(rest).sort());
    const [expected, found] = [await fed.run(feeds), await baked.run(rest)];
    for (const [name, t] of Object.entries(expected)) {
      const error = worstError(fromTensor(found[name] ?? t).data, fromTensor(t).data);
      expect(Object.keys(found), name).toContain(name);
      expect(error, name).toBeLessThan(1e-5);
    }
  });
  it('refuses a constant that is not what the graph declared', () => {
    const { graph } = trainingGraph();
    const wrong = (value: Tensor) => () => encodeGraph(graph, new Map([[operandName(2), value]]));
    expect(wrong(zeros('f32', [31, 65]))).toThrow(/operand2/);
    expect(wrong(zeros('i32', [31, 64]))).toThrow(/operand2/);
    expect(wrong(zeros('f32', [31, 64]))).not.toThrow();
  });
});

describe('the settings of a session', () => {
  it('stop waiting threads from spinning', async () => {
    const side = 256;
    const x = tensor('f32', [side, side], new Float32Array(side * side).fill(0.01));
    const spent = async (spinning: boolean): Promise<number> => {
      await using session = await compile(
        (g) => {
          const a = g.input('x', 'float', [side, side]);
          return { y: matmul(a, a) };
        },
        { threads: 2, spinning },
      );
      for (let i = 0; i < 3; i++) await session.run({ x });
      const before = process.cpuUsage();
      for (let i = 0; i < 40; i++) {
        await session.run({ x });
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    // The least of three: other processes only add to the time.
    let [on, off] = [Infinity, Infinity];
    for (let round = 0; round < 3; round++) {
      on = Math.min(on, await spent(true));
      off = Math.min(off, await spent(false));
    }
    expect(off).toBeLessThan(0.75 * on);
  });
  it('write a profile that tells every operator', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'gapvl-profile-'));
    try {
      const options = { threads: 1, profile: join(folder, 'run') };
      const session = await compile((g) => {
        const x = g.input('x', 'float', [2, 2]);
        return { y: linear(x, g.input('w', 'float', [2, 2])) };
      }, options);
      await session.run({ x: zeros('f32', [2, 2]), w: zeros('f32', [2, 2]) });
      await session[Symbol.asyncDispose]();
      const [file] = readdirSync(folder);
      expect(readFileSync(join(folder, file ?? ''), 'utf8')).toContain('Gemm');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
