// Owns typed run recipes: what a run is made of, JSON-printable, with the defaults of small scale.

/** AdamW and schedule settings of a run. */
export interface OptimizerRecipe {
  readonly learningRate: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest global gradient norm. */
  readonly clipNorm: number;
  /** Warm-up steps as a share of all steps. */
  readonly warmupRatio: number;
}

/** How the tiny base is pretrained. */
export interface PretrainRecipe {
  readonly seed: number;
  readonly steps: number;
  readonly batchSize: number;
  /** Shares of easy questions with caption, hard pictures with caption, auxiliary pictures. */
  readonly mixture: { readonly easy: number; readonly hard: number; readonly auxiliary: number };
  readonly optimizer: OptimizerRecipe;
}

/**
 * Pretraining of the embedded base. ours, from the pilot (small-scale): dense captions make the
 * picture embeddings good, which is what latent targets live on.
 */
export const PRETRAIN_DEFAULTS: PretrainRecipe = {
  seed: 12345,
  steps: 2200,
  batchSize: 32,
  mixture: { easy: 0.3, hard: 0.4, auxiliary: 0.3 },
  optimizer: {
    learningRate: 1.5e-3,
    beta1: 0.9,
    beta2: 0.98,
    epsilon: 1e-8,
    weightDecay: 0.01,
    clipNorm: 1,
    warmupRatio: 0.03,
  },
};
