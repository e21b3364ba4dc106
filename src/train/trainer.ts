// Owns what a training run holds in memory: weights, gradients, compiled objectives, optimizer.
import { RuntimeError } from '../errors.ts';
import type { EncodedGraph } from '../engine/encode.ts';
import { Session } from '../engine/session.ts';
import type { SessionOptions } from '../engine/session.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { ParameterSpec } from '../model/parameters.ts';
import { Weights } from '../model/weights.ts';
import { AdamW } from './optimizer.ts';
import type { AdamWConfig } from './optimizer.ts';

/** Feeds of one batch and the name of the objective they are for. */
export interface BatchFeeds {
  readonly objective: string;
  readonly feeds: Readonly<Record<string, Tensor>>;
}

/** What one step reports; losses are before the update. */
export interface StepResult {
  readonly loss: number;
  /** Absent where only the head is trained: no logits are computed then. */
  readonly languageLoss?: number;
  /** Absent for batches without latents. */
  readonly latentLoss?: number;
  /** Global gradient norm before clipping. */
  readonly gradientNorm: number;
}

/** How a trainer is set up. */
export interface TrainerOptions extends SessionOptions {
  /** Encoded training graphs by name. */
  readonly objectives: ReadonlyMap<string, () => EncodedGraph>;
  /** Tensors that are fed to every run and never trained (a PCA basis). */
  readonly fixed?: ReadonlyMap<string, Tensor>;
  /** Groups of trained parameters, each side by side in the weights; one learning rate each. */
  readonly groups: readonly (readonly ParameterSpec[])[];
  readonly adamw: AdamWConfig;
}

/** Losses of an objective, those that it has. */
const LOSSES: readonly string[] = ['loss', 'language_loss', 'latent_loss'];

/** A compiled objective and what a step reads of it: losses, and gradients in the trainer's memory. */
interface Compiled {
  readonly session: Session;
  readonly losses: ReadonlyMap<string, Tensor>;
  readonly written: readonly string[];
}

/** Runs training steps; weights change in place. Dispose it. */
export class Trainer implements AsyncDisposable {
  readonly weights: Weights;
  readonly optimizer: AdamW;
  private readonly options: TrainerOptions;
  private readonly gradients: Weights;
  private readonly compiled = new Map<string, Compiled>();

  private constructor(
    weights: Weights,
    gradients: Weights,
    optimizer: AdamW,
    options: TrainerOptions,
  ) {
    this.weights = weights;
    this.gradients = gradients;
    this.optimizer = optimizer;
    this.options = options;
  }

  /** Sets up the optimizer; objectives are compiled when they are first needed. */
  static async create(weights: Weights, options: TrainerOptions): Promise<Trainer> {
    const gradients = new Weights(options.groups.flat());
    const groups = options.groups.map((specs) => ({
      weights: weights.range(specs),
      gradients: gradients.range(specs),
    }));
    return new Trainer(
      weights,
      gradients,
      await AdamW.create(options.adamw, groups, options),
      options,
    );
  }

  private async compile(objective: string): Promise<Compiled> {
    const known = this.compiled.get(objective);
    if (known) return known;
    const encode = this.options.objectives.get(objective);
    if (!encode) throw new RuntimeError({ what: `no objective is called ${objective}` });
    const session = await Session.create(encode(), { memoryPattern: false, ...this.options });
    for (const name of session.inputNames) {
      const value = this.weights.byName.get(name) ?? this.options.fixed?.get(name);
      if (value) session.bindInput(name, value);
    }
    const losses = new Map<string, Tensor>();
    const written: string[] = [];
    for (const name of session.outputNames) {
      if (LOSSES.includes(name)) losses.set(name, tensor('f32', [], Float32Array.of(NaN)));
      else if (!name.startsWith('gradient.')) continue;
      const gradient = (): Tensor => this.gradients.get(name.slice('gradient.'.length));
      session.bindOutput(name, losses.get(name) ?? gradient());
      written.push(name);
    }
    const compiled = { session, losses, written };
    this.compiled.set(objective, compiled);
    return compiled;
  }

  /** Losses and other outputs of a batch, without touching the weights. */
  async evaluate(batch: BatchFeeds, wanted?: readonly string[]): Promise<Record<string, Tensor>> {
    const { session, losses } = await this.compile(batch.objective);
    const outputs = wanted ?? session.outputNames.filter((name) => !name.startsWith('gradient.'));
    const results = await session.run(batch.feeds, outputs);
    for (const [name, { dims, data }] of losses)
      if (results[name]) results[name] = tensor('f32', dims, (data as Float32Array).slice());
    return results;
  }

  /** One optimizer step. A loss or gradient that is no number stops before anything is changed. */
  async step(batch: BatchFeeds, learningRates: readonly number[]): Promise<StepResult> {
    const { session, losses, written } = await this.compile(batch.objective);
    const isWritten = new Set(written);
    for (const { name } of this.gradients.specs) {
      if (!isWritten.has(`gradient.${name}`)) this.gradients.get(name).data.fill(0);
    }
    await session.runBound(batch.feeds, written);
    const lossOf = (name: string): number => Number(losses.get(name)?.data[0]);
    const loss = lossOf('loss');
    const gradientNorm = await this.optimizer.gradientNorm();
    if (!Number.isFinite(loss) || !Number.isFinite(gradientNorm)) {
      throw new RuntimeError({
        what: `training diverged at step ${this.optimizer.steps + 1}`,
        got: `loss ${loss}, gradient norm ${gradientNorm}`,
        expected: 'finite numbers',
        fix: 'lower the learning rate; the last saved state is untouched',
      });
    }
    await this.optimizer.step(learningRates, gradientNorm);
    return {
      loss,
      ...(losses.has('language_loss') ? { languageLoss: lossOf('language_loss') } : {}),
      ...(losses.has('latent_loss') ? { latentLoss: lossOf('latent_loss') } : {}),
      gradientNorm,
    };
  }

  /** Everything a resumed run needs: weights, both moments, steps taken. */
  state(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    state.set('weights', tensor('f32', [this.weights.flat.length], this.weights.flat));
    this.optimizer.moments.forEach(({ first, second }, i) => {
      state.set(`first.${i}`, tensor('f32', [first.length], first));
      state.set(`second.${i}`, tensor('f32', [second.length], second));
    });
    state.set('steps', tensor('i32', [1], Int32Array.of(this.optimizer.steps)));
    return state;
  }

  /** Continues from a state; the shapes must be those of this run. */
  restore(state: ReadonlyMap<string, Tensor>, where: string): void {
    const copy = (name: string, target: Float32Array): void => {
      const found = state.get(name);
      if (found?.data.length !== target.length) {
        throw new RuntimeError({
          what: `${where} belongs to another run: ${name} has a wrong size`,
          got: `${found?.data.length ?? 0} numbers`,
          expected: String(target.length),
          fix: 'use another output folder, or the settings the run was started with',
        });
      }
      target.set(found.data as Float32Array);
    };
    copy('weights', this.weights.flat);
    this.optimizer.moments.forEach(({ first, second }, i) => {
      copy(`first.${i}`, first);
      copy(`second.${i}`, second);
    });
    this.optimizer.steps = Number(state.get('steps')?.data[0] ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { session } of this.compiled.values()) await session[Symbol.asyncDispose]();
    await this.optimizer[Symbol.asyncDispose]();
  }
}
