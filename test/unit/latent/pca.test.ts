// Checks the PCA basis against an exact eigendecomposition, and everything that is made from it.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { CheckpointError, ConfigError, DataError, ShapeError } from '../../../src/errors.ts';
import { noMeanBasis, randomBasis } from '../../../src/latent/basis-controls.ts';
import {
  BASIS_TENSORS,
  decodeBasis,
  encodeBasis,
  expectBasisWidth,
} from '../../../src/latent/basis-file.ts';
import { openGram } from '../../../src/latent/gram.ts';
import { MomentAccumulator, type MomentOptions } from '../../../src/latent/moments.ts';
import {
  fitPca,
  numComponentsFor,
  project,
  projectOntoPlane,
  reconstruct,
  relativeError,
  truncateBasis,
  type BasisSize,
  type PcaBasis,
} from '../../../src/latent/pca.ts';
import { Rng } from '../../../src/rng.ts';
import { jacobi, planeAngle } from '../../helpers/jacobi.ts';

/** Correlated embeddings: a few strong directions, a decaying rest, a mean that is not zero. */
function embeddings(numRows: number, dim: number, seed: number | string): Float32Array {
  const rng = new Rng(seed);
  const directions = Array.from({ length: dim }, () =>
    Array.from({ length: dim }, () => rng.normal() / Math.sqrt(dim)),
  );
  const data = new Float32Array(numRows * dim);
  for (let n = 0; n < numRows; n++) {
    const row = new Array<number>(dim).fill(2);
    directions.forEach((direction, i) => {
      const weight = (rng.normal() * 8) / (1 + i / 4);
      direction.forEach((value, d) => (row[d] = (row[d] ?? 0) + weight * value));
    });
    data.set(row, n * dim);
  }
  return data;
}

async function fit(
  data: Float32Array,
  dim: number,
  size?: BasisSize,
  options: MomentOptions = {},
): Promise<PcaBasis> {
  const accumulator = new MomentAccumulator(dim, options);
  await accumulator.add(data);
  return await fitPca(await accumulator.moments(), size);
}

function columns(basis: PcaBasis): number[][] {
  return Array.from({ length: basis.k }, (_, i) =>
    Array.from({ length: basis.dim }, (__, d) => basis.basis_DK[d * basis.k + i] ?? NaN),
  );
}

/** Full covariance with 1/N by the definition. */
function covarianceOf(data: Float32Array, dim: number): number[][] {
  const numRows = data.length / dim;
  const mean = Array.from({ length: dim }, (_, d) => {
    let sum = 0;
    for (let n = 0; n < numRows; n++) sum += data[n * dim + d] ?? 0;
    return sum / numRows;
  });
  return mean.map((meanI, i) =>
    mean.map((meanJ, j) => {
      let sum = 0;
      for (let n = 0; n < numRows; n++) {
        sum += ((data[n * dim + i] ?? 0) - meanI) * ((data[n * dim + j] ?? 0) - meanJ);
      }
      return sum / numRows;
    }),
  );
}

function worstDot(vectors: readonly number[][]): number {
  let worst = 0;
  vectors.forEach((a, i) => {
    vectors.forEach((b, j) => {
      const dot = a.reduce((sum, value, d) => sum + value * (b[d] ?? 0), 0);
      worst = Math.max(worst, Math.abs(dot - (i === j ? 1 : 0)));
    });
  });
  return worst;
}

function meanSquare(a: Float32Array, b: Float32Array, numRows: number): number {
  return a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0) / numRows;
}

describe('fitPca', () => {
  it('finds the plane and the variance of an exact decomposition to 1e-4 at D = 128', async () => {
    const dim = 128;
    const data = embeddings(1500, dim, 'exact');
    const exact = jacobi(covarianceOf(data, dim));
    const total = exact.values.reduce((sum, value) => sum + value, 0);
    await using session = await openGram(dim, { threads: 1 });
    for (const options of [{}, { gram: session.gram, blockRows: 400 }]) {
      const basis = await fit(data, dim, undefined, options);
      let kept = 0;
      let k = 0;
      while (kept / total < 0.95) kept += exact.values[k++] ?? NaN;
      expect(basis.k).toBe(k);
      expect(basis.k).toBeGreaterThan(5);
      expect(Math.abs(basis.explained - kept / total)).toBeLessThan(1e-9);
      expect(Math.abs(basis.totalVariance / total - 1)).toBeLessThan(1e-12);
      expect(planeAngle(columns(basis), exact.vectors.slice(0, k))).toBeLessThan(1e-6);
      expect(worstDot(columns(basis))).toBeLessThan(1e-6);
      basis.eigenvalues.forEach((value, i) => {
        expect(Math.abs(value - (exact.values[i] ?? NaN))).toBeLessThan(1e-12 * total);
      });
    }
  });

  it('does not depend on the batches, up to rounding also not on the size of blocks', async () => {
    const data = embeddings(400, 20, 'batches');
    const basis = await fit(data, 20);
    const accumulator = new MomentAccumulator(20);
    for (let n = 0; n < 400; n += 7) await accumulator.add(data.subarray(n * 20, (n + 7) * 20));
    expect(await fitPca(await accumulator.moments())).toEqual(basis);
    const other = await fit(data, 20, undefined, { blockRows: 33 });
    expect(other.k).toBe(basis.k);
    expect(planeAngle(columns(other), columns(basis))).toBeLessThan(1e-6);
  });

  it('makes the largest entry of every column positive', async () => {
    const basis = await fit(embeddings(300, 30, 'signs'), 30, { numComponents: 30 });
    for (const column of columns(basis)) {
      const peak = column.reduce((best, x) => (Math.abs(x) > Math.abs(best) ? x : best), 0);
      expect(peak).toBeGreaterThan(0);
    }
  });

  it('leaves the moments as they were, so that another basis can be fitted', async () => {
    const accumulator = new MomentAccumulator(10);
    await accumulator.add(embeddings(100, 10, 'twice'));
    const moments = await accumulator.moments();
    const first = await fitPca(moments);
    expect(await fitPca(moments)).toEqual(first);
  });

  it('keeps exactly the plane the data lies in for a target of 1', async () => {
    const rng = new Rng('plane');
    const [dim, rank] = [40, 6];
    const axes = Array.from({ length: rank }, () =>
      Array.from({ length: dim }, () => rng.normal()),
    );
    const data = Float32Array.from({ length: 200 * dim }, () => 5);
    for (let n = 0; n < 200; n++) {
      for (const axis of axes) {
        const weight = rng.normal();
        axis.forEach((value, d) => (data[n * dim + d] = (data[n * dim + d] ?? 0) + weight * value));
      }
    }
    const basis = await fit(data, dim, { explained: 1 });
    expect(basis.k).toBe(rank);
    expect(basis.explained).toBeGreaterThan(1 - 1e-10);
    expect(meanSquare(projectOntoPlane(basis, data), data, 200)).toBeLessThan(1e-8);
  });

  it('says what to do about too few embeddings, equal ones, or one alone', async () => {
    const dim = 8;
    const few = embeddings(5, dim, 'few');
    await expect(fit(few, dim, { numComponents: 5 })).rejects.toThrow(DataError);
    await expect(fit(few, dim, { numComponents: 5 })).rejects.toThrow(/got: +5 .*[^]*at least 6/);
    const all = await fit(few, dim, { explained: 1 });
    expect(all.k).toBe(4);
    const row = few.subarray(0, dim);
    const equal = new Float32Array(3000 * dim).map((_, at) => row[at % dim] ?? 0);
    for (const data of [row, equal, new Float32Array(dim * 4)]) {
      await expect(fit(data, dim)).rejects.toThrow(DataError);
      await expect(fit(data, dim)).rejects.toThrow(/no variance[^]*auxiliary pictures/);
    }
  });

  it('refuses sizes that are out of range before it computes anything', async () => {
    const data = embeddings(20, 4, 'sizes');
    const sizes: BasisSize[] = [
      { explained: 0 },
      { explained: 1.01 },
      { explained: NaN },
      { numComponents: 0 },
      { numComponents: 5 },
      { numComponents: 1.5 },
    ];
    for (const size of sizes) await expect(fit(data, 4, size)).rejects.toThrow(ConfigError);
  });

  it('reports progress from start to end once', async () => {
    const accumulator = new MomentAccumulator(600);
    await accumulator.add(embeddings(30, 600, 'progress'));
    const fractions: number[] = [];
    const onProgress = (fraction: number): number => fractions.push(fraction);
    await fitPca(await accumulator.moments(), { explained: 0.9 }, { onProgress });
    expect(fractions.length).toBeGreaterThan(0);
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b));
    expect(fractions.every((fraction) => fraction >= 0 && fraction <= 1)).toBe(true);
  });
});

describe('the number of components', () => {
  it('is the worked example of the documentation', () => {
    const eigenvalues = Float64Array.of(6, 3, 1, 0);
    const numbers = [0.1, 0.6, 0.61, 0.9, 0.95, 1].map((t) => numComponentsFor(eigenvalues, t));
    expect(numbers).toEqual([1, 1, 2, 2, 3, 3]);
    expect(relativeError(eigenvalues, 1)).toBeCloseTo(0.4, 15);
    expect(relativeError(eigenvalues, 3)).toBe(0);
    expect(relativeError(eigenvalues, 0)).toBe(1);
  });

  it('is the smallest that reaches the target', () => {
    const spectra = fc.array(fc.double({ min: 0, max: 10, noNaN: true }), {
      minLength: 1,
      maxLength: 20,
    });
    const targets = fc.double({ min: 0.01, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(spectra, targets, (values, target) => {
        const eigenvalues = Float64Array.from(values).sort().reverse();
        fc.pre((eigenvalues[0] ?? 0) > 1e-3);
        const k = numComponentsFor(eigenvalues, target);
        expect(relativeError(eigenvalues, k)).toBeLessThanOrEqual(1 - target + 1e-9);
        if (k > 1) expect(relativeError(eigenvalues, k - 1)).toBeGreaterThan(1 - target - 1e-9);
      }),
      { seed: 5 },
    );
  });

  it('can be cut afterwards to what a smaller fit gives', async () => {
    const data = embeddings(300, 24, 'cut');
    const large = await fit(data, 24, { explained: 0.99 });
    for (const size of [{ explained: 0.85 }, { numComponents: 3 }]) {
      expect(truncateBasis(large, size)).toEqual(await fit(data, 24, size));
    }
    expect(() => truncateBasis(large, { explained: 1 })).toThrow(ConfigError);
    expect(() => truncateBasis(noMeanBasis(large), { numComponents: 2 })).toThrow(ConfigError);
  });
});

describe('projection', () => {
  it('loses exactly the share of variance that the basis leaves out', async () => {
    const data = embeddings(500, 32, 'error');
    const basis = await fit(data, 32);
    const error = meanSquare(projectOntoPlane(basis, data), data, 500);
    expect(error / basis.totalVariance).toBeCloseTo(1 - basis.explained, 6);
  });

  it('is undone by reconstruction on the plane, and does nothing twice', async () => {
    const data = embeddings(60, 16, 'plane');
    const basis = await fit(data, 16, { numComponents: 5 });
    const coefficients = project(basis, data);
    expect(coefficients.length).toBe(60 * 5);
    const onPlane = reconstruct(basis, coefficients);
    const again = project(basis, onPlane);
    again.forEach((value, i) => expect(value).toBeCloseTo(coefficients[i] ?? NaN, 4));
    expect(reconstruct(basis, new Float32Array(5))).toEqual(basis.mean_D);
    // Coefficients of the training data have mean zero and the eigenvalues as variances.
    for (let i = 0; i < 5; i++) {
      const values = coefficients.filter((_, at) => at % 5 === i);
      const variance = values.reduce((sum, value) => sum + value * value, 0) / 60;
      expect(variance / (basis.eigenvalues[i] ?? NaN)).toBeCloseTo(1, 5);
    }
  });

  it('is right on an example small enough to do by hand', async () => {
    // Points on the line (1, 2) + t (3, 4) / 5 with t = -5, 0, 5.
    const basis = await fit(Float32Array.of(-2, -2, 1, 2, 4, 6), 2, { numComponents: 1 });
    expect([...basis.mean_D]).toEqual([1, 2]);
    expect(basis.basis_DK[0]).toBeCloseTo(0.6, 7);
    expect(basis.basis_DK[1]).toBeCloseTo(0.8, 7);
    expect(basis.totalVariance).toBeCloseTo(50 / 3, 12);
    // (5, -1) is (1, 2) + 0 (3, 4) / 5 + 5 (4, -3) / 5.
    expect(project(basis, Float32Array.of(5, -1))[0]).toBeCloseTo(0, 6);
    expect(reconstruct(basis, Float32Array.of(5))[1]).toBeCloseTo(6, 6);
  });

  it('refuses vectors of another width', async () => {
    const basis = await fit(embeddings(20, 4, 'width'), 4, { numComponents: 3 });
    expect(() => project(basis, new Float32Array(6))).toThrow(ShapeError);
    expect(() => reconstruct(basis, new Float32Array(4))).toThrow(ShapeError);
  });
});

describe('control bases', () => {
  it('of random directions are orthonormal, seeded, and explain K / D on average', async () => {
    const dim = 24;
    const data = embeddings(400, dim, 'random');
    const basis = await fit(data, dim, { numComponents: 6 });
    const control = randomBasis(basis, new Rng(1));
    expect(control.k).toBe(6);
    expect(control.mean_D).toEqual(basis.mean_D);
    expect(worstDot(columns(control))).toBeLessThan(1e-6);
    const square = await fit(data, dim, { numComponents: dim });
    expect(worstDot(columns(randomBasis(square, new Rng(1))))).toBeLessThan(1e-6);
    expect(randomBasis(basis, new Rng(1))).toEqual(control);
    expect(randomBasis(basis, new Rng(2)).basis_DK).not.toEqual(control.basis_DK);
    let explained = 0;
    for (let seed = 0; seed < 200; seed++) {
      const each = randomBasis(basis, new Rng(seed));
      explained += 1 - meanSquare(projectOntoPlane(each, data), data, 400) / each.totalVariance;
    }
    expect(explained / 200).toBeCloseTo(control.explained, 1);
    expect(control.explained).toBe(0.25);
  });

  it('without mean keep the directions and state what they lose', async () => {
    const data = embeddings(400, 24, 'no mean');
    const basis = await fit(data, 24);
    const control = noMeanBasis(basis);
    expect(control.basis_DK).toEqual(basis.basis_DK);
    expect(control.mean_D.every((value) => value === 0)).toBe(true);
    const error = meanSquare(projectOntoPlane(control, data), data, 400);
    expect(error / basis.totalVariance).toBeCloseTo(1 - control.explained, 5);
    expect(control.explained).toBeLessThan(basis.explained);
  });

  it('are not made from control bases', async () => {
    const basis = await fit(embeddings(50, 6, 'controls'), 6);
    const control = noMeanBasis(basis);
    expect(() => noMeanBasis(control)).toThrow(ConfigError);
    expect(() => randomBasis(control, new Rng(1))).toThrow(ConfigError);
  });
});

describe('basis files', () => {
  it('come back from the disk as they were, provenance included', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'gapvl-basis-'));
    const basis = await fit(embeddings(50, 6, 'file'), 6);
    const provenance = new Map([
      ['recipe', 'study'],
      ['data hash', 'abc"\n'],
    ]);
    for (const each of [basis, randomBasis(basis, new Rng(3)), noMeanBasis(basis)]) {
      const path = join(folder, `${each.kind}.safetensors`);
      const { tensors, metadata } = encodeBasis(each, provenance);
      await writeSafetensors(path, tensors, metadata);
      const stored = decodeBasis(await readSafetensors(path), path);
      expect(stored.basis).toEqual(each);
      expect(stored.provenance).toEqual(provenance);
    }
    await rm(folder, { recursive: true });
  });

  it('that are damaged or something else are refused by name', async () => {
    const { tensors, metadata } = encodeBasis(await fit(embeddings(50, 6, 'bad'), 6));
    const withMeta = (key: string, value: string | undefined): (() => unknown) => {
      const changed = new Map(metadata);
      if (value === undefined) changed.delete(key);
      else changed.set(key, value);
      return () => decodeBasis({ tensors, metadata: changed }, 'b.safetensors');
    };
    expect(withMeta('format', 'gapvl.basis.1')).not.toThrow();
    for (const key of metadata.keys()) {
      expect(withMeta(key, undefined)).toThrow(CheckpointError);
      expect(withMeta(key, undefined)).toThrow(`b.safetensors has no metadata ${key}`);
    }
    expect(withMeta('format', 'gapvl.basis.2')).toThrow(/gapvl\.basis\.2/);
    expect(withMeta('kind', 'lda')).toThrow(/lda/);
    expect(withMeta('count', 'many')).toThrow(/count .*not a number/);
    expect(withMeta('explained', '')).toThrow(/explained .*not a number/);
    expect(withMeta('provenance', '{')).toThrow(CheckpointError);
    const withTensor = (
      name: string,
      t: ReturnType<typeof tensor> | undefined,
    ): (() => unknown) => {
      const changed = new Map(tensors);
      if (t === undefined) changed.delete(name);
      else changed.set(name, t);
      return () => decodeBasis({ tensors: changed, metadata }, 'b.safetensors');
    };
    for (const name of Object.values(BASIS_TENSORS)) {
      expect(withTensor(name, undefined)).toThrow(name);
      expect(withTensor(name, tensor('i32', [1], Int32Array.of(1)))).toThrow(CheckpointError);
    }
    const short = tensor('f32', [5], new Float32Array(5));
    expect(withTensor(BASIS_TENSORS.mean, short)).toThrow(/do not fit each other/);
    const infinite = tensor('f32', [6], new Float32Array(6).fill(Infinity));
    expect(withTensor(BASIS_TENSORS.mean, infinite)).toThrow(/not finite/);
    const flat = tensor('f32', [6, 2], new Float32Array(12));
    expect(withTensor(BASIS_TENSORS.basis, flat)).toThrow(/column 0 not of length 1/);
    const wide = tensor('f32', [6, 7], new Float32Array(42));
    expect(withTensor(BASIS_TENSORS.basis, wide)).toThrow(/do not fit each other/);
  });

  it('of a model of another width are refused with both widths', async () => {
    const basis = await fit(embeddings(50, 6, 'model'), 6);
    expect(() => expectBasisWidth(basis, 6, 'b')).not.toThrow();
    expect(() => expectBasisWidth(basis, 128, 'b')).toThrow(/width 6[^]*width 128/);
  });
});
