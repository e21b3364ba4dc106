// Checks the shape of sets of vectors against worked examples, known covariances and plain pair-by-pair loops.
import { describe, expect, it } from 'vitest';
import { effectiveRank, planeDistances, spectrum } from '../../../src/audit/spectrum.ts';
import { ShapeError } from '../../../src/errors.ts';
import type { PcaBasis } from '../../../src/latent/pca.ts';
import { Rng } from '../../../src/rng.ts';

function normals(count: number, seed: string): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: count }, () => rng.normal());
}

function rows(set_ND: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: set_ND.length / width }, (_, n) =>
    set_ND.subarray(n * width, (n + 1) * width),
  );
}

describe('spectrum', () => {
  it('is the worked example of the documentation', async () => {
    const shape = await spectrum(Float32Array.from([1, 1, -1, 1, 0, 3, 0, -1]), 2);
    expect(shape.count).toBe(4);
    expect(shape.variances[0]).toBeCloseTo(2, 12);
    expect(shape.variances[1]).toBeCloseTo(0.5, 12);
    expect(shape.effectiveRank).toBeCloseTo(1.8899, 4);
    expect(shape.participation).toBeCloseTo(6.25 / 4.25, 12);
    expect([shape.dims90, shape.dims95, shape.dims99]).toEqual([2, 2, 2]);
  });

  it('is the same on either side of the choice of the smaller matrix', async () => {
    const set = normals(12 * 7, 'both');
    const tall = await spectrum(set, 7);
    // Zeros behind each vector change nothing but the width, which then exceeds the count.
    const padded = rows(set, 7).flatMap((vector) => [...vector, ...new Array<number>(20).fill(0)]);
    const wide = await spectrum(Float32Array.from(padded), 27);
    expect(wide.variances).toHaveLength(7);
    wide.variances.forEach((value, i) => {
      expect(value).toBeCloseTo(tall.variances[i] ?? NaN, 10);
    });
    expect(wide.effectiveRank).toBeCloseTo(tall.effectiveRank, 9);
    expect(wide.dims90).toBe(tall.dims90);
  });

  it('does not see a common shift, which has no variance', async () => {
    const set = normals(30 * 4, 'shift');
    const there = await spectrum(set, 4);
    const shifted = await spectrum(
      set.map((value) => value + 64),
      4,
    );
    expect(shifted.effectiveRank).toBeCloseTo(there.effectiveRank, 4);
  });

  it('gives nothing for equal vectors, all for even ones', async () => {
    const equal = await spectrum(new Float32Array(12).fill(3), 3);
    expect(equal).toMatchObject({ effectiveRank: 0, participation: 0, dims90: 0 });
    const even = await spectrum(Float32Array.from([1, 0, -1, 0, 0, 1, 0, -1]), 2);
    expect(even.effectiveRank).toBeCloseTo(2, 12);
    expect(even.participation).toBeCloseTo(2, 12);
    expect(effectiveRank(Float64Array.from([3, 3, 3]))).toBeCloseTo(3, 12);
  });

  it('refuses what does not consist of vectors', async () => {
    await expect(spectrum(new Float32Array(5), 2)).rejects.toThrow(ShapeError);
    await expect(spectrum(new Float32Array(0), 2)).rejects.toThrow(ShapeError);
  });
});

describe('planeDistances', () => {
  it('are those of the worked example: on the plane, off it, across it, at the mean', () => {
    const basis: PcaBasis = {
      ...{ kind: 'pca', dim: 3, k: 2, count: 9, totalVariance: 1, explained: 1 },
      mean_D: Float32Array.from([0, 0, 7]),
      basis_DK: Float32Array.from([1, 0, 0, 1, 0, 0]),
      eigenvalues: new Float64Array(3),
    };
    const set = Float32Array.from([5, -2, 7, 3, 0, 11, 0, 0, 9, 0, 0, 7]);
    const distances = planeDistances(basis, set);
    [0, 0.8, 1, 0].forEach((expected, n) => {
      expect(distances[n]).toBeCloseTo(expected, 6);
    });
  });
});
