// Owns the checks of state that runs hand on: values, memory, several chains, what is missing.
import { afterEach, describe, expect, it } from 'vitest';
import { ShapeError } from '../../../src/errors.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { add, scale } from '../../../src/engine/ops/elementwise.ts';
import { CarriedState, Session, countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';

const vector = (...values: number[]): Tensor<'f32'> =>
  tensor('f32', [values.length], Float32Array.from(values));

/** sum' = sum + x, and twice that. */
function adding(): Promise<Session> {
  const graph = new Graph();
  const next = add(graph.input('sum', 'float', ['N']), graph.input('x', 'float', ['N']));
  graph.output('sum_next', next);
  graph.output('doubled', scale(next, 2));
  const carried = [{ input: 'sum', output: 'sum_next' }];
  return Session.create(encodeGraph(graph), { threads: 1 }, { carried });
}

const numbers = (t: Tensor | undefined): number[] => Array.from(t?.data ?? [], Number);

afterEach(() => {
  expect(countLiveSessions()).toBe(0);
});

describe('state that runs hand on', () => {
  it('is what the run before left, in its own memory, and is not among the results', async () => {
    await using session = await adding();
    const memory = vector(1, 2);
    using state = new CarriedState(new Map([['sum', memory]]));
    const first = await session.run({ x: vector(10, 20) }, undefined, state);
    expect(Object.keys(first)).toEqual(['doubled']);
    expect(numbers(first['doubled'])).toEqual([22, 44]);
    const second = await session.run({ x: vector(100, 200) }, ['doubled'], state);
    expect(numbers(second['doubled'])).toEqual([222, 444]);
    expect(numbers(memory)).toEqual([111, 222]);
  });

  it('belongs to its chain: two chains of other sizes take turns on one session', async () => {
    await using session = await adding();
    using short = new CarriedState(new Map([['sum', vector(0)]]));
    using long = new CarriedState(new Map([['sum', vector(0, 0, 0)]]));
    for (let turn = 0; turn < 3; turn++) {
      await session.run({ x: vector(1) }, [], short);
      await session.run({ x: vector(2, 3, 4) }, [], long);
    }
    const read = async (state: CarriedState, x: Tensor) =>
      numbers((await session.run({ x }, undefined, state))['doubled']);
    expect(await read(short, vector(0))).toEqual([6]);
    expect(await read(long, vector(0, 0, 0))).toEqual([12, 18, 24]);
  });

  it('has to be given, and to have a tensor of the right size for every pair', async () => {
    await using session = await adding();
    await expect(session.run({ x: vector(1) })).rejects.toThrow(/no state to carry for input sum/);
    using empty = new CarriedState(new Map());
    await expect(session.run({ x: vector(1) }, undefined, empty)).rejects.toThrow(ShapeError);
    using other = new CarriedState(new Map([['sum', vector(1, 2)]]));
    await expect(session.run({ x: vector(1) }, undefined, other)).rejects.toThrow(ShapeError);
  });
});
