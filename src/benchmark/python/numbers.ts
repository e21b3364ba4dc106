// Owns numbers as Python 3 reads and writes them; the scorers of benchmark/ and its table reader call it.
import type { Cell } from '../types.ts';
import { isBlank } from './text.ts';

/** Digits `int(text)` accepts at most. Source: CPython `sys.int_info.default_max_str_digits`. */
const MAX_INTEGER_DIGITS = 4300;

/** The 50 mathematical digits, five runs of ten: the only ones whose zero is not at ...0 or ...6. */
const MATHEMATICAL_DIGITS = { first: 0x1d7ce, last: 0x1d7ff };

const DECIMAL_DIGIT = /\p{Nd}/gu;
const INTEGER = /^([+-]?)(\d+(?:_\d+)*)$/;
const FLOAT =
  /^[+-]?(?:\d+(?:_\d+)*(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:e[+-]?\d+(?:_\d+)*)?$/i;
const SPECIAL_FLOAT = /^([+-]?)(?:(inf(?:inity)?)|nan)$/i;

/** 0 to 9 for a decimal digit of any script. */
function digitValue(digit: string): number {
  const point = digit.codePointAt(0) ?? 0;
  if (point >= MATHEMATICAL_DIGITS.first && point <= MATHEMATICAL_DIGITS.last)
    return (point - MATHEMATICAL_DIGITS.first) % 10;
  const low = point & 0xf;
  return /\p{Nd}/u.test(String.fromCodePoint(point - low)) ? low : low - 6;
}

/** Blanks at the ends taken off, except U+001C to U+001F; digits of all scripts turned into ASCII ones. */
function normalise(text: string): string {
  const isTrimmed = (unit: number): boolean => isBlank(unit) && (unit < 0x1c || unit > 0x1f);
  let start = 0;
  let end = text.length;
  while (start < end && isTrimmed(text.charCodeAt(start))) start++;
  while (end > start && isTrimmed(text.charCodeAt(end - 1))) end--;
  const trimmed = text.slice(start, end);
  return trimmed.replace(DECIMAL_DIGIT, (digit) => `${digitValue(digit)}`);
}

/** `int(text)`; undefined where Python raises ValueError. */
export function parseInteger(text: string): bigint | undefined {
  const match = INTEGER.exec(normalise(text));
  const digits = match?.[2]?.replaceAll('_', '');
  if (digits === undefined || digits.length > MAX_INTEGER_DIGITS) return undefined;
  return match?.[1] === '-' ? -BigInt(digits) : BigInt(digits);
}

/** `float(text)`; undefined where Python raises ValueError. `inf` and `nan` in any case are numbers. */
export function parseFloatText(text: string): number | undefined {
  const plain = normalise(text);
  const special = SPECIAL_FLOAT.exec(plain);
  if (special !== null) {
    if (special[2] === undefined) return NaN;
    return special[1] === '-' ? -Infinity : Infinity;
  }
  return FLOAT.test(plain) ? Number(plain.replaceAll('_', '')) : undefined;
}

/** `repr(value)` of a float: the shortest digits that read back, Python's choice of the exponent. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value < 0 ? '-inf' : 'inf';
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '', power = ''] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const rest = digits.length > 1 ? `.${digits.slice(1)}` : '';
    const size = `${Math.abs(exponent)}`.padStart(2, '0');
    return `${sign}${digits.slice(0, 1)}${rest}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** A finite double as `numerator / 2^shift`, exactly. */
function exactFraction(value: number): { numerator: bigint; shift: bigint } {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const exponent = (bits >> 52n) & 0x7ffn;
  const fraction = bits & 0xfffffffffffffn;
  const mantissa = exponent === 0n ? fraction : fraction | 0x10000000000000n;
  const shift = 1075n - (exponent === 0n ? 1n : exponent);
  return shift >= 0n
    ? { numerator: mantissa, shift }
    : { numerator: mantissa << -shift, shift: 0n };
}

/**
 * `format(value, '.<digits>f')`: the exact binary value rounded half to even. JavaScript's `toFixed` rounds
 * halves up: 3.125 is `3.12` here and `3.13` there.
 */
export function fixed(value: number, digits: number): string {
  if (!Number.isFinite(value)) return reprFloat(value);
  const { numerator, shift } = exactFraction(Math.abs(value));
  const scaled = numerator * 10n ** BigInt(digits);
  let quotient = scaled >> shift;
  const rest = (scaled - (quotient << shift)) * 2n;
  const one = 1n << shift;
  if (rest > one || (rest === one && (quotient & 1n) === 1n)) quotient++;
  const text = quotient.toString().padStart(digits + 1, '0');
  const point = text.length - digits;
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  return digits === 0 ? `${sign}${text}` : `${sign}${text.slice(0, point)}.${text.slice(point)}`;
}

/** `format(value, '.2%')`: hundredfold as a double, then `fixed`. */
export function percent(value: number): string {
  return `${fixed(value * 100, 2)}%`;
}

/** `str(cell)` of a pandas cell: missing is `nan`, true is `True`, the float 7 is `7.0`. */
export function str(cell: Cell): string {
  if (typeof cell === 'string') return cell;
  if (cell === null) return 'nan';
  if (typeof cell === 'boolean') return cell ? 'True' : 'False';
  return typeof cell === 'bigint' ? cell.toString() : reprFloat(cell);
}
