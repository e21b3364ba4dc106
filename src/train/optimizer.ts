// Owns AdamW over flat arrays, in place: a kernel on the CPU, a small graph elsewhere; the loop calls it.

import { encodeGraph } from '../engine/encode.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { add, div, mul, scale, shift, sqrt, square, sub } from '../engine/ops/elementwise.ts';
import { sum } from '../engine/ops/broadcast.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { sumOfSquares, updateAdamW } from './adamw-kernel.ts';
import type { UpdateFactors } from './adamw-kernel.ts';

/** Constants of AdamW. Source: Loshchilov and Hutter 2019, as torch.optim.AdamW computes it. */
export interface AdamWConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled weight decay, multiplied by the learning rate. */
  readonly weightDecay: number;
  /** Largest global gradient norm; larger gradients are scaled down to it. Infinity: off. */
  readonly clipNorm: number;
}

/** Parameters with one learning rate. */
export interface ParameterGroup {
  readonly weights: Float32Array;
  readonly gradients: Float32Array;
}

/** First and second moments of a group, same length as its weights. */
export interface Moments {
  readonly first: Float32Array;
  readonly second: Float32Array;
}

function scalarF32(value: number): Tensor {
  return tensor('f32', [], Float32Array.of(value));
}

function flat(values: Float32Array): Tensor {
  return tensor('f32', [values.length], values);
}

function updateGraph(config: AdamWConfig): EncodedGraph {
  const g = new Graph();
  const vector = (name: string) => g.input(name, 'float', ['N']);
  const scalar = (name: string) => g.input(name, 'float', []);
  const grad = mul(vector('gradient'), scalar('gradient_scale'));
  const first = add(scale(vector('first'), config.beta1), scale(grad, 1 - config.beta1));
  const second = add(scale(vector('second'), config.beta2), scale(square(grad), 1 - config.beta2));
  const denominator = shift(mul(sqrt(second), scalar('second_correction')), config.epsilon);
  const step = div(mul(first, scalar('step_size')), denominator);
  g.output('weights_next', sub(mul(vector('weights'), scalar('decay')), step));
  g.output('first_next', first);
  g.output('second_next', second);
  return encodeGraph(g);
}

function squaredNormGraph(): EncodedGraph {
  const g = new Graph();
  g.output('squared_norm', sum(square(g.input('gradient', 'float', ['N'])), [0]));
  return encodeGraph(g);
}

/** The factors of a step; `rate` is the group's learning rate. */
function factorsOf(
  { beta1, beta2, epsilon, weightDecay }: AdamWConfig,
  steps: number,
  rate: number,
  gradientScale: number,
): UpdateFactors {
  return {
    ...{ gradientScale, beta1, beta2, epsilon },
    secondCorrection: 1 / Math.sqrt(1 - beta2 ** steps),
    stepSize: rate / (1 - beta1 ** steps),
    decay: 1 - rate * weightDecay,
  };
}

/** The update as graphs, for devices that have the memory and the arithmetic. */
class Graphs implements AsyncDisposable {
  private readonly update: Session;
  private readonly norm: Session;

  private constructor(update: Session, norm: Session) {
    this.update = update;
    this.norm = norm;
  }

  static async create(config: AdamWConfig, options: SessionOptions): Promise<Graphs> {
    const update = await Session.create(updateGraph(config), options);
    return new Graphs(update, await Session.create(squaredNormGraph(), options));
  }

  async sumOfSquares(gradients: Float32Array): Promise<number> {
    const out = await this.norm.run({ gradient: flat(gradients) });
    return Number(out['squared_norm']?.data[0]);
  }

  /** In place: every operation is element-wise and reads an element before the same one is written. */
  async updateGroup(
    { weights, gradients }: ParameterGroup,
    moments: Moments,
    factors: UpdateFactors,
  ): Promise<void> {
    const [w, first, second] = [flat(weights), flat(moments.first), flat(moments.second)];
    this.update.bindOutput('weights_next', w);
    this.update.bindOutput('first_next', first);
    this.update.bindOutput('second_next', second);
    await this.update.run({
      weights: w,
      first,
      second,
      gradient: flat(gradients),
      gradient_scale: scalarF32(factors.gradientScale),
      decay: scalarF32(factors.decay),
      step_size: scalarF32(factors.stepSize),
      second_correction: scalarF32(factors.secondCorrection),
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.update[Symbol.asyncDispose]();
    await this.norm[Symbol.asyncDispose]();
  }
}

/** How an optimizer runs. */
export interface AdamWOptions extends SessionOptions {
  /** Default: on the CPU a kernel, elsewhere graphs. Both give the same weights for the same norm. */
  readonly implementation?: 'kernel' | 'graph';
}

/** AdamW whose weights and moments are updated in their own memory. */
export class AdamW implements AsyncDisposable {
  readonly config: AdamWConfig;
  readonly groups: readonly ParameterGroup[];
  readonly moments: readonly Moments[];
  /** Steps taken; part of the state to resume from. */
  steps = 0;
  /** Absent: the kernel is used. */
  private readonly graphs: Graphs | undefined;

  private constructor(
    config: AdamWConfig,
    groups: readonly ParameterGroup[],
    graphs: Graphs | undefined,
  ) {
    this.config = config;
    this.groups = groups;
    this.moments = groups.map(({ weights }) => ({
      first: new Float32Array(weights.length),
      second: new Float32Array(weights.length),
    }));
    this.graphs = graphs;
  }

  /** Sets up the update; moments start at zero. */
  static async create(
    config: AdamWConfig,
    groups: readonly ParameterGroup[],
    options: AdamWOptions = {},
  ): Promise<AdamW> {
    const { implementation, ...session } = options;
    const own = (session.device ?? 'cpu') === 'cpu' ? 'kernel' : 'graph';
    const isKernel = (implementation ?? own) === 'kernel';
    const graphs = isKernel ? undefined : await Graphs.create(config, session);
    return new AdamW(config, groups, graphs);
  }

  /** Global L2 norm of all gradients; infinite where the sum of their squares is no f32. */
  async gradientNorm(): Promise<number> {
    let total = 0;
    for (const { gradients } of this.groups) {
      if (gradients.length === 0) continue;
      total += this.graphs ? await this.graphs.sumOfSquares(gradients) : sumOfSquares(gradients);
    }
    return Math.sqrt(Math.fround(total));
  }

  /**
   * One step with a learning rate a group. `gradientNorm` is measured if it is not given and
   * needed for clipping. Returns the norm before clipping (NaN when neither was needed).
   */
  async step(learningRates: readonly number[], gradientNorm?: number): Promise<number> {
    const { clipNorm } = this.config;
    const norm = gradientNorm ?? (clipNorm < Infinity ? await this.gradientNorm() : Number.NaN);
    // The small constant is torch.nn.utils.clip_grad_norm_'s.
    const gradientScale = norm > clipNorm ? clipNorm / (norm + 1e-6) : 1;
    this.steps += 1;
    for (const [i, group] of this.groups.entries()) {
      const moments = this.moments[i];
      if (!moments || group.weights.length === 0) continue;
      const factors = factorsOf(this.config, this.steps, learningRates[i] ?? 0, gradientScale);
      if (this.graphs) await this.graphs.updateGroup(group, moments, factors);
      else updateAdamW(group.weights, moments.first, moments.second, group.gradients, factors);
    }
    return norm;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.graphs?.[Symbol.asyncDispose]();
  }
}
