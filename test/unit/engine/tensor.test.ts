// Checks host tensors and number-format conversions against independent slow definitions.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bf16ToF32,
  bytesOf,
  cast,
  ELEMENT_SIZES,
  expectDims,
  f16ToF32,
  f32ToBf16,
  f32ToF16,
  hasDType,
  numElements,
  tensor,
  tensorFromBytes,
  toFloat32,
  zeros,
  type DType,
} from '../../../src/engine/tensor.ts';
import { ShapeError } from '../../../src/errors.ts';

const DTYPES = Object.keys(ELEMENT_SIZES) as DType[];

/** Value of 16 bits by the formula of IEEE 754, written out with powers of two. */
function slowValue(bits: number, exponentBits: number): number {
  const mantissaBits = 15 - exponentBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  const sign = bits >= 0x8000 ? -1 : 1;
  const exponent = Math.floor((bits % 0x8000) / 2 ** mantissaBits);
  const fraction = (bits % 2 ** mantissaBits) / 2 ** mantissaBits;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias);
  return sign * (1 + fraction) * 2 ** (exponent - bias);
}

/** Nearest value by search over all non-negative finite patterns, ties to the even pattern. */
function slowRound(value: number, exponentBits: number): number {
  const signBit = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  const infinity = (2 ** exponentBits - 1) * 2 ** (15 - exponentBits);
  let low = 0;
  let high = infinity;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (slowValue(middle, exponentBits) <= magnitude) low = middle;
    else high = middle;
  }
  // The number after the largest finite one decides what rounds to infinity.
  const last = slowValue(infinity - 1, exponentBits);
  const above =
    high === infinity
      ? last + (last - slowValue(infinity - 2, exponentBits))
      : slowValue(high, exponentBits);
  const toLow = magnitude - slowValue(low, exponentBits);
  const toHigh = above - magnitude;
  if (toLow < toHigh || (toLow === toHigh && low % 2 === 0)) return signBit + low;
  return signBit + high;
}

const floatBits = fc.integer({ min: 0, max: 0xffffffff }).map((bits) => {
  const value = new Float32Array(Uint32Array.of(bits).buffer)[0] ?? 0;
  return Number.isNaN(value) ? 1 : value;
});
const halfRange = fc
  .tuple(fc.double({ min: 1, max: 2, noNaN: true }), fc.integer({ min: -27, max: 17 }))
  .map(([fraction, exponent]) => Math.fround(fraction * 2 ** exponent));

describe('f16 and bf16', () => {
  it('widen every bit pattern to the value of the definition', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const half = f16ToF32(bits);
    const brain = bf16ToF32(bits);
    for (let i = 0; i < 65536; i++) {
      if (!Object.is(half[i], slowValue(i, 5))) expect(half[i]).toBe(slowValue(i, 5));
      if (!Object.is(brain[i], slowValue(i, 8))) expect(brain[i]).toBe(slowValue(i, 8));
    }
  });

  it('come back to the same bits after widening, NaNs made quiet', () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const quiet = (i: number, infinity: number, flag: number): number =>
      (i & 0x7fff) > infinity ? i | flag : i;
    const halfExpected = bits.map((i) => quiet(i, 0x7c00, 0x200));
    const brainExpected = bits.map((i) => quiet(i, 0x7f80, 0x40));
    expect(f32ToF16(f16ToF32(bits))).toEqual(halfExpected);
    expect(f32ToBf16(bf16ToF32(bits))).toEqual(brainExpected);
  });

  it('round like a search for the nearest value with ties to even', () => {
    fc.assert(
      fc.property(fc.oneof(floatBits, halfRange), (value) => {
        expect(f32ToF16(Float32Array.of(value))[0]).toBe(slowRound(value, 5));
        expect(f32ToBf16(Float32Array.of(value))[0]).toBe(slowRound(value, 8));
      }),
      { numRuns: 5000, seed: 1 },
    );
  });

  it('round exact ties between neighbours to the even one', () => {
    for (let low = 0; low < 0x7c00; low++) {
      const middle = (slowValue(low, 5) + (low === 0x7bff ? 65536 : slowValue(low + 1, 5))) / 2;
      const [got] = f32ToF16(Float32Array.of(middle));
      if (got !== low + (low % 2)) expect(got).toBe(low + (low % 2));
    }
    expect(f32ToBf16(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8))).toEqual(
      Uint16Array.of(0x3f80, 0x3f82),
    );
  });

  it('keep signed zero, infinity and NaN', () => {
    const values = Float32Array.of(0, -0, Infinity, -Infinity, NaN);
    expect([...f16ToF32(f32ToF16(values))]).toEqual([0, -0, Infinity, -Infinity, NaN]);
    expect([...bf16ToF32(f32ToBf16(values))]).toEqual([0, -0, Infinity, -Infinity, NaN]);
    // A NaN whose payload lies in the dropped bits must not become infinity.
    const low = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001).buffer);
    expect([...f32ToF16(low)]).toEqual([0x7e00, 0xfe00]);
    expect([...f32ToBf16(low)]).toEqual([0x7fc0, 0xffc0]);
  });
});

describe('tensor', () => {
  it('shares its data and copies its dims', () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const dims = [2, 2];
    const t = tensor('f32', dims, data);
    dims[0] = 9;
    expect(t.data).toBe(data);
    expect(t.dims).toEqual([2, 2]);
  });

  it('refuses data of another length or array type', () => {
    expect(() => tensor('f32', [2, 2], new Float32Array(3))).toThrow(ShapeError);
    expect(() => tensor('f32', [2, 2], new Float32Array(3))).toThrow(/3 elements[^]*4 elements/);
    const wrong: Float32Array = new Float64Array(4) as unknown as Float32Array;
    expect(() => tensor('f32', [4], wrong)).toThrow(/Float64Array[^]*Float32Array/);
  });

  it('refuses dims that are negative, fractional or too large', () => {
    for (const dims of [[-1], [1.5], [NaN], [2 ** 30, 2 ** 30], [0, 2 ** 53]]) {
      expect(() => numElements(dims)).toThrow(ShapeError);
    }
    expect(numElements([])).toBe(1);
    expect(numElements([3, 0, 2])).toBe(0);
  });

  it('makes zeros of every dtype with the element size of the table', () => {
    for (const dtype of DTYPES) {
      const t = zeros(dtype, [2, 3]);
      expect(bytesOf(t).byteLength).toBe(6 * ELEMENT_SIZES[dtype]);
      expect(bytesOf(t).every((byte) => byte === 0)).toBe(true);
    }
  });

  it('goes to bytes and back, also from an odd offset', () => {
    const t = tensor('i64', [2], BigInt64Array.of(-1n, 2n ** 62n));
    const shifted = new Uint8Array(17);
    shifted.set(bytesOf(t), 1);
    expect(tensorFromBytes('i64', [2], shifted.subarray(1)).data).toEqual(t.data);
    expect(() => tensorFromBytes('i64', [3], bytesOf(t))).toThrow(/16 bytes[^]*24 bytes/);
  });

  it('names the tensor whose dims are not those expected', () => {
    const t = zeros('f32', [2, 3]);
    expect(() => {
      expectDims('basis_DK', t, [2, null]);
    }).not.toThrow();
    expect(() => {
      expectDims('basis_DK', t, [3, null]);
    }).toThrow(/basis_DK[^]*\[2, 3\][^]*\[3, any\]/);
  });
});

describe('cast', () => {
  it('returns the same object when the dtype is that of the tensor', () => {
    const t = tensor('f32', [1], Float32Array.of(1));
    expect(cast(t, 'f32')).toBe(t);
    expect(toFloat32(t)).toBe(t.data);
  });

  it('carries small integers through every pair of dtypes', () => {
    for (const from of DTYPES) {
      for (const to of DTYPES) {
        const start = cast(tensor('f64', [3], Float64Array.of(0, 1, 1)), from);
        const end = cast(start, to);
        expect(hasDType(end, to)).toBe(true);
        expect([...cast(end, 'f64').data]).toEqual([0, 1, 1]);
      }
    }
  });

  it('truncates towards integers and tests against zero towards bool', () => {
    const t = tensor('f32', [4], Float32Array.of(1.9, -1.9, 0, -0));
    expect([...cast(t, 'i32').data]).toEqual([1, -1, 0, 0]);
    expect([...cast(t, 'i64').data]).toEqual([1n, -1n, 0n, 0n]);
    expect([...cast(t, 'bool').data]).toEqual([1, 1, 0, 0]);
  });

  it('refuses values an integer dtype cannot hold and names the element', () => {
    const t = tensor('f64', [2], Float64Array.of(1, NaN));
    expect(() => cast(t, 'i32')).toThrow(/Element 1[^]*NaN/);
    expect(() => cast(tensor('f64', [1], Float64Array.of(256)), 'u8')).toThrow(ShapeError);
    expect(() => cast(tensor('f64', [1], Float64Array.of(2 ** 63)), 'i64')).toThrow(ShapeError);
    expect(cast(tensor('f64', [1], Float64Array.of(-(2 ** 63))), 'i64').data[0]).toBe(-(2n ** 63n));
  });

  it('leaves its input as it was', () => {
    const data = Float32Array.of(1.5, -2.5);
    cast(tensor('f32', [2], data), 'bf16');
    expect([...data]).toEqual([1.5, -2.5]);
  });
});
