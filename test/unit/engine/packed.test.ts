// Owns the checks of block-quantised matrices: rounding, products and rows against nested loops.
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { gradients } from '../../../src/engine/gradient.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { sum } from '../../../src/engine/ops/broadcast.ts';
import {
  BLOCK_SIZE,
  gatherPacked,
  linearPacked,
  numBlocks,
  zeroBytes,
} from '../../../src/engine/ops/packed.ts';
import type { PackedMatrix, Packing } from '../../../src/engine/ops/packed.ts';
import { packRows, unpackRows } from '../../../src/engine/pack.ts';
import { Session } from '../../../src/engine/session.ts';
import type { Constant } from '../../../src/engine/stored.ts';
import { tensor } from '../../../src/engine/tensor.ts';
import { RuntimeError, ShapeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';

const ROWS = 12;
const PACKINGS: readonly Packing[] = ([4, 8] as const).flatMap((bits) => [
  { bits, symmetric: true },
  { bits, symmetric: false },
]);
const CASES = PACKINGS.flatMap((packing) => [64, 96, 108].map((columns) => ({ packing, columns })));

function matrix(columns: number, rng = new Rng(5)): Float32Array {
  return Float32Array.from({ length: ROWS * columns }, () => 0.05 * rng.normal() + 0.02);
}

/** The packed matrix as inputs of a graph, and the constants that go there. */
function declare(
  graph: Graph,
  columns: number,
  packing: Packing,
  codes: readonly number[],
): { packed: PackedMatrix; constants: Map<string, Constant> } {
  const data = packRows(matrix(columns), columns, packing);
  const [blocks, zeros] = [numBlocks(columns), [ROWS, zeroBytes(columns, packing.bits)]];
  return {
    packed: {
      packing,
      codes: graph.input('codes', 'u8', codes),
      scales_NC: graph.input('scales', 'float', [ROWS, blocks]),
      ...(packing.symmetric ? {} : { zeros: graph.input('zeros', 'u8', zeros) }),
    },
    constants: new Map<string, Constant>([
      ['codes', tensor('u8', codes, data.codes)],
      ['scales', tensor('f32', [ROWS, blocks], data.scales_NC)],
      ...(packing.symmetric ? [] : [['zeros', tensor('u8', zeros, data.zeros)] as const]),
    ]),
  };
}

describe('packing a matrix', () => {
  it.each(CASES)('keeps every element within half a code: $packing, $columns columns', (c) => {
    const { packing, columns } = c;
    const from = matrix(columns);
    const data = packRows(from, columns, packing);
    const back = unpackRows(data, columns, packing);
    from.forEach((x, i) => {
      const [n, k] = [Math.floor(i / columns), i % columns];
      const scale = Math.abs(
        data.scales_NC[n * numBlocks(columns) + Math.floor(k / BLOCK_SIZE)] ?? 0,
      );
      // A symmetric code lacks the one that the other end of the range would need.
      const most = packing.symmetric ? 1 : 0.5;
      expect(Math.abs(x - (back[i] ?? 0))).toBeLessThanOrEqual(most * scale * (1 + 1e-4) + 1e-12);
    });
  });
  it('keeps the extreme of a block, and zeros, exact', () => {
    const row = new Float32Array(32);
    row[3] = -0.7;
    for (const packing of PACKINGS) {
      const back = unpackRows(packRows(row, 32, packing), 32, packing);
      expect(back[3]).toBeCloseTo(-0.7, 6);
      expect([...back].filter((x) => x !== 0)).toHaveLength(1);
    }
  });
  it('puts two 4-bit codes into a byte, the first one low', () => {
    const row = Float32Array.from({ length: 32 }, (_, i) => (i % 16) - 8);
    const { codes, scales_NC } = packRows(row, 32, { bits: 4, symmetric: true });
    expect(scales_NC[0]).toBe(1);
    expect([...codes.subarray(0, 3)]).toEqual([0x10, 0x32, 0x54]);
  });
});

describe.each(CASES)('a packed matrix, $packing, $columns columns', ({ packing, columns }) => {
  const blocks = numBlocks(columns);
  const blockBytes = (BLOCK_SIZE * packing.bits) / 8;
  const weights = unpackRows(packRows(matrix(columns), columns, packing), columns, packing);

  it('multiplies as what it stands for, activations rounded to 8 bits', async () => {
    const graph = new Graph();
    const { packed, constants } = declare(graph, columns, packing, [ROWS, blocks, blockBytes]);
    const x = graph.input('x', 'float', ['B', 3, columns]);
    graph.output('y', linearPacked(x, packed, graph.input('bias', 'float', [ROWS])));
    constants.set(
      'bias',
      tensor(
        'f32',
        [ROWS],
        Float32Array.from({ length: ROWS }, (_, n) => n),
      ),
    );
    await using session = await Session.create(encodeGraph(graph, constants), { threads: 1 });
    const rng = new Rng(9);
    const inputs = Float32Array.from({ length: 6 * columns }, () => rng.normal());
    const { y } = await session.run({ x: tensor('f32', [2, 3, columns], inputs) });
    expect(y?.dims).toEqual([2, 3, ROWS]);
    for (let b = 0; b < 6; b++) {
      for (let n = 0; n < ROWS; n++) {
        let exact = n;
        let size = 0;
        for (let k = 0; k < columns; k++) {
          const product = (inputs[b * columns + k] ?? 0) * (weights[n * columns + k] ?? 0);
          exact += product;
          size += product * product;
        }
        // Half a step of 1/127 of a block's largest activation, as noise: under 2 % of the terms' size.
        const found = Number(y?.data[b * ROWS + n]);
        expect(Math.abs(found - exact)).toBeLessThan(0.02 * Math.sqrt(size));
      }
    }
  });
  it('gives its rows exactly', async () => {
    if (columns % BLOCK_SIZE !== 0) return;
    const graph = new Graph();
    const { packed, constants } = declare(graph, columns, packing, [ROWS, blocks * blockBytes]);
    graph.output('rows', gatherPacked(packed, graph.input('ids', 'i64', ['N']), columns));
    await using session = await Session.create(encodeGraph(graph, constants), { threads: 1 });
    const ids = [11, 0, 5, 5];
    const { rows } = await session.run({
      ids: tensor('i64', [4], BigInt64Array.from(ids, BigInt)),
    });
    const expected = ids.flatMap((n) => [...weights.subarray(n * columns, (n + 1) * columns)]);
    expect([...(rows?.data ?? [])]).toEqual(expected);
  });
});

describe('products with packed matrices', () => {
  const packing: Packing = { bits: 4, symmetric: true };
  it('refuse what does not fit, and f64', () => {
    const graph = new Graph();
    const { packed } = declare(graph, 64, packing, [ROWS, 2, 16]);
    expect(() => linearPacked(graph.input('x', 'float', ['B', 96]), packed)).toThrow(ShapeError);
    const wide = new Graph('f64');
    const other = declare(wide, 64, packing, [ROWS, 2, 16]).packed;
    expect(() => linearPacked(wide.input('x', 'float', ['B', 64]), other)).toThrow(ShapeError);
  });
  it('have no gradient, and say so', () => {
    const graph = new Graph();
    const { packed } = declare(graph, 64, packing, [ROWS, 2, 16]);
    const x = graph.input('x', 'float', ['B', 64]);
    expect(() => gradients(sum(linearPacked(x, packed), [0, 1]), [x])).toThrow(RuntimeError);
  });
});
