// Tests reading a frozen model layer by layer: every stored type, one session at a time, stopping.
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelFolder, openSafetensors } from '../../../src/engine/safetensors.ts';
import { writeSafetensors } from '../../../src/engine/safetensors.ts';
import { countLiveSessions } from '../../../src/engine/session.ts';
import { cast, tensor } from '../../../src/engine/tensor.ts';
import type { Tensor } from '../../../src/engine/tensor.ts';
import { FrozenBackbone } from '../../../src/model/frozen-backbone.ts';
import type { BackboneRow } from '../../../src/model/frozen-backbone.ts';
import { LayerWeights } from '../../../src/model/layer-weights.ts';
import { Rng } from '../../../src/rng.ts';
import { writeCheckpoint } from '../../../src/store/checkpoint.ts';
import { SESSION } from '../../helpers/mini-gap.ts';
import { inTemporaryFolder, miniBundle, randomRows } from '../../helpers/mini-model.ts';

const BUNDLE = miniBundle({ layers: 3 });

function rowsOf(count: number): BackboneRow[] {
  const rng = new Rng('rows');
  return Array.from({ length: count }, (_, i) => {
    const length = 3 + i;
    return {
      inputIds_T: Array.from({ length }, () => rng.int(20)),
      positions_3T: [0, 1, 2].flatMap(() => Array.from({ length }, (_, at) => at)),
      given: [{ places: [1], rows_ND: randomRows(rng, 16) }],
    };
  });
}

describe('weights read over what was read before', () => {
  it.each(['f32', 'f16', 'bf16', 'f64'] as const)('are those read afresh: %s', async (dtype) => {
    await inTemporaryFolder(async (folder) => {
      const rng = new Rng(dtype);
      const specs = [
        { name: 'first', dims: [3, 7] },
        { name: 'second', dims: [3, 7] },
        { name: 'third', dims: [5] },
      ];
      const stored = specs.map(({ name, dims }): [string, Tensor] => {
        const values = randomRows(
          rng,
          dims.reduce((a, b) => a * b, 1),
        );
        return [name, cast(tensor('f32', dims, values), dtype)];
      });
      const path = join(folder, 'weights.safetensors');
      await writeSafetensors(path, new Map(stored));
      await using reader = await openSafetensors(path);
      const weights = new LayerWeights(reader, specs, path);
      const memory = new Map<string, Float32Array>();
      const [first, second, third] = specs as [
        { name: string; dims: number[] },
        { name: string; dims: number[] },
        { name: string; dims: number[] },
      ];
      const early = (await weights.readOver(memory, [first], [first]))['first'];
      expect(early).toEqual((await weights.read([first]))['first']);
      const later = (await weights.readOver(memory, [second], [first]))['first'];
      expect(later).toEqual((await weights.read([second]))['second']);
      expect(later?.data).toBe(early?.data);
      // Another size needs other memory.
      const small = (await weights.readOver(memory, [third], [first]))['first'];
      expect(small).toEqual((await weights.read([third]))['third']);
    });
  });
});

describe('a frozen model on the disk', () => {
  it('has one session at a time, reads a layer once for all rows, and frees all when it stops', async () => {
    await inTemporaryFolder(async (folder) => {
      await writeCheckpoint(folder, BUNDLE.checkpoint.configJson, BUNDLE.checkpoint.weights);
      await using reader = await openModelFolder(folder);
      const before = countLiveSessions();
      const reads: string[] = [];
      let most = 0;
      let onRead = (): void => undefined;
      const pieces = reader.pieces.bind(reader);
      reader.pieces = (name) => {
        reads.push(name);
        most = Math.max(most, countLiveSessions() - before);
        onRead();
        return pieces(name);
      };
      const stop = new AbortController();
      const backbone = new FrozenBackbone(BUNDLE, reader, { ...SESSION, signal: stop.signal });
      const rows = rowsOf(4);
      const states = await backbone.states(rows);
      expect(states.map(({ dims }) => dims)).toEqual([
        ...[
          [1, 3, 16],
          [1, 4, 16],
          [1, 5, 16],
          [1, 6, 16],
        ],
      ]);
      expect(most).toBe(1);
      const layers = reads.map((name) => /layers\.(\d)/.exec(name)?.[1]);
      expect(layers).toEqual([...layers].sort());
      expect(new Set(reads).size).toBe(reads.length);
      expect(new Set(layers)).toEqual(new Set(['0', '1', '2']));

      const reason = new Error('stopped');
      onRead = (): void => {
        if (reads.at(-1)?.includes('layers.1') === true) stop.abort(reason);
      };
      await expect(backbone.states(rows)).rejects.toBe(reason);
      expect(countLiveSessions()).toBe(before);
    });
  });

  it('reads given embeddings in place of those of the tokens', async () => {
    await inTemporaryFolder(async (folder) => {
      await writeCheckpoint(folder, BUNDLE.checkpoint.configJson, BUNDLE.checkpoint.weights);
      await using reader = await openModelFolder(folder);
      const backbone = new FrozenBackbone(BUNDLE, reader, SESSION);
      const [row] = rowsOf(1);
      if (!row) throw new Error('there is one row');
      const table = BUNDLE.checkpoint.weights.get('model.embed_tokens.weight').data;
      const id = Number(row.inputIds_T[1]);
      const own = table.slice(id * 16, (id + 1) * 16);
      const [plain, same, other] = await backbone.states([
        { ...row, given: [] },
        { ...row, given: [{ places: [1], rows_ND: own }] },
        row,
      ]);
      expect(same).toEqual(plain);
      expect(other).not.toEqual(plain);
      // Attention is causal: what stands before the place is as it was.
      expect(other?.data.subarray(0, 16)).toEqual(plain?.data.subarray(0, 16));
    });
  });
});
