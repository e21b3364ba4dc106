// Owns products with, and rows of, block-quantised matrices; for decoding only, no gradient.
// Axes: N rows of the matrix, K columns, C blocks of a row.
import { ShapeError } from '../../errors.ts';
import { dimAt } from '../dims.ts';
import type { Value } from '../graph.ts';

/** Columns that share a scale. Source: the block of Q4_0 and of ONNX Runtime's MatMulNBits examples. */
export const BLOCK_SIZE = 32;

/** Bits of a packed element. */
export type PackedBits = 4 | 8;

/** How a matrix was packed. Symmetric: codes count from the middle of their range, no zero points. */
export interface Packing {
  readonly bits: PackedBits;
  readonly symmetric: boolean;
}

/** A matrix [N, K] as graphs hold it: codes, low bits first, with a scale (and zero) a block. */
export interface PackedMatrix {
  readonly packing: Packing;
  /** u8; [N, C, BLOCK_SIZE * bits / 8] for products, [N, C * BLOCK_SIZE * bits / 8] for rows. */
  readonly codes: Value;
  /** f32 [N, C]. */
  readonly scales_NC: Value;
  /** u8 [N, ceil(C * bits / 8)]; absent when symmetric. */
  readonly zeros?: Value;
}

/** Blocks of a row. */
export function numBlocks(columns: number): number {
  return Math.ceil(columns / BLOCK_SIZE);
}

/** Bytes of a row's zero points. */
export function zeroBytes(columns: number, bits: PackedBits): number {
  return Math.ceil((numBlocks(columns) * bits) / 8);
}

/**
 * Activations are rounded to 8 bits a block, so that products run on integers: measured 2.4 times
 * as fast as exact activations at one row. Source: MatMulNBits, accuracy_level.
 */
const ACCURACY_LEVEL = 4;

function operands({ codes, scales_NC, zeros }: PackedMatrix): Value[] {
  return zeros ? [codes, scales_NC, zeros] : [codes, scales_NC];
}

function requireF32(what: string, value: Value): void {
  if (value.graph.float === 'f32') return;
  throw new ShapeError({ what: `${what} is f32 only`, got: value.graph.float });
}

/** y = x W^T + b with a packed W: x [..., K], bias [N]. Source: com.microsoft.MatMulNBits. */
export function linearPacked(x: Value, matrix: PackedMatrix, bias?: Value): Value {
  requireF32('a product with a packed matrix', x);
  const [rows, columns] = [dimAt(matrix.codes.shape, 0), dimAt(x.shape, -1)];
  if (typeof rows !== 'number' || typeof columns !== 'number')
    throw new ShapeError({ what: 'a packed matrix needs fixed sizes' });
  if (dimAt(matrix.codes.shape, 1) !== numBlocks(columns)) {
    throw new ShapeError({
      what: 'a packed matrix does not fit what it is multiplied with',
      got: `${String(matrix.codes.shape[1])} blocks a row for ${columns} columns`,
      expected: `${numBlocks(columns)} blocks of ${BLOCK_SIZE}`,
    });
  }
  return x.graph.add({
    name: 'MatMulNBits',
    inputs: [x, ...operands(matrix), ...(bias ? [bias] : [])],
    dtype: 'f32',
    shape: [...x.shape.slice(0, -1), rows],
    emit: (e, names) => {
      const [input = '', codes = '', scales = '', ...rest] = names;
      const zeros = matrix.zeros ? (rest[0] ?? '') : '';
      const added = bias ? (rest.at(-1) ?? '') : '';
      const inputs = [input, codes, scales, ...(zeros || added ? [zeros] : [])];
      return e.node('MatMulNBits', added ? [...inputs, '', added] : inputs, {
        contrib: true,
        attributes: {
          K: { int: columns },
          N: { int: rows },
          bits: { int: matrix.packing.bits },
          block_size: { int: BLOCK_SIZE },
          accuracy_level: { int: ACCURACY_LEVEL },
        },
      });
    },
  });
}

/** Rows [..., K] of a packed table at index [...]. Source: com.microsoft.GatherBlockQuantized. */
export function gatherPacked(table: PackedMatrix, index: Value, columns: number): Value {
  requireF32('rows of a packed table', index);
  return index.graph.add({
    name: 'GatherBlockQuantized',
    inputs: [table.codes, index, table.scales_NC, ...(table.zeros ? [table.zeros] : [])],
    dtype: 'f32',
    shape: [...index.shape, columns],
    emit: (e, names) =>
      e.node('GatherBlockQuantized', names, {
        contrib: true,
        attributes: {
          bits: { int: table.packing.bits },
          block_size: { int: BLOCK_SIZE },
          gather_axis: { int: 0 },
          quantize_axis: { int: 1 },
        },
      }),
  });
}
