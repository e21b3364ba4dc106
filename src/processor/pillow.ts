// Owns what Pillow's `convert('RGB')` makes of CMYK, 16-bit grey and transparent GIFs; called by picture.ts.
import type { Raster } from '../data/raster.ts';

/**
 * CMYK to RGB without a colour profile: (255 - K) less its share of the ink, rounded.
 * @param cmyk - [pixels * 4], 255 is full ink.
 * Source: Pillow Convert.c `cmyk2rgb`, `MULDIV255`.
 */
export function cmykToRgb(cmyk: Uint8Array): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / 4) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += 4) {
    const paper = 255 - (cmyk[from + 3] ?? 0);
    for (let ink = 0; ink < 3; ink++) {
      const product = (cmyk[from + ink] ?? 0) * paper + 128;
      rgb[to++] = Math.max(0, paper - (((product >> 8) + product) >> 8));
    }
  }
  return rgb;
}

/**
 * 16-bit grey to RGB: levels above 255 become 255, so that most 16-bit pictures turn white. That
 * is what the original sees (it scales levels of pictures with colour or alpha, but not these).
 * Source: Pillow Convert.c `I16_RGB`.
 */
export function clipGrey16(grey: Uint16Array): Uint8Array {
  const rgb = new Uint8Array(grey.length * 3);
  for (const [i, level] of grey.entries()) rgb.fill(Math.min(255, level), 3 * i, 3 * i + 3);
  return rgb;
}

/** The first frame of a GIF: where it lies on the canvas, and the colour around it. */
interface GifFrame {
  /** The same file; the first frame has no transparent colour. */
  readonly bytes: Uint8Array;
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
  /** Red, green, blue. */
  readonly around: Uint8Array;
  readonly isTransparent: boolean;
}

const GIF_HEADER = 13;
const EXTENSION = 0x21;
const GRAPHIC_CONTROL = 0xf9;
const IMAGE_DESCRIPTOR = 0x2c;

function paletteSize(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 << ((flags & 7) + 1);
}

/**
 * A GIF whose first frame is opaque: Pillow gives a transparent pixel the palette's colour, where
 * other decoders leave it black. Undefined when there is no frame (the decoder will say so).
 * Source: GIF89a §18-23; Pillow GifImagePlugin.py `load_prepare`.
 */
export function opaqueGif(original: Uint8Array): GifFrame | undefined {
  const bytes = Uint8Array.from(original);
  const at = (index: number): number => bytes[index] ?? 0;
  let cursor = GIF_HEADER + paletteSize(at(10));
  let transparent = 0;
  let isTransparent = false;
  while (at(cursor) === EXTENSION) {
    const isControl = at(cursor + 1) === GRAPHIC_CONTROL && at(cursor + 2) >= 4;
    if (isControl && (at(cursor + 3) & 1) === 1) {
      bytes[cursor + 3] = at(cursor + 3) & ~1;
      transparent = at(cursor + 6);
      isTransparent = true;
    }
    cursor += 2;
    while (at(cursor) > 0) cursor += at(cursor) + 1;
    cursor += 1;
  }
  if (at(cursor) !== IMAGE_DESCRIPTOR) return undefined;
  const word = (offset: number): number => at(cursor + offset) | (at(cursor + offset + 1) << 8);
  const local = paletteSize(at(cursor + 9));
  const color = (local > 0 ? cursor + 10 : GIF_HEADER) + 3 * transparent;
  return {
    bytes,
    left: word(1),
    top: word(3),
    right: word(1) + word(5),
    bottom: word(3) + word(7),
    around: bytes.slice(color, color + 3),
    isTransparent,
  };
}

/** Colours in place what the first frame does not cover. */
export function paintAround({ width, height, data }: Raster, frame: GifFrame): void {
  const covers = frame.left <= 0 && frame.top <= 0 && frame.right >= width;
  if (covers && frame.bottom >= height) return;
  for (let y = 0; y < height; y++) {
    const isInside = y >= frame.top && y < frame.bottom;
    for (let x = 0; x < width; x++) {
      if (isInside && x >= frame.left && x < frame.right) continue;
      data.set(frame.around, (y * width + x) * 3);
    }
  }
}

const PNG_CHUNKS = 8;
const CHUNK_OVERHEAD = 12;
const [GREY, RGB, PALETTE] = [0, 2, 3];

/**
 * The one transparent colour of a PNG: red, green, blue. Undefined for alpha channels and palettes
 * with degrees of alpha, which `convert('RGB')` drops, and for 1-bit and 16-bit grey.
 * Source: Pillow PngImagePlugin.py `chunk_tRNS`, Image.py `convert`.
 */
export function transparentPngColor(bytes: Uint8Array): Uint8Array | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [depth, colorType] = [bytes[24] ?? 0, bytes[25] ?? 0];
  let palette = new Uint8Array(0);
  for (let at = PNG_CHUNKS; at + CHUNK_OVERHEAD <= bytes.length;) {
    const length = view.getUint32(at);
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const data = bytes.slice(at + 8, at + 8 + length);
    if (name === 'IDAT') return undefined;
    if (name === 'PLTE') palette = data;
    if (name === 'tRNS') {
      // Levels are two bytes each, of which 8-bit pictures use the lower.
      if (colorType === RGB) return Uint8Array.of(data[1] ?? 0, data[3] ?? 0, data[5] ?? 0);
      if (colorType === GREY) {
        const isByte = depth > 1 && depth <= 8;
        return isByte ? new Uint8Array(3).fill(data[1] ?? 0) : undefined;
      }
      if (colorType !== PALETTE) return undefined;
      const index = data.indexOf(0);
      const isOnlyOne = index !== -1 && data.every((alpha, i) => i === index || alpha === 255);
      return isOnlyOne ? palette.slice(3 * index, 3 * index + 3) : undefined;
    }
    at += length + CHUNK_OVERHEAD;
  }
  return undefined;
}

/**
 * Turns every pixel of a colour white, in place. `convert('RGB')` keeps a transparent colour as a
 * note on the picture, and the original's processor then lays the picture on white.
 * Source: transformers image_transforms.py, `convert_to_rgb`.
 */
export function whiten({ data }: Raster, color: Uint8Array): void {
  const [red, green, blue] = color;
  for (let i = 0; i < data.length; i += 3) {
    if (data[i] !== red || data[i + 1] !== green || data[i + 2] !== blue) continue;
    data.fill(255, i, i + 3);
  }
}
