// Owns the tests that the decoding benchmark gives every side the same numbers and sums up rightly.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { TABLE, writeCheckpoint } from '../../../bench/decode/checkpoint.ts';
import { writeGguf } from '../../../bench/decode/gguf.ts';
import { caseResults, spanResults } from '../../../bench/decode/results.ts';
import type { Run } from '../../../bench/decode/results.ts';
import { SHAPES, layerElements } from '../../../bench/decode/shapes.ts';
import { unpackRows } from '../../../src/engine/pack.ts';
import { openModelFolder } from '../../../src/engine/safetensors.ts';

const folder = mkdtempSync(join(tmpdir(), 'gapvl-bench-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Values of a Q4_0 block at an offset: scale 2^-8, byte j holds elements j and j + 16. */
function q4Block(file: Buffer, at: number): number[] {
  expect(file.readUInt16LE(at)).toBe(0x1c00); // 2^-8 as f16
  const bytes = [...file.subarray(at + 2, at + 18)];
  const codes = [...bytes.map((byte) => byte & 15), ...bytes.map((byte) => byte >> 4)];
  return codes.map((code) => (code - 8) * 2 ** -8);
}

describe('the decoding benchmark', () => {
  it('gives llama.cpp the numbers of the packed checkpoint', async () => {
    const shape = SHAPES.quick;
    const path = join(folder, 'model.gguf');
    await writeCheckpoint(join(folder, 'packed'), shape, 'int4');
    writeGguf(path, shape);
    await using reader = await openModelFolder(join(folder, 'packed'));
    const codes = await reader.read(`${TABLE}.packed_codes`);
    const scales = await reader.read(`${TABLE}.packed_scales`);
    const packed = {
      codes: codes.data as Uint8Array,
      scales_NC: scales.data as Float32Array,
      zeros: new Uint8Array(0),
    };
    const table = unpackRows(packed, shape.hidden, { bits: 4, symmetric: true });
    const file = readFileSync(path);
    // The table is the first tensor; its bytes and those of all others end with the file.
    const perLayer =
      2 * shape.hidden + shape.hidden + 2 * (shape.hidden / shape.heads) * shape.kvHeads;
    const rest = (layerElements(shape) / 32) * 18 + 4 * (shape.layers * perLayer + shape.hidden);
    const size = ((shape.vocab * shape.hidden) / 32) * 18;
    const start = file.length - rest - size;
    for (const block of [0, 1, size / 18 - 1]) {
      const expected = [...table.subarray(block * 32, block * 32 + 32)];
      expect(q4Block(file, start + block * 18)).toEqual(expected);
    }
    const mean = table.reduce((sum, value) => sum + value, 0) / table.length;
    expect(Math.abs(mean)).toBeLessThan(1e-4);
  });

  it('takes rates from the median response, and compares ids with ours', () => {
    const run = (variant: Run['variant'], firstMs: number, ids: number[]): Run => ({
      ...{ shape: 'quick', precision: 'f32', variant, threads: 1, load: 0, loadMs: 1 },
      ...{ peakBytes: firstMs, about: {} },
      responses: [{ firstMs, stepMs: [1, 1, 1, 1, 1, 1, 1], ids }],
    });
    const runs = [
      run('ours', 10, [5, 6, 7]),
      run('ours', 64, [5, 6, 7]),
      run('ours', 30, [5, 6, 7]),
      run('pytorch', 32, [5, 6, 8]),
    ];
    const ceiling = [{ threads: 1, readGBs: 10, gflops: 100, raw: [] }];
    const [ours, pytorch] = caseResults(runs, ceiling);
    expect(ours).toMatchObject({ firstMs: 30, decodeRate: 1000, peakBytes: 64, responseMs: 37 });
    expect(ours?.prefillRate).toBeCloseTo(64 / 0.03, 9);
    expect(pytorch).toMatchObject({ prefillRate: 2000, equalIds: 2 });
    expect(pytorch?.prefillShare).toBeCloseTo((2000 * 2 * layerElements(SHAPES.quick)) / 1e11, 12);
  });

  it('takes the ratio of a span from the medians with and without it', () => {
    const lengths = { promptTokens: 4, textTokens: 8, numLatents: 36 };
    const ms = { plain: [10, 30, 20], markers: [21], span: [26, 24, 25] };
    const [result] = spanResults([{ shape: 'quick', threads: 2, ...lengths, ms }]);
    expect(result).toMatchObject({ ratio: 1.25, medianMs: { plain: 20, markers: 21, span: 25 } });
  });
});
