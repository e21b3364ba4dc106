// Owns mean and covariance of any number of embeddings in constant memory; pca.ts fits on them.
// Axes: N embeddings of a batch, B of a block, D hidden.
import { expectDims, hasDType, tensor, type Tensor } from '../engine/tensor.ts';
import { CheckpointError, DataError, RuntimeError, ShapeError } from '../errors.ts';
import { plainGram, type Gram } from './gram.ts';
import { packedLength } from './tridiagonal.ts';

/** First and second moments of a set of embeddings. */
export interface Moments {
  readonly dim: number;
  /** Number of embeddings, N. */
  readonly count: number;
  /** [D] */
  readonly mean_D: Float64Array;
  /** Covariance with 1/N (GAP Eq. 5): packed lower triangle, row after row. */
  readonly covariance: Float64Array;
}

/** How embeddings are accumulated. */
export interface MomentOptions {
  /** Multiplies the blocks; without it plain loops do, which take long from D = 1000 on. */
  readonly gram?: Gram;
  /** Embeddings taken together, default BLOCK_ROWS. */
  readonly blockRows?: number;
}

/** Embeddings multiplied at once: enough to use the processor, 30 MB in f64 at D = 3584. */
const BLOCK_ROWS = 1024; // ours

/**
 * Collects embeddings batch by batch. They are cut into blocks of a fixed number of rows, each
 * centred on its own mean and merged by the rule of Chan, Golub and LeVeque (1983), so that the
 * result does not depend, to the last bit, on how they came in batches, and no precision is lost
 * when the mean is far larger than the spread.
 */
export class MomentAccumulator {
  readonly dim: number;
  readonly #gram: Gram;
  readonly #blockRows: number;
  #pending: Float32Array;
  #numPending = 0;
  #merged: { count: number; readonly mean_D: Float64Array; readonly scatter: Float64Array };
  #isBusy = false;

  /** @param dim - D, the width of the embeddings. */
  constructor(dim: number, options: MomentOptions = {}) {
    this.dim = dim;
    this.#gram = options.gram ?? plainGram;
    this.#blockRows = options.blockRows ?? BLOCK_ROWS;
    this.#pending = new Float32Array(this.#blockRows * dim);
    const scatter = new Float64Array(packedLength(dim));
    this.#merged = { count: 0, mean_D: new Float64Array(dim), scatter };
  }

  /** Embeddings so far. */
  get count(): number {
    return this.#merged.count + this.#numPending;
  }

  /**
   * Takes a batch [N, D], row-major; await it before the next one.
   * @throws ShapeError when it does not consist of whole rows, DataError on a row that is not
   * finite (with its number, counted from 0 over all batches); the batch then leaves no trace.
   */
  async add(batch_ND: Float32Array): Promise<void> {
    if (batch_ND.length % this.dim !== 0) {
      throw new ShapeError({
        what: 'Embeddings do not have the width of the basis',
        got: `${batch_ND.length} numbers`,
        expected: `a multiple of ${this.dim}`,
      });
    }
    this.#checkRows(batch_ND);
    await this.#exclusively(async () => {
      for (let done = 0; done < batch_ND.length;) {
        const start = this.#numPending * this.dim;
        const taken = Math.min(batch_ND.length - done, this.#pending.length - start);
        this.#pending.set(batch_ND.subarray(done, done + taken), start);
        this.#numPending += taken / this.dim;
        done += taken;
        if (this.#numPending < this.#blockRows) continue;
        await mergeBlock(this.#merged, this.#pending, this.#gram);
        this.#numPending = 0;
      }
    });
  }

  /**
   * Moments of all embeddings so far; more may follow.
   * @throws DataError when there are none.
   */
  async moments(): Promise<Moments> {
    if (this.count === 0) {
      throw new DataError({
        what: 'There are no embeddings to compute a covariance of',
        fix: 'check that the dataset has examples with auxiliary pictures',
      });
    }
    return await this.#exclusively(async () => {
      const { mean_D, scatter, count } = this.#merged;
      const whole = { count, mean_D: mean_D.slice(), scatter: scatter.slice() };
      if (this.#numPending > 0) {
        await mergeBlock(whole, this.#pendingRows(), this.#gram);
      }
      for (let i = 0; i < whole.scatter.length; i++) {
        whole.scatter[i] = (whole.scatter[i] ?? 0) / whole.count;
      }
      const { dim } = this;
      return { dim, count: whole.count, mean_D: whole.mean_D, covariance: whole.scatter };
    });
  }

  /** Everything needed to go on later, bit for bit; a copy, ready for a safetensors file. */
  state(): Map<string, Tensor> {
    const { count, mean_D, scatter } = this.#merged;
    const numbers = BigInt64Array.of(BigInt(count), BigInt(this.#blockRows));
    return new Map<string, Tensor>([
      ['count_and_block_rows', tensor('i64', [2], numbers)],
      ['mean', tensor('f64', [this.dim], mean_D.slice())],
      ['scatter', tensor('f64', [scatter.length], scatter.slice())],
      ['pending', tensor('f32', [this.#numPending, this.dim], this.#pendingRows().slice())],
    ]);
  }

  /**
   * Goes on from a state; the block size is that of the state.
   * @throws CheckpointError when the tensors are not those of a state.
   */
  static restore(
    state: ReadonlyMap<string, Tensor>,
    options: Pick<MomentOptions, 'gram'> = {},
  ): MomentAccumulator {
    const [count, blockRows] = stateData(state, 'count_and_block_rows', 'i64', [2]).data;
    const mean = stateData(state, 'mean', 'f64', [null]);
    const dim = mean.data.length;
    const scatter = stateData(state, 'scatter', 'f64', [packedLength(dim)]);
    const pending = stateData(state, 'pending', 'f32', [null, dim]);
    const numPending = pending.dims[0] ?? 0;
    if (count === undefined || count < 0n || blockRows === undefined || blockRows <= numPending) {
      throw new CheckpointError({
        what: 'Accumulated embeddings do not fit their block size',
        got: `${numPending} of ${String(blockRows)} rows`,
        fix: 'delete the file and start again',
      });
    }
    const result = new MomentAccumulator(dim, { ...options, blockRows: Number(blockRows) });
    result.#merged.count = Number(count);
    result.#merged.mean_D.set(mean.data);
    result.#merged.scatter.set(scatter.data);
    result.#pending.set(pending.data);
    result.#numPending = numPending;
    return result;
  }

  #pendingRows(): Float32Array {
    return this.#pending.subarray(0, this.#numPending * this.dim);
  }

  #checkRows(batch_ND: Float32Array): void {
    for (let start = 0; start < batch_ND.length; start += this.dim) {
      let sum = 0;
      for (let d = 0; d < this.dim; d++) sum += batch_ND[start + d] ?? 0;
      // A sum of f32 numbers in f64 cannot overflow, so it is finite when all of them are.
      if (Number.isFinite(sum)) continue;
      const row = start / this.dim;
      const column = batch_ND
        .subarray(start, start + this.dim)
        .findIndex((value) => !Number.isFinite(value));
      throw new DataError({
        what: `Embedding ${this.count + row} is not finite (row ${row} of its batch)`,
        got: `${batch_ND[start + column] ?? NaN} in column ${column}`,
        fix: 'check the picture it comes from and the weights of the vision tower',
      });
    }
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isBusy) {
      throw new RuntimeError({
        what: 'Embeddings were added while others were still being added',
        fix: 'await each add() before the next call',
      });
    }
    this.#isBusy = true;
    try {
      return await work();
    } finally {
      this.#isBusy = false;
    }
  }
}

function stateData<D extends 'i64' | 'f32' | 'f64'>(
  state: ReadonlyMap<string, Tensor>,
  name: string,
  dtype: D,
  dims: readonly (number | null)[],
): Tensor<D> {
  const t = state.get(name);
  const fits =
    t !== undefined &&
    hasDType(t, dtype) &&
    t.dims.length === dims.length &&
    dims.every((size, axis) => size === null || size === t.dims[axis]);
  if (fits) return t;
  throw new CheckpointError({
    what: `Accumulated embeddings have no usable tensor ${name}`,
    got: t === undefined ? 'nothing' : `${t.dtype} [${t.dims.join(', ')}]`,
    expected: `${dtype} [${dims.map((size) => size ?? 'any').join(', ')}]`,
    fix: 'delete the file and start again',
  });
}

/** Adds a block [B, D] to the sums: S += S_B + delta delta^T n B / (n + B), delta = m_B - m. */
async function mergeBlock(
  merged: { count: number; readonly mean_D: Float64Array; readonly scatter: Float64Array },
  block_BD: Float32Array,
  gram: Gram,
): Promise<void> {
  const { mean_D, scatter } = merged;
  const dim = mean_D.length;
  const numRows = block_BD.length / dim;
  const blockMean_D = meanOf(block_BD, dim);
  const centred_BD = Float64Array.from(block_BD);
  for (let start = 0; start < centred_BD.length; start += dim) {
    for (let d = 0; d < dim; d++) {
      centred_BD[start + d] = (centred_BD[start + d] ?? 0) - (blockMean_D[d] ?? 0);
    }
  }
  const product = await gram(tensor('f64', [numRows, dim], centred_BD));
  expectDims('of the products of embeddings', product, [dim, dim]);
  const total = merged.count + numRows;
  const weight = (merged.count * numRows) / total;
  const delta_D = blockMean_D.map((value, d) => value - (mean_D[d] ?? 0));
  for (let i = 0; i < dim; i++) {
    const base = packedLength(i);
    const factor = weight * (delta_D[i] ?? 0);
    for (let j = 0; j <= i; j++) {
      const within = product.data[i * dim + j] ?? 0;
      scatter[base + j] = (scatter[base + j] ?? 0) + within + factor * (delta_D[j] ?? 0);
    }
    mean_D[i] = (mean_D[i] ?? 0) + ((delta_D[i] ?? 0) * numRows) / total;
  }
  merged.count = total;
}

function meanOf(block_BD: Float32Array, dim: number): Float64Array {
  const mean_D = new Float64Array(dim);
  for (let start = 0; start < block_BD.length; start += dim) {
    for (let d = 0; d < dim; d++) mean_D[d] = (mean_D[d] ?? 0) + (block_BD[start + d] ?? 0);
  }
  const numRows = block_BD.length / dim;
  return mean_D.map((sum) => sum / numRows);
}
