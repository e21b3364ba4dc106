// Owns the speed of the vision tower beside PyTorch; `npm run bench -- vision`, last line JSON.
//
// Square pictures through a tower of the true widths (Qwen2.5-VL's: 1280, 16 heads, windows of 112 pixels)
// with random weights: 4 of its 32 blocks, the last of which looks at the whole picture. Ours starts from
// pixels, PyTorch from the patches that are cut from them. --quick: a test with two blocks and small pictures; --large: all
// 32 blocks, and the large picture on one thread, too; --rounds N; --out FILE.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeSafetensors } from '../src/engine/safetensors.ts';
import { tensor } from '../src/engine/tensor.ts';
import type { Tensor } from '../src/engine/tensor.ts';
import { CLIP_MEAN, CLIP_STD, patchify } from '../src/processor/patches.ts';
import { Rng } from '../src/rng.ts';
import { writeCheckpoint } from './decode/checkpoint.ts';
import type { Shape } from './decode/shapes.ts';
import {
  keep,
  machine,
  measureCeiling,
  measureRounds,
  requireReference,
  runOurs,
  runPython,
  say,
} from './sides/rounds.ts';
import type { Figure } from './sides/rounds.ts';

/** Source: config.json of Qwen2.5-VL-3B-Instruct, but for the number of blocks. */
const TOWER = {
  hidden_size: 1280,
  intermediate_size: 3420,
  num_heads: 16,
  out_hidden_size: 2048,
} as const;
/** A decoder that is only there because a checkpoint has one; its width is the tokens'. */
const DECODER: Shape = {
  ...{ hidden: 2048, layers: 1, heads: 16, kvHeads: 2, inner: 32, vocab: 64 },
  ...{ promptTokens: 0, newTokens: 0, warmPrompt: 0, repeats: 0, rounds: 0 },
};
const PATCH = 14;
const MERGE = 2;
const WINDOW_PATCHES = 64;

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
});

const [SMALL, LARGE] = flags.quick ? (['112', '224'] as const) : (['448', '1344'] as const);
const THREADS = flags.quick ? [1] : [1, 2];
const depth = flags.quick ? 2 : flags.large ? 32 : 4;
const fullBlocks = flags.large ? [7, 15, 23, 31] : [depth - 1];

/** Floating-point operations of a picture in products. */
function flopsOf(side: number): number {
  const patches = (side / PATCH) ** 2;
  const { hidden_size: width, intermediate_size: inner, out_hidden_size: out } = TOWER;
  const block = 4 * width * width + 3 * width * inner;
  const whole = 4 * fullBlocks.length * patches ** 2 * width;
  const windows = 4 * (depth - fullBlocks.length) * patches * WINDOW_PATCHES * width;
  const unit = MERGE * MERGE * width;
  const merger = 2 * (patches / MERGE ** 2) * (unit * unit + unit * out);
  const embedding = 2 * patches * 3 * 2 * PATCH * PATCH * width;
  return 2 * depth * patches * block + whole + windows + merger + embedding;
}

async function writeFiles(folder: string, sides: readonly string[]): Promise<void> {
  const vision = {
    ...{ depth, ...TOWER, fullatt_block_indexes: fullBlocks },
    ...{ patch_size: PATCH, spatial_patch_size: PATCH, spatial_merge_size: MERGE },
  };
  await writeCheckpoint(join(folder, 'model'), DECODER, 'f32', vision);
  const rng = new Rng('bench vision');
  const config = { patchSize: PATCH, temporalPatchSize: 2, mergeSize: MERGE };
  for (const name of sides) {
    const side = Number(name);
    const data = Uint8Array.from({ length: 3 * side * side }, () => rng.int(256));
    writeFileSync(join(folder, `${name}.rgb`), data);
    const picture = { width: side, height: side, data };
    const patches = patchify([picture], { ...config, mean: CLIP_MEAN, std: CLIP_STD });
    const { numPatches, patchLength, pixelValues_PF, grids } = patches;
    await writeSafetensors(
      join(folder, `${name}.safetensors`),
      new Map<string, Tensor>([
        ['pixel_values', tensor('f32', [numPatches, patchLength], pixelValues_PF)],
        ['image_grid_thw', tensor('i64', [1, 3], BigInt64Array.from(grids.flat(), BigInt))],
      ]),
    );
  }
}

requireReference();
const host = machine();
const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
try {
  await writeFiles(folder, [SMALL, LARGE]);
  say('files are written');
  const ceiling = measureCeiling(THREADS);
  const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 4));
  const measure = (names: readonly string[], threads: readonly number[], calls: number): Figure[] =>
    measureRounds({
      variants: {
        ours: (count, cases) =>
          runOurs('../vision/ours.ts', { ...workOf(calls), cases, warm: SMALL }, count),
        pytorch: (count, cases) =>
          runPython('vision_speed.py', { ...workOf(calls), cases, warm: SMALL }, count),
      },
      ...{ cases: names, threads, rounds },
    });
  const workOf = (calls: number): object => ({ folder, calls: { [SMALL]: calls, [LARGE]: calls } });
  const results = [
    ...measure([SMALL], THREADS, flags.large ? 2 : 4),
    ...measure([LARGE], flags.large || flags.quick ? THREADS : [2], flags.large ? 1 : 2),
  ];
  const shares = results.map(({ case: name, threads, variant, ms }) => {
    const gflops = flopsOf(Number(name)) / ms / 1e6;
    const limit = ceiling.find((one) => one.threads === threads)?.gflops ?? NaN;
    return { case: name, threads, variant, gflops, ofCeiling: gflops / limit };
  });
  keep(
    { ...{ bench: 'vision', machine: host, ceiling, tower: { ...TOWER, depth } }, results, shares },
    flags,
  );
} finally {
  rmSync(folder, { recursive: true, force: true });
}
