// Checks streaming mean and covariance against two plain passes over all embeddings.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { CheckpointError, DataError, RuntimeError, ShapeError } from '../../../src/errors.ts';
import { openGram, plainGram } from '../../../src/latent/gram.ts';
import { MomentAccumulator, type Moments } from '../../../src/latent/moments.ts';
import { packedLength } from '../../../src/latent/tridiagonal.ts';
import { Rng } from '../../../src/rng.ts';

function embeddings(numRows: number, dim: number, seed: number, offset = 3): Float32Array {
  const rng = new Rng(seed);
  return Float32Array.from({ length: numRows * dim }, (_, at) => {
    return offset + rng.normal() * (1 + (at % dim)) + Math.floor(at / dim / 50);
  });
}

/** Mean first, then products of differences: the definition. */
function twoPasses(data: Float32Array, dim: number): { mean: number[]; covariance: number[] } {
  const numRows = data.length / dim;
  const rows = Array.from({ length: numRows }, (_, n) => data.subarray(n * dim, (n + 1) * dim));
  const mean = Array.from(
    { length: dim },
    (_, d) => rows.reduce((sum, row) => sum + (row[d] ?? 0), 0) / numRows,
  );
  const covariance: number[] = [];
  for (let i = 0; i < dim; i++) {
    for (let j = 0; j <= i; j++) {
      const products = rows.map(
        (row) => ((row[i] ?? 0) - (mean[i] ?? 0)) * ((row[j] ?? 0) - (mean[j] ?? 0)),
      );
      covariance.push(products.reduce((sum, value) => sum + value, 0) / numRows);
    }
  }
  return { mean, covariance };
}

/** Adds the data in batches that end at the given rows. */
async function addInBatches(
  accumulator: MomentAccumulator,
  data: Float32Array,
  ends: readonly number[],
): Promise<Moments> {
  const borders = [0, ...ends, data.length / accumulator.dim].sort((a, b) => a - b);
  for (let i = 1; i < borders.length; i++) {
    const [from = 0, to = 0] = [borders[i - 1], borders[i]];
    await accumulator.add(data.subarray(from * accumulator.dim, to * accumulator.dim));
  }
  return await accumulator.moments();
}

describe('MomentAccumulator', () => {
  it('gives mean and covariance with 1/N as two plain passes do', async () => {
    const dim = 7;
    const data = embeddings(333, dim, 1);
    const expected = twoPasses(data, dim);
    for (const blockRows of [1, 2, 10, 100, 333, 1000]) {
      const accumulator = new MomentAccumulator(dim, { blockRows });
      await accumulator.add(data);
      const { mean_D, covariance, count } = await accumulator.moments();
      expect(count).toBe(333);
      mean_D.forEach((value, d) => expect(value).toBeCloseTo(expected.mean[d] ?? NaN, 11));
      covariance.forEach((value, i) => {
        expect(value).toBeCloseTo(expected.covariance[i] ?? NaN, 10);
      });
    }
  });

  it('gives the same bits however the embeddings are cut into batches', async () => {
    const dim = 5;
    const data = embeddings(200, dim, 2);
    const whole = await addInBatches(new MomentAccumulator(dim, { blockRows: 64 }), data, []);
    const ends = fc.array(fc.integer({ min: 0, max: 200 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(ends, async (cuts) => {
        const accumulator = new MomentAccumulator(dim, { blockRows: 64 });
        expect(await addInBatches(accumulator, data, cuts)).toEqual(whole);
      }),
      { numRuns: 50, seed: 4 },
    );
  });

  it('keeps its precision when the mean is a thousand times the spread', async () => {
    const dim = 4;
    const data = embeddings(5000, dim, 3, 8192);
    const expected = twoPasses(data, dim);
    const { covariance } = await addInBatches(new MomentAccumulator(dim), data, [100, 2500]);
    covariance.forEach((value, i) => {
      expect(value).toBeCloseTo(expected.covariance[i] ?? NaN, 8);
    });
  });

  it('may be asked in between without changing what comes later', async () => {
    const data = embeddings(150, 3, 4);
    const straight = await addInBatches(new MomentAccumulator(3, { blockRows: 64 }), data, []);
    const asked = new MomentAccumulator(3, { blockRows: 64 });
    await asked.add(data.subarray(0, 300));
    const before = await asked.moments();
    expect(before.count).toBe(100);
    await asked.add(data.subarray(300));
    expect(await asked.moments()).toEqual(straight);
    expect(before.count).toBe(100);
  });

  it('goes on from its state to the same bits', async () => {
    const data = embeddings(500, 6, 5);
    const straight = await addInBatches(new MomentAccumulator(6, { blockRows: 128 }), data, []);
    for (const stop of [0, 1, 127, 128, 300]) {
      const first = new MomentAccumulator(6, { blockRows: 128 });
      await first.add(data.subarray(0, stop * 6));
      const state = first.state();
      await first.add(data.subarray(0, 600));
      const second = MomentAccumulator.restore(state);
      expect(second.count).toBe(stop);
      await second.add(data.subarray(stop * 6));
      expect(await second.moments()).toEqual(straight);
    }
  });

  it('refuses a state with a missing tensor, wrong dims or an impossible count', () => {
    const state = new MomentAccumulator(3).state();
    for (const name of state.keys()) {
      const lacking = new Map([...state].filter(([each]) => each !== name));
      expect(() => MomentAccumulator.restore(lacking)).toThrow(CheckpointError);
      expect(() => MomentAccumulator.restore(lacking)).toThrow(name);
    }
    const wide = new Map([...state, ['mean', tensor('f64', [4], new Float64Array(4))] as const]);
    expect(() => MomentAccumulator.restore(wide)).toThrow(/scatter[^]*f64 \[6\][^]*f64 \[10\]/);
    const counts = tensor('i64', [2], BigInt64Array.of(-1n, 8n));
    const negative = new Map([...state, ['count_and_block_rows', counts] as const]);
    expect(() => MomentAccumulator.restore(negative)).toThrow(CheckpointError);
  });

  it('names the embedding that is not finite and forgets its whole batch', async () => {
    const accumulator = new MomentAccumulator(4);
    await accumulator.add(embeddings(10, 4, 6));
    for (const bad of [NaN, Infinity, -Infinity]) {
      const batch = embeddings(5, 4, 7);
      batch[4 * 3 + 2] = bad;
      const failed = accumulator.add(batch);
      await expect(failed).rejects.toThrow(DataError);
      await expect(failed).rejects.toThrow(`Embedding 13 is not finite (row 3 of its batch)`);
      await expect(failed).rejects.toThrow(`${bad} in column 2`);
    }
    expect(accumulator.count).toBe(10);
    // The sum of a row may pass the f32 range as long as its numbers do not.
    await accumulator.add(new Float32Array(4).fill(3e38));
    expect(accumulator.count).toBe(11);
  });

  it('refuses torn rows, an empty set and calls that overlap', async () => {
    const accumulator = new MomentAccumulator(4, { blockRows: 2 });
    await expect(accumulator.add(new Float32Array(6))).rejects.toThrow(ShapeError);
    await expect(accumulator.moments()).rejects.toThrow(DataError);
    const first = accumulator.add(new Float32Array(16));
    await expect(accumulator.add(new Float32Array(16))).rejects.toThrow(RuntimeError);
    await first;
    expect(accumulator.count).toBe(4);
  });
});

describe('products of embeddings', () => {
  it('are the same in plain loops, in ONNX Runtime and by the definition', async () => {
    for (const [numRows, dim] of [
      [1, 1],
      [2, 3],
      [7, 5],
      [64, 33],
    ] as const) {
      const x = Float64Array.from(embeddings(numRows, dim, 8));
      await using session = await openGram(dim, { threads: 1 });
      const [plain, fast] = await Promise.all(
        [plainGram, session.gram].map((gram) => gram(tensor('f64', [numRows, dim], x))),
      );
      for (let i = 0; i < dim; i++) {
        for (let j = 0; j <= i; j++) {
          let sum = 0;
          for (let n = 0; n < numRows; n++) sum += (x[n * dim + i] ?? 0) * (x[n * dim + j] ?? 0);
          expect(plain?.data[i * dim + j]).toBeCloseTo(sum, 8);
          expect(fast?.data[i * dim + j]).toBeCloseTo(sum, 8);
        }
      }
    }
    expect(countLiveSessions()).toBe(0);
  });

  it('are the same where they are made in strips of rows', async () => {
    const [numRows, dim] = [5, 1100];
    const x = tensor('f64', [numRows, dim], Float64Array.from(embeddings(numRows, dim, 10)));
    await using session = await openGram(dim, { threads: 1 });
    const plain = await plainGram(x);
    const largest = plain.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    // Twice, because the second call writes over the result of the first.
    for (let call = 0; call < 2; call++) {
      const fast = await session.gram(x);
      let worst = 0;
      for (let i = 0; i < dim; i++) {
        for (let j = 0; j <= i; j++) {
          const at = i * dim + j;
          worst = Math.max(worst, Math.abs((plain.data[at] ?? NaN) - (fast.data[at] ?? NaN)));
        }
      }
      expect(worst / largest).toBeLessThan(1e-15);
    }
  });

  it('lead to the same moments on both ways, the last block shorter than the others', async () => {
    const dim = 40;
    const data = embeddings(150, dim, 9);
    await using session = await openGram(dim, { threads: 1 });
    const plain = await addInBatches(new MomentAccumulator(dim, { blockRows: 64 }), data, []);
    const options = { blockRows: 64, gram: session.gram };
    const fast = await addInBatches(new MomentAccumulator(dim, options), data, []);
    expect(fast.mean_D).toEqual(plain.mean_D);
    expect(fast.covariance.length).toBe(packedLength(dim));
    fast.covariance.forEach((value, i) => {
      expect(value).toBeCloseTo(plain.covariance[i] ?? NaN, 8);
    });
  });

  it('of the wrong size are refused', async () => {
    const gram = (): ReturnType<typeof plainGram> =>
      Promise.resolve(tensor('f64', [2, 2], new Float64Array(4)));
    const accumulator = new MomentAccumulator(3, { blockRows: 1, gram });
    await expect(accumulator.add(new Float32Array(3))).rejects.toThrow(ShapeError);
  });
});
