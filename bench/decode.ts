// Owns the speed of decoding beside PyTorch (f32) and llama.cpp (int4); `npm run bench -- decode`, last line JSON.
//
// Every side runs in a fresh process a round, on the same random weights, with the same prompt and
// number of threads; sides and thread counts change order every round. The ids that come out are
// compared. --quick: a test with tiny shapes; --precision f32 or int4 and --threads N limit the run; --large: also the 3B shape in f32, 13 GB a process;
// --rounds N and --out FILE; --profile: where our time goes instead, kernel by kernel; --table: prints
// the Markdown tables of the kept results.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeCheckpoint } from './decode/checkpoint.ts';
import { writeGguf } from './decode/gguf.ts';
import { randomPrompt } from './decode/random.ts';
import {
  SHAPES,
  SPAN_LATENTS,
  SPAN_REPEATS,
  SPAN_TEXT_TOKENS,
  WARM_TOKENS,
} from './decode/shapes.ts';
import type { Case, Measured, Precision, ShapeName, Variant, Work } from './decode/shapes.ts';
import { caseResults, ceilingResult, spanResults } from './decode/results.ts';
import type { CeilingRun, DecodeResults, Run, SpanRun } from './decode/results.ts';
import { profileTable, readProfile } from './decode/profile.ts';
import type { DecodeProfile } from './decode/profile.ts';
import { decodeTable } from './decode/table.ts';

/** Of the machine before a run; other work stalls threads that spin, those of the peers most. */
const MOST_LOAD = 1.5;
const HERE = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const RESULTS = HERE('results/decode.json');
const PROFILES = HERE('results/decode-profile.json');
const PYTHON = HERE('../tools/reference/.venv/bin/python');
const ORIGINAL = HERE('../tools/reference/decode_speed.py');

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    large: { type: 'boolean', default: false },
    table: { type: 'boolean', default: false },
    profile: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    threads: { type: 'string', default: '1,2' },
    precision: { type: 'string' },
    out: { type: 'string' },
  },
});

const THREADS: readonly number[] = flags.threads.split(',').map(Number);

function casesOf(): Case[] {
  const { precision } = flags;
  return allCases().filter((one) => precision === undefined || one.precision === precision);
}

function allCases(): Case[] {
  const f32: Case['variants'] = ['ours', 'pytorch'];
  const int4: Case['variants'] = ['ours', 'llama.cpp'];
  if (flags.quick) {
    return [
      { shape: 'quick', precision: 'f32', variants: f32 },
      { shape: 'quick', precision: 'int4', variants: int4 },
    ];
  }
  const large: Case[] = [{ shape: '3b', precision: 'f32', variants: f32 }];
  return [
    { shape: 'small', precision: 'f32', variants: f32 },
    { shape: '3b', precision: 'int4', variants: int4 },
    ...(flags.large ? large : []),
  ];
}

function run(command: string, args: readonly string[]): string {
  const { stdout, status } = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
    env: { ...process.env, HF_HUB_OFFLINE: '1', NODE_LLAMA_CPP_SKIP_DOWNLOAD: 'true' },
  });
  if (status !== 0) throw new Error(`${command} ${args[0] ?? ''} ended with ${String(status)}`);
  return stdout;
}

/** What a process printed last. */
function runChild(command: string, args: readonly string[]): unknown {
  return JSON.parse(run(command, args).trim().split('\n').at(-1) ?? '');
}

/** Installs the other sides where they are missing. */
function requirePeers(): void {
  run('bash', [HERE('../tools/reference/setup.sh')]);
  const peers = HERE('peers');
  if (existsSync(join(peers, 'node_modules/node-llama-cpp'))) return;
  // Not `ci`, which wants optional packages of all platforms in the lock. Versions are the lock's.
  const quiet = ['--no-save', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'];
  run('npm', ['install', '--prefix', peers, ...quiet]);
}

function say(line: string): void {
  console.error(`${(performance.now() / 1000).toFixed(0).padStart(4)} s  ${line}`);
}

/** The files of a case: ours also for PyTorch, which reads the same folder. */
async function makeFiles(folder: string, { shape, precision, variants }: Case): Promise<void> {
  await writeCheckpoint(join(folder, `${shape}-${precision}`), SHAPES[shape], precision);
  if (variants.includes('llama.cpp')) writeGguf(join(folder, `${shape}.gguf`), SHAPES[shape]);
}

function workOf(shape: ShapeName, threads: number): Work {
  const { promptTokens, newTokens, warmPrompt, repeats, vocab } = SHAPES[shape];
  const promptIds = randomPrompt(promptTokens, vocab);
  return { threads, vocab, promptIds, newTokens, warmPrompt, warmTokens: WARM_TOKENS, repeats };
}

function measure(
  folder: string,
  variant: Variant,
  shape: ShapeName,
  precision: Precision,
  work: Work,
): Measured {
  const checkpoint = join(folder, `${shape}-${precision}`);
  const node = [process.execPath, ...process.execArgv];
  const [command = '', ...args] = {
    ours: [...node, HERE('decode/ours.ts'), checkpoint],
    pytorch: [PYTHON, ORIGINAL, checkpoint],
    'llama.cpp': [...node, HERE('decode/llama.ts'), join(folder, `${shape}.gguf`)],
  }[variant];
  return runChild(command, [...args, JSON.stringify(work)]) as Measured;
}

/** What the machine can do: of two runtimes' matrix products the faster one counts. */
function ceiling(): CeilingRun[] {
  const asked = JSON.stringify({ threads: THREADS });
  const found = runChild(PYTHON, [ORIGINAL, 'ceiling', asked]) as Omit<CeilingRun, 'ortGflops'>[];
  const node = [...process.execArgv, HERE('decode/ceiling.ts'), asked];
  const ours = runChild(process.execPath, node) as number[];
  return found.map((one, i) => ({ ...one, ortGflops: ours[i] ?? NaN }));
}

/** One turn of all thread counts and sides of a case, the machine's ceiling before them. */
function round(
  folder: string,
  one: Case,
  index: number,
  runs: Run[],
  ceilings: CeilingRun[],
): void {
  const isReversed = index % 2 === 1;
  const { shape, precision, variants } = one;
  // A test needs the ceiling once.
  if (!flags.quick || ceilings.length === 0) {
    ceilings.push(...ceiling());
  }
  for (const threads of isReversed ? THREADS.toReversed() : THREADS) {
    for (const variant of isReversed ? variants.toReversed() : variants) {
      const load = loadavg()[0] ?? NaN;
      const measured = measure(folder, variant, shape, precision, workOf(shape, threads));
      runs.push({ shape, precision, variant, threads, load, ...measured });
      const { firstMs = NaN, stepMs = [] } = measured.responses.at(-1) ?? {};
      const step = stepMs.toSorted((a, b) => a - b)[stepMs.length >> 1] ?? NaN;
      const figures = `first ${firstMs.toFixed(0)} ms, step ${step.toFixed(2)} ms`;
      say(`round ${index + 1} ${shape} ${precision} ${variant} ${threads} threads: ${figures}`);
    }
  }
}

/** Responses with and without a span of latents, in f32. */
function spans(folder: string, shape: ShapeName): SpanRun[] {
  return THREADS.map((threads) => {
    const numText = flags.quick ? 8 : SPAN_TEXT_TOKENS;
    const span = { textTokens: numText, numLatents: SPAN_LATENTS };
    const work = { ...workOf(shape, threads), repeats: flags.quick ? 1 : SPAN_REPEATS, span };
    const found = measure(folder, 'ours', shape, 'f32', work);
    say(`${shape} f32 span of ${SPAN_LATENTS} latents, ${threads} threads: done`);
    const { length: promptTokens } = work.promptIds;
    return { shape, threads, ...span, promptTokens, ms: found.spans ?? {} };
  });
}

async function parent(): Promise<DecodeResults> {
  if (casesOf().some(({ variants }) => variants.includes('llama.cpp'))) requirePeers();
  const startLoad = loadavg()[0] ?? NaN;
  if (startLoad > MOST_LOAD)
    say(`the machine's load is ${startLoad.toFixed(1)}: these figures are not to be kept`);
  const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
  const runs: Run[] = [];
  const ceilings: CeilingRun[] = [];
  const spanRuns: SpanRun[] = [];
  try {
    for (const one of casesOf()) {
      await makeFiles(folder, one);
      say(`${one.shape} ${one.precision}: files are written`);
      const numRounds = Number(flags.rounds ?? SHAPES[one.shape].rounds);
      for (let index = 0; index < numRounds; index++) round(folder, one, index, runs, ceilings);
      if (one.precision === 'f32' && one.shape !== '3b') spanRuns.push(...spans(folder, one.shape));
      for (const file of [`${one.shape}-${one.precision}`, `${one.shape}.gguf`])
        rmSync(join(folder, file), { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const limits = ceilingResult(ceilings);
  return {
    bench: 'decode',
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), startLoad },
    ceiling: limits,
    results: caseResults(runs, limits),
    spans: spanResults(spanRuns),
  };
}

/** Our side alone, profiled; profiling costs a few microseconds a kernel. */
async function profiles(): Promise<DecodeProfile[]> {
  const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-'));
  const found: DecodeProfile[] = [];
  try {
    for (const { shape, precision } of casesOf()) {
      await makeFiles(folder, { shape, precision, variants: ['ours'] });
      for (const threads of THREADS) {
        const load = loadavg()[0] ?? NaN;
        const prefix = join(folder, `profile-${shape}-${precision}-${threads}`);
        const work = { ...workOf(shape, threads), profile: prefix };
        const { responses } = measure(folder, 'ours', shape, precision, work);
        const last = responses.at(-1);
        if (!last) throw new Error('a benchmark process measured nothing');
        found.push({ shape, precision, threads, load, ...readProfile(prefix, last) });
        say(`${shape} ${precision} ${threads} threads: profiled`);
      }
      rmSync(join(folder, `${shape}-${precision}`), { recursive: true, force: true });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return found;
}

if (flags.table) {
  const path = flags.out ?? RESULTS;
  console.log(decodeTable(JSON.parse(readFileSync(path, 'utf8')) as DecodeResults));
  if (flags.out === undefined) {
    console.log('\n### Where our time goes (`npm run bench -- decode --profile`)\n');
    console.log(profileTable(JSON.parse(readFileSync(PROFILES, 'utf8')) as DecodeProfile[]));
  }
} else if (flags.profile) {
  const found = await profiles();
  console.log(profileTable(found));
  const path = flags.out ?? (flags.quick ? undefined : PROFILES);
  if (path !== undefined) writeFileSync(path, `${JSON.stringify(found)}\n`);
  console.log(JSON.stringify(found));
} else {
  const results = await parent();
  console.log(decodeTable(results));
  const line = JSON.stringify(results);
  const path = flags.out ?? (flags.quick ? undefined : RESULTS);
  if (path !== undefined) writeFileSync(path, `${line}\n`);
  console.log(line);
}
