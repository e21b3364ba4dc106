// Tests of picture decoding against Pillow's convert('RGB'), and of damaged and hostile files.
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { DataError } from '../../../src/errors.ts';
import { decodePicture } from '../../../src/processor/picture.ts';
import { bytesOf, readGolden } from './goldens.ts';

interface Golden {
  readonly cases: readonly {
    readonly name: string;
    readonly file: string;
    readonly tolerance: number;
    readonly height: number;
    readonly width: number;
    readonly data: string;
  }[];
  readonly extra: Readonly<Record<'grey16.png' | 'cmyk.jpg', string>>;
}

const golden = readGolden('pictures') as Golden;
const original = readGolden('pillow') as {
  readonly cases: readonly {
    readonly kind: string;
    readonly file: string;
    readonly height: number;
    readonly width: number;
    readonly data: string;
  }[];
};

function caseOf(name: string): Uint8Array {
  const found = golden.cases.find((c) => c.name === name);
  if (found === undefined) throw new RangeError(name);
  return bytesOf(found.file);
}

describe('decodePicture', () => {
  it.each(golden.cases.map((c) => [c.name, c] as const))(
    'reads %s as Pillow does',
    async (name, c) => {
      const raster = await decodePicture(bytesOf(c.file), { name });
      expect(raster).toMatchObject({ width: c.width, height: c.height });
      const expected = bytesOf(c.data);
      expect(raster.data.length).toBe(expected.length);
      let worst = 0;
      for (const [i, value] of expected.entries())
        worst = Math.max(worst, Math.abs(value - (raster.data[i] ?? -999)));
      expect(worst).toBeLessThanOrEqual(c.tolerance);
    },
  );

  it('clips 16-bit grey at 255, as Pillow does', async () => {
    const raster = await decodePicture(bytesOf(golden.extra['grey16.png']), { name: 'grey16.png' });
    const reds = [...raster.data].filter((_, i) => i % 3 === 0);
    expect(reds).toEqual(Array.from({ length: 12 * 18 }, (_, i) => Math.min(255, i * 300)));
  });

  it.each(original.cases.map((c) => [c.kind, c] as const))(
    'gives the very pixels that the original sees: %s',
    async (name, c) => {
      const raster = await decodePicture(bytesOf(c.file), { name });
      expect(raster).toMatchObject({ width: c.width, height: c.height });
      expect(Buffer.from(raster.data).equals(bytesOf(c.data))).toBe(true);
    },
  );

  it('names the picture when the bytes are damaged, cut off, empty or no picture', async () => {
    const png = caseOf('rgb.png');
    const jpeg = caseOf('turned.jpg');
    const damaged = [
      new Uint8Array(0),
      png.slice(0, 20),
      png.slice(0, png.length - 40),
      jpeg.slice(0, jpeg.length >> 1),
      new TextEncoder().encode('hello'),
    ];
    for (const bytes of damaged) {
      const failure = decodePicture(bytes, { name: 'images/7.png' });
      await expect(failure).rejects.toThrow(DataError);
      await expect(failure).rejects.toThrow(/images\/7\.png/);
    }
  });

  it('refuses a JPEG whose last rows are missing instead of filling them with grey', async () => {
    const pixels = Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * i) % 251);
    const jpeg = await sharp(pixels, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    const cut = jpeg.subarray(0, Math.floor(jpeg.length * 0.8));
    expect((await decodePicture(jpeg, { name: 'whole.jpg' })).height).toBe(64);
    await expect(decodePicture(cut, { name: 'cut.jpg' })).rejects.toThrow(
      /cut\.jpg cannot be decoded/,
    );
  });

  it('refuses a decompression bomb before decoding it', async () => {
    const bomb = await sharp({
      create: { width: 4000, height: 4000, channels: 3, background: '#fff' },
    })
      .png()
      .toBuffer();
    expect(bomb.length).toBeLessThan(200_000);
    await expect(decodePicture(bomb, { name: 'bomb.png', maxPixels: 1_000_000 })).rejects.toThrow(
      /bomb\.png is too large/,
    );
  });

  it('refuses vector pictures, which could name other files', async () => {
    const svg =
      '<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>';
    await expect(decodePicture(new TextEncoder().encode(svg), { name: 'a.svg' })).rejects.toThrow(
      /not accepted/,
    );
  });
});
