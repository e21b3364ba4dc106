// Times pictures from file bytes to pixel_values, ours beside the original's; `npx tsx bench/preprocess.ts [rounds]`, last line JSON;
// `table` in the place of a number prints the Markdown table of the kept result.
//
// The original is Hugging Face's processor on Pillow, in the environment that tools/reference/setup.sh
// makes. Each side runs in a fresh process a round; sides and pictures change order every round.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir, cpus, loadavg, availableParallelism } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { patchify } from '../src/processor/patches.ts';
import { decodePicture } from '../src/processor/picture.ts';
import { resizeBicubic, smartResize } from '../src/processor/resize.ts';
import { Rng } from '../src/rng.ts';
import { QWEN_PATCH_SIZES, readPreprocessor } from '../src/store/preprocessor.ts';

const SIDES = [512, 2048] as const;
const ENDINGS = ['png', 'jpg'] as const;
const SECONDS = 2;
const WARM_UP = 2;
const MIN_CALLS = 5;

/** Rows of pixel_values, then wall and processor milliseconds of every call. */
interface Timing {
  readonly rows: number;
  readonly calls: readonly (readonly [wallMs: number, cpuMs: number])[];
}
type Timings = Record<string, Timing>;

async function drawPictures(folder: string): Promise<string[]> {
  const files: string[] = [];
  for (const side of SIDES) {
    const rng = new Rng(side);
    const small = side / 8;
    const noise = Uint8Array.from({ length: small * small * 3 }, () =>
      Math.floor(rng.uniform() * 256),
    );
    const picture = sharp(noise, { raw: { width: small, height: small, channels: 3 } }).resize(
      side,
    );
    for (const ending of ENDINGS) {
      const file = join(folder, `${side}.${ending}`);
      await picture.clone().toFile(file);
      files.push(file);
    }
  }
  return files;
}

async function ours(files: readonly string[]): Promise<Timings> {
  const { patches, pixels } = readPreprocessor({}, QWEN_PATCH_SIZES, 'Qwen2.5-VL');
  const factor = patches.patchSize * patches.mergeSize;
  const found: Timings = {};
  for (const file of files) {
    const calls: [number, number][] = [];
    let rows = 0;
    const start = performance.now();
    while (calls.length < MIN_CALLS + WARM_UP || performance.now() - start < 1000 * SECONDS) {
      const cpu = process.cpuUsage();
      const before = performance.now();
      const picture = await decodePicture(readFileSync(file), { name: file });
      const { minPixels, maxPixels } = pixels;
      const size = smartResize(picture.height, picture.width, factor, minPixels, maxPixels);
      rows = patchify([resizeBicubic(picture, size)], patches).numPatches;
      const wallMs = performance.now() - before;
      const { user, system } = process.cpuUsage(cpu);
      calls.push([wallMs, (user + system) / 1000]);
    }
    found[file] = { rows, calls: calls.slice(WARM_UP) };
  }
  return found;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? NaN) + (sorted[Math.ceil(middle)] ?? NaN)) / 2;
}

function runChild(command: string, args: readonly string[]): Timings {
  const { stdout, status } = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, HF_HUB_OFFLINE: '1' },
  });
  if (status !== 0) throw new Error(`${command} ended with ${String(status)}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Timings;
}

const reference = fileURLToPath(new URL('../tools/reference/', import.meta.url));
const VARIANTS = {
  ours: (files: readonly string[]) =>
    runChild(process.execPath, [
      ...process.execArgv,
      fileURLToPath(import.meta.url),
      'child',
      ...files,
    ]),
  original: (files: readonly string[]) =>
    runChild(join(reference, '.venv/bin/python'), [
      join(reference, 'speed.py'),
      String(SECONDS),
      ...files,
    ]),
} as const;
type Variant = keyof typeof VARIANTS;
const NAMES: readonly Variant[] = ['ours', 'original'];

async function parent(numRounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
  try {
    const files = await drawPictures(folder);
    const raw = new Map<string, Timing[]>();
    const loads = [loadavg()[0] ?? NaN];
    for (let round = 0; round < numRounds; round++) {
      const isReversed = round % 2 === 1;
      const order = isReversed ? files.toReversed() : files;
      for (const variant of isReversed ? NAMES.toReversed() : NAMES) {
        for (const [file, timing] of Object.entries(VARIANTS[variant](order))) {
          const key = `${variant} ${basename(file)}`;
          raw.set(key, [...(raw.get(key) ?? []), timing]);
        }
        loads.push(loadavg()[0] ?? NaN);
      }
    }
    const results = files.map((file) => {
      const name = basename(file);
      const medians = (variant: Variant): { wallMs: number; cpuMs: number } => {
        const rounds = raw.get(`${variant} ${name}`) ?? [];
        return {
          wallMs: median(rounds.map(({ calls }) => median(calls.map(([wall]) => wall)))),
          cpuMs: median(rounds.map(({ calls }) => median(calls.map(([, cpu]) => cpu)))),
        };
      };
      const [mine, theirs] = [medians('ours'), medians('original')];
      const rows = NAMES.flatMap((variant) =>
        (raw.get(`${variant} ${name}`) ?? []).map((timing) => timing.rows),
      );
      if (new Set(rows).size !== 1) throw new Error(`${name}: the sides made ${rows.join()} rows`);
      const ratio = { wall: theirs.wallMs / mine.wallMs, cpu: theirs.cpuMs / mine.cpuMs };
      const rounds = NAMES.map((variant) => [
        variant,
        (raw.get(`${variant} ${name}`) ?? []).map(({ calls }) =>
          calls.map(([wall, cpu]) => [Number(wall.toFixed(2)), Number(cpu.toFixed(2))]),
        ),
      ]);
      return {
        name,
        rows: rows[0],
        ours: mine,
        original: theirs,
        ratio,
        raw: Object.fromEntries(rounds) as unknown,
      };
    });
    console.log('picture    ours ms  original ms  ratio   (processor: ours, original, ratio)');
    for (const { name, ours: mine, original, ratio } of results) {
      const numbers = [
        mine.wallMs.toFixed(1).padStart(8),
        original.wallMs.toFixed(1).padStart(12),
        ratio.wall.toFixed(2).padStart(6),
        mine.cpuMs.toFixed(1).padStart(13),
        original.cpuMs.toFixed(1).padStart(8),
        ratio.cpu.toFixed(2).padStart(6),
      ];
      console.log(name.padEnd(9), ...numbers);
    }
    const machine = { cpu: cpus()[0]?.model, threads: availableParallelism(), loads };
    console.log(JSON.stringify({ bench: 'preprocess', numRounds, results, machine }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface KeptResult {
  readonly results: readonly {
    readonly name: string;
    readonly rows: number;
    readonly ours: { readonly wallMs: number; readonly cpuMs: number };
    readonly original: { readonly wallMs: number; readonly cpuMs: number };
    readonly ratio: { readonly wall: number; readonly cpu: number };
  }[];
  readonly machine: { readonly loads: readonly number[] };
}

function table(): string {
  const path = new URL('results/preprocess.json', import.meta.url);
  const { results, machine } = JSON.parse(readFileSync(path, 'utf8')) as KeptResult;
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    row(['picture', 'patches', 'ours ms', "original's ms", 'ratio', 'ratio of processor time']),
    row(['---', '---:', '---:', '---:', '---:', '---:']),
    ...results.map(({ name, rows, ours: mine, original, ratio }) =>
      row([
        name,
        String(rows),
        mine.wallMs.toFixed(1),
        original.wallMs.toFixed(1),
        ratio.wall.toFixed(2),
        ratio.cpu.toFixed(2),
      ]),
    ),
    '',
    `Load ${Math.min(...machine.loads).toFixed(1)} to ${Math.max(...machine.loads).toFixed(1)}.`,
    '',
  ].join('\n');
}

const [mode, ...rest] = process.argv.slice(2);
if (mode === 'table') console.log(table());
else if (mode === 'child') console.log(JSON.stringify(await ours(rest)));
else await parent(Number(mode ?? 4));
