// Owns plain host tensors (type, dims, bits) and number-format conversions; every folder uses it.
import { ShapeError } from '../errors.ts';

interface DataByDType {
  f32: Float32Array;
  f64: Float64Array;
  /** Raw IEEE 754 binary16 bits. */
  f16: Uint16Array;
  /** Raw bfloat16 bits (the upper half of an f32). */
  bf16: Uint16Array;
  i64: BigInt64Array;
  i32: Int32Array;
  u8: Uint8Array;
  /** One byte an element, 0 or 1. */
  bool: Uint8Array;
}

/** Element types of host tensors; f16 and bf16 are storage formats, held as raw bits. */
export type DType = keyof DataByDType;

/** The typed array that holds elements of dtype D. */
export type DataOf<D extends DType> = DataByDType[D];

/** Any of the typed arrays a tensor can hold. */
export type TensorData = DataOf<DType>;

/** A dense row-major tensor; dims [] is a scalar with one element. The data is not copied. */
export interface Tensor<D extends DType = DType> {
  readonly dtype: D;
  readonly dims: readonly number[];
  readonly data: DataOf<D>;
}

/** Bytes one element takes, by dtype. */
export const ELEMENT_SIZES: Readonly<Record<DType, number>> = {
  f32: 4,
  f64: 8,
  f16: 2,
  bf16: 2,
  i64: 8,
  i32: 4,
  u8: 1,
  bool: 1,
};

const ARRAY_TYPES = {
  f32: Float32Array,
  f64: Float64Array,
  f16: Uint16Array,
  bf16: Uint16Array,
  i64: BigInt64Array,
  i32: Int32Array,
  u8: Uint8Array,
  bool: Uint8Array,
} as const;

/**
 * Product of the dims (1 for a scalar).
 * @throws ShapeError when a dim is no integer >= 0 or the product leaves the safe integers.
 */
export function numElements(dims: readonly number[]): number {
  let product = 1;
  for (const dim of dims) {
    product *= dim;
    if (!Number.isSafeInteger(dim) || dim < 0 || !Number.isSafeInteger(product)) {
      throw new ShapeError({
        what: 'Tensor dims cannot be used',
        got: showDims(dims),
        expected: 'integers >= 0 with a product below 2^53',
      });
    }
  }
  return product;
}

/** Dims as text for messages: `[2, 3]`. */
export function showDims(dims: readonly number[]): string {
  return `[${dims.join(', ')}]`;
}

/**
 * A tensor over the given data, which is shared and not copied.
 * @throws ShapeError when the array type is not that of dtype or its length not that of dims.
 */
export function tensor<D extends DType>(
  dtype: D,
  dims: readonly number[],
  data: DataOf<D>,
): Tensor<D> {
  const expected = numElements(dims);
  const found: TensorData = data;
  if (!(found instanceof ARRAY_TYPES[dtype])) {
    throw new ShapeError({
      what: `Data of a ${dtype} tensor has the wrong array type`,
      got: Object.prototype.toString.call(found).slice(8, -1),
      expected: ARRAY_TYPES[dtype].name,
    });
  }
  if (found.length !== expected) {
    throw new ShapeError({
      what: `Data does not fill a ${dtype} tensor of dims ${showDims(dims)}`,
      got: `${String(found.length)} elements`,
      expected: `${String(expected)} elements`,
    });
  }
  return { dtype, dims: [...dims], data };
}

/** A freshly allocated tensor of zeros. */
export function zeros<D extends DType>(dtype: D, dims: readonly number[]): Tensor<D> {
  return { dtype, dims: [...dims], data: allocate(dtype, numElements(dims)) };
}

/** Whether a tensor has the dtype; narrows the type of its data. */
export function hasDType<D extends DType>(t: Tensor, dtype: D): t is Tensor<D> {
  return t.dtype === dtype;
}

/**
 * The tensor's dims as they are, once they match; a null in `expected` matches any size.
 * @param name - how the message calls the tensor.
 * @throws ShapeError naming the tensor, with both dims.
 */
export function expectDims(name: string, t: Tensor, expected: readonly (number | null)[]): void {
  const fits =
    t.dims.length === expected.length &&
    expected.every((size, axis) => size === null || size === t.dims[axis]);
  if (fits) return;
  throw new ShapeError({
    what: `Tensor ${name} has the wrong dims`,
    got: showDims(t.dims),
    expected: `[${expected.map((size) => size ?? 'any').join(', ')}]`,
  });
}

/** The bytes of a tensor (a view, little-endian on every machine Node.js runs ONNX Runtime on). */
export function bytesOf(t: Tensor): Uint8Array {
  return new Uint8Array(t.data.buffer, t.data.byteOffset, t.data.byteLength);
}

/**
 * A tensor over raw little-endian bytes; copies only when they do not start on an element border.
 * @throws ShapeError when the number of bytes is not that of dtype and dims.
 */
export function tensorFromBytes<D extends DType>(
  dtype: D,
  dims: readonly number[],
  bytes: Uint8Array,
): Tensor<D> {
  const size = ELEMENT_SIZES[dtype];
  const length = numElements(dims);
  if (bytes.byteLength !== length * size) {
    throw new ShapeError({
      what: `Bytes do not fill a ${dtype} tensor of dims ${showDims(dims)}`,
      got: `${String(bytes.byteLength)} bytes`,
      expected: `${String(length * size)} bytes`,
    });
  }
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  const data = new ARRAY_TYPES[dtype](aligned.buffer as ArrayBuffer, aligned.byteOffset, length);
  return { dtype, dims: [...dims], data: data as DataOf<D> };
}

/** The elements as f32: the same array when the tensor is f32 already, else a new one. */
export function toFloat32(t: Tensor): Float32Array {
  return cast(t, 'f32').data;
}

/**
 * The tensor in another dtype; the same object when nothing changes.
 * Towards floats: round to nearest, ties to even, overflow to infinity; f64 goes to f16 and bf16
 * by way of f32, as PyTorch does. Towards integers: truncation. Towards bool: x != 0.
 * @throws ShapeError when an integer dtype cannot hold a value (NaN, infinity, out of range).
 */
export function cast<D extends DType>(t: Tensor, dtype: D): Tensor<D> {
  if (hasDType(t, dtype)) return t;
  const dims = [...t.dims];
  return { dtype, dims, data: convert(t, dtype) as DataOf<D> };
}

function convert(t: Tensor, dtype: DType): TensorData {
  if (dtype === 'f16') return f32ToF16(toFloat32(t));
  if (dtype === 'bf16') return f32ToBf16(toFloat32(t));
  if (hasDType(t, 'f16')) return fromNumbers(f16ToF32(t.data), dtype);
  if (hasDType(t, 'bf16')) return fromNumbers(bf16ToF32(t.data), dtype);
  return fromNumbers(t.data, dtype);
}

function fromNumbers(source: TensorData, dtype: DType): TensorData {
  if (dtype === 'f32' && source instanceof Float32Array) return source;
  if (dtype === 'i64') {
    const wide = new BigInt64Array(source.length);
    for (let i = 0; i < wide.length; i++) wide[i] = BigInt(toInteger(source, i, dtype));
    return wide;
  }
  const result = allocate(dtype, source.length) as Exclude<TensorData, BigInt64Array>;
  if (dtype === 'f32' || dtype === 'f64') {
    for (let i = 0; i < result.length; i++) result[i] = Number(source[i]);
  } else if (dtype === 'bool') {
    // NaN is true, as in PyTorch and C.
    for (let i = 0; i < result.length; i++) result[i] = Number(source[i]) === 0 ? 0 : 1;
  } else {
    for (let i = 0; i < result.length; i++) result[i] = toInteger(source, i, dtype);
  }
  return result;
}

const INTEGER_RANGES: Readonly<Partial<Record<DType, readonly [number, number]>>> = {
  i32: [-(2 ** 31), 2 ** 31 - 1],
  u8: [0, 255],
  // 2^63 itself does not fit; the next double below it does.
  i64: [-(2 ** 63), 2 ** 63 - 1024],
};

function toInteger(source: TensorData, index: number, dtype: DType): number {
  const value = Math.trunc(Number(source[index]));
  const [low, high] = INTEGER_RANGES[dtype] ?? [0, 0];
  if (value >= low && value <= high) return value;
  throw new ShapeError({
    what: `Element ${String(index)} does not fit into ${dtype}`,
    got: String(source[index]),
    expected: `a number from ${String(low)} to ${String(high)}`,
  });
}

function allocate<D extends DType>(dtype: D, length: number): DataOf<D> {
  return new ARRAY_TYPES[dtype](length) as DataOf<D>;
}

/** binary16 bits to f32; exact, NaN payloads kept. */
export function f16ToF32(bits: Uint16Array): Float32Array {
  const result = new Float32Array(bits.length);
  const words = new Uint32Array(result.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i] ?? 0;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >>> 10) & 31;
    const mantissa = half & 0x3ff;
    if (exponent === 0) {
      result[i] = mantissa * 2 ** -24;
      words[i] = (words[i] ?? 0) | sign;
    } else {
      const biased = exponent === 31 ? 255 : exponent + 112;
      words[i] = sign | (biased << 23) | (mantissa << 13);
    }
  }
  return result;
}

/** f32 to binary16 bits: to nearest, ties to even, subnormals kept, overflow to infinity. */
export function f32ToF16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? 0;
    const sign = (word >>> 16) & 0x8000;
    const magnitude = word & 0x7fffffff;
    result[i] = sign | halfMagnitude(magnitude);
  }
  return result;
}

function halfMagnitude(word: number): number {
  if (word > 0x7f800000) return 0x7e00 | ((word >>> 13) & 0x1ff); // NaN, made quiet
  if (word >= 0x477ff000) return 0x7c00; // 65520 and above round to infinity
  if (word < 0x33000000) return 0; // below 2^-25, half of the smallest subnormal
  const exponent = word >>> 23;
  // Below 2^-14 the result is subnormal: the implicit one shifts in and counts units of 2^-24.
  const isSubnormal = exponent < 113;
  const shift = isSubnormal ? 126 - exponent : 13;
  const full = isSubnormal ? (word & 0x7fffff) | 0x800000 : word - (112 << 23);
  const down = full >>> shift;
  const rest = full & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  // A carry out of the mantissa runs into the exponent, which is the right next number.
  return rest > half || (rest === half && (down & 1) === 1) ? down + 1 : down;
}

/** bfloat16 bits to f32, into memory of the same length if given; exact. */
export function bf16ToF32(
  bits: Uint16Array,
  result: Float32Array = new Float32Array(bits.length),
): Float32Array {
  const words = new Uint32Array(result.buffer, result.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = (bits[i] ?? 0) << 16;
  return result;
}

/** f32 to bfloat16 bits: to nearest, ties to even, NaN kept NaN. */
export function f32ToBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? 0;
    const isNaNWord = (word & 0x7fffffff) > 0x7f800000;
    result[i] = isNaNWord ? (word >>> 16) | 0x40 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return result;
}
