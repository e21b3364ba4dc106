// Owns the fastest matrix product of ONNX Runtime, beside PyTorch's in bench/decode.ts; last line JSON.
import { encodeGraph } from '../../src/engine/encode.ts';
import { Graph } from '../../src/engine/graph.ts';
import { matmul } from '../../src/engine/ops/linear.ts';
import { Session } from '../../src/engine/session.ts';
import { tensor } from '../../src/engine/tensor.ts';
import { Rng } from '../../src/rng.ts';

const SIDE = 2048;
const CALLS = 5;

async function gflops(threads: number): Promise<number> {
  const graph = new Graph();
  const dims = [SIDE, SIDE];
  graph.output('c', matmul(graph.input('a', 'float', dims), graph.input('b', 'float', dims)));
  const rng = new Rng('bench decode');
  const a = tensor(
    'f32',
    dims,
    Float32Array.from({ length: SIDE * SIDE }, () => rng.uniform()),
  );
  await using session = await Session.create(encodeGraph(graph), { threads });
  await session.run({ a, b: a });
  let best = Infinity;
  for (let i = 0; i < CALLS; i++) {
    const before = performance.now();
    await session.run({ a, b: a });
    best = Math.min(best, performance.now() - before);
  }
  return (2 * SIDE ** 3) / best / 1e6;
}

const { threads } = JSON.parse(process.argv[2] ?? '') as { readonly threads: readonly number[] };
const found: number[] = [];
for (const count of threads) found.push(await gflops(count));
console.log(JSON.stringify(found));
