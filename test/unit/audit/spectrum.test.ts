// Checks the shape of sets of vectors against worked examples, known covariances and plain pair-by-pair loops.
import { describe, expect, it } from 'vitest';
import { cosine } from '../../../src/audit/mosaic.ts';
import {
  effectiveRank,
  linearCka,
  meanCosineBetween,
  meanCosineWithin,
  planeDistances,
  spectrum,
} from '../../../src/audit/spectrum.ts';
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

/** A random orthogonal matrix by Gram-Schmidt. */
function rotation(width: number): number[][] {
  const axes: number[][] = [];
  for (const start of rows(normals(width * width, 'rotation'), width)) {
    let axis = [...start];
    for (const other of axes) {
      const along = axis.reduce((sum, value, d) => sum + value * (other[d] ?? 0), 0);
      axis = axis.map((value, d) => value - along * (other[d] ?? 0));
    }
    const length = Math.hypot(...axis);
    axes.push(axis.map((value) => value / length));
  }
  return axes;
}

function rotate(set_ND: Float32Array, width: number, scale: number): Float32Array {
  const axes = rotation(width);
  return Float32Array.from(
    rows(set_ND, width).flatMap((vector) =>
      axes.map((axis) => scale * axis.reduce((sum, value, d) => sum + value * (vector[d] ?? 0), 0)),
    ),
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

describe('mean cosines', () => {
  it('are the worked examples of the documentation', () => {
    expect(meanCosineWithin(Float32Array.from([1, 0, 2, 0, 0, 5]), 2)).toBeCloseTo(1 / 3, 12);
    const first = Float32Array.from([1, 0, 0, 1]);
    expect(meanCosineBetween(first, Float32Array.from([3, 0]), 2)).toBeCloseTo(0.5, 12);
    expect(meanCosineWithin(Float32Array.from([1, 0]), 2)).toBeNaN();
  });

  it('are those of all pairs taken one by one, also with a vector of no length', () => {
    const [first, second] = [normals(9 * 5, 'a'), normals(6 * 5, 'b')];
    first.fill(0, 10, 15);
    let [within, between] = [0, 0];
    rows(first, 5).forEach((a, i) => {
      rows(first, 5).forEach((b, j) => (within += i === j ? 0 : cosine(a, b)));
      rows(second, 5).forEach((b) => (between += cosine(a, b)));
    });
    expect(meanCosineWithin(first, 5)).toBeCloseTo(within / 72, 9);
    expect(meanCosineBetween(first, second, 5)).toBeCloseTo(between / 54, 9);
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

describe('linearCka', () => {
  it('is 1 for a rotated, scaled and shifted copy', () => {
    const set = normals(40 * 6, 'copy');
    const copy = rotate(set, 6, 3).map((value) => value + 2);
    expect(linearCka(set, 6, copy, 6)).toBeCloseTo(1, 6);
  });

  it('is about 0 for sets without relation, also where there are fewer items than dimensions', () => {
    const values = Array.from({ length: 20 }, (_, i) =>
      linearCka(normals(20 * 60, `x${i}`), 60, normals(20 * 50, `y${i}`), 50),
    );
    const centre = values.reduce((sum, value) => sum + value, 0) / 20;
    // The plain estimate is about 0.7 here.
    expect(Math.abs(centre)).toBeLessThan(0.1);
  });

  it('refuses sets of different items', () => {
    expect(() => linearCka(new Float32Array(8), 2, new Float32Array(6), 2)).toThrow(ShapeError);
  });
});
