// Owns a one-layer language model as an operation case; engine tests run it whole.

// B batch, T tokens, V words, D width, H heads, P half of a head, F feed-forward width.
import type { Value } from '../../src/engine/graph.ts';
import { reshape } from '../../src/engine/ops/broadcast.ts';
import {
  add,
  cos,
  lessOrEqual,
  mul,
  scale,
  silu,
  sin,
  toFloat,
  where,
} from '../../src/engine/ops/elementwise.ts';
import { gatherRows } from '../../src/engine/ops/indexing.ts';
import { linear, matmul } from '../../src/engine/ops/linear.ts';
import { crossEntropy, rmsNorm, softmax } from '../../src/engine/ops/nn.ts';
import { concat, iota, rotateHalf, transpose, transposeLast } from '../../src/engine/ops/shape.ts';
import { mulDims } from '../../src/engine/dims.ts';
import { numElements } from '../../src/engine/tensor.ts';
import { Rng } from '../../src/rng.ts';
import { randomValues } from './op-case.ts';
import type { Operand, OpCase } from './op-case.ts';

/** Sizes of the model and of one batch. */
export interface TinySizes {
  readonly batch: number;
  readonly length: number;
  readonly words: number;
  readonly headWidth: number;
  readonly heads: number;
  readonly hidden: number;
}

const MASKED = -1e9;

/** Rotates head vectors [B, H, T, 2P] by their position. */
function rotate(x_BHTE: Value, cos_TE: Value, sin_TE: Value): Value {
  return add(mul(x_BHTE, cos_TE), mul(rotateHalf(x_BHTE), sin_TE));
}

function attention(x_BTD: Value, [wq, wk, wv, wo]: readonly Value[], sizes: TinySizes): Value {
  const { heads, headWidth } = sizes;
  if (!wq || !wk || !wv || !wo) throw new RangeError('four projections are needed');
  const { graph } = x_BTD;
  const [B = 0, T = 0] = x_BTD.shape;
  const split = (w: Value): Value =>
    transpose(reshape(linear(x_BTD, w), [B, T, heads, headWidth]), [0, 2, 1, 3]);
  const position_T = iota(graph, T);
  const frequency = graph.scalar(0.5);
  const angle_TP = mul(
    reshape(toFloat(position_T), [T, 1]),
    reshape(mul(toFloat(iota(graph, headWidth / 2)), frequency), [1, headWidth / 2]),
  );
  const angle_TE = concat([angle_TP, angle_TP], 1);
  const rotated = (w: Value): Value => rotate(split(w), cos(angle_TE), sin(angle_TE));
  const scores_BHTT = matmul(rotated(wq), transposeLast(rotated(wk)));
  const isVisible_TT = lessOrEqual(reshape(position_T, [1, T]), reshape(position_T, [T, 1]));
  const masked = where(isVisible_TT, scale(scores_BHTT, headWidth ** -0.5), graph.scalar(MASKED));
  const mixed_BTHE = transpose(matmul(softmax(masked), split(wv)), [0, 2, 1, 3]);
  return linear(reshape(mixed_BTHE, [B, T, heads * headWidth]), wo);
}

/** The loss of next words given words: tied embedding, attention, SwiGLU. Words repeat. */
export function tinyTransformer(sizes: TinySizes, seed = 1): OpCase {
  const { batch, length, words, heads, headWidth, hidden } = sizes;
  const width = heads * headWidth;
  const rng = new Rng(seed);
  const weight = (...dims: number[]): Operand => ({
    shape: dims,
    value: randomValues(rng, dims, -0.5, 0.5),
    role: 'float',
  });
  const tokens = (...shape: (readonly [string, number])[]): Operand => {
    const dims = shape.map(([, size]) => size);
    const data = Array.from({ length: numElements(dims) }, () => rng.int(words));
    return { shape: shape.map(([name]) => name), value: { dims, data }, role: 'i64' };
  };
  return {
    operands: [
      tokens(['B', batch], ['T', length]),
      tokens(['B', batch], ['T', length]),
      weight(words, width),
      ...[0, 1, 2, 3].map(() => weight(width, width)),
      weight(width),
      weight(width),
      weight(hidden, width),
      weight(hidden, width),
      weight(width, hidden),
    ],
    build: (ids_BT, labels_BT, table_VD, ...rest) => {
      const [wq, wk, wv, wo, norm1, norm2, gate, up, down] = rest as [
        ...[Value, Value, Value, Value, Value],
        ...[Value, Value, Value, Value],
      ];
      const rows = mulDims(...ids_BT.shape);
      let x_BTD = gatherRows(table_VD, ids_BT);
      x_BTD = add(x_BTD, attention(rmsNorm(x_BTD, norm1, 1e-3), [wq, wk, wv, wo], sizes));
      const normal = rmsNorm(x_BTD, norm2, 1e-3);
      const inner_BTF = mul(silu(linear(normal, gate)), linear(normal, up));
      x_BTD = add(x_BTD, linear(inner_BTF, down));
      const logits_NV = reshape(linear(x_BTD, table_VD), [rows, words]);
      const one = ids_BT.graph.scalar(1);
      const weights_N = toFloat(lessOrEqual(iota(ids_BT.graph, rows), iota(ids_BT.graph, rows)));
      return crossEntropy(logits_NV, reshape(labels_BT, [rows]), weights_N, one);
    },
    twin: () => {
      throw new Error('the tiny transformer has no twin');
    },
  };
}
