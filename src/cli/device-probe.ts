// Owns one try of one device in a process of its own; `gapvl doctor` starts it and reads its one line.
import { encodeGraph } from '../engine/encode.ts';
import { Graph } from '../engine/graph.ts';
import { scale } from '../engine/ops/elementwise.ts';
import { Session } from '../engine/session.ts';
import type { Device } from '../engine/session.ts';
import { GapvlError } from '../errors.ts';

const device = (process.argv[2] ?? 'cpu') as Device;

async function probe(): Promise<string> {
  const graph = new Graph();
  graph.output('y', scale(graph.input('x', 'float', [4]), 2));
  await using session = await Session.create(encodeGraph(graph), { device });
  const x = { dtype: 'f32', dims: [4], data: Float32Array.of(1, 2, 3, 4) } as const;
  const { y } = await session.run({ x });
  return Number(y?.data[3]) === 8 ? '' : 'it ran, but 2 x 4 was not 8';
}

const fault = await probe().catch((thrown: unknown) => {
  if (thrown instanceof GapvlError) return thrown.parts.got ?? thrown.parts.what;
  return String(thrown);
});
process.stdout.write(`${JSON.stringify({ fault })}\n`);
