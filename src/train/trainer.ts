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

function scalar(results: Readonly<Record<string, Tensor>>, name: string): number {
  return Number(results[name]?.data[0]);
}

/** Runs training steps; weights change in place. Dispose it. */
export class Trainer implements AsyncDisposable {
  readonly weights: Weights;
  readonly optimizer: AdamW;
  private readonly options: TrainerOptions;
  private readonly gradients: Weights;
  private readonly sessions = new Map<string, Session>();

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

  private async session(objective: string): Promise<Session> {
    const known = this.sessions.get(objective);
    if (known) return known;
    const encode = this.options.objectives.get(objective);
    if (!encode) throw new RuntimeError({ what: `no objective is called ${objective}` });
    const session = await Session.create(encode(), this.options);
    for (const name of session.inputNames) {
      const value = this.weights.byName.get(name) ?? this.options.fixed?.get(name);
      if (value) session.bindInput(name, value);
    }
    for (const name of session.outputNames) {
      if (!name.startsWith('gradient.')) continue;
      session.bindOutput(name, this.gradients.get(name.slice('gradient.'.length)));
    }
    this.sessions.set(objective, session);
    return session;
  }

  /** Losses and other outputs of a batch, without touching the weights. */
  async evaluate(batch: BatchFeeds, wanted?: readonly string[]): Promise<Record<string, Tensor>> {
    const session = await this.session(batch.objective);
    const outputs = wanted ?? session.outputNames.filter((name) => !name.startsWith('gradient.'));
    return session.run(batch.feeds, outputs);
  }

  /** One optimizer step. A loss or gradient that is no number stops before anything is changed. */
  async step(batch: BatchFeeds, learningRates: readonly number[]): Promise<StepResult> {
    const session = await this.session(batch.objective);
    const bound = new Set(session.outputNames);
    for (const { name } of this.gradients.specs) {
      if (!bound.has(`gradient.${name}`)) this.gradients.get(name).data.fill(0);
    }
    const results = await session.run(batch.feeds);
    const loss = scalar(results, 'loss');
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
      ...(results['language_loss'] ? { languageLoss: scalar(results, 'language_loss') } : {}),
      ...(results['latent_loss'] ? { latentLoss: scalar(results, 'latent_loss') } : {}),
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
    for (const session of this.sessions.values()) await session[Symbol.asyncDispose]();
    await this.optimizer[Symbol.asyncDispose]();
  }
}
