// Owns how a basis is laid out in a safetensors file, without touching one; CLI and training use it.
// Axes: D hidden, K components.
import type { TensorFile } from '../engine/safetensors.ts';
import { hasDType, showDims, tensor, type Tensor } from '../engine/tensor.ts';
import { CheckpointError } from '../errors.ts';
import { BASIS_INPUTS } from './head.ts';
import type { BasisKind, PcaBasis } from './pca.ts';

/** Tensor names of a basis file; mean and components as the head's graph calls them. */
export const BASIS_TENSORS = { ...BASIS_INPUTS, eigenvalues: 'latent_basis.eigenvalues' } as const;

/** Marks the file; the number changes with the layout. */
const FORMAT = 'gapvl.basis.1';
const KINDS: readonly BasisKind[] = ['pca', 'random', 'no-mean'];
const FIX = 'fit the basis again with `gapvl pca fit`';
/** How far the squared norm of a column of f32 numbers may be from 1. */
const NORM_TOLERANCE = 1e-4; // ours

/** A basis with where it comes from: recipe, seed, data hash, versions, as text by name. */
export interface StoredBasis {
  readonly basis: PcaBasis;
  readonly provenance: ReadonlyMap<string, string>;
}

/** Tensors and metadata of a basis, for writeSafetensors. Nothing is lost on the way. */
export function encodeBasis(
  basis: PcaBasis,
  provenance: ReadonlyMap<string, string> = new Map(),
): TensorFile {
  const { dim, k } = basis;
  const metadata = new Map([
    ['format', FORMAT],
    ['kind', basis.kind],
    ['count', String(basis.count)],
    ['total_variance', String(basis.totalVariance)],
    ['explained', String(basis.explained)],
    ['provenance', JSON.stringify(Object.fromEntries(provenance))],
  ]);
  const tensors = new Map<string, Tensor>([
    [BASIS_TENSORS.basis, tensor('f32', [dim, k], basis.basis_DK)],
    [BASIS_TENSORS.mean, tensor('f32', [dim], basis.mean_D)],
    [BASIS_TENSORS.eigenvalues, tensor('f64', [dim], basis.eigenvalues)],
  ]);
  return { tensors, metadata };
}

/**
 * The basis in the contents of a file.
 * @param place - how messages call the file.
 * @throws CheckpointError when it is not a basis, or damaged.
 */
export function decodeBasis(file: TensorFile, place: string): StoredBasis {
  const text = (key: string): string => {
    const value = file.metadata.get(key);
    if (value !== undefined) return value;
    throw new CheckpointError({ what: `${place} has no metadata ${key}`, fix: FIX });
  };
  if (text('format') !== FORMAT) {
    throw new CheckpointError({
      what: `${place} is not a basis this version reads`,
      got: text('format'),
      expected: FORMAT,
      fix: FIX,
    });
  }
  const number = (key: string): number => {
    const value = Number(text(key));
    if (text(key) !== '' && Number.isFinite(value)) return value;
    throw new CheckpointError({
      what: `Metadata ${key} of ${place} is not a number`,
      got: text(key),
      fix: FIX,
    });
  };
  const kind = KINDS.find((each) => each === text('kind'));
  if (kind === undefined) {
    throw new CheckpointError({
      what: `${place} is a basis of unknown kind`,
      got: text('kind'),
      expected: KINDS.join(', '),
      fix: FIX,
    });
  }
  const components = find(file, BASIS_TENSORS.basis, 'f32', 2, place);
  const [dim = 0, k = 0] = components.dims;
  const mean = find(file, BASIS_TENSORS.mean, 'f32', 1, place);
  const eigenvalues = find(file, BASIS_TENSORS.eigenvalues, 'f64', 1, place);
  if (k < 1 || k > dim || mean.data.length !== dim || eigenvalues.data.length !== dim) {
    throw new CheckpointError({
      what: `Tensors of the basis ${place} do not fit each other`,
      got: [components, mean, eigenvalues].map(({ dims }) => showDims(dims)).join(', '),
      expected: '[D, K], [D], [D] with 1 <= K <= D',
      fix: FIX,
    });
  }
  const basis: PcaBasis = {
    kind,
    dim,
    k,
    mean_D: mean.data,
    basis_DK: components.data,
    eigenvalues: eigenvalues.data,
    totalVariance: number('total_variance'),
    explained: number('explained'),
    count: number('count'),
  };
  checkNumbers(basis, place);
  return { basis, provenance: parseProvenance(text('provenance'), place) };
}

/**
 * Makes sure that a basis belongs to a model of this width.
 * @throws CheckpointError with both widths.
 */
export function expectBasisWidth(basis: PcaBasis, hiddenSize: number, place: string): void {
  if (basis.dim === hiddenSize) return;
  throw new CheckpointError({
    what: `${place} is the basis of another model`,
    got: `width ${basis.dim}`,
    expected: `width ${hiddenSize}, the hidden size of the model`,
    fix: 'fit a basis with this model: `gapvl pca fit`',
  });
}

function find<D extends 'f32' | 'f64'>(
  file: TensorFile,
  name: string,
  dtype: D,
  numAxes: number,
  place: string,
): Tensor<D> {
  const t = file.tensors.get(name);
  if (t !== undefined && hasDType(t, dtype) && t.dims.length === numAxes) return t;
  throw new CheckpointError({
    what: `${place} has no usable tensor ${name}`,
    got: t === undefined ? 'nothing' : `${t.dtype} ${showDims(t.dims)}`,
    expected: `${dtype} with ${numAxes} axes`,
    fix: FIX,
  });
}

/** Catches files that were damaged or written by something else: NaN, columns of wrong length. */
function checkNumbers(basis: PcaBasis, place: string): void {
  const squares_K = new Float64Array(basis.k);
  basis.basis_DK.forEach((value, at) => {
    squares_K[at % basis.k] = (squares_K[at % basis.k] ?? 0) + value * value;
  });
  const badColumn = squares_K.findIndex((square) => !(Math.abs(square - 1) <= NORM_TOLERANCE));
  const isFinite = (value: number): boolean => Number.isFinite(value);
  if (badColumn < 0 && basis.mean_D.every(isFinite) && basis.eigenvalues.every(isFinite)) return;
  throw new CheckpointError({
    what: `The basis ${place} is damaged`,
    got: badColumn < 0 ? 'a number that is not finite' : `column ${badColumn} not of length 1`,
    expected: 'finite numbers and orthonormal columns',
    fix: FIX,
  });
}

function parseProvenance(json: string, place: string): ReadonlyMap<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new CheckpointError({ what: `Provenance of ${place} is not JSON`, fix: FIX }, error);
  }
  const pairs: [string, unknown][] =
    typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return new Map(pairs.map(([key, text]) => [key, String(text)]));
}
