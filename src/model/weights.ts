// Owns a model's weights in memory: named tensors that are views of one flat array.

import { CheckpointError } from '../errors.ts';
import type { Rng } from '../rng.ts';
import type { Packing } from '../engine/ops/packed.ts';
import type { Constant } from '../engine/stored.ts';
import { numElements, showDims, tensor, toFloat32 } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { ParameterSpec } from './parameters.ts';

/** Weights as graphs for inference take them: in memory or in files, plain or packed. */
export interface WeightSource {
  /** By the names that graphs declare; of a packed matrix its codes, scales and zeros. */
  readonly constants: ReadonlyMap<string, Constant>;
  /** By the name of the matrix. */
  readonly packings: ReadonlyMap<string, Packing>;
}

const NO_PACKINGS: ReadonlyMap<string, Packing> = new Map();

/**
 * Parameters laid out one after the other in a single f32 array, in the order of the specs, so
 * that an optimizer runs over everything at once and a graph reads each by name without a copy.
 */
export class Weights implements WeightSource {
  readonly packings = NO_PACKINGS;
  readonly specs: readonly ParameterSpec[];
  readonly flat: Float32Array;
  readonly byName: ReadonlyMap<string, Tensor<'f32'>>;

  /** @param flat - existing memory of the right size; default: zeros. */
  constructor(specs: readonly ParameterSpec[], flat?: Float32Array) {
    const total = specs.reduce((sum, spec) => sum + numElements(spec.dims), 0);
    this.specs = specs;
    this.flat = flat ?? new Float32Array(total);
    const byName = new Map<string, Tensor<'f32'>>();
    let start = 0;
    for (const { name, dims } of specs) {
      const end = start + numElements(dims);
      byName.set(name, tensor('f32', dims, this.flat.subarray(start, end)));
      start = end;
    }
    this.byName = byName;
  }

  /** The same tensors, as a graph for inference takes them. */
  get constants(): ReadonlyMap<string, Constant> {
    return this.byName;
  }

  /** A parameter that is known to exist. */
  get(name: string): Tensor<'f32'> {
    const found = this.byName.get(name);
    if (!found) throw new RangeError(`no parameter is called ${name}`);
    return found;
  }

  /** The stretch of the flat array that holds the given parameters, which must lie side by side. */
  range(specs: readonly ParameterSpec[]): Float32Array {
    const [first, last] = [specs[0], specs.at(-1)];
    if (!first || !last) return new Float32Array(0);
    const base = this.flat.byteOffset;
    const begin = (this.get(first.name).data.byteOffset - base) / this.flat.BYTES_PER_ELEMENT;
    const end = specs.reduce((sum, spec) => sum + numElements(spec.dims), begin);
    const lastData = this.get(last.name).data;
    if ((lastData.byteOffset - base) / this.flat.BYTES_PER_ELEMENT + lastData.length !== end) {
      throw new RangeError(`parameters ${first.name} to ${last.name} do not lie side by side`);
    }
    return this.flat.subarray(begin, end);
  }

  /** A deep copy. */
  clone(): Weights {
    return new Weights(this.specs, this.flat.slice());
  }
}

/** Standard deviation of initial weights. Source: Qwen2.5-VL's initializer_range. */
const INITIAL_STD = 0.02;

/** Random initial weights: norms 1, biases 0, everything else normal with standard deviation 0.02. */
export function initialWeights(specs: readonly ParameterSpec[], rng: Rng): Weights {
  const weights = new Weights(specs);
  for (const { name, dims } of specs) {
    const { data } = weights.get(name);
    if (/norm|ln_q/.test(name)) data.fill(1);
    else if (dims.length > 1)
      for (let i = 0; i < data.length; i++) data[i] = rng.normal() * INITIAL_STD;
  }
  return weights;
}

/** What is missing or misshapen among the tensors of a checkpoint, in words. */
export function parameterFaults(
  specs: readonly ParameterSpec[],
  found: ReadonlyMap<string, { readonly dims: readonly number[] }>,
): string[] {
  return specs.flatMap(({ name, dims }) => {
    const own = found.get(name);
    if (!own) return [`${name} is missing`];
    const fits = showDims(own.dims) === showDims(dims);
    return fits ? [] : [`${name} is ${showDims(own.dims)}, expected ${showDims(dims)}`];
  });
}

/**
 * Checks that a checkpoint has every parameter with its shape; nothing is read for it.
 * @param where - how the message calls the checkpoint.
 * @throws CheckpointError that lists what is missing or misshapen.
 */
export function expectParameters(
  specs: readonly ParameterSpec[],
  found: ReadonlyMap<string, { readonly dims: readonly number[] }>,
  where: string,
): void {
  const faults = parameterFaults(specs, found);
  if (faults.length === 0) return;
  throw new CheckpointError({
    what: `the weights in ${where} do not fit its config.json`,
    got:
      faults.slice(0, 8).join('; ') + (faults.length > 8 ? `; and ${faults.length - 8} more` : ''),
    fix: 'get the checkpoint again, or check that config.json and weights belong together',
  });
}

/** Copies tensors of any floating type into weights; every parameter must be there with its shape. */
export function fillWeights(
  specs: readonly ParameterSpec[],
  tensors: ReadonlyMap<string, Tensor>,
  where: string,
): Weights {
  expectParameters(specs, tensors, where);
  const weights = new Weights(specs);
  for (const [name, { data }] of weights.byName) {
    const found = tensors.get(name);
    if (found) data.set(toFloat32(found));
  }
  return weights;
}
