// Owns the speed of capacity sampling beside generate(); `npm run bench -- capacity`, last line JSON.
//
// Eight sampled answers of 24 tokens to every question on the shipped base, from pictures to words, in
// batches of several sizes: both sides get the same prompts, the same number of tokens and the same
// temperature; what is drawn differs. Milliseconds are of one question with its eight answers. PyTorch starts
// from patches and ends with ids; ours cuts pictures into patches, reads and compares the answers besides.
// --quick: a test; --rounds N; --out FILE.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeSafetensors } from '../src/engine/safetensors.ts';
import { tensor } from '../src/engine/tensor.ts';
import type { Tensor } from '../src/engine/tensor.ts';
import { fitPicture } from '../src/context/prepared.ts';
import { promptIds } from '../src/model/bundle.ts';
import { patchify, rasterGrid } from '../src/processor/patches.ts';
import { BASE, NEW_TOKENS, SAMPLES, drawQuestions, openEndless } from './capacity/questions.ts';
import {
  keep,
  machine,
  measureCeiling,
  measureRounds,
  requireReference,
  runOurs,
  runPython,
} from './sides/rounds.ts';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
});

/** Questions of a batch, and how many batches a process measures. */
const CALLS: Readonly<Record<string, number>> = flags.quick
  ? { 4: 5 }
  : { 1: 4, 4: 4, 16: 2, 32: 2, 64: 2 };
const THREADS = flags.quick ? [1] : [1, 2];

async function writePrompts(path: string): Promise<void> {
  const { bundle } = await openEndless();
  const examples = drawQuestions();
  const pictures = examples.map(({ picture }) => fitPicture(bundle, picture));
  const prompts = examples.map(({ question }, i) => {
    const picture = pictures[i];
    return promptIds(bundle, question, picture ? [rasterGrid(picture, bundle.patches)] : []);
  });
  const length = Math.max(...prompts.map((ids) => ids.length));
  const count = prompts.length;
  const inputIds = new BigInt64Array(count * length).fill(BigInt(bundle.padId));
  const mask = new BigInt64Array(count * length);
  // On the left, where generate() wants its padding.
  prompts.forEach((ids, row) => {
    const start = (row + 1) * length - ids.length;
    inputIds.set(ids.map(BigInt), start);
    mask.fill(1n, start, start + ids.length);
  });
  const { pixelValues_PF, numPatches, patchLength, grids } = patchify(pictures, bundle.patches);
  await writeSafetensors(
    path,
    new Map<string, Tensor>([
      ['input_ids', tensor('i64', [count, length], inputIds)],
      ['attention_mask', tensor('i64', [count, length], mask)],
      ['pixel_values', tensor('f32', [numPatches, patchLength], pixelValues_PF)],
      ['image_grid_thw', tensor('i64', [count, 3], BigInt64Array.from(grids.flat(), BigInt))],
    ]),
  );
}

requireReference();
const host = machine();
const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
try {
  const prompts = join(folder, 'prompts.safetensors');
  await writePrompts(prompts);
  const ceiling = measureCeiling(THREADS);
  const theirs = { model: BASE, prompts, calls: CALLS, samples: SAMPLES, newTokens: NEW_TOKENS };
  const results = measureRounds({
    variants: {
      ours: (threads, cases) => runOurs('../capacity/ours.ts', { cases, calls: CALLS }, threads),
      generate: (threads, cases) => runPython('capacity_speed.py', { ...theirs, cases }, threads),
    },
    cases: Object.keys(CALLS),
    threads: THREADS,
    rounds: Number(flags.rounds ?? (flags.quick ? 1 : 4)),
  });
  const about = { samples: SAMPLES, newTokens: NEW_TOKENS };
  keep({ bench: 'capacity', machine: host, ceiling, ...about, results }, flags);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
