// Tests latent heads against plain loops: prediction, start, size, losses.
// Axes: N latents, D hidden, K components, R adapter width.
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { Session } from '../../../src/engine/session.ts';
import { numElements, tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import {
  declareBasis,
  headSpecs,
  initialiseHead,
  latentLoss,
  predictLatents,
  rowNorms,
} from '../../../src/latent/head.ts';
import type { HeadSpec, LatentLoss } from '../../../src/latent/head.ts';
import { makeHead, outputHead } from '../../../src/latent/model.ts';
import type { LatentHead } from '../../../src/latent/model.ts';
import { projectOntoPlane, reconstruct } from '../../../src/latent/pca.ts';
import type { PcaBasis } from '../../../src/latent/pca.ts';
import type { HeadKind } from '../../../src/latent/variants.ts';
import { declareParameters } from '../../../src/model/parameters.ts';
import { Weights } from '../../../src/model/weights.ts';
import { Rng } from '../../../src/rng.ts';
import { SESSION, miniBasis, miniHeadSpec } from '../../helpers/mini-gap.ts';
import { randomRows } from '../../helpers/mini-model.ts';
import { relativeError } from '../../helpers/relative-error.ts';

const DIM = 12;
const KINDS: readonly HeadKind[] = ['output', 'full', 'pca', 'bottleneck'];

async function predict(
  head: LatentHead,
  raw_ND: Float32Array,
  normed_ND: Float32Array,
): Promise<Float32Array> {
  const graph = new Graph();
  const parameters = declareParameters(graph, head.weights.specs);
  const state = {
    raw_ND: graph.input('raw', 'float', ['N', DIM]),
    normed_ND: graph.input('normed', 'float', ['N', DIM]),
  };
  declareBasis(graph, head.spec);
  graph.output('latents', predictLatents(head.spec, parameters, state));
  const fixed = new Map<string, Tensor>([...head.weights.byName, ...head.fixed]);
  await using session = await Session.create(encodeGraph(graph, fixed), SESSION);
  const rows = (data: Float32Array): Tensor => tensor('f32', [data.length / DIM, DIM], data);
  const results = await session.run({ raw: rows(raw_ND), normed: rows(normed_ND) });
  return results['latents']?.data as Float32Array;
}

/** A head as training starts it, or with noise on every weight. */
function startHead(kind: HeadKind, basis: PcaBasis, noise = 0): LatentHead {
  if (kind === 'output') return outputHead();
  const spec = miniHeadSpec(kind, DIM, basis);
  const weights = new Weights(headSpecs(spec));
  const rng = new Rng('head');
  initialiseHead(spec, weights, rng, basis);
  weights.flat.forEach((value, i) => (weights.flat[i] = value + noise * rng.normal()));
  return makeHead(spec, weights, kind === 'pca' ? basis : undefined);
}

/** W x + b in doubles; W row-major [out, in]. */
function affine(weights: Weights, name: string, x: readonly number[]): number[] {
  const { data, dims } = weights.get(`${name}.weight`);
  const bias = weights.byName.get(`${name}.bias`)?.data;
  const width = dims[1] ?? 0;
  return Array.from({ length: dims[0] ?? 0 }, (_, o) =>
    x.reduce((sum, value, i) => sum + value * (data[o * width + i] ?? NaN), bias?.[o] ?? 0),
  );
}

/** The head in plain loops. Source: GAP §4.2, Eq. 1, and the residual SwiGLU adapter. */
function twin(head: LatentHead, raw: readonly number[], normed: readonly number[]): number[] {
  if (head.spec.kind === 'output') return [...raw];
  const base = affine(head.weights, 'latent_head.projection', normed);
  const gate = affine(head.weights, 'latent_head.adapter.gate_proj', base);
  const up = affine(head.weights, 'latent_head.adapter.up_proj', base);
  const inner = gate.map((g, i) => (g / (1 + Math.exp(-g))) * (up[i] ?? NaN));
  const down = affine(head.weights, 'latent_head.adapter.down_proj', inner);
  const coefficients = base.map((b, i) => b + (down[i] ?? NaN));
  if (head.spec.kind === 'full') return coefficients;
  if (head.spec.kind === 'bottleneck')
    return affine(head.weights, 'latent_head.expansion', coefficients);
  if (!head.basis) throw new Error('a PCA head has a basis');
  return [...reconstruct(head.basis, Float32Array.from(coefficients))];
}

describe.each(KINDS)('the %s head', (kind) => {
  it('predicts what plain loops predict, for any number of latents', async () => {
    const head = startHead(kind, await miniBasis(DIM), 0.3);
    const rng = new Rng('states');
    for (const count of [1, 5]) {
      const [raw, normed] = [randomRows(rng, count * DIM, 3), randomRows(rng, count * DIM)];
      const found = await predict(head, raw, normed);
      const row = (data: Float32Array, n: number): number[] => [
        ...data.subarray(n * DIM, (n + 1) * DIM),
      ];
      const expected = Array.from({ length: count }, (_, n) =>
        twin(head, row(raw, n), row(normed, n)),
      );
      expect(relativeError(found, expected.flat())).toBeLessThan(1e-5);
    }
  });
});

describe('the start of a head', () => {
  it('of a PCA head is the plain projection P P^T (h - mu) + mu', async () => {
    const basis = await miniBasis(DIM);
    const normed = randomRows(new Rng('states'), 6 * DIM);
    const found = await predict(
      startHead('pca', basis),
      normed.map((x) => 9 * x),
      normed,
    );
    expect(relativeError(found, projectOntoPlane(basis, normed))).toBeLessThan(1e-6);
    // And not the state itself: the plane has fewer dimensions.
    expect(relativeError(found, normed)).toBeGreaterThan(0.1);
  });

  it('of a full head is the normed state, exactly', async () => {
    const basis = await miniBasis(DIM);
    const normed = randomRows(new Rng('states'), 6 * DIM);
    expect(
      await predict(
        startHead('full', basis),
        normed.map((x) => 9 * x),
        normed,
      ),
    ).toEqual(normed);
  });

  it('without a head is the state before the norm, exactly', async () => {
    const raw = randomRows(new Rng('states'), 6 * DIM);
    expect(
      await predict(
        outputHead(),
        raw,
        raw.map((x) => x / 9),
      ),
    ).toEqual(raw);
  });

  it('follows from the generator alone', async () => {
    const basis = await miniBasis(DIM);
    for (const kind of KINDS) {
      expect(startHead(kind, basis).weights.flat).toEqual(startHead(kind, basis).weights.flat);
    }
  });
});

describe('the size of a head', () => {
  const count = (head: HeadSpec): number =>
    headSpecs(head).reduce((sum, { dims }) => sum + numElements(dims), 0);
  const [hiddenSize, numComponents, adapterSize] = [3584, 629, 256];

  it('is D^2 + D and an adapter of 3 D R for the full head', () => {
    expect(count({ kind: 'full', hiddenSize, adapterSize })).toBe(
      3584 * 3584 + 3584 + 3 * 3584 * 256,
    );
  });

  it('is D K + K and an adapter of 3 K R for the PCA head, none without a head', () => {
    expect(count({ kind: 'pca', hiddenSize, numComponents, adapterSize })).toBe(
      3584 * 629 + 629 + 3 * 629 * 256,
    );
    expect(count({ kind: 'output' })).toBe(0);
  });

  it('of the learned basis is that of the PCA head, its basis and its mean', () => {
    const pca = count({ kind: 'pca', hiddenSize, numComponents, adapterSize });
    const learned = count({ kind: 'bottleneck', hiddenSize, numComponents, adapterSize });
    expect(learned).toBe(pca + 3584 * 629 + 3584);
  });
});

describe('the latent loss', () => {
  const losses = async (
    kind: LatentLoss,
    predicted: readonly number[],
    target: readonly number[],
  ) => {
    const graph = new Graph();
    const [v, t] = [graph.input('v', 'float', ['L', 2]), graph.input('t', 'float', ['L', 2])];
    const loss = latentLoss(kind, v, t, graph.input('count', 'float', []));
    graph.output('loss', loss);
    graph.output('norms', rowNorms(v));
    gradients(loss, [v]).forEach((grad) => {
      graph.output('grad', grad);
    });
    await using session = await Session.create(encodeGraph(graph), SESSION);
    const rows = (values: readonly number[]): Tensor =>
      tensor('f32', [values.length / 2, 2], Float32Array.from(values));
    const count = tensor('f32', [], Float32Array.of(predicted.length / 2));
    const found = await session.run({ v: rows(predicted), t: rows(target), count });
    const read = (name: string): number[] => Array.from(found[name]?.data ?? [], Number);
    return { loss: read('loss')[0] ?? NaN, grad: read('grad'), norms: read('norms') };
  };

  it('of Eq. 2 is the mean over latents of the squared distance: (25 + 1) / 2', async () => {
    const { loss, grad, norms } = await losses('mse', [3, 4, 1, 0], [0, 0, 1, 1]);
    expect(loss).toBeCloseTo(13, 5);
    expect(grad).toEqual([3, 4, 0, -1]);
    expect(norms).toEqual([5, 1]);
  });

  it('of cosines is the mean of 1 - cos: (0 + 1 + 2) / 3, whatever the lengths', async () => {
    const { loss, grad } = await losses('cosine', [3, 4, 5, 0, 1, 1], [6, 8, 0, 7, -2, -2]);
    expect(loss).toBeCloseTo(1, 6);
    // Only the second could turn; its gradient has no part along itself.
    expect(grad[2]).toBeCloseTo(0, 6);
    expect(grad[3]).toBeCloseTo(-1 / 15, 6);
  });

  it('of cosines stays finite at zero', async () => {
    const { loss, grad } = await losses('cosine', [0, 0], [1, 0]);
    expect(loss).toBeCloseTo(1, 6);
    expect(grad.every(Number.isFinite)).toBe(true);
  });
});
