// Owns the states that a frozen model gives at latent positions, computed once and kept in files beside
// the run; head-only.ts calls it.
// Axes: L latents of a row, T tokens, D hidden.
import { access, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Example } from '../data/example.ts';
import { openSafetensors, writeSafetensors } from '../engine/safetensors.ts';
import { tensor, toFloat32 } from '../engine/tensor.ts';
import type { Tensor } from '../engine/tensor.ts';
import { positionConfig } from '../model/bundle.ts';
import type { ModelBundle } from '../model/bundle.ts';
import type { BackboneRow, FrozenBackbone } from '../model/frozen-backbone.ts';
import { mropePositions } from '../processor/positions.ts';
import type { LatentPositions } from '../processor/positions.ts';
import { batchRows } from '../processor/sequence.ts';
import type { TrainingRow } from './gap-batch.ts';

/** Examples for which the model is read once, and of one file; ours: reading is then a tenth of it. */
const EXAMPLES_AT_ONCE = 16;
const FILES = /^states-\d+\.safetensors$/;

/** What a head learns from a row: states, and the latents it is to make of them, both [L, D]. */
export interface LatentRow {
  readonly states_LD: Float32Array;
  readonly targets_LD: Float32Array;
}

/** What the states of rows depend on and where they are kept. */
export interface StatesSource {
  readonly bundle: ModelBundle;
  readonly backbone: FrozenBackbone;
  readonly positions: LatentPositions;
  /** Examples, their pictures encoded, as rows with latents. */
  readonly rows: (examples: readonly Example[]) => Promise<readonly TrainingRow[]>;
  /** What stands at the latent positions of a row, [L, D]. */
  readonly inputs: (row: TrainingRow) => Float32Array;
  /** Absent: nothing is kept. */
  readonly folder?: string;
  /** Says what the states were made from; files of something else are written anew. */
  readonly fingerprint: string;
  readonly progress?: (done: number, total: number) => void;
  readonly signal?: AbortSignal;
}

/** Where latents of a row stand: the positions of their inputs; states are those one before. */
function readRow(
  { bundle, positions, inputs }: StatesSource,
  source: TrainingRow,
): { readonly row: BackboneRow; readonly states_L: Int32Array } {
  const { row, item } = source;
  const batch = batchRows([row], { padId: bundle.padId, side: 'right' });
  const config = positionConfig(bundle, positions);
  return {
    row: {
      inputIds_T: batch.inputIds_BT,
      positions_3T: mropePositions(batch, [item.grid], config).positions_3BT,
      given: [
        { places: batch.pictureTokens, rows_ND: item.pictureRows_MD },
        { places: batch.latentInputs_L, rows_ND: inputs(source) },
      ],
    },
    states_L: batch.latentStates_L,
  };
}

async function computeStates(
  source: StatesSource,
  rows: readonly TrainingRow[],
): Promise<LatentRow[]> {
  const read = rows.map((row) => readRow(source, row));
  const width = source.bundle.checkpoint.config.text.hiddenSize;
  const states = await source.backbone.states(read.map(({ row }) => row));
  return read.map(({ states_L }, i) => {
    const all_TD = states[i]?.data ?? new Float32Array(0);
    const picked = new Float32Array(states_L.length * width);
    states_L.forEach((at, l) => {
      picked.set(all_TD.subarray(at * width, (at + 1) * width), l * width);
    });
    const targets_LD = rows[i]?.item.auxiliaryRows_KD ?? new Float32Array(0);
    return { states_LD: picked, targets_LD };
  });
}

/** Number of rows that a stopped run left in a file, if it is of the same source and examples. */
async function countKept(path: string, fingerprint: string): Promise<number | undefined> {
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (!isThere) return undefined;
  await using reader = await openSafetensors(path);
  return reader.metadata.get('fingerprint') === fingerprint ? reader.infos.size / 2 : undefined;
}

async function writeRows(
  path: string,
  rows: readonly LatentRow[],
  width: number,
  fingerprint: string,
): Promise<void> {
  const rowTensor = (data: Float32Array): Tensor =>
    tensor('f32', [data.length / width, width], data);
  const named = rows.flatMap(({ states_LD, targets_LD }, i): [string, Tensor][] => [
    [`states.${i}`, rowTensor(states_LD)],
    [`targets.${i}`, rowTensor(targets_LD)],
  ]);
  await writeSafetensors(path, new Map(named), new Map([['fingerprint', fingerprint]]));
}

async function readRowAgain(path: string, index: number): Promise<LatentRow> {
  await using reader = await openSafetensors(path);
  return {
    states_LD: toFloat32(await reader.read(`states.${index}`)),
    targets_LD: toFloat32(await reader.read(`targets.${index}`)),
  };
}

/** Gives a row again whenever it is needed. */
export type LatentRowReader = () => Promise<LatentRow>;

/**
 * For each example the states that predict its latents (one position before each, after the last
 * layer and before the final norm) and the latents. Pictures and states of a few examples are made
 * at a time and written down: a run that was stopped goes on after the last file, and memory does
 * not depend on the number of examples. Without a folder rows stay in memory.
 */
export async function latentStates(
  source: StatesSource,
  examples: readonly Example[],
): Promise<LatentRowReader[]> {
  const { folder, signal } = source;
  const width = source.bundle.checkpoint.config.text.hiddenSize;
  const found: LatentRowReader[] = [];
  if (folder !== undefined) await mkdir(folder, { recursive: true });
  for (let start = 0; start < examples.length; start += EXAMPLES_AT_ONCE) {
    signal?.throwIfAborted();
    const chunk = examples.slice(start, start + EXAMPLES_AT_ONCE);
    const fingerprint = JSON.stringify([source.fingerprint, chunk.map(({ id }) => id)]);
    const file = `states-${String(start / EXAMPLES_AT_ONCE).padStart(5, '0')}.safetensors`;
    const path = folder === undefined ? undefined : join(folder, file);
    let count = path === undefined ? undefined : await countKept(path, fingerprint);
    if (count === undefined) {
      const rows = await computeStates(source, await source.rows(chunk));
      count = rows.length;
      if (path !== undefined) await writeRows(path, rows, width, fingerprint);
      else found.push(...rows.map((row) => () => Promise.resolve(row)));
    }
    for (let i = 0; i < count && path !== undefined; i++) found.push(() => readRowAgain(path, i));
    source.progress?.(found.length, examples.length);
  }
  return found;
}

/** Removes the files of states from the folder of a finished run. */
export async function forgetStates(folder: string): Promise<void> {
  for (const file of await readdir(folder)) {
    if (FILES.test(file)) await rm(join(folder, file), { force: true });
  }
}
