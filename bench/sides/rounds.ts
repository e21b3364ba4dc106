// Owns the turns of a side-by-side benchmark: a fresh process a variant, order reversed every round, medians.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { ceilingResult } from '../decode/results.ts';
import type { Ceiling, CeilingRun } from '../decode/results.ts';

/** What a process of one variant prints last. */
export interface Side {
  /** Milliseconds of every call after the warm-up, by case. */
  readonly ms: Readonly<Record<string, readonly number[]>>;
  readonly peakBytes?: number;
  /** Numbers by case that have to agree between variants. */
  readonly check?: Readonly<Record<string, readonly number[]>>;
  /** What the variant says about itself. */
  readonly about?: Readonly<Record<string, unknown>>;
}

/** Medians of one case on one side, and the raw values of every round. */
export interface Figure {
  readonly case: string;
  readonly variant: string;
  readonly threads: number;
  /** Median over all calls of all rounds. */
  readonly ms: number;
  readonly peakBytes?: number;
  readonly about?: Readonly<Record<string, unknown>>;
  readonly raw: readonly (readonly number[])[];
  /** Of the machine before each round's process. */
  readonly loads: readonly number[];
}

/** The machine a result comes from. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly startLoad: number;
}

/** What a benchmark keeps. */
export interface SideResults {
  readonly bench: string;
  readonly machine: Machine;
  readonly ceiling?: readonly Ceiling[];
  readonly results: readonly Figure[];
  /** Anything else that was measured. */
  readonly [more: string]: unknown;
}

/** One process to run: the cases come in the order in which they are to be measured. */
export type Turn = (threads: number, cases: readonly string[]) => Side;

/** Above this load before a run its figures are not to be kept. */
const MOST_LOAD = 1.5;
const HERE = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const REFERENCE = HERE('../../tools/reference/');
const PYTHON = `${REFERENCE}.venv/bin/python`;
const PEERS = HERE('../peers/python');

/** The middle of some values; of an even number the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low = NaN, high = NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]];
  return (low + high) / 2;
}

/** Milliseconds for a file: three figures are more than a clock knows. */
export function rounded(value: number): number {
  return Number(value.toPrecision(5));
}

/** Tells how far a run is. */
export function say(line: string): void {
  console.error(`${(performance.now() / 1000).toFixed(0).padStart(4)} s  ${line}`);
}

function run(command: string, args: readonly string[], threads: number): string {
  const count = String(threads);
  const { stdout, status } = spawnSync(command, args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
    maxBuffer: 1 << 28,
    env: {
      ...process.env,
      ...{ HF_HUB_OFFLINE: '1', PYTHONPATH: PEERS, RAYON_NUM_THREADS: count },
      ...{ OMP_NUM_THREADS: count, OPENBLAS_NUM_THREADS: count, TOKENIZERS_PARALLELISM: 'true' },
    },
  });
  if (status !== 0) throw new Error(`${command} ${args[0] ?? ''} ended with ${String(status)}`);
  return stdout;
}

function lastLine(text: string): unknown {
  return JSON.parse(text.trim().split('\n').at(-1) ?? '');
}

/** What a TypeScript file of this folder prints last, in a process of its own. */
export function askOurs(file: string, work: object, threads: number): unknown {
  const args = [...process.execArgv, HERE(file), JSON.stringify({ threads, ...work })];
  return lastLine(run(process.execPath, args, threads));
}

/** What a Python file of tools/reference prints last, in a process of its own. */
export function askPython(file: string, work: object, threads: number): unknown {
  const args = [`${REFERENCE}${file}`, JSON.stringify({ threads, ...work })];
  return lastLine(run(PYTHON, args, threads));
}

/** A turn of ours. */
export function runOurs(file: string, work: object, threads: number): Side {
  return askOurs(file, work, threads) as Side;
}

/** A turn of the original. */
export function runPython(file: string, work: object, threads: number): Side {
  return askPython(file, work, threads) as Side;
}

/** Sets the original up, and with `peers` the Python packages that only benchmarks need. */
export function requireReference(peers = false): void {
  run('bash', [`${REFERENCE}setup.sh`], 1);
  if (!peers) return;
  const [wanted, ready] = [
    readFileSync(HERE('../peers/requirements.txt'), 'utf8'),
    `${PEERS}/ready`,
  ];
  if (existsSync(ready) && readFileSync(ready, 'utf8') === wanted) return;
  rmSync(PEERS, { recursive: true, force: true });
  say('installing the packages of bench/peers/requirements.txt');
  const quiet = ['--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary', ':all:'];
  const files = ['--target', PEERS, '-r', HERE('../peers/requirements.txt')];
  run(PYTHON, ['-m', 'pip', 'install', ...quiet, ...files], 1);
  writeFileSync(ready, wanted);
}

/** The machine; complains when it is not idle. */
export function machine(): Machine {
  const startLoad = Number((loadavg()[0] ?? NaN).toFixed(2));
  if (startLoad > MOST_LOAD)
    say(`the machine's load is ${startLoad.toFixed(1)}: these figures are not to be kept`);
  return { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), startLoad };
}

/** What the machine can do right now: of two runtimes' matrix products the faster one counts. */
export function measureCeiling(threads: readonly number[]): Ceiling[] {
  const asked = JSON.stringify({ threads });
  const most = Math.max(...threads);
  const python = run(PYTHON, [`${REFERENCE}decode_speed.py`, 'ceiling', asked], most);
  const theirs = lastLine(python) as Omit<CeilingRun, 'ortGflops'>[];
  const ours = askOurs('../decode/ceiling.ts', { threads }, most) as number[];
  return ceilingResult(theirs.map((one, i) => ({ ...one, ortGflops: ours[i] ?? NaN })));
}

function checkAgreement(name: string, sides: ReadonlyMap<string, Side>, tolerance: number): void {
  const [first, ...others] = [...sides].filter(([, side]) => side.check?.[name] !== undefined);
  for (const [variant, side] of others) {
    const [mine, theirs] = [first?.[1].check?.[name] ?? [], side.check?.[name] ?? []];
    const size = Math.max(...mine.map(Math.abs));
    const error = Math.max(...mine.map((value, i) => Math.abs(value - (theirs[i] ?? NaN))));
    if (mine.length === theirs.length && error <= tolerance * size) continue;
    throw new Error(`${name}: ${variant} differs from ${first?.[0] ?? ''} by ${error} of ${size}`);
  }
}

/** How a benchmark goes. */
export interface RoundOptions {
  readonly variants: Readonly<Record<string, Turn>>;
  readonly cases: readonly string[];
  readonly threads: readonly number[];
  readonly rounds: number;
  /** Of the largest number of a check; default 1e-3. */
  readonly tolerance?: number;
}

/** All rounds of all variants and thread counts. */
export function measureRounds(options: RoundOptions): Figure[] {
  const { variants, cases, threads, rounds, tolerance = 1e-3 } = options;
  const found = new Map<string, { sides: Side[]; loads: number[] }>();
  for (let round = 0; round < rounds; round++) {
    const turned = <T>(values: readonly T[]): readonly T[] =>
      round % 2 === 1 ? values.toReversed() : values;
    for (const count of turned(threads)) {
      const sides = new Map<string, Side>();
      for (const variant of turned(Object.keys(variants))) {
        const load = Number((loadavg()[0] ?? NaN).toFixed(2));
        const side = (variants[variant] as Turn)(count, turned(cases));
        sides.set(variant, side);
        const key = JSON.stringify([variant, count]);
        const all = found.get(key) ?? { sides: [], loads: [] };
        found.set(key, { sides: [...all.sides, side], loads: [...all.loads, load] });
        const figures = Object.entries(side.ms).map(
          ([name, ms]) => `${name} ${median(ms).toPrecision(4)} ms`,
        );
        say(`round ${round + 1} ${variant} ${count} threads: ${figures.join(', ')}`);
      }
      for (const name of cases) checkAgreement(name, sides, tolerance);
    }
  }
  return [...found].flatMap(([key, { sides, loads }]) => {
    const [variant, count] = JSON.parse(key) as [string, number];
    const names = cases.filter((name) => sides.some((side) => side.ms[name] !== undefined));
    return names.map((name): Figure => {
      const raw = sides.map((side) => (side.ms[name] ?? []).map(rounded));
      const peaks = sides.flatMap(({ peakBytes }) => (peakBytes === undefined ? [] : [peakBytes]));
      const about = sides[0]?.about;
      return {
        ...{ case: name, variant, threads: count, ms: rounded(median(raw.flat())) },
        ...(peaks.length > 0 ? { peakBytes: Math.max(...peaks) } : {}),
        ...(about ? { about } : {}),
        ...{ raw, loads },
      };
    });
  });
}

/** The fastest of the other sides beside ours, by case and thread count. */
export function besides(
  results: readonly Figure[],
): { readonly ours: Figure; readonly peer: Figure; readonly ratio: number }[] {
  return results.flatMap((ours) => {
    if (ours.variant !== 'ours') return [];
    const [peer] = results
      .filter(
        (other) =>
          other.variant !== 'ours' && other.case === ours.case && other.threads === ours.threads,
      )
      .sort((a, b) => a.ms - b.ms);
    return peer ? [{ ours, peer, ratio: peer.ms / ours.ms }] : [];
  });
}

/** Prints what was found as the last line, and keeps it unless this is a test. */
export function keep(
  results: SideResults,
  { out, quick = false }: { readonly out?: string | undefined; readonly quick?: boolean },
): void {
  for (const { ours, peer, ratio } of besides(results.results)) {
    const times = `${ours.ms.toPrecision(4)} ms, ${peer.variant} ${peer.ms.toPrecision(4)} ms`;
    console.log(`${ours.case}, ${ours.threads} threads: ours ${times}: ${ratio.toFixed(2)}`);
  }
  const line = JSON.stringify(results);
  const path = out ?? (quick ? undefined : HERE(`../results/${results.bench}.json`));
  if (path !== undefined) writeFileSync(path, `${line}\n`);
  console.log(line);
}
