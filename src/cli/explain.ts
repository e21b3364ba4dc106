// Owns `gapvl explain`: says for pictures what size and how many tokens they get, and why.
import { join } from 'node:path';
import type { Raster } from '../data/raster.ts';
import { writeSafetensors } from '../engine/safetensors.ts';
import { tensor } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { parseModelConfig } from '../model/config.ts';
import { explainResize, orientationText, orientedSize } from '../processor/explain.ts';
import type { ResizeExplanation } from '../processor/explain.ts';
import { patchify } from '../processor/patches.ts';
import type { PatchConfig } from '../processor/patches.ts';
import { decodePicture, readPictureHeader } from '../processor/picture.ts';
import type { PictureHeader } from '../processor/picture.ts';
import { pixelLimits, resizeBicubic } from '../processor/resize.ts';
import { readCheckpointJson } from '../store/checkpoint.ts';
import { QWEN_PATCH_SIZES, readPictureSettings, readPreprocessor } from '../store/preprocessor.ts';
import type { PictureSettings } from '../store/preprocessor.ts';
import { defineCommand } from './command.ts';
import * as option from './options.ts';
import { readPictureFile } from './picture-file.ts';

interface Explained extends ResizeExplanation {
  readonly file: string;
  readonly header: PictureHeader;
  readonly raster?: Raster;
}

async function settingsOf(folder: string | undefined): Promise<PictureSettings> {
  if (folder === undefined) {
    return readPreprocessor({}, QWEN_PATCH_SIZES, 'the settings of Qwen2.5-VL');
  }
  const path = join(folder, 'config.json');
  const { vision } = parseModelConfig(await readCheckpointJson(path), path);
  return readPictureSettings(folder, vision);
}

async function explain(
  file: string,
  { patches, pixels }: PictureSettings,
  wantsPixels: boolean,
): Promise<Explained> {
  const bytes = await readPictureFile(file);
  const header = await readPictureHeader(bytes, { name: file });
  const { patchSize, mergeSize } = patches;
  const used = orientedSize(header.stored, header.orientation);
  const found = { file, header, ...explainResize(used, { patchSize, mergeSize, ...pixels }) };
  if (!wantsPixels) return found;
  const raster = resizeBicubic(await decodePicture(bytes, { name: file }), found.resized);
  return { ...found, raster };
}

async function writePixels(
  path: string,
  explained: readonly Explained[],
  config: PatchConfig,
): Promise<void> {
  const rasters = explained.flatMap(({ raster }) => (raster ? [raster] : []));
  const { pixelValues_PF, grids, numPatches, patchLength } = patchify(rasters, config);
  const rows = BigInt64Array.from(grids.flat(), BigInt);
  await writeSafetensors(
    path,
    new Map<string, Tensor>([
      ['pixel_values', tensor('f32', [numPatches, patchLength], pixelValues_PF)],
      ['image_grid_thw', tensor('i64', [grids.length, 3], rows)],
    ]),
  );
}

function paragraph(explained: Explained, { patchSize, mergeSize }: PatchConfig): string {
  const { file, header, used, rule, why, resized, grid, numPatches, numTokens } = explained;
  const { format, stored, orientation, layout } = header;
  const kind = { rgb: '', cmyk: ', CMYK', grey16: ', 16-bit grey (levels above 255 are white)' };
  const [, h, w] = grid;
  return [
    file,
    `  stored   ${stored.width} x ${stored.height} px, ${format}${kind[layout]}, EXIF rotation: ${orientationText(orientation)}`,
    `  used     ${used.width} x ${used.height} px`,
    `  resized  ${resized.width} x ${resized.height} px (${rule}: ${why})`,
    `  grid     1 x ${h} x ${w} of ${patchSize} px patches = ${numPatches} patches`,
    `  tokens   ${numTokens} (squares of ${mergeSize} x ${mergeSize} patches)`,
  ].join('\n');
}

function limit(flags: string, what: string): option.CliOption<number | undefined> {
  return option.positiveInteger(
    flags,
    `${what} pixels of a resized picture (default: the model's)`,
  );
}

/** The command. */
export const command = defineCommand({
  description:
    'Says what happens to pictures before the model sees them: format, stored size, EXIF rotation, ' +
    'the size they are resized to and the rule that made it, patch grid, patches, tokens. Settings ' +
    "are those of a model folder, or Qwen2.5-VL's published ones.",
  options: {
    model: option.text('--model <dir>', 'model folder whose settings are used'),
    minPixels: limit('--min-pixels <n>', 'least'),
    maxPixels: limit('--max-pixels <n>', 'most'),
    pixels: option.text(
      '--pixels <file>',
      'also write pixel_values and image_grid_thw, as `gapvl forward` reads them',
    ),
  },
  arguments: [{ syntax: '<image...>', description: 'picture files' }],
  examples: ['gapvl explain photo.jpg', 'gapvl explain --model DIR --max-pixels 1000000 *.png'],
  run: async (values, context, files) => {
    const { model, minPixels, maxPixels, pixels: output } = values;
    const read = await settingsOf(model);
    const own = {
      ...(minPixels === undefined ? {} : { minPixels }),
      ...(maxPixels === undefined ? {} : { maxPixels }),
    };
    const settings = { ...read, pixels: pixelLimits(read.pixels, own) };
    const explained: Explained[] = [];
    for (const file of files) {
      context.signal.throwIfAborted();
      explained.push(await explain(file, settings, output !== undefined));
    }
    if (output !== undefined) await writePixels(output, explained, settings.patches);
    context.result(explained.map((one) => paragraph(one, settings.patches)).join('\n\n'), {
      model: model ?? null,
      ...settings,
      pictures: explained.map(({ header, raster: _, ...one }) => ({ ...one, ...header })),
    });
  },
});
