// Owns the control bases of the study, same size as a PCA basis but without what it knows.
// Axes: D hidden, K components.
import { ConfigError } from '../errors.ts';
import type { Rng } from '../rng.ts';
import { projectOntoPlane, type PcaBasis } from './pca.ts';

/**
 * Random orthonormal directions, uniform over all planes of K dimensions, through the data mean.
 * Source: GAP appendix B and D name it as a missing control.
 */
export function randomBasis(basis: PcaBasis, rng: Rng): PcaBasis {
  const { dim, k } = expectPca(basis);
  const basis_DK = new Float32Array(dim * k);
  const rows_KD: Float64Array[] = [];
  for (let i = 0; i < k; i++) {
    const row_D = Float64Array.from({ length: dim }, () => rng.normal());
    // One pass is enough: random rows are far from parallel, so f64 loses nothing that f32 keeps.
    for (const earlier_D of rows_KD) subtractAlong(row_D, earlier_D);
    const norm = Math.sqrt(dot(row_D, row_D));
    rows_KD.push(row_D.map((value) => value / norm));
  }
  rows_KD.forEach((row_D, i) => row_D.forEach((value, d) => (basis_DK[d * k + i] = value)));
  return { ...basis, kind: 'random', basis_DK, explained: k / dim };
}

/**
 * The same directions through the origin instead of the data mean.
 * Source: GAP appendix B and D name it as a missing control.
 */
export function noMeanBasis(basis: PcaBasis): PcaBasis {
  expectPca(basis);
  const centred: PcaBasis = { ...basis, kind: 'no-mean', mean_D: new Float32Array(basis.dim) };
  const onPlane_D = projectOntoPlane(centred, basis.mean_D);
  const lost = basis.mean_D.reduce((sum, mean, d) => sum + (mean - (onPlane_D[d] ?? 0)) ** 2, 0);
  return { ...centred, explained: basis.explained - lost / basis.totalVariance };
}

function expectPca(basis: PcaBasis): PcaBasis {
  if (basis.kind === 'pca') return basis;
  throw new ConfigError({
    what: 'A control basis is made from a PCA basis',
    got: basis.kind,
    expected: 'pca',
    fix: 'name the basis that `gapvl pca fit` wrote',
  });
}

function dot(left_D: Float64Array, right_D: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < left_D.length; d++) sum += (left_D[d] ?? 0) * (right_D[d] ?? 0);
  return sum;
}

function subtractAlong(row_D: Float64Array, unit_D: Float64Array): void {
  const length = dot(row_D, unit_D);
  for (let d = 0; d < row_D.length; d++) row_D[d] = (row_D[d] ?? 0) - length * (unit_D[d] ?? 0);
}
