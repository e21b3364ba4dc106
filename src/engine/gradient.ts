// Owns reverse-mode differentiation: walks a graph backwards and applies each operation's own rule.

import { RuntimeError, ShapeError } from '../errors.ts';
import { sameShape, showShape } from './dims.ts';
import type { Value } from './graph.ts';
import { add } from './ops/elementwise.ts';
import { expand } from './ops/broadcast.ts';

/** A value whose gradient is known from outside: dL/d(value). */
export interface Cotangent {
  readonly value: Value;
  readonly grad: Value;
}

/**
 * Extends the graph by the gradients of sum(cotangent . value) with respect to `targets`.
 * A target nothing flows to is an error: a silent zero would hide a mistake.
 */
export function pullback(cotangents: readonly Cotangent[], targets: readonly Value[]): Value[] {
  const [first] = cotangents;
  if (!first) return [];
  const graph = first.value.graph;
  const needed = new Set(targets.map((t) => t.id));
  const last = Math.max(...cotangents.map((c) => c.value.id));
  for (const node of graph.nodes.slice(0, last + 1)) {
    if (node.operation.inputs.some((input) => needed.has(input.id))) needed.add(node.id);
  }
  const grads = new Map<number, Value>();
  const accumulate = (value: Value, grad: Value): void => {
    if (!sameShape(value.shape, grad.shape)) {
      throw new ShapeError({
        what: `gradient of ${value.operation.name} has a wrong shape`,
        got: showShape(grad.shape),
        expected: showShape(value.shape),
      });
    }
    const known = grads.get(value.id);
    grads.set(value.id, known ? add(known, grad) : grad);
  };
  for (const { value, grad } of cotangents) accumulate(value, grad);
  for (const node of graph.nodes.slice(0, last + 1).reverse()) {
    const grad = grads.get(node.id);
    // A target's own inputs are not asked for unless they lie on the way to another target.
    if (!grad || !node.operation.inputs.some((input) => needed.has(input.id))) continue;
    const rule = node.operation.gradient;
    if (!rule) throw new RuntimeError({ what: `${node.operation.name} has no gradient rule` });
    rule(grad, node).forEach((inputGrad, i) => {
      const input = node.operation.inputs[i];
      if (input && inputGrad && needed.has(input.id)) accumulate(input, inputGrad);
    });
  }
  return targets.map((target) => {
    const grad = grads.get(target.id);
    if (!grad) {
      throw new RuntimeError({
        what: `no gradient flows to ${target.operation.name}`,
        expected: 'a value the result depends on',
      });
    }
    return grad;
  });
}

/** Gradients of a scalar with respect to each target. */
export function gradients(scalar: Value, targets: readonly Value[]): Value[] {
  if (scalar.rank !== 0) {
    throw new ShapeError({
      what: 'gradients needs a scalar',
      got: showShape(scalar.shape),
      expected: '[]',
    });
  }
  return pullback([{ value: scalar, grad: expand(scalar.graph.scalar(1), []) }], targets);
}
