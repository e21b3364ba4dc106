// Owns our side of bench/vision.ts: pictures through a random vision tower; last line JSON.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Raster } from '../../src/data/raster.ts';
import { bareBundle } from '../../src/generate/continuation.ts';
import { PictureEncoder } from '../../src/model/picture-encoder.ts';
import { openCheckpoint } from '../../src/store/checkpoint.ts';
import { peakBytes } from '../decode/peak.ts';
import type { Side } from '../sides/rounds.ts';

/** What a child process measures. */
export interface VisionWork {
  readonly folder: string;
  readonly threads: number;
  /** Sides of square pictures. */
  readonly cases: readonly string[];
  /** Calls by case. */
  readonly calls: Readonly<Record<string, number>>;
  /** The side of the picture that warms a process up. */
  readonly warm: string;
}

/** Of the first and of the last row: enough to tell that two towers compute the same. */
const CHECKED = 16;

async function measure(work: VisionWork): Promise<Side> {
  const checkpoint = await openCheckpoint(join(work.folder, 'model'));
  await using encoder = new PictureEncoder(bareBundle(checkpoint), { threads: work.threads });
  const read = (name: string): Raster => {
    const data = readFileSync(join(work.folder, `${name}.rgb`));
    return { width: Number(name), height: Number(name), data };
  };
  await encoder.encode([read(work.warm)]);
  const ms: Record<string, number[]> = {};
  const check: Record<string, number[]> = {};
  for (const name of work.cases) {
    ms[name] = [];
    const picture = read(name);
    for (let call = 0; call < (work.calls[name] ?? 1); call++) {
      const before = performance.now();
      const rows = await encoder.encode([picture]);
      ms[name].push(performance.now() - before);
      check[name] = [...rows.slice(0, CHECKED), ...rows.slice(-CHECKED)];
    }
  }
  return { ms, check, peakBytes: peakBytes() };
}

console.log(JSON.stringify(await measure(JSON.parse(process.argv[2] ?? '') as VisionWork)));
