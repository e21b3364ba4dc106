// Owns text as Python 3 sees it: blanks, case, lengths; the scorers of benchmark/ call it, because
// JavaScript's own `trim`, `\s` and `length` differ.

/**
 * Whether a UTF-16 unit is a blank to `str.split` and `str.strip`. JavaScript's `\s` lacks U+001C to U+001F
 * and U+0085 and has U+FEFF besides.
 */
export function isBlank(unit: number): boolean {
  if (unit <= 0x20) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d) || unit >= 0x1c;
  if (unit < 0x85) return false;
  if (unit < 0x1680) return unit === 0x85 || unit === 0xa0;
  if (unit < 0x2000) return unit === 0x1680;
  if (unit <= 0x200a) return true;
  return (
    unit === 0x2028 || unit === 0x2029 || unit === 0x202f || unit === 0x205f || unit === 0x3000
  );
}

/** `str.split()`: the pieces between runs of blanks; never an empty one. */
export function split(text: string): string[] {
  const pieces: string[] = [];
  let start = -1;
  for (let i = 0; i < text.length; i++) {
    if (!isBlank(text.charCodeAt(i))) {
      if (start < 0) start = i;
    } else if (start >= 0) {
      pieces.push(text.slice(start, i));
      start = -1;
    }
  }
  if (start >= 0) pieces.push(text.slice(start));
  return pieces;
}

/** `str.rstrip()`. */
export function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(0, end);
}

/** `str.strip()`. */
export function strip(text: string): string {
  let start = 0;
  while (start < text.length && isBlank(text.charCodeAt(start))) start++;
  return stripEnd(text.slice(start));
}

/**
 * `str.lower()`. Both languages follow Unicode's full mapping (`İ` becomes two characters, a final sigma is
 * seen); letters that only the newer Unicode tables of one of them know are the difference left.
 */
export function lower(text: string): string {
  return text.toLowerCase();
}

/** `str.upper()`; as `lower`, `ß` becomes `SS`. */
export function upper(text: string): string {
  return text.toUpperCase();
}

/** `len(text)`: code points, not UTF-16 units. */
export function length(text: string): number {
  let count = text.length;
  for (let i = 0; i + 1 < text.length; i++) {
    if ((text.charCodeAt(i) & 0xfc00) !== 0xd800) continue;
    if ((text.charCodeAt(i + 1) & 0xfc00) !== 0xdc00) continue;
    count--;
    i++;
  }
  return count;
}

/** The order of `sorted` over texts: by code points (JavaScript compares UTF-16 units). */
export function compareText(first: string, second: string): number {
  const bound = Math.min(first.length, second.length);
  for (let i = 0; i < bound; i++) {
    const a = first.charCodeAt(i);
    const b = second.charCodeAt(i);
    if (a === b) continue;
    // A surrogate stands for a code point above every single unit.
    const aHigh = (a & 0xf800) === 0xd800;
    const bHigh = (b & 0xf800) === 0xd800;
    return aHigh === bHigh ? a - b : aHigh ? 1 : -1;
  }
  return first.length - second.length;
}
