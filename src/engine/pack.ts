// Owns the rounding of matrices to 4 or 8 bits a block, and its inverse; quantize and tests call it.
// Axes: N rows, K columns, C blocks of a row.
import { BLOCK_SIZE, numBlocks, zeroBytes } from './ops/packed.ts';
import type { PackedBits, Packing } from './ops/packed.ts';

/** A packed matrix in memory; shapes as `PackedMatrix` has them. */
export interface PackedData {
  readonly codes: Uint8Array;
  readonly scales_NC: Float32Array;
  /** Empty when symmetric. */
  readonly zeros: Uint8Array;
}

/** Scale and zero point of one block: x is about (code - zero) * scale. */
interface BlockCode {
  scale: number;
  zero: number;
}

function halfRange(bits: PackedBits): number {
  return 1 << (bits - 1);
}

/**
 * Symmetric: the element of largest magnitude becomes the end of the range that has one code more,
 * so 4 bits use all 16 codes (as Q4_0 does). Asymmetric: the range from min to max, 0 included, so
 * that zeros stay exact.
 */
function codeOf(
  rows: Float32Array,
  from: number,
  to: number,
  { bits, symmetric }: Packing,
  into: BlockCode,
): void {
  let low = 0;
  let high = 0;
  let total = 0;
  for (let i = from; i < to; i++) {
    const x = rows[i] as number;
    total += x;
    if (x < low) low = x;
    if (x > high) high = x;
  }
  const half = halfRange(bits);
  if (symmetric) {
    const extreme = high > -low ? high : low;
    into.scale = Math.fround(extreme / -half);
    into.zero = half;
  } else {
    into.scale = Math.fround((high - low) / (2 * half - 1));
    into.zero = into.scale === 0 ? 0 : Math.round(-low / into.scale);
  }
  if (!Number.isFinite(total)) into.scale = Number.NaN;
}

/**
 * Packs rows [N, K] of a matrix; a last block that is not full is filled with zeros. A block with
 * an element that is no finite number gets the scale NaN.
 */
export function packRows(rows_NK: Float32Array, columns: number, packing: Packing): PackedData {
  const { bits, symmetric } = packing;
  const rows = rows_NK.length / columns;
  const blocks = numBlocks(columns);
  const perBlock = (BLOCK_SIZE * bits) / 8;
  const codes = new Uint8Array(rows * blocks * perBlock);
  const scales_NC = new Float32Array(rows * blocks);
  const rowZeros = symmetric ? 0 : zeroBytes(columns, bits);
  const zeros = new Uint8Array(rows * rowZeros);
  const top = 2 * halfRange(bits) - 1;
  const block: BlockCode = { scale: 0, zero: 0 };
  for (let n = 0; n < rows; n++) {
    for (let c = 0; c < blocks; c++) {
      const from = n * columns + c * BLOCK_SIZE;
      const to = Math.min(from + BLOCK_SIZE, (n + 1) * columns);
      codeOf(rows_NK, from, to, packing, block);
      const { scale, zero } = block;
      const inverse = scale === 0 ? 0 : 1 / scale;
      scales_NC[n * blocks + c] = scale;
      if (!symmetric) {
        if (bits === 8) zeros[n * rowZeros + c] = zero;
        else {
          const at = n * rowZeros + (c >> 1);
          zeros[at] = (zeros[at] as number) | (zero << ((c & 1) * 4));
        }
      }
      const out = (n * blocks + c) * perBlock;
      for (let i = 0; i < BLOCK_SIZE; i++) {
        const x = from + i < to ? (rows_NK[from + i] as number) : 0;
        const rounded = Math.round(x * inverse) + zero;
        const code = rounded > top ? top : rounded > 0 ? rounded : 0;
        if (bits === 8) codes[out + i] = code;
        else {
          const at = out + (i >> 1);
          codes[at] = (codes[at] as number) | (code << ((i & 1) * 4));
        }
      }
    }
  }
  return { codes, scales_NC, zeros };
}

/** The matrix [N, K] that a packed one stands for. */
export function unpackRows(packed: PackedData, columns: number, packing: Packing): Float32Array {
  const { bits, symmetric } = packing;
  const blocks = numBlocks(columns);
  const perBlock = (BLOCK_SIZE * bits) / 8;
  const rows = packed.scales_NC.length / blocks;
  const rowZeros = zeroBytes(columns, bits);
  const read = (bytes: Uint8Array, start: number, index: number): number =>
    bits === 8
      ? (bytes[start + index] as number)
      : ((bytes[start + (index >> 1)] as number) >> ((index & 1) * 4)) & 15;
  const result = new Float32Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const c = Math.floor(k / BLOCK_SIZE);
      const zero = symmetric ? halfRange(bits) : read(packed.zeros, n * rowZeros, c);
      const code = read(packed.codes, (n * blocks + c) * perBlock, k % BLOCK_SIZE);
      result[n * columns + k] = (code - zero) * (packed.scales_NC[n * blocks + c] as number);
    }
  }
  return result;
}
