// Owns a model with its latent head: what decoding and training need; store/ reads and writes it.
import type { Tensor } from '../engine/tensor.ts';
import { tensor } from '../engine/tensor.ts';
import type { ModelBundle } from '../model/bundle.ts';
import { Weights } from '../model/weights.ts';
import type { WeightSource } from '../model/weights.ts';
import type { LatentPositions } from '../processor/positions.ts';
import type { AfterSpan } from './after-span.ts';
import { BASIS_INPUTS } from './head.ts';
import type { HeadSpec } from './head.ts';
import type { PcaBasis } from './pca.ts';
import type { TeacherInputs, VariantName } from './variants.ts';

/** What a checkpoint's latents are, as stored beside it. */
export interface LatentSettings {
  readonly variant: VariantName;
  /** K it was trained with. */
  readonly numLatents: number;
  readonly teacherInputs: TeacherInputs;
  readonly positions: LatentPositions;
  readonly head: HeadSpec;
  /** What positions after a span were trained without; absent: nothing. */
  readonly afterSpan?: AfterSpan;
}

/** A head with its weights and its fixed tensors. */
export interface LatentHead {
  readonly spec: HeadSpec;
  readonly weights: Weights;
  readonly fixed: ReadonlyMap<string, Tensor>;
  readonly basis?: PcaBasis;
}

/** A model that can write latents; `settings` is absent for a base that never learned to. */
export interface GapModel<W extends WeightSource = WeightSource> {
  readonly bundle: ModelBundle<W>;
  readonly head: LatentHead;
  readonly settings?: LatentSettings;
}

/** Tensors of a basis under the names that graphs use. */
export function basisTensors(basis: PcaBasis): Map<string, Tensor> {
  return new Map<string, Tensor>([
    [BASIS_INPUTS.basis, tensor('f32', [basis.dim, basis.k], basis.basis_DK)],
    [BASIS_INPUTS.mean, tensor('f32', [basis.dim], basis.mean_D)],
  ]);
}

/** A head from its parts. */
export function makeHead(spec: HeadSpec, weights: Weights, basis?: PcaBasis): LatentHead {
  return {
    spec,
    weights,
    fixed: spec.kind === 'pca' && basis ? basisTensors(basis) : new Map(),
    ...(basis ? { basis } : {}),
  };
}

/** The head of a model without one: the state as it is. */
export function outputHead(): LatentHead {
  return { spec: { kind: 'output' }, weights: new Weights([]), fixed: new Map() };
}
