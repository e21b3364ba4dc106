// Checks the eigensolver against Jacobi rotations and the definition.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RuntimeError, ShapeError } from '../../../src/errors.ts';
import { symmetricEigen } from '../../../src/latent/eigen.ts';
import { packedLength } from '../../../src/latent/tridiagonal.ts';
import { Rng } from '../../../src/rng.ts';
import { jacobi, planeAngle } from '../../helpers/jacobi.ts';

function pack(matrix: readonly (readonly number[])[]): Float64Array {
  return Float64Array.from(matrix.flatMap((row, i) => row.slice(0, i + 1)));
}

function randomSymmetric(dim: number, rng: Rng): number[][] {
  const matrix = Array.from({ length: dim }, () => new Array<number>(dim).fill(0));
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      const value = rng.normal();
      for (const [row, column] of [
        [i, j],
        [j, i],
      ] as const) {
        const target = matrix[row];
        if (target) target[column] = value;
      }
    }
  }
  return matrix;
}

/** Largest entry of A v - lambda v and of V V^T - 1, relative to the largest eigenvalue. */
async function worstError(
  matrix: readonly (readonly number[])[],
  count = matrix.length,
): Promise<number> {
  const dim = matrix.length;
  const eigen = await symmetricEigen(pack(matrix), dim);
  const flat = await eigen.vectors(count);
  const vectors = Array.from({ length: count }, (_, k) => flat.subarray(k * dim, (k + 1) * dim));
  const scale = Math.max(...eigen.eigenvalues.map(Math.abs)) || 1;
  let worst = 0;
  vectors.forEach((vector, k) => {
    for (const row of matrix) {
      const product = row.reduce((sum, value, d) => sum + value * (vector[d] ?? 0), 0);
      const expected = (eigen.eigenvalues[k] ?? 0) * (vector[matrix.indexOf(row)] ?? 0);
      worst = Math.max(worst, Math.abs(product - expected) / scale);
    }
    vectors.forEach((other, j) => {
      const dot = vector.reduce((sum, value, d) => sum + value * (other[d] ?? 0), 0);
      worst = Math.max(worst, Math.abs(dot - (j === k ? 1 : 0)));
    });
  });
  return worst;
}

describe('symmetricEigen', () => {
  it('agrees with Jacobi rotations on random matrices of any size', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 24 }), fc.integer(), async (dim, seed) => {
        const matrix = randomSymmetric(dim, new Rng(seed));
        const expected = jacobi(matrix);
        const eigen = await symmetricEigen(pack(matrix), dim);
        const scale = Math.max(...expected.values.map(Math.abs));
        eigen.eigenvalues.forEach((value, i) => {
          expect(Math.abs(value - (expected.values[i] ?? NaN))).toBeLessThan(1e-12 * scale);
        });
        expect(await worstError(matrix)).toBeLessThan(1e-12);
      }),
      { numRuns: 60, seed: 3 },
    );
  });

  it('is exact for matrices whose vectors are known', async () => {
    // Source: the path graph's second difference has eigenvalues 2 - 2 cos(pi k / (n + 1)).
    const n = 30;
    const matrix = Array.from({ length: n }, (_, i) =>
      Array.from({ length: n }, (__, j) => (i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0)),
    );
    const { eigenvalues } = await symmetricEigen(pack(matrix), n);
    eigenvalues.forEach((value, i) => {
      expect(value).toBeCloseTo(2 - 2 * Math.cos((Math.PI * (n - i)) / (n + 1)), 13);
    });
  });

  it('handles matrices that are zero, diagonal, repeated, of rank one, or of one row', async () => {
    const diagonal = (values: number[]): number[][] =>
      values.map((value, i) => values.map((_, j) => (i === j ? value : 0)));
    const ones = Array.from({ length: 9 }, () => new Array<number>(9).fill(1));
    const block = diagonal([3, 3, 3, 3, 0, 0]);
    for (const matrix of [diagonal([0, 0, 0]), diagonal([1, 5, -2, 5]), ones, block, [[-4]]]) {
      expect(await worstError(matrix)).toBeLessThan(1e-14);
    }
    const { eigenvalues } = await symmetricEigen(pack(ones), 9);
    expect(eigenvalues[0]).toBeCloseTo(9, 13);
    expect(Math.max(...eigenvalues.slice(1).map(Math.abs))).toBeLessThan(1e-14);
  });

  it('keeps vectors orthonormal when many eigenvalues are equal or nearly so', async () => {
    const dim = 80;
    const rng = new Rng('clusters');
    const { vectors } = jacobi(randomSymmetric(dim, rng));
    const values = vectors.map((_, i) => (i < 30 ? 2 : i < 60 ? 1 + 1e-14 * i : 1e-9));
    const matrix = vectors.map((_, i) =>
      vectors.map((__, j) =>
        vectors.reduce((sum, v, k) => sum + (values[k] ?? 0) * (v[i] ?? 0) * (v[j] ?? 0), 0),
      ),
    );
    expect(await worstError(matrix)).toBeLessThan(1e-13);
    expect(await worstError(matrix, 30)).toBeLessThan(1e-13);
  });

  it('loses nothing when a row is all but a multiple of the last unit vector', async () => {
    // A reflection with the wrong sign would cancel all digits here.
    for (const small of [1e-3, 1e-8, 1e-12]) {
      const rest = randomSymmetric(12, new Rng('small'));
      const matrix = rest.map((row, i) =>
        row.map((value, j) => small * value + (Math.abs(i - j) === 1 ? 1 : 0)),
      );
      expect(await worstError(matrix)).toBeLessThan(1e-14);
    }
  });

  it('does not depend on the scale, up to the ends of the number range', async () => {
    const matrix = randomSymmetric(12, new Rng(4));
    const plain = await symmetricEigen(pack(matrix), 12);
    for (const factor of [2 ** -900, 2 ** 900]) {
      const scaled = matrix.map((row) => row.map((value) => value * factor));
      const { eigenvalues } = await symmetricEigen(pack(scaled), 12);
      eigenvalues.forEach((value, i) => {
        expect(value / factor / (plain.eigenvalues[i] ?? NaN)).toBeCloseTo(1, 12);
      });
    }
  });

  it('gives the same top vectors alone as among all, with the sign fixed', async () => {
    const dim = 100;
    const matrix = randomSymmetric(dim, new Rng(5));
    const eigen = await symmetricEigen(pack(matrix), dim);
    const all = await eigen.vectors(dim);
    const some = await eigen.vectors(70);
    expect(some).toEqual(all.subarray(0, 70 * dim));
    expect((await eigen.vectors(0)).length).toBe(0);
    for (let k = 0; k < dim; k++) {
      const vector = all.subarray(k * dim, (k + 1) * dim);
      const peak = vector.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0);
      expect(peak).toBeGreaterThan(0);
    }
    const expected = jacobi(matrix).vectors.slice(0, 70);
    const rows = Array.from({ length: 70 }, (_, k) => some.subarray(k * dim, (k + 1) * dim));
    expect(planeAngle(rows, expected)).toBeLessThan(1e-11);
  });

  it('refuses wrong lengths and numbers that are not finite', async () => {
    await expect(symmetricEigen(new Float64Array(5), 3)).rejects.toThrow(ShapeError);
    await expect(symmetricEigen(new Float64Array(0), 0)).rejects.toThrow(ShapeError);
    for (const bad of [NaN, Infinity]) {
      const lower = Float64Array.of(1, bad, 1);
      await expect(symmetricEigen(lower, 2)).rejects.toThrow(RuntimeError);
    }
    const eigen = await symmetricEigen(Float64Array.of(1), 1);
    await expect(eigen.vectors(2)).rejects.toThrow(ShapeError);
  });

  it('stops at the abort signal and tells its progress', async () => {
    const dim = 700;
    const lower = new Float64Array(packedLength(dim)).map((_, i) => Math.sin(i));
    const controller = new AbortController();
    const fractions: number[] = [];
    const watch = {
      signal: controller.signal,
      onProgress: (fraction: number) => {
        fractions.push(fraction);
        if (fractions.length === 2) controller.abort(new Error('enough'));
      },
    };
    await expect(symmetricEigen(lower, dim, watch)).rejects.toThrow('enough');
    expect(fractions.length).toBe(2);
    expect(fractions[1]).toBeGreaterThan(fractions[0] ?? 1);
    expect(fractions[1]).toBeLessThan(1);
  });
});
