// Owns `preprocessor_config.json` of every vintage -> picture settings; called by model-folder.ts and `gapvl explain`.
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError } from '../errors.ts';
import { isObject } from '../engine/strict-json.ts';
import { CLIP_MEAN, CLIP_STD, type PatchConfig } from '../processor/patches.ts';
import { readCheckpointJson } from './checkpoint.ts';
import { QWEN_MAX_PIXELS, QWEN_MIN_PIXELS, type PixelRange } from '../processor/resize.ts';

/** How pictures are cut, normalised and sized. */
export interface PictureSettings {
  readonly patches: PatchConfig;
  readonly pixels: PixelRange;
}

/** Sizes of patches, as the vision tower has them. */
export type PatchSizes = Pick<PatchConfig, 'patchSize' | 'temporalPatchSize' | 'mergeSize'>;

/** Patch sizes of Qwen2.5-VL. Source: its preprocessor_config.json. */
export const QWEN_PATCH_SIZES: PatchSizes = { patchSize: 14, temporalPatchSize: 2, mergeSize: 2 };

/** `PIL.Image.Resampling.BICUBIC`, the only filter there is here. */
const BICUBIC = 3;
const STEPS = ['do_resize', 'do_rescale', 'do_normalize', 'do_convert_rgb'] as const;
const SIZE_FIELDS = [
  ['patch_size', 'patchSize'],
  ['temporal_patch_size', 'temporalPatchSize'],
  ['merge_size', 'mergeSize'],
] as const;

/** A reader of the fields of one file; what cannot be used is an error that names file and field. */
class Fields {
  private readonly json: Readonly<Record<string, unknown>>;
  private readonly file: string;

  constructor(json: unknown, file: string) {
    if (typeof json !== 'object' || json === null || Array.isArray(json)) {
      throw new CheckpointError({ what: `${file} cannot be used`, expected: 'a JSON object' });
    }
    this.json = { ...json };
    this.file = file;
  }

  get(field: string): unknown {
    return this.json[field] ?? undefined;
  }

  fail(field: string, value: unknown, expected: string): never {
    throw new CheckpointError({
      what: `${this.file}: ${field} cannot be used`,
      got: JSON.stringify(value),
      expected,
      fix: 'use the preprocessor_config.json that belongs to the checkpoint',
    });
  }

  positive(field: string, value: unknown = this.get(field)): number | undefined {
    if (value === undefined || value === null) return undefined;
    const isUsable = typeof value === 'number' && Number.isFinite(value) && value > 0;
    return isUsable ? value : this.fail(field, value, 'a number above 0');
  }

  triple(
    field: string,
    fallback: readonly [number, number, number],
  ): readonly [number, number, number] {
    const value = this.get(field);
    if (value === undefined) return fallback;
    const list: unknown[] = Array.isArray(value) ? value : [];
    const [red, green, blue] = list.filter((v) => typeof v === 'number' && Number.isFinite(v));
    const isTriple = typeof red === 'number' && typeof green === 'number';
    if (isTriple && typeof blue === 'number' && list.length === 3) return [red, green, blue];
    return this.fail(field, value, 'three numbers, for red, green and blue');
  }
}

function readLimits(fields: Fields): PixelRange {
  const size = fields.get('size');
  const named = typeof size === 'object' && size !== null ? { ...size } : {};
  const side = (name: string): number | undefined =>
    fields.positive(`size.${name}`, (named as Record<string, unknown>)[name]);
  const minPixels = fields.positive('min_pixels') ?? side('shortest_edge') ?? side('min_pixels');
  const maxPixels = fields.positive('max_pixels') ?? side('longest_edge') ?? side('max_pixels');
  const limits = {
    minPixels: minPixels ?? QWEN_MIN_PIXELS,
    maxPixels: maxPixels ?? QWEN_MAX_PIXELS,
  };
  if (limits.minPixels <= limits.maxPixels) return limits;
  return fields.fail('min_pixels', limits.minPixels, `at most max_pixels ${limits.maxPixels}`);
}

/**
 * Reads the picture settings of a checkpoint: `min_pixels` and `max_pixels`, or (newer)
 * `size: {shortest_edge, longest_edge}`, the first winning as in the original; Qwen2.5-VL's
 * published values where the file is silent.
 * @param sizes - of the vision tower; the file may repeat but not contradict them.
 * @param file - named in errors.
 * @throws CheckpointError naming file and field, also for a step that is switched off: pictures
 * would go into the model in a way it does not expect.
 * Source: transformers image_processing_pil_qwen2_vl.py, `__init__`.
 */
export function readPreprocessor(json: unknown, sizes: PatchSizes, file: string): PictureSettings {
  const fields = new Fields(json, file);
  for (const step of STEPS) {
    const value = fields.get(step);
    if (value !== undefined && value !== true) fields.fail(step, value, 'true');
  }
  const resample = fields.get('resample');
  if (resample !== undefined && resample !== BICUBIC) {
    fields.fail('resample', resample, `${BICUBIC} (bicubic)`);
  }
  for (const [field, name] of SIZE_FIELDS) {
    const value = fields.positive(field);
    if (value !== undefined && value !== sizes[name]) {
      fields.fail(field, value, `${sizes[name]}, as the vision tower of the checkpoint has it`);
    }
  }
  const rescaleFactor = fields.positive('rescale_factor');
  return {
    patches: {
      patchSize: sizes.patchSize,
      temporalPatchSize: sizes.temporalPatchSize,
      mergeSize: sizes.mergeSize,
      mean: fields.triple('image_mean', CLIP_MEAN),
      std: fields.triple('image_std', CLIP_STD),
      ...(rescaleFactor === undefined ? {} : { rescaleFactor }),
    },
    pixels: readLimits(fields),
  };
}

/** File of the picture settings. */
export const PICTURE_FILE = 'preprocessor_config.json';
/** Where transformers 5 writes the picture settings, among others, as `image_processor`. */
export const PROCESSOR_FILE = 'processor_config.json';

/**
 * The picture settings of a model folder, from the file of any vintage.
 * @throws CheckpointError as readPreprocessor, and when the folder has neither file.
 */
export async function readPictureSettings(
  folder: string,
  sizes: PatchSizes,
): Promise<PictureSettings> {
  const isThere = (file: string): Promise<boolean> =>
    access(join(folder, file)).then(
      () => true,
      () => false,
    );
  const own = join(folder, PICTURE_FILE);
  if ((await isThere(PICTURE_FILE)) || !(await isThere(PROCESSOR_FILE)))
    return readPreprocessor(await readCheckpointJson(own), sizes, own);
  const path = join(folder, PROCESSOR_FILE);
  const settings = (await readCheckpointJson(path))['image_processor'];
  if (isObject(settings)) return readPreprocessor(settings, sizes, path);
  throw new CheckpointError({
    what: `${path} has no picture settings`,
    expected: `image_processor in it, or ${PICTURE_FILE} beside it`,
    fix: 'get the checkpoint again with all its files',
  });
}
