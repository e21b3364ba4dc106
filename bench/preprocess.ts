// Owns the speed from a picture's file bytes to pixel_values beside the original; `npm run bench -- preprocess`.
//
// The original are Hugging Face's processors, the slow one on Pillow and the fast one on torchvision. A fresh
// process a round and side; last line JSON. --quick: a test; --rounds N; --out FILE.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { Rng } from '../src/rng.ts';
import {
  keep,
  machine,
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

const SIDES = flags.quick ? [512] : [512, 2048];
const ENDINGS = ['png', 'jpg'] as const;

/** Smooth noise, which compresses as photographs do. */
async function drawPictures(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const side of SIDES) {
    const rng = new Rng(side);
    const small = side / 8;
    const noise = Uint8Array.from({ length: small * small * 3 }, () =>
      Math.floor(rng.uniform() * 256),
    );
    const raw = { width: small, height: small, channels: 3 } as const;
    const picture = sharp(noise, { raw }).resize(side);
    for (const ending of ENDINGS) {
      names.push(`${side}.${ending}`);
      await picture.clone().toFile(join(folder, `${side}.${ending}`));
    }
  }
  return names;
}

requireReference();
const host = machine();
const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
try {
  const work = { folder, seconds: flags.quick ? 0.5 : 1, leastCalls: 5 };
  const results = measureRounds({
    variants: {
      ours: (threads, cases) => runOurs('../preprocess/ours.ts', { ...work, cases }, threads),
      slow: (threads, cases) => runPython('speed.py', { ...work, cases, kind: 'slow' }, threads),
      fast: (threads, cases) => runPython('speed.py', { ...work, cases, kind: 'fast' }, threads),
    },
    cases: await drawPictures(folder),
    threads: flags.quick ? [1] : [1, 2],
    rounds: Number(flags.rounds ?? (flags.quick ? 1 : 3)),
  });
  keep({ bench: 'preprocess', machine: host, results }, flags);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
