// Owns our side of bench/preprocess.ts: pictures from file bytes to pixel_values; last line JSON.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { patchify } from '../../src/processor/patches.ts';
import { decodePicture } from '../../src/processor/picture.ts';
import { resizeBicubic, smartResize } from '../../src/processor/resize.ts';
import { QWEN_PATCH_SIZES, readPreprocessor } from '../../src/store/preprocessor.ts';
import { peakBytes } from '../decode/peak.ts';
import type { Side } from '../sides/rounds.ts';

/** What a child process measures. */
export interface PreprocessWork {
  readonly folder: string;
  /** Names of files. */
  readonly cases: readonly string[];
  /** Of each file, after the warm-up. */
  readonly seconds: number;
  readonly leastCalls: number;
}

const WARM_UP = 2;

async function measure({ folder, cases, seconds, leastCalls }: PreprocessWork): Promise<Side> {
  const { patches, pixels } = readPreprocessor({}, QWEN_PATCH_SIZES, 'Qwen2.5-VL');
  const factor = patches.patchSize * patches.mergeSize;
  const ms: Record<string, number[]> = {};
  const check: Record<string, number[]> = {};
  for (const name of cases) {
    const file = join(folder, name);
    const calls: number[] = [];
    const start = performance.now();
    while (calls.length < leastCalls + WARM_UP || performance.now() - start < 1000 * seconds) {
      const before = performance.now();
      const picture = await decodePicture(readFileSync(file), { name: file });
      const { minPixels, maxPixels } = pixels;
      const size = smartResize(picture.height, picture.width, factor, minPixels, maxPixels);
      const { numPatches } = patchify([resizeBicubic(picture, size)], patches);
      calls.push(performance.now() - before);
      check[name] = [numPatches];
    }
    ms[name] = calls.slice(WARM_UP);
  }
  return { ms, check, peakBytes: peakBytes() };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? '') as PreprocessWork)));
