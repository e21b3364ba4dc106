// Owns what `gapvl doctor` looks at: one function a fact of the machine, each with what to mend.
import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { availableParallelism, cpus, freemem, totalmem } from 'node:os';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DEVICES, missingProvider } from '../engine/device.ts';
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { add } from '../engine/ops/elementwise.ts';
import { matmul } from '../engine/ops/linear.ts';
import type { Device } from '../engine/session.ts';
import { zeros } from '../engine/tensor.ts';
import type { Clock } from './clock.ts';
import type { OperationTries } from './operation-probes.ts';

/** One thing looked at: fine, worth knowing, or in the way. */
export interface Finding {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'wrong';
  readonly value: string;
  /** What to do; present unless the state is `ok`. */
  readonly fix?: string;
}

const GIB = 2 ** 30;
const MIN_NODE = [20, 19] as const;
// ours: the demo peaks under 2 GiB and writes under 300 MiB; the limits leave room to spare.
const MIN_MEMORY_BYTES = 3 * GIB;
const MIN_DISK_BYTES = GIB;
// ours: the demo's six minutes were planned for 370 GFLOPS; below a seventh of that it is no fun.
const SLOW_GFLOPS = 50;
const MATMUL_SIDE = 1024;
const MATMUL_RUNS = 12;
// A software driver compiles the shaders of every operation on the CPU.
const PROBE_LIMIT_MS = 300_000;

function gib(bytes: number): string {
  return `${(bytes / GIB).toFixed(1)} GiB`;
}

/** Node's version against the lowest one that gapvl runs on. */
export function checkNode(version = process.versions.node): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const enough = major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1]);
  const value = `${version} on ${process.platform} ${process.arch}`;
  if (enough) return { name: 'Node.js', state: 'ok', value };
  return {
    name: 'Node.js',
    state: 'wrong',
    value,
    fix: `install Node ${MIN_NODE.join('.')} or newer`,
  };
}

/** Threads this process may use. */
export function checkThreads(): Finding {
  const threads = availableParallelism();
  const value = `${threads} of ${cpus().length} (${cpus()[0]?.model.trim() ?? 'unknown processor'})`;
  if (threads > 1) return { name: 'threads', state: 'ok', value };
  const fix = 'the demo needs about twice its six minutes on one thread; try --quick first';
  return { name: 'threads', state: 'note', value, fix };
}

/** Memory this process may use, a container's limit included. */
export function checkMemory(): Finding {
  const limit = process.constrainedMemory();
  const total = limit > 0 && limit < totalmem() ? limit : totalmem();
  const value = `${gib(Math.min(freemem(), total))} free of ${gib(total)}`;
  if (total >= MIN_MEMORY_BYTES) return { name: 'memory', state: 'ok', value };
  const fix = `give this machine ${gib(MIN_MEMORY_BYTES)}, or lower --batch-size`;
  return { name: 'memory', state: 'wrong', value, fix };
}

/** Free disk space where runs are written. */
export async function checkDisk(folder: string): Promise<Finding> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const value = `${gib(free)} free in ${folder}`;
  if (free >= MIN_DISK_BYTES) return { name: 'disk', state: 'ok', value };
  const fix = `free ${gib(MIN_DISK_BYTES)} there, or write elsewhere with --out`;
  return { name: 'disk', state: 'wrong', value, fix };
}

function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\s+/g, ' ').trim().slice(0, 100);
}

/** Whether `sharp` loads and gives back a picture it was given. */
export async function checkPictures(): Promise<Finding> {
  try {
    const { default: sharp } = await import('sharp');
    const pixels = Uint8Array.of(255, 0, 0, 0, 0, 255);
    const png = await sharp(pixels, { raw: { width: 2, height: 1, channels: 3 } })
      .png()
      .toBuffer();
    const back = await sharp(png).raw().toBuffer();
    const same = back.equals(pixels);
    const value = `sharp with libvips ${sharp.versions.vips}`;
    if (same) return { name: 'pictures', state: 'ok', value };
    const fix = 'a PNG did not come back as it was; reinstall with npm ci';
    return { name: 'pictures', state: 'wrong', value, fix };
  } catch (thrown) {
    const fix = 'reinstall with npm ci on this platform (do not copy node_modules)';
    return { name: 'pictures', state: 'wrong', value: messageOf(thrown), fix };
  }
}

/** What a try of a device came to. */
export interface DeviceTry {
  /** What keeps it from working, in ONNX Runtime's words without its source lines; empty: nothing. */
  readonly fault: string;
  readonly fix?: string;
  /** Absent for a device that does not work. */
  readonly operations?: OperationTries;
}

function tryDevice(device: Device, signal: AbortSignal): Promise<DeviceTry> {
  // A process of its own: native libraries write to stderr and may take the process down.
  const script = new URL(`./device-probe${extname(import.meta.url)}`, import.meta.url);
  const args = [...process.execArgv, fileURLToPath(script), device];
  const options = { timeout: PROBE_LIMIT_MS, signal };
  return new Promise((resolve) => {
    execFile(process.execPath, args, options, (error, stdout) => {
      const line = /^\{"fault":.*\}$/m.exec(stdout)?.[0];
      if (line === undefined) {
        const end = error?.code ?? error?.signal ?? 'no line';
        resolve({ fault: `the try ended without an answer (${end})` });
        return;
      }
      resolve(JSON.parse(line) as DeviceTry);
    });
  });
}

/** ONNX Runtime's version and, by running a graph, which of its devices work here. */
export async function checkRuntime(signal: AbortSignal): Promise<Finding[]> {
  let runtime: typeof import('onnxruntime-node');
  try {
    runtime = await import('onnxruntime-node');
  } catch (thrown) {
    const fix = 'reinstall with npm ci on this platform (do not copy node_modules)';
    return [{ name: 'ONNX Runtime', state: 'wrong', value: messageOf(thrown), fix }];
  }
  const value = `onnxruntime-node ${runtime.env.versions.node}`;
  const findings: Finding[] = [{ name: 'ONNX Runtime', state: 'ok', value }];
  for (const device of DEVICES) {
    if (missingProvider(device)) continue;
    const found = await tryDevice(device, signal);
    signal.throwIfAborted();
    findings.push(...judgeDevice(device, found));
  }
  return findings;
}

function listTries(tries: Readonly<Record<string, string>>): string {
  return Object.entries(tries)
    .map(([operation, why]) => `${operation} (${why})`)
    .join(', ');
}

function judgeOperations(device: Device, { tried, refused, beside }: OperationTries): Finding {
  const name = `operations on ${device}`;
  const numRefused = Object.keys(refused).length;
  const others = listTries(beside);
  const value =
    `${tried - numRefused} of ${tried}` +
    (numRefused > 0 ? `; refused: ${listTries(refused)}` : '') +
    (others === '' ? '' : `; indexes and masks on the CPU: ${others}`);
  if (numRefused === 0) return { name, state: 'ok', value };
  const fix = `models that need a refused one end with an error there; use --device cpu`;
  return { name, state: device === 'cpu' ? 'wrong' : 'note', value, fix };
}

/** The CPU has to work, with every operation; every other device is welcome. */
export function judgeDevice(device: Device, found: DeviceTry): Finding[] {
  const name = `device ${device}`;
  if (found.fault === '') {
    const works: Finding = { name, state: 'ok', value: 'works' };
    return found.operations ? [works, judgeOperations(device, found.operations)] : [works];
  }
  const value = `not here: ${messageOf(found.fault)}`;
  if (device === 'cpu') return [{ name, state: 'wrong', value, fix: 'reinstall with npm ci' }];
  const fix = `to use it: ${found.fix ?? 'see what its try printed'}`;
  return [{ name, state: 'note', value, fix }];
}

/** Loads the native library late, so that a machine without it gets a finding and no crash. */
async function loadSession() {
  return (await import('../engine/session.ts')).Session;
}

/**
 * Measures f32 matrix products of 1024 x 1024 on the CPU.
 *
 * @returns billions of floating-point operations a second, the best of a few runs.
 */
export async function measureMatmul(clock: Clock, signal: AbortSignal): Promise<number> {
  const Session = await loadSession();
  const graph = new Graph();
  const side = MATMUL_SIDE;
  const a = graph.input('a', 'float', [side, side]);
  const b = graph.input('b', 'float', [side, side]);
  // The sum keeps the product from being folded away.
  graph.output('c', add(matmul(a, b), b));
  await using session = await Session.create(encodeGraph(graph));
  const feeds = { a: zeros('f32', [side, side]), b: zeros('f32', [side, side]) };
  feeds.a.data.fill(0.5);
  feeds.b.data.fill(0.25);
  session.bindOutput('c', zeros('f32', [side, side]));
  let bestMs = Infinity;
  for (let run = 0; run < MATMUL_RUNS; run++) {
    signal.throwIfAborted();
    const start = clock.now();
    await session.run(feeds);
    bestMs = Math.min(bestMs, clock.now() - start);
  }
  return (2 * side ** 3) / bestMs / 1e6;
}

/** Measured arithmetic speed against what the demo's time was planned for. */
export async function checkSpeed(clock: Clock, signal: AbortSignal): Promise<Finding> {
  const name = 'speed';
  let gflops: number;
  try {
    gflops = await measureMatmul(clock, signal);
  } catch (thrown) {
    signal.throwIfAborted();
    return { name, state: 'wrong', value: messageOf(thrown), fix: 'mend ONNX Runtime first' };
  }
  const value = `${gflops.toFixed(0)} GFLOPS (f32 product of ${MATMUL_SIDE} x ${MATMUL_SIDE})`;
  if (gflops >= SLOW_GFLOPS) return { name, state: 'ok', value };
  const fix = 'everything works but slowly; close other programs, or use demo --quick';
  return { name, state: 'note', value, fix };
}
