// Owns products of embeddings with each other, X^T X, plain and in ONNX Runtime; moments.ts calls it.
// Axes: B embeddings of a block, D hidden.
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { gemm } from '../engine/ops/linear.ts';
import { slice } from '../engine/ops/shape.ts';
import { Session, type SessionOptions } from '../engine/session.ts';
import { hasDType, zeros, type Tensor } from '../engine/tensor.ts';
import { RuntimeError } from '../errors.ts';

/**
 * X^T X, [D, D], of X [B, D]; only the lower triangle is read. In f64, because the small
 * eigenvalues of a covariance lie below the f32 rounding of the large ones, and f64 costs less
 * than twice the time. The result may be overwritten by the next call.
 */
export type Gram = (x_BD: Tensor<'f64'>) => Promise<Tensor<'f64'>>;

/** Loops in TypeScript: fast enough up to D = 1000, and the twin the other is tested against. */
export function plainGram(x_BD: Tensor<'f64'>): Promise<Tensor<'f64'>> {
  const [numRows = 0, dim = 0] = x_BD.dims;
  const result = zeros('f64', [dim, dim]);
  const { data } = x_BD;
  // Four embeddings at once, so that a row of the result is read and written once for them.
  for (let row = 0; row < numRows; row += 4) {
    const starts = [row, row + 1, row + 2, row + 3].map((each) => each * dim);
    for (let i = 0; i < dim; i++) addFourRows(result.data, i, data, starts, dim);
  }
  return Promise.resolve(result);
}

/** Reads past the last embedding give nothing, which adds zero. */
function addFourRows(
  sums_DD: Float64Array,
  i: number,
  data: Float64Array,
  starts: readonly number[],
  dim: number,
): void {
  const [start0 = 0, start1 = 0, start2 = 0, start3 = 0] = starts;
  const x0 = data[start0 + i] ?? 0;
  const x1 = data[start1 + i] ?? 0;
  const x2 = data[start2 + i] ?? 0;
  const x3 = data[start3 + i] ?? 0;
  for (let j = 0; j <= i; j++) {
    const near = x0 * (data[start0 + j] ?? 0) + x1 * (data[start1 + j] ?? 0);
    const far = x2 * (data[start2 + j] ?? 0) + x3 * (data[start3 + j] ?? 0);
    sums_DD[i * dim + j] = (sums_DD[i * dim + j] ?? 0) + near + far;
  }
}

/** A gram in ONNX Runtime; dispose it (`await using`). */
export interface GramSession extends AsyncDisposable {
  readonly gram: Gram;
}

/** Rows of a strip of the result; ours: shorter ones waste fewer products above the diagonal, but are slower. */
const STRIP_ROWS = 512;

/** Strips of rows `from` to `to`, as equal as they can be. Example: 1100 gives 0 367, 367 734, 734 1100. */
function stripsOf(dim: number): { readonly from: number; readonly to: number }[] {
  const count = Math.ceil(dim / STRIP_ROWS);
  const size = Math.ceil(dim / count);
  return Array.from({ length: count }, (_, i) => {
    return { from: i * size, to: Math.min(dim, (i + 1) * size) };
  });
}

/**
 * Compiles X^T X for embeddings of width `dim`; its result is one matrix, reused by every call. Strips of
 * rows end near the diagonal, which spares almost half of the products; above them it stays zero.
 */
export async function openGram(dim: number, options: SessionOptions = {}): Promise<GramSession> {
  const graph = new Graph('f64');
  const x_BD = graph.input('x', 'float', ['rows', dim]);
  const strips = stripsOf(dim);
  for (const { from, to } of strips) {
    const columns = to === dim ? x_BD : slice(x_BD, 1, 0, to);
    const rows = from === 0 ? columns : slice(x_BD, 1, from, to);
    graph.output(`rows${from}`, gemm(rows, columns, { transposeA: true }));
  }
  // No other device has kernels for f64, which the basis needs; the products are a small part.
  const session = await Session.create(encodeGraph(graph), { ...options, device: 'cpu' });
  for (const { from, to } of strips)
    session.bindOutput(`rows${from}`, zeros('f64', [to - from, to]));
  const result = zeros('f64', [dim, dim]);
  return {
    async gram(x) {
      const found = await session.run({ x });
      for (const { from, to } of strips) {
        const strip = found[`rows${from}`];
        if (strip === undefined || !hasDType(strip, 'f64'))
          throw new RuntimeError({ what: 'ONNX Runtime gave no f64 product of embeddings' });
        for (let row = from; row < to; row++)
          result.data.set(strip.data.subarray((row - from) * to, (row - from + 1) * to), row * dim);
      }
      return result;
    },
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
}
