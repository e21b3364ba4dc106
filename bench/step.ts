// Owns the speed of a training step beside PyTorch; `npm run bench -- step`, last line JSON.
//
// Every side runs in a fresh process a round, on the same weights and the same batch, in f32, its vision
// tower frozen and run once; sides and thread counts change order every round. Losses are compared.
// --quick: few steps of the small models; --shapes a,b, --batches 1x256 and --threads 1,2 limit the run; --rounds N and
// --out FILE; --variants a,b; --profile: where our time goes instead; --table: prints the kept results.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ceilingResult } from './decode/results.ts';
import type { CeilingRun } from './decode/results.ts';
import { writeBatch, writeModel } from './step/files.ts';
import { profileTable, readProfile } from './step/profile.ts';
import { parameterCounts, stepRatios, stepResults } from './step/results.ts';
import type { StepFailure, StepResults, StepRun } from './step/results.ts';
import { CHUNK, OPTIMIZER, SHAPES } from './step/shapes.ts';
import type { BatchShape, Measured, ShapeName, Variant, Work } from './step/shapes.ts';
import { stepTable } from './step/table.ts';

const HERE = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const RESULTS = HERE('results/step.json');
const PYTHON = HERE('../tools/reference/.venv/bin/python');
const ORIGINAL = HERE('../tools/reference/step_speed.py');
const CEILING = HERE('../tools/reference/decode_speed.py');
const GROWTH_SHAPE: ShapeName = '5m';
const GROWTH_TOKENS: readonly number[] = [256, 512, 1024, 2048];

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    shapes: { type: 'string' },
    batches: { type: 'string' },
    threads: { type: 'string', default: '1,2' },
    variants: { type: 'string', default: 'ours,eager,compile,labelled' },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
});
const threadCounts = flags.threads.split(',').map(Number);
const variants = flags.variants.split(',') as Variant[];
const shapes = (flags.shapes ?? (flags.quick ? 'tiny,5m' : Object.keys(SHAPES).join())).split(
  ',',
) as ShapeName[];
const WHOLE_BATCHES = [`1x${CHUNK}`, `4x${CHUNK}`, `1x${4 * CHUNK}`].join();
const batches = (flags.batches ?? (flags.quick ? `1x${CHUNK}` : WHOLE_BATCHES))
  .split(',')
  .map((text): BatchShape => {
    const [rows = 1, length = CHUNK] = text.split('x').map(Number);
    return { rows, length };
  });
const numRounds = Number(flags.rounds ?? (flags.quick ? 1 : 3));

function say(line: string): void {
  console.error(`${(performance.now() / 1000).toFixed(0).padStart(5)} s  ${line}`);
}

/** What a process printed last; an error holds what it said about its end. */
function runChild(command: string, args: readonly string[], folder: string): unknown {
  const { stdout, stderr, status } = spawnSync(command, args, {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    // Compiled kernels are kept for the next round; a fresh process need not compile them again.
    env: { ...process.env, HF_HUB_OFFLINE: '1', TORCHINDUCTOR_CACHE_DIR: join(folder, 'inductor') },
  });
  if (status !== 0) throw new Error(`ended with ${String(status)}: ${stderr.trim().slice(-400)}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
}

interface Case {
  readonly shape: ShapeName;
  readonly batch: BatchShape;
}

function pathOf(folder: string, { shape, batch }: Case): string {
  return join(folder, `${shape}-${batch.rows}x${batch.length}.safetensors`);
}

function measure(folder: string, one: Case, work: Work): Measured {
  const files = [join(folder, one.shape), pathOf(folder, one)];
  const args = [...files, JSON.stringify(work)];
  if (work.variant === 'ours') {
    const node = [...process.execArgv, HERE('step/ours.ts')];
    return runChild(process.execPath, [...node, ...args], folder) as Measured;
  }
  return runChild(PYTHON, [ORIGINAL, ...args, JSON.stringify(OPTIMIZER)], folder) as Measured;
}

function ceiling(folder: string): CeilingRun[] {
  const asked = JSON.stringify({ threads: threadCounts });
  const found = runChild(PYTHON, [CEILING, 'ceiling', asked], folder) as CeilingRun[];
  const node = [...process.execArgv, HERE('decode/ceiling.ts'), asked];
  const ours = runChild(process.execPath, node, folder) as number[];
  return found.map((run, i) => ({ ...run, ortGflops: ours[i] ?? NaN }));
}

function workOf(shape: ShapeName, variant: Variant, threads: number): Work {
  const { warmSteps, repeats } = SHAPES[shape];
  return { variant, threads, warmSteps, repeats: flags.quick ? Math.min(7, repeats) : repeats };
}

/** One process, or what it failed with. */
function attempt(
  folder: string,
  one: Case,
  variant: Variant,
  threads: number,
): StepRun | StepFailure {
  const about = { ...one, variant, threads };
  const label = `${one.shape} ${one.batch.rows}x${one.batch.length} ${variant} ${threads} threads`;
  try {
    const load = loadavg()[0] ?? NaN;
    const measured = measure(folder, one, workOf(one.shape, variant, threads));
    say(`${label}: ${Math.min(...measured.stepMs).toFixed(1)} ms at least`);
    return { ...about, load, ...measured };
  } catch (error) {
    say(`${label}: failed`);
    return { ...about, message: error instanceof Error ? error.message : String(error) };
  }
}

async function makeFiles(folder: string, cases: readonly Case[]): Promise<void> {
  for (const shape of new Set(cases.map((one) => one.shape)))
    await writeModel(join(folder, shape), SHAPES[shape]);
  for (const one of cases)
    await writeBatch(pathOf(folder, one), join(folder, one.shape), SHAPES[one.shape], one.batch);
}

function growthCases(): Case[] {
  if (flags.quick || !shapes.includes(GROWTH_SHAPE)) return [];
  const rows = GROWTH_TOKENS.map((tokens) => ({ rows: tokens / CHUNK, length: CHUNK }));
  const single = GROWTH_TOKENS.slice(1).map((length) => ({ rows: 1, length }));
  return [...rows, ...single].map((batch) => ({ shape: GROWTH_SHAPE, batch }));
}

async function parent(folder: string): Promise<StepResults> {
  const startLoad = loadavg()[0] ?? NaN;
  const cases = shapes.flatMap((shape) => batches.map((batch) => ({ shape, batch })));
  await makeFiles(folder, [...cases, ...growthCases()]);
  const [runs, growth]: [StepRun[], StepRun[]] = [[], []];
  const failures: StepFailure[] = [];
  const ceilings: CeilingRun[] = [];
  const keep = (found: StepRun | StepFailure, to: StepRun[]): void => {
    if ('message' in found) failures.push(found);
    else to.push(found);
  };
  for (let round = 0; round < numRounds; round++) {
    const turn = <T>(list: readonly T[]): readonly T[] =>
      round % 2 === 1 ? list.toReversed() : list;
    ceilings.push(...ceiling(folder));
    for (const one of cases)
      for (const threads of turn(threadCounts))
        for (const variant of turn(variants)) keep(attempt(folder, one, variant, threads), runs);
    const lastThreads = threadCounts.at(-1) ?? 1;
    for (const one of turn(growthCases()))
      for (const variant of turn(['ours', 'eager'] as const))
        keep(attempt(folder, one, variant, lastThreads), growth);
  }
  const limits = ceilingResult(ceilings);
  const results = stepResults(runs, limits);
  return {
    bench: 'step',
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), startLoad },
    ceiling: limits,
    parameters: parameterCounts(shapes),
    ratios: stepRatios(results),
    results,
    growth: stepResults(growth, limits),
    failures,
  };
}

/** Our side alone, profiled; profiling costs a few microseconds a kernel. */
async function profiles(folder: string): Promise<void> {
  const cases = shapes.flatMap((shape) => batches.map((batch) => ({ shape, batch })));
  await makeFiles(folder, cases);
  const found = cases.flatMap((one) =>
    threadCounts.map((threads) => {
      const title = `${one.shape} ${one.batch.rows}x${one.batch.length}, ${threads} thr.`;
      const own = join(folder, title.replaceAll(/\W+/g, '-'));
      mkdirSync(own);
      const work = { ...workOf(one.shape, 'ours', threads), profile: join(own, 'p') };
      return readProfile(title, own, measure(folder, one, work));
    }),
  );
  console.log(profileTable(found));
  console.log(JSON.stringify(found));
}

if (flags.table) {
  console.log(stepTable(JSON.parse(readFileSync(flags.out ?? RESULTS, 'utf8')) as StepResults));
} else {
  spawnSync('bash', [HERE('../tools/reference/setup.sh')], { stdio: 'inherit' });
  const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
  try {
    if (flags.profile) await profiles(folder);
    else {
      const results = await parent(folder);
      console.log(stepTable(results));
      const line = JSON.stringify(results);
      const path = flags.out ?? (flags.quick ? undefined : RESULTS);
      if (path !== undefined) writeFileSync(path, `${line}\n`);
      console.log(line);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
