// Owns the checks of every operation: its value against a slow twin, its gradient against differences.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readdirSync } from 'node:fs';
import { RuntimeError } from '../../../src/errors.ts';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import type { Value } from '../../../src/engine/graph.ts';
import { sum } from '../../../src/engine/ops/broadcast.ts';
import { add, lessOrEqual, toFloat } from '../../../src/engine/ops/elementwise.ts';
import { Session } from '../../../src/engine/session.ts';
import { TOLERANCE, checkGradients, worstError } from '../../helpers/gradient-check.ts';
import { fromTensor } from '../../helpers/nd.ts';
import { Draw, declareOperands, feedsOf } from '../../helpers/op-case.ts';
import type { OpCase, OpCaseMaker } from '../../helpers/op-case.ts';
import { ALGEBRA } from './cases/algebra.ts';
import { ELEMENTWISE, ELEMENTWISE_CUTS } from './cases/elementwise.ts';
import { STRUCTURE, STRUCTURE_CUTS } from './cases/structure.ts';

const DIFFERENTIABLE = { ...ELEMENTWISE, ...STRUCTURE, ...ALGEBRA };
const CUTTING = { ...ELEMENTWISE_CUTS, ...STRUCTURE_CUTS };

/** Exports of ops/ that are no operations: they compute or compare shapes. */
const NOT_OPERATIONS = ['reducedShape', 'numBlocks', 'zeroBytes'];

/** Operations for decoding, without a rule; their own test asks for a gradient and gets an error. */
const WITHOUT_RULE = ['fusedAttention', 'gatherPacked', 'linearPacked'];

const SEED = 20260101;
const RUNS = { first: 20, second: 7, forward: 20 };
/** Their f64 series takes 450 nodes, so they get fewer runs. */
const SLOW_IN_F64 = ['erf', 'gelu'];
/** f32 has 24 bits; sums of at most 30 products of numbers around 1 keep 17 of them. */
const F32_TOLERANCE = 1e-5;

/** Runs a check on random calls of an operation; a failure prints the call. */
async function forRandomCalls(
  maker: OpCaseMaker,
  numRuns: number,
  check: (opCase: OpCase, seed: number) => Promise<void>,
): Promise<void> {
  const property = fc.asyncProperty(fc.gen(), fc.nat(), async (gen, seed) => {
    await check(maker(new Draw(gen)), seed);
  });
  await fc.assert(property, { numRuns, seed: SEED });
}

async function runOnce(
  opCase: OpCase,
): Promise<{ dims: readonly number[]; data: readonly number[] }> {
  const graph = new Graph('f32');
  graph.output('y', opCase.build(...declareOperands(graph, opCase.operands)));
  await using session = await Session.create(encodeGraph(graph), { threads: 1 });
  const { y } = await session.run(feedsOf(opCase.operands, 'f32'));
  if (!y) throw new Error('the session returned nothing');
  return fromTensor(y);
}

describe('every operation', () => {
  it('has a gradient test, or is declared to cut gradients', async () => {
    const folder = new URL('../../../src/engine/ops/', import.meta.url);
    const exported: string[] = [];
    for (const file of readdirSync(folder)) {
      const module = (await import(new URL(file, folder).href)) as Record<string, unknown>;
      exported.push(...Object.keys(module).filter((name) => typeof module[name] === 'function'));
    }
    const cuts = Object.keys(CUTTING).filter((name) => !name.includes(' '));
    const declared = [...Object.keys(DIFFERENTIABLE), ...cuts, ...NOT_OPERATIONS, ...WITHOUT_RULE];
    expect(declared.sort()).toEqual(exported.sort());
  });
});

describe.each(Object.entries({ ...DIFFERENTIABLE, ...CUTTING }))('%s in f32', (_name, maker) => {
  it('computes what nested loops compute', async () => {
    await forRandomCalls(maker, RUNS.forward, async (opCase) => {
      const found = await runOnce(opCase);
      const expected = opCase.twin(...opCase.operands.map((operand) => operand.value));
      expect(found.dims).toEqual(expected.dims);
      expect(worstError(found.data, expected.data)).toBeLessThan(F32_TOLERANCE);
    });
  });
});

describe.each(Object.entries(DIFFERENTIABLE))('the gradient rule of %s', (name, maker) => {
  const share = SLOW_IN_F64.includes(name) ? 0.3 : 1;
  it('agrees with central differences in f64', async () => {
    await forRandomCalls(maker, RUNS.first * share, async (opCase, seed) => {
      const { operand, error } = await checkGradients(opCase, { seed });
      expect(error, operand).toBeLessThan(TOLERANCE);
    });
  });
  it('is built of operations whose own rules agree with central differences', async () => {
    await forRandomCalls(maker, Math.ceil(RUNS.second * share), async (opCase, seed) => {
      const { operand, error } = await checkGradients(opCase, { seed, order: 2 });
      expect(error, operand).toBeLessThan(TOLERANCE);
    });
  });
});

/** The call with masks made of numbers, so that there is something to differentiate by. */
function buildOverFloats(opCase: OpCase): { readonly inputs: Value[]; readonly result: Value } {
  const graph = new Graph('f64');
  const numbers = opCase.operands.map((operand) => ({ ...operand, role: 'float' as const }));
  const inputs = declareOperands(graph, numbers);
  const operands = inputs.map((input, i) =>
    opCase.operands[i]?.role === 'bool' ? lessOrEqual(input, graph.scalar(0)) : input,
  );
  const result = toFloat(opCase.build(...operands));
  const axes = result.shape.map((_, axis) => axis);
  return { inputs, result: sum(result, axes) };
}

describe.each(Object.entries(CUTTING))('%s', (_name, maker) => {
  it('lets no gradient through, and asking for one is an error', () => {
    const property = fc.property(fc.gen(), (gen) => {
      const { inputs, result } = buildOverFloats(maker(new Draw(gen)));
      for (const input of inputs) {
        expect(() => gradients(result, [input])).toThrow(RuntimeError);
        const axes = input.shape.map((_, axis) => axis);
        // The same loss with a second way to the input has a gradient: only the first is cut.
        expect(gradients(add(result, sum(input, axes)), [input])).toHaveLength(1);
      }
    });
    fc.assert(property, { numRuns: 10, seed: SEED });
  });
});
