// Owns the check that every operation gives on WebGPU what it gives on the CPU, all of it on the device.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../src/engine/encode.ts';
import type { EncodedGraph } from '../../src/engine/encode.ts';
import { gradients } from '../../src/engine/gradient.ts';
import { Graph } from '../../src/engine/graph.ts';
import type { Value } from '../../src/engine/graph.ts';
import { sum } from '../../src/engine/ops/broadcast.ts';
import { square, toFloat } from '../../src/engine/ops/elementwise.ts';
import { Session } from '../../src/engine/session.ts';
import type { Device } from '../../src/engine/session.ts';
import type { Tensor } from '../../src/engine/tensor.ts';
import { worstError } from '../helpers/gradient-check.ts';
import { fromTensor } from '../helpers/nd.ts';
import { Draw, declareOperands, feedsOf } from '../helpers/op-case.ts';
import type { OpCase, OpCaseMaker } from '../helpers/op-case.ts';
import { ALGEBRA } from '../unit/engine/cases/algebra.ts';
import { ELEMENTWISE, ELEMENTWISE_CUTS } from '../unit/engine/cases/elementwise.ts';
import { STRUCTURE, STRUCTURE_CUTS } from '../unit/engine/cases/structure.ts';

const DIFFERENTIABLE = { ...ELEMENTWISE, ...STRUCTURE, ...ALGEBRA };
const CUTTING = { ...ELEMENTWISE_CUTS, ...STRUCTURE_CUTS };
const SEED = 20260101;
const RUNS = 3;
/** As for the CPU against nested loops; the largest measured here is gelu's 8e-6. */
const F32_TOLERANCE = 1e-5;

async function run(
  device: Device,
  encoded: EncodedGraph,
  feeds: Readonly<Record<string, Tensor>>,
): Promise<Readonly<Record<string, Tensor>>> {
  // A node with arithmetic that is put on the CPU fails the run.
  await using session = await Session.create(encoded, { device, threads: 1 });
  return await session.run(feeds);
}

/** The result of a call and, where there is a rule, the gradients of the sum of its squares. */
function encodeCall(opCase: OpCase, withGradients: boolean): EncodedGraph {
  const graph = new Graph('f32');
  const operands = declareOperands(graph, opCase.operands);
  const y = opCase.build(...operands);
  graph.output('y', y);
  if (withGradients) {
    const axes = y.shape.map((_, axis) => axis);
    const floats: Value[] = operands.filter((_, i) => opCase.operands[i]?.role === 'float');
    gradients(sum(square(toFloat(y)), axes), floats).forEach((gradient, i) => {
      graph.output(`gradient ${i}`, gradient);
    });
  }
  return encodeGraph(graph);
}

async function compareDevices(maker: OpCaseMaker, withGradients: boolean): Promise<void> {
  const property = fc.asyncProperty(fc.gen(), async (gen) => {
    const opCase = maker(new Draw(gen));
    const encoded = encodeCall(opCase, withGradients);
    const feeds = feedsOf(opCase.operands, 'f32');
    const [found, expected] = [
      await run('webgpu', encoded, feeds),
      await run('cpu', encoded, feeds),
    ];
    expect(Object.keys(found)).toEqual(Object.keys(expected));
    for (const [name, value] of Object.entries(expected)) {
      const ours = found[name] as Tensor;
      expect(ours.dims).toEqual(value.dims);
      expect(worstError(fromTensor(ours).data, fromTensor(value).data), name).toBeLessThan(
        F32_TOLERANCE,
      );
    }
  });
  await fc.assert(property, { numRuns: RUNS, seed: SEED });
}

describe('on WebGPU', () => {
  it.each(Object.entries(DIFFERENTIABLE))(
    '%s and its gradients are those of the CPU',
    async (_name, maker) => compareDevices(maker, true),
  );
  it.each(Object.entries(CUTTING))('%s is that of the CPU', async (_name, maker) =>
    compareDevices(maker, false),
  );
});
