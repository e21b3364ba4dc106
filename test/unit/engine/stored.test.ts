// Owns the checks of constants that stay in their files: mapped, widened, looked up row by row.
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeGraph } from '../../../src/engine/encode.ts';
import { Graph } from '../../../src/engine/graph.ts';
import { gatherRows } from '../../../src/engine/ops/indexing.ts';
import { linear } from '../../../src/engine/ops/linear.ts';
import { openSafetensors, writeSafetensors } from '../../../src/engine/safetensors.ts';
import { Session } from '../../../src/engine/session.ts';
import type { Constant } from '../../../src/engine/stored.ts';
import { cast, tensor } from '../../../src/engine/tensor.ts';
import type { DType, Tensor } from '../../../src/engine/tensor.ts';
import { ConfigError, RuntimeError } from '../../../src/errors.ts';
import { Rng } from '../../../src/rng.ts';
import { inTemporaryFolder } from '../../helpers/mini-model.ts';

const [N, K] = [5, 7];
const rng = new Rng(2);
const TABLE = tensor(
  'f32',
  [N, K],
  Float32Array.from({ length: N * K }, () => rng.normal()),
);

/** Rows of a table, and a product with the same table. */
function tableGraph(): Graph {
  const graph = new Graph();
  const table = graph.input('table', 'float', [N, K]);
  graph.output('rows', gatherRows(table, graph.input('ids', 'i64', ['B'])));
  graph.output('product', linear(graph.input('x', 'float', ['B', K]), table));
  return graph;
}

async function run(constant: Constant): Promise<Record<string, Tensor>> {
  const graph = encodeGraph(tableGraph(), new Map([['table', constant]]));
  await using session = await Session.create(graph, { threads: 1 });
  return await session.run({
    ids: tensor('i64', [2], BigInt64Array.of(4n, 1n)),
    x: tensor('f32', [2, K], TABLE.data.slice(0, 2 * K)),
  });
}

describe('a constant in a file', () => {
  it.each<DType>(['f32', 'bf16', 'f16'])('in %s computes what it does in memory', async (dtype) => {
    await inTemporaryFolder(async (folder) => {
      const stored = cast(TABLE, dtype);
      const path = join(folder, 'weights.safetensors');
      await writeSafetensors(path, new Map([['table', stored]]));
      await using reader = await openSafetensors(path);
      const expected = await run(cast(stored, 'f32'));
      expect(await run(reader.place('table'))).toEqual(expected);
      expect(await run(stored)).toEqual(expected);
    });
  });
  it('is found through a symbolic link, as download caches keep files', async () => {
    await inTemporaryFolder(async (folder) => {
      await mkdir(join(folder, 'blobs'));
      await mkdir(join(folder, 'snapshot'));
      await writeSafetensors(join(folder, 'blobs', '3f2a'), new Map([['table', TABLE]]));
      const link = join(folder, 'snapshot', 'model.safetensors');
      await symlink(join('..', 'blobs', '3f2a'), link);
      await using reader = await openSafetensors(link);
      expect(await run(reader.place('table'))).toEqual(await run(TABLE));
    });
  });
  it('lies in one folder with all others', async () => {
    await inTemporaryFolder(async (folder) => {
      await mkdir(join(folder, 'other'));
      const places: Constant[] = [];
      for (const path of [join(folder, 'a.safetensors'), join(folder, 'other', 'b.safetensors')]) {
        await writeSafetensors(path, new Map([['table', TABLE]]));
        await using reader = await openSafetensors(path);
        places.push(reader.place('table'));
      }
      const graph = tableGraph();
      graph.output('more', graph.input('other', 'float', [N, K]));
      const constants = new Map(places.map((place, i) => [i === 0 ? 'table' : 'other', place]));
      expect(() => encodeGraph(graph, constants)).toThrow(ConfigError);
    });
  });
  it('that ends beyond its file is an error, not a crash', async () => {
    await inTemporaryFolder(async (folder) => {
      const path = join(folder, 'weights.safetensors');
      await writeSafetensors(path, new Map([['table', TABLE]]));
      await using reader = await openSafetensors(path);
      const place = reader.place('table');
      const beyond = { ...place, begin: place.begin + 64, end: place.end + 64 };
      await expect(run(beyond)).rejects.toThrow(RuntimeError);
    });
  });
});
