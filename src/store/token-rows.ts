// Owns new rows of a token table on the disk: what they start as, and the table with them in it.
// Axes: V tokens, D width.
import { CheckpointError } from '../errors.ts';
import { Rng } from '../rng.ts';
import { PIECE_BYTES } from '../engine/safetensors.ts';
import type { TensorReader } from '../engine/safetensors.ts';
import { ELEMENT_SIZES, bytesOf, cast, tensor, toFloat32 } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';

/**
 * Size of the noise of a new row against the spread of the old ones. ours: rows of new tokens
 * differ from each other, and stand ten times nearer to the mean than a trained row does.
 */
export const NOISE_SHARE = 0.1;

/** New rows, in the dtype of their table, and how they came about. */
export interface NewRows {
  readonly rows_ND: Tensor;
  /** Norm of the mean of the old rows. */
  readonly meanNorm: number;
  /** Root mean square distance of the old rows from their mean. */
  readonly spread: number;
}

/** A stretch of a table's rows, read in parts that fit in memory. */
async function* rowParts(
  reader: TensorReader,
  name: string,
  begin: number,
  end: number,
): AsyncGenerator<Tensor> {
  const { dtype, dims } = reader.infos.get(name) ?? { dtype: 'f32', dims: [0, 1] };
  const rowBytes = (dims[1] ?? 1) * ELEMENT_SIZES[dtype];
  const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes));
  for (let first = begin; first < end; first += step) {
    yield await reader.readRows(name, first, Math.min(step, end - first));
  }
}

/**
 * Rows for new tokens: the mean of the rows in use plus noise of NOISE_SHARE times their spread.
 * The mean keeps a new token's logit near the average, so that nothing else is drawn less often.
 * @param numUsed - rows that stand for tokens; spare ones behind them were never trained.
 * @throws CheckpointError when the table holds values that are no numbers.
 */
export async function makeRows(
  reader: TensorReader,
  name: string,
  { numUsed, numNew, seed }: { numUsed: number; numNew: number; seed: number },
): Promise<NewRows> {
  const { dtype, dims } = reader.infos.get(name) ?? { dtype: 'f32', dims: [0, 0] };
  const width = dims[1] ?? 0;
  const sum_D = new Float64Array(width);
  let squares = 0;
  for await (const part of rowParts(reader, name, 0, numUsed)) {
    const values = toFloat32(part);
    for (let begin = 0; begin < values.length; begin += width) {
      for (let d = 0; d < width; d++) {
        const value = values[begin + d] as number;
        sum_D[d] = (sum_D[d] as number) + value;
        squares += value * value;
      }
    }
  }
  const mean_D = sum_D.map((sum) => sum / numUsed);
  const meanSquare = mean_D.reduce((total, value) => total + value * value, 0);
  if (!Number.isFinite(squares) || numUsed === 0) {
    throw new CheckpointError({
      what: `${name} has no mean that new rows could start from`,
      got: numUsed === 0 ? 'no rows' : 'values that are infinite or no numbers',
      fix: 'get the checkpoint again; its training may have diverged',
    });
  }
  const spread = Math.sqrt(Math.max(0, squares / numUsed - meanSquare));
  const deviation = (NOISE_SHARE * spread) / Math.sqrt(width);
  const rng = new Rng(seed).fork('new token rows');
  const rows = Float32Array.from(
    { length: numNew * width },
    (_, i) => (mean_D[i % width] as number) + deviation * rng.normal(),
  );
  const rows_ND = cast(tensor('f32', [numNew, width], rows), dtype);
  return { rows_ND, meanNorm: Math.sqrt(meanSquare), spread };
}

/**
 * The bytes of a table with new rows from row `at` on: rows before and behind stay as they are, as
 * far as the old table goes.
 */
export async function* tableWithRows(
  reader: TensorReader,
  name: string,
  at: number,
  { rows_ND }: NewRows,
): AsyncGenerator<Uint8Array> {
  const [numOld = 0] = reader.infos.get(name)?.dims ?? [];
  const [numNew = 0] = rows_ND.dims;
  for await (const part of rowParts(reader, name, 0, at)) yield bytesOf(part);
  yield bytesOf(rows_ND);
  for await (const part of rowParts(reader, name, at + numNew, numOld)) yield bytesOf(part);
}
