// Owns the running of layers one after the other, forward and back; by-layer.ts says which layers.
import { ShapeError } from '../errors.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { hasDType } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { GRADIENT, STATE, encodeBackward, encodeForward } from './layer-graphs.ts';
import type { Stage } from './layer-graphs.ts';
import type { LayerWeights } from './layer-weights.ts';
import type { ParameterSpec } from './parameters.ts';

/** Tensors by the names a graph gives its inputs or outputs. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

/** How layers are run. */
export interface LayerRunOptions extends SessionOptions {
  /**
   * Gets the gradient of the loss by each parameter as soon as it is known, from the top of the
   * model down; the next layer waits for it. The tensor is the callee's to keep.
   */
  readonly gradients?: (name: string, gradient: Tensor<'f32'>) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** One layer: the stage it is an instance of and its own parameters, in the stage's order. */
export interface Layer {
  readonly stage: Stage;
  readonly specs: readonly ParameterSpec[];
}

/** A result that has to be there and f32. */
export function f32(found: Tensor | undefined, name: string): Tensor<'f32'> {
  if (found && hasDType(found, 'f32')) return found;
  throw new ShapeError({ what: `a layer gave no ${name}`, got: found?.dtype ?? 'nothing' });
}

/** One batch over weights on the disk; memory: one layer's weights and the states between layers. */
export class LayerRun {
  readonly weights: LayerWeights;
  readonly feeds: NamedTensors;
  readonly options: LayerRunOptions;

  constructor(weights: LayerWeights, feeds: NamedTensors, options: LayerRunOptions) {
    this.weights = weights;
    this.feeds = feeds;
    this.options = options;
  }

  /** Runs a graph on its share of the batch's feeds and on what is given. */
  async run(session: Session, given: NamedTensors): Promise<Record<string, Tensor>> {
    this.options.signal?.throwIfAborted();
    const names = session.inputNames.filter((name) => name in this.feeds && !(name in given));
    const own = Object.fromEntries(names.map((name) => [name, this.feeds[name] as Tensor]));
    return session.run({ ...own, ...given });
  }

  /** Compiles a graph, runs it once over the given parameters, frees it. */
  async once(
    model: EncodedGraph,
    specs: readonly ParameterSpec[],
    given: NamedTensors,
  ): Promise<Record<string, Tensor>> {
    await using session = await Session.create(model, this.options);
    return await this.run(session, { ...given, ...(await this.weights.read(specs)) });
  }

  /** States at the borders of layers: the one given, then the one after each layer. */
  async forward(layers: readonly Layer[], first?: Tensor<'f32'>): Promise<Tensor<'f32'>[]> {
    await using sessions = new StageSessions(encodeForward, this.options);
    const states = first ? [first] : [];
    for (const { stage, specs } of layers) {
      const before = states.at(-1);
      const results = await this.run(await sessions.get(stage), {
        ...(before ? { [STATE.before]: before } : {}),
        ...(await this.weights.read(specs, stage.specs)),
      });
      states.push(f32(results[STATE.after], STATE.after));
    }
    return states;
  }

  /**
   * Takes the gradient after the last layer to the one before the first, handing out parameter
   * gradients. `before[i]` is the state before layer i; absent for a layer that reads pixels only.
   */
  async backward(
    layers: readonly Layer[],
    before: readonly (Tensor<'f32'> | undefined)[],
    gradient: Tensor<'f32'>,
  ): Promise<Tensor<'f32'>> {
    await using sessions = new StageSessions(encodeBackward, this.options);
    let after = gradient;
    for (let i = layers.length - 1; i >= 0; i--) {
      const { stage, specs } = layers[i] as Layer;
      const state = before[i];
      const results = await this.run(await sessions.get(stage), {
        ...(state ? { [STATE.before]: state } : {}),
        [GRADIENT.after]: after,
        ...(await this.weights.read(specs, stage.specs)),
      });
      await this.handOut(specs, results, stage.specs);
      if (state) after = f32(results[GRADIENT.before], GRADIENT.before);
    }
    return after;
  }

  /** Gives gradients to the caller under the parameters' own names. */
  async handOut(
    specs: readonly ParameterSpec[],
    results: NamedTensors,
    as: readonly ParameterSpec[] = specs,
  ): Promise<void> {
    for (const [i, { name }] of specs.entries()) {
      const key = `gradient.${as[i]?.name ?? name}`;
      await this.options.gradients?.(name, f32(results[key], key));
    }
  }
}

/** One compiled graph a stage, made on first use, all freed together. */
class StageSessions implements AsyncDisposable {
  private readonly encode: (stage: Stage) => EncodedGraph;
  private readonly options: SessionOptions;
  private readonly sessions = new Map<Stage, Session>();

  constructor(encode: (stage: Stage) => EncodedGraph, options: SessionOptions) {
    this.encode = encode;
    this.options = options;
  }

  async get(stage: Stage): Promise<Session> {
    const known = this.sessions.get(stage);
    if (known) return known;
    const session = await Session.create(this.encode(stage), this.options);
    this.sessions.set(stage, session);
    return session;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const session of this.sessions.values()) await session[Symbol.asyncDispose]();
  }
}
