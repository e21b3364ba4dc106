// Owns the decoding of picture bytes into 8-bit RGB through `sharp`; called by data loaders, the CLI and the server.
import sharp from 'sharp';
import type { Raster } from '../data/raster.ts';
import { DataError } from '../errors.ts';

/** Most pixels a picture may have before it is decoded (ours: Pillow's decompression-bomb limit). */
export const DEFAULT_MAX_DECODED_PIXELS = 178_956_970;

/** Formats accepted. Vector and document formats are left out: they can name further files. */
export const PICTURE_FORMATS = ['png', 'jpeg', 'webp', 'gif', 'tiff', 'heif'] as const;

/** How a picture is decoded. */
export interface DecodeOptions {
  /** Named in errors: the path or the field the bytes came from. */
  readonly name: string;
  /** Most pixels (width * height) accepted, checked before decoding. */
  readonly maxPixels?: number;
}

/**
 * Decodes a picture to 8-bit RGB: first frame, EXIF orientation applied, alpha dropped (not
 * blended), palettes, grey and 16-bit levels widened or narrowed, colour profiles ignored.
 * @throws DataError naming the picture for bytes that are no picture of an accepted format, are
 * damaged, or have more than maxPixels pixels.
 */
export async function decodePicture(bytes: Uint8Array, options: DecodeOptions): Promise<Raster> {
  const maxPixels = options.maxPixels ?? DEFAULT_MAX_DECODED_PIXELS;
  const { format, width, height } = await readHeader(bytes, options.name);
  if (!(PICTURE_FORMATS as readonly string[]).includes(format)) {
    throw new DataError({
      what: `Picture ${options.name} has a format that is not accepted`,
      got: format,
      expected: PICTURE_FORMATS.join(', '),
      fix: 'convert it to PNG or JPEG',
    });
  }
  if (width * height > maxPixels) {
    throw new DataError({
      what: `Picture ${options.name} is too large to decode`,
      got: `${width} x ${height} = ${width * height} pixels`,
      expected: `at most ${maxPixels} pixels`,
      fix: 'scale it down, or raise the limit if you trust its source',
    });
  }
  try {
    const { data, info } = await sharp(bytes, {
      limitInputPixels: maxPixels,
      failOn: 'error',
      ignoreIcc: true,
      pages: 1,
    })
      .autoOrient()
      .removeAlpha()
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true });
    return toRgb(data, info.width, info.height, info.channels);
  } catch (cause) {
    throw damagedError(options.name, cause);
  }
}

async function readHeader(
  bytes: Uint8Array,
  name: string,
): Promise<{ format: string; width: number; height: number }> {
  try {
    const { format, width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return { format, width, height };
  } catch (cause) {
    throw damagedError(name, cause);
  }
}

function toRgb(data: Uint8Array, width: number, height: number, channels: number): Raster {
  const numPixels = width * height;
  if (channels === 3) return { width, height, data: new Uint8Array(data) };
  const rgb = new Uint8Array(numPixels * 3);
  for (let i = 0; i < numPixels; i++) rgb.fill(data[i * channels] ?? 0, 3 * i, 3 * i + 3);
  return { width, height, data: rgb };
}

function damagedError(name: string, cause: unknown): DataError {
  return new DataError(
    {
      what: `Picture ${name} cannot be decoded`,
      got: cause instanceof Error ? cause.message : String(cause),
      expected: `an undamaged picture (${PICTURE_FORMATS.join(', ')})`,
      fix: 'open it in a viewer, save it again as PNG, or leave the example out',
    },
    cause,
  );
}
