// Owns the speed figures of single operations; run it with `npx tsx bench/engine.ts [rounds] [words]`.

// Every round starts a fresh process for each thread count and turns the order of the cases round;
// words limit the run to the cases whose name has them. Outputs lie in preallocated memory. A
// case's figure is the median over rounds of the median time of one call; beside it stands the
// fastest call of all, the figure to compare when other processes are busy. Raw values are in the
// JSON of the last line.
import { spawnSync } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { pullback } from '../src/engine/gradient.ts';
import { encodeGraph } from '../src/engine/encode.ts';
import { Graph } from '../src/engine/graph.ts';
import type { Value } from '../src/engine/graph.ts';
import { add, exp, gelu, scale, silu, where } from '../src/engine/ops/elementwise.ts';
import { gatherRows } from '../src/engine/ops/indexing.ts';
import { gemm, matmul } from '../src/engine/ops/linear.ts';
import { rmsNorm, softmax } from '../src/engine/ops/nn.ts';
import { transpose, transposeLast } from '../src/engine/ops/shape.ts';
import { Session } from '../src/engine/session.ts';
import { numElements, zeros } from '../src/engine/tensor.ts';
import type { Tensor } from '../src/engine/tensor.ts';
import { Rng } from '../src/rng.ts';

/** Makes a graph's inputs; every call is another input. */
type Declare = (...dims: number[]) => Value;

interface Case {
  readonly name: string;
  /** Floating-point operations of one call, or 0 where GB/s tells more. */
  readonly flops: number;
  /** Bytes read and written once by an ideal kernel. */
  readonly sizeBytes: number;
  /** One call; built `copies` times over inputs of its own, so that fixed costs vanish. */
  readonly build: (declare: Declare) => Value;
  readonly copies: number;
}

const SIDE = 2048;
/** Calls in one graph for the small cases; a run of the runtime costs 30 to 60 microseconds. */
const COPIES = 2;
const MIN_SECONDS = 0.4;
const MIN_CALLS = 5;

function product(name: string, m: number, k: number, n: number, build: Case['build']): Case {
  const sizeBytes = 4 * (m * k + k * n + m * n);
  return { name, flops: 2 * m * k * n, sizeBytes, build, copies: m === SIDE ? 1 : COPIES };
}

/** y = x W^T in all the ways it can be emitted, with both gradients. N rows, I in, O out. */
function linearCases(N: number, I: number, O: number): Case[] {
  const tag = `[${N}x${I}] to ${O}`;
  const plain = { transposeA: false, transposeB: false };
  const ta = { transposeA: true };
  const tb = { transposeB: true };
  return [
    product(`${tag} forward, W[out,in]: Gemm transB`, N, I, O, (d) => gemm(d(N, I), d(O, I), tb)),
    product(`${tag} forward, W[out,in]: Transpose, MatMul`, N, I, O, (d) =>
      matmul(d(N, I), transposeLast(d(O, I))),
    ),
    product(`${tag} forward, W[in,out]: MatMul`, N, I, O, (d) => matmul(d(N, I), d(I, O))),
    product(`${tag} forward, W[in,out]: Gemm`, N, I, O, (d) => gemm(d(N, I), d(I, O), plain)),
    product(`${tag} grad x, W[out,in]: Gemm`, N, O, I, (d) => gemm(d(N, O), d(O, I))),
    product(`${tag} grad x, W[out,in]: MatMul`, N, O, I, (d) => matmul(d(N, O), d(O, I))),
    product(`${tag} grad x, W[in,out]: Gemm transB`, N, O, I, (d) => gemm(d(N, O), d(I, O), tb)),
    product(`${tag} grad x, W[in,out]: Transpose, MatMul`, N, O, I, (d) =>
      matmul(d(N, O), transposeLast(d(I, O))),
    ),
    product(`${tag} grad W[out,in]: Gemm transA`, O, N, I, (d) => gemm(d(N, O), d(N, I), ta)),
    product(`${tag} grad W[out,in]: Transpose, MatMul`, O, N, I, (d) =>
      matmul(transposeLast(d(N, O)), d(N, I)),
    ),
    product(`${tag} grad W[in,out]: Gemm transA`, I, N, O, (d) => gemm(d(N, I), d(N, O), ta)),
    product(`${tag} grad W[in,out]: Transpose, MatMul`, I, N, O, (d) =>
      matmul(transposeLast(d(N, I)), d(N, O)),
    ),
  ];
}

/** Memory-bound work over one shape: `passes` tensors of that size are read or written at least. */
function pass(name: string, dims: readonly number[], passes: number, build: Case['build']): Case {
  return { name, flops: 0, sizeBytes: 4 * passes * numElements(dims), build, copies: 1 };
}

/** Gradient of x where y = f(x) and the gradient of y is given. */
function backward(x: Value, cotangent: Value, y: Value): Value {
  const [grad] = pullback([{ value: y, grad: cotangent }], [x]);
  if (!grad) throw new Error('no gradient');
  return grad;
}

/** Scores of 16 rows of 110 tokens with 4 heads, and hidden states of the same batch. */
function passCases(): Case[] {
  const S = [16, 4, 110, 110] as const;
  const H = [1760, 128] as const;
  const name = (what: string, dims: readonly number[]): string => `${what} [${dims.join()}]`;
  return [
    pass(name('Add', S), S, 3, (d) => add(d(...S), d(...S))),
    pass(name('Add a mask [1,1,110,110]', S), S, 2, (d) => add(d(...S), d(1, 1, 110, 110))),
    pass(name('Mul by a constant', S), S, 2, (d) => scale(d(...S), 0.125)),
    pass(name('Exp', S), S, 2, (d) => exp(d(...S))),
    pass(name('Where by a mask', S), S, 2, (d) => {
      const x = d(...S);
      const isSeen = x.graph.constant(zeros('bool', [110, 110]));
      return where(isSeen, x, x.graph.scalar(-1e9));
    }),
    pass(name('Softmax', S), S, 2, (d) => softmax(d(...S))),
    pass(name('Softmax and its gradient', S), S, 5, (d) => {
      const x = d(...S);
      return backward(x, d(...S), softmax(x));
    }),
    pass(name('SiLU', H), H, 2, (d) => silu(d(...H))),
    pass(name('GELU', H), H, 2, (d) => gelu(d(...H))),
    pass(name('RMSNorm', H), H, 2, (d) => rmsNorm(d(...H), d(H[1]), 1e-6)),
    pass(name('RMSNorm and its gradient', H), H, 5, (d) => {
      const x = d(...H);
      return backward(x, d(...H), rmsNorm(x, d(H[1]), 1e-6));
    }),
    pass(name('Transpose heads', [16, 110, 4, 32]), H, 2, (d) =>
      transpose(d(16, 110, 4, 32), [0, 2, 1, 3]),
    ),
    pass(name('Gradient of 1760 gathered rows', [512, 128]), H, 2, (d) => {
      const table = d(512, 128);
      const ids = BigInt64Array.from({ length: H[0] }, (_, i) => BigInt((i * 7919) % 512));
      const index = table.graph.constant({ dtype: 'i64', dims: [H[0]], data: ids });
      return backward(table, d(...H), gatherRows(table, index));
    }),
  ];
}

function allCases(): Case[] {
  return [
    product(`${SIDE} cubed: MatMul`, SIDE, SIDE, SIDE, (d) => matmul(d(SIDE, SIDE), d(SIDE, SIDE))),
    product(`${SIDE} cubed: Gemm transB`, SIDE, SIDE, SIDE, (d) =>
      gemm(d(SIDE, SIDE), d(SIDE, SIDE), { transposeB: true }),
    ),
    product(`${SIDE} cubed: Gemm transA`, SIDE, SIDE, SIDE, (d) =>
      gemm(d(SIDE, SIDE), d(SIDE, SIDE), { transposeA: true }),
    ),
    ...linearCases(1800, 128, 288),
    ...linearCases(1800, 288, 128),
    ...passCases(),
  ];
}

function chosenCases(words: string): Case[] {
  return allCases().filter(({ name }) => name.includes(words));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? NaN;
}

/** Milliseconds of one call: the median and the fastest. */
interface Cost {
  readonly median: number;
  readonly best: number;
}

async function measure({ build, copies }: Case, threads: number): Promise<Cost> {
  const graph = new Graph();
  const rng = new Rng(1);
  const feeds: Record<string, Tensor> = {};
  const declare: Declare = (...dims) => {
    const name = `input${graph.inputs.size}`;
    const data = Float32Array.from({ length: numElements(dims) }, () => rng.uniform() - 0.5);
    feeds[name] = { dtype: 'f32', dims, data };
    return graph.input(name, 'float', dims);
  };
  for (let i = 0; i < copies; i++) graph.output(`output${i}`, build(declare));
  await using session = await Session.create(encodeGraph(graph), { threads });
  for (const [name, value] of graph.outputs)
    session.bindOutput(name, zeros('f32', value.shape.map(Number)));
  for (let i = 0; i < 3; i++) await session.run(feeds);
  const times: number[] = [];
  const start = performance.now();
  while (times.length < MIN_CALLS || performance.now() - start < 1000 * MIN_SECONDS) {
    const before = performance.now();
    await session.run(feeds);
    times.push((performance.now() - before) / copies);
  }
  return { median: median(times), best: Math.min(...times) };
}

type Costs = Record<string, Cost>;

async function child(threads: number, isReversed: boolean, words: string): Promise<void> {
  const cases = isReversed ? chosenCases(words).reverse() : chosenCases(words);
  const costs: Costs = {};
  for (const one of cases) costs[one.name] = await measure(one, threads);
  console.log(JSON.stringify(costs));
}

function runChild(threads: number, isReversed: boolean, words: string): Costs {
  const self = fileURLToPath(import.meta.url);
  const order = isReversed ? 'reversed' : 'forward';
  const { stdout, status } = spawnSync(
    process.execPath,
    [...process.execArgv, self, 'child', String(threads), order, words],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
  );
  if (status !== 0) throw new Error(`a benchmark process ended with ${String(status)}`);
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Costs;
}

const THREADS = [1, 2] as const;

function parent(numRounds: number, words: string): void {
  const raw: Record<string, Cost[][]> = {};
  const loads = [loadavg()[0] ?? NaN];
  for (let round = 0; round < numRounds; round++) {
    const isReversed = round % 2 === 1;
    for (const threads of isReversed ? THREADS.toReversed() : THREADS) {
      for (const [name, cost] of Object.entries(runChild(threads, isReversed, words))) {
        (raw[name] ??= THREADS.map(() => []))[THREADS.indexOf(threads)]?.push(cost);
      }
      loads.push(loadavg()[0] ?? NaN);
    }
  }
  const results = chosenCases(words).map(({ name, flops, sizeBytes }) => {
    const [one = [], two = []] = raw[name] ?? [];
    const ms = {
      median1: median(one.map((c) => c.median)),
      median2: median(two.map((c) => c.median)),
      best1: Math.min(...one.map((c) => c.best)),
      best2: Math.min(...two.map((c) => c.best)),
    };
    const work = (flops > 0 ? flops : sizeBytes) / 1e6;
    return { name, unit: flops > 0 ? 'GFLOPS' : 'GB/s', work, ms, raw: { one, two } };
  });
  const width = Math.max(...results.map((r) => r.name.length));
  const columns = ['median 1', 'median 2', 'best 1', 'best 2'].map((c) => c.padStart(9));
  console.log('milliseconds, then rate, by threads'.padEnd(width), ...columns, ...columns);
  for (const { name, unit, work, ms } of results) {
    const all = Object.values(ms);
    const times = all.map((v) => v.toFixed(3).padStart(9));
    const rates = all.map((v) => (work / v).toFixed(0).padStart(9));
    console.log(name.padEnd(width), ...times, ...rates, unit);
  }
  const cpu = cpus()[0]?.model ?? 'unknown';
  console.log(JSON.stringify({ cpu, cores: availableParallelism(), loads, numRounds, results }));
}

const [mode, ...rest] = process.argv.slice(2);
const [threads, order, words] = rest;
if (mode === 'child') await child(Number(threads), order === 'reversed', words ?? '');
else parent(Number(mode ?? 3), threads ?? '');
