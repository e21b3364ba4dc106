// Tests of preprocessor_config.json: both vintages, defaults, what is refused by file and field.
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../../src/errors.ts';
import { CLIP_MEAN, CLIP_STD } from '../../../src/processor/patches.ts';
import { QWEN_PATCH_SIZES, readPreprocessor } from '../../../src/store/preprocessor.ts';

const read = (json: unknown): ReturnType<typeof readPreprocessor> =>
  readPreprocessor(json, QWEN_PATCH_SIZES, 'm/preprocessor_config.json');

describe('readPreprocessor', () => {
  it("takes Qwen2.5-VL's published values where the file is silent", () => {
    expect(read({})).toEqual({
      patches: { ...QWEN_PATCH_SIZES, mean: CLIP_MEAN, std: CLIP_STD },
      pixels: { minPixels: 3136, maxPixels: 12_845_056 },
    });
  });

  it('reads the limits of both vintages, the older fields first', () => {
    const size = { shortest_edge: 400, longest_edge: 5000 };
    expect(read({ size }).pixels).toEqual({ minPixels: 400, maxPixels: 5000 });
    expect(read({ size, min_pixels: 300 }).pixels).toEqual({ minPixels: 300, maxPixels: 5000 });
    expect(read({ min_pixels: 300, max_pixels: 4000, size: null }).pixels).toEqual({
      minPixels: 300,
      maxPixels: 4000,
    });
  });

  it('reads normalisation and rescaling', () => {
    const { patches } = read({ image_mean: [0.1, 0.2, 0.3], rescale_factor: 0.5 });
    expect([patches.mean, patches.std, patches.rescaleFactor]).toEqual([
      [0.1, 0.2, 0.3],
      CLIP_STD,
      0.5,
    ]);
  });

  it.each([
    ['do_resize', false],
    ['do_rescale', false],
    ['do_normalize', false],
    ['do_convert_rgb', 'no'],
    ['resample', 2],
    ['patch_size', 16],
    ['merge_size', 4],
    ['temporal_patch_size', 1],
    ['min_pixels', -1],
    ['max_pixels', 'many'],
    ['min_pixels', 99_999_999],
    ['rescale_factor', 0],
    ['image_mean', [0.5, 0.5]],
    ['image_std', [1, 1, 'x']],
  ])('refuses %s: %j by file and field', (field, value) => {
    expect(() => read({ [field]: value })).toThrow(CheckpointError);
    expect(() => read({ [field]: value })).toThrow(`m/preprocessor_config.json: ${field}`);
  });

  it('refuses a file that is no object', () => {
    expect(() => read([])).toThrow(CheckpointError);
  });
});
