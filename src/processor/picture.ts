// Owns the decoding of picture bytes into 8-bit RGB through `sharp`; called by data loaders, the CLI and the server.
import type { Metadata, Sharp } from 'sharp';
import type { Raster } from '../data/raster.ts';
import { DataError } from '../errors.ts';
import { clipGrey16, cmykToRgb, opaqueGif, paintAround } from './pillow.ts';
import { transparentPngColor, whiten } from './pillow.ts';

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
 * Decodes a picture to 8-bit RGB as `exif_transpose(Image.open(...)).convert('RGB')` of Pillow does:
 * first frame, EXIF orientation applied, alpha dropped (not blended), a single transparent colour
 * made white (the original's processor does that after the conversion), palettes and grey widened,
 * 16-bit colour narrowed to its upper byte, 16-bit grey clipped at 255, CMYK and colour profiles
 * without colour management. AVIF differs by what its decoders do to half-resolution colour.
 * @throws DataError naming the picture for bytes that are no picture of an accepted format, are
 * damaged, or have more than maxPixels pixels.
 * Source: transformers image_utils.py, `load_image`.
 */
export async function decodePicture(bytes: Uint8Array, options: DecodeOptions): Promise<Raster> {
  const maxPixels = options.maxPixels ?? DEFAULT_MAX_DECODED_PIXELS;
  const header = await readPictureHeader(bytes, options);
  const { default: sharp } = await import('sharp');
  try {
    const frame = header.format === 'gif' ? opaqueGif(bytes) : undefined;
    const picture = sharp(frame?.bytes ?? bytes, {
      limitInputPixels: maxPixels,
      failOn: 'error',
      ignoreIcc: true,
      pages: 1,
    }).autoOrient();
    if (header.layout === 'cmyk') {
      const inks = picture.pipelineColourspace('cmyk').toColourspace('cmyk');
      return await rasterOf(inks.raw({ depth: 'uchar' }), cmykToRgb);
    }
    if (header.layout === 'grey16') {
      const grey = picture.removeAlpha().toColourspace('grey16');
      return await rasterOf(grey.raw({ depth: 'ushort' }), (data) => clipGrey16(words(data)));
    }
    const rgb = picture.removeAlpha().toColourspace('srgb');
    const raster = await rasterOf(rgb.raw({ depth: 'uchar' }), toRgb);
    if (frame !== undefined) paintAround(raster, frame);
    const key = frame?.isTransparent
      ? frame.around
      : header.format === 'png'
        ? transparentPngColor(bytes)
        : undefined;
    if (key !== undefined) whiten(raster, key);
    return raster;
  } catch (cause) {
    throw damagedError(options.name, cause);
  }
}

/** What the header of a picture says; its pixels are not decoded. */
export interface PictureHeader {
  /** As `sharp` names it; AVIF is `heif`. */
  readonly format: string;
  /** Sides as stored, before the orientation is applied. */
  readonly stored: { readonly width: number; readonly height: number };
  /** EXIF orientation, 1 to 8; 1 when there is none. */
  readonly orientation: number;
  /** How its levels become RGB. */
  readonly layout: 'rgb' | 'cmyk' | 'grey16';
}

/**
 * Reads the header of a picture.
 * @throws DataError for bytes that are no picture of an accepted format, or one of more than
 * maxPixels pixels.
 */
export async function readPictureHeader(
  bytes: Uint8Array,
  { name, maxPixels = DEFAULT_MAX_DECODED_PIXELS }: DecodeOptions,
): Promise<PictureHeader> {
  const { format, width, height, space, orientation = 1 } = await readMetadata(bytes, name);
  if (!(PICTURE_FORMATS as readonly string[]).includes(format)) {
    throw new DataError({
      what: `Picture ${name} has a format that is not accepted`,
      got: format,
      expected: PICTURE_FORMATS.join(', '),
      fix: 'convert it to PNG or JPEG',
    });
  }
  if (width * height > maxPixels) {
    throw new DataError({
      what: `Picture ${name} is too large to decode`,
      got: `${width} x ${height} = ${width * height} pixels`,
      expected: `at most ${maxPixels} pixels`,
      fix: 'scale it down, or raise the limit if you trust its source',
    });
  }
  // A PNG of grey with alpha (colour type 4) is not clipped: Pillow reads it as RGBA.
  const isPlainGrey = format !== 'png' || bytes[PNG_COLOR_TYPE] === 0;
  const layout =
    space === 'cmyk' ? 'cmyk' : space === 'grey16' && isPlainGrey ? 'grey16' : ('rgb' as const);
  return { format, stored: { width, height }, orientation, layout };
}

/** Place of the colour type in a PNG file. */
const PNG_COLOR_TYPE = 25;

async function readMetadata(bytes: Uint8Array, name: string): Promise<Metadata> {
  // Loaded by the first picture, so that what needs none starts sooner.
  const { default: sharp } = await import('sharp');
  try {
    return await sharp(bytes, { limitInputPixels: false }).metadata();
  } catch (cause) {
    throw damagedError(name, cause);
  }
}

async function rasterOf(
  picture: Sharp,
  convert: (data: Uint8Array, numPixels: number) => Uint8Array,
): Promise<Raster> {
  const { data, info } = await picture.toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  return { width, height, data: convert(data, width * height) };
}

function words(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.slice().buffer);
}

function toRgb(data: Uint8Array, numPixels: number): Uint8Array {
  const channels = data.length / numPixels;
  if (channels === 3) return new Uint8Array(data.buffer, data.byteOffset, data.length);
  const rgb = new Uint8Array(numPixels * 3);
  for (let i = 0; i < numPixels; i++) rgb.fill(data[i * channels] ?? 0, 3 * i, 3 * i + 3);
  return rgb;
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
