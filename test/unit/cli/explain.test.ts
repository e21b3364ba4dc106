// Tests `gapvl explain` on real files: what it says, what it writes, where its settings come from.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { EXIT_CODES } from '../../../src/errors.ts';
import { readSafetensors } from '../../../src/engine/safetensors.ts';
import { gapvl } from '../../helpers/command-line.ts';
import { inTemporaryFolder } from '../../helpers/mini-model.ts';
import { SHIPPED_BASE } from '../../helpers/small-way.ts';

async function withPicture(use: (file: string, folder: string) => Promise<void>): Promise<void> {
  await inTemporaryFolder(async (folder) => {
    const file = join(folder, 'turned.jpg');
    const picture = sharp({ create: { width: 100, height: 40, channels: 3, background: '#c43' } });
    await writeFile(file, await picture.withMetadata({ orientation: 6 }).jpeg().toBuffer());
    await use(file, folder);
  });
}

describe('gapvl explain', () => {
  it('says format, rotation, sizes, rule, grid and tokens', async () => {
    await withPicture(async (file) => {
      const { code, out } = await gapvl(['explain', file]);
      expect(code).toBe(0);
      expect(out).toContain('100 x 40 px, jpeg, EXIF rotation: turned by 90 degrees clockwise');
      expect(out).toContain('used     40 x 100 px');
      expect(out).toContain('resized  28 x 112 px (rounded: ');
      expect(out).toContain('grid     1 x 8 x 2 of 14 px patches = 16 patches');
      expect(out).toContain('tokens   4 ');
    });
  });

  it('writes the pixels that it tells of', async () => {
    await withPicture(async (file, folder) => {
      const pixels = join(folder, 'pixels.safetensors');
      const run = await gapvl(['explain', '--json', '--pixels', pixels, file, file]);
      const told = JSON.parse(run.out) as { pictures: { grid: number[]; rule: string }[] };
      expect(told.pictures.map(({ grid, rule }) => [rule, ...grid])).toEqual([
        ['rounded', 1, 8, 2],
        ['rounded', 1, 8, 2],
      ]);
      const { tensors } = await readSafetensors(pixels);
      expect(tensors.get('pixel_values')?.dims).toEqual([32, 1176]);
      expect([...(tensors.get('image_grid_thw')?.data ?? [])]).toEqual([1n, 8n, 2n, 1n, 8n, 2n]);
    });
  });

  it('takes settings from a model folder, and limits from its options', async () => {
    await withPicture(async (file) => {
      const own = await gapvl(['explain', '--model', SHIPPED_BASE, file]);
      expect(own.out).toContain('of 8 px patches');
      const few = await gapvl(['explain', '--max-pixels', '1600', file]);
      expect(few.out).toContain('shrunk: ');
      const none = await gapvl(['explain', '--min-pixels', '9', '--max-pixels', '8', file]);
      expect(none.code).toBe(EXIT_CODES.usage);
    });
  });

  it('names the picture that cannot be read', async () => {
    const { code, err } = await gapvl(['explain', 'no-such-picture.png']);
    expect(code).toBe(EXIT_CODES.data);
    expect(err).toContain('no-such-picture.png');
  });
});
